"""The nuclei of HR that each method of Table 2 loses, invents or reshapes; a folder for each scale."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from mihatp_arch.evaluation.nuclei.downstream_images import read_png
from mihatp_arch.evaluation.nuclei.fidelity import MPP, compare_images
from mihatp_arch.evaluation.nuclei.fidelity_report import write_fidelity
from mihatp_arch.evaluation.nuclei.worst_fields import ReadField, crop_of
from mihatp_arch.nuclei.coded_labels import decode

RGB: TypeAlias = NDArray[np.uint8]


@dataclass(frozen=True)
class Pictures:
    """The files of a row for one image.

    Attributes:
        picture, labels: PNG: what was segmented, and the coded label map.
    """

    picture: Path
    labels: Path


def write_downstream_fidelity(
    folder: Path, names: Sequence[str], hr: Sequence[Pictures], methods: Mapping[str, Sequence[Pictures]]
) -> None:
    """Write the files of `write_fidelity` into `folder`.

    Args:
        folder: of one scale.
        names: of the images.
        hr: the files of each image on HR.
        methods: method -> its files of each image.

    Raises:
        UserError: a file cannot be read or written.
    """
    compared = {
        method: [
            compare_images(
                name,
                hr=decode(read_png(of_hr.labels))[0],
                sr=decode(read_png(of_sr.labels))[0],
                hr_rgb=read_png(of_hr.picture),
                sr_rgb=read_png(of_sr.picture),
            )
            for name, of_hr, of_sr in zip(names, hr, files, strict=True)
        ]
        for method, files in methods.items()
    }
    first = dict(zip(names, hr, strict=True))
    fields = {method: _reader(first, dict(zip(names, files, strict=True))) for method, files in methods.items()}
    write_fidelity(folder, compared, fields)


def _reader(hr: Mapping[str, Pictures], sr: Mapping[str, Pictures]) -> ReadField:
    def read(image: str, x: float, y: float, side: float) -> tuple[RGB, RGB]:
        pictures = read_png(hr[image].picture), read_png(sr[image].picture)
        before, after = (crop_of(picture, mpp=MPP, x=x, y=y, side=side) for picture in pictures)
        return before, after

    return read
