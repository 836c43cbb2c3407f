"""Images that cannot be read: named in one line, whether this process or a worker reads them.

A worker cannot raise an error in the main process without its traceback. So a sample that cannot be read becomes a
mapping with the single key `UNREADABLE`, and so does its batch. The main process raises the error.
"""

import re
from collections.abc import Callable, Mapping
from typing import Any

import lmdb
from basicsr.utils.file_client import FileClient
from torch.utils.data import DataLoader, Dataset, default_collate

from datasets_prep.common.image_flaws import image_flaw
from datasets_prep.common.png import decode_rgb
from mihatp_arch.errors import UserError

UNREADABLE = "unreadable"  # key of the sample or batch that stands for one that cannot be read; its value is a sentence
_LAST = "last_read"  # attribute of a FileClient: the name and the bytes of the image that it read last
_NO_PAIR = re.compile(r"\W*(Scale mismatches|LQ \()")  # errors of BasicSR's paired_random_crop
_SIDES = {"gt": "the HR image ", "lq": "the LR image "}

_read = FileClient.get


def read_file(self: FileClient, filepath: Any, client_key: str = "default") -> bytes:
    """Stands in for `FileClient.get`: the bytes of an image, which are whole as far as their format shows it.

    Raises:
        UserError: the image is missing, damaged, or cannot be read.
    """
    name = _name(self, filepath, client_key)
    try:
        data = _read(self, filepath, client_key)
    except (OSError, lmdb.Error) as error:
        raise UserError(f"{name} cannot be read: {getattr(error, 'strerror', None) or error}") from error
    if data is None:
        raise UserError(f"{name} is missing")
    flaw = image_flaw(data)
    if flaw:
        raise UserError(f"{name} is damaged: {flaw}")
    setattr(self, _LAST, (name, data))
    return data


def _name(client: FileClient, filepath: Any, client_key: str) -> str:
    side = _SIDES.get(client_key, "")
    if client.backend != "lmdb":
        return f"{side}'{filepath}'"
    return f"{side}'{filepath}' in '{client.client._client[client_key].path()}'"


def read_sample(dataset: Any, index: int) -> Any:
    """`dataset[index]`, or the mapping of `UNREADABLE` where its images are missing, damaged or of wrong sizes."""
    try:
        return dataset[index]
    except UserError as error:
        return _unreadable(dataset, str(error))
    except (OSError, lmdb.Error) as error:  # the data cannot be opened
        return _unreadable(dataset, str(error))
    except Exception as error:
        # The decoder gave no image, or the images do not fit together. Every other error is a fault of a program.
        reason = _undecodable(dataset) or _misfit(dataset, index, error)
        if not reason:
            raise
        return _unreadable(dataset, reason)


def _unreadable(dataset: Any, reason: str) -> dict[str, str]:
    name = getattr(dataset, "opt", {}).get("name", "unnamed")
    return {UNREADABLE: f"data set '{name}': {reason}; replace this image, or leave it out of the data set"}


def _undecodable(dataset: Any) -> str:
    """A sentence about the image that was read last, if it cannot be decoded; else an empty text."""
    name, data = getattr(getattr(dataset, "file_client", None), _LAST, (None, b""))
    if name is None:
        return ""
    try:
        decode_rgb(data)
    except UserError as error:
        return f"{name} is damaged: {error}"
    return ""


def _misfit(dataset: Any, index: int, error: Exception) -> str:
    """A sentence about a pair whose HR is no multiple of LR, or is smaller than the crop; else an empty text."""
    if not (isinstance(error, ValueError) and _NO_PAIR.match(str(error))):
        return ""
    paths = getattr(dataset, "paths", [])
    names = paths[index] if index < len(paths) else None
    return f"'{names['gt_path']}': {error}" if isinstance(names, Mapping) and "gt_path" in names else ""


class SoundImages(Dataset[Any]):
    """A data set in which `UNREADABLE` stands for every sample that cannot be read. It keeps the options `opt`."""

    def __init__(self, dataset: Any) -> None:
        self.dataset = dataset
        self.opt: Mapping[str, Any] = dataset.opt

    def __len__(self) -> int:
        return len(self.dataset)

    def __getitem__(self, index: int) -> Any:
        return read_sample(self.dataset, index)


class Collate:
    """Makes a batch of samples; one unreadable sample makes its batch unreadable. Workers get a copy of it."""

    def __init__(self, collate: Callable[[list[Any]], Any] = default_collate) -> None:
        self.collate = collate

    def __call__(self, samples: list[Any]) -> Any:
        return next((sample for sample in samples if unreadable(sample)), None) or self.collate(samples)


def unreadable(batch: Any) -> str:
    """Why a sample or a batch cannot be read; empty where it can be read."""
    return str(batch.get(UNREADABLE, "")) if isinstance(batch, Mapping) else ""


def sound_loader(loader: DataLoader[Any]) -> None:
    """Let a loader whose samples come from `read_sample` give batches of `UNREADABLE`."""
    loader.collate_fn = Collate(loader.collate_fn)
