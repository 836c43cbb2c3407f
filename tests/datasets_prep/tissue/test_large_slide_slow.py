"""A synthetic slide of 20 000×20 000 px: memory is bounded, its tissue is found, nothing is taken under pen marks."""

import subprocess
import sys

import cv2
import numpy as np
import pytest
from helpers.tiles import manifest_rows

from datasets_prep.synthetic.slide import write_synthetic_slide

pytestmark = pytest.mark.slow

SIDE = 20_000
# The peak memory of getrusage includes the memory of the parent process at the fork, so /proc is read instead.
BUILD = (
    "import re, sys; from datasets_prep.command import main; code = main(sys.argv[1:]); "
    "print('peak', re.search(r'VmHWM:\\s+(\\d+) kB', open('/proc/self/status').read())[1]); sys.exit(code)"
)


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    folder = tmp_path_factory.mktemp("large")
    truth = write_synthetic_slide(folder / "large.tif", width=SIDE, height=SIDE, seed=0)
    command = [sys.executable, "-c", BUILD, str(folder / "large.tif"), "-o", str(folder / "data")]
    limits = ["--split-by", "patch", "--tests", "1", "--train-patches", "100000"]
    run = subprocess.run([*command, *limits], capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stderr[-2000:]
    return folder / "data", truth, int(run.stdout.rsplit("peak ", 1)[1])


def test_memory_stays_under_a_gibibyte(built):
    assert built[2] < 2**20  # KiB; about 2**19 here


def test_the_tissue_is_found(built):
    out, truth, _ = built
    mask = cv2.imread(str(out / "slides" / "large_mask.png"), cv2.IMREAD_GRAYSCALE)[: SIDE // 16, : SIDE // 16] > 0
    true = truth.tissue > 0
    assert (mask & true).sum() / (mask | true).sum() >= 0.95
    assert (mask & (truth.pen > 0)).mean() < 1e-4 and not (mask & (truth.black > 0)).any()


def test_patches_cover_tissue_and_no_pen(built):
    out, truth, _ = built
    rows = manifest_rows(out)
    assert len(rows) > 4000
    marks = ((truth.pen | truth.black) > 0).astype(np.uint8)
    shares = []
    for row in rows:
        y, x = int(row["y"]) // 16, int(row["x"]) // 16
        assert not marks[y : y + 12, x : x + 12].any(), row["key"]
        shares.append(truth.tissue[y : y + 12, x : x + 12].mean())
    assert min(shares) > 0.1 and np.mean(shares) > 0.9
