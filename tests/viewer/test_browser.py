"""The page in a real browser: pixels, curtain, scales that lie on each other, no error, no foreign request."""

from io import BytesIO

import cv2
import numpy as np
import pytest
from helpers.slides import by_openslide
from PIL import Image
from viewer.conftest import EDGE, STARTED, command, until, visit

from mihatp_viewer.export import export_scene
from mihatp_viewer.scene import open_scene

pytestmark = pytest.mark.slow

VIEW = "#x=176&y=176&px=0.25&smooth=0"  # the centre; a pixel of HR for each of the screen


def settle(page):
    """Wait until all tiles of the view are drawn."""
    until(page, "MiHATP.compare.panes.every(p => p.items.every(i => !i || i.getOpacity() === 0 || i.getFullyLoaded()))")
    page.wait_for_timeout(150)


def seen(page):
    """What the panes show, [H, W, 3], without the curtain, the names and the scale."""
    settle(page)
    page.add_style_tag(content="#curtain, .name, #scale, .navigator { visibility: hidden !important; }")
    return np.asarray(Image.open(BytesIO(page.locator("#panes").screenshot())).convert("RGB"))


def middle(image, width=200, height=200):
    top, left = (image.shape[0] - height) // 2, (image.shape[1] - width) // 2
    return image[top : top + height, left : left + width]


def test_the_pixels_are_the_slides_own(browser, served, slides):
    with visit(browser, f"{served}{VIEW}&left=2&right=2") as page:
        assert np.array_equal(middle(seen(page)), by_openslide(slides[1], 604, 604, 200, 200))


def test_the_curtain_is_moved_by_the_mouse_and_by_keys(browser, served, slides):
    with visit(browser, f"{served}{VIEW}") as page:
        panes = page.locator("#panes").bounding_box()
        page.mouse.move(panes["x"] + 450, panes["y"] + 100)
        page.mouse.down()
        page.mouse.move(panes["x"] + 500, panes["y"] + 120, steps=4)
        page.mouse.up()
        assert "curtain=0.556" in page.evaluate("location.hash")
        shown = middle(seen(page))
        hr, lr = by_openslide(slides[1], 604, 604, 200, 200), by_openslide(slides[0], 302, 302, 100, 100)
        assert np.array_equal(shown[:, :149], np.repeat(np.repeat(lr, 2, 0), 2, 1)[:, :149])
        assert np.array_equal(shown[:, 151:], hr[:, 151:])
        page.keyboard.press("[")
        until(page, "location.hash.includes('curtain=0.536')")
        assert page.locator("#curtain").get_attribute("aria-valuenow") == "54"


def edge(page, number):
    """Where the scene turns dark on the screen, px from the left: an image of this number alone is shown."""
    page.evaluate(f"location.hash = '#x={EDGE / 4}&y=264&px=0.0625&smooth=0&mode=curtain&left={number}&right={number}'")
    until(page, f"MiHATP.compare.main.shown.left === {number - 1}")
    page.wait_for_timeout(400)
    row = middle(seen(page), 400, 40).mean((0, 2))
    return ((row - 60) / (220 - 60)).sum()


def test_two_scales_lie_on_each_other_within_half_a_pixel(browser, served):
    with visit(browser, served) as page:
        lr, hr = edge(page, 1), edge(page, 2)
    assert hr == pytest.approx(200, abs=1)  # the middle of the screen
    assert abs(lr - hr) < 0.5  # screen px, of which a pixel of HR has four


def test_all_ways_to_compare(browser, served, slides):
    hr, lr = by_openslide(slides[1], 604, 604, 200, 200), by_openslide(slides[0], 302, 302, 100, 100)
    lr = np.repeat(np.repeat(lr, 2, 0), 2, 1)
    with visit(browser, f"{served}{VIEW}", viewport={"width": 902, "height": 701}) as page:
        page.keyboard.press(" ")
        until(page, "location.hash.includes('mode=blink')")
        assert np.array_equal(middle(seen(page)), hr)
        page.keyboard.press(" ")
        page.wait_for_timeout(100)
        assert np.array_equal(middle(seen(page)), lr)
        page.keyboard.press("o")
        until(page, "location.hash.includes('mode=overlay')")
        assert np.abs(middle(seen(page)).astype(int) - (hr.astype(int) + lr) / 2).max() <= 1
        page.keyboard.press("s")
        until(page, "MiHATP.compare.panes.length === 2 && MiHATP.compare.others[0].items.length === 2")
        page.wait_for_timeout(600)
        panes = seen(page)
        assert "px=0.25&" in page.evaluate("location.hash")
        left, right = panes[:, :450], panes[:, -450:]
        assert np.array_equal(middle(left, 100, 100), middle(lr, 100, 100))
        assert np.array_equal(middle(right, 100, 100), middle(hr, 100, 100))
        page.mouse.move(225, 300)
        page.mouse.wheel(0, -300)
        page.wait_for_timeout(900)
        assert page.evaluate(
            "MiHATP.compare.panes.map(p => p.viewer.viewport.getZoom(true).toFixed(6)).every((z, _, a) => z === a[0])"
        )


def test_levels_are_zoomed_and_the_address_is_the_view(browser, served):
    with visit(browser, served) as page:
        page.keyboard.press("1")
        page.wait_for_timeout(700)
        one = page.evaluate("location.hash")
        assert "px=0.25&" in one
        page.keyboard.press("-")
        until(page, "/px=0.375&/.test(location.hash)")
        assert page.locator("#magnification").inner_text() == "26.7×"
        assert page.locator("#ruler b").inner_text() == "50 µm"
        assert page.locator("#ruler i").evaluate("bar => bar.getBoundingClientRect().width") == pytest.approx(
            133.3, abs=1
        )
    with visit(browser, served + one) as page:
        settle(page)
        assert page.evaluate("location.hash") == one


def test_outlines_lie_where_they_were_drawn(browser, slides, tmp_path):
    corners = [[600, 600], [700, 600], [700, 660], [600, 660], [600, 600]]
    path = tmp_path / "hr.geojson"
    path.write_text(f'{{"type": "Polygon", "coordinates": [{corners}]}}')
    with command(*slides, "--layers", path) as address, visit(browser, f"{address}{VIEW}&left=2&right=2") as page:
        before = seen(page).astype(int)
        page.keyboard.press("l")
        until(page, "location.hash.includes('layers=1')")
        page.wait_for_timeout(300)
        changed = np.abs(seen(page) - before).sum(2) > 0
        x, y, width, height = cv2.boundingRect(changed.astype(np.uint8))
        origin = 704 - before.shape[1] / 2, 704 - before.shape[0] / 2
        assert (x + origin[0], y + origin[1]) == pytest.approx((599, 599), abs=1.5)
        assert (width, height) == pytest.approx((102, 62), abs=2)
        assert not changed[y + 10 : y + 50, x + 10 : x + 90].any()


def test_a_slide_that_goes_away_is_a_message(browser, slides, tmp_path):
    copy = tmp_path / "copy.tif"
    copy.write_bytes(slides[1].read_bytes())
    with command(copy) as address:
        page = browser.new_page()
        page.goto(address)
        until(page, STARTED)
        copy.unlink()
        page.keyboard.press("1")
        message = page.locator("#message")
        message.wait_for(state="visible")
        assert "copy.tif can no longer be read" in message.inner_text()
        page.close()


def test_a_narrow_dark_screen_has_all_controls_in_view(browser, served):
    with visit(browser, served, viewport={"width": 400, "height": 700}, color_scheme="dark", has_touch=True) as page:
        settle(page)
        assert page.evaluate("document.documentElement.scrollWidth") <= 400
        for part in ("#left", "#right", "#modes", "#zoom-in", "#help", "#curtain", "#ruler"):
            box = page.locator(part).bounding_box()
            assert box["x"] >= -15 and box["x"] + box["width"] <= 415
        ground = page.locator("#bar").evaluate("bar => getComputedStyle(bar).backgroundColor")
        page.keyboard.press("t")
        assert page.locator("#bar").evaluate("bar => getComputedStyle(bar).backgroundColor") != ground


def test_an_exported_view_is_shown_from_the_disk(browser, slides, tmp_path):
    with open_scene(slides) as scene:
        export_scene(scene, tmp_path / "view")
    with visit(browser, f"{(tmp_path / 'view' / 'index.html').as_uri()}{VIEW}&left=2&right=2") as page:
        assert np.array_equal(middle(seen(page)), by_openslide(slides[1], 604, 604, 200, 200))
