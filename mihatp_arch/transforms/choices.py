"""One error message for an unknown name in the options."""

from collections.abc import Collection

from datasets_prep.common.text import did_you_mean
from mihatp_arch.errors import UserError


def check_choice(name: object, choices: Collection[str], *, subject: str) -> None:
    """Raise a UserError that suggests the most similar of `choices`, unless `name` is one of them.

    Args:
        name: a name from the options.
        choices: the valid names.
        subject: the option that has the name, for example "reversible pool: element".
    """
    if name in choices:
        return
    hint = did_you_mean(name, choices, cutoff=0.5) or f"choose from {', '.join(sorted(choices))}"
    raise UserError(f"{subject} {name!r} is unknown: {hint}")
