"""The `mihatp` command: what it prints, and how it ends."""

import subprocess
import sys
from importlib.metadata import entry_points, version

import pytest
from PIL import Image

import mihatp_arch
from datasets_prep.common.errors import UserError
from datasets_prep.synthetic.image import synthesize
from mihatp_cli import basicsr, command_line
from mihatp_cli.mihatp import main


@pytest.fixture
def tiles(tmp_path):
    folder = tmp_path / "tiles"
    folder.mkdir()
    for index in range(7):
        Image.fromarray(synthesize(128, 128, seed=index)[0]).save(folder / f"TCGA-AA-{index:04}-01Z.png")
    return folder


def prepare(tiles, out, *more):
    return main(["prepare", "--tiles", str(tiles), "-o", str(out), "--patch-size", "64", *more])


def test_prepare_builds_and_says_what(tiles, tmp_path, capsys):
    assert prepare(tiles, tmp_path / "out", "--scales", "2", "4") == 0
    assert sorted(path.name for path in (tmp_path / "out/train").iterdir()) == ["HR.lmdb", "LR_x2.lmdb", "LR_x4.lmdb"]
    printed = capsys.readouterr()
    assert "train" in printed.out and "test5" in printed.out and "7 of 7 slides and tiles used" in printed.out
    assert printed.err == ""
    assert prepare(tiles, tmp_path / "out") == 2
    assert prepare(tiles, tmp_path / "out", "--overwrite") == 0


@pytest.mark.parametrize(
    "more",
    [
        ["--patch-size", "63"],
        ["--scales", "3", "3"],
        ["--tests", "9"],
        ["--tests", "0"],
        ["--val-patches", "0"],
        ["--manifest", "no"],
    ],
)
def test_mistakes_are_one_line_and_code_2(tiles, tmp_path, capsys, more):
    assert prepare(tiles, tmp_path / "out", *more) == 2
    error = capsys.readouterr().err
    assert error.startswith("mihatp: error: ") and error.count("\n") == 1
    assert not (tmp_path / "out").exists()


def test_debug_shows_the_traceback(tiles, tmp_path, capsys):
    assert prepare(tiles / "absent", tmp_path / "out", "--debug") == 2
    error = capsys.readouterr().err
    assert "Traceback" in error and error.splitlines()[-1].startswith("mihatp: error: ")


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["paint"],
        ["prepare"],
        ["prepare", "--tiels", "x", "-o", "y"],
        ["prepare", "--tiles", "x", "-o", "y", "--seed", "one"],
    ],
)
def test_unknown_words_are_one_line_and_code_2(arguments, capsys):
    assert main(arguments) == 2
    error = capsys.readouterr().err
    assert error.startswith("mihatp: error: ") and error.endswith("--help)\n") and error.count("\n") == 1


@pytest.mark.parametrize("name", ["file", "file/below", "a\0b", "a\udcffb"])
def test_outputs_that_cannot_be_are_one_line_and_code_2(tiles, tmp_path, name, capsys):
    (tmp_path / "file").write_text("in the way")
    for arguments in (["demo"], ["prepare", "--tiles", str(tiles), "--patch-size", "64", "--overwrite"]):
        assert main([*arguments, "-o", str(tmp_path / name)]) == 2
        error = capsys.readouterr().err
        assert error.startswith("mihatp: error: ") and error.count("\n") == 1
    assert sorted(path.name for path in tmp_path.iterdir()) == ["file", "tiles"]


def test_help_ends_with_code_0(capsys):
    with pytest.raises(SystemExit) as end:
        main(["prepare", "--help"])
    assert end.value.code == 0
    assert "--tiles" in capsys.readouterr().out


@pytest.mark.parametrize("command", [main, basicsr.main])
def test_the_version_is_that_of_the_package(command, capsys):
    with pytest.raises(SystemExit) as end:
        command(["--version"])
    assert end.value.code == 0
    assert capsys.readouterr().out.split()[-1] == mihatp_arch.__version__ == version("mihatp")


def test_report_turns_ends_into_codes(capsys):
    def fail(error):
        def body():
            raise error

        return command_line.run("basicsr", body, debug=False)

    assert command_line.run("basicsr", lambda: None, debug=False) == 0
    assert fail(UserError("one\ntwo")) == 2
    assert fail(UserError("three")) == 2
    assert capsys.readouterr().err == "basicsr: error: one two\nbasicsr: error: three\n"
    assert fail(KeyboardInterrupt()) == 130
    with pytest.raises(ZeroDivisionError):
        fail(ZeroDivisionError())


def test_console_script_is_installed(tmp_path):
    (script,) = entry_points(group="console_scripts", name="mihatp")
    code = f"import sys; from {script.module} import {script.attr} as main; sys.exit(main())"
    done = subprocess.run(
        [sys.executable, "-c", code, "prepare", "--tiles", str(tmp_path), "-o", str(tmp_path / "out")],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 2
    assert "no image tiles" in done.stderr


def test_check_says_what_is_wrong_and_ends_with_code_2(tiles, tmp_path, capsys):
    assert prepare(tiles, tmp_path / "out") == 0
    assert main(["check", str(tmp_path / "out")]) == 0
    assert "no fault found" in capsys.readouterr().out
    (tmp_path / "out/test1/LR_x4.lmdb").rename(tmp_path / "out/test1/swapped.lmdb")
    (tmp_path / "out/test1/LR_x2.lmdb").rename(tmp_path / "out/test1/LR_x4.lmdb")
    (tmp_path / "out/test1/swapped.lmdb").rename(tmp_path / "out/test1/LR_x2.lmdb")
    assert main(["check", str(tmp_path / "out")]) == 2
    assert "test1" in capsys.readouterr().out
    assert main(["check", str(tmp_path / "absent")]) == 2
    assert capsys.readouterr().err.startswith("mihatp: error: ")


def test_slides_that_cannot_be_used_are_listed_with_code_3(tiles, tmp_path, capsys):
    (tiles / "TCGA-AA-0003-01Z.png").write_text("no image")
    assert prepare(tiles, tmp_path / "out", "--tests", "4") == 3
    error = capsys.readouterr().err
    assert "1 of 7 could not be used" in error and "TCGA-AA-0003" in error
