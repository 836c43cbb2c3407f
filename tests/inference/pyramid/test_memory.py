"""Memory does not depend on the size of the image."""

import subprocess
import sys

import pytest

PROGRAM = """
import sys
import numpy as np
from pathlib import Path
from mihatp_arch.inference.pyramid import Jpeg, Layout, TileStore, store_path, write_tiff

def memory(key):
    return next(int(line.split()[1]) for line in open("/proc/self/status") if line.startswith(key)) / 1024  # MiB

side, output = int(sys.argv[1]), Path(sys.argv[2])
layout = Layout(side, side)
rows, columns = layout.blocks
noise = np.random.default_rng(0).integers(0, 256, (128, 128, 3), np.uint8)
contents = [np.full((2048, 2048, 3), 243, np.uint8), np.ascontiguousarray(noise.repeat(16, 0).repeat(16, 1))]
open("/proc/self/clear_refs", "w").write("5")  # the peak counts from here
before = memory("VmRSS")
with TileStore.open(store_path(output), layout, compression=Jpeg(), config={}) as store:
    for row in range(rows):
        for column in range(columns):
            height, width = layout.block_shape(row, column)
            values = np.zeros((height // 4, width // 4), np.float16)
            square = contents[(row + column) % 2][:height, :width]
            store.commit(row, column, square, seams={"right": bytes(2048 * 64)}, maps={"deviation": values})
    assert sum(len(strip) for strip in store.map_strips("deviation")) == side // 4
    write_tiff(store, output, mpp=0.25, description="text")
print(memory("VmHWM") - before)
"""


def added_memory(side, output):
    """MiB that a run of this size adds to the memory of a new process at its peak."""
    command = [sys.executable, "-c", PROGRAM, str(side), str(output)]
    return float(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


@pytest.mark.slow
def test_16_times_the_pixels_need_the_same_memory(tmp_path):
    small = added_memory(4096, tmp_path / "small.tif")
    large = added_memory(16384, tmp_path / "large.tif")
    assert large < small + 32  # OpenSlide's cache, which reads the file again, holds up to 32 MiB
    assert large < 100
