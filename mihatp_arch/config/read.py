"""Options as data: files merged left to right, single values forced, and where each value came from."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePath
from typing import Any

from datasets_prep.common.packaged_options import find_option_file
from datasets_prep.common.text import did_you_mean, with_hint
from mihatp_arch.config import yaml_files
from mihatp_arch.errors import UserError

KeyPath = tuple[str, ...]


@dataclass
class Options:
    """The options of one run, and for each key the file (or `--force_yml`) that set it."""

    values: dict[str, Any] = field(default_factory=dict)
    origins: dict[KeyPath, str] = field(default_factory=dict)

    def origin(self, path: KeyPath) -> str:
        """The file or option that set the value at `path`, or the nearest section above it."""
        for length in range(len(path), 0, -1):
            if path[:length] in self.origins:
                return self.origins[path[:length]]
        return self.origins.get((), "options")

    def sources(self, path: KeyPath) -> str:
        """The files and options that set the values in the mapping at `path`, each once."""
        below = [(*path, str(key)) for key in self.section(*path)]
        return " + ".join(dict.fromkeys(self.origin(key) for key in below)) or self.origin(path)

    def problem(self, path: KeyPath, text: str, *, key: str | None = None, hint: str = "") -> str:
        """One line about the value at `path`, or about the key `key` in it: `file: a.b: text; hint`."""
        source = self.origin(path if key is None else (*path, key))
        return ": ".join([source, *([".".join(path)] if path else []), with_hint(text, hint)])

    def get(self, *path: str) -> Any:
        """The value at `path`, or None where there is none."""
        value: Any = self.values
        for key in path:
            if not isinstance(value, dict):
                return None
            value = value.get(key)
        return value

    def open(self, *names: str) -> None:
        """Put an empty mapping where one of these sections is left out or null, so that it can be written into."""
        for name in names:
            if self.values.get(name) is None:
                self.values[name] = {}

    def section(self, *path: str) -> dict[str, Any]:
        """The mapping at `path`; empty where there is none."""
        value = self.get(*path)
        return value if isinstance(value, dict) else {}


def read_options(files: Sequence[Path]) -> Options:
    """Read option files and merge them left to right. A name that is no file is looked for among the packaged options.

    Mappings merge deep and everything else replaces; `null` in a later file empties a key. In `network_*` it
    removes the key of an earlier file, so that the default of the network holds: an overlay needs this for a network
    that does not have the option.

    Raises:
        UserError: a file cannot be read, or puts a mapping in the place of a value (or the other way round).
    """
    files = [find_option_file(file) for file in files]
    options = Options(origins={(): str(files[-1])})
    for file in files:
        _merge(options, options.values, yaml_files.read(file), (), str(file))
    return options


def _merge(options: Options, base: dict[str, Any], overlay: dict[str, Any], path: KeyPath, file: str) -> None:
    for key, value in overlay.items():
        here = (*path, str(key))
        old = base.get(key)
        if old is not None and value is not None and isinstance(old, dict) != isinstance(value, dict):
            raise UserError(
                f"{file}: {'.'.join(here)}: {yaml_files.kind(value)} cannot stand for {yaml_files.kind(old)}, "
                f"which {options.origin(here)} gives"
            )
        if value is None and key in base and path and path[-1].startswith("network_"):
            del base[key]
            _forget(options, here)
            continue
        options.origins[here] = file
        if isinstance(value, dict):
            # The arguments of one class mean nothing to another: a section with a new `type` starts empty.
            anew = not isinstance(old, dict) or (
                _is_constructor(here) and value.get("type", old.get("type")) != old.get("type")
            )
            base[key] = {} if anew else old
            if anew:
                _forget(options, here)
                options.origins[here] = file
            _merge(options, base[key], value, here, file)
        else:
            base[key] = value


def _forget(options: Options, path: KeyPath) -> None:
    """Drop the origins of the value at `path` and of all below it."""
    options.origins = {key: origin for key, origin in options.origins.items() if key[: len(path)] != path}


def _is_constructor(path: KeyPath) -> bool:
    return path[-1].startswith("network_") or path[-1] == "scheduler" or path[-1].endswith("_opt")


def force(options: Options, entries: Iterable[str]) -> None:
    """Set single values: `train:optim_g:lr=2e-4`. The value is YAML; the path walks mappings; nothing is executed.

    The last key may be new (it is checked like any other later on), those above it must exist.

    Raises:
        UserError: no `=`, a path that leads nowhere (the nearest key is named), a value that is no YAML.
    """
    for entry in entries:
        source = f"--force_yml {entry}"
        keys, equals, text = entry.partition("=")
        path = tuple(key.strip() for key in keys.split(":"))
        if not equals or not all(path):
            raise UserError(f"{source}: expected key:key=value, as in train:optim_g:lr=2e-4")
        section = options.values
        for depth, key in enumerate(path[:-1]):
            if key not in section:
                missing = f"{source}: there is no '{':'.join(path[: depth + 1])}'"
                raise UserError(with_hint(missing, did_you_mean(key, section)))
            if section[key] is None:  # a section that is switched off
                section[key] = {}
            if not isinstance(section[key], dict):
                raise UserError(
                    f"{source}: '{':'.join(path[: depth + 1])}' is {yaml_files.kind(section[key])}, no mapping"
                )
            section = section[key]
        section[path[-1]] = yaml_files.parse(text, source)
        _forget(options, path)
        options.origins[path] = "--force_yml"


def replace_data_root(options: Options, folder: Path) -> None:
    """Read every data set below `folder`: `<root>/<split>/<role>` becomes `<folder>/<split>/<role>`."""
    for name, dataset in options.section("datasets").items():
        for key in ("dataroot_gt", "dataroot_lq"):
            if isinstance(dataset, dict) and isinstance(dataset.get(key), str):
                dataset[key] = folder.joinpath(*PurePath(dataset[key]).parts[-2:]).as_posix()
                options.origins["datasets", name, key] = "--data"
