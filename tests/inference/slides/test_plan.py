"""Which level fits: silently to 10 % off, with a note to 25 %, else it is refused; and the tiles of a slide."""

from dataclasses import dataclass

import pytest

from datasets_prep.common.errors import UserError
from mihatp_arch.inference.slides.plan import plan_slide, slide_tiling


@dataclass
class Slide:
    mpp: float | None
    level_sizes: tuple = ((8000, 6000),)
    mpp_source: str = "slide"


PYRAMID = ((80000, 60000), (20000, 15000), (5000, 3750))


@pytest.mark.parametrize(
    ("mpp", "sizes", "scales", "level", "scale", "output"),
    [
        (0.499, ((2220, 2967),), (2, 4, 8), 0, 2, 0.2495),
        (1.0, ((2220, 2967),), (2, 4, 8), 0, 4, 0.25),
        (2.02, ((2220, 2967),), (2, 4, 8), 0, 8, 0.2525),
        (0.25, PYRAMID, (4,), 1, 4, 0.25),  # of a 40x slide x4 begins at 10x
        (0.5, PYRAMID, (2, 4, 8), 0, 2, 0.25),  # the finest level that fits, although 2.0 with x8 fits too
        (
            0.2525,
            ((4443, 3567), (2221, 1783)),
            (2,),
            1,
            2,
            0.2525,
        ),  # exactly 2 level-0 px, although 4443 / 2221 is more
    ],
)
def test_the_level_and_the_scale_that_lead_to_40x(mpp, sizes, scales, level, scale, output):
    plan = plan_slide(Slide(mpp, sizes), scales=scales)
    assert (plan.level, plan.scale, plan.notes) == (level, scale, ())
    assert plan.output_mpp == pytest.approx(output)
    assert (plan.width, plan.height) == sizes[level]
    assert plan.mpp == pytest.approx(mpp * plan.downsample)


def test_another_resolution_can_be_wanted():
    assert plan_slide(Slide(1.0), scales=(2, 4, 8), to_mpp=0.5).scale == 2
    assert plan_slide(Slide(0.25, PYRAMID), scales=(2,), to_mpp=0.5).level == 1


@pytest.mark.parametrize(
    ("mpp", "notes", "refused"),
    [(0.455, 0, False), (0.549, 0, False), (0.56, 1, False), (0.41, 1, False), (0.63, 1, True)],
)
def test_how_far_off_a_level_may_be(mpp, notes, refused):
    if refused:
        with pytest.raises(UserError, match=r"no level fits: level 0 has 0.63 µm/px, 0.5 is wanted for x2 to 0.25"):
            plan_slide(Slide(mpp), scales=(2,))
    plan = plan_slide(Slide(mpp), scales=(2,), force=True)
    assert len(plan.notes) == notes
    assert plan.output_mpp == mpp / 2


@pytest.mark.parametrize(
    ("mpp", "scales", "says"),
    [
        (None, (2,), "give --assume-mpp"),
        (0.25, (2, 4, 8), "nothing to compute; to compute it from a coarser level, give --scale"),
        (0.25, (2,), "no level fits"),
    ],
)
def test_nothing_that_makes_sense(mpp, scales, says):
    with pytest.raises(UserError, match=says):
        plan_slide(Slide(mpp), scales=scales)


@pytest.mark.parametrize("scale", [2, 3, 4, 8])
@pytest.mark.parametrize(("tile", "multiple"), [(160, 32), (160, 16), (96, 32), (50, 1), (288, 16)])
def test_blocks_have_whole_tiles_of_the_tiff(scale, tile, multiple):
    tiling = slide_tiling(scale, tile=tile, multiple=multiple)
    assert tiling.side <= tile and tiling.side % multiple == 0
    assert tiling.halo >= 8
    assert tiling.block * scale % 512 == 0
    assert 1024 <= tiling.block * scale <= 3072


def test_the_usual_tiles():
    sizes = [
        (tiling.core, tiling.halo, tiling.tiles)
        for tiling in (slide_tiling(s, tile=160, multiple=32) for s in (2, 4, 8))
    ]
    assert sizes == [(128, 8, 8), (128, 8, 4), (128, 8, 2)]
    with pytest.raises(UserError, match="--tile 32: give at least 64"):
        slide_tiling(2, tile=32, multiple=32)


def test_tiles_of_an_odd_side_are_refused():
    with pytest.raises(UserError, match="--tile 161: the tiles of a slide have an even side"):
        slide_tiling(2, tile=161, multiple=161)
