"""The patches and pixels that a picture shows are those with an error on tissue."""

import math

import numpy as np

from mihatp_arch.evaluation.results.examples import error_on_tissue, example_images, tissue


def scores(psnr: dict[str, dict[str, float]]) -> dict:
    return {"psnr": psnr}


def everywhere(psnr: dict[str, dict[str, float]], share: float = 1.0) -> dict[str, dict[str, float]]:
    return {name: dict.fromkeys(images, share) for name, images in psnr.items()}


def test_places_are_the_worst_median_and_best_of_all_methods_together():
    one = {"t": {"a": 20.0, "b": 25.0, "c": 30.0, "d": math.inf}, "u": {"e": 24.0, "f": 26.0}}
    other = {"t": {"a": 22.0, "b": 25.0, "c": 29.0, "d": 99.0}, "u": {"e": 10.0, "f": 26.0}}
    found = example_images({"one": [scores(one)], "other": [scores(other)]}, everywhere(one))
    assert found == [("worst", "u", "e"), ("median", "t", "b"), ("best", "t", "c")]


def test_background_is_neither_the_best_nor_error_free():
    """Patch b is nearly all background: its small error is on little tissue. Patch a has the same error per tissue."""
    psnr = {"t": {"a": 30.0, "b": 44.0, "c": 33.0, "d": 31.5, "e": 33.0}}
    shares = {"t": {"a": 1.0, "b": 0.04, "c": 1.0, "d": 0.5, "e": 0.25}}
    found = example_images({"one": [scores(psnr)]}, shares)
    assert found == [("worst", "t", "e"), ("median", "t", "a"), ("best", "t", "c")]
    nothing = everywhere(psnr, 0.0)
    assert [image for _, _, image in example_images({"one": [scores(psnr)]}, nothing)] == ["a", "c", "b"]


def test_tissue_is_not_white():
    image = np.full((2, 3, 3), 240, np.uint8)
    image[0, 1] = (220, 150, 230)  # eosin takes green
    image[1, 2] = (90, 60, 70)
    assert tissue(image).tolist() == [[False, True, False], [False, False, True]]


def test_the_error_is_the_mean_of_all_methods_where_tissue_is():
    gt = np.full((1, 2, 3), 100, np.uint8)
    gt[0, 1] = 250
    first, second = gt + np.uint8(2), gt - np.uint8(4)
    assert error_on_tissue([first, second], gt).tolist() == [[10.0, 0.0]]
    assert error_on_tissue([], gt).tolist() == [[0.0, 0.0]]
