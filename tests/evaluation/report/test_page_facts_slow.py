"""A table of facts in a real browser: nothing is cut at the right edge."""

import pytest

from mihatp_arch.evaluation.report.page import write_report
from mihatp_arch.evaluation.report.table import Table

pytestmark = pytest.mark.slow


@pytest.mark.parametrize("width", [1280, 800])
def test_long_facts_are_broken_into_lines(browser, tmp_path, width):
    methods = "; ".join(f"HAT_{number} 12 345 in 119 s" for number in range(12))
    facts = Table("Facts", ("fact", "value"), [("date", "2026"), ("pixels", 64 * "a"), ("iterations", methods)])
    file = tmp_path / "report.html"
    write_report(file, title="", summary=[], tables=[facts], crops=[], figures={}, left="", right="")
    page = browser.new_page(viewport={"width": width, "height": 844}, offline=True)
    page.goto(file.as_uri())
    region = page.get_by_role("region", name="Facts")
    needed, there = region.evaluate("region => [region.scrollWidth, region.clientWidth]")
    date, _, iterations = (cell.bounding_box()["height"] for cell in region.locator("td").all())
    page.close()
    assert needed == there and iterations > 1.4 * date
