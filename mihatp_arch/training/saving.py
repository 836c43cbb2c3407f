"""Checkpoints that are there whole or not at all."""

import io
import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from basicsr.utils import get_time_str

from datasets_prep.common.files import write_file
from mihatp_arch.errors import UserError


def save_whole(content: Any, path: Path) -> None:
    """`torch.save` to `path`, whole or not at all. Raises `UserError` when it cannot be written."""
    buffer = io.BytesIO()
    torch.save(content, buffer)
    with saving(path):
        write_file(path, buffer.getbuffer())


@contextmanager
def saving(path: Path) -> Iterator[None]:
    """Inside the block, an `OSError` of writing `path` becomes a `UserError` that says how to go on."""
    try:
        yield
    except OSError as error:
        raise UserError(
            f"cannot save '{path}': {error.strerror or error}; what was saved before is whole: make room, and go on "
            "with --auto_resume"
        ) from error


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
