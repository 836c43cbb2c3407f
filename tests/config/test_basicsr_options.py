"""Option files as data: YAML numbers, merging, forced values, data roots."""

from importlib.util import find_spec
from pathlib import Path

import pytest
import yaml
from helpers.basicsr import changed, edsr

from mihatp_arch.config import yaml_files
from mihatp_arch.config.read import force, read_options, replace_data_root
from mihatp_arch.errors import UserError


def _read(tmp_path: Path, *texts: str):
    files = []
    for index, text in enumerate(texts):
        files.append(tmp_path / f"{index}.yml")
        files[-1].write_text(text, encoding="utf-8")
    return read_options(files)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("2e-4", 2e-4),
        ("1e5", 1e5),
        ("-1E-3", -1e-3),
        ("!!float 2e-4", 2e-4),
        ("1.5e3", 1500.0),
        ("'2e-4'", "2e-4"),
        ("e5", "e5"),
        ("12", 12),
        ("~", None),
        ("[0.9, 1e-2]", [0.9, 0.01]),
    ],
)
def test_numbers_are_read_as_people_write_them(text, value):
    parsed = yaml_files.parse(text, "here")
    assert parsed == value
    assert type(parsed) is type(value)


def test_what_is_written_reads_back_the_same_in_yaml_1_1(tmp_path):
    values = {"lr": 2e-4, "tiny": 1e-20, "word": "2e-4", "on": "yes", "none": None, "list": [1, 2.5], "Größe": "ß"}
    shared = {"type": "lmdb"}
    values |= {"a": shared, "b": shared}
    yaml_files.write(values, tmp_path / "o.yml", "resolved by: ü\nx: 1")
    text = (tmp_path / "o.yml").read_text(encoding="utf-8")
    assert yaml.safe_load(text) == values
    assert text.isascii()
    assert "&" not in text
    assert yaml_files.read(tmp_path / "o.yml") == values


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("a: 1\nb:\n  c: 2\n  c: 3\n", "o.yml:4: the key 'c' stands twice"),
        ("a: 1\nb: [1, 2\nc: 3\n", "o.yml:3: "),
        ("a: !!python/object/apply:os.system ['true']\nb: 1\n", "o.yml:1: could not determine a constructor"),
        ("a: &x\n  b: *x\n", "o.yml:2: *x contains itself"),
        ("a: !!timestamp x\n", "o.yml: "),
        ("a: !!bool maybe\n", "o.yml: "),
        ("a: " + "[" * 20000, "o.yml: nested too deep"),
        ("- 1\n- 2\n", "o.yml: an option file is a mapping of keys to values, this is a list"),
        ("", "o.yml: an option file is a mapping of keys to values, this is null"),
    ],
)
def test_a_file_that_cannot_be_read_is_one_line_with_its_place(tmp_path, text, line):
    (tmp_path / "o.yml").write_text(text, encoding="utf-8")
    with pytest.raises(UserError) as caught:
        yaml_files.read(tmp_path / "o.yml")
    assert line in str(caught.value)
    assert "\n" not in str(caught.value)


def test_merge_keys_may_be_overridden(tmp_path):
    text = "base: &b {x: 1, y: 2}\nderived: &d {<<: *b, x: 3}\nmore: {<<: *d, y: 4}\n"
    assert _read(tmp_path, text).values["more"] == {"x": 3, "y": 4}


def test_files_merge_left_to_right(tmp_path):
    options = _read(
        tmp_path,
        "train: {lr: 1, betas: [1, 2]}\nscale: 4\nval: {freq: 5}\n",
        "train: {lr: 2}\nname: x\n",
        "train: {betas: [3]}\nval: ~\n",
    )
    assert options.values == {"train": {"lr": 2, "betas": [3]}, "scale": 4, "val": None, "name": "x"}
    assert Path(options.origin(("train", "lr"))).name == "1.yml"
    assert Path(options.origin(("train", "betas"))).name == "2.yml"
    assert Path(options.origin(("scale",))).name == "0.yml"


def test_another_type_starts_with_no_argument_of_the_old_one(tmp_path):
    base = "network_g: {type: EDSR, num_feat: 64}\ntrain:\n  scheduler: {type: MultiStepLR, gamma: 0.5}\n"
    same = _read(tmp_path, base, "network_g: {type: EDSR, num_block: 2}\n")
    assert same.values["network_g"] == {"type": "EDSR", "num_feat": 64, "num_block": 2}
    other = _read(
        tmp_path,
        base + "  optim_g: {type: Adam, lr: 1}\n",
        "network_g: {type: SwinIR}\n"
        "train: {scheduler: {type: CosineAnnealingRestartLR, periods: [9]}, optim_g: {type: AdamW}}\n",
    )
    assert other.values["network_g"] == {"type": "SwinIR"}
    assert other.values["train"]["scheduler"] == {"type": "CosineAnnealingRestartLR", "periods": [9]}
    assert other.values["train"]["optim_g"] == {"type": "AdamW", "lr": 1}


def test_null_takes_an_argument_of_a_network_away(tmp_path):
    options = _read(
        tmp_path,
        "network_g: {type: EDSR, num_feat: 64, mean: ~}\ntrain: {optim_g: {lr: 1}}\n",
        "network_g: {num_feat: 16, img_size: 8, more: {x: 1}}\n",
        "network_g: {img_size: ~, more: ~, window: ~, num_block: ~}\ntrain: {optim_g: {lr: ~}}\n",
        "network_g: {num_block: 2}\n",
    )
    # What no earlier file gives stays there, for the checks to name; elsewhere null is a value.
    assert options.values["network_g"] == {"type": "EDSR", "num_feat": 16, "mean": None, "window": None, "num_block": 2}
    assert options.values["train"] == {"optim_g": {"lr": None}}
    assert not {("network_g", "img_size"), ("network_g", "more"), ("network_g", "more", "x")} & options.origins.keys()
    assert Path(options.origin(("network_g", "num_block"))).name == "3.yml"


@pytest.mark.parametrize("overlay", ["train: 3\n", "scale: {x: 4}\n"])
def test_a_mapping_and_a_value_do_not_replace_one_another(tmp_path, overlay):
    with pytest.raises(UserError, match=r"1\.yml: (train|scale): .* cannot stand for .*0\.yml gives"):
        _read(tmp_path, "train: {lr: 1}\nscale: 4\n", overlay)


def test_forced_values_are_yaml(tmp_path):
    options = _read(tmp_path, "train: {optim_g: {lr: 1}, milestones: [1]}\nname: x\n")
    force(
        options,
        ["train:optim_g:lr=2e-4", "train:milestones=[5, 1e1]", "train:new=a=b", "name=~", "train:flag=true", "n=-1"],
    )
    assert options.values["train"] == {"optim_g": {"lr": 2e-4}, "milestones": [5, 10.0], "new": "a=b", "flag": True}
    assert options.values["name"] is None
    assert options.values["n"] == -1
    assert options.origin(("train", "optim_g", "lr")) == "--force_yml"


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        ("trian:total_iter=3", "there is no 'trian'; did you mean 'train'?"),
        ("train:optim:lr=3", "there is no 'train:optim'; did you mean 'optim_g'?"),
        ("name:x=3", "'name' is 'n', no mapping"),
        ("train", "expected key:key=value"),
        ("train::x=1", "expected key:key=value"),
        ("name=[1", "--force_yml name=[1: "),
    ],
)
def test_a_forced_path_that_leads_nowhere_is_named(tmp_path, entry, message):
    options = _read(tmp_path, "train: {optim_g: {lr: 1}}\nname: n\n")
    with pytest.raises(UserError) as caught:
        force(options, [entry])
    assert message in str(caught.value)


def test_the_data_root_of_every_set_is_replaced(tmp_path):
    options = _read(
        tmp_path,
        "datasets:\n"
        "  train: {dataroot_gt: datasets/COAD/train/HR.lmdb, dataroot_lq: /a/b/train/LR_x4.lmdb}\n"
        "  val_1: {dataroot_lq: datasets/COAD/val/LR_x4.lmdb}\n  val_2: ~\n",
    )
    replace_data_root(options, Path("/data/READ"))
    assert options.get("datasets", "train") == {
        "dataroot_gt": "/data/READ/train/HR.lmdb",
        "dataroot_lq": "/data/READ/train/LR_x4.lmdb",
    }
    assert options.get("datasets", "val_1", "dataroot_lq") == "/data/READ/val/LR_x4.lmdb"


@pytest.mark.skipif(find_spec("wandb") is not None, reason="wandb is installed")
def test_wandb_without_its_package_or_without_tensorboard_is_refused(refused):
    line = refused(edsr(), "--force_yml", "logger:wandb:project=mine", "logger:use_tb_logger=true")
    assert line.endswith("logger.wandb: the package wandb is missing: pip install wandb, or set it to null")
    lines = refused(changed(edsr(), "logger", "wandb", to={"project": "mine"}), lines=2)
    assert "wandb is missing" in lines
