"""No patient is in two splits, for any number of patients, any seed and any manifest."""

from collections import Counter

import pytest

from datasets_prep.common.errors import UserError
from datasets_prep.patches.splits import deal_tests, patient_of, seeded_order, split_names, split_patients


def people(count):
    return [f"TCGA-AA-{index:04}" for index in range(count)]


def test_patient_is_the_first_twelve_characters_of_a_barcode():
    assert patient_of("TCGA-18-5592-01Z-00-DX1.png") == "TCGA-18-5592"
    assert patient_of("TCGA-18-5592.png") == patient_of("tcga-18-5592.png") == "TCGA-18-5592"
    for name in ("slide_0_192.png", "TCGA-18-55921-01Z.png", "tcga-18-559.png", "x-TCGA-18-5592.png"):
        with pytest.raises(UserError, match="--manifest"):
            patient_of(name)


@pytest.mark.parametrize("count", [7, 8, 26, 33, 100, 500])
@pytest.mark.parametrize("seed", [0, 1])
def test_every_patient_in_one_split_and_every_split_filled(count, seed):
    split_of = split_patients(people(count), seed=seed)
    assert sorted(split_of) == people(count)
    sizes = Counter(split_of.values())
    assert sorted(sizes) == sorted(split_names(5))
    assert len({sizes[name] for name in split_names(5)[1:]}) == 1
    if count >= 26:
        assert sizes["train"] > 0.7 * count


def test_split_depends_on_seed_and_patients_alone():
    assert split_patients(people(40)) == split_patients(reversed(people(40) + people(3)))
    assert split_patients(people(40)) != split_patients(people(40), seed=1)
    assert seeded_order("abcdef", seed=3) == seeded_order("fedcba", seed=3)


@pytest.mark.parametrize(
    ("count", "advice"), [(6, "--tests 4"), (3, "--tests 1"), (2, "at least 3"), (0, "at least 3")]
)
def test_too_few_patients_says_what_would_fit(count, advice):
    with pytest.raises(UserError, match=advice):
        split_patients(people(count))
    if count >= 3:
        assert len(set(split_patients(people(count), tests=count - 2).values())) == count


def test_a_billion_test_sets_are_refused_before_they_are_named():
    with pytest.raises(UserError, match="--tests 38"):
        split_patients(people(40), tests=10**15)  # a list of as many names would not fit into memory
    with pytest.raises(UserError, match="--tests 2"):
        deal_tests({"a": "test", "b": "test"}, tests=10**15)


def test_test_patients_of_a_manifest_are_dealt_evenly():
    stated = {name: ("train", "val", *["test"] * 6)[index % 8] for index, name in enumerate(people(8))}
    dealt = deal_tests(stated)
    assert {name for name, split in dealt.items() if split.startswith("test")} == set(people(8)[2:])
    sizes = Counter(dealt.values())
    assert sorted(sizes[name] for name in split_names(5)[2:]) == [1, 1, 1, 1, 2]
    assert sizes["train"] == sizes["val"] == 1


def test_numbered_splits_stay_as_they_are():
    stated = {"a": "train", "b": "test3", "c": "test1", "d": "val"}
    assert deal_tests(stated) == stated


@pytest.mark.parametrize(
    ("stated", "message"),
    [
        ({"a": "train", "b": "tset"}, "tset"),
        ({"a": "test0"}, "test0"),
        ({"a": "test", "b": "test1"}, "both"),
        ({"a": "train", "b": "test", "c": "test"}, "--tests 2"),
    ],
)
def test_unusable_manifests_are_refused(stated, message):
    with pytest.raises(UserError, match=message):
        deal_tests(stated)
