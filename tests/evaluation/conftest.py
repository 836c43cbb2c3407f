"""The data set that the tests of the benchmark share; nothing writes into it."""

from pathlib import Path

import pytest
from helpers.small_data import write_data


@pytest.fixture(scope="session")
def small_data(tmp_path_factory) -> Path:
    return write_data(tmp_path_factory.mktemp("small"))
