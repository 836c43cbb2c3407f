"""Scores are BasicSR's, set by set, and an infinite one stays visible."""

import math

import cv2
import numpy as np
import pytest
from basicsr.metrics import calculate_psnr, calculate_ssim
from basicsr.utils import img2tensor
from basicsr.utils.lmdb_util import LmdbMaker
from basicsr.utils.matlab_functions import imresize

from mihatp_arch.errors import UserError
from mihatp_arch.evaluation.scores import bicubic, over_sets, read_lmdb, saved_result, score


def picture(seed: int, width: int) -> np.ndarray:
    """Smooth random colours: something that interpolation can do."""
    coarse = np.random.default_rng(seed).integers(0, 256, (4, 4, 3), dtype=np.uint8)
    return cv2.resize(coarse, (width, width), interpolation=cv2.INTER_CUBIC)


def put(folder, images: dict[str, np.ndarray]) -> None:
    folder.parent.mkdir(parents=True, exist_ok=True)
    maker = LmdbMaker(str(folder), map_size=2**24)
    for key, image in images.items():
        maker.put(cv2.imencode(".png", image)[1].tobytes(), key, image.shape)
    maker.close()


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """Two test sets at x4, of two and one patches."""
    root = tmp_path_factory.mktemp("data")
    for name, keys in (("test1", ("a", "b")), ("test2", ("c",))):
        gt = {key: picture(ord(key), 48) for key in keys}
        put(root / name / "HR.lmdb", gt)
        put(root / name / "LR_x4.lmdb", {key: cv2.resize(one, (12, 12)) for key, one in gt.items()})
    return root


def test_an_lmdb_gives_back_what_was_put_in(data):
    images = read_lmdb(data / "test1" / "HR.lmdb")
    assert sorted(images) == ["a", "b"]
    np.testing.assert_array_equal(images["a"], picture(ord("a"), 48))


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


def test_every_patch_is_scored_against_its_own_hr(data):
    asked = []

    def restore(name, key, lq):
        asked.append((name, key, lq.shape))
        return bicubic(lq, 4)

    scores = score(data, ["test1", "test2"], 4, restore)
    assert asked == [("test1", "a", (12, 12, 3)), ("test1", "b", (12, 12, 3)), ("test2", "c", (12, 12, 3))]
    for name, key in (("test1", "a"), ("test1", "b"), ("test2", "c")):
        gt = picture(ord(key), 48)
        image = bicubic(read_lmdb(data / name / "LR_x4.lmdb")[key], 4)
        assert scores.psnr[name][key] == calculate_psnr(image, gt, crop_border=0, test_y_channel=False)
        assert scores.ssim[name][key] == calculate_ssim(image, gt, crop_border=0, test_y_channel=False)


def test_psnr_is_its_definition(data):
    """One grey level off everywhere: 20·log10(255)."""
    gt = {key: image for name in ("test1", "test2") for key, image in read_lmdb(data / name / "HR.lmdb").items()}

    def one_off(_, key, __):
        return np.where(gt[key] < 255, gt[key] + 1, 254).astype(np.uint8)

    scores = score(data, ["test2"], 4, one_off)
    assert scores.psnr["test2"]["c"] == pytest.approx(20 * math.log10(255), abs=1e-9)


def test_sets_count_alike_whatever_their_size():
    mean, deviation = over_sets({"test1": {"a": 30.0, "b": 20.0, "c": 25.0}, "test2": {"d": 27.0}})
    assert mean == 26.0
    assert deviation == pytest.approx(math.sqrt(2))  # of a sample: divided by one set fewer
    assert over_sets({"test1": {"a": 30.0, "b": 20.0}}) == (25.0, 0.0)


@pytest.mark.parametrize("sets", [{"test1": {"a": 30.0}}, {"test1": {"a": 30.0}, "test2": {"b": 31.0}}])
def test_a_perfect_image_never_becomes_an_average(data, sets):
    gt = read_lmdb(data / "test1" / "HR.lmdb")
    perfect = score(data, ["test1"], 4, lambda _, key, __: gt[key])
    assert perfect.psnr == {"test1": {"a": math.inf, "b": math.inf}}
    assert perfect.ssim["test1"]["a"] == pytest.approx(1)
    mean, deviation = over_sets({**sets, "perfect": perfect.psnr["test1"]})
    assert mean == math.inf
    assert math.isnan(deviation)


def test_saved_results_are_read_by_basicsrs_names(tmp_path):
    folder = tmp_path / "HAT_x4" / "visualization" / "test1"
    folder.mkdir(parents=True)
    image = picture(1, 48)
    cv2.imwrite(str(folder / "a_HAT_x4.png"), image)
    restore = saved_result(tmp_path, "HAT_x4")
    np.testing.assert_array_equal(restore("test1", "a", image), image)
    with pytest.raises(UserError, match=r"a_HAT_x4\.png: missing or damaged"):
        (folder / "a_HAT_x4.png").write_bytes(b"no image")
        restore("test1", "a", image)
    with pytest.raises(UserError, match="save_img: true"):
        restore("test1", "b", image)
