"""The page in a real browser: odd addresses, sizes of the window, damage, and very many outlines."""

import json

import numpy as np
import pytest
import tifffile
from PIL import Image
from viewer.conftest import STARTED, command, until, visit

pytestmark = pytest.mark.slow

BOUNDS = "(b => [b.x, b.y, b.x + b.width, b.y + b.height])(MiHATP.compare.main.viewer.viewport.getBounds(true))"


@pytest.mark.parametrize(
    "address", ["x=abc&left=99&px=-1&curtain=7", "px=1e-300", "x=1e300&y=-1e300&px=1e300", "x=-9999&y=9999", "%E0%A4%A"]
)
def test_any_address_shows_a_part_of_the_image(browser, served, address):
    with visit(browser, f"{served}#{address}") as page:
        left, top, right, bottom = page.evaluate(BOUNDS)
        assert left < 1 and right > 0 and top < 1 and bottom > 0
        assert 0.001 < right - left < 10
        assert "px=0&" not in page.evaluate("location.hash")


def test_a_window_of_another_size_keeps_the_scale_in_all_panes(browser, served):
    with visit(browser, f"{served}#x=176&y=176&px=0.5&mode=side") as page:
        until(page, "MiHATP.compare.panes.length === 2 && MiHATP.compare.others[0].items.length === 2")
        for width in (500, 1300):
            page.set_viewport_size({"width": width, "height": 600})
            page.wait_for_timeout(600)
            assert "px=0.5&" in page.evaluate("location.hash")
            scale = "pane => pane.viewer.viewport.getBounds(true).width / pane.viewer.container.clientWidth"
            assert page.evaluate(f"MiHATP.compare.panes.map({scale})") == pytest.approx([0.5 / 352] * 2, rel=1e-3)


def test_the_whole_of_the_shown_images_is_in_view(browser, tmp_path):
    for name, width, height in (("tall", 2, 800), ("flat", 80, 60)):
        Image.fromarray(np.zeros((height, width, 3), np.uint8)).save(tmp_path / f"{name}.png")
    files = tmp_path / "tall.png", tmp_path / "flat.png"
    with command(*files) as address, visit(browser, f"{address}#left=2&right=2") as page:
        left, top, right, bottom = page.evaluate(BOUNDS)
        assert -0.5 < left <= 0 and -0.5 < top <= 0 and 1 <= right < 1.5 and 0.75 <= bottom < 1.5
        page.evaluate("location.hash = '#left=1&right=2'")
        until(page, "MiHATP.compare.main.shown.left === 0")
        page.keyboard.press("0")
        until(page, f"{BOUNDS}[3] >= 399")


def test_a_space_switches_a_layer_that_was_reached_by_keys(browser, slides, tmp_path):
    path = tmp_path / "a.geojson"
    path.write_text('{"type": "Polygon", "coordinates": [[[1, 1], [9, 1], [9, 9], [1, 1]]]}')
    with command(*slides, "--layers", path) as address, visit(browser, address) as page:
        page.locator("#layers summary").focus()
        page.keyboard.press("Enter")
        page.keyboard.press("Tab")
        page.keyboard.press(" ")
        until(page, "location.hash.includes('layers=1')")
        assert "mode=curtain" in page.evaluate("location.hash")


def test_many_damaged_tiles_are_explained_a_few_times(browser, slides, tmp_path):
    data = bytearray(slides[1].read_bytes())
    with tifffile.TiffFile(slides[1]) as file:
        for offset, count in zip(file.pages[0].dataoffsets, file.pages[0].databytecounts, strict=True):
            data[offset : offset + count] = bytes(count)
    damaged = tmp_path / "damaged.tif"
    damaged.write_bytes(data)
    with command(damaged, "--tile-size", "128") as address:
        page = browser.new_page()
        asked = []
        page.on("request", lambda request: asked.append(request.url))
        page.goto(f"{address}#px=0.25")
        until(page, STARTED)
        page.locator("#message").wait_for(state="visible")
        page.wait_for_timeout(1500)
        assert "cannot be decoded" in page.locator("#message").inner_text()
        assert len(set(asked)) > 20 and len(asked) - len(set(asked)) <= 2
        page.locator("#close-message").click()
        assert not page.locator("#message").is_visible()
        page.close()


def test_very_many_outlines_are_drawn_in_a_second(browser, slides, tmp_path):
    angles = np.linspace(0, 2 * np.pi, 20)
    circle = np.stack([np.cos(angles), np.sin(angles)], 1) * 5
    centres = np.random.default_rng(0).uniform(0, 1408, (40000, 1, 2))
    path = tmp_path / "hr.geojson"
    rings = (circle + centres).round(1).tolist()
    path.write_text(json.dumps({"type": "MultiPolygon", "coordinates": [[ring] for ring in rings]}))
    with command(*slides, "--layers", path) as address, visit(browser, f"{address}#layers=1&px=0.5") as page:
        until(page, "MiHATP.compare.outlines.length === 1")
        seconds = page.evaluate(
            "(pane => { const begin = performance.now(); pane.drawOutlines(); "
            "pane.canvas.getContext('2d').getImageData(0, 0, 1, 1); return (performance.now() - begin) / 1000; })"
            "(MiHATP.compare.main)"
        )
        assert seconds < 2
