"""`mihatp benchmark`: every method trained and tested on the same data, then the tables, pictures and the report."""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import torch

from mihatp_arch.evaluation.report import comparison, figure, plots, result_tables, table
from mihatp_arch.evaluation.report.page import Crop, write_report
from mihatp_arch.evaluation.results import statistics
from mihatp_arch.evaluation.results.cost import Cost, measure, network_of
from mihatp_arch.evaluation.results.paper_numbers import paper_numbers
from mihatp_arch.evaluation.results.patients import Patients, find_patients
from mihatp_arch.evaluation.results.scores import Scores, mean_of, over_sets, read_images, read_picture
from mihatp_arch.evaluation.run.execute import Results, Setup, train_all
from mihatp_arch.evaluation.run.plan import Plan
from mihatp_arch.evaluation.run.trainings import run_name
from mihatp_arch.metrics.images import BGRImage


def run_benchmark(plan: Plan, setup: Setup) -> int:
    """Train and test all methods of `plan`, and write tables, pictures and the report into the folder of `setup`.

    Returns:
        0, or 3 where methods failed.

    Raises:
        UserError: a mistake in the options, a folder of another benchmark, or no method that finished.
    """
    outcome = train_all(plan, setup)
    baseline = statistics.best_baseline(outcome.scores, outcome.validation, plan.ours)
    patients = find_patients(plan.test_sets(), images_of(outcome.scores))
    results = _compare(plan, outcome, baseline, patients, setup.folder)
    title, note = f"{plan.name}: x{plan.scale}", budget_note(plan, outcome.failures.values())
    tables = [
        result_tables.quality(results, title=title, note=note),
        comparison.significance(results, ours=plan.ours, baseline=baseline, patients=patients),
        result_tables.cost(results, patch=_patch_width(plan), device=_device()),
        result_tables.structure(results),
        *_validation(outcome),
    ]
    tables = [shown for shown in tables if shown.rows]
    table.write(tables, setup.folder / "table1")
    result_tables.write_results(results, setup.folder / "table1.csv")
    summary = [*comparison.verdict(results, plan.ours, baseline), note]
    report = _draw(plan, outcome.scores, results, setup.folder, title, summary, tables)
    print(table.markdown(tables))
    print(f"report: {report}")
    return 3 if outcome.failures else 0


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
    spread = (
        ""
        if len(sets) == 1
        else (
            " ± is the standard deviation between the means of the test sets: their spread, not the uncertainty of a "
            "difference between methods."
        )
    )
    return f"Mean over {len(sets)} test sets ({', '.join(sets)}); {budget}{seeds}.{spread}{failed}"


def images_of(scores: Mapping[str, Sequence[Scores]]) -> dict[str, list[str]]:
    """Test set -> the names of its images, which are the same for every method."""
    return {name: list(images) for name, images in next(iter(scores.values()))[0]["psnr"].items()}


def _validation(outcome: Results) -> list[table.Table]:
    """The table of the validation set; none where there is no such set."""
    if not outcome.validation:
        return []
    pooled = {method: mean_of(seeds) for method, seeds in outcome.validation.items()}
    means = {method: {metric: over_sets(sets) for metric, sets in scores.items()} for method, scores in pooled.items()}
    results = [statistics.MethodResult(method, of, {}, {}) for method, of in means.items()]
    name = ", ".join(next(iter(pooled.values()))["psnr"])
    return [result_tables.validation(results, name=name)]


def _compare(
    plan: Plan, outcome: Results, baseline: statistics.Baseline | None, patients: Patients, folder: Path
) -> list[statistics.MethodResult]:
    """All numbers of all methods."""
    return statistics.compare(
        outcome.scores,
        plan.ours,
        baseline.name if baseline else None,
        patients=patients,
        paper={name: paper_numbers(plan.cohort, plan.scale, name) for name in outcome.scores},
        costs=_costs(plan, outcome.scores, folder),
        iterations={run.method: run.total for run in outcome.runs},
        bounds={
            method.name: outcome.bounds[method.first_stage.name]
            for method in plan.trained
            if method.first_stage is not None and method.first_stage.name in outcome.bounds
        },
    )


def _costs(plan: Plan, scores: Mapping[str, Sequence[Scores]], folder: Path) -> dict[str, Cost]:
    names = [method.name for method in plan.trained if method.name in scores]
    networks = {name: network_of(folder / "plans" / f"{run_name(plan, name, plan.seeds[0])}.yml") for name in names}
    return measure(networks, width=_patch_width(plan) // plan.scale)


def _patch_width(plan: Plan) -> int:
    """Width of the HR patches of the first test set: 192 in the paper."""
    _, _, gt = next(read_images(next(iter(plan.test_sets().values())), plan.scale))
    return min(gt.shape[:2])


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


def _device() -> str:
    if torch.cuda.is_available():
        return torch.cuda.get_device_name()
    return f"a CPU, {torch.get_num_threads()} threads"
