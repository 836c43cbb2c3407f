"""One way to refuse a name that is not among the known ones."""

from collections.abc import Collection

from datasets_prep.common.text import did_you_mean
from mihatp_arch.errors import UserError


def check_choice(name: object, choices: Collection[str], *, what: str) -> None:
    """Raise a UserError that names the nearest of `choices`, unless `name` is one of them.

    `what` says where the name stands, for example "reversible pool: element".
    """
    if name in choices:
        return
    hint = did_you_mean(name, choices, cutoff=0.5) or f"choose from {', '.join(sorted(choices))}"
    raise UserError(f"{what} {name!r} is unknown: {hint}")
