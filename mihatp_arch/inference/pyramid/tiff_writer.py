"""Write the pyramidal TIFF of a complete tile store: no tile is encoded again, and the file is checked before it shows.

The file has no time stamp and nothing else of the run. Equal stores and arguments give equal bytes.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import tifffile
from numpy.typing import NDArray

from datasets_prep.common.errors import UserError, reason_of
from datasets_prep.common.files import remove_partials, replacing
from datasets_prep.common.version import __version__
from mihatp_arch.inference.pyramid.encode import Jpeg
from mihatp_arch.inference.pyramid.flavours import FLAVOURS, Description, Flavour, Page, pages
from mihatp_arch.inference.pyramid.levels import TILE
from mihatp_arch.inference.pyramid.ome_colours import leave_out_subsampling
from mihatp_arch.inference.pyramid.tile_store import TileStore
from mihatp_arch.inference.pyramid.verify import verify

_CLASSIC_TIFF = 2**32 - 2**25  # bytes of tiles that leave room for the tags in a file with 32-bit offsets

__all__ = ["FLAVOURS", "Flavour", "write_tiff"]


def write_tiff(
    store: TileStore,
    output: Path,
    *,
    mpp: float,
    flavour: Flavour = "generic",
    icc: bytes | None = None,
    description: str,
    overwrite: bool = False,
) -> None:
    """Write the pyramid of a complete store, read it again with OpenSlide and tifffile, and only then name it `output`.

    Memory does not depend on the size of the image. When the function raises, `output` and the store are as before. The
    caller removes the store when it is not needed any more.

    Args:
        store: a store with all blocks. This process has it open, so no other process writes the same output.
        output: the file; its folder exists.
        mpp: µm per px of level 0.
        flavour: see `flavours.pages`.
        icc: ICC profile of the pixels.
        description: text for the reader of the file. The true size of the image is added.
        overwrite: whether the new file, when it is whole, may replace an existing one.

    Raises:
        ValueError: blocks are missing in the store.
        UserError: `output` exists, cannot be written, or reads back differently.
    """
    if not store.is_complete():
        raise ValueError(f"{store.path} has only {len(store.finished())} blocks of {store.layout.blocks}")
    if output.exists() and not overwrite:
        raise UserError(f"{output} exists: delete it or name another file")
    about = Description(store.layout, store.compression, mpp, description)
    try:
        remove_partials(output)
        with replacing(output) as partial:
            with tifffile.TiffWriter(partial, bigtiff=store.tile_bytes() > _CLASSIC_TIFF) as file:
                _write_pages(file, store, about, flavour=flavour, icc=icc)
            if flavour == "ome" and isinstance(store.compression, Jpeg):
                leave_out_subsampling(partial)
            verify(partial, store, mpp=mpp, flavour=flavour, icc=icc)
    except OSError as error:
        raise UserError(
            f"cannot write {output}: {reason_of(error)}; free space or make the folder writable: "
            f"the finished blocks are in {store.path}, and the same command resumes there"
        ) from error


def _write_pages(
    file: tifffile.TiffWriter, store: TileStore, about: Description, *, flavour: Flavour, icc: bytes | None
) -> None:
    common: dict[str, Any] = {"metadata": None, "software": f"MiHATP {__version__}", "iccprofile": icc}
    thumbnail = _thumbnail(store)
    for page in pages(flavour, about, thumbnail):
        if page.level is None:
            jpeg = {"compression": "jpeg", "photometric": "rgb", "subsampling": (1, 1)}  # rgb: of the input
            file.write(thumbnail, **common, **jpeg, **page.options)
        else:
            file.write(_tiles(store, page.level), **common, **_tiled(store, page), **page.options)


def _tiled(store: TileStore, page: Page) -> dict[str, Any]:
    width, height = store.layout.size(page.level or 0)
    return {"shape": (height, width, 3), "dtype": np.uint8, "tile": (TILE, TILE), **store.compression.tags()}


def _tiles(store: TileStore, level: int) -> Iterator[bytes]:
    """Yields the encoded tiles of a level, row by row."""
    rows, columns = store.layout.tiles(level)
    for row in range(rows):
        yield from (store.tile(level, row, column) for column in range(columns))


def _thumbnail(store: TileStore) -> NDArray[np.uint8]:
    """The coarsest level, [H, W, 3]: it is one tile."""
    level = store.layout.levels - 1
    width, height = store.layout.size(level)
    return store.compression.decode(store.tile(level, 0, 0))[:height, :width]
