"""`mihatp demo`: small SwinIR, HAT and MiHATP trained and compared at x4 on the embedded data, on a CPU."""

import os
from pathlib import Path

from datasets_prep.demo import build_demo
from mihatp_arch.errors import UserError
from mihatp_arch.evaluation.benchmark import run_benchmark
from mihatp_arch.evaluation.run.benchmark_file import read_plan
from mihatp_arch.evaluation.run.execute import Check, Place

METHODS = ("bicubic", "SwinIR", "HAT", "MiHATP")


def run_demo(*, output: Path, check: Check, iterations: int = 500) -> int:
    """Build the data and run the benchmark of x4 on them: small networks, one thread each.

    Args:
        output: folder for everything that is made; the data lie in its `data/`.
        check: finds mistakes in the options of a training.
        iterations: training iterations, the same for every method.

    Returns:
        0, or 3 where a method failed.

    Raises:
        UserError: it is not called where `options/` is, or no method finished.
    """
    options = Path("options").resolve()
    overlays = [options / "overlays" / name for name in ("tiny.yml", "demo.yml")]
    if not overlays[-1].is_file():
        raise UserError("options/overlays/demo.yml is not here: run `mihatp demo` in the folder of the checkout")
    if iterations < 1:
        raise UserError(f"--iterations: {iterations} must be at least 1")
    data = build_demo(output / "data").resolve()  # it makes `output`, or says why it cannot
    plan = read_plan(
        [options / "benchmark_x4.yml", *overlays],
        data=data,
        forced=["datasets:val=null"],  # nothing is chosen by it
        methods=METHODS,
        changes={"name": "demo", "total_iter": iterations},
    )
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    workers = min(cores, len(plan.trained))  # small networks gain little from threads
    return run_benchmark(plan, Place(output.resolve(), check=check, workers=workers, threads=1))
