"""From places to patches: read, judged, reduced and encoded by whoever has the time, filed in pieces."""

import hashlib
import math
from collections import Counter
from pathlib import Path

import msgspec
import numpy as np
from numpy.typing import NDArray

from datasets_prep.common.downscale import reduce_patch
from datasets_prep.common.errors import UserError
from datasets_prep.common.files import write_file
from datasets_prep.dataset.lmdb_writer import encode_png
from datasets_prep.patches.quality import Quality
from datasets_prep.patches.scan import Opened, Scan, ScanOptions, level_sources, open_source
from datasets_prep.patches.selection import Places
from datasets_prep.patches.sources import Source
from datasets_prep.slides.openslide import Slide
from datasets_prep.slides.pyramid_lr import read_lr


class Record(msgspec.Struct, frozen=True, kw_only=True):
    """One patch: where it is from, and its images as PNG by role (`HR`, `LR_x2`, …).

    `x`, `y` are its upper left corner in level-0 pixels; `tissue` and `mpp` are None where they are not known.
    """

    key: str
    slide: str
    patient: str
    x: int
    y: int
    mpp: float | None
    tissue: float | None
    lr_source: str
    sha1: str  # of the H×W×3 uint8 RGB pixels of HR
    images: dict[str, bytes]


class Cut(msgspec.Struct, frozen=True, kw_only=True):
    """What became of the places of one piece; `failed` says why the source cannot be used after all."""

    failed: str = ""
    examined: int = 0
    accepted: int = 0
    rejected: dict[str, int] = {}


def cut(
    source: Source,
    found: Scan,
    places: Places,
    shares: NDArray[np.float32],
    options: ScanOptions,
    quality: Quality,
    results: Path,
) -> Cut:
    """Cut the patches at `places` (N×2) of one source; those that are good are filed in `<results>.patches`.

    `<results>.json` comes last and says that the file is whole. What is wrong with the source is in the answer, which
    then leaves no file.

    Args:
        source: the slide or tile.
        found: what `scan` said of it.
        places: corners in level-0 pixels.
        shares: of tissue in each patch (NaN: not known).
        options: as for the scan.
        quality: what a patch must reach.
        results: where the results go, without an ending.
    """
    records: list[Record] = []
    rejected: Counter[str] = Counter()
    try:
        with open_source(source, options) as opened:
            for (x, y), share in zip(places.tolist(), shares.tolist(), strict=True):
                hr = opened.read(x, y, options.patch_size, options.patch_size)
                flaw = quality.flaw(hr)
                if flaw:
                    rejected[flaw] += 1
                    continue
                images = {"HR": encode_png(hr)}
                for scale, lr in _lr_images(opened, found, hr, x, y, options).items():
                    images[f"LR_x{scale}"] = encode_png(lr)
                records.append(
                    Record(
                        key=f"{source.key}_{x}_{y}",
                        slide=source.name,
                        patient=source.patient,
                        x=x,
                        y=y,
                        mpp=found.mpp,
                        tissue=None if math.isnan(share) else share,
                        lr_source=found.lr_source,
                        sha1=hashlib.sha1(hr.tobytes(), usedforsecurity=False).hexdigest(),
                        images=images,
                    )
                )
    except UserError as error:
        return Cut(failed=str(error))
    done = Cut(examined=len(places), accepted=len(records), rejected=dict(rejected))
    write_file(results.with_suffix(".patches"), msgspec.msgpack.encode(records))
    write_file(results.with_suffix(".json"), msgspec.json.encode(done))
    return done


def _lr_images(
    opened: Opened, found: Scan, hr: NDArray[np.uint8], x: int, y: int, options: ScanOptions
) -> dict[int, NDArray[np.uint8]]:
    """Scale -> LR of the field of `hr`."""
    levels = level_sources(found)
    kernel = "bicubic" if options.lr == "bicubic" else "area"
    return {
        scale: read_lr(opened, x, y, options.patch_size, scale, levels[scale])
        if isinstance(opened, Slide) and scale in levels
        else reduce_patch(hr, scale, kernel=kernel)
        for scale in options.scales
    }


def read_patches(results: Path) -> list[Record]:
    """The patches of one piece, in the order in which they were cut."""
    return msgspec.msgpack.decode(results.with_suffix(".patches").read_bytes(), type=list[Record])
