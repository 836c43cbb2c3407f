"""Put our functions where BasicSR 1.4.2 uses its own, by the table."""

import inspect
import os
from collections.abc import Sequence

from mihatp_arch.training.patches.patch import BasicSRFunction, Patch
from mihatp_arch.training.patches.table import CALLED, PATCHES


def apply_patches(patches: Sequence[Patch] = PATCHES, called: Sequence[BasicSRFunction] = CALLED) -> None:
    """Replace every function of the table; a second call changes nothing.

    The environment variable `MIHATP_NO_PATCH=1` leaves BasicSR as it is.

    Raises:
        RuntimeError: a function of BasicSR has other parameters than in 1.4.2. Then nothing is replaced.
    """
    if os.environ.get("MIHATP_NO_PATCH", "") not in ("", "0"):
        return
    patches = [patch for patch in patches if getattr(patch.owner, patch.name) is not patch.ours]
    for function in (*called, *patches):
        _check_parameters(function)
    for patch in patches:
        setattr(patch.owner, patch.name, patch.ours)


def _check_parameters(function: BasicSRFunction) -> None:
    parameters = tuple(inspect.signature(getattr(function.owner, function.name)).parameters)
    if parameters != function.parameters:
        raise RuntimeError(
            f"{function.label} takes {parameters}, not {function.parameters}: mihatp_arch.training.patches knows "
            "basicsr 1.4.2; set MIHATP_NO_PATCH=1 to leave basicsr as it is"
        )
