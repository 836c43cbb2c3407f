"""Check the images of one split: that they decode, their sizes and hashes, and that LR belongs to HR."""

import hashlib
from collections.abc import Mapping
from itertools import islice

import numpy as np

from datasets_prep.check.findings import LISTED, Findings
from datasets_prep.check.lr_of_hr import EXACT, RGBImage, exact_cause, guess_source, registered_flaw
from datasets_prep.common.downscale import reduce_patch
from datasets_prep.common.errors import UserError
from datasets_prep.common.png import decode_rgb
from datasets_prep.dataset.lmdb_reader import LmdbReader
from datasets_prep.dataset.manifest import Row, lr_source_of

_GUESSED = 9  # number of pairs that tell how LR was made, when there is no manifest
_NOT_REDUCED = "LR is not that of its HR"


class SplitPixels:
    """The images of one split, key by key.

    Args:
        split: name of the split.
        readers: role (`HR`, `LR_x<scale>`) -> images.
        rows: key -> row of the manifest; None when there is no manifest.
        findings: receives what is wrong.
    """

    def __init__(
        self, split: str, readers: Mapping[str, LmdbReader], rows: Mapping[str, Row] | None, findings: Findings
    ) -> None:
        self._split = split
        self._readers = readers
        self._rows = rows
        self._by_sha1 = {row.sha1: key for key, row in rows.items()} if rows is not None else {}
        self._findings = findings
        self._scales = {role: int(role.removeprefix("LR_x")) for role in readers if role != "HR"}
        self._guessed: dict[str, str] = {}
        # The expected LR of every key, and every LR that differs. A swapped pair is recognised from both.
        self._expected: dict[str, dict[bytes, str]] = {role: {} for role in self._scales}  # role -> hash -> key
        self._wrong: list[tuple[str, str, bytes, str]] = []  # role, key, hash, why

    def guess(self) -> list[str]:
        """Find out how LR was made, when there is no manifest. Returns what cannot be checked."""
        notes = []
        for role, scale in self._scales.items():
            shared = (key for key in self._readers["HR"].sizes if key in self._readers[role])
            images = ((self._decode("HR", key), self._decode(role, key)) for key in islice(shared, _GUESSED))
            pairs = [
                (hr, lr)
                for hr, lr in images
                if not isinstance(hr, str) and not isinstance(lr, str) and _fits(hr, lr, scale)
            ]
            self._guessed[role] = source = guess_source(pairs, scale)
            if not source:
                notes.append(
                    f"{self._split}/{role}: neither the area mean of HR nor bicubic, so only its place is checked"
                )
        return notes

    def check(self, key: str) -> bytes | None:
        """Check the images of one key. Returns the SHA-1 of its HR pixels; None when HR cannot be read."""
        images = {role: self._load(role, key) for role, reader in self._readers.items() if key in reader}
        hr = images.get("HR")
        row = self._rows.get(key) if self._rows is not None else None
        sha1 = None
        if hr is not None:
            sha1 = hashlib.sha1(hr.data, usedforsecurity=False).digest()
            if row is not None and row.sha1 != sha1:
                other = self._by_sha1.get(sha1)
                cause = f": they are those of {other}" if other else ""
                self._add("hashes", "HR", key, f"its pixels are not those of manifest.csv{cause}")
        for role, scale in self._scales.items():
            lr = images.get(role)
            if hr is not None and lr is not None:
                source = lr_source_of(row.lr_source, scale) if row is not None else self._guessed.get(role, "")
                self._check_pair(key, role, hr, lr, source)
        return sha1

    def finish(self) -> None:
        """Report every wrong LR. Call it after all keys are checked: only then is a swapped pair recognised."""
        for role, key, digest, why in self._wrong:
            other = self._expected[role].get(digest)
            self._add(_NOT_REDUCED, role, key, f"is the LR of {other}: a swapped pair" if other else why)

    def _decode(self, role: str, key: str) -> RGBImage | str:
        """The image, [H, W, 3] uint8 RGB, or the reason why it cannot be read."""
        try:
            return decode_rgb(self._readers[role].get(key))
        except UserError as error:
            return str(error)

    def _load(self, role: str, key: str) -> RGBImage | None:
        image = self._decode(role, key)
        if isinstance(image, str):
            self._add("images that cannot be read", role, key, image)
            return None
        stated = self._readers[role].sizes[key]
        if image.shape[:2] != stated:
            self._add("sizes", role, key, f"is {_size(image)}, meta_info.txt says {_text(stated)}")
        return image

    def _check_pair(self, key: str, role: str, hr: RGBImage, lr: RGBImage, source: str) -> None:
        scale = self._scales[role]
        if not _fits(hr, lr, scale):
            self._add("sizes", role, key, f"is {_size(lr)}, HR is {_size(hr)}: not {scale} times that")
        elif source in EXACT:
            expected = reduce_patch(hr, scale, kernel=source)
            self._expected[role].setdefault(_digest(expected), key)
            if not np.array_equal(lr, expected):
                why = exact_cause(hr, lr, scale, source) if len(self._wrong) < LISTED else ""
                self._wrong.append((role, key, _digest(lr), why))
        else:
            flaw = registered_flaw(hr, lr, scale)
            if flaw:
                self._add(_NOT_REDUCED, role, key, flaw)

    def _add(self, kind: str, role: str, key: str, message: str) -> None:
        self._findings.add(kind, f"{self._split}/{role} {key}: {message}")


def _fits(hr: RGBImage, lr: RGBImage, scale: int) -> bool:
    return all(side == other * scale for side, other in zip(hr.shape[:2], lr.shape[:2], strict=True))


def _digest(image: RGBImage) -> bytes:
    return hashlib.blake2b(np.ascontiguousarray(image).data, digest_size=8).digest()


def _size(image: RGBImage) -> str:
    return _text((image.shape[0], image.shape[1]))


def _text(size: tuple[int, int]) -> str:
    return f"{size[1]}x{size[0]}"
