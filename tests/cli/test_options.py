"""`mihatp options`, and option files by the names that it lists."""

from pathlib import Path

import pytest
import yaml

from datasets_prep.common.errors import UserError
from datasets_prep.common.packaged_options import find_option_file, options_folder
from mihatp_arch.config.read import read_options
from mihatp_cli.mihatp import main
from mihatp_cli.options import summary

OPTIONS = Path(__file__).resolve().parents[2] / "options"


def test_every_option_file_of_the_checkout_is_listed_with_a_sentence(capsys):
    assert main(["options"]) == 0
    lines = dict(line.split(maxsplit=1) for line in capsys.readouterr().out.splitlines())
    assert list(lines) == sorted(file.relative_to(OPTIONS).as_posix() for file in OPTIONS.rglob("*.yml"))
    assert lines["train_MiHATP_x8.yml"].startswith("MiHATP x8")
    assert all(len(line) > 15 for line in lines.values())


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("# One, of\n# two lines. Another.\nname: x\n# no\n", "One, of two lines."),
        ("# yaml-language-server: $schema=schema.json\n# No full stop\nname: x\n", "No full stop"),
        ("# A command:\n# basicsr train\n", "A command"),
        ("# x4.5 is a number.\n", "x4.5 is a number."),
        ("name: x\n", ""),
    ],
)
def test_the_sentence_is_the_first_of_the_comment(text, sentence):
    assert summary(text) == sentence


def test_options_are_copied_out_and_nothing_is_overwritten(tmp_path, capsys):
    folder = tmp_path / "mine"
    assert main(["options", "copy", str(folder)]) == 0
    files = [file for file in OPTIONS.rglob("*") if file.suffix in (".yml", ".json")]
    assert capsys.readouterr().out == f"{folder}: {len(files)} files\n"
    for file in files:
        assert (folder / file.relative_to(OPTIONS)).read_bytes() == file.read_bytes()
    (folder / "train_HAT_x4.yml").write_text("changed: true\n")
    assert main(["options", "copy", str(folder)]) == 2
    error = capsys.readouterr().err
    assert error.startswith("mihatp: error: ") and "exists: name another folder" in error and error.count("\n") == 1
    assert (folder / "train_HAT_x4.yml").read_text() == "changed: true\n"
    (tmp_path / "file").write_text("in the way")
    assert main(["options", "copy", str(tmp_path / "file")]) == 2
    assert "cannot write" in capsys.readouterr().err


@pytest.mark.parametrize("folder", ["/proc/x", "/dev/null/x", "{tmp}/" + 300 * "a"])
def test_a_folder_that_cannot_be_made_is_one_line(tmp_path, capsys, folder):
    assert main(["options", "copy", folder.format(tmp=tmp_path)]) == 2
    error = capsys.readouterr().err
    assert error.startswith("mihatp: error: ") and error.count("\n") == 1


def test_a_name_that_is_no_file_is_a_packaged_one(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("train_HAT_x4", "train_HAT_x4.yml", "overlays/tiny", "overlays/tiny.yml"):
        assert find_option_file(Path(name)) == options_folder() / f"{name.removesuffix('.yml')}.yml"
    options = read_options([Path("train_HAT_x4.yml"), Path("overlays/tiny.yml")])
    assert options.values["name"] == "HAT_x4" and options.values["train"]["total_iter"] == 600
    assert options.origins["name",] == str(options_folder() / "train_HAT_x4.yml")


def test_an_existing_file_wins(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("train_HAT_x4.yml").write_text(yaml.safe_dump({"name": "mine"}))
    assert find_option_file(Path("train_HAT_x4.yml")) == Path("train_HAT_x4.yml")
    assert read_options([Path("train_HAT_x4.yml")]).values == {"name": "mine"}
    folder = tmp_path / "elsewhere"
    folder.mkdir()
    (folder / "a.yml").write_text("name: a\n")
    assert find_option_file(Path("a.yml"), folder=folder) == folder / "a.yml"


@pytest.mark.parametrize(
    ("name", "near"),
    [
        ("train_MiHAPT_x8.yml", "; did you mean 'train_MiHATP_x8.yml'?"),
        ("options/train_HAT_x4.yml", "; did you mean 'train_HAT_x4.yml'?"),
        ("../options/train_HAT_x4.yml.bak", "; did you mean 'train_HAT_x4.yml'?"),
        ("nothing.yml", ""),
    ],
)
def test_a_misspelt_name_is_one_line_with_the_near_match(tmp_path, monkeypatch, name, near):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError) as error:
        find_option_file(Path(name))
    assert str(error.value) == f"there is no option file '{name}'{near}"
