"""`mihatp benchmark`: every method trained and tested on the same data, then the tables, pictures and the report."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from mihatp_arch.evaluation.blocks import Block, compare_methods, patch_width
from mihatp_arch.evaluation.report import comparison, figure, plots, remarks, result_tables, table
from mihatp_arch.evaluation.report.numbers import write_results
from mihatp_arch.evaluation.report.page import Crop, write_report
from mihatp_arch.evaluation.results import statistics
from mihatp_arch.evaluation.results.kernels import kernels_of_sets, no_projection
from mihatp_arch.evaluation.results.patients import Patients
from mihatp_arch.evaluation.results.scores import Scores, read_images, read_picture
from mihatp_arch.evaluation.run.execute import Setup, train_all
from mihatp_arch.evaluation.run.plan import Plan
from mihatp_arch.evaluation.run.trainings import run_name
from mihatp_arch.metrics.images import BGRImage
from mihatp_arch.training.run_record import device_name


def run_benchmark(plan: Plan, setup: Setup) -> int:
    """Train and test all methods of `plan`, and write tables, pictures and the report into the folder of `setup`.

    Returns:
        0, or 3 where methods failed.

    Raises:
        UserError: a mistake in the options, a folder of another benchmark, or no method that finished.
    """
    kernels = kernels_of_sets(plan)
    reason = no_projection(kernels) if plan.projected else None
    plan = replace(plan, projected=plan.projected and reason is None)
    outcome = train_all(plan, setup)
    blocks, patients = compare_methods(plan, outcome, setup.folder)
    title, note = f"{plan.name}: x{plan.scale}", budget_note(plan, outcome.failures.values())
    lines = [
        *remarks.unreachable(blocks[0].results),
        *remarks.other_kernels(blocks[0].results, kernels),
        *([reason] if reason else []),
    ]
    tables = _tables(plan, blocks, patients, title=title, note=note, lines=lines)
    table.write(tables, setup.folder / "table1")
    write_results([result for block in blocks for result in block.results], setup.folder / "table1.csv")
    verdicts = [line for block in blocks for line in comparison.verdict(block.results, block.ours, block.baseline)]
    report = _draw(plan, outcome.plain.scores, blocks[0].results, setup.folder, title, [*verdicts, note], tables)
    print(table.markdown(tables))
    print(f"report: {report}")
    return 3 if outcome.failures else 0


def _tables(
    plan: Plan, blocks: Sequence[Block], patients: Patients, *, title: str, note: str, lines: Sequence[str]
) -> list[table.Table]:
    """All tables that have rows."""
    results = [block.results for block in blocks]
    if len(blocks) > 1:
        note += " *: with the consistency projection. Each block is compared within itself."
    tables = [
        result_tables.quality(results, title=title, note=note, remarks=lines),
        *(
            comparison.significance(block.results, ours=block.ours, baseline=block.baseline, patients=patients)
            for block in blocks
        ),
        result_tables.cost(blocks[0].results, patch=patch_width(plan), device=device_name()),
        result_tables.structure(results),
    ]
    if blocks[0].validation:
        name = ", ".join(plan.validation_set())
        tables.append(result_tables.validation([block.validation for block in blocks], name=name))
    return [shown for shown in tables if shown.rows]


def budget_note(plan: Plan, failures: Iterable[str]) -> str:
    """The note below a table: its test sets, the budget, the seeds, and the failures."""
    sets = plan.test_sets()
    budget = "each method its own iterations"
    if plan.total_iter is not None:
        budget = f"{plan.total_iter} iterations each"
    elif plan.seconds is not None:
        budget = f"{plan.seconds:g} seconds of training each"
    seeds = f", {len(plan.seeds)} seeds" if len(plan.seeds) > 1 else ""
    failed = "".join(f" Failed: {reason}." for reason in failures)
    spread = ""
    if len(sets) > 1:
        spread = (
            " ± is the standard deviation between the means of the test sets: their spread, not the uncertainty of a "
            "difference between methods."
        )
    return f"Mean over {len(sets)} test sets ({', '.join(sets)}); {budget}{seeds}.{spread}{failed}"


def _draw(
    plan: Plan,
    scores: Mapping[str, Sequence[Scores]],
    results: Sequence[statistics.MethodResult],
    folder: Path,
    title: str,
    summary: Sequence[str],
    tables: Sequence[table.Table],
) -> Path:
    """Draw Figure 2 and the cost plot, write the report, and return its path."""
    patches = example_patches(plan, scores, folder)
    figures = {"The same places, all methods": folder / "figure2.png", "Quality against cost": folder / "cost.png"}
    figure.draw_crops(patches, folder / "figure2.png")
    plots.quality_against_cost(results, folder / "cost.png")
    write_report(
        folder / "report.html",
        title=title,
        summary=summary,
        tables=tables,
        crops=[_crop(patch) for patch in patches],
        figures=figures,
        left=next(iter(scores)),
        right=plan.ours if plan.ours in scores else list(scores)[-1],
    )
    return folder / "report.html"


def example_patches(plan: Plan, scores: Mapping[str, Sequence[Scores]], folder: Path) -> list[figure.Patch]:
    """The worst, median and best patch with LR, every method and HR."""
    trained = {method.name for method in plan.trained}
    patches = []
    for title, name, image in statistics.example_images(scores):
        lq, gt = next((lq, gt) for key, lq, gt in read_images(plan.test_sets()[name], plan.scale) if key == image)
        images: dict[str, BGRImage] = {f"LR x{plan.scale}": lq}
        captions = {}
        for method, seeds in scores.items():
            run = run_name(plan, method, plan.seeds[0]) if method in trained else f"{method}_x{plan.scale}"
            images[method] = read_picture(folder / "results" / run, name, image)
            captions[method] = f"{seeds[0]['psnr'][name][image]:.2f} dB"
        patches.append(figure.Patch(f"{title}: {name} {image}", {**images, "HR": gt}, captions))
    return patches


def _crop(patch: figure.Patch) -> Crop:
    height = patch.images["HR"].shape[0]
    images = {label: figure.enlarged(image, height) for label, image in patch.images.items()}
    return Crop(patch.title, images, patch.captions)
