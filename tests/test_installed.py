"""A wheel of the tree in a fresh environment, far from the checkout: the commands, the option files, the demo."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from zipfile import ZipFile

import pytest

from datasets_prep.common.version import __version__

pytestmark = pytest.mark.slow

ROOT = Path(__file__).resolve().parents[1]
PACKAGES = ("datasets_prep", "mihatp_arch", "mihatp_cli", "mihatp_viewer")
FOLDERS = {**{name: name for name in PACKAGES}, "options": "mihatp_options"}  # in the checkout -> in the wheel
FILES = ("setup.py", "pyproject.toml", "MANIFEST.in", "README.md", "LICENSE")
# pip refuses a build constraint beside --no-build-isolation, and nothing here is fetched.
_LEFT_OUT = ("PYTHONPATH", "PYTHONHOME", "PIP_CONSTRAINT", "PIP_BUILD_CONSTRAINT")
ENVIRONMENT = {key: value for key, value in os.environ.items() if key not in _LEFT_OUT}
ENVIRONMENT |= {"OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""}
ONE_TEST_SET = [f"datasets:{name}=null" for name in ("val", "val_test1", "val_test3", "val_test4", "val_test5")]


def done(*command: str | Path, cwd: Path) -> str:
    """Run a command to a good end; what it printed."""
    run = subprocess.run(
        list(map(str, command)),
        cwd=cwd,
        env=ENVIRONMENT,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=540,
        check=False,
    )
    assert run.returncode == 0, run.stdout[-3000:]
    return run.stdout


@pytest.fixture(scope="module")
def wheel(tmp_path_factory) -> Path:
    """Built from a copy of the tree, so that nothing is left in it."""
    folder = tmp_path_factory.mktemp("wheel")
    tree = folder / "tree"
    for name in FOLDERS:
        shutil.copytree(ROOT / name, tree / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in FILES:
        shutil.copy(ROOT / name, tree)
    pip = [sys.executable, "-m", "pip", "wheel", "--no-deps", "--no-build-isolation", "--no-index"]
    done(*pip, "--wheel-dir", folder, tree, cwd=folder)
    (file,) = folder.glob("mihatp-*.whl")
    return file


def test_the_wheel_has_every_file_of_the_packages(wheel):
    names = set(ZipFile(wheel).namelist())
    for folder, package in FOLDERS.items():
        for file in (ROOT / folder).rglob("*"):
            if file.is_file() and "__pycache__" not in file.parts:
                assert (Path(package) / file.relative_to(ROOT / folder)).as_posix() in names


def interpreter(version: str) -> Path:
    """The running Python, or another one that has the packages; skips where there is none."""
    if version == "running":
        return Path(sys.executable)
    found = shutil.which(f"python{version}")
    code = "import torch, basicsr.version, cv2, msgspec, openslide"
    if found is None or subprocess.run([found, "-c", code], env=ENVIRONMENT, capture_output=True).returncode:
        pytest.skip(f"there is no python{version} with the packages of this project")
    return Path(found)


@pytest.fixture(scope="module", params=["running", "3.12"])
def installed(request, wheel, tmp_path_factory) -> Path:
    """The `bin` of a fresh environment with the wheel. It sees the packages of another one, but no editable install.

    A line in a `.pth` file puts a folder last on the path, and the `.pth` files in that folder are not read.
    """
    python = interpreter(request.param)
    folder = tmp_path_factory.mktemp("fresh")
    environment = folder / "environment"
    done(python, "-m", "venv", "--without-pip", environment, cwd=folder)
    paths = "import sysconfig; print(sysconfig.get_path('purelib'))"
    packages, own = (done(one, "-c", paths, cwd=folder).strip() for one in (python, environment / "bin" / "python"))
    (Path(own) / "dependencies.pth").write_text(f"{packages}\n")
    pip = [sys.executable, "-m", "pip", "--python", environment / "bin" / "python", "install"]
    done(*pip, "--no-deps", "--no-index", "--quiet", wheel, cwd=folder)
    return environment / "bin"


def test_it_works_where_it_is_installed(installed, tmp_path):
    code = f"import {', '.join(PACKAGES)}; print({', '.join(f'{name}.__file__' for name in PACKAGES)})"
    for file in done(installed / "python", "-c", code, cwd=tmp_path).split():
        assert Path(file).is_relative_to(installed.parent)
    for command in ("mihatp", "basicsr"):
        assert done(installed / command, "--version", cwd=tmp_path) == f"{command} (mihatp) {__version__}\n"

    listed = [line.split()[0] for line in done(installed / "mihatp", "options", cwd=tmp_path).splitlines()]
    assert listed == sorted(file.relative_to(ROOT / "options").as_posix() for file in (ROOT / "options").rglob("*.yml"))
    done(installed / "mihatp", "options", "copy", "mine", cwd=tmp_path)
    assert (
        sorted(file.relative_to(tmp_path / "mine").as_posix() for file in (tmp_path / "mine").rglob("*.yml")) == listed
    )

    files = ["-opt", "train_MiHATP_x8.yml", "overlays/tiny.yml", "overlays/tiny_MiHATP"]
    short = [
        "train:total_iter=2",
        "train:scheduler:periods=[2]",
        "logger:print_freq=1",
        "logger:save_checkpoint_freq=2",
    ]
    log = done(
        installed / "basicsr", "train", *files, "--data", "demo", "--force_yml", *short, *ONE_TEST_SET, cwd=tmp_path
    )
    assert re.findall(r"iter: +(\d), lr", log) == ["1", "2"] and "Validation test2" in log
    assert (tmp_path / "experiments" / "MiHATP_x8" / "models" / "net_g_latest.pth").is_file()
    assert "| MiHATP_x8 | 2 | 2 | test2: psnr " in done(installed / "mihatp", "runs", cwd=tmp_path)

    names = ["benchmark_x4.yml", "overlays/tiny.yml", "overlays/demo.yml"]
    budget = ["--methods", "bicubic", "SRCNN", "--iterations", "2", "-o", "out"]
    printed = done(installed / "mihatp", "benchmark", "-opt", *names, "--data", "demo", *budget, cwd=tmp_path)
    assert (tmp_path / "out" / "table1.md").read_text(encoding="utf-8") in printed
    assert "MiHATP" not in (tmp_path / "out" / "report.html").read_text(encoding="utf-8")

    printed = done(installed / "mihatp", "demo", "--iterations", "3", cwd=tmp_path)
    assert (tmp_path / "demo" / "table1.md").read_text(encoding="utf-8") in printed
    assert (tmp_path / "demo" / "report.html").stat().st_size > 500_000
