"""Extraction job: read HR patches at given coordinates, filter them by quality, make LR, encode as PNG, store shards.

A shard has the patches of one source at up to 64 coordinates, in one file of the work folder. A job makes several
shards of one source, because opening a slide and comparing its decoders takes as long as ten to thirty patches.
"""

import hashlib
import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import msgspec
import numpy as np
from numpy.typing import NDArray

from datasets_prep.common.downscale import area_reduce, reduce_patch
from datasets_prep.common.errors import UserError
from datasets_prep.common.files import write_file
from datasets_prep.common.png import encode_png
from datasets_prep.patches.grid import Coordinates
from datasets_prep.patches.options import QualityFilter, ScanOptions
from datasets_prep.patches.quality import find_flaw
from datasets_prep.patches.scan import open_reader
from datasets_prep.patches.scan_results import Scan
from datasets_prep.patches.sources import Source
from datasets_prep.slides.protocol import SlideReader
from datasets_prep.slides.pyramid_lr import read_lr


class Patch(msgspec.Struct, frozen=True, kw_only=True):
    """One accepted patch.

    Attributes:
        key: name in the LMDBs.
        slide, patient: name of the source, and of its patient.
        x, y: upper left corner, level-0 px.
        reduction: how many times level 0 is reduced to give HR.
        mpp: µm per HR pixel; None when it is unknown.
        tissue: share of tissue, 0 to 1; None when it is unknown.
        lr_source: source of LR as text, see `pyramid_lr.describe`.
        sha1: hash of the HR pixels, [H, W, 3] uint8 RGB.
        images: role (`HR`, `LR_x2`, …) -> PNG bytes.
    """

    key: str
    slide: str
    patient: str
    x: int
    y: int
    reduction: int
    mpp: float | None
    tissue: float | None
    lr_source: str
    sha1: str
    images: dict[str, bytes]


@dataclass(frozen=True)
class Shard:
    """What is to be extracted.

    Attributes:
        coordinates: upper left corners of the patches, [N, 2] in level-0 px.
        shares: tissue share of each patch, [N]; NaN when it is unknown.
        results: path of the results, without an ending.
    """

    coordinates: Coordinates
    shares: NDArray[np.float32]
    results: Path


class ShardResult(msgspec.Struct, frozen=True, kw_only=True):
    """What an extraction job reports of a shard.

    Attributes:
        failed: why the source cannot be used; empty when the job succeeded.
        examined: number of coordinates.
        accepted: number of patches that passed the quality filter.
        rejected: flaw -> number of patches that were rejected for it.
        rejected_at: (x, y, flaw) of each rejected patch.
    """

    failed: str = ""
    examined: int = 0
    accepted: int = 0
    rejected: dict[str, int] = {}
    rejected_at: list[tuple[int, int, str]] = []


def extract_shards(
    source: Source, scanned: Scan, shards: Sequence[Shard], options: ScanOptions, quality: QualityFilter
) -> list[ShardResult]:
    """Extract the patches of some shards of one source and store the accepted ones in `<results>.patches` of each.

    `<results>.json` is written last: it says that the shard is complete. When the source cannot be read, the last
    `ShardResult` gives the reason, and no file is written for this shard and those after it.

    Args:
        source: the slide or image tile.
        scanned: its scan.
        shards: what is to be extracted.
        options: the options of the scan.
        quality: the quality filter.

    Returns:
        One result for each shard, in their order, up to the first that failed.
    """
    done: list[ShardResult] = []
    try:
        with open_reader(source, options) as reader:
            for shard in shards:
                done.append(_extract(reader, source, scanned, shard, options, quality))
    except UserError as error:
        done.append(ShardResult(failed=str(error)))
    return done


def _extract(
    reader: SlideReader, source: Source, scanned: Scan, shard: Shard, options: ScanOptions, quality: QualityFilter
) -> ShardResult:
    patches: list[Patch] = []
    rejected: list[tuple[int, int, str]] = []
    side = options.patch_size * scanned.reduction
    for (x, y), share in zip(shard.coordinates.tolist(), shard.shares.tolist(), strict=True):
        hr = reader.read(x, y, side, side)
        hr = hr if scanned.reduction == 1 else area_reduce(hr, scanned.reduction)
        flaw = find_flaw(hr, quality)
        if flaw is not None:
            rejected.append((x, y, flaw))
            continue
        images = {"HR": encode_png(hr)}
        for scale, lr in _lr_images(reader, scanned, hr, x, y, options).items():
            images[f"LR_x{scale}"] = encode_png(lr)
        patches.append(_patch(source, scanned, hr, x, y, share, images))
    flaws = Counter(flaw for _, _, flaw in rejected)
    examined = len(shard.coordinates)
    result = ShardResult(examined=examined, accepted=len(patches), rejected=dict(flaws), rejected_at=rejected)
    write_file(shard.results.with_suffix(".patches"), msgspec.msgpack.encode(patches))
    write_file(shard.results.with_suffix(".json"), msgspec.json.encode(result))
    return result


def _patch(
    source: Source, scanned: Scan, hr: NDArray[np.uint8], x: int, y: int, share: float, images: dict[str, bytes]
) -> Patch:
    return Patch(
        key=f"{source.key}_{x}_{y}",
        slide=source.name,
        patient=source.patient,
        x=x,
        y=y,
        reduction=scanned.reduction,
        mpp=scanned.mpp and scanned.mpp * scanned.reduction,
        tissue=None if math.isnan(share) else share,
        lr_source=scanned.lr_source,
        sha1=hashlib.sha1(hr.tobytes(), usedforsecurity=False).hexdigest(),
        images=images,
    )


def _lr_images(
    reader: SlideReader, scanned: Scan, hr: NDArray[np.uint8], x: int, y: int, options: ScanOptions
) -> dict[int, NDArray[np.uint8]]:
    """Scale -> LR image of the patch `hr` at (x, y)."""
    levels = scanned.level_sources()
    kernel = "bicubic" if options.lr == "bicubic" else "area"
    side = options.patch_size * scanned.reduction
    return {
        scale: read_lr(reader, x, y, side, scale * scanned.reduction, levels[scale])
        if scale in levels
        else reduce_patch(hr, scale, kernel=kernel)
        for scale in options.scales
    }


def read_shard(results: Path) -> list[Patch]:
    """The patches of one shard, in the order of their coordinates."""
    return msgspec.msgpack.decode(results.with_suffix(".patches").read_bytes(), type=list[Patch])
