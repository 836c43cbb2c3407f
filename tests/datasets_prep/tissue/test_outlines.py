"""QuPath's classes decide what is tissue; every outline belongs to one slide; coordinates begin where QuPath's do."""

import json

import numpy as np
import pytest

from datasets_prep.common.errors import UserError
from datasets_prep.slides.tiff_metadata import openslide_facts
from datasets_prep.source_table.slide_files import slide_files
from datasets_prep.tissue.geojson import write_geojson
from datasets_prep.tissue.outlines import read_outlines
from datasets_prep.tissue.segmentation import tissue_from_regions


def square(x, y, side=10):
    return [[x, y], [x + side, y], [x + side, y + side], [x, y + side], [x, y]]


def feature(x, name=None, kind="Polygon"):
    properties = {"objectType": "annotation"} | ({"classification": {"name": name}} if name else {})
    coordinates = {"Polygon": [square(x, 0)], "Point": [x, 0], "LineString": square(x, 0)}[kind]
    return {"type": "Feature", "geometry": {"type": kind, "coordinates": coordinates}, "properties": properties}


def written(path, *features):
    path.write_text(json.dumps({"type": "FeatureCollection", "features": features}))
    return path


def lefts(regions):
    return [int(region.outer[:, 0].min()) for region in regions]


def test_ignored_classes_are_taken_out_and_points_are_counted(tmp_path):
    names = [None, "Tumor", "Ignore*", "Region*", "necrosis", "Necrosis: old", "Stroma"]
    marks = [feature(1, kind="Point"), feature(2, kind="Point"), feature(3, "Tumor", kind="LineString")]
    path = written(tmp_path / "a.geojson", *(feature(20 * i, name) for i, name in enumerate(names)), *marks)
    drawn = read_outlines(path)
    assert lefts(drawn.regions) == [0, 20, 120] and lefts(drawn.excluded) == [40, 60, 80, 100]
    notes = " ".join(drawn.notes)
    assert "1 Ignore*" in notes and "1 Necrosis: old" in notes and "2 points" in notes and "1 lines" in notes


def test_stated_classes_decide(tmp_path):
    names = [None, "Tumor", "Tumor: Positive", "Necrosis", "Stroma"]
    path = written(tmp_path / "a.geojson", *(feature(20 * i, name) for i, name in enumerate(names)))
    only = read_outlines(path, include=["tumor"])
    assert lefts(only.regions) == [20, 40] and lefts(only.excluded) == [60] and "1 Stroma" in " ".join(only.notes)
    assert lefts(read_outlines(path, include=["Necrosis"]).regions) == [60]
    assert lefts(read_outlines(path, exclude=["Stroma"]).excluded) == [60, 80]
    with pytest.raises(UserError, match=r"no outline of class Tumour; it has .*Stroma.*did you mean 'Tumor'"):
        read_outlines(path, include=["Tumour"])
    with pytest.raises(UserError, match="--mask-include"):
        read_outlines(written(tmp_path / "b.geojson", feature(0, "Ignore*")))


def test_an_excluded_area_is_no_tissue_and_survives_the_way_through_qupath(tmp_path):
    path = written(tmp_path / "a.geojson", feature(0), feature(0, "Necrosis"))
    path.write_text(path.read_text().replace("[10, 10]", "[10, 30]").replace("[0, 10]", "[0, 30]", 1))
    drawn = read_outlines(path)
    rgb = np.full((40, 40, 3), 255, np.uint8)
    tissue = tissue_from_regions(drawn.regions, rgb=rgb, scale=(1.0, 1.0), excluded=drawn.excluded)
    without = tissue_from_regions(drawn.regions, rgb=rgb, scale=(1.0, 1.0))
    assert 0 < tissue.mask.sum() < without.mask.sum()
    write_geojson(tmp_path / "b.geojson", tissue.regions, excluded=tissue.excluded)
    again = read_outlines(tmp_path / "b.geojson")
    same = tissue_from_regions(again.regions, rgb=rgb, scale=(1.0, 1.0), excluded=again.excluded)
    np.testing.assert_array_equal(same.mask, tissue.mask)


def test_coordinates_begin_at_the_origin_of_the_viewer(tmp_path):
    """MRXS and SCN have bounds: QuPath shows this part alone, and counts from its corner."""
    facts = openslide_facts({"openslide.bounds-x": "100", "openslide.bounds-y": "50"}, None)
    assert facts.origin == (100, 50) and openslide_facts({}, None).origin == (0, 0)
    path = written(tmp_path / "a.geojson", feature(20))
    (region,) = read_outlines(path, origin=facts.origin).regions
    np.testing.assert_array_equal(region.outer[0], [120, 50])
    write_geojson(tmp_path / "b.geojson", [region], origin=facts.origin)
    (back,) = read_outlines(tmp_path / "b.geojson").regions
    np.testing.assert_array_equal(back.outer[0], [20, 0])


SLIDES = {"a/s1.svs": "a-s1", "b/s1.svs": "b-s1", "s2.tif": "s2"}


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        (["s2"], {"s2.tif": "s2"}),
        (["s2.tif", "a-s1"], {"s2.tif": "s2.tif", "a/s1.svs": "a-s1"}),
        (["s2a"], "s2a.geojson fits no slide.*did you mean 's2'"),
        (["s1"], r"s1.geojson fits several slides \(a/s1.svs, b/s1.svs\)"),
        (["s2", "s2.tif"], "are both of s2.tif"),
        (["tile"], "image tile"),
        ([], "holds no .geojson"),
    ],
)
def test_every_file_belongs_to_one_slide(tmp_path, files, expected):
    for name in files:
        (tmp_path / f"{name}.geojson").touch()
    if isinstance(expected, dict):
        found = slide_files(tmp_path, SLIDES, whole={"tile.png": "tile"}, ending=".geojson", option="--mask")
        assert {name: path.name for name, path in found.items()} == {n: f"{f}.geojson" for n, f in expected.items()}
    else:
        with pytest.raises(UserError, match=expected):
            slide_files(tmp_path, SLIDES, whole={"tile.png": "tile"}, ending=".geojson", option="--mask")


def test_files_of_slides_that_are_left_out_are_passed_over(tmp_path):
    for name in ("s2", "old", "b-s1"):
        (tmp_path / f"{name}.geojson").touch()
    options = {"whole": {}, "ending": ".geojson", "option": "--mask"}
    assert list(slide_files(tmp_path, SLIDES, omitted={"old.svs": "old"}, **options)) == ["b/s1.svs", "s2.tif"]
    with pytest.raises(UserError, match=r"old\.geojson fits no slide"):
        slide_files(tmp_path, SLIDES, **options)
