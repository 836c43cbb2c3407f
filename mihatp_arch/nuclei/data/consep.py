"""Label files of CoNSeP, and of other data sets in the form of HoVer-Net's authors: MATLAB files with `inst_map`."""

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.io import loadmat
from scipy.io.matlab import MatReadError

from mihatp_arch.errors import UserError
from mihatp_arch.nuclei.data.annotation import DAMAGED, Annotation, ReadOptions, types_by_number, whole_numbers
from mihatp_arch.nuclei.postprocess import types_of

# other, inflammatory, healthy epithelial, malignant epithelial, fibroblast, muscle, endothelial -> misc, inflammatory,
# epithelial, spindle. The official code for training merges them so; its code for tests does not.
MERGED = np.array([0, 1, 2, 3, 3, 4, 4, 4])


def read_consep(path: Path, options: ReadOptions) -> Annotation:
    """The nuclei of a .mat file with `inst_map`, and `type_map` or `inst_type`.

    A nucleus has the type of most of its pixels in `type_map`. Without it, `inst_type` has the type of each nucleus, in
    the order of their numbers. `inst_centroid` is not needed: centres are computed from the label map.

    Raises:
        UserError: the file cannot be read, lacks a field, or its fields do not fit each other.
    """
    try:
        content: dict[str, Any] = loadmat(path)
    except MemoryError:
        raise UserError(f"{path} does not fit into memory") from None
    except (*DAMAGED, MatReadError) as error:
        why = "save it in the form of MATLAB 5 (-v6 or -v7)" if isinstance(error, NotImplementedError) else error
        raise UserError(f"{path} cannot be read as a .mat file: {why}") from error
    if "inst_map" not in content:
        raise UserError(f"{path} has no inst_map; it has {_fields(content)}: labels of CoNSeP have one")
    labels = whole_numbers(np.asarray(content["inst_map"]), f"inst_map of {path}")
    _, dense = np.unique(labels, return_inverse=True)
    dense = (dense.reshape(labels.shape) + int(labels.min(initial=1) > 0)).astype(np.int32)
    if not options.typed:
        return Annotation(dense, np.zeros(dense.shape, np.uint8))
    of_number = _types(content, dense, path)
    highest = int(of_number.max(initial=0))
    limit = 255 if options.raw_types else len(MERGED) - 1
    if highest > limit:
        raise UserError(f"{path} has type {highest}: CoNSeP has 1 to 7 (--raw-types reads other types as they are)")
    return Annotation(dense, types_by_number(dense, of_number if options.raw_types else MERGED[of_number]))


def _types(content: dict[str, Any], labels: NDArray[np.int32], path: Path) -> NDArray[np.int64]:
    """The type of each number of a nucleus, [N + 1]."""
    of_number = np.zeros(int(labels.max(initial=0)) + 1, np.int64)
    if "type_map" in content:
        types = whole_numbers(np.asarray(content["type_map"]), f"type_map of {path}")
        if types.shape != labels.shape:
            raise UserError(f"{path}: type_map is {_size(types)} and inst_map {_size(labels)} px")
        if types.max(initial=0) > 255:
            raise UserError(f"{path} has type {types.max()}: 255 is the largest one")
        numbers, of_nucleus = types_of(labels, types.astype(np.uint8))
        of_number[numbers] = of_nucleus
    elif "inst_type" in content:
        types = whole_numbers(np.asarray(content["inst_type"]).reshape(1, -1), f"inst_type of {path}")[0]
        if len(types) != len(of_number) - 1:
            raise UserError(f"{path}: inst_type has {len(types)} types, and inst_map {len(of_number) - 1} nuclei")
        of_number[1:] = types
    else:
        raise UserError(
            f"{path} has no type_map and no inst_type; it has {_fields(content)}: --no-classes reads nuclei without "
            "types"
        )
    return of_number


def _fields(content: dict[str, Any]) -> str:
    return ", ".join(sorted(name for name in content if not name.startswith("__"))[:5]) or "no fields"


def _size(plane: NDArray[np.integer]) -> str:
    return f"{plane.shape[1]}×{plane.shape[0]}"
