"""PixelExplorer: what Python writes, and what a reader sees and does in Chromium."""

import re

import numpy as np
import pytest

from cnnlib.interactive import PixelExplorer


def photo(height=24, width=32):
    """Every pixel can be recognised: red tells the row, green the column, blue their sum."""
    row, column = np.indices((height, width))
    return np.stack([5 * row, 6 * column, row + column], axis=2).astype(np.uint8)


def test_output_is_the_same_every_time_and_needs_no_host():
    html = PixelExplorer(photo())._repr_html_()
    assert html == PixelExplorer(photo())._repr_html_()
    assert set(re.findall(r"https?://[\w./]+", html)) <= {
        "http://www.w3.org/2000/svg"
    }  # a name only
    assert "src=" not in html
    assert repr(PixelExplorer(photo(), row=3, column=4)).startswith("PixelExplorer(24x32, row=3")


def test_without_scripts_the_numbers_can_be_read():
    html = PixelExplorer(photo(), row=10, column=7)._repr_html_()
    assert "photo[10, 7] = (50, 42, 17)" in html
    assert html.count("<table") == 3
    assert "red, from row 8, column 5" in html


@pytest.mark.parametrize(("row", "column", "corner"), [(0, 0, (0, 0)), (23, 31, (19, 27))])
def test_the_window_stays_inside(row, column, corner):
    figure = PixelExplorer(photo(), row=row, column=column)
    assert figure._corner() == corner
    assert figure._channels()["red"].shape == (5, 5)


@pytest.mark.parametrize(
    ("value", "options", "message"),
    [
        (photo().astype(float), {}, "uint8"),
        (photo()[:, :, 0], {}, r"must be \(H, W, 3\)"),
        (photo(400, 200), {}, "80,000 pixels"),
        (photo(), {"window": 4}, "odd"),
        (photo(), {"row": 24}, "from 0 to 23"),
    ],
)
def test_bad_arguments(value, options, message):
    with pytest.raises(ValueError, match=message):
        PixelExplorer(value, **options)


@pytest.fixture
def page(browser, tmp_path):
    """A page that holds nothing but the figure; any message on the console fails the test."""
    figure = PixelExplorer(photo(), row=10, column=7)._repr_html_()
    head = '<meta charset="utf-8"><title>figure</title>'
    text = f'<!doctype html><html lang="en"><head>{head}</head><body><main><h1>Figure</h1>{figure}'
    (tmp_path / "page.html").write_text(f"{text}</main></body></html>", encoding="utf-8")
    page = browser.new_page(viewport={"width": 800, "height": 700})
    trouble = []
    page.on("console", lambda message: trouble.append(message.text))
    page.on("pageerror", lambda error: trouble.append(str(error)))
    page.on("request", lambda r: r.url.startswith("file:") or trouble.append(r.url))
    page.goto((tmp_path / "page.html").as_uri())
    yield page
    page.close()
    assert trouble == []


def live(page):
    return page.locator("[role=status]").inner_text()


@pytest.mark.browser
def test_the_first_view_equals_the_fallback(page):
    assert live(page) == (
        "photo[10, 7] = (50, 42, 17): red 50, green 42, blue 17. Mean of the three: 36.3."
    )
    cells = page.locator("td.px")
    assert cells.count() == 25
    assert cells.first.locator("span").all_inner_texts() == ["40", "30", "13"]
    assert page.locator("td.px.sel").locator("span").all_inner_texts() == ["50", "42", "17"]
    assert page.locator("caption").last.inner_text() == "rows 8 to 12, columns 5 to 9"


@pytest.mark.browser
def test_keys_pointer_and_cells_move_the_window(page):
    row = page.get_by_label("row", exact=True)
    row.focus()
    page.keyboard.press("ArrowRight")
    assert live(page).startswith("photo[11, 7] =")
    page.get_by_label("column", exact=True).focus()
    page.keyboard.press("End")
    assert live(page).startswith("photo[11, 31] =")
    box = page.locator("canvas").bounding_box()
    page.mouse.move(box["x"] + box["width"] * 4.5 / 32, box["y"] + box["height"] * 3.5 / 24)
    assert live(page).startswith("photo[3, 4] = (15, 24, 7)")
    page.locator("td.px").last.click()
    assert live(page).startswith("photo[5, 6] =")
    assert row.input_value() == "5"


@pytest.mark.browser
def test_one_channel_is_shown_as_grey(page):
    page.get_by_label("green").check()
    cell = page.locator("td.px.sel")
    assert cell.locator("span").all_inner_texts() == ["42"]
    style = "e => [getComputedStyle(e).backgroundColor, getComputedStyle(e).color]"
    assert cell.evaluate(style) == ["rgb(42, 42, 42)", "rgb(255, 255, 255)"]
    drawn = "e => [...e.getContext('2d').getImageData(7, 10, 1, 1).data]"
    assert page.locator("canvas").evaluate(drawn) == [42, 42, 42, 255]
    page.get_by_label("all three").check()
    assert cell.evaluate(style)[0] == "rgb(50, 42, 17)"


@pytest.mark.browser
def test_it_fits_a_phone_and_axe_finds_nothing(page):
    axe = pytest.importorskip("axe_playwright_python.sync_playwright")
    for scheme in ("light", "dark"):
        page.emulate_media(color_scheme=scheme)
        assert axe.Axe().run(page).response["violations"] == []
    page.set_viewport_size({"width": 340, "height": 800})
    assert page.evaluate("document.documentElement.scrollWidth") <= 340
