"""``report.html`` opened and clicked through in headless Chromium."""

from __future__ import annotations

import os
import shutil
from dataclasses import replace

import pytest
from playwright.sync_api import sync_playwright

from tfpwl.mix import Mix
from tfpwl.report import GateResult, MixRecord, render_html

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="There is no Chromium here: apt-get install chromium")
# A report of two groups has few mixes; these make columns whose order as text is another than as numbers.
MIXES = tuple(
    MixRecord(Mix(mix), size, accuracy, ms)
    for mix, size, accuracy, ms in [
        ("SS", 900, 0.95, 0.2), ("ST", 20_000, 0.996, 10.4), ("TS", 3_000_000, 0.6, 9.41), ("TT", 100_000, 1.0, None),
    ]
)  # fmt: skip


@pytest.fixture(scope="module")
def chromium():
    # Chromium refuses its sandbox to root, which is who runs CI's containers.
    arguments = ["--no-sandbox"] if os.geteuid() == 0 else []
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=arguments)
        yield browser
        browser.close()


@pytest.fixture
def show(chromium, tmp_path):
    """Opens a page of reports; afterwards there may be no error on the console and no request but the page's own."""
    opened, complaints = [], []

    def _show(*reports, **options):
        path = tmp_path / "report.html"
        path.write_text(render_html(reports))
        page = chromium.new_page(**{"viewport": {"width": 1100, "height": 800}, **options})
        opened.append(page)
        page.on("pageerror", lambda error: complaints.append(f"error: {error}"))
        page.on("console", lambda line: complaints.append(f"console: {line.text}"))
        page.on("request", lambda request: None if request.url == path.as_uri() else complaints.append(request.url))
        page.goto(path.as_uri())
        page.wait_for_selector("html[data-drawn]", timeout=60_000)
        return page

    yield _show
    assert complaints == []
    for page in opened:
        page.close()


def column(page, heading, index):
    rows = page.locator("section", has=page.get_by_role("heading", name=heading)).locator("tbody tr")
    return [row.locator("td").nth(index).inner_text() for row in rows.all()]


def press(page, heading, button):
    section = page.locator("section", has=page.get_by_role("heading", name=heading))
    section.get_by_role("button", name=button, exact=True).click()


def paper(page):
    return page.evaluate("getComputedStyle(document.body).backgroundColor")


def test_every_chart_is_drawn(show, full):
    page = show(full)
    assert page.locator(".chart").count() == page.locator(".chart svg").count() == 5
    # Each has marks, not axes alone.
    assert all(chart.locator("[role='graphics-symbol']").count() > 0 for chart in page.locator(".chart").all())


def point_at(page, mark):
    """Move the pointer to the middle of the topmost mark of that description; the tooltip's text."""
    place = page.locator(f".chart path[aria-label*='{mark}']").last
    place.scroll_into_view_if_needed()
    box = place.bounding_box()
    page.mouse.move(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    tooltip = page.locator("#vg-tooltip-element.visible")
    tooltip.wait_for()
    text = tooltip.inner_text()
    page.mouse.move(0, 0)
    tooltip.wait_for(state="detached")
    return text


def test_hover_shows_the_values_of_the_table(show, full):
    page = show(full)
    assert page.locator("#vg-tooltip-element.visible").count() == 0
    for mark, values in [
        ("mix: ST;", ["ST", "79.00 %", "20.0 kB", "0.400 ms"]),
        ("mix: TS;", ["TS", "60.00 %", "11.0 kB", "0.410 ms"]),
        ("rung: int8;", ["int8", "276.0 kB", "0.05 points on ST", "0.100 ms SS, 0.400 ms TT"]),
        ("group: group 1; side: teacher;", ["group 1", "teacher", "434.6 kB"]),
        ("what: student by plain distillation;", ["81.00 %"]),
        ("step: after step 1;", ["student", "900", "70.00 %"]),
    ]:
        text = point_at(page, mark)
        assert [value for value in values if value not in text] == [], mark


def test_columns_sort_by_number_and_back_and_dashes_stay_at_the_end(show, report):
    page = show(replace(report, mixes=MIXES))
    for button, index, expected in [
        ("files", 3, ["900 B", "20.0 kB", "100.0 kB", "3.0 MB"]),
        ("accuracy", 1, ["60.00 %", "95.00 %", "99.60 %", "100.00 %"]),
    ]:
        press(page, "All 4 mixes", button)
        assert column(page, "All 4 mixes", index) == expected
        press(page, "All 4 mixes", button)
        assert column(page, "All 4 mixes", index) == expected[::-1]
    press(page, "All 4 mixes", "answer")
    assert column(page, "All 4 mixes", 4) == ["0.200 ms", "9.41 ms", "10.4 ms", "–"]
    press(page, "All 4 mixes", "answer")
    assert column(page, "All 4 mixes", 4) == ["10.4 ms", "9.41 ms", "0.200 ms", "–"]
    press(page, "All 4 mixes", "mix")
    assert column(page, "All 4 mixes", 0) == ["SS", "ST", "TS", "TT"]


def test_failed_gates_come_first(show, report):
    page = show(report, replace(report, name="other", gates=(GateResult("late", False, "x"),)))
    assert column(page, "Gates", 2) == ["failed", "failed", "passed"]


def test_a_sorted_column_says_so_to_screen_readers(show, report):
    page = show(report)
    press(page, "Path in order", "files")
    assert page.locator("th[aria-sort='ascending']").all_inner_texts() == ["files"]
    assert page.locator("th[aria-sort]").count() == 1
    press(page, "Path in order", "accuracy")
    assert page.locator("th[aria-sort='ascending']").all_inner_texts() == ["accuracy"]


@pytest.mark.parametrize(("scheme", "other"), [("light", "dark"), ("dark", "light")])
def test_colours_follow_the_system_and_the_switch(show, full, scheme, other):
    page = show(full, color_scheme=scheme)
    white = "rgb(255, 255, 255)"
    assert (paper(page) == white) == (scheme == "light")
    label = page.locator(".chart svg text").first
    before = label.get_attribute("fill")
    page.get_by_role("button", name="Switch between light and dark").click()
    page.wait_for_selector(f"html[data-drawn='{other}']")
    assert (paper(page) == white) == (other == "light")
    assert page.locator(".chart svg text").first.get_attribute("fill") != before


def test_a_phone_needs_no_scrolling_to_the_side(show, full):
    page = show(full, replace(full, tier="low"), viewport={"width": 390, "height": 844}, has_touch=True, is_mobile=True)
    assert page.evaluate("document.documentElement.scrollWidth") == 390
    for chart in page.locator(".chart svg").all():
        assert chart.bounding_box()["width"] <= 390
    # Nothing is cut off for that: a table that is too wide scrolls by itself.
    assert page.locator(".scroll").first.evaluate("box => getComputedStyle(box).overflowX") == "auto"


def test_a_finger_finds_the_values_too(show, full):
    page = show(full, viewport={"width": 390, "height": 844}, has_touch=True, is_mobile=True)
    place = page.locator(".chart path[aria-label*='mix: ST;']").last
    place.scroll_into_view_if_needed()
    box = place.bounding_box()
    page.touchscreen.tap(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    page.wait_for_timeout(300)  # it stays, when the finger is gone
    tooltip = page.locator("#vg-tooltip-element.visible")
    tooltip.wait_for()
    assert "79.00 %" in tooltip.inner_text()


def test_the_configuration_unfolds(show, full):
    page = show(full)
    assert not page.get_by_text("seed: 0").is_visible()
    page.get_by_text("Configuration").click()
    assert page.get_by_text("seed: 0").is_visible()


def test_names_from_a_pipeline_run_no_code(show, full):
    evil = "<img src=x onerror='window.caught=1'>"
    page = show(replace(full, name=evil, config={evil: evil}, environment={evil: evil}), replace(full, name=evil))
    assert evil in point_at(page, "mix: ST;")
    assert page.evaluate("window.caught") is None
    assert page.locator("img").count() == 0
    assert f"{evil} #1, mid" in page.locator("h2.run").all_inner_texts()


def test_without_javascript_the_tables_are_there(chromium, full, tmp_path):
    path = tmp_path / "report.html"
    path.write_text(render_html([full]))
    page = chromium.new_page(java_script_enabled=False)
    page.goto(path.as_uri())
    assert "79.00 %" in page.inner_text("body")
    page.close()
