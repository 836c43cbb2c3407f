"""Whether the disk can hold the output, before hours of work."""

import shutil
from pathlib import Path

from datasets_prep.common.errors import UserError
from datasets_prep.common.text import told_apart
from mihatp_arch.inference.pyramid import Compression, Layout, Lossless

# Bytes for each px of level 0, with all coarser levels.
_TISSUE, _GLASS = 0.6, 0.06
_LOSSLESS = 5.0  # times as large
_COPIES = 2  # the store and the file


def check_disk(folder: Path, layout: Layout, *, computed: float, compression: Compression, stored: int) -> None:
    """Raise `UserError` when the disk is too full for the tile store and the file.

    Args:
        folder: where both are written; it exists.
        layout: sizes of the pyramid.
        computed: share of the tiles with tissue, 0 to 1.
        compression: how tiles are encoded.
        stored: bytes that the store has already.
    """
    each = (computed * _TISSUE + (1 - computed) * _GLASS) * (_LOSSLESS if isinstance(compression, Lossless) else 1)
    needed = _COPIES * each * layout.width * layout.height - stored
    free = shutil.disk_usage(folder).free
    if needed > free:
        there, wanted = told_apart(free / 1e9, needed / 1e9, digits=2)
        raise UserError(
            f"{folder} has {there} GB free, and about {wanted} GB are needed: free space, or name another folder"
        )
