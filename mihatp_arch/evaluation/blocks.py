"""From the outcome of a benchmark to its blocks of rows: the methods as they are, and with the projection."""

from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TypeVar

from mihatp_arch.evaluation.results.cost import Cost, measure, network_of
from mihatp_arch.evaluation.results.kernels import kernel_of_training
from mihatp_arch.evaluation.results.paper_numbers import paper_numbers
from mihatp_arch.evaluation.results.patients import Patients, find_patients
from mihatp_arch.evaluation.results.scores import Scores, mean_of, read_images
from mihatp_arch.evaluation.results.statistics import (
    Baseline,
    Facts,
    MethodResult,
    best_baseline,
    compare,
    mean_and_spread,
)
from mihatp_arch.evaluation.results.training_time import training_time
from mihatp_arch.evaluation.run.execute import Results, Tested
from mihatp_arch.evaluation.run.plan import Method, Plan
from mihatp_arch.evaluation.run.trainings import run_name

T = TypeVar("T")
PROJECTED = "*"  # ends the names of the rows with the consistency projection


@dataclass(frozen=True)
class Block:
    """Methods that are compared with each other: all as they are, or all with the consistency projection.

    Attributes:
        results: of the methods on the test sets.
        validation: of the methods on the validation set, means alone; empty without one.
        ours: the method that is compared with every other one.
        baseline: the best other method; None where there is no other.
    """

    results: Sequence[MethodResult]
    validation: Sequence[MethodResult]
    ours: str
    baseline: Baseline | None


def compare_methods(plan: Plan, outcome: Results, folder: Path) -> tuple[list[Block], Patients]:
    """The methods as they are, then those with the projection if there are any; and the patients of the test images."""
    patients = find_patients(plan.test_sets(), next(iter(outcome.plain.scores.values()))[0]["psnr"])
    facts = facts_of_methods(plan, outcome, folder, costs=_costs(plan, outcome, folder))
    variants = plan.variants
    blocks = [_block(outcome.plain, plan.ours, variants, patients, facts)]
    if outcome.projected is not None:
        starred = Tested(_starred(outcome.projected.scores), _starred(outcome.projected.validation))
        # The paper has no projected rows, a bound holds without projection, and the cost is that of the row without it.
        same = {name: replace(of, paper=None, cost=None, bound=None) for name, of in facts.items()}
        own = {f"{name}{PROJECTED}" for name in variants}
        blocks.append(_block(starred, f"{plan.ours}{PROJECTED}", own, patients, _starred(same)))
    return blocks, patients


def _starred(values: Mapping[str, T]) -> dict[str, T]:
    return {f"{name}{PROJECTED}": value for name, value in values.items()}


def _block(tested: Tested, ours: str, variants: Set[str], patients: Patients, facts: Mapping[str, Facts]) -> Block:
    baseline = best_baseline(tested.scores, tested.validation, variants)
    name = baseline.name if baseline else None
    results = compare(tested.scores, ours, name, patients=patients, facts=facts)
    return Block(results, [_means(*entry) for entry in tested.validation.items()], ours, baseline)


def _means(method: str, seeds: Sequence[Scores]) -> MethodResult:
    return MethodResult(method, {metric: mean_and_spread(sets) for metric, sets in mean_of(seeds).items()}, {}, {})


def facts_of_methods(plan: Plan, outcome: Results, folder: Path, *, costs: Mapping[str, Cost]) -> dict[str, Facts]:
    """Everything that the tables say of each method that has finished, besides its scores."""
    return {
        method.name: _facts(method, plan, outcome, folder, costs.get(method.name))
        for method in plan.methods
        if method.name in outcome.plain.scores
    }


def _facts(method: Method, plan: Plan, outcome: Results, folder: Path, cost: Cost | None) -> Facts:
    experiments = folder / "experiments"
    runs = [run for run in outcome.runs if run.method == method.name and run.name not in outcome.failures]
    stage = method.first_stage
    bound = None if stage is None else outcome.bounds.get(stage.name)
    return Facts(
        paper=paper_numbers(plan.cohort, plan.scale, method.name),
        cost=cost,
        iterations=runs[0].total if runs else 0,
        training=training_time(experiments / run.name for run in runs if run.total),
        first_stage=None if stage is None else training_time([experiments / run_name(plan, stage.name, None)]),
        bound=None if bound is None else mean_and_spread(bound["psnr"]),
        kernel=kernel_of_training(method, plan.scale),
    )


def _costs(plan: Plan, outcome: Results, folder: Path) -> dict[str, Cost]:
    runs = {
        method.name: run_name(plan, method.name, plan.seeds_of(method)[0])
        for method in plan.trained
        if method.name in outcome.plain.scores
    }
    networks = {name: network_of(folder / "plans" / f"{run}.yml") for name, run in runs.items()}
    return measure(networks, width=patch_width(plan) // plan.scale)


def patch_width(plan: Plan) -> int:
    """Width of the HR patches of the first test set: 192 in the paper."""
    _, _, gt = next(read_images(next(iter(plan.test_sets().values())), plan.scale))
    return min(gt.shape[:2])
