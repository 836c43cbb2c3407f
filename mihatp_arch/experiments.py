"""What lies in `experiments/`: a table of the runs, and their networks as single files for others to use."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from safetensors.torch import save_file

from mihatp_arch.checkpoints import load_tensors, newest_network, weights_below
from mihatp_arch.errors import UserError


@dataclass(frozen=True)
class Run:
    """One experiment as it lies there; None where there is nothing of the kind."""

    name: str
    total: int | None
    state: int | None  # iteration of the newest training state
    best: str  # by data set and metric
    size: int  # bytes


def list_runs(folder: Path) -> list[Run]:
    """The experiments below `folder`, by name. Raises `UserError` where there is no such folder."""
    if not folder.is_dir():
        raise UserError(f"there is no folder '{folder}': name the one that basicsr has written experiments into")
    return [_run(path) for path in sorted(folder.iterdir()) if (path / f"{path.name}.yml").is_file()]


def _run(path: Path) -> Run:
    states = [int(file.stem) for file in (path / "training_states").glob("*.state") if file.stem.isdecimal()]
    size = sum(file.stat().st_size for file in path.rglob("*") if file.is_file())
    total = options_of(path).get("train", {}).get("total_iter")
    return Run(path.name, total, max(states, default=None), "; ".join(_best(path)), size)


def _best(path: Path) -> Iterator[str]:
    file = path / "training_states" / "best_metric_results.json"
    if not file.is_file():
        return
    for dataset, metrics in json.loads(file.read_text(encoding="utf-8")).items():
        values = ", ".join(
            f"{metric} {result['val']:.4f} @ {result['iter']}"
            for metric, result in metrics.items()
            if result["val"] is not None  # no value was finite so far
        )
        yield f"{dataset}: {values}"


def options_of(path: Path) -> dict[str, Any]:
    """The options that an experiment recorded. Raises `UserError` where they cannot be read."""
    file = path / f"{path.name}.yml"
    try:
        return yaml.safe_load(file.read_text(encoding="utf-8"))
    except (OSError, yaml.YAMLError) as error:
        raise UserError(f"'{file}' cannot be read ({error}): name the folder of an experiment") from error


def table(runs: list[Run]) -> str:
    """A Markdown table of runs."""
    lines = ["| run | state | of | best | MiB |", "|---|---|---|---|---|"]
    for run in runs:
        state, total = (format(number, ",").replace(",", " ") if number else "" for number in (run.state, run.total))
        lines.append(f"| {run.name} | {state} | {total} | {run.best} | {run.size / 2**20:.1f} |")
    return "\n".join(lines)


def export(experiment: Path, output: Path, *, weights: Path | None = None) -> Path:
    """Write the `net_g` of an experiment, averaged weights where it has them, as safetensors, and return its source.

    The file carries the options of the network and the scale as metadata, so that it says what it is.

    Args:
        experiment: folder of the experiment.
        output: a new file that ends in `.safetensors`.
        weights: a `net_g_*.pth` of it; None takes the best, else the newest.

    Raises:
        UserError: there is no network, or `output` is there or cannot be written.
    """
    if output.suffix != ".safetensors":
        raise UserError(f"'{output}' must end in .safetensors")
    if output.exists():
        raise UserError(f"'{output}' exists: name another file")
    options = options_of(experiment)
    source = weights or newest_network(experiment / "models")
    if source is None:
        raise UserError(f"nothing is trained in '{experiment}' yet: there is no net_g in its models/")
    tensors = weights_below(source, load_tensors(source, mapped=False), "params_ema")
    metadata = {
        "format": "pt",
        "network_g": json.dumps(options["network_g"]),
        "scale": str(options.get("scale", "")),
        "options": json.dumps(options),
        "source": source.name,
    }
    partial = output.with_name(f".{output.name}.partial")
    try:
        save_file({name: tensor.contiguous() for name, tensor in tensors.items()}, partial, metadata)
        partial.rename(output)
    except OSError as error:
        partial.unlink(missing_ok=True)
        raise UserError(f"cannot write '{output}': {error.strerror or error}") from error
    return source
