"""Names of sources, and the first parts of their LMDB keys: one name and one key for each source."""

import hashlib
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path

from datasets_prep.common.errors import UserError

_LONGEST = 120  # characters of a key; with the coordinates it is an LMDB key and, with an ending, the name of a file


def distinct_names(names: Mapping[Path, str]) -> dict[Path, str]:
    """`names`, where files of the same name have their folders in front: `p1/a.svs` and `p2/a.svs`.

    Two folders that are given may have files of the same name. So many folders are added that the names differ.
    """
    distinct = dict(names)
    more = 0
    while more < max((len(path.parts) for path in names), default=0):
        counts = Counter(distinct.values())
        twice = [path for path, name in distinct.items() if counts[name] > 1]
        if not twice:
            break
        more += 1
        for path in twice:
            distinct[path] = Path(*path.parts[-(len(Path(names[path]).parts) + more) :]).as_posix()
    return distinct


def keys_of(names: Sequence[str], *, suffix: str = "") -> dict[str, str]:
    """Name -> key: ASCII letters, digits, '_' and '-', without the ending of the name.

    Every other character becomes '-'. A key has a hash of the name behind it where the name has letters that are not
    ASCII, where it is very long, and where several names would have this key. `suffix` is the end of all keys.

    Raises:
        UserError: a name is not UTF-8 text, or two names differ in their endings alone.
    """
    stems: dict[str, str] = {}
    for name in names:
        if name != name.encode("utf-8", "replace").decode("utf-8"):
            raise UserError(f"{name!r} is not UTF-8 text: rename it")
        other = stems.setdefault(name.rpartition(".")[0] or name, name)
        if other != name:
            raise UserError(f"{name} and {other} would have the same key {_plain(other)}: rename one")
    counts = Counter(map(_plain, names))
    keys = {name: _plain(name) for name in names}
    for name, key in keys.items():
        if counts[key] > 1 or not name.isascii() or len(key) > _LONGEST:
            keys[name] = f"{key[:_LONGEST]}-{hashlib.sha256(name.encode()).hexdigest()[:8]}"
    return {name: key + suffix for name, key in keys.items()}


def _plain(name: str) -> str:
    return re.sub(r"[^A-Za-z0-9_-]", "-", name.rpartition(".")[0] or name)
