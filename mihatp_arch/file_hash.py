"""Whether a file of weights has the bytes that were written: by a SHA-256 inside the file, and by the CRCs of a zip.

`.pth` and `.state` are zip archives; the hash is their comment. In `.safetensors` and `.onnx` it is a value of the
metadata. It is the hash of the file with 64 zeros in its place. Files of other programs have none.
"""

import hashlib
import io
import re
import struct
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from mihatp_arch.errors import UserError, reason_of

KEY = "file_hash"  # in the metadata
BLANK = "mihatp-sha256:" + 64 * "0"  # the value before `fill_in`
_VALUE = re.compile(rb"mihatp-sha256:([0-9a-f]{64})")
_VALUE_START = b"mihatp-sha256"
_ZIP = b"PK\x03\x04"
_ZIP_END = b"PK\x05\x06"
_ZIP_END_LENGTH = 22  # bytes of the last record without its comment, whose length is its last two bytes
_PART = 2**20  # bytes that are read at once
# What zipfile raises for an archive that is damaged.
_DAMAGE = (
    EOFError,
    LookupError,
    NotImplementedError,
    OverflowError,
    RuntimeError,
    ValueError,
    struct.error,
    zipfile.BadZipFile,
    zlib.error,
)


def add_to_archive(archive: io.BytesIO) -> None:
    """Put the hash into a zip archive without a comment, as `torch.save` writes it."""
    comment = BLANK.encode()
    end = archive.seek(-2, io.SEEK_END)
    if archive.getbuffer()[end - _ZIP_END_LENGTH + 2 :][:4] != _ZIP_END:
        raise ValueError("this archive has a comment already")
    archive.write(len(comment).to_bytes(2, "little") + comment)
    _fill_in(archive, end + 2 + len(comment) - 64)


def fill_in(path: Path) -> None:
    """Put the hash of a file in the place of `BLANK` in it."""
    with path.open("r+b") as file:
        match = _VALUE.search(file.read())
        if match is None or match[0] != BLANK.encode():
            raise ValueError(f"'{path}' has no place for its hash")
        _fill_in(file, match.start(1))


def refuse_damaged(path: Path) -> None:
    """Raise `UserError` if the bytes of a file of weights are not those that were written, or cannot be read.

    A zip archive needs sound records; a file with a hash needs the bytes that the hash is of. The whole file is read:
    about 0.1 s for 100 MB.
    """
    try:
        with path.open("rb") as file:
            reason = _damage(file, path.suffix)
    except FileNotFoundError:
        raise UserError(f"there is no file '{path}'") from None
    except OSError as error:
        raise UserError(f"'{path}' cannot be read: {reason_of(error)}") from error
    if reason:
        raise UserError(f"'{path}' is damaged: {reason}; take another copy of it")


def _damage(file: BinaryIO, suffix: str) -> str | None:
    if suffix == ".safetensors":
        length, size = int.from_bytes(file.read(8), "little"), file.seek(0, io.SEEK_END)
        file.seek(8)
        return _other_hash(file, file.read(min(length, size)), start=8)
    if suffix == ".onnx":
        return _other_hash(file, file.read(), start=0)
    if file.read(len(_ZIP)) != _ZIP:
        return None  # of the older format of torch, which has neither hash nor CRCs
    size = file.seek(0, io.SEEK_END)
    tail_start = max(0, size - len(BLANK))
    file.seek(tail_start)
    tail = file.read()
    if _VALUE.fullmatch(tail):
        return _other_hash(file, tail, start=tail_start)
    file.seek(max(0, size - _ZIP_END_LENGTH))
    end = file.read()
    if not end.startswith(_ZIP_END) or not end.endswith(b"\0\0"):
        return "the end of the archive is missing, or bytes follow it"
    return _damaged_record(file)


def _other_hash(file: BinaryIO, text: bytes, *, start: int) -> str | None:
    """Why the hash in `text`, which begins at byte `start`, is not that of the file. None also where there is none."""
    match = _VALUE.search(text)
    if match is None:
        return "its hash cannot be read" if _VALUE_START in text or KEY.encode() in text else None
    if _digest(file, start + match.start(1)) != match[1]:
        return "its SHA-256 is not the one that was stored in it"
    return None


def _damaged_record(file: BinaryIO) -> str | None:
    """The first record of a zip archive whose CRC is not the stored one."""
    try:
        with zipfile.ZipFile(file) as archive:
            record = archive.testzip()
    except _DAMAGE as error:
        return f"its archive cannot be read ({error})"
    return None if record is None else f"the CRC of its record '{record}' is not the stored one"


def _digest(file: BinaryIO, hash_start: int) -> bytes:
    """The SHA-256 of the file with 64 zeros from `hash_start` on, in hexadecimal."""
    digest = hashlib.sha256()
    for part in _parts(file, 0, hash_start):
        digest.update(part)
    digest.update(64 * b"0")
    for part in _parts(file, hash_start + 64, None):
        digest.update(part)
    return digest.hexdigest().encode()


def _parts(file: BinaryIO, start: int, end: int | None) -> Iterator[bytes]:
    file.seek(start)
    while part := file.read(_PART if end is None else min(_PART, end - file.tell())):
        yield part


def _fill_in(file: BinaryIO, hash_start: int) -> None:
    digest = _digest(file, hash_start)
    file.seek(hash_start)
    file.write(digest)
