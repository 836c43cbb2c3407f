"""What was done to each slide of a run, as a CSV file."""

import csv
import io
from collections.abc import Iterable
from dataclasses import asdict, dataclass, fields
from pathlib import Path

from datasets_prep.common.errors import UserError, reason_of
from datasets_prep.common.files import write_file
from mihatp_arch.inference.slides.upscale_slide import SlideResult

NAME = "upscale.csv"
MARK = b"slide,output,status,"  # its first line, of any version
DONE, EXISTED, FAILED = "done", "existed", "failed"


@dataclass(frozen=True)
class Record:
    """One row. All values are texts; unknown ones are empty.

    Attributes:
        slide, output: paths.
        status: `done`, `existed` (an earlier run wrote the output), or `failed`.
        level, scale: the level that was read, and how many times it was enlarged.
        mpp_in, mpp_out: µm/px of this level and of the output.
        tiles_computed, tiles: number of tiles that the network computed, and of all tiles.
        seconds: of the run that wrote the output.
        weights_sha256: of the weights.
        options: hash of all that was asked for.
        notes: lines that the user should read.
        error: why it failed.
    """

    slide: str
    output: str
    status: str
    level: str = ""
    scale: str = ""
    mpp_in: str = ""
    mpp_out: str = ""
    tiles_computed: str = ""
    tiles: str = ""
    seconds: str = ""
    weights_sha256: str = ""
    options: str = ""
    notes: str = ""
    error: str = ""


_COLUMNS = tuple(field.name for field in fields(Record))


def record_of(slide: Path, result: SlideResult, *, options: str) -> Record:
    """The row of a slide that was upscaled."""
    plan = result.plan
    return Record(
        slide=str(slide),
        output=str(result.output),
        status=DONE,
        level=str(plan.level),
        scale=str(plan.scale),
        mpp_in=f"{plan.mpp:.6g}",
        mpp_out=f"{plan.output_mpp:.6g}",
        tiles_computed=str(result.computed),
        tiles=str(result.tiles),
        seconds=f"{result.seconds:.1f}",
        weights_sha256=result.sha256,
        options=options,
        notes="; ".join(result.notes),
    )


def write_records(path: Path, records: Iterable[Record]) -> None:
    """Write the CSV, whole or not at all. Raises `UserError` when it cannot be written."""
    text = io.StringIO(newline="")
    writer = csv.DictWriter(text, _COLUMNS, lineterminator="\n")
    writer.writeheader()
    writer.writerows(map(asdict, records))
    try:
        write_file(path, text.getvalue().encode())
    except OSError as error:
        raise UserError(f"cannot write {path}: {reason_of(error)}") from error


def read_records(path: Path) -> dict[str, Record]:
    """Path of the output -> its row; empty where there is no such file, or it is of something else."""
    try:
        with path.open(encoding="utf-8", newline="") as file:
            rows = csv.DictReader(file)
            if tuple(rows.fieldnames or ()) != _COLUMNS:
                return {}
            return {row["output"]: Record(**row) for row in rows}
    except (OSError, UnicodeDecodeError, csv.Error, TypeError):
        return {}
