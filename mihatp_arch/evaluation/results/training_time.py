"""The time and the device of a training, from the logs and the record in its experiment folder."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import msgspec

from mihatp_arch.training.run_record import RECORD

_LINE = re.compile(r"^([\d-]+ [\d:]+,\d+) INFO: (.*)$", re.MULTILINE)
_STEP = re.compile(r"\biter:\s*[\d,]+|^End of training")


@dataclass(frozen=True)
class TrainingTime:
    """The time that trainings took.

    Attributes:
        seconds: of one training, from its first iteration to its last one, with the validations between them. All
            sessions of an interrupted training count. With several seeds: the mean.
        devices: on which they ran; empty where the record does not say it.
    """

    seconds: float
    devices: tuple[str, ...]


def training_time(experiments: Iterable[Path]) -> TrainingTime | None:
    """The time of the trainings in the folders `experiments`, one for each seed; None where a log is missing."""
    seconds: list[float] = []
    devices: dict[str, None] = {}
    for folder in experiments:
        sessions = [_seconds(log.read_text(encoding="utf-8")) for log in sorted(folder.glob("train_*.log"))]
        if not sessions:
            return None
        seconds.append(sum(sessions))
        devices |= dict.fromkeys(_devices(folder / RECORD))
    return TrainingTime(sum(seconds) / len(seconds), tuple(devices)) if seconds else None


def _seconds(log: str) -> float:
    """Time from the start of a session to its last iteration; 0 where it has none."""
    started = last = None
    for stamp, text in _LINE.findall(log):
        if text.startswith("Start training from"):
            started = stamp
        elif started is not None and _STEP.search(text):
            last = stamp
    if started is None or last is None:
        return 0.0
    first, end = (datetime.strptime(stamp, "%Y-%m-%d %H:%M:%S,%f") for stamp in (started, last))
    return (end - first).total_seconds()


def _devices(record: Path) -> list[str]:
    """The devices of all sessions in `run.json`; none where the file is missing, damaged or older than this entry."""
    try:
        sessions = msgspec.json.decode(record.read_bytes(), type=list[Mapping[str, Any]])
    except (OSError, msgspec.MsgspecError):
        return []
    return [str(session["device"]) for session in sessions if session.get("device")]
