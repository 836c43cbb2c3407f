"""Calls of `basicsr` that are to be refused."""

import sys
from pathlib import Path

import pytest
from helpers.basicsr import write_data, write_options

from mihatp_cli.basicsr import main


@pytest.fixture(scope="module")
def data(tmp_path_factory) -> Path:
    root = tmp_path_factory.mktemp("data")
    write_data(root / "datasets" / "toy")
    return root


@pytest.fixture
def refused(data, tmp_path, monkeypatch, capsys):
    """Call `basicsr` in an empty folder with the data, and return the line with which it refuses."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "datasets").symlink_to(data / "datasets")

    def call(options, *more: str, command: str = "train", lines: int = 1) -> str:
        file = write_options(tmp_path / "o.yml", options)
        argv = list(sys.argv)
        code = main([command, "-opt", file.name, *more])
        errors = capsys.readouterr().err.splitlines()
        assert code == 2
        assert len(errors) == lines, errors
        assert all(line.startswith("basicsr: error: ") for line in errors)
        assert sorted(path.name for path in tmp_path.iterdir()) == ["datasets", "o.yml"]
        assert sys.argv == argv
        return errors[-1]

    return call
