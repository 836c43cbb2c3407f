"""`mihatp benchmark`: every method trained and tested on the same data, then the tables, pictures and the report."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

from mihatp_arch.evaluation.report import figure, plots, table
from mihatp_arch.evaluation.report import page as report
from mihatp_arch.evaluation.results import statistics as compare
from mihatp_arch.evaluation.results.cost import Cost, measure, network_of
from mihatp_arch.evaluation.results.paper_numbers import published
from mihatp_arch.evaluation.results.scores import Image, Scores, pairs, read_picture
from mihatp_arch.evaluation.run.benchmark_file import Plan
from mihatp_arch.evaluation.run.execute import Place, train_all
from mihatp_arch.evaluation.run.trainings import run_name


def run_benchmark(plan: Plan, place: Place) -> int:
    """Train and test all methods of `plan`, and write tables, pictures and the report into the folder of `place`.

    Returns:
        0, or 3 where methods failed.

    Raises:
        UserError: a mistake in the options, other options than those of before, or no method that finished.
    """
    output = place.folder
    results = train_all(plan, place)
    scores = results.scores
    baseline = compare.best_baseline(scores, plan.ours)
    lines = compare.lines(
        scores,
        plan.ours,
        baseline,
        published={name: published(plan.cohort, plan.scale, name) for name in scores},
        costs=_costs(plan, scores, output),
        iterations={run.method: run.total for run in results.runs},
        bounds={
            one.name: results.bounds[one.first_stage.name]
            for one in plan.trained
            if one.first_stage is not None and one.first_stage.name in results.bounds
        },
    )
    title, note = f"{plan.name}: x{plan.scale}", budget_note(plan, results.failures)
    tables = [
        table.quality(lines, title=title, note=note),
        table.significance(lines, baseline),
        table.cost(lines, patch=_patch(plan), device=_device()),
        table.structure(lines),
    ]
    tables = [one for one in tables if one.rows]
    table.write(tables, output / "table1")
    table.write_csv(lines, output / "table1.csv")
    patches = shown(plan, scores, output)
    figure.same_places(patches, output / "figure2.png")
    plots.quality_against_cost(lines, output / "cost.png")
    report.write_report(
        output / "report.html",
        title=title,
        summary=[*table.verdict(lines, plan.ours, baseline), note],
        tables=tables,
        crops=[_crop(one) for one in patches],
        figures={"The same places, all methods": output / "figure2.png", "Quality against cost": output / "cost.png"},
        left=next(iter(scores)),
        right=plan.ours if plan.ours in scores else list(scores)[-1],
    )
    print(table.markdown(tables))
    print(f"report: {output / 'report.html'}")
    return 3 if results.failures else 0


def budget_note(plan: Plan, failures: Mapping[str, str]) -> str:
    """What the numbers of a table are: the sets, the budget, the seeds, what failed."""
    sets = plan.test_sets()
    budget = "each method its own iterations"
    if plan.total_iter is not None:
        budget = f"{plan.total_iter} iterations each"
    elif plan.seconds is not None:
        budget = f"{plan.seconds:g} seconds of training each"
    seeds = f", {len(plan.seeds)} seeds" if len(plan.seeds) > 1 else ""
    failed = "".join(f" Failed: {one}." for one in failures.values())
    return f"Mean ± standard deviation over {len(sets)} test sets ({', '.join(sets)}); {budget}{seeds}.{failed}"


def _costs(plan: Plan, scores: Mapping[str, Any], output: Path) -> dict[str, Cost]:
    names = {one.name: run_name(plan, one.name, plan.seeds[0]) for one in plan.trained if one.name in scores}
    networks = {name: network_of(output / "plans" / f"{run}.yml") for name, run in names.items()}
    return measure(networks, width=_patch(plan) // plan.scale)


def _patch(plan: Plan) -> int:
    """Width of the HR patches of the first test set: 192 in the paper."""
    _, _, gt = next(pairs(next(iter(plan.test_sets().values())), plan.scale))
    return min(gt.shape[:2])


def shown(plan: Plan, scores: Mapping[str, Sequence[Scores]], output: Path) -> list[figure.Patch]:
    """The worst, median and best patch with LR, every method and HR."""
    patches = []
    for title, name, image in compare.places(scores):
        lq, gt = next((lq, gt) for key, lq, gt in pairs(plan.test_sets()[name], plan.scale) if key == image)
        images: dict[str, Image] = {f"LR x{plan.scale}": lq}
        captions = {}
        for method, seeds in scores.items():
            trained = any(one.name == method for one in plan.trained)
            run = run_name(plan, method, plan.seeds[0]) if trained else f"{method}_x{plan.scale}"
            images[method] = read_picture(output / "results" / run, name, image)
            captions[method] = f"{seeds[0]['psnr'][name][image]:.2f} dB"
        patches.append(figure.Patch(f"{title}: {name} {image}", {**images, "HR": gt}, captions))
    return patches


def _crop(patch: figure.Patch) -> report.Crop:
    height = patch.images["HR"].shape[0]
    images = {label: figure.enlarged(image, height) for label, image in patch.images.items()}
    return report.Crop(patch.title, images, patch.captions)


def _device() -> str:
    if torch.cuda.is_available():
        return torch.cuda.get_device_name()
    return f"a CPU, {torch.get_num_threads()} threads"
