"""The option files: complete, sound, fair between methods, and at the settings of the paper."""

import sys
from itertools import pairwise
from pathlib import Path, PurePath

import pytest
import torch
import yaml
from basicsr.archs import build_network
from basicsr.utils.options import ordered_yaml, parse_options
from basicsr.utils.registry import ARCH_REGISTRY

from mihatp_arch.config import defaults as experiment
from mihatp_arch.config.checks.arguments import named_parameters
from mihatp_arch.config.checks.options import check_options
from mihatp_arch.config.checks.registries import find
from mihatp_arch.config.checks.try_build import check_build
from mihatp_arch.config.make_options import option_files
from mihatp_arch.config.option_files import table
from mihatp_arch.config.read import Options, force, read_options
from mihatp_arch.evaluation.results.cost import parameters

FOLDER = Path(__file__).resolve().parents[2] / "options"
NUCLEI = sorted(FOLDER.glob("train_HoVerNet_*.yml"))
TRAINING = sorted(set(FOLDER.glob("train_*.yml")) - set(NUCLEI))
TEST = sorted(FOLDER.glob("test_*.yml"))
SCALES = (2, 4, 8)
FIRST_STAGES = {method.name: method.scales for method in table.METHODS if "Stage" in method.model_type}
DIFFUSION = ("IDM", "LDM", "ResShift")
OWN = (*DIFFUSION, *FIRST_STAGES)  # with losses and lengths of their own
METHODS = tuple(sorted({method.name for method in table.METHODS} - set(OWN)))
SCALES_OF = {method.name: method.scales for method in table.METHODS}  # DAT-light has no weights for x8
RANDOM_FEATURES = "train:contrastive_opt:features:weights=random"  # no download in a test


def named(path: Path) -> str:
    return path.stem


def read(name: str) -> dict:
    return read_options([FOLDER / f"{name}.yml"]).values


def prepared(folder: Path, *files: Path) -> Options:
    """The options as `basicsr` has them when it checks them, with a first stage in `folder` where one is needed."""
    options = read_options(files)
    options.open("path", "logger")
    if options.section("train", "contrastive_opt"):
        force(options, [RANDOM_FEATURES])
    if options.get("path", "pretrain_network_first_stage") is not None:
        with torch.device("meta"):
            stage = build_network({"type": "Autoencoder", **options.section("network_g", "first_stage")})
        shapes = {name: torch.zeros(()).expand(tensor.shape) for name, tensor in stage.state_dict().items()}
        torch.save({"params": shapes}, folder / "first_stage.pth")  # the checks read nothing else
        options.section("path")["pretrain_network_first_stage"] = str(folder / "first_stage.pth")
    command = files[0].stem.partition("_")[0]
    experiment.choose_sets(options, command)
    experiment.fill_defaults(options, command)
    return options


def mistakes(options: Options, command: str) -> list[str]:
    return check_options(options, command) or check_build(options, command)


def flat(values: dict, *above: str) -> dict[tuple[str, ...], object]:
    """Key path -> value, for every value that is no mapping."""
    found: dict[tuple[str, ...], object] = {}
    for key, value in values.items():
        found |= flat(value, *above, key) if isinstance(value, dict) else {(*above, key): value}
    return found


def test_the_files_are_those_of_the_table():
    """`python -m mihatp_arch.config.make_options` writes them."""
    texts = option_files()
    assert {path.name for path in FOLDER.glob("*.yml")} == texts.keys()
    assert [name for name, text in texts.items() if (FOLDER / name).read_text(encoding="utf-8") != text] == []


def test_every_method_has_its_file_at_every_scale():
    assert {"HAT", "MiHATP", "SHISRCNet", "SRCNN", "SwinIR"} <= set(METHODS)
    assert {path.stem for path in TRAINING} >= {
        f"train_{method}_x{scale}" for method in METHODS + DIFFUSION for scale in SCALES_OF[method]
    }
    assert FIRST_STAGES == {
        "VQF4": SCALES,
        "KLF4": (4, 8),
        "KLF2": (2,),
        "VQF4gan": (4, 8),
        "KLF2gan": (2,),
    }
    assert [method for method in METHODS + DIFFUSION if SCALES_OF[method] != SCALES] == ["DAT-light"]
    assert {path.stem for path in TEST} == {f"test_MiHATP_x{scale}" for scale in SCALES}


@pytest.mark.parametrize("file", [*TRAINING, *NUCLEI, *TEST], ids=named)
def test_a_file_is_sound_and_its_network_and_losses_can_be_built(file, tmp_path):
    command = file.stem.partition("_")[0]
    options = prepared(tmp_path, file)
    options.section("path").pop("pretrain_network_g", None)  # nothing is trained here
    assert mistakes(options, command) == []
    assert options.values["name"] == file.stem.removeprefix(f"{command}_")


@pytest.mark.parametrize("file", [*TRAINING, *NUCLEI], ids=named)
def test_the_small_overlays_go_over_every_file(file, tmp_path):
    method = file.stem.split("_")[1]
    # The method's own stands last: it takes away what the others have and its network has not.
    names = ("tiny.yml", "demo.yml", f"tiny_{method}.yml", f"{file.stem.replace('train', 'tiny')}.yml")
    overlays = [FOLDER / "overlays" / name for name in names]
    options = prepared(tmp_path, file, *(overlay for overlay in overlays if overlay.is_file()))
    assert mistakes(options, "train") == []
    network = build_network(options.values["network_g"])
    assert parameters(network) < (1_200_000 if method in OWN else 600_000)


@pytest.mark.parametrize("file", [*TRAINING, *TEST], ids=named)
def test_scale_patch_and_window_fit_together(file):
    options = read_options([file]).values
    network, scale = options["network_g"], options["scale"]
    assert file.stem.endswith(f"_x{scale}")
    assert network.get("upscale", scale) == scale
    if "img_size" in network:
        assert network["img_size"] * scale == 192
        assert network["img_size"] % network["window_size"] == 0
    for dataset in options["datasets"].values():
        assert PurePath(dataset["dataroot_lq"]).name == f"LR_x{scale}.lmdb"
        assert PurePath(dataset["dataroot_lq"]).parent == PurePath(dataset["dataroot_gt"]).parent


@pytest.mark.parametrize("scale", SCALES)
def test_methods_differ_in_nothing_but_themselves(scale):
    """One data set, one budget, one loss: what a comparison of methods rests on."""

    def shared(file: Path) -> dict:
        options = read_options([file]).values
        pools = {"contrastive_opt", "reversible_opt", "irreversible_opt"}
        own = pools | {"share_branches", "detach_positive", "probe_freq"}
        options["train"] = {key: value for key, value in options["train"].items() if key not in own}
        options["path"].pop("pretrain_network_c", None)
        return {key: value for key, value in options.items() if key not in ("name", "model_type", "network_g")}

    files = [FOLDER / f"train_{method}_x{scale}.yml" for method in METHODS if scale in SCALES_OF[method]]
    for one, other in pairwise(files):
        assert shared(one) == shared(other)


@pytest.mark.parametrize("kind", [*(f"train_{method}" for method in (*METHODS, *DIFFUSION, "VQF4")), "test_MiHATP"])
def test_scales_differ_in_what_a_scale_decides(kind):
    allowed = {("name",), ("scale",)} | {("network_g", key) for key in ("upscale", "img_size", "window_size")}
    allowed |= {
        ("network_g", "use_checkpoint"),
        ("path", "pretrain_network_g"),
        ("path", "pretrain_network_first_stage"),
    }
    x4 = flat(read(f"{kind}_x4"))
    for scale in {2, 8} & set(SCALES_OF[kind.partition("_")[2]]):
        other = flat(read(f"{kind}_x{scale}"))
        assert other.keys() == x4.keys()
        differing = {path for path in x4 if x4[path] != other[path]}
        rest = {path for path in differing if path[-1] != "dataroot_lq" and path[:2] != ("network_g", "first_stage")}
        assert rest <= allowed


@pytest.mark.parametrize("scale", SCALES)
def test_mihatp_trains_at_the_settings_of_the_paper(scale):
    options = read(f"train_MiHATP_x{scale}")
    train = options["train"]
    assert (train["optim_g"]["type"], train["optim_g"]["lr"]) == ("Adam", 1e-4)
    assert (train["scheduler"]["type"], train["scheduler"]["gamma"]) == ("MultiStepLR", 0.1)
    milestones = train["scheduler"]["milestones"]
    assert milestones == list(range(50_000, train["total_iter"], 50_000))
    assert train["pixel_opt"] == {"type": "L1Loss", "loss_weight": 1.0, "reduction": "mean"}
    contrastive = train["contrastive_opt"]
    assert (contrastive["loss_weight"], contrastive["tau"], contrastive["image_space"]) == (0.01, 0.05, True)
    assert contrastive["features"]["layers"] == [f"relu{stage}_1" for stage in range(1, 6)]
    assert (train["reversible_opt"]["k_p"], train["irreversible_opt"]["k_n"]) == (1, 4)
    network = options["network_g"]
    assert (network["alpha"], network["beta"], network["norm_residual"]) == (0.01, 0.01, True)
    assert network["depths"] == [6] * 6
    assert options["datasets"]["train"]["gt_size"] == 192
    sets = [PurePath(data["dataroot_gt"]).parent.name for data in options["datasets"].values()]
    assert sets == ["train", "val", "test1", "test2", "test3", "test4", "test5"]
    metrics = {name: metric["type"] for name, metric in options["val"]["metrics"].items()}
    assert metrics == {"psnr": "calculate_psnr", "ssim": "calculate_ssim"}


@pytest.mark.parametrize("scale", SCALES)
def test_hat_and_mihatp_share_every_size(scale):
    hat, mihatp = (read(f"train_{method}_x{scale}")["network_g"] for method in ("HAT", "MiHATP"))
    both = (hat.keys() & mihatp.keys()) - {"type"}
    assert {key: hat[key] for key in both} == {key: mihatp[key] for key in both}
    assert hat.keys() - mihatp.keys() == {"conv_scale"}  # alpha in MiHATP
    assert hat["conv_scale"] == mihatp["alpha"]


@pytest.mark.parametrize("scale", SCALES)
def test_the_test_file_tests_what_the_training_file_trains(scale):
    train, test = read(f"train_MiHATP_x{scale}"), read(f"test_MiHATP_x{scale}")
    for options in (train, test):
        del options["network_g"]["use_checkpoint"]
    for key in ("name", "model_type", "scale", "num_gpu", "manual_seed", "network_g"):
        assert train[key] == test[key]
    assert train["val"]["metrics"] == test["val"]["metrics"]
    held_out = [data for name, data in train["datasets"].items() if name.startswith("val_")]
    assert held_out == list(test["datasets"].values())
    assert test["path"]["pretrain_network_g"] == f"experiments/{train['name']}/models/net_g_latest.pth"


@pytest.mark.parametrize("file", TRAINING, ids=named)
def test_every_size_of_our_networks_is_written_out(file):
    """A file is complete: what it leaves out is no property of the network."""
    network = read_options([file]).values["network_g"]
    target = find(ARCH_REGISTRY, network["type"])
    if target.__module__.startswith("mihatp_arch"):
        left_out = {name for name in named_parameters(target) if not name.startswith("_")} - network.keys()
        assert left_out <= {"fused_attn"}  # how it is computed, not what


@pytest.mark.parametrize("scale", SCALES)
def test_what_only_mihatp_has_is_explained(scale):
    lines = (FOLDER / f"train_MiHATP_x{scale}.yml").read_text(encoding="utf-8").splitlines()
    hat, mihatp = (read(f"train_{method}_x{scale}") for method in ("HAT", "MiHATP"))
    for section in ("network_g", "train"):
        own = mihatp[section].keys() - hat[section].keys()
        assert len(own) >= 5
        for key in own:
            assert [line for line in lines if line.startswith(f"  {key}:") and "  # " in line], key


@pytest.mark.parametrize(("method", "size"), [("HAT", 20_772_507), ("SHISRCNet", 880_832), ("SRCNN", 69_251)])
def test_an_x4_network_has_the_size_of_the_published_one(method, size):
    assert parameters(build_network(read(f"train_{method}_x4")["network_g"])) == size


@pytest.mark.parametrize("file", [*TRAINING, *TEST], ids=named)
def test_basicsr_itself_reads_the_same(file, monkeypatch, tmp_path):
    """Its YAML loader and its `parse_options`: no number that it takes for a word, no key that it misses."""
    stock = yaml.load(file.read_text(encoding="utf-8"), Loader=ordered_yaml()[0])
    assert stock == read_options([file]).values
    is_train = file.stem.startswith("train")
    monkeypatch.setattr(sys, "argv", ["basicsr", "-opt", str(file)])
    parsed, _ = parse_options(str(tmp_path), is_train=is_train)
    assert parsed["network_g"] == stock["network_g"]
    assert {data["scale"] for data in parsed["datasets"].values()} == {stock["scale"]}
    assert parsed["val"].keys() >= ({"save_img", "val_freq"} if is_train else {"save_img", "suffix"})
