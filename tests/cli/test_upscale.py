"""`mihatp upscale` of pictures: what it writes and prints, and how it ends."""

import subprocess
import sys

import numpy as np
import pytest
import tifffile
from helpers.slides import reduced, write_pyramid
from PIL import Image

import mihatp_arch
from mihatp_arch.inference.images import read_picture
from mihatp_cli.mihatp import main

RGB = np.random.default_rng(0).integers(0, 256, (8, 10, 3), dtype=np.uint8)


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "in" / "sub").mkdir(parents=True)
    Image.fromarray(RGB).save("in/a.png")
    Image.fromarray(RGB).convert("L").save("in/sub/b.tif")
    (tmp_path / "in" / "notes.txt").write_text("text")
    return tmp_path


@pytest.fixture
def upscale(local_weights):
    return lambda *more: main(["upscale", *map(str, more), "--weights", str(local_weights)])


def files(folder):
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())


def test_a_folder(folder, upscale, local_weights, capsys):
    assert upscale("in", "-o", "out") == 0
    printed = capsys.readouterr()
    assert printed.out == (
        "out: 2 of 2 pictures upscaled x2 by local.safetensors; 1 grey or palette pictures became RGB; "
        "1 hidden or other files skipped\n"
    )
    assert printed.err == ""
    assert files(folder / "out") == ["a.png", "sub/b.tif"]
    expected = mihatp_arch.load(local_weights).upscale(RGB)
    assert np.array_equal(np.asarray(Image.open("out/a.png")), expected)


def test_the_temporary_file_of_a_killed_run_goes(folder, upscale):
    code = (
        "import os, pathlib, sys; from mihatp_cli.mihatp import main\n"
        "pathlib.Path.replace = lambda *_: os._exit(9)\n"
        "main(sys.argv[1:])"
    )
    command = [sys.executable, "-c", code, "upscale", "in", "-o", "out", "--scale", "2"]
    assert subprocess.run(command, check=False, capture_output=True).returncode == 9
    assert len(list((folder / "out").rglob(".*.partial"))) == 1
    assert upscale("in", "-o", "out", "--resume") == 0
    assert files(folder / "out") == ["a.png", "sub/b.tif"]


def test_bundled_weights_by_their_scale(folder, capsys):
    assert main(["upscale", "in/a.png", "-o", "a4.png", "--scale", "4"]) == 0
    assert Image.open("a4.png").size == (40, 32) and "x4 by he-light-x4" in capsys.readouterr().out
    Image.fromarray(RGB).save("mpp.png", dpi=(50800, 50800))
    assert main(["upscale", "mpp.png", "-o", "a2.png", "--to-mpp", "0.25"]) == 0
    assert Image.open("a2.png").size == (20, 16)


def test_resume_and_overwrite(folder, upscale, capsys):
    assert upscale("in", "-o", "out") == 0
    first = (folder / "out/sub/b.tif").read_bytes()
    assert upscale("in", "-o", "out") == 2
    assert "--resume" in capsys.readouterr().err
    (folder / "out/a.png").write_text("old")
    (folder / "out/sub/b.tif").unlink()
    assert upscale("in", "-o", "out", "--resume") == 0
    assert "1 of 1 pictures" in (out := capsys.readouterr().out) and "1 existed" in out
    assert (folder / "out/a.png").read_text() == "old" and (folder / "out/sub/b.tif").read_bytes() == first
    assert upscale("in", "-o", "out", "--resume") == 0
    assert "2 existed" in capsys.readouterr().out
    assert upscale("in", "-o", "out", "--overwrite") == 2
    assert "out/a.png is no file of this program, so it stays: move it away" in capsys.readouterr().err
    assert (folder / "out/a.png").read_text() == "old"
    (folder / "out/a.png").unlink()
    for _ in range(2):
        assert upscale("in", "-o", "out", "--overwrite") == 0
    assert Image.open("out/a.png").size == (20, 16)


def test_some_failures_are_code_3_and_only_failures_code_2(folder, upscale, capsys):
    tifffile.imwrite("in/sub/deep.tif", np.zeros((5, 5, 3), np.uint16), photometric="rgb")
    assert upscale("in", "-o", "out") == 3
    error = capsys.readouterr().err
    assert error == (
        "1 of 3 could not be upscaled:\n  in/sub/deep.tif has 16 bits per channel: 8 are needed, convert it\n"
    )
    for name in ("in/a.png", "in/sub/b.tif"):
        (folder / name).write_bytes((folder / name).read_bytes()[:-40])
    assert upscale("in", "-o", "out2") == 2
    assert not (folder / "out2").exists()


MISTAKES = {
    "absent": (["absent.png", "-o", "o.png"], "does not exist"),
    "text": (["in/notes.txt", "-o", "o.png"], "is no PNG, JPEG, TIFF picture"),
    "ending": (["in/a.png", "-o", "o.webp"], "a picture is written as"),
    "near ending": (["in/a.png", "-o", "o.pgn"], "did you mean '.png'?"),
    "exists": (["in/a.png", "-o", "in/sub/b.tif"], "exists: --resume leaves it, --overwrite replaces it"),
    "itself": (["in/a.png", "-o", "in/a.png"], "is an input too"),
    "inside": (["in", "-o", "in/out"], "lies in the input"),
    "scale": (["in/a.png", "-o", "o.png", "--scale", "4"], "enlarges 2 times, not 4"),
    "no scale": (["in/a.png", "-o", "o.png", "--scale", "x"], "invalid int value"),
    "tile": (["in/a.png", "-o", "o.png", "--tile", "9"], "9 px are too few"),
    "batch": (["in/a.png", "-o", "o.png", "--batch", "-1"], "batch -1"),
    "device": (["in/a.png", "-o", "o.png", "--device", "gpu"], "device 'gpu' cannot be used"),
    "mpp": (["in/a.png", "-o", "o.png", "--to-mpp", "0"], "--to-mpp 0: give µm per pixel"),
    "unknown mpp": (["in/a.png", "-o", "o.png", "--to-mpp", "0.25"], "does not state its µm per pixel"),
    "format": (["in", "-o", "out", "--format", "svs"], "a picture is written as png, jpg, tiff"),
    "format of a file": (["in/a.png", "-o", "o.png", "--format", "jpg"], "--format jpg: the output o.png is PNG"),
    "maps": (["in", "-o", "out", "--maps", "--skip-damaged"], "--skip-damaged, --maps: for slides alone"),
    "quality": (["in/a.png", "-o", "o.jpg", "--quality", "50"], "--quality: for slides alone"),
    "workers": (["in/a.png", "-o", "o.png", "--workers", "2"], "--workers: for slides alone"),
    "both": (["in", "-o", "out", "--resume", "--overwrite"], "not allowed with argument"),
    "no path": (["in/a.png", "-o", "deep/\0/o.png"], "is no path"),
    "below a file": (["in/a.png", "-o", "in/notes.txt/o.png"], "cannot lie in in/notes.txt, which is no folder"),
}


@pytest.mark.parametrize("name", MISTAKES)
def test_mistakes_are_one_line_and_code_2(folder, upscale, capsys, name):
    arguments, reason = MISTAKES[name]
    before = files(folder)
    assert upscale(*arguments) == 2
    error = capsys.readouterr().err
    assert error.startswith("mihatp: error: ") and error.count("\n") == 1 and reason in error
    assert files(folder) == before


def slide_at(path):
    path.parent.mkdir(parents=True, exist_ok=True)
    level = np.full((300, 300, 3), 200, np.uint8)
    write_pyramid(path, [level, reduced(level, 2)], resolution=(20000, 20000))  # 0.5 µm/px


def refused(capsys, reason):
    error = capsys.readouterr().err
    return error.startswith("mihatp: error: ") and error.count("\n") == 1 and reason in error


@pytest.mark.parametrize("more", [[], ["--resume"], ["--overwrite"]])
def test_a_picture_and_a_slide_with_the_same_output_are_refused(folder, upscale, capsys, more):
    slide_at(folder / "mix/a.svs")
    Image.fromarray(RGB).save("mix/a.tif")
    assert upscale("mix", "-o", "mixout", *more) == 2
    assert refused(capsys, "have the same output")
    assert not (folder / "mixout").exists()


def test_an_output_inside_the_input_is_refused_for_slides_too(folder, upscale, capsys):
    slide_at(folder / "slides/s.tif")
    for inside in ("slides", "slides/out"):
        assert upscale("slides", "-o", inside) == 2
        assert refused(capsys, "lies in the input slides")
    assert files(folder / "slides") == ["s.tif"]


@pytest.mark.parametrize(("output", "format"), [("o.svs", "tiff"), ("o.ome.tif", "svs"), ("o.svs", "ome")])
def test_a_slide_is_not_written_in_another_format_than_its_name_says(folder, upscale, capsys, output, format):
    slide_at(folder / "s.tif")
    assert upscale("s.tif", "-o", output, "--format", format) == 2
    assert refused(capsys, f"--format {format}: the output {output} is ")


@pytest.mark.parametrize("ending", ["png", "jpg", "tif"])
def test_the_output_states_its_own_resolution(folder, upscale, ending):
    Image.fromarray(RGB).save("p.png", dpi=(50800, 50800))  # 0.5 µm/px
    for number, (source, *more) in enumerate(
        [
            ("p.png", "--to-mpp", "0.5", "--override-mpp", "1"),
            ("p.png", "--override-mpp", "1"),
            ("in/a.png", "--to-mpp", "0.5", "--assume-mpp", "1"),
            ("in/a.png", "--assume-mpp", "1"),
        ]
    ):
        assert upscale(source, "-o", f"{number}.{ending}", *more) == 0
        assert read_picture(folder / f"{number}.{ending}").mpp == pytest.approx(0.5, rel=1e-4)
    assert upscale("p.png", "-o", f"own.{ending}", "--assume-mpp", "1") == 0
    assert read_picture(folder / f"own.{ending}").mpp == pytest.approx(0.25, rel=1e-4)


def test_an_output_that_may_not_be_looked_at_is_one_line(folder):
    (folder / "lock").mkdir(mode=0)
    code = (
        "import os; from mihatp_cli.mihatp import main; import mihatp_arch.inference.folders\n"
        "os.getuid() or (os.chmod('.', 0o777), os.seteuid(65534))\n"
        "print(*(main(['upscale', 'in/a.png', '-o', output, '--scale', '2']) for output in ('lock/x.png', 'lock')))"
    )
    ended = subprocess.run([sys.executable, "-c", code], check=False, capture_output=True, text=True)
    assert ended.stdout == "2 2\n", ended.stderr
    lines = ended.stderr.splitlines()
    assert len(lines) == 2 and all(line.startswith("mihatp: error: lock") for line in lines)


def test_options_of_slides_are_checked_before_the_first_picture(folder, upscale, capsys):
    slide_at(folder / "in/slide.tif")
    assert upscale("in", "-o", "out", "--quality", "0") == 2
    assert "quality" in capsys.readouterr().err
    assert not (folder / "out").exists()


@pytest.mark.parametrize(
    ("inputs", "more", "reason"),
    [
        (["in"], ["--device", "nowhere"], "device 'nowhere' cannot be used"),
        (["slides"], ["--device", "nowhere"], "device 'nowhere' cannot be used"),
        (["in"], ["--tile", "9"], "9 px are too few"),
        (["slides"], ["--tile", "32"], "--tile 32: give at least"),
        (["in", "slides"], ["--tile", "32"], "--tile 32: give at least"),
        (["in"], ["--assume-mpp", "0.03"], "--assume-mpp 0.03: give µm per pixel, 0.05 to 20"),
        (["slides"], ["--override-mpp", "0.03"], "--override-mpp 0.03: give µm per pixel, 0.05 to 20"),
    ],
)
def test_what_is_wrong_for_all_inputs_is_said_once_and_first(folder, capsys, inputs, more, reason):
    Image.fromarray(RGB).save("in/c.png", dpi=(50800, 50800))
    slide_at(folder / "slides/s.tif")
    slide_at(folder / "slides/t.tif")
    assert main(["upscale", *inputs, "-o", "out", "--to-mpp", "0.25", *more]) == 2
    assert refused(capsys, reason)
    assert not (folder / "out").exists()


@pytest.mark.parametrize(
    ("more", "reason"),
    [
        ([], "give --scale (2, 4, 8), or --weights"),
        (["--scale", "3"], "no bundled weights enlarge 3 times (he-light-x2"),
        (["--weights", "he-ligth-x4"], "did you mean 'he-light-x4'?"),
        (["--weights", "he-light-x4", "--scale", "2"], "'he-light-x4' enlarges 4 times, not 2"),
        (["--weights", "in/a.png"], "in/a.png"),
    ],
)
def test_mistakes_in_weights_are_one_line_and_code_2(folder, capsys, more, reason):
    assert main(["upscale", "in", "-o", "out", *more]) == 2
    error = capsys.readouterr().err
    assert error.startswith("mihatp: error: ") and error.count("\n") == 1 and reason in error
    assert not (folder / "out").exists()
