"""Many pictures, from files and folders into a folder that mirrors them."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, TypeAlias

from datasets_prep.common.files import make_folder, refuse_foreign, remove_dead_partials
from datasets_prep.common.processes.progress import progress_bar
from mihatp_arch.errors import UserError, reason_of
from mihatp_arch.inference.images import Picture, format_of, read_picture
from mihatp_arch.inference.inputs import Inputs
from mihatp_arch.inference.network import NetworkInfo
from mihatp_arch.inference.outputs import refuse_clashes, refuse_no_folder, refuse_unwritable
from mihatp_arch.inference.upscale import Upscaler
from mihatp_arch.inference.write_images import MARK, SUFFIXES, check_writable, format_to_write, write_picture

Existing: TypeAlias = Literal["refuse", "skip", "overwrite"]

_SUFFIX_OF = {"PNG": ".png", "JPEG": ".jpg", "TIFF": ".tiff"}


@dataclass(frozen=True)
class Job:
    """A picture to upscale, and the file to write."""

    source: Path
    target: Path


@dataclass(frozen=True)
class Plan:
    """Which picture goes to which file.

    Attributes:
        jobs: the pictures to upscale.
        finished: how many others have an output already (`existing="skip"`).
        targets: picture -> output, of all of them.
    """

    jobs: list[Job]
    finished: int
    targets: dict[Path, Path]


@dataclass
class Outcome:
    """What was done.

    Attributes:
        written: number of files.
        scales: of them.
        names: of the weights.
        converted: number of grey and palette pictures, which were written as RGB.
        failed: a line for each picture that could not be upscaled.
    """

    written: int = 0
    scales: set[int] = field(default_factory=set)
    names: set[str] = field(default_factory=set)
    converted: int = 0
    failed: list[str] = field(default_factory=list)


def plan(
    inputs: Inputs, paths: Sequence[Path], output: Path, *, suffix: str | None = None, existing: Existing = "refuse"
) -> Plan:
    """Decide which picture goes to which file, before any of them is read.

    Args:
        inputs: the pictures in `paths`.
        paths: the given files and folders.
        output: a folder; for one given file also a file.
        suffix: ending of the files in a folder, such as `.png`; None keeps the format of each input.
        existing: what happens to outputs that exist.

    Raises:
        UserError: an output exists (with `overwrite`: a file that this program did not write), or is an input; two
            inputs have the same output; the ending of an output file names another format than `suffix`; a folder
            cannot be written.
    """
    if len(paths) == 1 and not paths[0].is_dir() and not output.is_dir():
        format = format_to_write(output)
        if suffix is not None and SUFFIXES[suffix] != format:
            raise UserError(f"--format {suffix[1:]}: the output {output} is {format} by its ending: leave out --format")
        targets = dict.fromkeys(inputs.pictures, output)
    else:
        refuse_no_folder(output)
        targets = {source: output / _renamed(source, name, suffix) for source, name in inputs.pictures.items()}
    jobs = [Job(source, target) for source, target in targets.items()]
    refuse_clashes(targets)
    done = [job for job in jobs if job.target.exists()]
    if done and existing == "refuse":
        more = f" and {len(done) - 1} more" if len(done) > 1 else ""
        raise UserError(f"the output {done[0].target}{more} exists: --resume leaves it, --overwrite replaces it")
    finished = set(done) if existing == "skip" else set()
    todo = [job for job in jobs if job not in finished]
    for folder in dict.fromkeys(job.target.parent for job in todo):
        refuse_unwritable(folder)
    for job in todo:
        refuse_foreign(job.target, MARK)
    return Plan(todo, len(finished), targets)


def upscale_pictures(
    jobs: Sequence[Job],
    choose: Callable[[Picture, Path], Upscaler],
    *,
    settle: Callable[[Picture], Picture] = lambda picture: picture,
) -> Outcome:
    """Upscale pictures one after another, with a progress bar on a terminal.

    A picture that cannot be upscaled is a line of `Outcome.failed`, and the others go on.

    Args:
        jobs: the pictures.
        choose: the network for a picture; it raises `UserError` where there is none.
        settle: gives a picture the resolution that counts.

    Raises:
        UserError: a file cannot be written: the disk is full, or the folder is write-protected.
    """
    outcome = Outcome()
    for folder in {job.target.parent for job in jobs}:
        remove_dead_partials(folder)
    for job in progress_bar(jobs, desc="upscaling", unit="picture"):
        try:
            picture = read_picture(job.source)
            upscaler = choose(picture, job.source)
            check_writable(picture, job.target, upscaler.scale)
            sr = upscaler.upscale_picture(settle(picture), progress=True)
        except UserError as error:
            outcome.failed.append(" ".join(str(error).split()))
            continue
        left = len(jobs) - outcome.written - len(outcome.failed) - 1
        _write(sr, job.target, upscaler.info, left=f"{left} of {len(jobs)} pictures are left" if left else "")
        outcome.written += 1
        outcome.converted += bool(picture.was)
        outcome.scales.add(upscaler.scale)
        outcome.names.add(upscaler.info.name)
    return outcome


def _write(picture: Picture, target: Path, info: NetworkInfo, *, left: str) -> None:
    try:
        make_folder(target.parent)
        write_picture(picture, target, description=_description(info))
    except (OSError, UserError) as error:
        reason = str(error) if isinstance(error, UserError) else f"cannot write {target}: {reason_of(error)}"
        raise UserError(f"{reason}; {left}, --resume continues with them" if left else reason) from error


def _description(info: NetworkInfo) -> str:
    name = info.name.encode("ascii", "replace").decode()
    return (
        f"Super-resolved x{info.scale} by MiHATP with {name} (sha256 {info.sha256[:16]}): "
        "the detail is computed, not scanned. Not for diagnosis."
    )


def _renamed(source: Path, name: Path, suffix: str | None) -> Path:
    """The name of the output: with `suffix`, else with an ending that is right for the format of the input."""
    given = name.suffix.lower()
    if suffix is None:
        format = _format_of(source) or "PNG"
        if SUFFIXES.get(given) == format:
            return name
        suffix = _SUFFIX_OF[format]
    return name.with_name((name.stem if given in SUFFIXES else name.name) + suffix)


def _format_of(source: Path) -> str | None:
    """As `format_of`; None for a file that cannot be read, which is said when its turn comes."""
    try:
        return format_of(source)
    except OSError:
        return None
