"""`python -m mihatp_arch.training.patches [FILE]`: write the page docs/basicsr_patches.md to FILE, or print it."""

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from datasets_prep.common.files import write_file
from datasets_prep.common.text import markdown_table
from mihatp_arch.training.patches.table import PATCHES

_HEAD = """# What is replaced in BasicSR

This package uses BasicSR 1.4.2 from PyPI as it is installed, and its own training loop runs. While Python imports
`mihatp_arch`, the functions below are replaced in memory by ours, because those of BasicSR have faults that lose data,
time or exact results.

BasicSR's files on the disk stay as they are. Programs that do not import `mihatp_arch` see BasicSR unchanged.

* `MIHATP_NO_PATCH=1` in the environment leaves all these functions as they are: networks, losses, metrics and models
  are registered, and nothing is replaced. Options and properties that the table names (exact resumption, `precision`
  of SRModel, CPU training with `torchrun` and others) are then missing.
* If another version of BasicSR has other parameters for one of these functions, the import fails with one line that
  says so. Nothing is replaced then.
* `mihatp_arch/compat.py` does something else: it makes BasicSR importable beside a new torchvision or SciPy. It always
  runs.

A row can be deleted when BasicSR does what its last column says.

<!-- Written by `python -m mihatp_arch.training.patches docs/basicsr_patches.md`. Edit the table in
mihatp_arch/training/patches/table.py instead. -->

"""


def page() -> str:
    """The page as Markdown."""
    rows = [(f"`{patch.label}`", _place(patch.ours), patch.why, patch.until) for patch in PATCHES]
    return _HEAD + markdown_table(("BasicSR's function", "Ours", "Why", "Can go when BasicSR"), rows) + "\n"


def _place(ours: Callable[..., Any]) -> str:
    return f"`{ours.__qualname__}` in `{ours.__module__.replace('.', '/')}.py`"


if __name__ == "__main__":
    if len(sys.argv) > 1:
        write_file(Path(sys.argv[1]), page().encode())
    else:
        print(page(), end="")
