"""The table that says what was measured: on which data, with which trainings, when, by which code, on which device."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from datasets_prep.common.files import sha256_of
from datasets_prep.common.version import __version__
from mihatp_arch.evaluation.frozen_list import FrozenImage, hash_of
from mihatp_arch.evaluation.report.result_tables import thousands
from mihatp_arch.evaluation.report.table import Table
from mihatp_arch.evaluation.results.patients import Patients, manifest_of, patients_of_split
from mihatp_arch.evaluation.results.statistics import MethodResult
from mihatp_arch.evaluation.run.plan import Plan


@dataclass(frozen=True)
class Session:
    """What the data do not say.

    Attributes:
        date: of the report.
        commit: of the code, None outside a checkout.
        device: on which tests and times were measured.
        frozen: the frozen test list that the data were checked against; None without one.
    """

    date: str
    commit: str | None
    device: str
    frozen: Path | None = None


def provenance(
    plan: Plan,
    session: Session,
    *,
    images: Sequence[FrozenImage],
    patients: Patients,
    kernels: Mapping[str, str | None],
    results: Sequence[MethodResult],
) -> Table:
    """What was measured, a fact a row."""
    test_set = next(iter(plan.test_sets().values()))
    manifest = manifest_of(test_set)
    recorded = f"manifest.csv SHA-256 {sha256_of(manifest)}" if manifest.is_file() else "no manifest.csv"
    known = sorted({kernel or "not known" for kernel in kernels.values()})
    counted = f"{patients.count} patients" if not patients.missing else "patients not known"
    seeds = [str(seed) for seed in plan.seeds if seed is not None] or _own_seeds(plan)
    rows = [
        ["data set", f"{manifest.parent.name}, {recorded}"],
        ["training set", _training_set(plan)],
        ["test images", f"{len(images)} images of {counted}, sets {', '.join(plan.test_sets())}"],
        ["test pixels", f"HR and LR x{plan.scale}, SHA-256 {hash_of(images)}"],
        ["frozen list", f"checked against {session.frozen.name}" if session.frozen else "none"],
        ["LR kernel", ", ".join(known)],
        ["seeds", ", ".join(seeds)],
        ["iterations and seconds", "; ".join(_effort(result) for result in results if result.facts.cost) or "none"],
        ["date", session.date],
        ["code", f"mihatp {__version__}, commit {session.commit or 'not known'}"],
        ["device", session.device],
    ]
    return Table("What was measured", ["fact", "value"], rows, note="A + after the commit: files differ from it.")


def _training_set(plan: Plan) -> str:
    train = plan.trained[0].datasets().get("train")
    if train is None:
        return "none"
    patients = patients_of_split(train)
    if not patients:
        return "patients not known"
    return f"{len(patients)} images of {len(set(patients.values()))} patients"


def _own_seeds(plan: Plan) -> list[str]:
    """The seeds of the option files, where the plan names none."""
    return sorted({str(method.options.get("manual_seed")) for method in plan.trained if method.options is not None})


def _effort(result: MethodResult) -> str:
    facts = result.facts
    if not facts.iterations:
        return f"{result.method} not trained here"
    time = f" in {facts.training.seconds:.0f} s" if facts.training else ""
    return f"{result.method} {thousands(facts.iterations)}{time}"
