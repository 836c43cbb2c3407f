"""The nuclei of many slides, one after another; the failure of one does not stop the others."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from datasets_prep.common.errors import UserError, failure_of
from mihatp_arch.inference.inputs import find_inputs
from mihatp_arch.inference.nuclei.load import load_nuclei_network
from mihatp_arch.inference.nuclei.options import NucleiOptions
from mihatp_arch.inference.nuclei.segment_slide import SlideNuclei, segment_slide
from mihatp_arch.inference.outputs import name_in_output, refuse_clashes, refuse_no_folder


@dataclass
class Outcome:
    """What was done.

    Attributes:
        written: number of files.
        existed: number of outputs that existed, and stay.
        failed: a line for each slide that could not be segmented.
    """

    written: int = 0
    existed: int = 0
    failed: list[str] = field(default_factory=list)


def plan_outputs(paths: Sequence[Path], output: Path, say: Callable[[str], None]) -> dict[Path, Path]:
    """The slides and pictures among files and folders, and the GeoJSON of each in the folder `output`.

    Raises:
        UserError: there are none, two have one output, or `output` is a file.
    """
    if output.suffix.lower() in (".geojson", ".json") and not output.is_dir():
        raise UserError(f"-o {output}: for a folder or several inputs, name a folder")
    refuse_no_folder(output)
    inputs = find_inputs(paths)
    for note in inputs.notes:
        say(note)
    sources = sorted([*inputs.pictures, *inputs.slides])
    outputs = {path: output / name_in_output(path, paths).with_suffix(".geojson") for path in sources}
    refuse_clashes(outputs)
    return outputs


def segment_slides(
    outputs: Mapping[Path, Path],
    options: NucleiOptions,
    *,
    overwrite: bool,
    resume: bool,
    done: Callable[[Path, SlideNuclei], None],
) -> Outcome:
    """Segment slides, and write the nuclei of each as GeoJSON.

    Args:
        outputs: slide -> its new GeoJSON.
        options: how.
        overwrite: replace outputs that exist.
        resume: leave outputs that exist.
        done: called with each output and its nuclei.

    Raises:
        UserError: outputs exist, or the network cannot be loaded.
    """
    existing = [] if overwrite else [output for output in outputs.values() if output.exists()]
    if existing and not resume:
        more = f" and {len(existing) - 1} more" if len(existing) > 1 else ""
        raise UserError(f"the output {existing[0]}{more} exists: --resume leaves it, --overwrite replaces it")
    if options.tissue is not None and len(outputs) > 1:
        raise UserError(f"--tissue {options.tissue}: it outlines one slide, and there are {len(outputs)}")
    load_nuclei_network(options.weights, device=options.device)  # a mistake in the weights shows once, and at once
    outcome = Outcome(existed=len(existing))
    for slide, output in outputs.items():
        if output in existing:
            continue
        try:
            done(output, segment_slide(slide, output, options, overwrite=overwrite))
            outcome.written += 1
        except (UserError, OSError, RuntimeError, MemoryError) as error:
            outcome.failed.append(failure_of(slide, error))
    return outcome
