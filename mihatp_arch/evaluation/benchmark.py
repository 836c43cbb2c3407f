"""`mihatp benchmark`: every method trained and tested on the same data, then the tables, pictures and the report."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from datasets_prep.common.files import refuse_foreign_results
from mihatp_arch.evaluation.blocks import Block, compare_methods, patch_width
from mihatp_arch.evaluation.frozen_list import check_against, read_test_images, today
from mihatp_arch.evaluation.pictures import PICTURES, draw
from mihatp_arch.evaluation.report import comparison, remarks, result_tables, table
from mihatp_arch.evaluation.report.added_tables import REPORT
from mihatp_arch.evaluation.report.numbers import RESULTS_MARK, write_results
from mihatp_arch.evaluation.report.provenance import Session, provenance
from mihatp_arch.evaluation.results.kernels import kernels_of_sets, no_projection
from mihatp_arch.evaluation.results.patients import Patients
from mihatp_arch.evaluation.run.execute import Setup, train_all
from mihatp_arch.evaluation.run.plan import Plan
from mihatp_arch.training.run_record import commit, device_name


def run_benchmark(
    plan: Plan,
    setup: Setup,
    *,
    date: str | None = None,
    against: Path | None = None,
    figures: Mapping[str, Path] | None = None,
    views: Mapping[str, str] | None = None,
) -> int:
    """Train and test all methods of `plan`, and write tables, pictures and the report into the folder of `setup`.

    Args:
        plan: the methods and the data.
        setup: where and how to train.
        date: of the report; None: today, UTC.
        against: a frozen test list that the test sets must agree with.
        figures, views: title -> PNG of more pictures, or relative link to more views, in the report.

    Returns:
        0, or 3 where methods failed.

    Raises:
        UserError: a mistake in the options, test sets that are not those of the list, a folder of another benchmark,
            a file of others in the place of a result, or no method that finished.
    """
    refuse_foreign_results(setup.folder, "table1.csv", RESULTS_MARK, "table1.md", "table1.tex", *PICTURES, REPORT)
    images = read_test_images(plan) if against is None else check_against(plan, against)
    kernels = kernels_of_sets(plan)
    reason = no_projection(kernels) if plan.projected else None
    plan = replace(plan, projected=plan.projected and reason is None)
    outcome = train_all(plan, setup)
    blocks, patients = compare_methods(plan, outcome, setup.folder)
    title, note = f"{plan.name}: x{plan.scale}", budget_note(plan, outcome.failures.values())
    unreachable, other = remarks.unreachable(blocks[0].results), remarks.other_kernels(blocks[0].results, kernels)
    lines = [*unreachable, *other, *([reason] if reason else [])]
    session = Session(date or today(), commit(), device_name(), against)
    measured = provenance(plan, session, images=images, patients=patients, kernels=kernels, results=blocks[0].results)
    tables = [*_tables(plan, blocks, patients, title=title, note=note, lines=lines), measured]
    write_results([result for block in blocks for result in block.results], setup.folder / "table1.csv")
    table.write(tables, setup.folder / "table1")
    verdicts = [line for block in blocks for line in comparison.verdict(block.results, block.ours, block.baseline)]
    report = draw(
        plan,
        outcome.plain.scores,
        blocks[0].results,
        setup.folder,
        baseline=blocks[0].baseline.name if blocks[0].baseline else None,
        title=title,
        summary=[*verdicts, note],
        tables=tables,
        more=figures or {},
        views=views or {},
    )
    print(table.markdown(tables), f"report: {report}", sep="\n")
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
        *(comparison.other_metrics(block.results, ours=block.ours, baseline=block.baseline) for block in blocks),
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
        budget = f"{plan.seconds:g} seconds of training each, validations and first stages come on top"
    own = [f"{method.name} {method.total_iter}" for method in plan.trained if method.total_iter is not None]
    budget += f" (but: {', '.join(own)} iterations)" if own else ""
    seeds = f", {len(plan.seeds)} seeds" if len(plan.seeds) > 1 else ""
    failed = "".join(f" Failed: {reason}." for reason in failures)
    if len(sets) == 1:
        return f"Mean over the images of {next(iter(sets))}; {budget}{seeds}.{failed}"
    spread = (
        "± is the standard deviation between the means of the test sets: their spread, not the uncertainty of a "
        "difference between methods."
    )
    return f"Mean over {len(sets)} test sets ({', '.join(sets)}); {budget}{seeds}. {spread}{failed}"
