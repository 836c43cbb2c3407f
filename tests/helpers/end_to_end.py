"""Helpers of the end-to-end tests: option files by method and scale, `basicsr` as a process, what it leaves behind."""

import os
import re
import subprocess
import sys
from pathlib import Path

import torch

OPTIONS = Path(__file__).resolve().parents[2] / "options"
CPU = {"OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""}  # one thread on a CPU: repeatable to the bit
# One set of six patches is validated: the others take the same way.
ONE_SET = [
    "num_gpu=0",
    *(f"datasets:{name}=null" for name in ("val", "val_test1", "val_test3", "val_test4", "val_test5")),
]


def files(method: str, scale: int, *, tiny: bool = True) -> list[str]:
    """The option files of a method, with the overlays that make it small."""
    names = ("tiny.yml", f"tiny_{method}.yml", f"tiny_{method}_x{scale}.yml")
    overlays = [OPTIONS / "overlays" / name for name in names]
    full = OPTIONS / f"train_{method}_x{scale}.yml"
    return [str(full), *(str(path) for path in overlays if tiny and path.is_file())]


def schedule(iterations: int, *, of: int | None = None) -> list[str]:
    """The first iterations of a tiny training (of a training of that length, for the learning rate)."""
    return [
        "datasets:train:gt_size=32",
        "datasets:train:batch_size_per_gpu=2",
        f"train:total_iter={iterations}",
        f"train:scheduler:periods=[{of or iterations}]",
        "logger:save_checkpoint_freq=2",
        "logger:print_freq=1",
    ]


def python(folder: Path, *arguments: str) -> str:
    """Run Python in `folder` on the CPU, to a good end; what it printed."""
    run = subprocess.run(
        [sys.executable, *arguments],
        cwd=folder,
        env=os.environ | CPU,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=540,
        check=False,
    )
    assert run.returncode == 0, run.stdout[-3000:]
    return run.stdout


def basicsr(folder: Path, *arguments: str) -> str:
    """Run `basicsr` in `folder`; what it printed."""
    return python(folder, "-m", "mihatp_arch", *arguments)


def weights(file: Path) -> dict[str, torch.Tensor]:
    return torch.load(file, map_location="cpu", weights_only=True)["params"]


def equal(one: Path, other: Path) -> bool:
    """Whether two networks are the same to the bit."""
    a, b = weights(one), weights(other)
    return a.keys() == b.keys() and all(torch.equal(a[key], b[key]) for key in a)


def logged(metric: str, log: str) -> float:
    """What the last validation logged as `metric`."""
    return float(re.findall(rf"# {metric}: ([\d.]+)", log)[-1])
