"""The record of a run beside its options: versions, the commit, the data."""

import platform
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from contextvars import ContextVar
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import msgspec
import torch
from basicsr.utils import get_root_logger
from basicsr.utils.dist_util import get_dist_info

from datasets_prep.common.files import sha256_of, write_file
from mihatp_arch.training.resumed.changed_options import Changes

RECORD = "run.json"
# The command that was typed. BasicSR's pipelines get a command line of their own in sys.argv.
typed_command: ContextVar[Sequence[str]] = ContextVar("typed_command", default=())
_PACKAGES = ("mihatp", "basicsr", "torch", "torchvision", "numpy", "opencv-python", "timm", "kornia")


def copy_opt_file(opt_file: str, experiments_root: str) -> None:
    """Stands in for `basicsr.train.copy_opt_file`: the options of this start, below the command that was typed."""
    if get_dist_info()[0] != 0:
        return
    command = " ".join(" ".join(typed_command.get() or sys.argv).split())
    command = command.encode("ascii", "backslashreplace").decode()
    text = f"# GENERATE TIME: {time.asctime()}\n# CMD:\n# {command}\n\n{Path(opt_file).read_text(encoding='utf-8')}"
    write_file(Path(experiments_root) / Path(opt_file).name, text.encode())


def write_record(opt: Mapping[str, Any], *, iteration: int = 0, changes: Changes | None = None) -> None:
    """Add an entry for this start of the training to `run.json` in the experiment folder.

    Args:
        opt: the options of the training.
        iteration: the last one that is done.
        changes: the options that the state was not trained with: path -> value before, value now.
    """
    file = Path(opt["path"]["experiments_root"]) / RECORD
    runs = _read(file)
    runs.append(
        {
            "command": typed_command.get() or sys.argv,
            "resumed_from": opt["path"].get("resume_state"),
            "iteration": iteration,
            "changed_options": changes or {},
            "python": platform.python_version(),
            "versions": {name: number for name in _PACKAGES if (number := _version(name))},
            "gpus": [torch.cuda.get_device_name(index) for index in range(torch.cuda.device_count())],
            "device": device_name(opt["num_gpu"]),
            "processes": opt["world_size"],
            "commit": commit(),
            "data": _manifests(opt["datasets"]),
        }
    )
    write_file(file, msgspec.json.format(msgspec.json.encode(runs), indent=2) + b"\n")


def _read(file: Path) -> list[Any]:
    """The entries of the starts before. A damaged record is a warning in the log, and is moved away."""
    try:
        return msgspec.json.decode(file.read_bytes(), type=list) if file.is_file() else []
    except (OSError, msgspec.DecodeError) as error:
        damaged = file.with_name(f"{file.name}.damaged")
        get_root_logger().warning(f"'{file}' is damaged ({error}): it is now '{damaged}', and a new record begins.")
        file.replace(damaged)
        return []


def device_name(num_gpu: int | None = None) -> str:
    """The device that a run on `num_gpu` GPUs uses (None: one GPU, where there is one)."""
    if num_gpu == 0 or not torch.cuda.is_available():
        return f"CPU, {torch.get_num_threads()} threads"
    count = f"{num_gpu} × " if num_gpu and num_gpu > 1 else ""
    return f"{count}{torch.cuda.get_device_name()}"


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def commit() -> str | None:
    """The commit of the checkout that this package runs from, with `+` where files differ from it."""
    git = ["git", "-C", str(Path(__file__).parent), "describe", "--always", "--abbrev=40", "--dirty=+"]
    try:
        return subprocess.run(git, capture_output=True, text=True, check=True, timeout=10).stdout.strip()
    except (OSError, subprocess.SubprocessError):
        return None


def _manifests(datasets: Mapping[str, Any]) -> dict[str, str]:
    """The SHA-256 of each `manifest.csv`, by its path, in the folders of the data sets (`<folder>/<split>/HR.lmdb`)."""
    roots = [options.get(key) for options in datasets.values() for key in ("dataroot_gt", "dataroot_lq")]
    files = {
        Path(root).expanduser().parents[1] / "manifest.csv" for root in roots if root and len(Path(root).parts) > 2
    }
    return {str(file): sha256_of(file) for file in sorted(files) if file.is_file()}
