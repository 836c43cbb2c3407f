"""Best results are JSON beside the states; the file of an older version is read too."""

import json
import math

import pytest
import torch

from mihatp_arch.errors import UserError
from mihatp_arch.training.resuming import read_best_results, write_best_results

BEST = {
    "val": {
        "psnr": {"better": "higher", "val": 27.123456789012345, "iter": 4000},
        "ssim": {"better": "higher", "val": -math.inf, "iter": -1},
        "niqe": {"better": "lower", "val": math.inf, "iter": -1},
    }
}


def test_best_results_come_back_exactly(tmp_path):
    assert read_best_results(tmp_path) == {}
    write_best_results(tmp_path, BEST)
    assert read_best_results(tmp_path) == BEST
    plain = json.loads((tmp_path / "best_metric_results.json").read_text(), parse_constant=pytest.fail)
    assert [result["val"] for result in plain["val"].values()] == [27.123456789012345, None, None]


def test_best_results_of_an_older_version_are_read(tmp_path):
    torch.save(BEST, tmp_path / "best_metric_results.pth")
    assert read_best_results(tmp_path) == BEST
    newer = {"val": {"psnr": {"better": "higher", "val": 28.0, "iter": 5000}}}
    write_best_results(tmp_path, newer)
    assert read_best_results(tmp_path) == newer


def test_damaged_best_results_are_one_line(tmp_path):
    (tmp_path / "best_metric_results.json").write_text('{"val": ')
    with pytest.raises(UserError, match="is damaged"):
        read_best_results(tmp_path)
