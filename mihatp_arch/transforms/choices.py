"""One way to refuse a name that is not among the known ones."""

from collections.abc import Collection
from difflib import get_close_matches

from mihatp_arch.errors import UserError


def check_choice(name: object, choices: Collection[str], *, what: str) -> None:
    """Raise a UserError that names the nearest of `choices`, unless `name` is one of them.

    `what` says where the name stands, for example "reversible pool: element".
    """
    if name in choices:
        return
    near = get_close_matches(str(name), choices, n=1, cutoff=0.5)
    hint = f"did you mean {near[0]!r}?" if near else f"choose from {', '.join(sorted(choices))}"
    raise UserError(f"{what} {name!r} is unknown: {hint}")
