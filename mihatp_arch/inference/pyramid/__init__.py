"""From finished SR squares to a pyramidal TIFF, by way of a store on the disk that survives a kill.

The parts and how to call them:

    layout = Layout(width, height, block_size=2048)                           # levels.py, SR px
    compression = Jpeg(quality=90, subsampling="444")                         # encode.py, or Lossless()
    with TileStore.open(store_path(output), layout, compression=compression, config={...}) as store:
        for row, column in the blocks that are not in store.finished():
            before = store.seams(row, column - 1)                             # dict[str, bytes]
            store.commit(row, column, square, seams={...}, maps={...})        # one transaction
        for strip in store.map_strips("inconsistency"): ...                   # [h, w] of a row of blocks, as committed
        write_tiff(store, output, mpp=mpp, flavour="generic", icc=icc, description=text)
        store.remove()

A process that is killed between `write_tiff` and `store.remove` leaves a complete store beside the complete file. So
where the output and its store exist, the next start writes the same file again, with `overwrite=True`.
"""

from mihatp_arch.inference.pyramid.encode import Compression, Jpeg, Lossless
from mihatp_arch.inference.pyramid.flavours import refuse_name
from mihatp_arch.inference.pyramid.levels import TILE, Layout, level_count
from mihatp_arch.inference.pyramid.tiff_writer import FLAVOURS, Flavour, write_tiff
from mihatp_arch.inference.pyramid.tile_store import TileStore, store_path

__all__ = [
    "FLAVOURS",
    "TILE",
    "Compression",
    "Flavour",
    "Jpeg",
    "Layout",
    "Lossless",
    "TileStore",
    "level_count",
    "refuse_name",
    "store_path",
    "write_tiff",
]
