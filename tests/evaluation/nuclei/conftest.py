"""Data of `mihatp downstream`."""

import csv
import shutil

import cv2
import numpy as np
import pytest
import torch

from datasets_prep.synthetic import synthesize
from mihatp_arch.archs.hovernet_arch import HoVerNet
from mihatp_arch.nuclei.coded_labels import encode
from mihatp_cli.mihatp import main


def write_png(path, rgb):
    path.parent.mkdir(parents=True, exist_ok=True)
    cv2.imwrite(str(path), np.ascontiguousarray(rgb[..., ::-1]))


@pytest.fixture
def write():
    """Writes an RGB picture."""
    return write_png


@pytest.fixture
def run():
    """Runs `mihatp downstream` at x2 and x8."""

    def run_on(data, output, *more):
        common = ["--data", str(data / "test"), "--segmenter", str(data / "segmenter.pth"), "--scales", "2", "8"]
        return main(["downstream", "-o", str(output), *common, *more])

    return run_on


@pytest.fixture(scope="session")
def data(tmp_path_factory):
    """Two images of 84×90 px, cropped to 80×88 at x8, with their nuclei and patients; and a HoVer-Net."""
    folder = tmp_path_factory.mktemp("nuclei")
    rows = [["image", "patient"]]
    for index in range(2):
        tissue, labels = synthesize(84, 90, seed=index)
        write_png(folder / f"test/images/t{index}.png", tissue)
        write_png(folder / f"test/labels/t{index}.png", encode(labels.astype(np.int32)))
        rows.append([f"test/images/t{index}.png", f"P{index}"])
    with (folder / "manifest.csv").open("w", newline="") as file:
        csv.writer(file).writerows(rows)
    torch.manual_seed(0)
    torch.save({"params": HoVerNet(mode="fast", width=1 / 16).state_dict()}, folder / "segmenter.pth")
    return folder


@pytest.fixture
def damageable(data, tmp_path):
    """A copy of the data; its last image is t1."""
    shutil.copytree(data, tmp_path / "data")
    return tmp_path / "data"
