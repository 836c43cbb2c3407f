"""A command starts without the libraries that it does not use: `--help` and a wrong argument need none of them."""

import json
import subprocess
import sys

import pytest
from PIL import Image

from datasets_prep.synthetic.image import synthesize

TORCH = {"torch", "torchvision", "basicsr", "mihatp_arch"}
HEAVY = TORCH | {"numpy", "cv2", "scipy", "skimage", "matplotlib", "openslide", "diffusers", "timm", "kornia", "lpips"}
COMMANDS = ("upscale", "view", "prepare", "check", "runs", "export", "benchmark", "demo", "options", "nuclei")
CODE = """
import json, sys
from mihatp_cli.{module} import main
try:
    code = main(sys.argv[1:])
except SystemExit as end:
    code = end.code
print()
print(json.dumps([code, sorted({{name.partition(".")[0] for name in sys.modules}})]))
"""


def start(module: str, *arguments: str) -> tuple[int, set[str]]:
    """Run a command in a process of its own; its exit code and the packages that it imported."""
    code = CODE.format(module=module)
    run = subprocess.run([sys.executable, "-c", code, *arguments], capture_output=True, text=True, check=True)
    ended, modules = json.loads(run.stdout.splitlines()[-1])
    return ended or 0, set(modules)


@pytest.mark.parametrize(
    ("module", "arguments", "ends"),
    [
        *(("mihatp", [option], 0) for option in ("--help", "--version")),
        *(("mihatp", [command, "--help"], 0) for command in COMMANDS),
        *(("mihatp", ["nuclei", command, "--help"], 0) for command in ("prepare", "segment", "compare")),
        ("mihatp", [], 2),
        ("mihatp", ["nuclei"], 2),
        ("mihatp", ["prepare", "--tiels", "x"], 2),
        ("mihatp", ["benchmark", "-opt", "x.yml", "--workers", "0"], 2),
        ("mihatp", ["benchmark", "-opt", "x.yml", "--sweep", "tau=1,2", "--workers", "2"], 2),
        ("mihatp", ["options"], 0),
        *(("basicsr", [option], 0) for option in ("--help", "--version")),
        ("basicsr", ["train", "--help"], 0),
        ("basicsr", ["train", "--option", "x.yml"], 2),
        ("basicsr", ["train", "-opt", "x.yml", "--launcher", "mpi"], 2),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else None,
)
def test_arguments_are_read_without_heavy_libraries(module, arguments, ends):
    code, modules = start(module, *arguments)
    assert code == ends
    assert not modules & HEAVY


@pytest.mark.parametrize("arguments", [["prepare", "-o", "out"], ["check", "absent"]], ids=" ".join)
def test_a_missing_data_set_is_found_without_the_libraries_of_pictures_and_statistics(arguments):
    code, modules = start("mihatp", *arguments)
    assert code == 2
    assert not modules & (TORCH | {"matplotlib", "scipy", "skimage"})


def test_data_sets_and_experiments_need_no_torch(tmp_path):
    (tmp_path / "tiles").mkdir()
    for index in range(7):
        Image.fromarray(synthesize(64, 64, seed=index)[0]).save(tmp_path / "tiles" / f"TCGA-AA-{index:04}-01Z.png")
    folder = str(tmp_path / "out")
    (tmp_path / "experiments" / "HAT_x4").mkdir(parents=True)
    (tmp_path / "experiments" / "HAT_x4" / "HAT_x4.yml").write_text("train: {total_iter: 5}\n")
    for command in (
        ["prepare", "--tiles", str(tmp_path / "tiles"), "-o", folder, "--patch-size", "64"],
        ["check", folder],
        ["runs", str(tmp_path / "experiments")],
    ):
        code, modules = start("mihatp", *command)
        assert code == 0
        assert not modules & TORCH


def test_the_viewer_needs_no_torch(tmp_path):
    Image.fromarray(synthesize(64, 64, seed=0)[0]).save(tmp_path / "a.png")
    code, modules = start("mihatp", "view", str(tmp_path / "a.png"), "--export", str(tmp_path / "view"))
    assert code == 0
    assert not modules & (TORCH | {"matplotlib", "scipy", "skimage"})


def test_the_package_imports_no_library_of_pictures_and_statistics():
    """SciPy itself comes with BasicSR."""
    code = "import mihatp_arch, sys; print(*sys.modules)"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    unwanted = {"matplotlib", "skimage", "timm", "scipy.optimize", "scipy.spatial", "scipy.stats", "torch._dynamo"}
    assert not unwanted & set(run.stdout.split())
