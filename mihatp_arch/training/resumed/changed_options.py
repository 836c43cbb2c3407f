"""Which options a resumed training has that its state was not trained with. docs/training.md says which of them win."""

import json
from collections.abc import Iterator, Mapping
from typing import Any

Changes = dict[str, tuple[Any, Any]]  # path of the option -> value before, value now

_SECTIONS = ("scale", "model_type", "manual_seed", "datasets", "train", "val")
_SET_BY_BASICSR = ("phase", "scale")  # in every data set


def trained_options(opt: Mapping[str, Any]) -> dict[str, Any]:
    """A copy of the options that a training depends on, as plain data. BasicSR takes keys out of them later."""
    kept = {key: value for key, value in opt.items() if key in _SECTIONS or key.startswith("network_")}
    plain: dict[str, Any] = json.loads(json.dumps(kept, default=str))
    for dataset in plain.get("datasets", {}).values():
        for key in _SET_BY_BASICSR:
            dataset.pop(key, None)
    return plain


def changed_options(state: Mapping[str, Any], now: Mapping[str, Any]) -> Changes:
    """The options in which `now` (of `trained_options`) differs from those of a training state.

    A state of an older version or of BasicSR does not have them; then there are no changes.
    """
    before = state.get("options")
    if not isinstance(before, Mapping):
        return {}
    ours, theirs = dict(_leaves(now, "")), dict(_leaves(before, ""))
    return {
        key: (theirs.get(key), ours.get(key))
        for key in [*ours, *(key for key in theirs if key not in ours)]
        if theirs.get(key) != ours.get(key)
    }


def _leaves(values: Mapping[str, Any], path: str) -> Iterator[tuple[str, Any]]:
    for key, value in values.items():
        if isinstance(value, Mapping):
            yield from _leaves(value, f"{path}{key}.")
        else:
            yield f"{path}{key}", value
