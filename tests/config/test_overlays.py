"""The overlays of a method come along with the overlay to which they belong."""

from pathlib import Path

import pytest

from mihatp_arch.config.overlays import with_own_overlays
from mihatp_cli.basicsr import main


def _names(*files: str) -> tuple[list[str], list[str]]:
    files_read, added = with_own_overlays([Path(file) for file in files])
    return [file.name for file in files_read], [file.name for file in added]


@pytest.fixture
def here(tmp_path, monkeypatch) -> Path:
    monkeypatch.chdir(tmp_path)
    for name in ("train_A_x4", "train_B_x4", "my", "my_A", "my_A_x4", "my_A_x2", "other", "plain"):
        (tmp_path / f"{name}.yml").write_text("{}\n")
    return tmp_path


def test_packaged_overlays_come_along():
    read, added = _names("train_MiHATP_x4.yml", "overlays/tiny.yml")
    assert read == ["train_MiHATP_x4.yml", "tiny.yml", "tiny_MiHATP.yml"] and added == ["tiny_MiHATP.yml"]
    assert _names("test_MiHATP_x8.yml", "overlays/tiny.yml")[1] == ["tiny_MiHATP.yml"]
    assert _names("train_LDM_x2.yml", "overlays/tiny.yml")[1] == ["tiny_LDM.yml", "tiny_LDM_x2.yml"]
    assert _names("train_HAT_x4.yml", "overlays/tiny.yml") == (["train_HAT_x4.yml", "tiny.yml"], [])


def test_each_follows_its_overlay_and_none_is_read_twice(here):
    assert _names("train_A_x4.yml", "my.yml", "other.yml") == (
        ["train_A_x4.yml", "my.yml", "my_A.yml", "my_A_x4.yml", "other.yml"],
        ["my_A.yml", "my_A_x4.yml"],
    )
    given = ["train_A_x4.yml", "my.yml", "my_A.yml", "other.yml"]
    assert _names(*given) == ([*given[:3], "my_A_x4.yml", "other.yml"], ["my_A_x4.yml"])
    given = ["train_A_x4.yml", "my.yml", "my_A.yml", "my_A_x4.yml"]
    assert _names(*given) == (given, [])
    assert _names("train_B_x4.yml", "my.yml") == (["train_B_x4.yml", "my.yml"], [])
    assert _names("plain.yml", "my.yml") == (["plain.yml", "my.yml"], [])


@pytest.mark.parametrize("command", ["train", "test"])
def test_a_line_names_them(tmp_path, monkeypatch, capsys, command):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("RANK", raising=False)
    assert main([command, "-opt", "train_MiHATP_x4.yml", "overlays/tiny.yml", "--data", "absent"]) == 2
    first, *_ = capsys.readouterr().err.splitlines()
    assert first == "basicsr: also reads tiny_MiHATP.yml, of this method"


def test_a_line_says_which_of_two_forced_values_counts(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    forced = ["--force_yml", "train:total_iter=5", "manual_seed=1", "manual_seed=1", "train:total_iter=6"]
    assert main(["train", "-opt", "train_HAT_x4.yml", "--data", "absent", *forced]) == 2
    lines = [line for line in capsys.readouterr().err.splitlines() if "twice" in line]
    assert lines == ["basicsr: warning: --force_yml gives train:total_iter twice: 6 counts"]
