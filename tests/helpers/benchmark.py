"""Benchmark files over a small data set."""

from pathlib import Path
from typing import Any

import yaml

from mihatp_arch.evaluation.run.benchmark_file import read_plan
from mihatp_arch.evaluation.run.plan import Plan

OPTIONS = Path(__file__).resolve().parents[2] / "options"
OVERLAYS = [OPTIONS / "overlays" / name for name in ("tiny.yml", "demo.yml")]
FAST = ["num_gpu=0", "datasets:train:batch_size_per_gpu=2"]


def write_benchmark(folder: Path, methods: dict[str, Any], *, scale: int = 4, **more: Any) -> Path:
    """A benchmark file whose methods have the project's own option files."""
    entries = {
        name: None if name == "bicubic" else {"opt": str(OPTIONS / f"train_{name}_x{scale}.yml"), **(entry or {})}
        for name, entry in methods.items()
    }
    file = folder / "benchmark.yml"
    file.write_text(yaml.safe_dump({"name": "small", "scale": scale, "methods": entries, **more}, sort_keys=False))
    return file


def plan(folder: Path, data: Path, *names: str, **more: Any) -> Plan:
    """A plan of tiny networks."""
    options: dict[str, Any] = {"forced": FAST, **more}
    return read_plan([write_benchmark(folder, dict.fromkeys(names)), *OVERLAYS], data=data, **options)
