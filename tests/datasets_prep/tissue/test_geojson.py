"""Outlines are written for QuPath and read again; a file without outlines is refused in one line."""

import json

import numpy as np
import pytest

from datasets_prep.common.errors import UserError
from datasets_prep.tissue.clam import Region, clam_regions
from datasets_prep.tissue.geojson import write_geojson
from datasets_prep.tissue.outlines import read_outlines
from datasets_prep.tissue.presets import Preset
from datasets_prep.tissue.segmentation import tissue_from_regions

SCALE = (16.003, 16.0)
SQUARE = [[0, 0], [10, 0], [10, 10], [0, 10], [0, 0]]
HOLE = [[2, 2], [4, 2], [4, 4], [2, 2]]
POLYGON = {"type": "Polygon", "coordinates": [SQUARE, HOLE]}
MULTI = {"type": "MultiPolygon", "coordinates": [[SQUARE, HOLE], [SQUARE]]}


def feature(geometry):
    return {"type": "Feature", "id": "1", "geometry": geometry, "properties": {"objectType": "annotation"}}


def written(tmp_path, data):
    path = tmp_path / "tissue.geojson"
    path.write_text(data if isinstance(data, str) else json.dumps(data))
    return path


@pytest.fixture
def pierced():
    """An overview of a pink blob with a hole and an island in the hole, and its regions."""
    ys, xs = np.mgrid[:120, :160]
    far = np.hypot(ys - 60, xs - 80)
    stained = (far < 50) & ((far > 25) | (far < 10))
    rgb = np.where(stained[..., None], np.array([200, 100, 150]), 255).astype(np.uint8)
    preset = Preset(threshold=8, median=3, close=0, tissue_area=0, hole_area=0, max_holes=8)
    return rgb, clam_regions(rgb, scale=SCALE, preset=preset)


def test_what_is_written_reads_back_and_gives_the_same_mask(tmp_path, pierced):
    rgb, regions = pierced
    assert sorted(len(region.holes) for region in regions) == [0, 1]
    path = tmp_path / "tissue.geojson"
    write_geojson(path, regions)
    again = read_outlines(path).regions
    for before, after in zip(regions, again, strict=True):
        for a, b in zip((before.outer, *before.holes), (after.outer, *after.holes), strict=True):
            assert b.dtype == np.int32
            np.testing.assert_array_equal(a, b)
    mask, same = (tissue_from_regions(own, rgb=rgb, scale=SCALE).mask for own in (regions, again))
    np.testing.assert_array_equal(mask, same)
    assert abs(mask.sum() - np.pi * (50**2 - 25**2 + 10**2)) < 100
    assert [file.name for file in tmp_path.iterdir()] == [path.name]


def test_the_file_is_what_qupath_opens(tmp_path, pierced):
    path = tmp_path / "tissue.geojson"
    write_geojson(path, pierced[1], name="Tumor")
    collection = json.loads(path.read_text())
    assert collection["type"] == "FeatureCollection"
    for one in collection["features"]:
        assert one["type"] == "Feature"
        assert one["geometry"]["type"] == "Polygon"
        for ring in one["geometry"]["coordinates"]:
            assert ring[0] == ring[-1] and len(ring) >= 4
            assert all(isinstance(at, int) for point in ring for at in point)
        assert one["properties"]["objectType"] == "annotation"
        assert one["properties"]["classification"]["name"] == "Tumor"
        colour = one["properties"]["classification"]["color"]
        assert len(colour) == 3 and all(0 <= part <= 255 for part in colour)


@pytest.mark.parametrize(
    ("data", "holes"),
    [
        (POLYGON, [1]),
        (MULTI, [1, 0]),
        (feature(POLYGON), [1]),
        ([feature(POLYGON), feature(MULTI)], [1, 1, 0]),
        ({"type": "FeatureCollection", "features": [feature(MULTI), feature(POLYGON)]}, [1, 0, 1]),
        ({"type": "Polygon", "coordinates": [SQUARE[:-1]]}, [0]),  # not closed
        ({"type": "Polygon", "coordinates": [[[x, y, 7.5] for x, y in SQUARE]]}, [0]),
    ],
)
def test_every_way_of_writing_polygons_is_read(tmp_path, data, holes):
    regions = read_outlines(written(tmp_path, data)).regions
    assert [len(region.holes) for region in regions] == holes
    for region in regions:
        np.testing.assert_array_equal(region.outer, SQUARE[:-1])
        for hole in region.holes:
            np.testing.assert_array_equal(hole, HOLE[:-1])


def test_coordinates_are_rounded(tmp_path):
    ring = [[0.4, 0.6], [10.5, -0.4], [9.51, 1e1], [0.4, 0.6]]
    (region,) = read_outlines(written(tmp_path, {"type": "Polygon", "coordinates": [ring]})).regions
    np.testing.assert_array_equal(region.outer, [[0, 1], [10, 0], [10, 10]])


@pytest.mark.parametrize(
    ("data", "why"),
    [
        ("", "is no JSON"),
        ("{", "is no JSON"),
        ('{"type": "Polygon", "coordinates": [[[0, 0], [NaN, 1], [2, 2]]]}', "is no JSON"),
        ("[" * 100000, "is no JSON"),
        ([], "holds no polygon"),
        ({"type": "FeatureCollection", "features": []}, "holds no polygon"),
        ({"type": "MultiPolygon", "coordinates": []}, "holds no polygon"),
        (3, "3, which is no GeoJSON"),
        ({"type": 3}, "no GeoJSON"),
        (feature(None), "no GeoJSON"),
        ({"type": "FeatureCollection"}, "a FeatureCollection"),
        (feature({"type": "LineString", "coordinates": SQUARE}), "holds no polygon (1 lines)"),
        ([feature(POLYGON), feature({"type": "CircularString", "coordinates": [0, 0]})], "a CircularString"),
        ({"type": "Polygon", "coordinates": []}, "a polygon without an outline"),
        ({"type": "Polygon", "coordinates": None}, "a polygon without an outline"),
        ({"type": "MultiPolygon", "coordinates": [3]}, "a polygon without an outline"),
        ({"type": "Polygon", "coordinates": [3]}, "3 for an outline"),
        ({"type": "Polygon", "coordinates": SQUARE}, "0 for a point"),
        ({"type": "Polygon", "coordinates": [[[0, 0], [1, 0], [0, 0]]]}, "an outline of 2 points"),
        ({"type": "Polygon", "coordinates": [[]]}, "an outline of 0 points"),
        ({"type": "Polygon", "coordinates": [SQUARE, HOLE[:2]]}, "an outline of 2 points"),
        ({"type": "Polygon", "coordinates": [[[0, 0], [1, "x"], [2, 2]]]}, "for a point"),
        ({"type": "Polygon", "coordinates": [[[0, 0], [1, True], [2, 2]]]}, "for a point"),
        ({"type": "Polygon", "coordinates": [[[0, 0], [1], [2, 2]]]}, "for a point"),
        ({"type": "Polygon", "coordinates": [[[0, 0], [1e300, 1], [2, 2]]]}, "lies on no slide"),
    ],
)
def test_anything_else_is_refused_in_one_line(tmp_path, data, why):
    path = written(tmp_path, data)
    with pytest.raises(UserError) as error:
        read_outlines(path)
    message = str(error.value)
    assert why in message and str(path) in message and "\n" not in message and len(message) < len(str(path)) + 200


def test_a_file_that_cannot_be_read_is_refused(tmp_path):
    with pytest.raises(UserError, match="cannot be read"):
        read_outlines(tmp_path / "missing.geojson")
    with pytest.raises(UserError, match="cannot be read"):
        read_outlines(tmp_path)
    (tmp_path / "latin.geojson").write_bytes(b'{"type": "\xe9"}')
    with pytest.raises(UserError, match="is no JSON"):
        read_outlines(tmp_path / "latin.geojson")
    with pytest.raises(OSError):
        write_geojson(tmp_path / "missing" / "x.geojson", [Region(np.array(SQUARE[:-1], np.int32))])


def test_the_farthest_polygon_that_is_read_can_be_filled(tmp_path):
    far = 2**26 - 1
    ring = [[-far, -far], [far, -far], [far, far], [-far, far]]
    regions = read_outlines(written(tmp_path, {"type": "Polygon", "coordinates": [ring]})).regions
    rgb = np.full((40, 50, 3), 255, np.uint8)
    assert tissue_from_regions(regions, rgb=rgb, scale=(1.0, 1.0)).mask.all()
