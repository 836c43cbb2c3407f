"""`mihatp demo`: small SwinIR, HAT and MiHATP trained and compared at x4 on the embedded data, on a CPU."""

import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from datasets_prep.demo import build_demo
from mihatp_arch.errors import UserError
from mihatp_arch.evaluation import cost, figure, table
from mihatp_arch.evaluation.commands import Job
from mihatp_arch.evaluation.scores import bicubic, read_lmdb, saved_result, score

SCALE = 4
METHODS = ("MiHATP", "SwinIR", "HAT")  # the longest first, so that the others fill the second core
SETS = ["test1", "test2", "test3", "test4", "test5"]
VALIDATED = ("val", *(f"val_{name}" for name in SETS))


def run_demo(*, output: Path, iterations: int = 500) -> None:
    """Build the data, train, test, write `table.md`, `table.csv` and `figure.png` into `output`.

    Args:
        output: folder for everything that is made; the data lie in its `data/`.
        iterations: training iterations, the same for every method.

    Raises:
        UserError: it is not called where `options/` is, or a training or test failed.
    """
    options = Path("options").resolve()
    if not (options / "overlays" / "demo.yml").is_file():
        raise UserError("options/overlays/demo.yml is not here: run `mihatp demo` in the folder of the checkout")
    if iterations < 1:
        raise UserError(f"--iterations: {iterations} must be at least 1")
    data = build_demo(output / "data").resolve()  # it makes `output`, or says why it cannot
    output = output.resolve()

    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    with ThreadPoolExecutor(max_workers=min(cores, len(METHODS))) as pool:  # small networks gain little from threads
        for _ in pool.map(lambda at: train_and_test(METHODS[at], at, options, data, output, iterations), range(3)):
            pass

    rows = _rows(data, output)
    table.write(rows, output)
    _figure(data, output, rows)
    print(f"\nx{SCALE}, {iterations} iterations each; mean ± sd over {len(SETS)} test sets of embedded data\n")
    print(table.markdown(rows))
    print(f"picture: {output / 'figure.png'}")


def train_and_test(method: str, position: int, options: Path, data: Path, output: Path, iterations: int) -> None:
    """`basicsr train`, then `basicsr test` with the same files."""
    overlays = [options / "overlays" / name for name in ("tiny.yml", f"tiny_{method}.yml", "demo.yml")]
    files = [str(options / f"train_{method}_x{SCALE}.yml"), *(str(path) for path in overlays if path.is_file())]
    common = ["-opt", *files, "--data", str(data)]
    schedule = [
        f"train:total_iter={iterations}",
        f"train:scheduler:periods=[{iterations}]",
        f"logger:save_checkpoint_freq={iterations}",
        f"logger:print_freq={max(iterations // 50, 1)}",
        *(f"datasets:{name}=null" for name in VALIDATED),
        "val=null",
    ]
    logs = output / "logs"
    Job(
        f"train {method}",
        ["train", *common, "--force_yml", *schedule],
        output,
        logs / f"train_{method}.log",
        1,
        iterations,
    ).run(position=position)
    Job(f"test {method}", ["test", *common], output, logs / f"test_{method}.log", 1).run(position=position)


def _rows(data: Path, output: Path) -> list[table.Row]:
    networks = {name: cost.trained_network(output / "experiments" / f"{name}_x{SCALE}") for name in METHODS}
    times = cost.milliseconds(networks, width=192 // SCALE)
    rows = [table.Row("bicubic", score(data, SETS, SCALE, lambda _, __, lq: bicubic(lq, SCALE)))]
    for name in sorted(METHODS, key=("SwinIR", "HAT", "MiHATP").index):
        scores = score(data, SETS, SCALE, saved_result(output / "results", f"{name}_x{SCALE}"))
        rows.append(table.Row(name, scores, cost.parameters(networks[name]), times[name]))
    return rows


def _figure(data: Path, output: Path, rows: list[table.Row]) -> None:
    """The first patch of the first test set, which is a real one."""
    name = SETS[0]
    gt, lq = (read_lmdb(data / name / f"{role}.lmdb") for role in ("HR", f"LR_x{SCALE}"))
    key = min(gt)
    images = {f"LR x{SCALE}": lq[key], "bicubic": bicubic(lq[key], SCALE)}
    for row in rows[1:]:
        images[row.method] = saved_result(output / "results", f"{row.method}_x{SCALE}")(name, key, lq[key])
    captions = {row.method: f"{row.scores.psnr[name][key]:.2f} dB" for row in rows}
    figure.side_by_side({**images, "HR": gt[key]}, captions, output / "figure.png")
