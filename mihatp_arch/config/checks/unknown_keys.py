"""Keys that neither BasicSR nor the model reads: mistakes, or warnings where the model is not one of ours."""

from collections.abc import Collection, Iterator
from dataclasses import dataclass

import msgspec

from datasets_prep.common.text import did_you_mean
from mihatp_arch.config.checks.sections import conventional_type, dataset_schema, model_schema, sections
from mihatp_arch.config.read import KeyPath, Options
from mihatp_arch.config.schema import DATASETS, SET_BY_BASICSR, Dataset, Section

_LABELLED = ("network_", "optim_", "pretrain_network_", "param_key_", "strict_load_")


@dataclass(frozen=True)
class UnknownKey:
    """A key that the schema does not list.

    Attributes:
        line: the key with its file, its section and the near match.
        is_mistake: no model reads it; else it may be an option of a model that the schema does not know.
    """

    line: str
    is_mistake: bool


def unknown_keys(options: Options) -> Iterator[UnknownKey]:
    """The unknown keys of the sections that are listed key by key (the arguments of a constructor are not)."""
    model_type = str(options.values.get("model_type"))
    _, model_complete = model_schema(model_type)
    for path, schema in sections(options):
        if not issubclass(schema, Section):
            continue
        known = {field.name for field in msgspec.structs.fields(schema)}
        complete, owner = model_complete, model_type
        if issubclass(schema, Dataset):
            owner = str(options.get(*path, "type"))
            _, complete = dataset_schema(owner)
            if not complete:
                known |= {field.name for listed in DATASETS.values() for field in msgspec.structs.fields(listed)}
        elif path == ("logger",):
            owner = "the logger"
        elif len(path) > 1:
            owner = schema.__name__
        for key in options.section(*path):
            if str(key) not in known:
                yield from _unknown(options, path, str(key), known, owner, complete=complete)


def _unknown(
    options: Options, path: KeyPath, key: str, known: Collection[str], owner: str, *, complete: bool
) -> Iterator[UnknownKey]:
    section = ".".join(path[:1])
    reserved = key in SET_BY_BASICSR.get(section, ())
    conventional = not complete and conventional_type(".".join(path), key) is not None
    misspelt = any(one_edit_apart(key, name) for name in known) and not (conventional and key.startswith(_LABELLED))
    is_loss_or_optimizer = key.startswith("optim_") or key.endswith("_opt")
    fits = not is_loss_or_optimizer or isinstance(options.get(*path, key), dict | None)
    if conventional and fits and not misspelt:
        return
    is_mistake = complete or reserved or misspelt
    text = f"'{key}' is not an option of {owner}" if is_mistake else f"'{key}' is no option that is known of {owner}"
    yield UnknownKey(options.problem(path, text, key=key, hint=did_you_mean(key, known)), is_mistake)


def one_edit_apart(first: str, second: str) -> bool:
    """Whether one letter more, less or other, or two neighbours exchanged, turns one word into the other."""
    if abs(len(first) - len(second)) > 1 or first == second:
        return False
    short, long = sorted((first, second), key=len)
    start = next((index for index, letter in enumerate(short) if letter != long[index]), len(short))
    if len(short) < len(long):
        return short[start:] == long[start + 1 :]
    if short[start + 1 :] == long[start + 1 :]:
        return True
    swapped = short[start + 1 : start + 2] + short[start : start + 1]
    return long[start : start + 2] == swapped and short[start + 2 :] == long[start + 2 :]
