"""From label maps to HoVer-Net's targets and back; and label maps as pictures."""

import numpy as np
import pytest

from datasets_prep.synthetic.image import synthesize
from mihatp_arch.errors import UserError
from mihatp_arch.nuclei.coded_labels import decode, encode
from mihatp_arch.nuclei.metrics import aji, overlaps, panoptic
from mihatp_arch.nuclei.postprocess import Maps, segment, types_of
from mihatp_arch.nuclei.targets import hv_map


@pytest.mark.parametrize("seed", [0, 3])
def test_nuclei_survive_their_targets(seed):
    labels = synthesize(512, 512, seed=seed)[1].astype(np.int32)
    again = segment(Maps((labels > 0).astype(np.float32), hv_map(labels)))
    table = overlaps(labels, again)
    assert panoptic(table).pq >= 0.95
    assert aji(table) >= 0.93
    assert np.array_equal(again > 0, labels > 0) or (np.mean((again > 0) == (labels > 0)) > 0.999)


def test_nuclei_that_touch_are_divided():
    labels = np.zeros((40, 60), np.int32)
    labels[10:30, 10:30], labels[10:30, 30:50] = 1, 2
    again = segment(Maps((labels > 0).astype(np.float32), hv_map(labels)))
    assert len(np.unique(again)) == 3
    assert panoptic(overlaps(labels, again)).pq >= 0.95


def test_distances_by_hand():
    labels = np.zeros((8, 10), np.int32)
    labels[1:6, 2:9] = 4  # 5 rows and 7 columns around row 3 and column 5
    horizontal, vertical = hv_map(labels)
    # as in the official code, the centre is 1 px off: columns are -2 … 4 from it, and rows -1 … 3
    assert horizontal[3, 2:9] == pytest.approx([-1, -0.5, 0, 0.25, 0.5, 0.75, 1])
    assert vertical[1:6, 5] == pytest.approx([-1, 0, 1 / 3, 2 / 3, 1])
    assert not horizontal[labels == 0].any() and not vertical[labels == 0].any()


def test_small_nuclei_have_no_distances():
    labels = np.zeros((10, 20), np.int32)
    labels[1:6, 1:7], labels[1:6, 10:15] = 1, 2  # 30 and 25 px
    assert hv_map(labels)[:, :, :8].any() and not hv_map(labels)[:, :, 8:].any()
    assert hv_map(labels, smallest=25)[:, :, 8:].any()


def test_nothing_gives_nothing():
    empty = np.zeros((30, 30), np.int32)
    assert not hv_map(empty).any()
    assert not segment(Maps(empty.astype(np.float32), hv_map(empty))).any()
    assert types_of(empty, np.zeros((30, 30), np.uint8))[0].size == 0


def test_blobs_of_fewer_than_10_px_are_dropped():
    probability = np.zeros((30, 30), np.float32)
    probability[3, 3:12], probability[15:25, 15:25] = 1, 0.5
    hv = hv_map((probability > 0).astype(np.int32) * 1)
    labels = segment(Maps(probability, hv))
    assert not labels[3].any() and (labels[15:25, 15:25] > 0).any()


def test_the_type_is_that_of_most_pixels_and_not_the_background():
    labels = np.array([[1, 1, 1, 1, 1], [3, 3, 3, 3, 3], [8, 8, 0, 0, 0]], np.int32)
    types = np.array([[0, 0, 0, 2, 1], [1, 2, 2, 0, 0], [0, 0, 4, 4, 4]], np.uint8)
    types[0, 3:] = 2
    numbers, of_nucleus = types_of(labels, types)
    assert numbers.tolist() == [1, 3, 8] and of_nucleus.tolist() == [2, 2, 0]


def test_pictures_of_label_maps_are_exact():
    labels = np.array([[0, 1, 255], [256, 4097, 65535]], np.int32)
    types = np.array([[0, 1, 4], [0, 255, 7]], np.uint8)
    again, of_pixel = decode(encode(labels, types))
    assert np.array_equal(again, labels) and np.array_equal(of_pixel, types)
    assert not decode(encode(labels))[1].any()
    with pytest.raises(UserError, match="65535"):
        encode(labels + 1)
