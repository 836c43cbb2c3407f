"""Which options a model reads is found in its source, and what a constructor takes in its signature."""

from collections.abc import Sequence
from inspect import Parameter
from typing import Literal

import basicsr.train
import pytest
from basicsr.archs.edsr_arch import EDSR
from basicsr.data.paired_image_dataset import PairedImageDataset
from basicsr.models.sr_model import SRModel

from mihatp_arch.config.arguments import named_parameters, type_mistake
from mihatp_arch.config.option_keys import OptionKeys


def _read_threshold(settings):
    return settings.get("threshold", 0)


class Reading(SRModel):
    """A model that reads options in every way that the reader is to follow."""

    def init_training_settings(self):
        train_opt = self.opt["train"]
        first, second = (train_opt.get(f"{kind}_opt") for kind in ("reversible", "irreversible"))
        self.extra = {key: train_opt[key] for key in ("alpha", "beta")}
        path = self.opt.get("path") or {}
        self.weights = path.get("pretrain_network_c") if "network_c" in self.opt else None
        self.threshold = _read_threshold(train_opt["limits"]) if (limit := train_opt.get("limit")) else limit
        self._later(train_opt)
        return first, second

    def _later(self, options):
        for _, metric in self.val_opt["metrics"].items():
            metric.get("better")
        return options.copy()["seen_by_a_method"], self.net_g["no_option"]

    def setup(self):
        self.val_opt = self.opt["val"]


def _keys(cls: type) -> OptionKeys:
    keys = OptionKeys()
    keys.scan_class(cls)
    return keys


def test_what_a_plugin_reads_is_found():
    keys = _keys(Reading)
    own = keys.below("train") - _keys(SRModel).below("train")
    words = {"reversible_opt", "irreversible_opt", "alpha", "beta"}
    assert own == words | {"limits", "limit", "seen_by_a_method"}
    assert keys.below("train", "limits") == {"threshold"}
    assert "pretrain_network_c" in keys.below("path")
    assert "network_c" in keys.below()
    assert "better" in keys.below("val", "metrics", "*")
    assert "no_option" not in {key for path in keys.read for key in path}


def test_what_stock_basicsr_reads_is_found():
    stock = {"ema_decay", "optim_g", "pixel_opt", "perceptual_opt", "scheduler"}
    assert stock | {"precision", "compile", "cuda_graphs", "accumulate", "grad_clip"} == _keys(SRModel).below("train")
    assert {"gt_size", "use_hflip", "color", "mean"} <= _keys(PairedImageDataset).below()
    pipeline = OptionKeys()
    pipeline.scan_function(basicsr.train.train_pipeline)
    assert {"total_iter", "warmup_iter", "scheduler", "deterministic"} == pipeline.below("train")
    assert {"batch_size_per_gpu", "prefetch_mode", "pin_memory"} <= pipeline.below("datasets", "*")
    assert pipeline.below("logger", "wandb") == {"project", "resume_id"}


class Strict(EDSR):
    def __init__(self, *, alpha: float = 0.01, depths: Sequence[int] = (6, 6), mode: Literal["a", "b"] = "a", **kwargs):
        super().__init__(**kwargs)


class Swallowing(EDSR):
    def __init__(self, num_in_ch, **kwargs):
        super().__init__(num_in_ch, 3)


def test_kwargs_count_only_where_they_are_handed_on():
    assert {"alpha", "depths", "mode", "num_feat", "num_in_ch"} <= named_parameters(Strict).keys()
    assert named_parameters(Swallowing).keys() == {"num_in_ch"}


@pytest.mark.parametrize(
    ("name", "value", "mistake"),
    [
        ("alpha", 1, None),
        ("alpha", "1", "expected float, got '1'"),
        ("alpha", True, "expected float, got True"),
        ("depths", [2, 2], None),
        ("depths", [2, "x"], "expected int (at [1]), got [2, 'x']"),
        ("depths", 2, "expected a list, got 2"),
        ("mode", "c", "expected one of 'a', 'b', got 'c'"),
        ("num_feat", 8.0, None),
        ("res_scale", 0.1, None),
        ("num_feat", None, "expected a number, got null"),
        ("rgb_mean", [0.5, 0.5, 0.5], None),
        ("rgb_mean", ["0.5"], "expected a list of numbers, got ['0.5']"),
    ],
)
def test_values_are_held_against_annotation_or_default(name, value, mistake):
    assert type_mistake(value, named_parameters(Strict)[name]) == mistake


def test_sizes_may_be_pairs():
    assert type_mistake([64, 48], Parameter("img_size", Parameter.KEYWORD_ONLY, default=64)) is None
