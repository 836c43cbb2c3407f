"""The environment variable MIHATP_FAST: how layers choose between ways that compute the same.

`calibrated` (the default) lets inference on a CPU measure once which way is fastest. `fixed` measures nothing.
`attention=sdpa,linear=blas` takes these ways wherever they can compute a layer, in training too.
"""

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache

from datasets_prep.common.text import did_you_mean, with_hint
from mihatp_arch.errors import UserError

VARIABLE = "MIHATP_FAST"
WAYS: Mapping[str, tuple[str, ...]] = {
    "attention": ("chunked", "sdpa", "plain"),
    "linear": ("blas", "convolution", "onednn"),
}


@dataclass(frozen=True)
class FastSetting:
    """What the variable says.

    Attributes:
        text: the variable itself; `calibrated` where it is not set.
        calibrated: inference may measure.
        ways: of each kind of layer whose way is given.
    """

    text: str = "calibrated"
    calibrated: bool = True
    ways: Mapping[str, str] = field(default_factory=dict)


def fast_setting() -> FastSetting:
    """The setting of this process. Raises `UserError` when the variable has another value."""
    return _parsed(os.environ.get(VARIABLE, ""))


@lru_cache
def _parsed(text: str) -> FastSetting:
    if text in ("", "calibrated"):
        return FastSetting()
    if text == "fixed":
        return FastSetting(text, calibrated=False)
    ways: dict[str, str] = {}
    for part in text.split(","):
        layer, _, way = part.strip().partition("=")
        if way not in WAYS.get(layer, ()):
            raise UserError(f"{VARIABLE}={text}: {_why(layer, way)}")
        ways[layer] = way
    return FastSetting(text, calibrated=False, ways=ways)


def _why(layer: str, way: str) -> str:
    if layer in WAYS:
        return with_hint(f"the ways of {layer} are {', '.join(WAYS[layer])}", did_you_mean(way, WAYS[layer]))
    use = "use calibrated, fixed, or ways such as attention=sdpa,linear=blas"
    return with_hint(use, did_you_mean(layer, ("calibrated", "fixed", *WAYS)))
