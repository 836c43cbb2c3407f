"""The nuclei of HR that each method of Table 2 loses, invents or reshapes; a folder for each scale."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from mihatp_arch.errors import UserError
from mihatp_arch.evaluation.nuclei.downstream_images import read_png
from mihatp_arch.evaluation.nuclei.fidelity import MPP, Comparison
from mihatp_arch.evaluation.nuclei.fidelity_report import write_fidelity
from mihatp_arch.evaluation.nuclei.fidelity_tables import Kinds
from mihatp_arch.evaluation.nuclei.worst_fields import ReadField, crop_of
from mihatp_arch.inference.nuclei.morphometry import Nuclei, measure
from mihatp_arch.metrics.images import RGBImage
from mihatp_arch.nuclei.coded_labels import decode


@dataclass(frozen=True)
class Pictures:
    """The files of a row for one image.

    Attributes:
        picture, labels: PNG: what was segmented, and the coded label map.
    """

    picture: Path
    labels: Path


def read_written(path: Path) -> RGBImage:
    """A PNG of this or an earlier run, [H, W, 3] RGB. Raises `UserError` where it cannot be read."""
    try:
        return read_png(path)
    except UserError as error:
        raise UserError(f"{error}: delete it, and run the same command again") from error


def nuclei_in(pictures: Pictures) -> Nuclei:
    """The measured nuclei of an image. Raises `UserError` where a file cannot be read."""
    labels, types = decode(read_written(pictures.labels))
    return measure(labels, read_written(pictures.picture), mpp=MPP, types=types)


def write_downstream_fidelity(
    folder: Path,
    patients: Mapping[str, str],
    hr: Sequence[Pictures],
    on_hr: Sequence[Nuclei],
    methods: Mapping[str, Sequence[Pictures]],
    kinds: Kinds,
) -> None:
    """Write the files of `write_fidelity` into `folder`.

    Args:
        folder: of one scale.
        patients: name of each image -> its patient.
        hr: the files of each image on HR.
        on_hr: the nuclei of each image on HR.
        methods: method -> its files of each image.
        kinds: names of the types of nuclei.

    Raises:
        UserError: a file cannot be read or written.
    """
    compared = {
        method: [
            Comparison(name, nuclei, nuclei_in(pictures), patient)
            for (name, patient), nuclei, pictures in zip(patients.items(), on_hr, files, strict=True)
        ]
        for method, files in methods.items()
    }
    first = dict(zip(patients, hr, strict=True))
    fields = {method: _reader(first, dict(zip(patients, files, strict=True))) for method, files in methods.items()}
    write_fidelity(folder, compared, fields, kinds=kinds)


def _reader(hr: Mapping[str, Pictures], sr: Mapping[str, Pictures]) -> ReadField:
    def read(image: str, x: float, y: float, side: float) -> tuple[RGBImage, RGBImage]:
        pictures = read_written(hr[image].picture), read_written(sr[image].picture)
        before, after = (crop_of(picture, mpp=MPP, x=x, y=y, side=side) for picture in pictures)
        return before, after

    return read
