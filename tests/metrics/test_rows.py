"""The rows of all metrics: unique names, options that BasicSR's registry can compute, heads as in the tables."""

import numpy as np
import pytest
from basicsr.metrics import calculate_metric
from basicsr.utils.registry import METRIC_REGISTRY

from mihatp_arch.metrics import METRIC_ROWS


def test_names_and_functions_are_unique_and_registered():
    assert len({row.name for row in METRIC_ROWS}) == len({row.function for row in METRIC_ROWS}) == len(METRIC_ROWS)
    assert all(row.function in METRIC_REGISTRY for row in METRIC_ROWS)


@pytest.mark.parametrize("row", METRIC_ROWS, ids=lambda row: row.name)
def test_the_options_of_a_row_compute_its_metric(row):
    if not row.available():
        pytest.skip("no weights")
    hr = np.random.default_rng(0).integers(0, 200, (48, 48, 3), dtype=np.uint8)
    better, worse = (calculate_metric({"img": hr + error, "img2": hr}, row.options(4)) for error in (1, 40))
    assert row.best([better, worse]) == better != worse
    assert row.options(4).get("better") == ("lower" if row.better == "lower" else None)


def test_heads_and_formats():
    heads = {row.name: (row.head, format(0.98765, row.format)) for row in METRIC_ROWS}
    expected = {
        "psnr": ("PSNR (dB)", "0.99"),
        "ssim": ("SSIM", "0.9877"),
        "lpips": ("LPIPS", "0.9877"),
        "st_lpips": ("ST-LPIPS", "0.9877"),
        "hed_error": ("HED error (OD)", "0.9877"),
        "hematoxylin_ratio": ("hematoxylin p99 ratio", "0.988"),
        "lr_consistency": ("LR consistency (grey levels)", "0.988"),
    }
    assert {name: heads[name] for name in expected} == expected
