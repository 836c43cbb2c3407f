"""Every split that was asked for exists, or the build stops; splits that are too small say what would fit."""

import json
import re
import shutil

import pytest
from helpers.dataset import edit_rows, findings_of, write_dataset
from helpers.tiles import build, manifest_rows, write_tiles
from PIL import Image

from datasets_prep.check.check import check_dataset
from datasets_prep.command import main
from datasets_prep.common.errors import UserError
from datasets_prep.patches.options import Limits
from datasets_prep.patches.selection import ranges_by_patch
from datasets_prep.patches.splits import held_out_patients, patients_needed, split_names, split_patients
from datasets_prep.synthetic.image import synthesize

SPLITS = split_names(5)


def small_tiles(folder, count):
    """Tiles of one patch each, all of one image."""
    folder.mkdir()
    rgb = synthesize(64, 64 * count, seed=1)[0]
    for index in range(count):
        Image.fromarray(rgb[:, 64 * index : 64 * (index + 1)]).save(folder / f"tile-{index:03}.png")
    return folder


@pytest.mark.parametrize("counts", [[1] * 117, [1] * 7, [3, 0, 2, 5], [9000, 1, 1], [40] * 10])
def test_each_split_gets_its_share_of_all_candidates(counts):
    limits = {split: Limits().of(split) for split in SPLITS}
    ranges = ranges_by_patch(dict(enumerate(counts)), limits)
    sizes = {split: sum(part.stop - part.start for part in ranges if part.split == split) for split in SPLITS}
    assert sum(sizes.values()) == sum(counts) and min(sizes.values()) >= 1
    for source, count in enumerate(counts):
        mine = [part for part in ranges if part.source == source]
        assert [candidate for part in mine for candidate in range(part.start, part.stop)] == list(range(count))
    if sum(counts) > 100:
        wanted = {split: limit * sum(counts) / sum(limits.values()) for split, limit in limits.items()}
        assert all(abs(sizes[split] - wanted[split]) <= 2 for split in SPLITS)


def test_fewer_candidates_than_splits_are_refused():
    with pytest.raises(UserError, match=r"6 candidate patches cannot fill train, val, test1.*at least 7"):
        ranges_by_patch({0: 4, 1: 2}, {split: Limits().of(split) for split in SPLITS})


def test_small_tiles_fill_every_split_by_patch(tmp_path):
    tiles = small_tiles(tmp_path / "tiles", 39)
    built = build(tiles, tmp_path / "out", split_by="patch", min_saturation=0)
    assert list(built.counts) == SPLITS and min(built.counts.values()) >= 1 and sum(built.counts.values()) == 39
    assert json.loads((tmp_path / "out" / "build.json").read_text())["splits"] == SPLITS
    assert check_dataset(tmp_path / "out", progress=False).findings == []
    shutil.rmtree(tmp_path / "out" / "test3")
    edit = (tmp_path / "out" / "manifest.csv").read_text().splitlines(keepends=True)
    (tmp_path / "out" / "manifest.csv").write_text("".join(line for line in edit if ",test3," not in line))
    assert findings_of(tmp_path / "out") == ["test3: it was asked for (build.json), and has no patches"]


def test_a_split_whose_patches_are_all_rejected_stops_the_build(tmp_path):
    tiles = small_tiles(tmp_path / "tiles", 7)
    Image.new("RGB", (64, 64), (240, 240, 240)).save(tiles / "tile-006.png")
    with pytest.raises(UserError, match=r"test5 would be empty"):
        build(tiles, tmp_path / "out", split_by="patch")


def test_check_finds_a_data_set_by_patch_that_has_training_alone(tmp_path):
    data = write_dataset(tmp_path / "data")
    settings = json.loads((data / "build.json").read_text()) | {"split_by": "patch"}
    (data / "build.json").write_text(json.dumps(settings))
    assert not any("asked for" in line for line in findings_of(data))
    for split in ("val", "test1"):
        shutil.rmtree(data / split)
    rows = (data / "manifest.csv").read_text().splitlines(keepends=True)
    (data / "manifest.csv").write_text("".join(line for line in rows if not re.search(",(val|test1),", line)))
    assert [line.partition(":")[0] for line in findings_of(data)] == ["val", "test1"]


def test_one_patient_in_a_test_set_is_said_by_card_console_and_check(tmp_path, capsys):
    tiles = write_tiles(tmp_path / "tiles")
    assert main(["--tiles", str(tiles), "-o", str(tmp_path / "out"), "--patch-size", "48"]) == 0
    printed = capsys.readouterr().out
    card = (tmp_path / "out" / "card.md").read_text(encoding="utf-8")
    warnings = check_dataset(tmp_path / "out", progress=False).warnings
    train = sum(row["split"] == "train" for row in manifest_rows(tmp_path / "out"))
    for text in (printed, card, "\n".join(warnings)):
        assert "one patient in test1, test2, test3, test4, test5" in text and "39 patients give 5 test sets" in text
        assert f"train ({train} of 2000)" in text and f"--train-patches {train}" in text
    assert "of 2000" not in "".join(build(tiles, tmp_path / "less", limits=Limits(train=train, val=4, test=4)).warnings)


@pytest.mark.parametrize("tests", [1, 2, 5, 9])
def test_as_many_patients_as_are_said_give_two_to_each_test_set(tests):
    needed = patients_needed(tests)
    for count, expected in ((needed - 1, 1), (needed, 2)):
        of = split_patients([f"p{index}" for index in range(count)], tests=tests)
        assert [list(of.values()).count(f"test{index + 1}") for index in range(tests)] == [expected] * tests
        assert held_out_patients(count, tests=tests) == expected


def test_slides_by_the_manifest_with_two_patients_are_not_named(tmp_path):
    data = write_dataset(tmp_path / "data")
    assert any("one patient in test1" in line for line in check_dataset(data, progress=False).warnings)
    edit_rows(data, lambda row: row.update(patient="p5") if row["split"] == "test1" and row["x"] == "0" else None)
    assert not any("one patient" in line for line in check_dataset(data, progress=False).warnings)
