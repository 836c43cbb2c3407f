"""A view as a folder of files. A browser shows it from the disk or from any web server, without this program."""

import re
import shutil
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from datasets_prep.common.atomic_folder import Signature, atomic_folder, refuse_existing
from datasets_prep.common.cores import usable_cores
from datasets_prep.common.errors import UserError
from datasets_prep.common.processes.progress import progress_bar
from mihatp_viewer.page_data import SCENE, outlines_script, page_files, scene_script
from mihatp_viewer.scene import Scene
from mihatp_viewer.tiles import Encoding, Tiles

_SIGNATURE: Signature = {SCENE: r"MiHATP\.scene = "}
_TILES = r"tiles/[0-9]+/[0-9]+/[0-9]+_[0-9]+\.(png|jpg)|layers/[0-9]+\.js"
_QUALITIES = range(1, 101)


def refuse_export(folder: Path, *, overwrite: bool, quality: int | None) -> None:
    """Raise `UserError` where a view cannot be written to `folder`, or `quality` is wrong."""
    if quality is not None and quality not in _QUALITIES:
        raise UserError(f"--quality {quality}: give 1 to 100, or leave it out for PNG without loss")
    refuse_existing(folder, overwrite=overwrite, signature=_SIGNATURE, files=_files())


def export_scene(scene: Scene, folder: Path, *, overwrite: bool = False, quality: int | None = None) -> int:
    """Write the page and all tiles of a scene; the folder appears whole or not at all.

    Args:
        scene: what is shown.
        folder: new; `index.html` is the page.
        overwrite: whether an older view in `folder` may be replaced.
        quality: of JPEG; None: PNG, without loss.

    Returns:
        The number of tiles.

    Raises:
        UserError: the folder exists, cannot be written, or a tile cannot be decoded.
    """
    refuse_export(folder, overwrite=overwrite, quality=quality)
    encoding: Encoding = "png" if quality is None else "jpg"
    with atomic_folder(folder, overwrite=overwrite, signature=_SIGNATURE, files=_files()) as partial:
        for file in page_files():
            shutil.copyfile(file, partial / file.name)
        (partial / SCENE).write_bytes(scene_script(scene, encoding=encoding))
        (partial / "layers").mkdir()
        for number, layer in enumerate(scene.layers):
            if layer.outlines is not None:
                (partial / "layers" / f"{number}.js").write_bytes(outlines_script(layer, number))
        return _write_tiles(scene, partial / "tiles", encoding, quality)


def _files() -> str:
    """A regular expression of the files that `export_scene` writes, and of no others."""
    return "|".join([_TILES, *(re.escape(name) for name in (SCENE, *(file.name for file in page_files())))])


def _write_tiles(scene: Scene, folder: Path, encoding: Encoding, quality: int | None) -> int:
    jobs = [
        (tiles, folder / str(number), tile, encoding if number < scene.images else "png", quality)
        for number, tiles in enumerate(scene.tiles)
        for tile in _places(tiles)
    ]
    for image, level in {(image, level) for _, image, (level, _, _), _, _ in jobs}:
        (image / str(level)).mkdir(parents=True)
    with ThreadPoolExecutor(usable_cores()) as pool:
        written = pool.map(lambda job: _write_tile(*job), jobs)
        for _ in progress_bar(written, total=len(jobs), desc="tiles", unit="tile"):
            pass
    return len(jobs)


def _places(tiles: Tiles) -> Iterator[tuple[int, int, int]]:
    """(level, column, row) of each tile."""
    for level, (columns, rows) in enumerate(tiles.levels):
        yield from ((level, column, row) for row in range(rows) for column in range(columns))


def _write_tile(
    tiles: Tiles, folder: Path, tile: tuple[int, int, int], encoding: Encoding, quality: int | None
) -> None:
    level, column, row = tile
    data = tiles.encoded(level, column, row, encoding=encoding, quality=quality or 90)
    (folder / str(level) / f"{column}_{row}.{encoding}").write_bytes(data)
