"""MiHATP: a BasicSR plugin for super-resolution of pathology images."""

import runpy
from pathlib import Path

from setuptools import find_packages, setup

ROOT = Path(__file__).parent
VERSION = runpy.run_path(str(ROOT / "datasets_prep" / "common" / "version.py"))["__version__"]

setup(
    name="mihatp",
    version=VERSION,
    description="MiHATP: multi-hybrid attention super-resolution of H&E slides, as a BasicSR plugin",
    long_description=(ROOT / "README.md").read_text(encoding="utf-8"),
    long_description_content_type="text/markdown",
    license="Apache-2.0",
    license_files=["LICENSE"],
    keywords=["super-resolution", "pathology", "histology", "whole-slide images", "BasicSR", "transformer"],
    classifiers=[
        "Development Status :: 4 - Beta",
        "Intended Audience :: Science/Research",
        "Operating System :: POSIX :: Linux",
        "Programming Language :: Python :: 3",
        "Topic :: Scientific/Engineering :: Image Processing",
        "Topic :: Scientific/Engineering :: Medical Science Apps.",
        "Typing :: Typed",
    ],
    python_requires=">=3.10",
    packages=[
        *find_packages(include=["mihatp_arch*", "mihatp_cli*", "mihatp_viewer*", "datasets_prep*"]),
        # The option files, which datasets_prep/common/packaged_options.py finds beside the packages.
        "mihatp_options",
        "mihatp_options.overlays",
    ],
    package_dir={"mihatp_options": "options"},
    package_data={
        "datasets_prep": ["py.typed"],
        "mihatp_arch": ["py.typed"],
        "mihatp_arch.evaluation.report": ["page.css", "page.js", "page.html", "tables.html"],
        "mihatp_arch.inference.weights": ["*.safetensors", "*.md"],
        "mihatp_cli": ["py.typed"],
        "mihatp_viewer": ["py.typed", "page/*"],
        "mihatp_options": ["*.yml", "*.json"],
        "mihatp_options.overlays": ["*.yml"],
    },
    install_requires=[
        "torch>=2.6",
        "torchvision>=0.21",
        # basicsr's own setup.py fails on Python 3.13; docs/README.md has the recipe for it
        "basicsr==1.4.2; python_version < '3.13'",
        "setuptools",  # basicsr imports distutils, which Python 3.12 has only through setuptools
        "scipy<2",  # basicsr imports scipy.ndimage.filters, which SciPy 2 removes
        "numpy",
        "pillow",
        "einops",
        "timm>=1.0.9",
        "kornia>=0.7.3",
        "diffusers>=0.32",
        "spandrel>=0.4",
        "opencv-python",
        "lmdb",
        "lpips",
        "msgspec",
        "pyyaml",
        "safetensors",
        "scikit-image",
        "threadpoolctl",
        "matplotlib",
        "jinja2",
        "tqdm",
        "filelock",
        "h5py",
        "openslide-python>=1.4",
        "openslide-bin>=4",
        "tifffile",
        "imagecodecs",
        "starlette",
        "uvicorn",
    ],
    extras_require={
        "cluster": ["distributed"],
        "perceptual": ["stlpips-pytorch==0.0.2"],
        "onnx": ["onnx", "onnxscript", "onnxruntime"],
        "sweep": ["optuna>=5"],
        "dev": [
            "pytest",
            "pytest-xdist",
            "hypothesis",
            "ruff",
            "basedpyright",
            "distributed",
            "optuna>=5",
            "onnx",
            "onnxscript",
            "onnxruntime",
            "playwright",
            "stlpips-pytorch==0.0.2",
        ],
    },
    entry_points={
        "console_scripts": [
            "basicsr = mihatp_cli.basicsr:main",
            "mihatp = mihatp_cli.mihatp:main",
        ],
        "basicsr.plugins": ["mihatp = mihatp_arch"],
    },
)
