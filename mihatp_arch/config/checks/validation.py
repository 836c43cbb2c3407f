"""What a validation or a test writes: names that keep its files apart, and the metric that chooses the best network."""

import unicodedata
from collections.abc import Iterator

from datasets_prep.common.text import did_you_mean
from mihatp_arch.config.read import KeyPath, Options
from mihatp_arch.config.yaml_files import kind

_NAME_BYTES = 200  # file systems take 255; basicsr adds prefixes, dates and image names


def check_validation(options: Options, command: str) -> Iterator[str]:
    """Lines about the section `val`, and about the names of the data sets that are validated or tested."""
    metrics = options.get("val", "metrics")
    if metrics is not None and not isinstance(metrics, dict):
        yield options.problem(("val", "metrics"), f"expected a mapping of names to metrics, got {kind(metrics)}")
        return
    if command == "train" and options.section("val") and options.get("val", "val_freq") is None:
        yield options.problem(("val",), "'val_freq' is missing: validate after how many iterations")
    if command == "train" and options.get("val", "keep_best") is not None:
        yield from _check_best(options)
    yield from _check_set_names(options)


def check_name(options: Options, path: KeyPath) -> Iterator[str]:
    """A line if the word at `path` cannot name a file or a folder."""
    name = options.get(*path)
    if isinstance(name, str) and not names_a_folder(name):
        shown = f"{name[:40]}…" if len(name) > 40 else name
        yield options.problem(path, f"{shown!r} cannot name a folder; use letters, digits, - and _, at most 200")


def names_a_folder(name: str) -> bool:
    """Whether the `name` of a run can be that of a folder."""
    printable = name.isprintable() and not set(name) & set('/\\:*?"<>|')  # lone surrogates are not printable
    return printable and bool(name.strip(" .")) and len(name.encode()) <= _NAME_BYTES


def _validated(options: Options) -> list[str]:
    return [str(key) for key in options.section("datasets") if key != "train"]


def _check_best(options: Options) -> Iterator[str]:
    """Lines about a `val.keep_best` by which no network would be saved."""
    path, metric, metrics = ("val", "keep_best"), options.get("val", "keep_best"), options.section("val", "metrics")
    if metric not in metrics:
        there = f"val.metrics has {', '.join(map(str, metrics))}" if metrics else "val.metrics is empty"
        yield options.problem(path, f"'{metric}' is not measured: {there}", hint=did_you_mean(metric, metrics))
    first = next(iter(_validated(options)), None)
    if first is None:
        yield options.problem(path, "there is no validation set, so no network is the best: add datasets.val, or null")
    elif options.get("datasets", first, "dataroot_gt") is None:
        yield options.problem(
            path, f"the first validation set, datasets.{first}, has no HR (dataroot_gt): put a set with HR first"
        )


def _check_set_names(options: Options) -> Iterator[str]:
    """Lines about names of sets that cannot name files, and about a name that two sets have.

    The files of a set are called by its name. Names that differ in upper and lower case alone are one name on the disks
    of Windows and macOS.
    """
    before: dict[str, str] = {}
    for key in _validated(options):
        path = ("datasets", key, "name")
        name = options.get(*path)
        yield from check_name(options, path)
        if not isinstance(name, str):
            continue
        other = before.setdefault(unicodedata.normalize("NFC", name).casefold(), key)
        if other != key:
            yield options.problem(
                path,
                f"'{name}' is the name of datasets.{other} too, whose metrics and pictures would be overwritten: give "
                "each set a name of its own",
            )
