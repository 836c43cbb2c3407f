"""Checkpoints that are there whole or not at all."""

import io
import os
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from typing import Any

import torch
from basicsr.utils import get_time_str

from mihatp_arch.errors import UserError


def save_whole(content: Any, path: Path) -> None:
    """`torch.save` to `path`: written aside, synced, renamed; what was there stays until then.

    Raises:
        UserError: it cannot be written; nothing of it is left then.
    """
    buffer = io.BytesIO()
    torch.save(content, buffer)
    partial = path.with_name(f".{path.name}.{os.getpid()}.partial")
    try:
        with partial.open("wb") as file:
            file.write(buffer.getbuffer())
            file.flush()
            os.fsync(file.fileno())
        partial.replace(path)
        _sync(path.parent)
    except OSError as error:
        with suppress(OSError):
            partial.unlink(missing_ok=True)
        raise UserError(
            f"cannot save '{path}': {error.strerror or error}; what was saved before is whole: make room, and go on "
            "with --auto_resume"
        ) from error


def _sync(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def archive(path: str) -> None:
    """Make a new folder `path`; one that is there is renamed to `<path>_archived_<time>`, numbered where needed."""
    if os.path.exists(path):
        stamp = f"{path}_archived_{get_time_str()}"
        names = (stamp, *(f"{stamp}_{number}" for number in range(2, 1000)))
        new = next(name for name in names if not os.path.exists(name))
        print(f"'{path}' is there already; it is now '{new}'", flush=True)
        os.rename(path, new)
    os.makedirs(path)


def prune(experiment: Path, *, keep: int) -> None:
    """Delete all but the newest `keep` training states of an experiment, and the networks saved with the others.

    `net_*_latest.pth` and `net_*_best.pth` stay.
    """
    folder = experiment / "training_states"
    states = sorted(int(path.stem) for path in folder.glob("*.state") if path.stem.isdecimal())
    for iteration in states[:-keep]:
        # the state first: one without its network is damaged, a network without its state is only a network
        _delete([folder / f"{iteration}.state", *(experiment / "models").glob(f"net_*_{iteration}.pth")])


def _delete(paths: Iterable[Path]) -> None:
    for path in paths:
        path.unlink(missing_ok=True)
