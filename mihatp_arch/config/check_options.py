"""Every option is checked before data are opened or folders made: each check yields one line per mistake."""

import inspect
from collections.abc import Callable, Iterator
from functools import cache
from typing import Any

import basicsr.test
import basicsr.train
import torch
from basicsr.utils.file_client import FileClient
from basicsr.utils.options import parse_options
from basicsr.utils.registry import ARCH_REGISTRY, DATASET_REGISTRY, METRIC_REGISTRY, MODEL_REGISTRY

from mihatp_arch.config.arguments import check_arguments, named_parameters
from mihatp_arch.config.check_training import check_training
from mihatp_arch.config.core_types import check_core
from mihatp_arch.config.defaults import DEFAULTS
from mihatp_arch.config.option_keys import ANY, OptionKeys
from mihatp_arch.config.read import KeyPath, Options, nearest
from mihatp_arch.config.registries import check_named, check_type, find, known_names
from mihatp_arch.config.yaml_files import kind

Line = Iterator[str]
# basicsr's own option files carry them for data sets of every type, whether basicsr 1.4.2 reads them there or not.
_UNREAD = {"use_shuffle", "gt_size", "interval_list", "dataroot_flow", "padding"}
# basicsr sets these itself, over what stands there.
_SET = {"is_train", "rank", "world_size", "dist", "root_path", "auto_resume"}
_SET_IN_PATH = {"experiments_root", "models", "log", "visualization", "training_states", "results_root"}
_SET_IN_DATASET = {"scale", "phase"}
_NAME_BYTES = 200  # file systems take 255; basicsr adds prefixes, dates and image names
_PAIRED_TRAIN = ("gt_size", "use_hflip", "use_rot")


def check_options(options: Options, command: str) -> list[str]:
    """One line for each mistake in the options of `command` (train or test); none means that they are sound."""
    lines = [*_check_shape(options, command)]
    if lines:  # what follows takes these for granted
        return lines
    model = find(MODEL_REGISTRY, options.values["model_type"])
    assert isinstance(model, type)
    keys = _keys_of_model(model)
    lines += check_core(options)
    if lines:
        return lines
    lines += _check_keys(options, keys)
    lines += _check_networks(options, keys)
    if command == "train" or options.section("train"):
        lines += check_training(options, model, keys)
    lines += _check_metrics(options)
    if command == "train" and options.section("val") and options.get("val", "val_freq") is None:
        lines.append(options.problem(("val",), "'val_freq' is missing: validate after how many iterations"))
    for name in options.section("datasets"):
        lines += _check_dataset(options, str(name), command)
    return lines


def _check_shape(options: Options, command: str) -> Line:
    """The frame: what must be there, and what must be a mapping."""
    needed = ["name", "model_type", "datasets"] + (["train"] if command == "train" else [])
    for key in needed:
        if options.values.get(key) is None:
            yield options.problem((), f"'{key}' is missing")
    for key in ("datasets", "train", "val", "path", "logger", "dist_params"):
        if options.values.get(key) is not None and not isinstance(options.values[key], dict):
            yield options.problem((key,), f"expected a mapping, got {kind(options.values[key])}")
    name = options.values.get("name")
    if isinstance(name, str) and not _names_a_folder(name):
        shown = f"{name[:40]}…" if len(name) > 40 else name
        yield options.problem(("name",), f"{shown!r} cannot name a folder; use letters, digits, - and _, at most 200")
    model = options.values.get("model_type")
    if model is not None and find(MODEL_REGISTRY, model) is None:
        close = nearest(str(model), known_names(MODEL_REGISTRY))
        yield options.problem(("model_type",), f"there is no model '{model}'{close}")
    datasets = options.section("datasets")
    if command == "train" and datasets and "train" not in datasets:
        yield options.problem(("datasets",), f"there is no data set 'train'{nearest('train', datasets)}")
    for key in datasets:
        if key != "train" and str(key).split("_")[0] not in ("val", "test"):
            yield options.problem(
                ("datasets",), f"'{key}' is no data set: call it train, val, val_1, test_1 …", key=str(key)
            )
        elif command == "train" and str(key).split("_")[0] == "test":
            yield options.problem(
                ("datasets",), f"'{key}' is for `basicsr test`; call it val_1 …, or null", key=str(key)
            )


def _names_a_folder(name: str) -> bool:
    printable = name.isprintable() and not set(name) & set('/\\:*?"<>|')  # lone surrogates are not printable
    return printable and bool(name.strip(" .")) and len(name.encode()) <= _NAME_BYTES


@cache
def _pipeline_keys() -> OptionKeys:
    keys = OptionKeys()
    for function in (basicsr.train.train_pipeline, basicsr.test.test_pipeline, parse_options):
        keys.scan_function(function)
    return keys


@cache
def _keys_of_model(model: type) -> OptionKeys:
    keys = OptionKeys()
    keys.scan_class(model)
    pipeline = _pipeline_keys()
    return OptionKeys(read=keys.read | pipeline.read, unpacked=keys.unpacked | pipeline.unpacked)


@cache
def _keys_of_dataset(dataset: type) -> OptionKeys:
    keys = OptionKeys()
    keys.scan_class(dataset)
    return keys


def _unknown(options: Options, path: KeyPath, known: set[str], owner: str) -> Line:
    for key in options.section(*path):
        if str(key) not in known:
            yield options.problem(path, f"'{key}' is not an option of {owner}{nearest(str(key), known)}", key=str(key))


def _check_keys(options: Options, keys: OptionKeys) -> Line:
    """Keys that neither basicsr's pipeline nor the model reads."""
    owner: str = options.values["model_type"]
    networks = {key.removeprefix("network_") for key in keys.below() if key.startswith("network_")}
    of_network = {
        f"{prefix}_{label}" for prefix in ("param_key", "strict_load", "pretrain_network") for label in networks
    }
    for path, known in (
        ((), keys.below() - _SET | {"scale", "dist_params"}),
        (("train",), keys.below("train")),
        (("val",), keys.below("val") | DEFAULTS["val"].keys()),
        (("path",), keys.below("path") - _SET_IN_PATH | of_network),
        (("logger",), keys.below("logger") | DEFAULTS["logger"].keys()),
        (("logger", "wandb"), keys.below("logger", "wandb")),
    ):
        if path not in keys.unpacked:
            yield from _unknown(options, path, known, owner if path != ("logger",) else "the logger")
    group = {"backend", "port", *named_parameters(torch.distributed.init_process_group)}
    yield from _unknown(options, ("dist_params",), group, "init_process_group")


def _check_networks(options: Options, keys: OptionKeys) -> Line:
    for key in sorted(key for key in keys.below() if key.startswith("network_")):
        if key not in options.values:
            if key == "network_g":
                yield options.problem((), f"'{key}' is missing")
            continue
        if options.values[key] is None and key != "network_g":
            continue
        mistakes = [*check_type(options, (key,), ARCH_REGISTRY, "network")]
        yield from mistakes
        if mistakes:
            continue
        network = find(ARCH_REGISTRY, options.values[key]["type"])
        assert network is not None
        yield from check_arguments(options, (key,), network)
        yield from _check_scale(options, key, network)


def _check_scale(options: Options, key: str, network: Callable[..., Any]) -> Line:
    """Every network that enlarges does so by `scale`, also by its default."""
    scale, parameters = options.get("scale"), named_parameters(network)
    name = next((name for name in ("upscale", "scale") if name in parameters), None)
    if name is None or not isinstance(scale, int):
        return
    value = options.section(key).get(name, parameters[name].default)
    if isinstance(value, int) and value != scale:
        yield options.problem((key,), f"{name} is {value}, but scale is {scale}; they must be equal", key=name)


def _check_metrics(options: Options) -> Line:
    metrics = options.get("val", "metrics")
    if metrics is None:
        return
    if not isinstance(metrics, dict):
        yield options.problem(("val", "metrics"), f"expected a mapping of names to metrics, got {kind(metrics)}")
        return
    for name in metrics:
        path = ("val", "metrics", str(name))
        mistakes = [*check_type(options, path, METRIC_REGISTRY, "metric")]
        yield from mistakes
        if not mistakes:
            metric = find(METRIC_REGISTRY, metrics[name]["type"])
            assert metric is not None
            beside = ["better"] if _takes_any(metric) else []  # the model reads it, basicsr hands it on all the same
            yield from check_arguments(options, path, metric, given=["img", "img2"], beside=beside)


def _takes_any(function: Callable[..., Any]) -> bool:
    return any(value.kind is value.VAR_KEYWORD for value in inspect.signature(function).parameters.values())


def _check_dataset(options: Options, name: str, command: str) -> Line:
    path = ("datasets", name)
    mistakes = [*check_type(options, path, DATASET_REGISTRY, "data set")]
    yield from mistakes
    if mistakes:
        return
    section = options.section(*path)
    dataset = find(DATASET_REGISTRY, section["type"])
    assert isinstance(dataset, type)
    keys = _keys_of_dataset(dataset)
    known = (keys.below() | _pipeline_keys().below("datasets", ANY) | _UNREAD) - _SET_IN_DATASET
    if section.get("dataroot_gt") is None:
        known.add("dataroot_gt")  # emptied, for a set of LR images over one of pairs
    if () not in keys.unpacked:
        yield from _unknown(options, path, known, section["type"])
    paired = section["type"] == "PairedImageDataset"
    needed = ["dataroot_gt", "dataroot_lq", "io_backend"] if paired else []
    if name == "train":
        needed += [*(_PAIRED_TRAIN if paired else ()), "batch_size_per_gpu", "num_worker_per_gpu"]
    for key in needed:
        if section.get(key) is None:
            yield options.problem(path, f"'{key}' is missing")
    yield from _check_backend(options, (*path, "io_backend"))
    gt_size, scale = section.get("gt_size"), options.get("scale")
    if paired and name == "train" and isinstance(gt_size, int) and isinstance(scale, int) and gt_size % scale:
        yield options.problem((*path, "gt_size"), f"{gt_size} is no multiple of scale {scale}")
    if command == "train" and section.get("prefetch_mode") == "cuda" and section.get("pin_memory") is not True:
        yield options.problem(path, "prefetch_mode: cuda needs pin_memory: true", key="prefetch_mode")
    if section.get("persistent_workers") and (name != "train" or not section.get("num_worker_per_gpu")):
        yield options.problem(path, "persistent_workers: true needs workers (basicsr has none in validation)")


def _check_backend(options: Options, path: KeyPath) -> Line:
    backend = options.get(*path)
    if backend is None:
        return
    known = FileClient._backends
    yield from check_named(options, path, "io_backend", known, "basicsr")
    if isinstance(backend, dict) and backend.get("type") in known:
        yield from check_arguments(options, path, known[backend["type"]], given=["db_paths", "client_keys"])
