"""The schema lists the keys that BasicSR and our models read; a model of others may have more."""

from types import SimpleNamespace
from typing import Any

import basicsr.train
import msgspec
import pytest
from basicsr.models.sr_model import SRModel
from basicsr.utils.registry import MODEL_REGISTRY
from helpers.basicsr import changed, edsr, write_data, write_options

from mihatp_arch.config.checks.options import check_options, unknown_key_warnings
from mihatp_arch.config.checks.sections import dataset_schema, model_schema, nested, sections
from mihatp_arch.config.checks.unknown_keys import one_edit_apart
from mihatp_arch.config.defaults import fill_defaults
from mihatp_arch.config.read import Options
from mihatp_arch.config.schema import MODELS, Constructor, Section
from mihatp_cli.basicsr import main


class Plugin(SRModel):
    """A model that is not ours, with options that the schema does not list."""


class LaterMiHATP(MODEL_REGISTRY.get("MiHATPModel")):
    """A model that is built on one of ours."""


@pytest.fixture(autouse=True)
def plugins(monkeypatch):
    for model in (Plugin, LaterMiHATP):
        monkeypatch.setitem(MODEL_REGISTRY._obj_map, model.__name__, model)


def keys(schema: type) -> set[str]:
    return {field.name for field in msgspec.structs.fields(schema)}


def section(model: str, name: str) -> set[str]:
    schema, _ = model_schema(model)
    types = {field.name: field.type for field in msgspec.structs.fields(schema)}
    return keys(nested(types[name])[0])


class Recorded(dict):
    """A mapping that notes every key that is read."""

    read: set[tuple[str, ...]] = set()  # noqa: RUF012  one training is recorded at a time

    def __init__(self, values: dict[str, Any], path: tuple[str, ...] = ()) -> None:
        inner = {
            key: Recorded(value, (*path, key)) if isinstance(value, dict) else value for key, value in values.items()
        }
        super().__init__(inner)
        self.path = path

    def __getitem__(self, key):
        self.read.add((*self.path, key))
        return super().__getitem__(key)

    def __contains__(self, key):
        self.read.add((*self.path, key))
        return super().__contains__(key)

    def get(self, key, default=None):
        self.read.add((*self.path, key))
        return super().get(key, default)

    def pop(self, key, *default):
        self.read.add((*self.path, key))
        return super().pop(key, *default)


def test_a_training_reads_the_keys_of_the_schema_and_no_others(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write_data(tmp_path / "datasets" / "toy")
    parse = basicsr.train.parse_options

    def recorded(*args, **kwargs):
        options, arguments = parse(*args, **kwargs)
        return Recorded(options), arguments

    monkeypatch.setattr(basicsr.train, "parse_options", recorded)
    monkeypatch.setattr(Recorded, "read", set())
    assert main(["train", "-opt", str(write_options(tmp_path / "o.yml", edsr()))]) == 0

    def read(*path: str) -> set[str]:
        return {key[-1] for key in Recorded.read if key[:-1] == path}

    assert read("train") == section("SRModel", "train")
    assert read("train") >= {"total_iter", "warmup_iter", "scheduler", "deterministic", "precision", "compile"}
    assert read("val") | {"suffix"} == section("SRModel", "val")  # suffix: where images are saved
    own = {"experiments_root", "models", "log", "visualization", "training_states"}
    assert read("path") - own <= section("SRModel", "path")
    assert read("logger") == section("SRModel", "logger")
    paired = keys(dataset_schema("PairedImageDataset")[0])
    assert read("datasets", "train") - {"phase", "scale"} <= paired
    assert {"gt_size", "use_hflip", "color", "mean", "batch_size_per_gpu", "prefetch_mode", "pin_memory"} <= paired


def test_our_models_have_their_own_keys():
    own = section("MiHATPModel", "train") - section("SRModel", "train")
    pools = {"contrastive_opt", "reversible_opt", "irreversible_opt"}
    assert own == pools | {"share_branches", "detach_positive", "branch_threads", "probe_freq"}
    assert section("FirstStageModel", "train") - section("SRModel", "train") == {"latent_weight"}
    assert "pretrain_network_c" in section("MiHATPModel", "path")
    assert "network_c" in keys(model_schema("MiHATPModel")[0])
    assert "pretrain_network_first_stage" in section("DiffusionModel", "path")
    assert section("SRModel", "train") >= {"ema_decay", "optim_g", "pixel_opt", "perceptual_opt", "scheduler"}
    assert section("SRModel", "train") >= {"precision", "compile", "cuda_graphs", "accumulate", "grad_clip"}


@pytest.mark.parametrize("name", sorted(MODELS))
def test_every_option_has_a_description(name):
    def described(schema: type) -> None:
        info = msgspec.inspect.type_info(schema)
        assert schema.__doc__
        for field in info.fields:
            assert field.type.extra_json_schema["description"].endswith("."), (schema, field.name)
        for field in msgspec.structs.fields(schema):
            inner, _ = nested(field.type)
            if inner is not None:
                described(inner)

    described(MODELS[name])


def findings(options: dict[str, Any]) -> SimpleNamespace:
    held = Options(options, {(): "o.yml"})
    held.open("path", "logger")
    fill_defaults(held, "train")
    return SimpleNamespace(mistakes=check_options(held, "train"), warnings=unknown_key_warnings(held))


def test_an_unknown_key_of_another_model_is_a_warning_with_the_near_match():
    options = changed(edsr() | {"model_type": "Plugin"}, "train", "total_itertions", to=1)
    found = findings(changed(options, "train", "amp", to=True))
    assert found.mistakes == []
    assert found.warnings == [
        "o.yml: train: 'total_itertions' is no option that is known of Plugin; did you mean 'total_iter'?",
        "o.yml: train: 'amp' is no option that is known of Plugin",
    ]


@pytest.mark.parametrize("key", ["ema_decya", "ema_deca", "ema_decayy", "ema_decax"])
def test_a_key_one_edit_from_a_known_one_is_a_mistake_for_every_model(key):
    found = findings(changed(edsr() | {"model_type": "Plugin"}, "train", key, to=0.9))
    assert found.mistakes == [f"o.yml: train: '{key}' is not an option of Plugin; did you mean 'ema_decay'?"]
    assert found.warnings == []


def test_keys_that_basicsr_sets_itself_are_mistakes_for_every_model():
    found = findings(edsr() | {"model_type": "Plugin", "rank": 0})
    assert [line.partition(";")[0] for line in found.mistakes] == ["o.yml: 'rank' is not an option of Plugin"]
    assert found.warnings == []


def test_another_model_has_networks_optimizers_and_losses_by_basicsrs_names():
    options = edsr() | {"model_type": "Plugin", "network_d": {"type": "VGGStyleDiscriminator", "num_in_ch": 3}}
    options["path"] = {"pretrain_network_d": None, "strict_load_d": True, "param_key_d": "params"}
    train = {"optim_d": {"type": "Adam", "lr": 1e-4}, "gan_opt": {"type": "GANLoss", "gan_type": "vanilla"}}
    options["train"] |= train | {"pool_opt": {"k": 1}}
    assert findings(options).warnings == []
    mistakes = findings(options).mistakes
    assert mistakes == ["o.yml: network_d: VGGStyleDiscriminator needs 'num_feat'"]
    options["network_d"]["num_feat"] = 8
    wrong = changed(options, "train", "gan_opt", "gan_typ", to="wgan")
    assert (
        "train.gan_opt: 'gan_typ' is not an option of GANLoss; did you mean 'gan_type'?" in findings(wrong).mistakes[0]
    )
    wrong = changed(options, "path", "strict_load_d", to="yes")
    assert findings(wrong).mistakes == ["o.yml: path.strict_load_d: expected true or false, got 'yes'"]


def test_a_loss_or_an_optimizer_of_another_model_that_is_no_section_is_a_warning():
    found = findings(changed(edsr() | {"model_type": "Plugin"}, "train", "my_opt", to=3))
    assert found.mistakes == []
    assert found.warnings == ["o.yml: train: 'my_opt' is no option that is known of Plugin"]


def test_a_key_that_other_checks_read_is_a_near_match():
    found = findings(edsr() | {"dist_params": {"prt": 1}})
    assert found.mistakes == ["o.yml: dist_params: 'prt' is not an option of init_process_group; did you mean 'port'?"]


def test_a_model_on_one_of_ours_has_its_keys():
    options = edsr() | {"model_type": "LaterMiHATP"}
    options = changed(options, "train", "reversible_opt", to={"k_p": 1, "elements": None})
    assert findings(options).mistakes == []
    assert findings(options).warnings == []
    wrong = changed(options, "train", "reversible_opt", "k_p", to=0)
    assert findings(wrong).mistakes == ["o.yml: train.reversible_opt.k_p: expected int >= 1, got 0"]


def test_basicsrs_other_data_sets_may_have_keys_of_their_own():
    video = {"type": "REDSDataset", "num_frame": 5, "use_hflip": True, "gtsize": 1}
    options = changed(edsr(), "datasets", "val", to=edsr()["datasets"]["val"] | video)
    found = findings(options)
    (warning,) = found.warnings
    assert warning.startswith("o.yml: datasets.val: 'num_frame' is no option that is known of REDSDataset")
    assert found.mistakes == ["o.yml: datasets.val: 'gtsize' is not an option of REDSDataset; did you mean 'gt_size'?"]


def test_metrics_and_data_sets_are_sections_by_name():
    found = dict(sections(Options(edsr(), {})))
    assert found[("val", "metrics", "psnr")].__name__ == "Metric"
    assert found[("datasets", "train")].__name__ == "PairedImageDataset"
    assert all(issubclass(schema, (Section, Constructor)) for schema in found.values())


@pytest.mark.parametrize(
    ("first", "second", "one"),
    [
        ("abc", "abc", False),
        ("abc", "acb", True),
        ("abc", "bca", False),
        ("abc", "abd", True),
        ("abc", "ab", True),
        ("abc", "xabc", True),
        ("abc", "axbxc", False),
        ("", "a", True),
        ("abcd", "badc", False),
    ],
)
def test_one_edit(first, second, one):
    assert one_edit_apart(first, second) is one
    assert one_edit_apart(second, first) is one
