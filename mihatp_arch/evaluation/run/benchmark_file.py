"""Reads a benchmark file: the methods that are compared, each with its complete options."""

import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta

from datasets_prep.common.packaged_options import find_option_file, packaged_options
from datasets_prep.common.text import did_you_mean, with_hint
from mihatp_arch.archs.spandrel_arch import MissingPackageError, is_packaged, weights_file
from mihatp_arch.bundled_weights import bundled_weights
from mihatp_arch.config import yaml_files
from mihatp_arch.config.overlays import method_of, own_overlays
from mihatp_arch.config.read import Options, force, read_options, replace_data_root
from mihatp_arch.errors import UserError
from mihatp_arch.evaluation.run.plan import Method, Plan, check_same_data, trained_network

UNTRAINED = ("bicubic",)


class MethodFile(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """A method in a benchmark file; null stands for its option file `train_<method>_x<scale>.yml`."""

    opt: str | list[str] | None = None
    weights: str | None = None
    first_stage: str | None = None
    zero_shot: bool = False
    weights_of: str | None = None
    total_iter: Annotated[int, Meta(ge=1)] | None = None
    force: list[str] = []


class BenchmarkFile(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """A benchmark file."""

    name: str
    scale: Annotated[int, Meta(ge=2, le=8)]
    methods: Annotated[dict[str, MethodFile | None], Meta(min_length=1)]
    ours: str | None = None
    cohort: Literal["COAD", "BRCA"] | None = None
    seeds: Annotated[list[Annotated[int, Meta(ge=0)]], Meta(min_length=1)] | None = None
    total_iter: Annotated[int, Meta(ge=1)] | None = None
    seconds: Annotated[float, Meta(gt=0)] | None = None
    consistency: bool = True


@dataclass(frozen=True)
class _Request:
    """All that a method depends on besides its entry in the benchmark file.

    Without `own_budgets`, the budget of the command line takes the place of the iterations of single methods.
    """

    file: Path
    scale: int
    overlays: Sequence[Path]
    data: Path | None
    forced: Sequence[str]
    own_budgets: bool


def read_plan(
    files: Sequence[Path],
    *,
    data: Path | None = None,
    forced: Sequence[str] = (),
    methods: Sequence[str] | None = None,
    changes: Mapping[str, Any] | None = None,
) -> Plan:
    """Read a benchmark file and the options of its methods.

    Args:
        files: the benchmark file, then overlays over the options of every method; `x_<method>.yml` and
            `x_<method>_x<scale>.yml` beside an overlay `x.yml` go over that method. A method without such files takes
            those of its first option file, `train_<method>_x<scale>.yml`. A name that is no file is looked for among
            the packaged options.
        data: every data set is read below this folder.
        forced: `key:key=value` for every method.
        methods: names of the methods that are compared; None: all of the file.
        changes: fields of the benchmark file that the command line gives; None leaves the value of the file.

    Raises:
        UserError: a file that cannot be read, an unknown key or method, a method without options for the scale, or
            other data under one method than under another.
    """
    file, *overlays = (find_option_file(name) for name in files)
    content = _decode(file, _given(changes or {}))
    if content.total_iter is not None and content.seconds is not None:
        raise UserError(f"{file}: total_iter and seconds exclude each other: give one budget")
    names = list(content.methods) if methods is None else list(methods)
    for option, given in (("seeds", content.seeds or []), ("--methods", names)):
        twice = next((value for value, times in Counter(map(str, given)).items() if times > 1), None)
        if twice is not None:
            raise UserError(f"{file}: {option}: {twice} is given twice, and would be counted as two: give it once")
    for name in names:
        if name not in content.methods:
            raise UserError(with_hint(f"{file}: there is no method '{name}'", did_you_mean(name, content.methods)))
    own_budgets = not any((changes or {}).get(key) for key in ("total_iter", "seconds"))
    request = _Request(file, content.scale, overlays, data, forced, own_budgets)
    ours = content.ours or names[-1]
    plan = Plan(
        name=content.name,
        scale=content.scale,
        methods=tuple(_methods(names, content, request)),
        ours=ours if ours in names else names[-1],
        cohort=content.cohort,
        seeds=tuple(content.seeds or (None,)),
        total_iter=content.total_iter,
        seconds=content.seconds,
        projected=content.consistency,
    )
    if not plan.trained:
        raise UserError(f"{file}: no method has options, which say where the data are: add one that is trained")
    check_same_data(plan)
    return plan


def _given(changes: Mapping[str, Any]) -> dict[str, Any]:
    """The fields that are given. A budget replaces the other kind of budget in the file."""
    given = {key: value for key, value in changes.items() if value is not None}
    for budget, other in (("total_iter", "seconds"), ("seconds", "total_iter")):
        if budget in given:
            given.setdefault(other, None)
    return given


def _decode(file: Path, changes: Mapping[str, Any]) -> BenchmarkFile:
    try:
        return msgspec.convert({**yaml_files.read(file), **changes}, BenchmarkFile)
    except msgspec.ValidationError as error:
        raise UserError(f"{file}: {error}; a benchmark file has name, scale, methods, ours, cohort, seeds …") from error


def _methods(names: Sequence[str], content: BenchmarkFile, request: _Request) -> Iterator[Method]:
    """The named methods; a line instead of a method whose weights are in a package that is not installed."""
    for name in names:
        try:
            yield _row(name, content.methods, names, request)
        except MissingPackageError as error:
            print(f"left out: method '{name}': {error}")


def _row(name: str, entries: Mapping[str, MethodFile | None], names: Sequence[str], request: _Request) -> Method:
    """The method `name`; with `weights_of` it has the entry of that other method, and its own `force` after it."""
    entry = entries[name]
    if entry is None or entry.weights_of is None:
        return _method(name, entry, request)
    other = entries.get(entry.weights_of)
    if entry.weights_of not in names or entry.weights_of in UNTRAINED or (other and other.weights_of):
        raise UserError(
            f"{request.file}: method '{name}': weights_of: '{entry.weights_of}' is no method of this comparison that "
            "has weights of its own"
        )
    if entry.opt or entry.weights or entry.zero_shot or entry.first_stage or entry.total_iter:
        raise UserError(f"{request.file}: method '{name}': weights_of stands beside force alone")
    other = other or MethodFile()
    method = _method(entry.weights_of, msgspec.structs.replace(other, force=[*other.force, *entry.force]), request)
    return replace(method, name=_checked(name, request), weights_of=None if method.weights else entry.weights_of)


def _checked(name: str, request: _Request) -> str:
    if not re.fullmatch(r"[\w.+-]+", name):
        raise UserError(
            f"{request.file}: method '{name}': its name becomes one of files: letters, digits and . _ + - alone"
        )
    return name


def _method(name: str, entry: MethodFile | None, request: _Request) -> Method:
    if _checked(name, request) in UNTRAINED and entry is None:
        return Method(name)
    entry = entry or MethodFile()
    files = _option_files(name, entry, request)
    options = _options(name, files, [*entry.force, *request.forced], request)
    weights = None if entry.weights is None else _weights_file(entry.weights)
    if weights is not None:
        path = options.section("path")
        path.update(pretrain_network_g=str(weights.resolve()), strict_load_g=True)
        path.setdefault("param_key_g", "params_ema")  # the averaged weights, which validation had; else params
    own_weights = _own_weights(options)
    if entry.zero_shot and own_weights is None:
        raise UserError(f"{request.file}: method '{name}': zero_shot needs a network_g of the type Spandrel")
    if entry.zero_shot:
        weights = own_weights
    if weights is not None and entry.total_iter is not None:
        raise UserError(f"{request.file}: method '{name}': total_iter: its weights are given, so nothing is trained")
    total = entry.total_iter if request.own_budgets else None
    if entry.first_stage is None:
        return Method(name, options, weights, total_iter=total)
    beside = replace(request, file=files[0].parent / request.file.name)
    first_stage = _method(entry.first_stage, None, beside)
    options.section("path")["pretrain_network_first_stage"] = trained_network(f"{entry.first_stage}_x{request.scale}")
    return Method(name, options, weights, first_stage, total_iter=total)


def _weights_file(weights: str) -> Path:
    """The file of the key `weights`: a path, or the name of weights in this package."""
    return bundled_weights().get(weights) or Path(weights).expanduser()


def _own_weights(options: Options) -> Path | None:
    """The weights that the network loads itself (Spandrel); their path becomes absolute. None for other networks."""
    network = options.section("network_g")
    if network.get("type") != "Spandrel":
        return None
    network.setdefault("upscale", options.get("scale"))
    if not is_packaged(str(network.get("file"))):
        network["file"] = str(Path(str(network.get("file"))).expanduser().resolve())
    return weights_file(network["file"], network["upscale"])


def _option_files(name: str, entry: MethodFile, request: _Request) -> list[Path]:
    """The files that the entry names (by default `train_<method>_x<scale>.yml`), beside the file or packaged."""
    folder = request.file.parent
    if entry.opt is not None:
        names = [entry.opt] if isinstance(entry.opt, str) else entry.opt
        return [find_option_file(Path(file), folder=folder) for file in names]
    default = f"train_{name}_x{request.scale}.yml"
    path = folder / default
    if path.is_file():
        return [path]
    if default in packaged_options():
        return [packaged_options()[default]]
    there = [*packaged_options(), *(file.name for file in folder.glob("train_*.yml"))]
    others = [method for method in (method_of(file, request.scale) for file in there) if method]
    missing = f"{request.file}: method '{name}' has no options for x{request.scale}: there is no '{path}'"
    raise UserError(with_hint(missing, did_you_mean(name, others)))


def _options(name: str, files: Sequence[Path], forced: Sequence[str], request: _Request) -> Options:
    """The options of one method: its files, the overlays, then its own overlays, which take away what it has not."""
    methods = [method for method in (name, method_of(files[0].name, request.scale)) if method]
    own = [path for overlay in request.overlays for path in own_overlays(overlay, methods, request.scale)]
    options = read_options([*files, *request.overlays, *own])
    options.open("path", "logger", "val")
    force(options, forced)
    if request.data is not None:
        replace_data_root(options, request.data)
    scale = options.get("scale")
    if scale != request.scale:
        raise UserError(f"{files[0]}: scale is {scale}, that of the benchmark '{request.file}' is {request.scale}")
    return options
