"""Scores are those that `basicsr test` wrote, set by set; bicubic has the same files."""

import math

import lmdb
import numpy as np
import pytest
from basicsr.metrics import calculate_psnr, calculate_ssim
from basicsr.utils import img2tensor
from basicsr.utils.matlab_functions import imresize
from helpers.basicsr import write_lmdb
from helpers.benchmark import plan
from helpers.small_data import picture

from mihatp_arch.errors import UserError
from mihatp_arch.evaluation.results.scores import (
    bicubic,
    consistent,
    mean_of,
    measure_bicubic,
    over_sets,
    picture_of,
    read_images,
    read_picture,
    read_scores,
)
from mihatp_arch.evaluation.run.execute import metric_options


def test_bicubic_is_basicsrs_on_a_tensor():
    lq = picture(0, 12)
    wanted = imresize(img2tensor(lq, bgr2rgb=False, float32=True) / 255, 4).clamp(0, 1).permute(1, 2, 0).numpy()
    enlarged = bicubic(lq, 4)
    assert enlarged.dtype == np.uint8
    np.testing.assert_allclose(enlarged, wanted * 255, atol=0.51)


def test_bicubic_does_not_wrap_where_it_overshoots():
    edge = np.zeros((8, 8, 3), np.uint8)
    edge[:, 4:] = 255
    enlarged = bicubic(edge, 4)
    assert enlarged[:, :14].max() < 40
    assert enlarged[:, 18:].min() > 215


def test_bicubic_with_projection_has_the_mean_of_lr_and_is_nearer_to_hr():
    """Smooth colours: no pixel is clipped. LR of 8 bits and rounding move a mean by less than one level."""
    gt = (picture(3, 64) // 2 + 50).astype(np.uint8)
    exact = gt.reshape(16, 4, 16, 4, 3).mean((1, 3))
    lq = (exact + 0.5).astype(np.uint8)
    plain, projected = (bicubic(lq, 4, projected=flag).astype(float) for flag in (False, True))
    means = projected.reshape(16, 4, 16, 4, 3).mean((1, 3))
    assert np.abs(means - lq).max() < 0.51 < np.abs(plain.reshape(16, 4, 16, 4, 3).mean((1, 3)) - lq).max()
    assert ((projected - gt) ** 2).mean() < ((plain - gt) ** 2).mean()


@pytest.fixture(scope="module")
def measured(small_data, tmp_path_factory):
    """Bicubic's folder at x4, and the test sets."""
    folder = tmp_path_factory.mktemp("bicubic")
    sets = plan(folder, small_data, "SRCNN").test_sets()
    results = folder / "bicubic_x4"
    measure_bicubic(sets, 4, metric_options(4), results)
    return results, sets


def test_every_patch_is_measured_against_its_own_hr(measured):
    results, sets = measured
    scores = read_scores(results, list(sets))
    assert list(scores) == list(metric_options(4))
    always = [name for name in scores if "lpips" not in name]  # those need weights
    assert always == ["psnr", "ssim", "hed_error", "hematoxylin_ratio", "lr_consistency"]
    for name, dataset in sets.items():
        found = list(read_images(dataset, 4))
        assert [key for key, _, _ in found] == list(scores["psnr"][name]) == [f"{name}-0", f"{name}-1"]
        for key, lq, gt in found:
            assert lq.shape == (16, 16, 3) and gt.shape == (64, 64, 3)
            sr = bicubic(lq, 4)
            np.testing.assert_array_equal(read_picture(results, name, key), sr)
            assert scores["psnr"][name][key] == calculate_psnr(sr, gt, crop_border=0, test_y_channel=False)
            ssim = calculate_ssim(sr, gt, crop_border=0, test_y_channel=False)
            assert scores["ssim"][name][key] == pytest.approx(ssim, abs=1e-9)


def test_the_projected_pictures_stand_beside_the_others(measured):
    results, sets = measured
    first = {"test1": sets["test1"]}
    measure_bicubic(first, 4, metric_options(4), results, projected=True)
    beside = consistent(results)
    assert beside == results.parent / "bicubic_x4_consistent"
    plain, projected = (read_scores(folder, ["test1"]) for folder in (results, beside))
    assert all(projected["psnr"]["test1"][image] > value for image, value in plain["psnr"]["test1"].items())
    assert (read_picture(beside, "test1", "test1-0") != read_picture(results, "test1", "test1-0")).any()


def test_what_is_measured_is_not_measured_again(measured):
    results, sets = measured
    before = {path: path.stat().st_mtime_ns for path in results.rglob("*")}
    measure_bicubic(sets, 4, metric_options(4), results)
    assert {path: path.stat().st_mtime_ns for path in results.rglob("*")} == before


def test_sets_count_alike_whatever_their_size():
    mean, deviation = over_sets({"test1": {"a": 30.0, "b": 20.0, "c": 25.0}, "test2": {"d": 27.0}})
    assert mean == 26.0
    assert deviation == pytest.approx(math.sqrt(2))  # of a sample: divided by one set fewer
    assert over_sets({"test1": {"a": 30.0, "b": 20.0}}) == (25.0, 0.0)


def test_what_is_not_finite_is_left_out_of_its_set():
    assert over_sets({"test1": {"a": 30.0, "b": math.inf}, "test2": {"c": math.nan}}) == (30.0, 0.0)
    assert all(math.isnan(value) for value in over_sets({"test1": {"a": math.inf}}))


def test_seeds_are_averaged_image_by_image():
    one, other = ({"psnr": {"t": {"a": a, "b": b}}} for a, b in ((1.0, 5.0), (3.0, 6.0)))
    assert mean_of([one, other]) == {"psnr": {"t": {"a": 2.0, "b": 5.5}}}
    assert mean_of([one]) == one


@pytest.mark.parametrize("content", [None, "", "image,psnr\na,\n", "image,psnr\na,high\n", "picture,psnr\na,1\n"])
def test_a_damaged_table_is_one_line(tmp_path, content):
    file = tmp_path / "HAT_x4" / "metrics" / "test1.csv"
    file.parent.mkdir(parents=True)
    if content is not None:
        file.write_text(content)
    with pytest.raises(UserError, match=r"test1\.csv' is missing or damaged"):
        read_scores(tmp_path / "HAT_x4", ["test1"])


def test_a_picture_that_is_missing_or_damaged_is_one_line(tmp_path):
    path = picture_of(tmp_path / "HAT_x4", "test1", "a")
    assert path == tmp_path / "HAT_x4" / "visualization" / "test1" / "a_HAT_x4.png"
    with pytest.raises(UserError, match="missing or damaged"):
        read_picture(tmp_path / "HAT_x4", "test1", "a")
    path.parent.mkdir(parents=True)
    path.write_bytes(b"no image")
    with pytest.raises(UserError, match="missing or damaged"):
        read_picture(tmp_path / "HAT_x4", "test1", "a")


def test_a_missing_or_damaged_test_set_is_one_line(tmp_path):
    write_lmdb(tmp_path / "HR.lmdb", [(48, 48)] * 2)
    options = {
        "name": "test1",
        "type": "PairedImageDataset",
        "dataroot_gt": str(tmp_path / "HR.lmdb"),
        "dataroot_lq": str(tmp_path / "LR_x4.lmdb"),
        "io_backend": {"type": "lmdb"},
    }
    with pytest.raises(UserError, match=r"the test set 'test1' cannot be read .* --data DIR"):
        list(read_images(options, 4))
    write_lmdb(tmp_path / "LR_x4.lmdb", [(12, 12)] * 2)
    assert len(list(read_images(options, 4))) == 2
    with lmdb.open(str(tmp_path / "HR.lmdb"), map_size=2**24) as env, env.begin(write=True) as transaction:
        transaction.put(b"im1", bytes(transaction.get(b"im1"))[:-30])
    with pytest.raises(UserError, match=r"data set 'test1': the HR image 'im1' in .* is damaged: its PNG is cut off"):
        list(read_images(options, 4))
