"""The seams of a block as bytes for the tile store, and back."""

import io
from collections.abc import Mapping

import numpy as np

from mihatp_arch.inference.tiled_network import Seams

_SEPARATOR = "/"


def encoded(seams: Seams) -> dict[str, bytes]:
    """`<seam>/<plane>` -> array file of numpy."""
    files = {}
    for seam, planes in seams.items():
        for plane, sums in planes.items():
            file = io.BytesIO()
            np.save(file, sums)
            files[f"{seam}{_SEPARATOR}{plane}"] = file.getvalue()
    return files


def decoded(files: Mapping[str, bytes]) -> Seams:
    """The inverse of `encoded`."""
    seams: Seams = {}
    for name, data in files.items():
        seam, plane = name.split(_SEPARATOR)
        seams.setdefault(seam, {})[plane] = np.load(io.BytesIO(data))
    return seams
