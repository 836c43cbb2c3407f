"""The file in which the choices of a calibration stay, in the user's cache folder: one for all processes of a machine.

The first choice of a key stays. Processes that measure at the same time therefore choose the same.
"""

import json
import os
import platform
import re
from collections.abc import Sequence
from pathlib import Path

import torch
from filelock import FileLock, Timeout

from datasets_prep.common.files import write_file
from datasets_prep.common.version import __version__

_FORMAT = "mihatp fast choices 1"
_SECONDS = 10  # waiting for another process that writes


def default_file() -> Path:
    """`mihatp/fast.json` in `XDG_CACHE_HOME`, by default `~/.cache`."""
    folder = os.environ.get("XDG_CACHE_HOME") or os.path.join(os.path.expanduser("~"), ".cache")
    return Path(folder) / "mihatp" / "fast.json"


def machine_key() -> str:
    """Processor, and the versions of torch and of this package: what a measurement is good for."""
    name = f"{processor()} ({torch.backends.cpu.get_cpu_capability()})"
    return f"{name}, torch {torch.__version__}, mihatp {__version__}"


def processor() -> str:
    """The name of the processor; on Linux with family and model, because a virtual machine hides the rest."""
    try:
        info = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return platform.processor() or platform.machine()
    fields = dict(re.findall(r"^(model name|cpu family|model)\s*:\s*(.+)$", info, re.MULTILINE))
    name = fields.get("model name") or platform.processor() or platform.machine()
    numbers = [fields[key] for key in ("cpu family", "model") if key in fields]
    return f"{name} {'/'.join(numbers)}".strip()


def read_choices(file: Path, machine: str) -> dict[str, str]:
    """The choices of this machine. A file that is missing, damaged or foreign holds none."""
    choices = _read(file).get(machine, {})
    return {key: way for key, way in choices.items() if isinstance(way, str)}


def add_choice(file: Path, machine: str, key: str, way: str, known: Sequence[str]) -> str | None:
    """Store a choice, unless another process was first.

    Args:
        file: the file; its folder is made.
        machine: from `machine_key`.
        key: of the layer and its shapes.
        way: the choice.
        known: the ways that there are; a stored one that is not among them is replaced.

    Returns:
        The choice that the file now holds; None where it cannot be written.
    """
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(file.with_name(f"{file.name}.lock"), timeout=_SECONDS):
            machines = _read(file)
            choices = machines.setdefault(machine, {})
            if choices.get(key) not in known:
                choices[key] = way
                text = json.dumps({"format": _FORMAT, "machines": machines}, indent=1, sort_keys=True)
                write_file(file, text.encode())
            return choices[key]
    except (OSError, Timeout):
        return None


def _read(file: Path) -> dict[str, dict[str, str]]:
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    if not isinstance(content, dict) or content.get("format") != _FORMAT:
        return {}
    machines = content.get("machines")
    if not isinstance(machines, dict):
        return {}
    return {name: choices for name, choices in machines.items() if isinstance(choices, dict)}
