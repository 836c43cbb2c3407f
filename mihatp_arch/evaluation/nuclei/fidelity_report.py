"""Everything that a comparison of nuclei leaves in a folder: tables, plots, pictures of the worst, and GeoJSON."""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from datasets_prep.common.files import refuse_foreign, refuse_foreign_results, write_file
from mihatp_arch.errors import UserError, reason_of
from mihatp_arch.evaluation.nuclei.fidelity import MPP, RADIUS, Comparison, Fidelity, Names, fidelity
from mihatp_arch.evaluation.nuclei.fidelity_plots import bland_altman
from mihatp_arch.evaluation.nuclei.fidelity_tables import Kinds, agreement_table, counts_table, write_tables
from mihatp_arch.evaluation.nuclei.worst_fields import ReadField, draw_worst
from mihatp_arch.evaluation.results.differences import FEWEST
from mihatp_arch.inference.nuclei.geojson import INVENTED, LOST, MARK, MATCHED, NucleusClass, write_nuclei
from mihatp_arch.inference.nuclei.morphometry import Nuclei

TABLES = "nuclei.md"
MARKS = {  # the tables, and a mark of each; the first one is written before the pictures
    "nuclei.csv": b"method,image,status,",
    "fidelity.csv": b",feature,unit,",
    TABLES: b"is invented, where the other image has",
}
_PICTURES = ("bland_altman.png", "worst.png")  # of each method
_NAMES = Names()


def refuse_foreign_fidelity(folder: Path, methods: Iterable[str], *, images: Sequence[str] = ()) -> None:
    """Raise `UserError` where `write_fidelity` would replace a file in `folder` that this program did not write.

    Args:
        folder: of the results.
        methods: their names.
        images: names of the images, where GeoJSON is written.
    """
    methods = list(methods)
    (first, first_mark), *others = MARKS.items()
    pictures = (f"{method}.{name}" for method in methods for name in _PICTURES)
    refuse_foreign_results(folder, first, first_mark, *pictures)
    for name, mark in others:
        refuse_foreign(folder / name, mark)
    for method in methods:
        for image in images:
            refuse_foreign(folder / method / f"{image}.geojson", MARK)


def write_fidelity(
    folder: Path,
    images: Mapping[str, Sequence[Comparison]],
    read: Mapping[str, ReadField],
    *,
    names: Names = _NAMES,
    kinds: Kinds | None = None,
    mpp: float | None = MPP,
) -> dict[str, Fidelity]:
    """Write the comparison of one or more methods with HR, or of one slide with another.

    The folder then has `nuclei.md` (both tables), `nuclei.csv`, `fidelity.csv`, and for each method
    `METHOD.bland_altman.png`, `METHOD.worst.png` where nuclei are lost or invented, and `METHOD/IMAGE.geojson` with
    the nuclei of SR and the lost ones.

    Args:
        folder: where; it is made.
        images: method -> its images.
        read: method -> reads its fields.
        names: of the images.
        kinds: names of the types of nuclei.
        mpp: µm per pixel of the images that the GeoJSON is for; None: no GeoJSON is written.

    Returns:
        method -> summary.

    Raises:
        UserError: a file cannot be written.
    """
    results = {method: fidelity(compared) for method, compared in images.items()}
    try:
        write_tables(folder, images, results, names, kinds or {})
        for method, compared in images.items():
            if results[method].counts.matched:
                bland_altman(compared, folder / f"{method}.bland_altman.png", title=method, names=names)
            draw_worst(compared, read[method], folder / f"{method}.worst.png", title=method, names=names)
            if mpp is not None:
                _write_geojson(folder / method, compared, mpp)
        write_file(folder / TABLES, markdown(results, names, kinds or {}).encode())
    except OSError as error:
        raise UserError(f"cannot write {error.filename or folder}: {reason_of(error)}") from error
    return results


def markdown(results: Mapping[str, Fidelity], names: Names, kinds: Kinds) -> str:
    """Both tables, and the words to read them."""
    patients = max((result.patients for result in results.values()), default=0)
    intervals = [f"In brackets: the 95 % interval for other patients, from the {patients} of these images.", ""]
    if patients < FEWEST:
        few = f"{patients} patients are too few for intervals: {FEWEST} are needed."
        intervals = [few, ""] if patients > 1 else []
    typed = any(result.of_type for result in results.values())
    of_type = f"Nuclei in both have the type of {names.reference}. " if typed else ""
    return "\n".join(
        [
            counts_table(results, names, kinds),
            "",
            f"A nucleus of {names.reference} is lost, and one of {names.other} is invented, where the other image has "
            f"no nucleus whose centre is within {RADIUS:g} µm. Both numbers are for 1000 nuclei of {names.reference}. "
            "The same network segments both images: its own mistakes count too.",
            "",
            agreement_table(results, names, kinds),
            "",
            f"{of_type}Over the nuclei in both images; differences are {names.other} minus {names.reference}. "
            "95 % of them lie within the limits of agreement. Texture is the standard deviation of hematoxylin in the "
            "nucleus.",
            "",
            *intervals,
        ]
    )


def _write_geojson(folder: Path, images: Sequence[Comparison], mpp: float) -> None:
    folder.mkdir(exist_ok=True)
    for image in images:
        write_nuclei(folder / f"{image.name}.geojson", _groups(image), mpp=mpp)


def _groups(image: Comparison) -> list[tuple[Nuclei, list[NucleusClass]]]:
    match = image.match
    return [
        (image.sr.chosen(match.second), [MATCHED]),
        (image.sr.chosen(match.only_second), [INVENTED]),
        (image.hr.chosen(match.only_first), [LOST]),
    ]
