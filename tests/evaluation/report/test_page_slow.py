"""The report in a real browser: the slider, the selects, the zoom, the tables, and not one request."""

import re

import cv2
import numpy as np
import pytest

from mihatp_arch.evaluation.report.page import Crop, write_report
from mihatp_arch.evaluation.report.table import Table

pytestmark = pytest.mark.slow

LABELS = ("bicubic", "HAT", "MiHATP", "HR")
SIZE = 96
TABLE = Table(
    "x4",
    ("method", "PSNR (dB)", "parameters"),
    [
        ("HAT 10", "9.50 ± 0.40", "20 815 321"),
        ("HAT 9", "10.25 ± 0.40", ""),
        ("bicubic", "27.31 ± 0.40", "900"),
        ("SRCNN", "-1.00 ± 0.40", "57 281"),
    ],
    {(2, 1)},
)


def crop(seed):
    generator = np.random.default_rng(seed)
    images = {label: generator.integers(0, 256, (SIZE, SIZE, 3), dtype=np.uint8) for label in LABELS}
    return Crop(f"patch {seed}", images, {label: f"{place + 20}.00 dB" for place, label in enumerate(LABELS)})


CROPS = [crop(seed) for seed in range(3)]


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    folder = tmp_path_factory.mktemp("report")
    cv2.imwrite(str(folder / "figure.png"), CROPS[0].images["HR"])
    write_report(
        folder / "report.html",
        title="A title",
        summary=["one line"],
        tables=[TABLE],
        crops=CROPS,
        figures={"Figure": folder / "figure.png"},
        left="bicubic",
        right="MiHATP",
    )
    return folder / "report.html"


@pytest.fixture
def visit(browser, path):
    """Open the report; at the end of the test nothing may have been logged, and nothing but the file asked for."""
    contexts, said, asked = [], [], []

    def visit(**options):
        context = browser.new_context(offline=True, **{"viewport": {"width": 1280, "height": 900}, **options})
        contexts.append(context)
        context.on("request", lambda request: asked.append(request.url))
        page = context.new_page()
        page.on("console", lambda message: said.append(message.text))
        page.on("pageerror", lambda error: said.append(str(error)))
        page.goto(path.as_uri())
        return page

    yield visit
    for context in contexts:
        context.close()
    assert not said
    assert set(filter(lambda url: not url.startswith("data:"), asked)) == {path.as_uri()}


@pytest.fixture
def page(visit):
    return visit()


def shared(page, name):
    return page.locator(f".shared [name={name}]")


def zoom(form, factor):
    form.locator(f"[name=zoom][value='{factor}']").check(force=True)


def stage(page, place=0):
    """What the crop's pixels are on the screen; the place of an image may be fractional, and the browser rounds it."""
    box = page.locator(".stage").nth(place).bounding_box()
    scrolled = page.evaluate("scrollY")
    png = page.screenshot(full_page=True, clip={k: round(v + scrolled * (k == "y")) for k, v in box.items()})
    return cv2.imdecode(np.frombuffer(png, np.uint8), cv2.IMREAD_COLOR)


def assert_split(seen, crop, left, right, at, factor=1):
    """`left` up to the divider and `right` from there on, but for the line (3 px) and its grip (24 px below)."""
    one, other = (np.kron(crop.images[label], np.ones((factor, factor, 1), np.uint8)) for label in (left, right))
    assert seen.shape == one.shape
    wanted = np.where(np.arange(one.shape[1])[None, :, None] < at * factor, one, other)
    near = np.abs(np.arange(one.shape[1]) + 0.5 - at * factor)
    assert (seen == wanted)[:, near > 14].all()
    assert (seen == wanted)[:-26, near > 3].all()


def clip(page, place=0):
    return page.locator(".stage .right").nth(place).evaluate("right => getComputedStyle(right).left")


def test_the_images_meet_at_the_divider(page):
    zoom(page.locator(".shared"), 1)
    for at in (SIZE // 2, 0, 17, 80, SIZE):
        page.locator("[type=range]").nth(1).fill(str(at))
        assert clip(page, 1) == f"{at}px"
        assert_split(stage(page, 1), CROPS[1], "bicubic", "MiHATP", at)
    assert_split(stage(page, 0), CROPS[0], "bicubic", "MiHATP", SIZE // 2)  # each crop has its own


@pytest.mark.parametrize("factor", [2, 4])
def test_a_zoomed_pixel_is_a_square(page, factor):
    zoom(page.locator(".shared"), factor)
    for place, crop in enumerate(CROPS):
        assert_split(stage(page, place), crop, "bicubic", "MiHATP", SIZE // 2, factor)


def test_the_divider_follows_the_keyboard(page):
    divider = page.get_by_role("slider", name="Divider of patch 0")
    divider.focus()
    for key, at in (
        ("ArrowRight", 49),
        ("ArrowLeft", 48),
        ("ArrowLeft", 47),
        ("End", 96),
        ("PageDown", 86),
        ("Home", 0),
    ):
        page.keyboard.press(key)
        assert divider.input_value() == str(at)
        assert clip(page) == f"{2 * at}px"  # the zoom is 2 at first
    assert divider.get_attribute("aria-valuetext") == "0 % bicubic 20.00 dB, 100 % MiHATP 22.00 dB"


def test_the_divider_follows_the_pointer_also_beyond_the_image(page):
    box = page.locator(".stage").first.bounding_box()
    x, y = box["x"], box["y"] + 50
    page.mouse.move(x + 40, y)
    page.mouse.down()
    assert page.locator("[type=range]").first.input_value() == "20"
    for to, at in ((100, 50), (192 + 300, 96), (-20, 0), (60, 30)):
        page.mouse.move(x + to, y + 500)
        assert page.locator("[type=range]").first.input_value() == str(at)
    page.mouse.up()
    page.mouse.move(x + 100, y)
    assert clip(page) == "60px"
    page.keyboard.press("ArrowRight")  # the drag has focused the range
    assert clip(page) == "62px"


def test_a_tap_moves_the_divider_and_a_wide_image_scrolls_in_its_frame(visit):
    page = visit(viewport={"width": 340, "height": 844}, has_touch=True, is_mobile=True)
    page.locator(".stage").first.tap(position={"x": 40, "y": 50})
    assert clip(page) == "40px"
    zoom(page.locator(".shared"), 4)
    frame = page.locator(".frame").first
    wide = frame.evaluate("frame => [frame.clientWidth, frame.scrollWidth, document.documentElement.scrollWidth]")
    assert wide[0] < wide[1] == 4 * SIZE and wide[2] == 340
    for at in ("96", "0"):
        page.locator("[type=range]").first.fill(at)
        left = frame.evaluate("frame => frame.scrollLeft")
        assert left == (wide[1] - wide[0] if at == "96" else 0)  # the divider stays in view


def test_the_selects_change_every_crop(page):
    zoom(page.locator(".shared"), 1)
    shared(page, "left").select_option(label="HR")
    shared(page, "right").select_option(label="HAT")
    for place, crop in enumerate(CROPS):
        assert_split(stage(page, place), crop, "HR", "HAT", SIZE // 2)
    assert page.locator(".shown").all_inner_texts() == ["HR\n23.00 dB\n\nHAT\n21.00 dB"] * 3
    shared(page, "swap").click()
    for place, crop in enumerate(CROPS):
        assert_split(stage(page, place), crop, "HAT", "HR", SIZE // 2)
    shared(page, "left").select_option(label="HR")
    for place, crop in enumerate(CROPS):
        assert_split(stage(page, place), crop, "HR", "HR", SIZE // 2)


def test_crops_may_be_unlinked_and_linked_again(page):
    shared(page, "link").uncheck()
    assert not shared(page, "left").is_visible()
    own = page.locator(".crop form").nth(1)
    zoom(own, 1)
    own.locator("[name=left]").select_option(label="HAT")
    assert_split(stage(page, 1), CROPS[1], "HAT", "MiHATP", SIZE // 2)
    assert_split(stage(page, 0), CROPS[0], "bicubic", "MiHATP", SIZE // 2, 2)
    shared(page, "link").check()
    assert not own.locator("[name=left]").is_visible()
    assert_split(stage(page, 1), CROPS[1], "bicubic", "MiHATP", SIZE // 2, 2)


def test_a_header_sorts_numbers_as_numbers_and_names_as_names(page):
    def methods():
        return page.locator("tbody th").all_inner_texts()

    psnr, parameters, method = (page.get_by_role("button", name=name) for name in ("PSNR", "parameters", "method"))
    psnr.click()
    assert methods() == ["bicubic", "HAT 9", "HAT 10", "SRCNN"]
    assert page.locator("th[aria-sort]").evaluate_all("heads => heads.map(h => h.ariaSort)") == ["descending"]
    psnr.click()
    assert methods() == ["SRCNN", "HAT 10", "HAT 9", "bicubic"]
    parameters.click()
    assert methods() == ["HAT 10", "SRCNN", "bicubic", "HAT 9"]
    parameters.press("Enter")
    assert methods() == ["bicubic", "SRCNN", "HAT 10", "HAT 9"]  # the blank is last again
    method.click()
    assert methods() == ["bicubic", "HAT 9", "HAT 10", "SRCNN"]
    assert page.locator("strong").all_inner_texts() == ["27.31 ± 0.40"]
    number = page.locator("tbody .number").first
    assert number.evaluate("n => [getComputedStyle(n).textAlign, getComputedStyle(n).fontVariantNumeric]") == [
        "right",
        "tabular-nums",
    ]


def test_dark_follows_the_reader_and_paper_is_light_with_every_image(visit):
    def brightness(page):
        colour = page.locator("h1").evaluate("h1 => getComputedStyle(h1).color")
        return sum(map(int, re.findall(r"\d+", colour))) / 3

    dark = visit(color_scheme="dark")
    assert brightness(dark) > 200 and brightness(visit(color_scheme="light")) < 60
    assert dark.locator(".stage img >> visible=true").count() == 6
    dark.emulate_media(media="print")
    assert brightness(dark) < 60
    assert dark.locator(".stage img >> visible=true").count() == 12
    assert dark.locator(".stage figcaption >> visible=true").count() == 12
    assert dark.locator("table, .figure img").count() == dark.locator("table, .figure img >> visible=true").count() == 2
    assert not dark.locator("input, select >> visible=true").count()


def test_without_scripts_every_image_is_there(visit):
    page = visit(java_script_enabled=False)
    assert page.locator(".stage img >> visible=true").count() == 12
    assert not page.locator("input, select >> visible=true").count()
