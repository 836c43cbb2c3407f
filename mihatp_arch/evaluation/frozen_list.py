"""A frozen test list: patients, images and pixels of the test sets, so that two laboratories test on the same ones."""

import csv
import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, fields
from datetime import datetime, timezone
from hashlib import sha256
from io import StringIO
from pathlib import Path

import numpy as np

from datasets_prep.common.files import write_file
from datasets_prep.common.version import __version__
from mihatp_arch.errors import UserError, reason_of
from mihatp_arch.evaluation.results.patients import find_patients, patients_of_split
from mihatp_arch.evaluation.results.scores import read_images
from mihatp_arch.evaluation.run.plan import Plan
from mihatp_arch.metrics.images import BGRImage

_FIRST_LINE = "# mihatp frozen test list 1"


@dataclass(frozen=True)
class FrozenImage:
    """One line of the list.

    Attributes:
        set: name of the test set.
        image: its key in the data set.
        patient: of the image; empty where it is not known.
        hr_sha256: of the pixels of HR, `[H, W, 3]` uint8 RGB, row by row.
        lr_sha256: the same of LR.
    """

    set: str
    image: str
    patient: str
    hr_sha256: str
    lr_sha256: str


_COLUMNS = tuple(field.name for field in fields(FrozenImage))


def read_test_images(plan: Plan) -> list[FrozenImage]:
    """All images of the test sets, in their order. Reads every pixel."""
    pixels = {
        name: {image: (_hash(gt), _hash(lq)) for image, lq, gt in read_images(dataset, plan.scale)}
        for name, dataset in plan.test_sets().items()
    }
    patients = find_patients(plan.test_sets(), pixels)
    known = {} if patients.missing else patients.of
    return [
        FrozenImage(name, image, known.get(name, {}).get(image, ""), hr, lr)
        for name, images in pixels.items()
        for image, (hr, lr) in images.items()
    ]


def _hash(image: BGRImage) -> str:
    return sha256(np.ascontiguousarray(image[..., ::-1]).tobytes()).hexdigest()


def hash_of(images: Iterable[FrozenImage]) -> str:
    """One SHA-256 of all pixels of a list; it does not depend on their order and names."""
    return sha256("\n".join(sorted(f"{image.hr_sha256} {image.lr_sha256}" for image in images)).encode()).hexdigest()


def today() -> str:
    """The date as `2026-01-31`, UTC."""
    return datetime.now(timezone.utc).strftime("%Y-%m-%d")


def freeze(plan: Plan, file: Path, *, date: str) -> int:
    """Write the list of the test sets of `plan`, and return its number of images.

    Args:
        plan: of a benchmark; nothing is trained.
        file: CSV with the columns of `FrozenImage`, below one line that says where it is from.
        date: for that line.

    Raises:
        UserError: `file` exists or cannot be written.
    """
    if os.path.lexists(file):  # also a link that leads nowhere
        raise UserError(f"--freeze {file}: the file exists, and a frozen list is not changed: name another one")
    images = read_test_images(plan)
    text = StringIO(newline="")
    text.write(
        f"{_FIRST_LINE}; x{plan.scale}; benchmark {plan.name}; {date}; mihatp {__version__}; {hash_of(images)}\n"
    )
    lines = csv.writer(text, lineterminator="\n")
    lines.writerow(_COLUMNS)
    lines.writerows([getattr(image, column) for column in _COLUMNS] for image in images)
    try:
        write_file(file, text.getvalue().encode())
    except OSError as error:
        raise UserError(f"--freeze: cannot write '{file}': {reason_of(error)}") from error
    return len(images)


def check_against(plan: Plan, file: Path) -> list[FrozenImage]:
    """Refuse test sets that are not those of the list `file`, and return its images.

    Where patients are not known, a line says that they were not compared.

    Raises:
        UserError: the file is no list, is of another scale, or the data at hand differ: a line with the first
            difference and the number of all differences; or a patient of the list is in the training data.
    """
    frozen = _read(file, plan.scale)
    there = read_test_images(plan)
    differences = _differences(frozen, there)
    if differences:
        more = f" (and {len(differences) - 1} more differences)" if len(differences) > 1 else ""
        raise UserError(f"--against {file}: the test sets are other ones: {differences[0]}{more}")
    trained = {
        patient: name
        for name, dataset in plan.trained[0].datasets().items()
        if name in ("train", "val")
        for patient in patients_of_split(dataset).values()
    }
    if not trained or not all(image.patient for image in (*frozen, *there)):
        print(f"--against {file}: pixels agree; patients are not all known, in the list or here, and were not compared")
    for image in frozen:
        if image.patient in trained:
            raise UserError(
                f"--against {file}: patient {image.patient} of {image.set} is in datasets.{trained[image.patient]} "
                "too: a network that saw a patient cannot be tested on it"
            )
    return frozen


def _read(file: Path, scale: int) -> list[FrozenImage]:
    try:
        first, *lines = file.read_text(encoding="utf-8").splitlines()
        rows = list(csv.DictReader(lines))
        images = [FrozenImage(**{column: row[column] for column in _COLUMNS}) for row in rows]
    except (OSError, ValueError, KeyError, csv.Error) as error:
        raise UserError(f"--against {file}: it cannot be read as a frozen test list") from error
    if not first.startswith(f"{_FIRST_LINE};") or not images:
        raise UserError(f"--against {file}: it is no frozen test list of this program, or is empty")
    if f"; x{scale};" not in first:
        raise UserError(f"--against {file}: it is not for x{scale}: its first line is '{first}'")
    return images


def _differences(frozen: Sequence[FrozenImage], there: Sequence[FrozenImage]) -> list[str]:
    """Each difference as the end of a sentence."""
    before, now = ({(image.set, image.image): image for image in images} for images in (frozen, there))
    lines = [f"{name} {image} is missing here" for name, image in before if (name, image) not in now]
    lines += [f"{name} {image} is not in the list" for name, image in now if (name, image) not in before]
    for key, image in before.items():
        other = now.get(key)
        if other is None:
            continue
        for head, side in (("hr_sha256", "HR"), ("lr_sha256", "LR")):
            if getattr(image, head) != getattr(other, head):
                lines.append(f"{side} of {image.set} {image.image} has other pixels")
        if image.patient and other.patient and image.patient != other.patient:
            lines.append(f"{image.set} {image.image} is of patient {image.patient} there, of {other.patient} here")
    return lines
