"""Extraction jobs: several shards of a slide are read by one reader."""

import pytest
from helpers.build import build

from datasets_prep.patches import extract, extraction
from datasets_prep.patches.options import Limits
from datasets_prep.patches.scan import open_reader
from datasets_prep.synthetic.slide import write_synthetic_slide


@pytest.mark.slow
def test_a_slide_is_opened_once_for_several_shards_and_the_data_are_the_same(tmp_path, monkeypatch):
    """A slide that is opened anew compares its decoder with OpenSlide's anew: as long as 10 to 30 patches take."""
    slide = tmp_path / "slide.tif"
    write_synthetic_slide(slide, width=2304, height=2304, seed=0, pen=False)
    opened: list[int] = []

    def counted(source, options):
        opened[-1] += 1
        return open_reader(source, options)

    monkeypatch.setattr(extract, "open_reader", counted)
    files = []
    for most in (extraction._MOST, 1):
        monkeypatch.setattr(extraction, "_MOST", most)
        opened.append(0)
        limits = Limits(train=320, val=8, test=8)
        build([slide], tmp_path / f"out{most}", split_by="patch", tests=1, limits=limits)
        files.append((tmp_path / f"out{most}" / "train" / "HR.lmdb" / "data.mdb").read_bytes())
    assert files[0] == files[1]
    assert opened == [2 + 3, 2 + 5]  # jobs of val and test, and of 2 of the 5 shards of train
