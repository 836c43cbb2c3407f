"""Many pictures: which file each one goes to, and what happens when one of them fails."""

import resource

import numpy as np
import pytest
from PIL import Image

import mihatp_arch
from datasets_prep.common.errors import UserError
from mihatp_arch.inference.choose_network import ChooseNetwork
from mihatp_arch.inference.folders import Job, plan, upscale_pictures
from mihatp_arch.inference.images import Picture, read_picture
from mihatp_arch.inference.inputs import find_inputs
from mihatp_arch.inference.outputs import refuse_inside
from mihatp_arch.inference.write_images import write_picture

RGB = np.random.default_rng(0).integers(0, 256, (8, 10, 3), dtype=np.uint8)


@pytest.fixture
def folder(tmp_path):
    root = tmp_path / "in"
    (root / "sub").mkdir(parents=True)
    for name in ("a.png", "b.JPG", "sub/a.png", "sub/c.tif", "sub/png.jpg"):
        Image.fromarray(RGB).save(root / name, format="PNG" if name == "sub/png.jpg" else None)
    return root


@pytest.fixture(scope="module")
def upscaler(local_weights):
    return mihatp_arch.load(local_weights, device="cpu")


def planned(paths, output, **options):
    return plan(find_inputs(paths), paths, output, **options)


def targets(paths, output, **options):
    return sorted(job.target.relative_to(output).as_posix() for job in planned(paths, output, **options).jobs)


def test_folders_are_mirrored(folder, tmp_path):
    out = tmp_path / "out"
    assert targets([folder], out) == ["a.png", "b.JPG", "sub/a.png", "sub/c.tif", "sub/png.png"]
    assert targets([folder / "b.JPG", folder / "sub"], out) == ["a.png", "b.JPG", "c.tif", "png.png"]
    assert targets([folder / "b.JPG", folder / "a.png"], out, suffix=".tiff") == ["a.tiff", "b.tiff"]
    assert targets([folder / "sub"], out, suffix=".png") == ["a.png", "c.png", "png.png"]


def test_an_ending_that_names_no_format_stays(tmp_path):
    for number in (1, 2):
        Image.fromarray(RGB).save(tmp_path / f"slide.{number}", format="PNG")
    paths = [tmp_path / "slide.1", tmp_path / "slide.2"]
    assert targets(paths, tmp_path / "out") == ["slide.1.png", "slide.2.png"]


def test_one_file_goes_to_a_file_or_a_folder(folder, tmp_path):
    assert planned([folder / "a.png"], tmp_path / "x.jpg").jobs == [Job(folder / "a.png", tmp_path / "x.jpg")]
    assert planned([folder / "a.png"], tmp_path).jobs == [Job(folder / "a.png", tmp_path / "a.png")]
    with pytest.raises(UserError, match=r"written as \.png"):
        planned([folder / "a.png"], tmp_path / "x.webp")


def test_outputs_that_would_be_lost_are_refused(folder, tmp_path):
    out = tmp_path / "out"
    with pytest.raises(UserError, match="have the same output"):
        planned([folder / "a.png", folder / "sub" / "a.png"], out)
    with pytest.raises(UserError, match="have the same output"):
        Image.fromarray(RGB).save(folder / "a.jpg")
        planned([folder], out, suffix=".png", existing="overwrite")
    for inside in (folder, folder / "out", folder / "sub" / ".." / "out"):
        with pytest.raises(UserError, match="lies in the input"):
            refuse_inside([folder], inside)
    with pytest.raises(UserError, match="is an input too"):
        planned([folder / "a.png"], folder, existing="overwrite")
    (tmp_path / "link.png").symlink_to(folder / "a.png")
    with pytest.raises(UserError, match="is an input too"):
        planned([folder / "a.png"], tmp_path / "link.png", existing="overwrite")
    out.write_text("file")
    with pytest.raises(UserError, match="is a file"):
        planned([folder], out, existing="overwrite")


def test_a_file_in_the_place_of_a_folder_is_refused_before_the_work(folder, tmp_path):
    (tmp_path / "file").touch()
    for paths, output in (([folder / "a.png"], tmp_path / "file/x.png"), ([folder], tmp_path / "file/sub/out")):
        with pytest.raises(UserError, match=f"the output cannot lie in {tmp_path}/file, which is no folder"):
            planned(paths, output)


def test_outputs_that_exist(folder, tmp_path):
    out = tmp_path / "out"
    (out / "sub").mkdir(parents=True)
    (out / "a.png").write_text("old")
    (out / "sub" / "c.tif").write_text("old")
    with pytest.raises(UserError, match=r"a\.png and 1 more exists: --resume"):
        planned([folder], out)
    resumed = planned([folder], out, existing="skip")
    assert len(resumed.jobs) == 3 and resumed.finished == 2
    with pytest.raises(UserError, match=r"a\.png is no file of this program, so it stays"):
        planned([folder], out, existing="overwrite")
    for name in ("a.png", "sub/c.tif"):
        write_picture(Picture(RGB), out / name, description="by MiHATP")
    assert len(planned([folder], out, existing="overwrite").jobs) == 5


def test_pictures_are_upscaled_and_failures_listed(folder, tmp_path, upscaler):
    (folder / "bad.png").write_bytes((folder / "a.png").read_bytes()[:60])
    Image.fromarray(RGB).convert("L").save(folder / "grey.png", dpi=(25400, 25400))
    outcome = upscale_pictures(planned([folder], tmp_path / "out").jobs, lambda picture, path: upscaler)
    assert outcome.written == 6 and outcome.converted == 1 and outcome.scales == {2}
    assert len(outcome.failed) == 1 and "bad.png" in outcome.failed[0]
    sr = read_picture(tmp_path / "out" / "a.png")
    assert np.array_equal(sr.rgb, upscaler.upscale(RGB))
    assert read_picture(tmp_path / "out" / "grey.png").mpp == pytest.approx(0.5)
    with Image.open(tmp_path / "out" / "a.png") as image:
        about = image.info["Description"]
    assert "local.safetensors" in about and upscaler.info.sha256[:16] in about and "Not for diagnosis" in about
    assert len(list((tmp_path / "out").rglob("*.*"))) == 6


def test_a_full_disk_ends_the_run_and_leaves_nothing_half_written(folder, tmp_path, upscaler):
    noise = np.random.default_rng(0).integers(0, 256, (300, 300, 3), dtype=np.uint8)
    Image.fromarray(noise).save(folder / "b.png")
    jobs = planned([folder], tmp_path / "out").jobs
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 17, before[1]))
    try:
        with pytest.raises(
            UserError, match=r"cannot write .*b\.png: File too large; 3 of 6 pictures are left, --resume"
        ):
            upscale_pictures(jobs, lambda picture, path: upscaler)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert sorted(path.name for path in (tmp_path / "out").rglob("*.*")) == ["a.png", "b.JPG"]


def test_the_network_is_chosen_by_the_resolution(upscaler):
    loaded = []

    def load(scale):
        loaded.append(scale)
        return upscaler

    choose = ChooseNetwork(load, [2, 4, 8], to_mpp=0.25, assume_mpp=1.0)
    at = [Picture(RGB, dpi=(25400 / mpp, 25400 / mpp)) for mpp in (0.5, 0.53, 1.0, 2.1)]
    for picture in [*at, Picture(RGB), Picture(RGB, dpi=(72.0, 72.0))]:
        assert choose(picture, "a.png") is upscaler
    assert loaded == [2, 4, 8]
    with pytest.raises(UserError, match=r"a\.png has 0\.75 µm/px: 0\.25 µm/px is x3"):
        choose(Picture(RGB, dpi=(25400 / 0.75, 25400 / 0.75)), "a.png")
    with pytest.raises(UserError, match="does not state its µm per pixel"):
        ChooseNetwork(load, [2], to_mpp=0.25)(Picture(RGB), "a.png")


def test_linked_folders_are_entered_and_a_dead_link_does_not_stop_the_others(folder, tmp_path, upscaler):
    far = tmp_path / "far"
    far.mkdir()
    Image.fromarray(RGB).save(far / "d.png")
    (folder / "linked").symlink_to(far)
    (far / "loop").symlink_to(folder)
    (folder / "gone.png").symlink_to("/nowhere/gone")
    (folder / "gone.svs").symlink_to("/nowhere/gone")
    (folder / "gone.txt").symlink_to("/nowhere/gone")
    inputs = find_inputs([folder])
    assert [path.name for path in inputs.slides] == ["gone.svs"] and inputs.skipped == 1
    plans = plan(inputs, [folder], tmp_path / "out")
    names = ["a.png", "b.JPG", "gone.png", "linked/d.png", "sub/a.png", "sub/c.tif", "sub/png.png"]
    assert sorted(job.target.relative_to(tmp_path / "out").as_posix() for job in plans.jobs) == names
    two = [job for job in plans.jobs if job.source.name in ("gone.png", "d.png")]
    outcome = upscale_pictures(two, ChooseNetwork(lambda scale: upscaler, [upscaler.scale]))
    assert outcome.written == 1 and len(outcome.failed) == 1 and "gone.png" in outcome.failed[0]
