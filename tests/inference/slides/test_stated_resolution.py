"""The resolution that a user states for a slide to upscale is used, or contradicted in a line."""

from pathlib import Path

import pytest

from datasets_prep.common.errors import UserError
from datasets_prep.slides.open import open_slide
from datasets_prep.synthetic.slide import write_synthetic_slide
from mihatp_arch.inference.choose_network import ChooseNetwork
from mihatp_arch.inference.images import Picture
from mihatp_arch.inference.nuclei.options import NucleiOptions
from mihatp_arch.inference.slides.options import SlideOptions
from mihatp_arch.inference.slides.plan import plan_slide


@pytest.fixture(scope="module")
def slides(tmp_path_factory):
    folder = tmp_path_factory.mktemp("slides")
    for mpp in (0.5, None):
        write_synthetic_slide(folder / f"{mpp}.tif", width=600, height=600, seed=1, mpp=mpp, factors=(2,))
    return folder


def planned(path, **options):
    given = SlideOptions(to_mpp=0.25, **options)
    with open_slide(path, assume_mpp=given.stated_mpp) as slide:
        return plan_slide(slide, scales=(2, 4), to_mpp=0.25, resolution=given.resolution_of(slide))


@pytest.mark.parametrize(
    ("own", "options", "scale", "source", "note"),
    [
        (0.5, {}, 2, "slide", ""),
        (0.5, {"assume_mpp": 0.5}, 2, "slide", ""),
        (0.5, {"assume_mpp": 1.0}, 2, "slide", "states 0.5 µm/px, and that counts; --assume-mpp says 1"),
        (0.5, {"override_mpp": 1.0}, 4, "overridden", "states 0.5 µm/px; --override-mpp says 1, and that counts"),
        (None, {"assume_mpp": 1.0}, 4, "assumed", ""),
        (None, {"override_mpp": 1.0, "assume_mpp": 0.5}, 4, "assumed", ""),
    ],
)
def test_what_is_stated_counts_or_is_contradicted(slides, own, options, scale, source, note):
    plan = planned(slides / f"{own}.tif", **options)
    assert (plan.level, plan.scale, plan.mpp_source) == (0, scale, source)
    assert note in plan.mpp_note and bool(note) == bool(plan.mpp_note)


def test_a_refusal_says_what_the_user_stated(slides):
    with pytest.raises(UserError, match=r"has 0.25 µm/px already.*the file states 0.5 µm/px; --override-mpp says 0.25"):
        planned(slides / "0.5.tif", override_mpp=0.25)


def test_pictures_too():
    lines = []
    picture = Picture(None, dpi=(25400 / 0.5, 25400 / 0.5))
    for options, scale in (({"assume_mpp": 1.0}, 2), ({"override_mpp": 1.0}, 4)):
        choose = ChooseNetwork(lambda scale: scale, (2, 4), 0.25, say=lines.append, **options)
        assert choose(picture, Path("a.png")) == scale
    assert [line.count("µm/px") for line in lines] == [1, 1] and "--override-mpp says 1" in lines[1]


def test_pictures_with_oblong_pixels_are_refused_as_slides_are():
    oblong = Picture(None, dpi=(25400 / 0.5, 25400 / 1.0))
    for to_mpp in (None, 0.25):
        with pytest.raises(UserError, match=r"a\.png has pixels of 0\.5x1 µm: only square ones .* give --override-mpp"):
            ChooseNetwork(lambda scale: scale, (2, 4), to_mpp)(oblong, Path("a.png"))
    assert ChooseNetwork(lambda scale: scale, (2, 4), 0.25, override_mpp=1.0)(oblong, Path("a.png")) == 4
    nearly = Picture(None, dpi=(25400 / 0.5, 25400 / 0.51))
    assert nearly.mpp == pytest.approx(0.505)
    assert ChooseNetwork(lambda scale: scale, (2, 4), 0.25)(nearly, Path("a.png")) == 2
    screen = Picture(None, dpi=(72.0, 100.0))
    assert ChooseNetwork(lambda scale: scale, (2,))(screen, Path("a.png")) == 2


@pytest.mark.parametrize("name", ["assume_mpp", "override_mpp"])
@pytest.mark.parametrize("kind", [SlideOptions, NucleiOptions])
def test_an_absurd_resolution_is_refused_by_its_own_name(kind, name):
    for mpp in (0.03, 353.0, float("nan")):
        with pytest.raises(UserError, match=rf"^{name} {mpp:g}: give µm per pixel, 0\.05 to 20"):
            kind(**{name: mpp})
