import numpy as np
import pytest

from mihatp_arch.inference.nuclei.morphometry import FEATURES, Nuclei
from mihatp_arch.inference.nuclei.stitch import own_nuclei, stitched

LEFT, RIGHT = (0, 0, 100, 100), (100, 0, 100, 100)  # cores, µm


def nuclei(*circles):
    """Nuclei of 24 points; each is x, y and radius, µm."""
    angles = np.linspace(0, 2 * np.pi, 24, endpoint=False)
    ring = np.stack([np.cos(angles), np.sin(angles)], axis=1)
    outlines = [(ring * radius + (x, y)).astype(np.float32) for x, y, radius in circles]
    centres = np.array([circle[:2] for circle in circles], float).reshape(-1, 2)
    features = dict.fromkeys(FEATURES, np.array([circle[2] for circle in circles], float))
    return Nuclei(centres, np.zeros(len(circles), np.int64), features, outlines)


def joined_up(left, right):
    return stitched([own_nuclei(nuclei(*left), LEFT), own_nuclei(nuclei(*right), RIGHT)])


@pytest.mark.parametrize("left", [99.5, 100.5])
@pytest.mark.parametrize("right", [99.5, 100.5])
def test_a_nucleus_at_the_border_counts_once_wherever_the_tiles_see_its_centre(left, right):
    result = joined_up([(left, 50, 4)], [(right, 50, 4)])
    assert len(result) == 1


def test_the_tile_in_which_it_lies_deeper_counts():
    # The left tile sees one nucleus, the right tile two halves of it, of which one lies 2 µm inside the right core.
    result = joined_up([(99, 50, 6)], [(96.5, 50, 3), (102, 50, 3)])
    assert result.features["area"].tolist() == [3, 3]
    result = joined_up([(97, 50, 6)], [(96.5, 50, 3), (102, 50, 3)])
    assert result.features["area"].tolist() == [6]


def test_neighbours_are_no_doubles():
    result = joined_up([(97, 50, 3), (40, 50, 3)], [(103.5, 50, 3), (160, 50, 3)])
    assert len(result) == 4
    same_tile = joined_up([(97, 50, 6), (98, 50, 2)], [])
    assert len(same_tile) == 2  # two of one tile are never the same


def test_nuclei_beyond_the_core_belong_to_the_neighbour():
    assert len(joined_up([(105, 50, 3)], [])) == 0
    assert len(joined_up([], [])) == 0
