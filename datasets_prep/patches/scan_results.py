"""Files that a scan leaves in the work folder: candidates, tissue outline, mask and overview of one source."""

import io
from pathlib import Path

import cv2
import msgspec
import numpy as np
from numpy.typing import NDArray

from datasets_prep.common.errors import UserError
from datasets_prep.common.files import write_file
from datasets_prep.patches.grid import Coordinates
from datasets_prep.slides.pyramid_lr import LevelSource
from datasets_prep.tissue.clam import mask_outlines
from datasets_prep.tissue.geojson import write_geojson
from datasets_prep.tissue.segmentation import Tissue

IMAGE_ENDINGS = (".geojson", "_artefacts.json", "_mask.png", "_overview.jpg")  # what `write_tissue_images` writes
_OVERVIEW = 1024  # px, longer side of the overview on the data card
_CANDIDATE = [("x", "<i4"), ("y", "<i4"), ("tissue", "<f4")]


class Scan(msgspec.Struct, frozen=True, kw_only=True):
    """The result of scanning one source. A field is None, or empty, where it does not apply (image tiles).

    Attributes:
        failed: why the source cannot be used; empty for a usable one.
        width, height: size of level 0, px.
        mpp: µm per level-0 pixel.
        mpp_source: where `mpp` comes from (`slides/resolution.py`).
        reduction: how many times level 0 is reduced to give HR.
        vendor: name of the file format.
        preset: tissue preset that gave the regions, or `mask` for a corrected outline.
        tissue_mm2: area of the tissue, mm².
        pen_share, black_share: share of the overview's pixels, 0 to 1.
        candidates: number of candidate patches.
        levels: scale -> (level, remaining reduction), for scales that are read from a level; others are made from HR.
        lr_source: the source of LR as text, see `pyramid_lr.describe`.
        registrations: scale -> (shift, MAD, PSNR) of LR against reduced HR, see `registration.Registration`; PSNR is
            None where they are equal.
        scanner, icc, origin: see `SlideFacts`; `icc` is the SHA-256 of the profile.
        notes: remarks for `slides.csv`.
    """

    failed: str = ""
    width: int | None = None
    height: int | None = None
    mpp: float | None = None
    mpp_source: str = ""
    reduction: int = 1
    vendor: str = ""
    preset: str = ""
    tissue_mm2: float | None = None
    pen_share: float | None = None
    black_share: float | None = None
    candidates: int = 0
    levels: dict[int, tuple[int, int]] = {}
    lr_source: str = ""
    registrations: dict[int, tuple[float, float, float | None]] = {}
    scanner: str = ""
    icc: str = ""
    origin: tuple[int, int] = (0, 0)
    notes: list[str] = []

    def level_sources(self) -> dict[int, LevelSource]:
        """The scales that are read from the slide's own levels."""
        return {k: LevelSource(level, rest) for k, (level, rest) in self.levels.items()}


def write_candidates(results: Path, coordinates: Coordinates, shares: NDArray[np.floating]) -> None:
    """Write coordinates, [N, 2], and tissue shares, [N], to `<results>.npy`."""
    table = np.empty(len(coordinates), _CANDIDATE)
    table["x"], table["y"], table["tissue"] = coordinates[:, 0], coordinates[:, 1], shares
    with io.BytesIO() as buffer:
        np.save(buffer, table)
        write_file(results.with_suffix(".npy"), buffer.getvalue())


def read_candidates(results: Path) -> tuple[Coordinates, NDArray[np.float32]]:
    """Read the coordinates, [N, 2], and tissue shares, [N] (NaN for image tiles), of the candidates of a source."""
    table = np.load(results.with_suffix(".npy"), allow_pickle=False)
    return np.stack([table["x"], table["y"]], axis=-1), table["tissue"]


def write_tissue_images(
    results: Path,
    rgb: NDArray[np.uint8],
    tissue: Tissue,
    *,
    scale: tuple[float, float],
    origin: tuple[int, int],
) -> None:
    """Write the outlines `<results>.geojson`, `…_artefacts.json`, `…_mask.png` and a small `…_overview.jpg`.

    Args:
        results: path without an ending.
        rgb: overview of the slide, [H, W, 3] uint8.
        tissue: tissue on this overview.
        scale: (sx, sy), level-0 px per pixel of the overview.
        origin: (x, y) of the viewer's origin, which the outline begins at (`SlideFacts.origin`).
    """
    reduce = max(1, -(-max(rgb.shape) // _OVERVIEW))
    size = (max(1, rgb.shape[1] // reduce), max(1, rgb.shape[0] // reduce))
    small = cv2.resize(rgb, size, interpolation=cv2.INTER_AREA)
    for suffix, ending, image, quality in (
        ("_overview.jpg", ".jpg", small[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, 90]),
        ("_mask.png", ".png", 255 * tissue.mask, [cv2.IMWRITE_PNG_BILEVEL, 1]),
    ):
        done, data = cv2.imencode(ending, image, quality)
        if not done:
            raise UserError(f"{results}{suffix} could not be encoded")
        write_file(results.with_name(results.name + suffix), data.tobytes())
    artefacts = mask_outlines(tissue.artefacts, scale=scale)
    write_geojson(results.with_name(f"{results.name}_artefacts.json"), artefacts, name="Artefact", origin=origin)
    write_geojson(results.with_suffix(".geojson"), tissue.regions, excluded=tissue.excluded, origin=origin)
