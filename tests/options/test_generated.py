"""docs/options.md and options/schema.json are those of the schema, and every option file fits the latter."""

import json
from pathlib import Path
from typing import Any

import pytest
from helpers.basicsr import changed
from helpers.json_schema import errors

from mihatp_arch.config import make_docs, make_schema, yaml_files

FOLDER = Path(__file__).resolve().parents[2] / "options"
FILES = sorted([*FOLDER.glob("t*.yml"), *FOLDER.glob("overlays/*.yml")])
SCHEMA = json.loads((FOLDER / "schema.json").read_text(encoding="utf-8"))


def test_the_page_of_options_is_fresh():
    text = make_docs.FILE.read_text(encoding="utf-8")
    assert text == make_docs.options_page(), "run python -m mihatp_arch.config.make_docs"


def test_the_json_schema_is_fresh():
    text = make_schema.FILE.read_text(encoding="utf-8")
    assert text == make_schema.schema_text(), "run python -m mihatp_arch.config.make_schema"


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_a_file_names_the_json_schema_and_fits_it(file):
    first, _, _ = file.read_text(encoding="utf-8").partition("\n")
    assert first.startswith("# yaml-language-server: $schema=")
    assert (file.parent / first.partition("=")[2]).resolve() == FOLDER / "schema.json"
    assert [*errors(yaml_files.read(file), SCHEMA, SCHEMA)] == []


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (("nmae",), "x"),
        (("scale",), 5),
        (("network_g", "betaa"), 1),
        (("network_g", "beta"), "x"),
        (("train", "total_iter"), 0),
        (("train", "ema_decay"), 1.0),
        (("train", "ema_decya"), 0.9),
        (("train", "contrastive_opt", "taus"), 1),
        (("train", "contrastive_opt", "features", "weigths"), "random"),
        (("train", "scheduler", "gama"), 1),
        (("path", "models"), "x"),
        (("datasets", "valid"), {}),
        (("datasets", "train", "gtsize"), 1),
        (("datasets", "train", "io_backend", "x"), 1),
        (("val", "metrics", "psnr", "crop_boarder"), 1),
        (("logger", "print_frequ"), 1),
    ],
)
def test_the_json_schema_refuses_a_mistake(path, value):
    options: dict[str, Any] = yaml_files.read(FOLDER / "train_MiHATP_x4.yml")
    assert [*errors(changed(options, *path, to=value), SCHEMA, SCHEMA)]


def test_the_page_has_every_option_of_a_training_file():
    page = make_docs.options_page()
    options = yaml_files.read(FOLDER / "train_MiHATP_x4.yml")
    for section in ("train", "val", "path", "logger", "network_g"):
        for key in options[section]:
            assert f"| `{key}` |" in page, key
