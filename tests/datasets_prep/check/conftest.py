"""Sound data sets, and copies that the tests damage."""

import shutil

import pytest
from helpers.dataset import write_dataset


@pytest.fixture(scope="module")
def originals(tmp_path_factory):
    return {lr: write_dataset(tmp_path_factory.mktemp(lr) / "data", lr=lr) for lr in ("area", "bicubic", "pyramid")}


@pytest.fixture
def copy(originals, tmp_path):
    def make(lr):
        return shutil.copytree(originals[lr], tmp_path / "data")

    return make


@pytest.fixture
def data(copy):
    return copy("area")
