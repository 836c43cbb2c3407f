"""Coordinates of patches in HDF5, as CLAM and TRIDENT write them, and as CLAM reads them."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from datasets_prep.common.errors import UserError
from datasets_prep.common.files import replacing

_NAME = "coords"
_FARTHEST = 2**31 - 1  # px; coordinates are stored in 32 bits


@dataclass(frozen=True)
class Stated:
    """The patches of a file.

    Attributes:
        coordinates: upper left corners, [N, 2] int64, level-0 px.
        side: side of the patches, level-0 px.
    """

    coordinates: NDArray[np.int64]
    side: int


def read_coordinates(path: Path) -> Stated:
    """Read a file of CLAM (`patches/<slide>.h5`) or TRIDENT (`patches/<slide>_patches.h5`).

    Raises:
        UserError: the file cannot be read, has no coordinates, or does not say how large the patches are.
    """
    import h5py  # a tenth of a second

    try:
        with h5py.File(path, "r") as file:
            stored: Any = file.get(_NAME)
            if stored is None or not hasattr(stored, "attrs"):
                raise UserError(f"{path} has no dataset {_NAME!r}: give the files of coordinates of CLAM or TRIDENT")
            coordinates = np.asarray(stored[()])
            attributes = dict(file.attrs) | dict(stored.attrs)
    except UserError:
        raise
    except (OSError, ValueError, KeyError, RuntimeError, TypeError) as error:
        raise UserError(f"{path} cannot be read as HDF5 ({' '.join(str(error).split())}): fetch it again") from error
    if coordinates.ndim == 3 and coordinates.shape[0] == 1:  # TRIDENT's files of features
        coordinates = coordinates[0]
    if coordinates.ndim != 2 or coordinates.shape[1] != 2 or coordinates.dtype.kind not in "iuf":
        raise UserError(
            f"{path}: {_NAME} is {coordinates.dtype} {list(coordinates.shape)}, not one (x, y) for each patch"
        )
    if not np.isfinite(coordinates).all() or (np.abs(coordinates.astype(np.float64)) > _FARTHEST).any():
        raise UserError(f"{path}: some coordinates lie on no slide: write the file again")
    return Stated(np.rint(coordinates).astype(np.int64), _side(path, attributes))


def _side(path: Path, attributes: Mapping[str, Any]) -> int:
    """Side of the patches, level-0 px, from the attributes of CLAM or TRIDENT."""
    try:
        if "patch_size_level0" in attributes:
            side = float(attributes["patch_size_level0"])
        elif "level0_magnification" in attributes and "target_magnification" in attributes:
            ratio = float(attributes["level0_magnification"]) / float(attributes["target_magnification"])
            side = float(attributes["patch_size"]) * ratio
        else:
            reduced = float(np.ravel(attributes["downsample"])[0]) if int(attributes["patch_level"]) else 1.0
            side = float(attributes["patch_size"]) * int(reduced + 0.01)  # CLAM's steps are whole numbers
    except (KeyError, ValueError, TypeError, ZeroDivisionError, IndexError) as error:
        raise UserError(
            f"{path} does not say how large its patches are ({error}): give the file of coordinates, not of features"
        ) from error
    if not 1 <= side <= _FARTHEST:
        raise UserError(f"{path} has patches of {side:g} px: write the file again")
    return round(side)


@dataclass(frozen=True)
class Chosen:
    """The patches of a data set at stated coordinates.

    Attributes:
        coordinates: upper left corners, [N, 2] int32, row by row.
        note: one sentence on the coordinates.
    """

    coordinates: NDArray[np.int32]
    note: str


def choose_patches(stated: Stated, *, size: tuple[int, int], side: int, step: int, path: Path) -> Chosen:
    """The patches of `side` px within stated patches that lie in the slide and do not overlap.

    A larger stated patch is divided into as many whole patches as fit, from its upper left corner.

    Args:
        stated: the content of the file.
        size: (width, height) of level 0, px.
        side: side of a patch, level-0 px.
        step: corners are moved to the upper left, to a multiple of it, as LR from the slide's levels needs it.
        path: the file, for error messages.

    Raises:
        UserError: the stated patches are smaller than `side`, or none can be used.
    """
    n = stated.side // side
    if n < 1:
        raise UserError(
            f"{path} has patches of {stated.side} px of level 0, {side} px are needed: use a smaller --patch-size, or "
            "make larger patches"
        )
    shifts = np.stack(np.meshgrid(np.arange(n), np.arange(n)), axis=-1).reshape(-1, 2) * side
    all_corners = (stated.coordinates[:, None] + shifts).reshape(-1, 2) // step * step
    inside = (all_corners >= 0).all(axis=1) & (all_corners + side <= np.array(size)).all(axis=1)
    corners = _apart(np.unique(all_corners[inside], axis=0), side)
    if not len(corners):
        raise UserError(f"{path}: none of its {len(stated.coordinates)} coordinates gives a patch within the slide")
    order = np.lexsort((corners[:, 0], corners[:, 1]))
    outside, overlapping = np.count_nonzero(~inside), np.count_nonzero(inside) - len(corners)
    left_out = [f"{count} {why}" for count, why in ((outside, "outside"), (overlapping, "overlapping")) if count]
    note = f"{len(corners)} patches at the {len(stated.coordinates)} coordinates of {path.name}"
    if left_out:
        note += f"; left out: {', '.join(left_out)}"
    return Chosen(corners[order].astype(np.int32), note)


def _apart(corners: NDArray[np.int64], side: int) -> NDArray[np.int64]:
    """The corners of the patches that overlap none before them, in the order of `corners`."""
    taken: dict[tuple[int, int], tuple[int, int]] = {}  # at most one corner lies in a cell of side×side px
    mine = []
    for x, y in corners.tolist():
        column, row = x // side, y // side
        near = (taken.get((column + i, row + j)) for i in (-1, 0, 1) for j in (-1, 0, 1))
        if not any(at is not None and abs(at[0] - x) < side and abs(at[1] - y) < side for at in near):
            taken[column, row] = (x, y)
            mine.append((x, y))
    return np.array(mine, np.int64).reshape(-1, 2)


def write_coordinates(
    path: Path, coordinates: NDArray[np.integer], *, side: int, size: tuple[int, int], name: str
) -> None:
    """Write coordinates as CLAM's `create_patches_fp.py` does; its `extract_features_fp.py` reads them.

    Args:
        path: the new file; it is written whole or not at all.
        coordinates: upper left corners, [N, 2], level-0 px.
        side: side of the patches, level-0 px.
        size: (width, height) of level 0, px.
        name: name of the slide without its ending.
    """
    import h5py

    with replacing(path) as partial, h5py.File(partial, "w") as file:
        stored = file.create_dataset(_NAME, data=np.asarray(coordinates, np.int64), maxshape=(None, 2), chunks=True)
        for key, value in (
            *(("patch_size", side), ("patch_level", 0), ("downsample", np.array([1.0, 1.0]))),
            *(
                ("downsampled_level_dim", np.array(size)),
                ("level_dim", np.array(size)),
                ("name", name),
                ("save_path", ""),
            ),
        ):
            stored.attrs[key] = value
