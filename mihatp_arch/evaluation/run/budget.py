"""The budget of a training: the iterations of its options, a given number, or a time on this machine."""

import re
from datetime import datetime
from typing import Any

_LINE = re.compile(r"^(?P<time>[\d-]+ [\d:]+,\d+) INFO: .*\biter:\s*(?P<iter>[\d,]+)", re.MULTILINE)
_WARM_UP = 4  # iterations that allocate, compile and fill caches


def with_iterations(options: dict[str, Any], total: int) -> None:
    """Train `total` iterations: the schedule keeps its shape; states, lines and probes come as often as fits.

    Args:
        options: of a training, changed in place.
        total: iterations, at least 1.
    """
    train, logger = options["train"], options["logger"]
    share = total / train["total_iter"]
    scheduler = train.get("scheduler") or {}
    if "milestones" in scheduler:
        scheduler["milestones"] = [max(1, round(share * milestone)) for milestone in scheduler["milestones"]]
    if "restarts" in scheduler:
        scheduler["restarts"] = [max(1, round(share * start)) if start else 0 for start in scheduler["restarts"]]
    if "periods" in scheduler:
        scaled = [max(1, round(share * period)) for period in scheduler["periods"]]
        scheduler["periods"] = [*scaled[:-1], max(1, scaled[-1], total - sum(scaled[:-1]))]
    for key in ("warmup_iter", "disc_start"):
        if train.get(key, -1) > 0:
            train[key] = max(1, round(share * train[key]))
    if train.get("probe_freq"):
        train["probe_freq"] = min(train["probe_freq"], max(1, total // 4))
    train["total_iter"] = total
    logger["save_checkpoint_freq"] = min(logger["save_checkpoint_freq"], max(1, total // 5))
    logger["print_freq"] = min(logger["print_freq"], max(1, total // 50))
    if options.get("val"):
        options["val"]["val_freq"] = min(options["val"]["val_freq"], total)


def seconds_per_iteration(log: str) -> float | None:
    """Mean time of an iteration, from the log of a training with `print_freq: 1`; None where it has too few lines."""
    times = {int(line["iter"].replace(",", "")): _seconds(line["time"]) for line in _LINE.finditer(log)}
    steady = {number: when for number, when in times.items() if number > _WARM_UP}
    if len(steady) < 2:
        return None
    first, last = min(steady), max(steady)
    return (steady[last] - steady[first]) / (last - first)


def _seconds(text: str) -> float:
    return datetime.strptime(text, "%Y-%m-%d %H:%M:%S,%f").timestamp()
