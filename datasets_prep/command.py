"""The command line of `mihatp prepare` and `python -m datasets_prep.build`; importing it is fast."""

import argparse
import shlex
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from datasets_prep.arguments import add_arguments
from datasets_prep.common.errors import UserError
from datasets_prep.patches.options import Limits, QualityFilter, ScanOptions, SplitOptions
from datasets_prep.source_table.template import write_template

if TYPE_CHECKING:
    from datasets_prep.patches.source_state import SourceState
    from datasets_prep.patches.sources import Source
    from datasets_prep.prepare import BuildResult

_LISTED, _FEW = 10, 3  # names on a line
_VISIBLE = 0.001  # share of a slide from which artefacts are worth a line

SUMMARY = "From slides and image tiles to patient-disjoint BasicSR LMDBs, with a manifest and a data card."


def run(args: argparse.Namespace) -> int:
    """Prepare a data set as the arguments say, and print a summary; 0, or 3 when some sources could not be used."""
    from datasets_prep.patches.patients import UnknownPatientsError

    try:
        return _dry_run(args) if args.dry_run else _build(args)
    except UnknownPatientsError as error:
        if args.dry_run:
            raise
        template = write_template(error.patients, args.output)
        raise UserError(f"{error}; the column patient of {template} is for them to be filled in") from error


def _build(args: argparse.Namespace) -> int:
    from datasets_prep.prepare import prepare  # OpenCV, OpenSlide and matplotlib, which `--help` does without

    inputs = {name: getattr(args, name) for name in ("tiles", "manifest", "mask", "coords")}
    program = Path(sys.argv[0])
    typed = [program.name] if program.suffix != ".py" else ["python", "-m", "datasets_prep.build"]
    command = shlex.join([*typed, *sys.argv[1:]])
    result = prepare(args.slides, args.output, **inputs, **_settings(args), command=command, say=_say)
    _print(result, args.output)
    return 3 if result.failed or result.unnamed else 0


def _dry_run(args: argparse.Namespace) -> int:
    from datasets_prep.dry_run import dry_run
    from datasets_prep.provenance import Inputs

    inputs = Inputs(args.slides, args.tiles, args.manifest, args.mask, args.coords)
    result = dry_run(inputs, args.output, **_settings(args), say=_say)
    for line in _notes(result.states):
        _say(line)
    print("\n".join(result.lines(workers=args.workers, output=args.output)))
    _print_unnamed(result.unnamed)
    return 3 if result.problems or result.unnamed else 0


def _settings(args: argparse.Namespace) -> dict[str, Any]:
    """The keyword arguments that a build and a dry run share."""
    return {
        "options": ScanOptions(
            patch_size=args.patch_size,
            scales=tuple(args.scales),
            preset=args.preset,
            marks=not args.no_marks,
            fallback=not args.no_fallback,
            min_tissue=args.min_tissue,
            lr=args.lr,
            assume_mpp=args.assume_mpp,
            override_mpp=args.override_mpp,
            hr_mpp=args.hr_mpp,
            strict=args.strict,
            mask_include=tuple(args.mask_include),
            mask_exclude=tuple(args.mask_exclude),
        ),
        "quality": QualityFilter(min_saturation=args.min_saturation, min_sharpness=args.min_sharpness),
        "limits": Limits(args.train_patches, args.val_patches, args.test_patches, args.per_slide, args.per_patient),
        "splits": SplitOptions(args.split_by, args.tests, args.seed, args.patient_regex, args.patient_from),
        "workers": args.workers,
        "scheduler": args.scheduler,
        "overwrite": args.overwrite,
    }


def _say(line: str) -> None:
    print(f"note: {line}", file=sys.stderr)


def _notes(states: "Sequence[SourceState]") -> Iterator[str]:
    """The notes of all slides; a note of many slides, and the artefacts, are one line with a count."""
    slides: dict[str, list[str]] = {}
    for state in states:
        for note in state.scan.notes:
            slides.setdefault(note, []).append(state.source.name)
    for note, names in slides.items():
        more = f" and {len(names) - _FEW} more" if len(names) > _FEW else ""
        yield f"{', '.join(names[:_FEW])}{more}: {note}"
    for kind, shares in (
        ("pen marks", [state.scan.pen_share or 0 for state in states]),
        ("black areas", [state.scan.black_share or 0 for state in states]),
    ):
        count = sum(share > _VISIBLE for share in shares)
        if count:
            most = f"up to {max(shares):.1%} of a slide"
            yield f"{kind} on {count} of {len(shares)} slides, {most}: not tissue (slides.csv)"


def _print(result: "BuildResult", output: Path) -> None:
    for split, count in result.counts.items():
        print(f"{split:8}{count:6} patches, patients: {result.patients[split]}")
    for line in _notes(result.sources):
        print(line)
    unused = [state.source.name for state in result.sources if state.status == "unused"]
    if unused:
        print(f"{len(unused)} without a patch in the data set (slides.csv says why): {_named(unused)}")
    for warning in result.warnings:
        print(f"warning: {warning}")
    rejected = ", ".join(f"{count} {flaw}" for flaw, count in sorted(result.rejected().items())) or "none"
    used = len(result.sources) - len(result.failed)
    print(f"{output}: {used} of {len(result.sources)} slides and tiles used; patches not taken: {rejected}; ", end="")
    print(f"duplicate patches left out: {result.duplicates}; see {output / 'card.md'}")
    _print_unnamed(result.unnamed)
    if result.failed:
        print(f"{len(result.failed)} of {len(result.sources)} could not be used:", file=sys.stderr)
    for reason in result.failed:
        print(f"  {' '.join(reason.split())}", file=sys.stderr)


def _print_unnamed(unnamed: "Sequence[Source]") -> None:
    if unnamed:
        names = _named([source.name for source in unnamed])
        print(f"{len(unnamed)} left out, since the manifest names them not: {names}", file=sys.stderr)


def _named(names: Sequence[str]) -> str:
    return ", ".join(names[:_LISTED]) + (", …" if len(names) > _LISTED else "")


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command: 0 done, 2 a user error (one line on stderr), 3 some sources could not be used."""
    parser = argparse.ArgumentParser(prog="python -m datasets_prep.build", description=SUMMARY)
    add_arguments(parser)
    args = parser.parse_args(argv)
    try:
        return run(args)
    except UserError as error:
        print(f"{parser.prog}: error: {' '.join(str(error).split())}", file=sys.stderr)
        return 2
