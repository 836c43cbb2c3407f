"""All options of a run: the frame of the file, then values, keys, constructors and data sets."""

from collections.abc import Iterator
from importlib.util import find_spec

from basicsr.models.swinir_model import SwinIRModel
from basicsr.utils.registry import DATASET_REGISTRY, MODEL_REGISTRY

from datasets_prep.common.text import did_you_mean
from mihatp_arch.config.checks.constructors import check_constructors
from mihatp_arch.config.checks.registries import check_type, find, known_names
from mihatp_arch.config.checks.section_values import check_values
from mihatp_arch.config.checks.training import check_training
from mihatp_arch.config.checks.unknown_keys import unknown_keys
from mihatp_arch.config.checks.validation import check_name, check_validation
from mihatp_arch.config.read import Options
from mihatp_arch.config.yaml_files import kind

_PAIRED_TRAIN = ("gt_size", "use_hflip", "use_rot")


def check_options(options: Options, command: str) -> list[str]:
    """One line for each mistake in the options of `command` (train or test); none means that they are sound."""
    lines = [*_check_frame(options, command)] or [*check_values(options)]
    if lines:  # the checks below rely on sections and types
        return lines
    model = find(MODEL_REGISTRY, options.values["model_type"])
    assert isinstance(model, type)
    lines += [key.line for key in unknown_keys(options) if key.is_mistake]
    if options.values.get("network_g") is None and "network_g" not in options.values:
        lines.append(options.problem((), "'network_g' is missing"))
    if issubclass(model, SwinIRModel) and "window_size" not in options.section("network_g"):
        lines.append(
            options.problem(("model_type",), "SwinIRModel pads to network_g.window_size; use SRModel without it")
        )
    lines += check_constructors(options)
    if command == "train" or options.section("train"):
        lines += check_training(options, model)
    lines += check_validation(options, command)
    lines += _check_wandb(options)
    for name in options.section("datasets"):
        lines += _check_dataset(options, str(name), command)
    return lines


def unknown_key_warnings(options: Options) -> list[str]:
    """One line for each key that a model or data set of others may have, and that the schema does not know."""
    return [key.line for key in unknown_keys(options) if not key.is_mistake]


def _check_wandb(options: Options) -> Iterator[str]:
    """A line about `logger.wandb` that BasicSR would end over, in a traceback."""
    path = ("logger", "wandb")
    if options.get(*path, "project") is None:
        return
    if options.get("logger", "use_tb_logger") is not True:
        yield options.problem(path, "it needs logger.use_tb_logger: true")
    if find_spec("wandb") is None:
        yield options.problem(path, "the package wandb is missing: pip install wandb, or set it to null")


def _check_frame(options: Options, command: str) -> Iterator[str]:
    """The frame: what must be there, and what must be a mapping."""
    needed = ["name", "model_type", "datasets"] + (["train"] if command == "train" else [])
    for key in needed:
        if options.values.get(key) is None:
            yield options.problem((), f"'{key}' is missing")
    for key in ("datasets", "train", "val", "path", "logger", "dist_params"):
        if options.values.get(key) is not None and not isinstance(options.values[key], dict):
            yield options.problem((key,), f"expected a mapping, got {kind(options.values[key])}")
    yield from check_name(options, ("name",))
    model = options.values.get("model_type")
    if model is not None and find(MODEL_REGISTRY, model) is None:
        hint = did_you_mean(model, known_names(MODEL_REGISTRY))
        yield options.problem(("model_type",), f"there is no model '{model}'", hint=hint)
    datasets = options.section("datasets")
    if command == "train" and datasets and "train" not in datasets:
        hint = did_you_mean("train", datasets)
        yield options.problem(("datasets",), "there is no data set 'train'", hint=hint)
    for key in datasets:
        if key != "train" and str(key).split("_")[0] not in ("val", "test"):
            yield options.problem(
                ("datasets",), f"'{key}' is no data set: call it train, val, val_1, test_1 …", key=str(key)
            )
        elif command == "train" and str(key).split("_")[0] == "test":
            yield options.problem(
                ("datasets",), f"'{key}' is for `basicsr test`; call it val_1 …, or null", key=str(key)
            )


def _check_dataset(options: Options, name: str, command: str) -> Iterator[str]:
    path = ("datasets", name)
    mistakes = [*check_type(options, path, DATASET_REGISTRY, "data set")]
    yield from mistakes
    if mistakes:
        return
    section = options.section(*path)
    paired = section["type"] == "PairedImageDataset"
    needed = ["dataroot_gt", "dataroot_lq", "io_backend"] if paired else []
    if name == "train":
        needed += [*(_PAIRED_TRAIN if paired else ()), "batch_size_per_gpu", "num_worker_per_gpu"]
    for key in needed:
        if section.get(key) is None:
            yield options.problem(path, f"'{key}' is missing")
    gt_size, scale = section.get("gt_size"), options.get("scale")
    if paired and name == "train" and isinstance(gt_size, int) and isinstance(scale, int) and gt_size % scale:
        yield options.problem((*path, "gt_size"), f"{gt_size} is no multiple of scale {scale}")
    if command == "train" and section.get("prefetch_mode") == "cuda" and section.get("pin_memory") is not True:
        yield options.problem(path, "prefetch_mode: cuda needs pin_memory: true", key="prefetch_mode")
    if section.get("persistent_workers") and (name != "train" or not section.get("num_worker_per_gpu")):
        yield options.problem(path, "persistent_workers: true needs workers (basicsr has none in validation)")
