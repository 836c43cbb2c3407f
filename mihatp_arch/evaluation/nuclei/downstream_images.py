"""The test images of Table 2: tissue, its nuclei and its patient."""

import csv
from collections.abc import Sequence
from dataclasses import dataclass
from io import BytesIO
from math import lcm
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from datasets_prep.common.image_files import quiet_and_unlimited, upright_size
from datasets_prep.common.image_flaws import image_flaw
from datasets_prep.common.png import decode_rgb
from mihatp_arch.errors import UserError, reason_of
from mihatp_arch.evaluation.results.patients import Patients
from mihatp_arch.metrics.images import RGBImage
from mihatp_arch.nuclei.coded_labels import decode

SET = "test"  # the name of the only set of images
_BITS_AND_COLOUR = slice(24, 26)  # of the bytes of a PNG
_CODED = bytes([8, 2])  # 8 bits, RGB


@dataclass(frozen=True)
class TestImage:
    """A test image.

    Attributes:
        name: without its ending.
        tissue, labels: PNG files: RGB, and the coded label map (`nuclei/coded_labels.py`).
        patient: empty where nobody knows.
    """

    __test__ = False  # pytest collects classes of this name

    name: str
    tissue: Path
    labels: Path
    patient: str

    def check(self, scales: Sequence[int]) -> None:
        """Look at the headers and checksums of both files; the pixels are not decoded.

        Raises:
            UserError: a file is damaged, the label map is not coded, or the sizes do not fit.
        """
        size, other = _size_of(self.tissue), _size_of(self.labels, coded=True)
        if size != other:
            raise UserError(f"'{self.tissue}' has {_text(size)} px and '{self.labels}' {_text(other)}")
        step = lcm(*scales)
        if min(size) < step:
            raise UserError(f"'{self.tissue}' has {_text(size)} px: {step} px are needed for these scales")

    def read(self, scales: Sequence[int]) -> tuple[RGBImage, NDArray[np.int32], NDArray[np.uint8]]:
        """Tissue [H, W, 3], label map and types [H, W], of a size that every scale divides; `check` comes first.

        Raises:
            UserError: a file cannot be decoded.
        """
        rgb, coded = read_png(self.tissue), read_png(self.labels)
        step = lcm(*scales)
        height, width = (side // step * step for side in rgb.shape[:2])
        labels, types = decode(coded[:height, :width])
        return rgb[:height, :width], labels, types


def find_images(folder: Path) -> list[TestImage]:
    """The images of a split that `mihatp nuclei prepare` wrote; patients come from the `manifest.csv` beside it.

    Raises:
        UserError: there are none, or one has no label map.
    """
    files = sorted((folder / "images").glob("*.png"))
    if not files:
        hint = next((name for name in ("test", "val", "train") if (folder / name / "images").is_dir()), None)
        way = f"name a split, such as '{folder / hint}'" if hint else "make them with `mihatp nuclei prepare`"
        raise UserError(f"'{folder}' has no images/*.png: {way}")
    missing = next((file for file in files if not (folder / "labels" / file.name).is_file()), None)
    if missing is not None:
        raise UserError(f"'{missing}' has no label map '{folder / 'labels' / missing.name}'")
    patients = _patients(folder.parent / "manifest.csv")
    return [TestImage(file.stem, file, folder / "labels" / file.name, patients.get(file.stem, "")) for file in files]


def patients_of(images: Sequence[TestImage]) -> Patients:
    """The patients of the images; where one has none, each image counts as a patient."""
    if all(image.patient for image in images):
        return Patients({SET: {image.name: image.patient for image in images}})
    return Patients({SET: {image.name: image.name for image in images}}, "the manifest does not name the patients")


def _patients(manifest: Path) -> dict[str, str]:
    """Name of the image -> patient."""
    if not manifest.is_file():
        return {}
    with manifest.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    return {Path(row.get("image") or "").stem: row.get("patient") or "" for row in rows}


def read_png(path: Path) -> RGBImage:
    """An 8-bit picture, [H, W, 3] RGB. Raises `UserError` where it cannot be read."""
    try:
        return decode_rgb(path.read_bytes())
    except (OSError, UserError) as error:
        reason = reason_of(error)
        raise UserError(f"'{path}' cannot be read: {reason}") from error


def _size_of(path: Path, *, coded: bool = False) -> tuple[int, int]:
    """(width, height) of a picture.

    Args:
        path: the file.
        coded: whether it must be 8-bit RGB, as coded label maps are.

    Raises:
        UserError: it is damaged, or of another kind.
    """
    try:
        data = path.read_bytes()
        flaw = image_flaw(data)
        if flaw:
            raise UserError(f"'{path}' cannot be read: {flaw}")
        with quiet_and_unlimited(), Image.open(BytesIO(data)) as image:
            if coded and (image.format != "PNG" or data[_BITS_AND_COLOUR] != _CODED):
                way = "prepare the data with `mihatp nuclei prepare`"
                raise UserError(f"'{path}' is no coded label map, which is 8-bit RGB: {way}")
            return upright_size(image)
    except UserError:
        raise
    except (OSError, SyntaxError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) and error.strerror else "it is no image"
        raise UserError(f"'{path}' cannot be read: {reason}") from error


def _text(size: tuple[int, int]) -> str:
    return f"{size[0]}x{size[1]}"
