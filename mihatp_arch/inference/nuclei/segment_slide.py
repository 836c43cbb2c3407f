"""The nuclei of a whole slide: tiles through a HoVer-Net, post-processing in other processes, and stitching."""

import hashlib
import os
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from datasets_prep.common.errors import UserError, reason_of
from datasets_prep.common.executors import open_executor, run_all
from datasets_prep.common.files import make_folder, refuse_foreign, sha256_of
from datasets_prep.common.processes.progress import progress_bar
from datasets_prep.common.version import __version__
from datasets_prep.slides.protocol import SlideReader
from mihatp_arch.inference.nuclei.geojson import MARK, NucleusClass, classes_of, write_nuclei
from mihatp_arch.inference.nuclei.level import (
    NucleiLevel,
    NucleiTile,
    NucleiTiling,
    nuclei_level,
    nuclei_tiling,
    refuse_damage,
)
from mihatp_arch.inference.nuclei.load import load_nuclei_network, nuclei_weights
from mihatp_arch.inference.nuclei.morphometry import Nuclei
from mihatp_arch.inference.nuclei.options import NucleiOptions
from mihatp_arch.inference.nuclei.stitch import stitched
from mihatp_arch.inference.nuclei.store import NucleiStore
from mihatp_arch.inference.nuclei.tile_nuclei import TilePredictor, nuclei_of
from mihatp_arch.inference.pyramid import store_path
from mihatp_arch.inference.pyramid.database import delete_database
from mihatp_arch.inference.slides.tissue import Frame, slide_tissue
from mihatp_arch.inference.tiling import Tiling
from mihatp_arch.nuclei.windows import is_window, windows_of

_WINDOW = {"original": 558, "fast": 560}  # px; with those of the official code most of the time goes into margins
_PROCESSES = 8  # more than a GPU keeps busy


@dataclass(frozen=True)
class SlideNuclei:
    """The nuclei of a slide.

    Attributes:
        path: the slide.
        nuclei: in µm from the upper left corner of level 0.
        classes: of the types of the network; a single one where it does not classify.
        level: how it was read.
        origin: (x, y) level-0 px where the coordinates of viewers begin.
        size: width and height of the slide, µm.
        computed: whether each tile was computed, [rows, columns].
        core: side of a tile without its overlap, µm.
        notes: lines that the user should read.
    """

    path: Path
    nuclei: Nuclei
    classes: list[NucleusClass]
    level: NucleiLevel
    origin: tuple[int, int]
    size: tuple[float, float]
    computed: NDArray[np.bool_]
    core: float
    notes: tuple[str, ...]

    def covers(self, centres: NDArray[np.float64]) -> NDArray[np.bool_]:
        """Whether each centre lies in the slide, and in a tile that was computed, [N]; centres [N, 2] in µm."""
        inside = ((centres >= 0) & (centres < self.size)).all(axis=1)
        column, row = (centres // self.core).astype(int).clip(0, np.array(self.computed.shape[::-1]) - 1).T
        return inside & self.computed[row, column]


def segment_slide(
    path: Path, output: Path, options: NucleiOptions, *, overwrite: bool = False, progress: bool = True
) -> SlideNuclei:
    """Segment the nuclei of a slide, and write them as GeoJSON in level-0 px.

    Args:
        path: the slide, or a picture.
        output: the new GeoJSON.
        options: how.
        overwrite: replace an output that exists.
        progress: whether to show a progress bar on a terminal.

    Raises:
        UserError: the weights, the slide or the output cannot be used.
    """
    if output.suffix.lower() not in (".geojson", ".json"):
        raise UserError(f"-o {output}: nuclei are written as .geojson")
    if options.outlines is not None and options.outlines.absolute() == output.absolute():
        raise UserError(f"-o {output}: it is the file of --tissue: name another file")
    if output.exists() and not overwrite:
        raise UserError(f"{output} exists: delete it, name another file, or give --overwrite")
    refuse_foreign(output, MARK)
    try:
        make_folder(output.parent)
        result = find_nuclei(path, store_path(output), options, progress=progress)
        write_nuclei(output, [(result.nuclei, result.classes)], mpp=result.level.mpp, origin=result.origin)
        delete_database(store_path(output))
    except OSError as error:
        raise UserError(f"cannot write {output}: {reason_of(error)}") from error
    return result


def find_nuclei(path: Path, store: Path, options: NucleiOptions, *, progress: bool = True) -> SlideNuclei:
    """Segment the nuclei of a slide. A killed run resumes with the finished tiles in the store, which stays.

    Args:
        path: the slide, or a picture.
        store: SQLite file of the finished tiles.
        options: how.
        progress: whether to show a progress bar on a terminal.

    Raises:
        UserError: the weights, the slide or the store cannot be used.
    """
    network = load_nuclei_network(options.weights, device=options.device)
    with options.open(path) as slide:
        level = nuclei_level(slide, force=options.force, resolution=options.resolution_of(slide))
        refuse_damage(slide, level)
        tiling = nuclei_tiling(margin=network.margin, window=_window(network.mode, options.window), side=options.tile)
        computed, notes = _computed(slide, level, tiling, options)
        predictor = TilePredictor(network, slide, level, tiling, options.batch)
        tiles = list(tiling.tiles(computed, level.plan))
        with NucleiStore(store, config=_config(slide, level, tiling, computed, options)) as finished:
            _fill(finished, predictor, tiles, options, name=path.name if progress else None)
            nuclei = stitched(finished.tiles())
        width, height = slide.level_sizes[0]
        size = (width * level.mpp, height * level.mpp)
        core = tiling.core * level.plan.mpp
        classes = classes_of(network.nr_types, mode=network.mode)
        return SlideNuclei(path, nuclei, classes, level, slide.facts.origin, size, computed, core, notes)


def _window(mode: str, asked: int | None) -> int:
    if asked is not None and not is_window(asked, mode):
        raise UserError(f"--window {asked}: a network of mode {mode} takes {windows_of(mode)}")
    return asked or _WINDOW[mode]


def _computed(
    slide: SlideReader, level: NucleiLevel, tiling: NucleiTiling, options: NucleiOptions
) -> tuple[NDArray[np.bool_], tuple[str, ...]]:
    """Whether each tile is computed, [rows, columns], and notes. Pictures are computed whole: they are tissue."""
    is_picture = not slide.vendor
    like = Tiling(core=tiling.core, blend=1, halo=0, tiles=1)
    tissue = slide_tissue(
        slide,
        level.plan,
        like,
        outlines=options.outlines,
        frame=options.frame or Frame(level.mpp, slide.facts.origin),
        whole=options.whole or (is_picture and options.tissue is None),
    )
    notes = (*level.plan.notes, *tissue.notes)
    if not tissue.computed.any():
        notes = (*notes, "no tissue was found, so nothing is segmented: give its outlines with --tissue, or --whole")
    return tissue.computed, notes


def _fill(
    store: NucleiStore, predictor: TilePredictor, tiles: list[NucleiTile], options: NucleiOptions, *, name: str | None
) -> None:
    """Segment the tiles that the store lacks; the progress bar has `name`, None: it is not shown."""
    finished = store.finished()
    todo = [tile for tile in tiles if (tile.row, tile.column) not in finished]
    total, shown = predictor.windows(tiles), name is not None
    done = total - predictor.windows(todo)
    workers = options.workers or min(_PROCESSES, max(1, (os.cpu_count() or 1) - 1))
    with (
        progress_bar(total=total, initial=done, desc=name, unit="window", shown=shown) as bar,
        open_executor(workers=min(workers, max(1, len(todo))), scheduler=None) as (executor, at_once),
    ):
        tasks = ((maps.tile, (maps,)) for maps in predictor.maps(todo, on_windows=bar.update))
        for tile, nuclei in run_all(executor, nuclei_of, tasks, at_once=at_once):
            store.commit(tile.row, tile.column, nuclei)


def _config(
    slide: SlideReader, level: NucleiLevel, tiling: NucleiTiling, computed: NDArray[np.bool_], options: NucleiOptions
) -> dict[str, Any]:
    """Everything that the nuclei depend on."""
    status = slide.path.stat()
    return {
        "version": __version__,
        "weights": sha256_of(nuclei_weights(options.weights)),
        "slide": [slide.path.name, status.st_size, status.st_mtime_ns],
        "level": level.plan.level,
        "zoom": level.zoom,
        "mpp": level.mpp,
        "tiles": asdict(tiling),
        "tissue (hash of its tiles)": hashlib.sha256(computed.tobytes()).hexdigest()[:8],
    }
