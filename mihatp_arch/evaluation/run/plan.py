"""A comparison as it is to be run: its methods with their complete options, and the same data under all of them."""

from collections.abc import Mapping
from copy import deepcopy
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from mihatp_arch.config.read import Options
from mihatp_arch.errors import UserError

VALIDATION_SET = "val"
TEST_SET = "val_test"  # the test sets of a training file are val_test1, val_test2, …
_IMAGES = ("name", "dataroot_gt", "dataroot_lq", "meta_info_file", "filename_tmpl")


@dataclass(frozen=True)
class Method:
    """One row of the comparison.

    Attributes:
        name: in tables and pictures.
        options: of its training, complete but for its name and budget; None where nothing is trained.
        weights: a file of weights that is tested without training; None trains.
        first_stage: an autoencoder that is trained before it; the method works in its latent space. It has no row.
        weights_of: another row of the comparison, whose trained network is tested with these options.
        total_iter: its own iterations; None: those of the comparison.
    """

    name: str
    options: Options | None = None
    weights: Path | None = None
    first_stage: "Method | None" = None
    weights_of: str | None = None
    total_iter: int | None = None

    def trained_options(self) -> Options:
        """A copy of its options, which may be changed. It must be a method that has options."""
        assert self.options is not None
        return copy_options(self.options)

    def datasets(self) -> Mapping[str, Any]:
        """Its data sets, by the names of the option file; null sets are left out."""
        assert self.options is not None
        return {name: dataset for name, dataset in self.options.section("datasets").items() if dataset}


@dataclass(frozen=True)
class Plan:
    """A benchmark file with its methods, in the order of the table.

    Attributes:
        name: of the benchmark.
        scale: of the super-resolution.
        methods: the rows of the table.
        ours: the improvement of this method over the others is computed.
        cohort: `COAD` or `BRCA` for the numbers of the paper beside ours, else None.
        seeds: each method is trained with each; (None,) with the one of its options.
        total_iter: the same iterations for every method that has none of its own; None and no `seconds`: those of its
            options.
        seconds: the same time for every method that has no iterations of its own.
        projected: whether each method is tested with the consistency projection too.
    """

    name: str
    scale: int
    methods: tuple[Method, ...]
    ours: str
    cohort: str | None = None
    seeds: tuple[int | None, ...] = (None,)
    total_iter: int | None = None
    seconds: float | None = None
    projected: bool = False

    @cached_property
    def trained(self) -> tuple[Method, ...]:
        """The methods that have options: all but those without a network."""
        return tuple(method for method in self.methods if method.options is not None)

    @cached_property
    def first_stages(self) -> tuple[Method, ...]:
        """The first stages of the methods, each once."""
        stages = [method.first_stage for method in self.methods if method.first_stage is not None]
        return tuple({stage.name: stage for stage in stages}.values())

    @property
    def variants(self) -> frozenset[str]:
        """`ours`, and the methods that train a network of the same architecture: none of them is a baseline."""
        types = {method.name: method.options.get("network_g", "type") for method in self.methods if method.options}
        own = types.get(self.ours)
        return frozenset({self.ours, *(name for name, kind in types.items() if own is not None and kind == own)})

    def seeds_of(self, method: Method) -> tuple[int | None, ...]:
        """The seeds of its trainings; one None where given weights are tested."""
        return self.seeds if method.weights is None else (None,)

    def test_sets(self) -> dict[str, Mapping[str, Any]]:
        """The options of the test sets, by their own names."""
        datasets = self.trained[0].datasets()
        return {dataset["name"]: dataset for key, dataset in datasets.items() if key.startswith(TEST_SET)}

    def validation_set(self) -> dict[str, Mapping[str, Any]]:
        """The options of the validation set, by its own name; empty where the options have none."""
        dataset = self.trained[0].datasets().get(VALIDATION_SET)
        return {} if dataset is None else {dataset["name"]: dataset}

    def mihatp(self, asked_by: str) -> Method:
        """The method `ours`. Raises `UserError`, which names the option `asked_by`, unless MiHATPModel trains it."""
        for method in self.trained:
            if method.name == self.ours and method.options and method.options.get("model_type") == "MiHATPModel":
                return method
        raise UserError(f"{asked_by}: '{self.ours}' is not trained by MiHATPModel: name the method under `ours`")


def trained_network(run: str) -> str:
    """The path at which a training leaves its network, below the folder of the benchmark."""
    return f"experiments/{run}/models/net_g_latest.pth"


def copy_options(options: Options) -> Options:
    """A copy that may be changed."""
    return Options(deepcopy(options.values), dict(options.origins))


def check_same_data(plan: Plan) -> None:
    """Refuse a comparison on different data. Raises `UserError` with the first difference."""
    first = plan.trained[0]
    ours = _images(first)
    if not any(name.startswith(TEST_SET) for name in ours):
        raise UserError(f"method '{first.name}': its options have no test set (datasets.{TEST_SET}1, …)")
    for other in (*plan.trained[1:], *plan.first_stages):
        theirs = _images(other)
        for name in sorted(ours.keys() | theirs.keys()):
            if ours.get(name) != theirs.get(name):
                raise UserError(
                    f"methods '{first.name}' and '{other.name}' have different data: datasets.{name} is "
                    f"{ours.get(name, 'not there')} and {theirs.get(name, 'not there')}"
                )


def _images(method: Method) -> dict[str, str]:
    """The options that say which images a data set has, in one text for each set."""
    return {
        name: ", ".join(str(dataset[key]) for key in _IMAGES if dataset.get(key) is not None)
        for name, dataset in method.datasets().items()
    }
