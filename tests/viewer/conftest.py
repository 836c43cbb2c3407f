"""Two slides of one tissue at different scale, and the running command."""

import re
import subprocess
import sys
from contextlib import contextmanager

import cv2
import numpy as np
import pytest
from helpers.slides import reduced, write_pyramid

HR_SIDE = 1408  # px at 0.25 µm/px
STARTED = "!!window.MiHATP && !!MiHATP.compare && location.hash.includes('mode=')"
EDGE = 701  # px at 0.25 µm/px where the scene turns dark: in the middle of an LR pixel


@pytest.fixture(scope="package")
def slides(tmp_path_factory):
    """(LR at 0.5, HR at 0.25 µm/px): smooth noise, and below it a bright half and a dark one that meet at `EDGE`."""
    folder = tmp_path_factory.mktemp("slides")
    noise = np.random.default_rng(0).integers(0, 256, (HR_SIDE // 8, HR_SIDE // 8, 3), dtype=np.uint8)
    hr = cv2.resize(noise, (HR_SIDE, HR_SIDE), interpolation=cv2.INTER_CUBIC) // 4 + 190
    hr[HR_SIDE // 2 :, :EDGE] = 220
    hr[HR_SIDE // 2 :, EDGE:] = 60
    levels = [hr, reduced(hr, 2), reduced(hr, 4)]
    per_cm = {"resolution": (20000, 20000)}
    return (
        write_pyramid(folder / "lr.tif", levels[1:], **per_cm),
        write_pyramid(folder / "hr.tif", levels),
    )


def until(page, expression):
    """Wait until an expression is true; the page forbids the evaluation of text, which Playwright's own wait needs."""
    for _ in range(200):
        if page.evaluate(expression):
            return
        page.wait_for_timeout(50)
    raise AssertionError(f"not in 10 s: {expression}")


@contextmanager
def command(*arguments):
    """The address of a running `mihatp view`."""
    process = subprocess.Popen(
        [sys.executable, "-m", "mihatp_cli.mihatp", "view", "--no-browser", *map(str, arguments)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        line = process.stdout.readline()
        found = re.match(r"http://127\.0\.0\.1:\d+/", line)
        assert found, line + process.stderr.read()
        yield found[0]
    finally:
        process.terminate()
        process.wait(20)
        process.stdout.close()
        process.stderr.close()


@contextmanager
def visit(browser, address, **options):
    """A page without errors that asks for nothing elsewhere."""
    wrong, asked = [], []
    page = browser.new_page(**{"viewport": {"width": 900, "height": 701}, **options})
    page.on("console", lambda message: wrong.append(message.text) if message.type in ("error", "warning") else None)
    page.on("pageerror", lambda error: wrong.append(str(error)))
    page.on("request", lambda request: asked.append(request.url))
    page.goto(address)
    until(page, STARTED)
    page.wrong = wrong
    try:
        yield page
        assert wrong == []
        base = address.partition("#")[0].rpartition("/")[0]
        assert [url for url in asked if not url.startswith((base, "data:", "blob:"))] == []
    finally:
        page.close()


@pytest.fixture(scope="module")
def served(slides):
    """The address of a view of both slides."""
    with command(*slides) as address:
        yield address
