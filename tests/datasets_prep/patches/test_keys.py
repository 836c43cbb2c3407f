"""Each source has a name and a key of its own, which do not change when other sources come."""

import re
from pathlib import Path

import pytest

from datasets_prep.common.errors import UserError
from datasets_prep.patches.keys import distinct_names, keys_of


def test_plain_names_are_their_keys():
    assert keys_of(["TCGA-18-5592-01Z-00-DX1.png", "b/a_1.svs"]) == {
        "TCGA-18-5592-01Z-00-DX1.png": "TCGA-18-5592-01Z-00-DX1",
        "b/a_1.svs": "b-a_1",
    }
    assert keys_of(["a.svs"], suffix="-20x") == {"a.svs": "a-20x"}


@pytest.mark.parametrize(
    "names",
    [
        ["切片一.svs", "切片二.svs"],
        ["Fall-ä.svs", "Fall-ö.svs", "Fall--.svs"],
        ["a b.svs", "a+b.svs", "a,b.svs", "a/b.svs"],
        ["x" * 300 + "1.svs", "x" * 300 + "2.svs"],
    ],
)
def test_names_that_share_a_key_get_a_hash(names):
    keys = keys_of(names)
    assert len(set(keys.values())) == len(names)
    assert all(re.fullmatch(r"[A-Za-z0-9_-]{1,130}", key) for key in keys.values())
    assert keys_of(list(reversed(names))) == keys
    others = [name for name in names if not name.isascii()]
    assert keys_of(others) == {name: keys[name] for name in others}


def test_names_that_differ_in_their_endings_alone_are_refused():
    with pytest.raises(UserError, match="same key"):
        keys_of(["a.svs", "a.tif"])


def test_files_of_one_name_get_their_folders():
    names = {Path(f"/d/{folder}/a.svs"): "a.svs" for folder in ("p1/x", "p2/x", "q")} | {Path("/d/b.svs"): "b.svs"}
    assert list(distinct_names(names).values()) == ["p1/x/a.svs", "p2/x/a.svs", "q/a.svs", "b.svs"]
