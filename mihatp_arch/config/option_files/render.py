"""The text of one option file, from the table of methods and the texts that all files share."""

from collections.abc import Mapping, Sequence
from string import Template
from textwrap import indent

from mihatp_arch.config.option_files.method import HR_SIZE, Method
from mihatp_arch.config.option_files.own_schedules import OWN_SCHEDULES
from mihatp_arch.config.option_files.templates import BENCHMARK, DATA_SET, METRICS, OWN_NOTE, TEST, TRAIN

_TEST_SETS = ("test1", "test2", "test3", "test4", "test5")
_TEST_SETS_NOTE = "paper 3.2: five disjoint sets of 100; they decide nothing during the training"


def training_file(method: Method, scale: int) -> str:
    """The text of train_<method>_x<scale>.yml."""
    keep = f"keep_checkpoints: {method.keep_checkpoints}" if method.keep_checkpoints else ""
    test_sets = {f"val_{name}": name for name in _TEST_SETS}
    return _filled(
        TRAIN,
        {
            **_at_scale(method, scale),
            "about": indent(_at(method.about, method, scale), "# "),
            "name": f"{method.name}_x{scale}",
            "model_type": method.model_type,
            "batch_size": method.batch_size,
            "data_sets": _data_sets({"val": "val"} | test_sets, scale, notes={"val_test1": _TEST_SETS_NOTE}),
            "network_note": _note(_at(method.network_note, method, scale)),
            "network": indent(_at(method.network, method, scale), "  "),
            "network_d": method.network_d and "\nnetwork_d:\n" + indent(method.network_d.strip(), "  "),
            "weights_note": _note(_at(method.weights_note, method, scale)),
            "path": indent(_at(method.path, method, scale), "  "),
            "ema_decay": method.ema_decay,
            "optimizer": indent(method.optimizer.strip(), "    "),
            "milestones": method.milestones,
            "total_iter": method.total_iter,
            "warmup_iter": method.warmup_iter,
            "pixel_note": _note(method.pixel_note),
            "pixel_opt": indent(method.pixel_opt.strip(), "    "),
            "train": indent(method.train.strip(), "  "),
            "val_freq": method.val_freq,
            "metrics": indent(METRICS.strip(), "    "),
            "keep_checkpoints": indent(keep, "  "),
        },
    )


def test_file(method: Method, scale: int) -> str:
    """The text of test_<method>_x<scale>.yml: the network of the training file, without its comments."""
    network = [line.partition("  # ")[0] for line in _at(method.network, method, scale).splitlines()]
    return _filled(
        TEST,
        {
            **_at_scale(method, scale),
            "method": method.name,
            "name": f"{method.name}_x{scale}",
            "model_type": method.model_type,
            "data_sets": _data_sets({f"test_{number}": name for number, name in enumerate(_TEST_SETS, 1)}, scale),
            "network": indent("\n".join(network).replace("use_checkpoint: true", "use_checkpoint: false"), "  "),
            "metrics": indent(METRICS.strip(), "    "),
        },
    )


def benchmark_file(methods: Sequence[Method], scale: int, *, own: bool = False) -> str:
    """The text of benchmark_x<scale>.yml; with `own` that of benchmark_x<scale>_own.yml."""
    lines: list[str] = []
    for method in methods:
        if method.benchmark is not None and scale in method.scales:
            schedule = OWN_SCHEDULES.get(method.name) if own else None
            name = f"{method.name}:" + (f"  # {schedule.source}" if schedule else "")
            entry = schedule.entry(scale) if schedule else _at(method.benchmark, method, scale)
            lines += [name, *indent(entry, "  ").splitlines(), *method.more_rows.strip().splitlines()]
    values = {
        "name": f"benchmark_x{scale}" + ("_own" if own else ""),
        "about": _filled(OWN_NOTE, {"scale": str(scale)}).strip() if own else "",
        "scale": str(scale),
        "methods": indent("\n".join(lines), "  "),
    }
    return _filled(BENCHMARK, values)


def _at_scale(method: Method, scale: int) -> dict[str, str]:
    own = {name: values[scale] for name, values in method.by_scale.items()}
    return {"scale": str(scale), "lr_size": str(HR_SIZE // scale), **own}


def _at(text: str, method: Method, scale: int) -> str:
    """A text of the table with the values of one scale; twice, because a value may name another one."""
    values = _at_scale(method, scale)
    return Template(Template(text.strip()).substitute(values)).substitute(values)


def _data_sets(names: Mapping[str, str], scale: int, *, notes: Mapping[str, str] | None = None) -> str:
    texts = [
        _filled(DATA_SET, {"key": key, "set": name, "scale": str(scale), "note": _note((notes or {}).get(key, ""))})
        for key, name in names.items()
    ]
    return indent("".join(texts).rstrip(), "  ")


def _note(comment: str) -> str:
    return f"  # {comment}" if comment else ""


def _filled(template: str, values: Mapping[str, str]) -> str:
    """The template with its values, without the lines that are nothing but an empty value."""
    empty = {f"${name}" for name, value in values.items() if not value}
    lines = [line for line in template.strip().splitlines() if line not in empty]
    return Template("\n".join(lines)).substitute(values) + "\n"
