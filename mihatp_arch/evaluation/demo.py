"""`mihatp demo`: small networks trained and compared at x4 on the embedded data, then a slide super-resolved."""

from pathlib import Path

from datasets_prep.common.cores import usable_cores
from datasets_prep.common.packaged_options import options_folder
from datasets_prep.demo import build_demo
from mihatp_arch.errors import UserError
from mihatp_arch.evaluation.benchmark import run_benchmark
from mihatp_arch.evaluation.demo_slide import WEIGHTS, upscale_demo_slide
from mihatp_arch.evaluation.run.benchmark_file import read_plan
from mihatp_arch.evaluation.run.execute import Setup

METHODS = ("bicubic", "SwinIR", "HAT", "MiHATP")
FILES = ("benchmark_x4.yml", "overlays/tiny.yml", "overlays/demo.yml")


def run_demo(*, output: Path, iterations: int = 500) -> int:
    """Build the data and run the benchmark of x4 on them: small networks, one thread each. Super-resolve a slide.

    Args:
        output: folder for everything that is made; the data lie in its `data/`.
        iterations: training iterations, the same for every method.

    Returns:
        0, or 3 where a method failed.

    Raises:
        UserError: `output` cannot be written, or no method finished.
    """
    if iterations < 1:
        raise UserError(f"--iterations: {iterations} must be at least 1")
    data = build_demo(output / "data").resolve()  # it makes `output`, or says why it cannot
    plan = read_plan(
        [options_folder() / name for name in FILES],
        data=data,
        methods=METHODS,
        changes={"name": "demo", "total_iter": iterations},
    )
    workers = min(usable_cores(), len(plan.trained))  # small networks gain little from threads
    super_resolved, picture, view = upscale_demo_slide(output)
    status = run_benchmark(
        plan,
        Setup(output.resolve(), workers=workers, threads=1),
        figures={f"A synthetic slide from 10x to 40x by {WEIGHTS}, which was trained on real slides": picture},
        views={} if view is None else {"the slide at 10x, super-resolved, and at 40x": view},
    )
    print(f"slide: {super_resolved} (mihatp upscale {output / 'slide.tiff'} -o {super_resolved} --scale 4)")
    return status
