"""The patient and the split of each image, where a data set leaves them out."""

from collections.abc import Sequence
from dataclasses import replace

from datasets_prep.patches.splits import barcode_of, seeded_order
from mihatp_arch.errors import UserError
from mihatp_arch.nuclei.data.sources import Source

_VAL, _TEST = 10, 5  # one patient of ten is in val, one of five in test; at least one each


def with_splits(sources: Sequence[Source], *, seed: int) -> tuple[list[Source], list[str]]:
    """The images with their patient and split, and notes for the user.

    A patient is the one that the data set states, else that of the TCGA barcode, else the image itself. Without stated
    splits, patients are divided. With train and test but no val, patients of train become val.

    Raises:
        UserError: a patient is in two splits, some images alone have a split, or there are too few patients.
    """
    notes: list[str] = []
    unknown = sum(not (source.patient or barcode_of(source.name)) for source in sources)
    if unknown:
        notes.append(
            f"the patient of {unknown} images is unknown, so each of these counts as one patient: name patients in a "
            "CSV (column patient) if one patient has several images"
        )
    named = [replace(source, patient=source.patient or barcode_of(source.name) or source.name) for source in sources]
    stated = {source.split for source in named}
    if "" in stated and len(stated) > 1:
        first = next(source.name for source in named if not source.split)
        raise UserError(f"{first} has no split, but other images have one: state all splits, or none")
    split_of = {source.patient: source.split for source in named}
    for source in named:
        if split_of[source.patient] != source.split:
            raise UserError(
                f"patient {source.patient} is in {source.split} and in {split_of[source.patient]}: the images of a "
                "patient belong to one split"
            )
    if stated == {""}:
        split_of = _divided(list(split_of), seed=seed)
        notes.append(f"the data set states no splits: patients were divided by seed {seed}")
    elif "train" in stated and "val" not in stated:
        patients = seeded_order((name for name, split in split_of.items() if split == "train"), seed=seed)
        if len(patients) < 2:
            raise UserError("the data set states no val, and has one patient in train: state the split of each image")
        moved = patients[: max(1, len(patients) // _VAL)]
        split_of |= dict.fromkeys(moved, "val")
        notes.append(f"the data set states no val: {len(moved)} of {len(patients)} patients of train were taken")
    return [replace(source, split=split_of[source.patient]) for source in named], notes


def _divided(patients: Sequence[str], *, seed: int) -> dict[str, str]:
    if len(patients) < 3:
        raise UserError(
            f"{len(patients)} patients cannot fill train, val and test: 3 are needed, or the split of each image in a "
            "CSV"
        )
    order = seeded_order(patients, seed=seed)
    names = ["val"] * max(1, len(order) // _VAL) + ["test"] * max(1, len(order) // _TEST)
    return {patient: names[index] if index < len(names) else "train" for index, patient in enumerate(order)}
