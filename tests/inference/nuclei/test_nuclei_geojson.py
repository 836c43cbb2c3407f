import json

import numpy as np
import pytest

from datasets_prep.tissue.outlines import read_outlines
from mihatp_arch.inference.nuclei.geojson import LOST, MATCHED, classes_of, write_nuclei
from mihatp_arch.inference.nuclei.morphometry import measure


@pytest.fixture
def nuclei():
    labels, types = np.zeros((40, 60), np.int32), np.zeros((40, 60), np.uint8)
    labels[4:14, 8:20], types[4:14, 8:20] = 1, 3
    labels[20:30, 30:50], types[20:30, 30:50] = 2, 1
    return measure(labels, np.full((40, 60, 3), 90, np.uint8), mpp=0.25, types=types)


def test_outlines_classes_and_measurements(nuclei, tmp_path):
    write_nuclei(tmp_path / "a.geojson", [(nuclei, classes_of(5, mode="original"))], mpp=0.5, origin=(1, 2))
    features = json.loads((tmp_path / "a.geojson").read_text())["features"]
    names = [feature["properties"]["classification"]["name"] for feature in features]
    assert names == ["Epithelial nucleus", "Miscellaneous nucleus"]
    assert features[0]["properties"]["measurements"]["area µm²"] == 120 / 16
    regions = read_outlines(tmp_path / "a.geojson").regions
    np.testing.assert_allclose(regions[0].outer.min(axis=0), (8 / 2 - 1, 4 / 2 - 2), atol=1)
    np.testing.assert_allclose(regions[0].outer.max(axis=0), (20 / 2 - 1, 14 / 2 - 2), atol=1)


def test_groups_have_classes_of_their_own(nuclei, tmp_path):
    groups = [(nuclei.chosen(np.array([0])), [MATCHED]), (nuclei.chosen(np.array([1])), [LOST])]
    write_nuclei(tmp_path / "a.geojson", groups, mpp=0.25)
    features = json.loads((tmp_path / "a.geojson").read_text())["features"]
    assert [feature["properties"]["classification"]["name"] for feature in features] == [MATCHED.name, LOST.name]


def test_other_numbers_of_types_are_numbered():
    assert [each.name for each in classes_of(None, mode="original")] == ["Nucleus"]
    assert [each.name for each in classes_of(3, mode="original")] == [
        "Nucleus",
        "Nucleus of type 1",
        "Nucleus of type 2",
    ]
