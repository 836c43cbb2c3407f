"""Proves a GPU: every part of the project that needs one, in eight minutes, without a network.

    make gpu
    python benchmarks/gpu_check.py [--seconds 480] [--parts equality tables] [--data datasets/monuseg_480]
    python benchmarks/gpu_check.py --device cpu --tiny     # the same code on sizes for a CPU

The parts, in order of their value, each a process with a limit of its own:

* `equality`: every fast path against the plain one; the tests that need a GPU
* `training`: `basicsr train` in bf16, compiled, with CUDA graphs: killed, resumed, tested; torchrun; gloo
* `tables`: inference, step, MiHATP, slides, loader and tiles against the peer, with the share of the matrix peak
* `profiles`: the kernels that take most of the time
* `weights`: training of the bundled weights in the time that is left; the next call resumes it

Tables go to `benchmarks/results/gpu/` as JSON and Markdown. Exit code 3 if a part fails. Without a GPU each part is
skipped.
"""

import argparse
import importlib
import importlib.util
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import mihatp_arch  # noqa: F401  it mends what the imports below need
from datasets_prep.common.cores import usable_cores

# isort: split
import torch
from children import OWN
from gpu.part import Check, Results
from report import Settings, positive

from datasets_prep.common.files import write_file
from datasets_prep.common.text import markdown_table

PARTS = {"equality": 110, "training": 170, "tables": 190, "profiles": 60, "weights": 480}  # most seconds of each
_STOPPING = 20  # seconds in which a part must end after SIGTERM


def main() -> int:
    args = _parser().parse_args()
    end = time.monotonic() + args.seconds
    if args.part:
        return run_part(args)
    rows: list[list[str]] = []
    for part in args.parts:
        left = end - time.monotonic()
        if args.device == "cuda" and not torch.cuda.is_available():
            outcome = "skipped: no GPU"
        elif left < _STOPPING:
            outcome = "out of time"
        else:
            outcome = in_process(part, min(left, PARTS[part]), args)
        rows.append([part, outcome, f"{max(left - (end - time.monotonic()), 0):.0f}"])
        print(f"{part}: {outcome}", flush=True)
    if any(outcome != "skipped: no GPU" for _, outcome, _ in rows):
        write_file(args.output / "README.md", f"{markdown_table(['part', 'outcome', 's'], rows)}\n".encode())
    return 3 if any(outcome in ("failed", "out of time") for _, outcome, _ in rows) else 0


def in_process(part: str, seconds: float, args: argparse.Namespace) -> str:
    """Run a part in a process of its own; `done`, `failed` or `out of time`."""
    command = [sys.executable, __file__, "--part", part, "--device", args.device, "--output", str(args.output)]
    command += ["--seconds", str(int(seconds) - min(10, int(seconds) // 4)), "--threads", str(args.threads)]
    command += [*(["--tiny"] if args.tiny else []), *(["--data", str(args.data)] if args.data else [])]
    with subprocess.Popen(command, start_new_session=True) as process:
        try:
            return "done" if process.wait(seconds) == 0 else "failed"
        except subprocess.TimeoutExpired:
            return "out of time"
        finally:
            _end(process)


def _end(process: subprocess.Popen[bytes]) -> None:
    """End a process and those that it started."""
    for number in (signal.SIGTERM, signal.SIGKILL):
        if process.poll() is None:
            os.killpg(process.pid, number)
            try:
                process.wait(_STOPPING)
            except subprocess.TimeoutExpired:
                continue


def run_part(args: argparse.Namespace) -> int:
    """Run a part in this process: 3 if something failed."""
    groups, repeats = (1, 1) if args.tiny else (6, 3)
    settings = Settings(args.device, args.threads, repeats, groups, args.tiny, (OWN,), args.output).apply()
    check = Check(settings, args.tiny, time.monotonic() + args.seconds, args.output, args.data)
    results = Results(args.part, check)
    importlib.import_module(f"gpu.{args.part}").run(check, results)
    return 3 if results.failed else 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", choices=["cuda", "cpu"], default="cuda")
    parser.add_argument("--tiny", action="store_true", help="small sizes: they prove the code, and measure nothing")
    parser.add_argument("--seconds", type=positive, default=480, help="of all parts together (default: 480)")
    parser.add_argument("--parts", nargs="+", choices=list(PARTS), default=list(PARTS))
    parser.add_argument("--part", choices=list(PARTS), help=argparse.SUPPRESS)
    parser.add_argument("--threads", type=positive, default=usable_cores(), help="of torch on the CPU")
    parser.add_argument("--data", type=Path, help="data for the weights (default: datasets/monuseg_480)")
    default = Path(__file__).with_name("results") / "gpu"
    parser.add_argument("--output", type=Path, default=default, help="folder of the tables")
    return parser


if __name__ == "__main__":
    parsed = _parser().parse_args()
    if importlib.util.find_spec("spandrel") is None:
        _parser().error("the peer is missing: pip install spandrel")
    parsed.output.mkdir(parents=True, exist_ok=True)
    sys.exit(main())
