"""What is compared: a benchmark file, its methods with their complete options, and the same data under all of them."""

import re
from collections.abc import Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta

from mihatp_arch.config import yaml_files
from mihatp_arch.config.read import Options, force, nearest, read_options, replace_data_root
from mihatp_arch.errors import UserError

UNTRAINED = ("bicubic",)
TEST_SET = "val_test"  # the training files call the test sets so


class MethodFile(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """A method in a benchmark file; null stands for the file `train_<method>_x<scale>.yml` beside it."""

    opt: str | list[str] | None = None
    weights: str | None = None
    first_stage: str | None = None
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


@dataclass(frozen=True)
class Method:
    """One line of the comparison.

    Attributes:
        name: in tables and pictures.
        options: of its training, complete but for its name and budget; None where nothing is trained.
        weights: a file of weights that is tested as it is; None trains.
        first_stage: an autoencoder that is trained before, and that this works in; no line of the table.
    """

    name: str
    options: Options | None = None
    weights: Path | None = None
    first_stage: "Method | None" = None


@dataclass(frozen=True)
class Plan:
    """A benchmark file with its methods, in the order of the table.

    Attributes:
        name: of the benchmark.
        scale: of the super-resolution.
        methods: what is compared.
        ours: the method whose improvement is asked for; None: the last.
        cohort: `COAD` or `BRCA` for the numbers of the paper beside ours, else None.
        seeds: each method is trained with each; (None,) with the one of its options.
        total_iter: the same iterations for every method; None and no `seconds`: each its own.
        seconds: the same time for every method.
    """

    name: str
    scale: int
    methods: tuple[Method, ...]
    ours: str
    cohort: str | None = None
    seeds: tuple[int | None, ...] = (None,)
    total_iter: int | None = None
    seconds: float | None = None
    trained: tuple[Method, ...] = field(init=False)
    first_stages: tuple[Method, ...] = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "trained", tuple(one for one in self.methods if one.options is not None))
        needed = {one.first_stage.name: one.first_stage for one in self.methods if one.first_stage is not None}
        object.__setattr__(self, "first_stages", tuple(needed.values()))

    def data(self) -> Mapping[str, Any]:
        """The data sets of every method, by BasicSR's names."""
        options = self.trained[0].options
        assert options is not None
        return options.section("datasets")

    def test_sets(self) -> dict[str, dict[str, Any]]:
        """The options of the test sets, by their own names."""
        return {one["name"]: one for key, one in self.data().items() if key.startswith(TEST_SET) and one}

    def mihatp(self, asked_by: str) -> Method:
        """The method `ours`, which MiHATPModel trains. Raises `UserError`, with the option `asked_by`, for another."""
        for method in self.trained:
            if method.name == self.ours and method.options and method.options.get("model_type") == "MiHATPModel":
                return method
        raise UserError(f"{asked_by}: '{self.ours}' is not trained by MiHATPModel: name the method under `ours`")


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
        files: the benchmark file, then overlays over the options of every method; `x_<method>.yml` beside an overlay
            `x.yml` goes over that method.
        data: folder that every data set is read below.
        forced: `key:key=value` for every method.
        methods: those of the file that are wanted; None: all.
        changes: fields of the benchmark file that the command line gives; None leaves what the file says.

    Raises:
        UserError: a file that cannot be read, an unknown key or method, a method without options for the scale, or
            other data under one method than under another.
    """
    file, overlays = files[0], files[1:]
    held = _decode(file, {key: value for key, value in (changes or {}).items() if value is not None})
    if held.total_iter is not None and held.seconds is not None:
        raise UserError(f"{file}: total_iter and seconds exclude each other: give one budget")
    wanted = list(held.methods) if methods is None else list(methods)
    for name in wanted:
        if name not in held.methods:
            raise UserError(f"{file}: there is no method '{name}'{nearest(name, held.methods)}")
    found = tuple(_method(name, held.methods[name], file, held.scale, overlays, data, forced) for name in wanted)
    ours = held.ours or wanted[-1]
    plan = Plan(
        name=held.name,
        scale=held.scale,
        methods=found,
        ours=ours if ours in wanted else wanted[-1],
        cohort=held.cohort,
        seeds=tuple(held.seeds or (None,)),
        total_iter=held.total_iter,
        seconds=held.seconds,
    )
    if not plan.trained:
        raise UserError(f"{file}: no method has options, which say where the data are: add one that is trained")
    check_same_data(plan)
    return plan


def _decode(file: Path, changes: Mapping[str, Any]) -> BenchmarkFile:
    try:
        return msgspec.convert({**yaml_files.read(file), **changes}, BenchmarkFile)
    except msgspec.ValidationError as error:
        raise UserError(f"{file}: {error}; a benchmark file has name, scale, methods, ours, cohort, seeds …") from error


def _method(
    name: str,
    entry: MethodFile | None,
    file: Path,
    scale: int,
    overlays: Sequence[Path],
    data: Path | None,
    forced: Sequence[str],
) -> Method:
    if not re.fullmatch(r"[\w.+-]+", name):
        raise UserError(f"{file}: method '{name}': its name becomes one of files: letters, digits and . _ + - alone")
    if name in UNTRAINED and entry is None:
        return Method(name)
    entry = entry or MethodFile()
    named = [entry.opt] if isinstance(entry.opt, str) else entry.opt
    files = [file.parent / one for one in named or [f"train_{name}_x{scale}.yml"]]
    if named is None and not files[0].is_file():
        others = sorted(path.stem.split("_")[1] for path in file.parent.glob(f"train_*_x{scale}.yml"))
        raise UserError(
            f"{file}: method '{name}' has no options for x{scale}: there is no '{files[0]}'{nearest(name, others)}"
        )
    own = [overlay.with_name(f"{overlay.stem}_{name}{overlay.suffix}") for overlay in overlays]
    files += [*overlays, *(one for one in own if one.is_file())]  # last: they take away what the method has not
    options = read_options(files)
    options.open("path", "logger", "val")
    force(options, [*entry.force, *forced])
    if data is not None:
        replace_data_root(options, data)
    if options.get("scale") != scale:
        raise UserError(f"{files[0]}: scale is {options.get('scale')}, that of the benchmark '{file}' is {scale}")
    weights = None if entry.weights is None else Path(entry.weights).expanduser()
    if weights is not None:
        options.section("path").update(pretrain_network_g=str(weights.resolve()), strict_load_g=True)
    first_stage = None
    if entry.first_stage is not None:
        beside = files[0].parent / file.name
        first_stage = _method(entry.first_stage, None, beside, scale, overlays, data, forced)
        options.section("path")["pretrain_network_first_stage"] = trained_network(f"{entry.first_stage}_x{scale}")
    return Method(name, options, weights, first_stage)


def trained_network(run: str) -> str:
    """Where a training leaves its network, below the folder of the benchmark."""
    return f"experiments/{run}/models/net_g_latest.pth"


def check_same_data(plan: Plan) -> None:
    """Refuse a comparison on different data. Raises `UserError` with the first difference."""
    first = plan.trained[0]
    ours = _roots(first)
    if not any(name.startswith(TEST_SET) for name in ours):
        raise UserError(f"method '{first.name}': its options have no test set (datasets.{TEST_SET}1, …)")
    for other in (*plan.trained[1:], *plan.first_stages):
        theirs = _roots(other)
        for name in sorted(ours.keys() | theirs.keys()):
            if ours.get(name) != theirs.get(name):
                raise UserError(
                    f"methods '{first.name}' and '{other.name}' have different data: datasets.{name} is "
                    f"{ours.get(name, 'not there')} and {theirs.get(name, 'not there')}"
                )


def _roots(method: Method) -> dict[str, str]:
    assert method.options is not None
    return {
        name: f"{one.get('dataroot_gt')}, {one.get('dataroot_lq')}"
        for name, one in method.options.section("datasets").items()
        if one
    }


def copied(options: Options) -> Options:
    """A copy that may be changed."""
    return Options(deepcopy(options.values), dict(options.origins))
