"""From the options of a file to the options of this run: its data sets, its defaults, and values for this machine.

`DEFAULTS` has only the keys that BasicSR reads without a default. The other defaults are in
`mihatp_arch/config/schema`. Those of networks, losses and metrics are in their constructors and functions.
"""

from pathlib import Path
from typing import Any

import torch

from mihatp_arch.checkpoints import load_tensors, newest_network, weights_below
from mihatp_arch.config.read import Options
from mihatp_arch.errors import UserError

# Keys that BasicSR reads without a default, some of them only after hours (logger.py, sr_model.py, train.py).
DEFAULTS = {
    "logger": {
        "print_freq": 100,
        "save_checkpoint_freq": 5000,
        "use_tb_logger": False,
        "wandb": None,
    },
    "val": {"save_img": False, "suffix": None},
}
# Whole numbers that users write as 1e5.
_COUNTS = (
    ("train", "total_iter"),
    ("train", "warmup_iter"),
    ("train", "scheduler", "milestones"),
    ("train", "scheduler", "periods"),
    ("val", "val_freq"),
    ("logger", "print_freq"),
    ("logger", "save_checkpoint_freq"),
)


def experiment_name(options: Options, *, debug: bool) -> str:
    """The name of the experiment's folder. With `debug`, BasicSR puts `debug_` before the name of the run."""
    name: str = options.values["name"]
    return f"debug_{name}" if debug and not name.startswith("debug") else name


def choose_sets(options: Options, command: str) -> bool:
    """Keep the data sets that `command` (train or test) reads, and say whether the file is a training file.

    A set that is null is left out. `test` reads the `test*` sets, or the `val*` sets of a file without any.
    """
    datasets = options.section("datasets")
    for name in [name for name, dataset in datasets.items() if dataset is None]:
        del datasets[name]
    if command == "train":
        return True
    wanted = "test" if any(str(name).startswith("test") for name in datasets) else "val"
    for name in [name for name in datasets if not str(name).startswith(wanted)]:
        del datasets[name]
    if not datasets:
        raise UserError(f"{options.origin(())}: datasets: there is no test* and no val* set to test")
    return wanted == "val"


def use_trained_network(options: Options, experiment: Path) -> None:
    """Test the best, else the newest `net_g` in the folder `experiment`, averaged weights (EMA) where it has them.

    Raises:
        UserError: nothing was trained there.
    """
    if options.origins.get(("path", "pretrain_network_g")) == "--force_yml":
        return
    network = newest_network(experiment / "models")
    if network is None:
        raise UserError(
            f"nothing is trained in '{experiment}' yet: run `basicsr train` with the same options first, "
            "or name weights with --force_yml path:pretrain_network_g=FILE"
        )
    try:
        weights = load_tensors(network)
        weights_below(network, weights, "params_ema")
    except UserError as error:
        raise UserError(f"{error}; name other weights with --force_yml path:pretrain_network_g=FILE") from error
    path = options.section("path")
    path["pretrain_network_g"] = str(network)
    path["param_key_g"] = "params_ema" if "params_ema" in weights else "params"
    path["strict_load_g"] = True


def fill_defaults(options: Options, command: str) -> list[str]:
    """Fill in the keys that BasicSR requires, and adapt the options to this machine.

    Returns:
        One sentence for each changed value of the user.
    """
    values = options.values
    for key, default in (("num_gpu", "auto"), ("manual_seed", 0)):
        if values.get(key) is None:
            values[key] = default
    if command == "test" and values.get("val") is None:
        values["val"] = {}
    if command == "test":
        options.section("path").pop("pretrain_network_first_stage", None)  # the tested weights contain the first stage
    for section, defaults in DEFAULTS.items():
        if isinstance(values.get(section), dict):
            values[section] = defaults | values[section]
    if options.section("val").get("consistency") is False:
        values["val"]["consistency"] = "off"  # YAML reads the word off as false
    for key, network in values.items():
        if str(key).startswith("network_") and isinstance(network, dict) and network.get("type") == "Spandrel":
            network.setdefault("upscale", values.get("scale"))
    for name, dataset in options.section("datasets").items():
        if isinstance(dataset, dict):
            dataset.setdefault("name", str(name))
            expand_home(dataset)
    for path in _COUNTS:
        section = options.section(*path[:-1])
        if path[-1] in section:
            section[path[-1]] = _whole(section[path[-1]])
    changed = [] if torch.cuda.is_available() else _without_gpu(options)
    for name, dataset in options.section("datasets").items():
        if isinstance(dataset, dict) and dataset.get("persistent_workers") and dataset.get("num_worker_per_gpu") == 0:
            dataset["persistent_workers"] = False  # torch's loader refuses the pair
            changed.append(f"datasets.{name}.persistent_workers: true, but num_worker_per_gpu is 0; using false")
    return changed


def expand_home(dataset: dict[str, Any]) -> None:
    """Write the home folder for `~` in the paths of a data set, which BasicSR takes as they are."""
    for key, value in dataset.items():
        if str(key).startswith(("dataroot", "meta_info")) and isinstance(value, str):
            dataset[key] = str(Path(value).expanduser())


def _whole(value: Any) -> Any:
    if isinstance(value, list):
        return [_whole(item) for item in value]
    return int(value) if isinstance(value, float) and value.is_integer() else value


def _without_gpu(options: Options) -> list[str]:
    changed = []
    gpus = options.values["num_gpu"]
    if isinstance(gpus, int) and not isinstance(gpus, bool) and gpus > 0:
        options.values["num_gpu"] = 0
        changed.append(f"num_gpu: {gpus}, but torch sees no GPU here; running on the CPU (num_gpu: 0)")
    if options.section("train").get("cuda_graphs"):
        options.section("train")["cuda_graphs"] = False
        changed.append("train.cuda_graphs: true, but torch sees no GPU here; using false")
    for name, dataset in options.section("datasets").items():
        if not isinstance(dataset, dict):
            continue
        if dataset.get("pin_memory"):
            dataset["pin_memory"] = False  # pinned memory makes copies to a GPU faster; without a GPU it has no use
        if dataset.get("prefetch_mode") == "cuda":
            dataset["prefetch_mode"] = None
            changed.append(f"datasets.{name}.prefetch_mode: cuda, but torch sees no GPU here; using null")
    return changed
