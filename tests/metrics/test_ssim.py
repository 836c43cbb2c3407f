"""The numbers are those of BasicSR alone, which another process gives that leaves it as it is."""

import json
import os
import subprocess
import sys

import pytest
from basicsr.metrics import calculate_metric, psnr_ssim

from mihatp_arch.metrics.ssim import ssim_of_channel

NUMBERS = """
import json
import sys

import mihatp_arch
import numpy as np
from basicsr.metrics import calculate_metric

chance = np.random.default_rng(1)
numbers = []
for height, width in ((11, 11), (24, 37), (192, 192)):
    base = chance.integers(0, 256, (height // 3 + 1, width // 3 + 1, 3)).repeat(3, 0).repeat(3, 1)[:height, :width]
    noisy = np.clip(base + chance.normal(0, 12, base.shape), 0, 255)
    pair = {"img": base.astype(np.uint8), "img2": noisy.astype(np.uint8)}
    for name in ("calculate_psnr", "calculate_ssim"):
        for y_channel in (False, True):
            metric = {"type": name, "crop_border": 0, "test_y_channel": y_channel}
            numbers.append(float(calculate_metric(dict(pair), metric)))
"""


def test_psnr_and_ssim_are_basicsrs_own():
    stock = subprocess.run(
        [sys.executable, "-c", NUMBERS + "print(json.dumps(numbers))"],
        env=os.environ | {"MIHATP_NO_PATCH": "1"},
        capture_output=True,
        text=True,
        check=True,
        timeout=120,
    )
    ours: dict = {"calculate_metric": calculate_metric}
    exec(NUMBERS, ours)
    assert psnr_ssim._ssim is ssim_of_channel
    assert ours["numbers"] == pytest.approx(json.loads(stock.stdout), abs=1e-12) and len(ours["numbers"]) == 12
    assert all(5 < psnr < 40 for psnr in ours["numbers"][0::4]) and all(0 < one < 1 for one in ours["numbers"][2::4])
