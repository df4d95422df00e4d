"""ActivationExplorer: what Python writes, and what a reader sees and does in Chromium."""

import math
import re

import numpy as np
import pytest

from cnnlib import ops
from cnnlib.interactive import ActivationExplorer
from cnnlib.interactive._element import number
from cnnlib.interactive.activation_explorer import FUNCTIONS

START = (
    "f(2) = 0.881, slope 0.105. slope = y (1 − y) = 0.881 × 0.119. "
    "A gradient of 1 becomes 0.105; after 5 layers with this slope 1.28e−5 is left."
)


@pytest.mark.parametrize("name", ["relu", "sigmoid", "tanh"])
def test_the_numbers_are_those_of_the_book(name):
    x = np.linspace(-6, 6, 121)
    y, cache = getattr(ops, f"{name}_forward")(x)
    slope = getattr(ops, f"{name}_backward")(np.ones_like(x), cache)
    value, derivative = FUNCTIONS[name]
    np.testing.assert_allclose([value(v) for v in x], y, rtol=1e-12, atol=1e-15)
    np.testing.assert_allclose([derivative(v) for v in x], slope, rtol=1e-9, atol=1e-15)


def test_output_is_the_same_every_time_and_needs_no_host():
    html = ActivationExplorer("tanh", x=-1)._repr_html_()
    assert html == ActivationExplorer("tanh", x=-1)._repr_html_()
    assert set(re.findall(r"https?://[\w./]+", html)) <= {
        "http://www.w3.org/2000/svg"
    }  # a name only
    assert repr(ActivationExplorer("relu", x=3)).startswith('ActivationExplorer("relu", x=3)')


def test_without_scripts_the_numbers_can_be_read():
    html = ActivationExplorer()._repr_html_()
    assert "f(2) = 0.881, slope 0.105" in html
    assert html.count("<table") == 3


@pytest.mark.parametrize(
    ("function", "x", "message"),
    [("swish", 0, "one of relu, leaky relu"), ("relu", 7, "-6 to 6"), ("relu", math.nan, "-6")],
)
def test_bad_arguments(function, x, message):
    with pytest.raises(ValueError, match=message):
        ActivationExplorer(function, x=x)


def live(page):
    return page.locator("[role=status]").inner_text()


@pytest.mark.browser
def test_the_first_view(open_html):
    page = open_html(ActivationExplorer()._repr_html_())
    assert live(page) == START
    picture = page.get_by_role("img")
    assert picture.get_attribute("aria-label") == "sigmoid: value 0.881 and slope 0.105 at x = 2"
    # Saturated on both sides of |x| = 3.66.
    assert page.locator("rect.flat").count() == 2


@pytest.mark.browser
@pytest.mark.parametrize("name", list(FUNCTIONS))
def test_every_function_reads_as_in_python(open_html, name):
    page = open_html(ActivationExplorer()._repr_html_())
    page.get_by_role("combobox").select_option(name)
    field = page.get_by_label("x, number")
    for x in (-5.0, 0.0, 0.7, 4.0):
        field.fill(str(x))
        value, slope = (number(f(x)) for f in FUNCTIONS[name])
        assert live(page).startswith(f"f({number(x)}) = {value}, slope {slope}")
    field.fill("-5")
    assert ("saturated" in live(page)) == (name != "leaky relu")
    field.fill("1")
    assert "saturated" not in live(page)


@pytest.mark.browser
def test_keys_and_pointer_move_along_the_curve(open_html):
    page = open_html(ActivationExplorer("relu", x=0.5)._repr_html_())
    page.get_by_label("x", exact=True).focus()
    page.keyboard.press("ArrowRight")
    assert live(page).startswith("f(0.6) = 0.6, slope 1.")
    page.keyboard.press("Home")
    assert live(page).startswith("f(−6) = 0, slope 0 — saturated.")
    box = page.get_by_role("img").bounding_box()
    # The plot runs from 38 to 412 of 420 units, x from -6 to 6.
    across = (38 + (3 + 6) / 12 * 374) / 420
    page.mouse.click(box["x"] + box["width"] * across, box["y"] + box["height"] / 2)
    assert live(page).startswith("f(3) = 3, slope 1.")
    assert page.get_by_label("x, number").input_value() == "3"


@pytest.mark.browser
def test_it_fits_a_phone_and_axe_finds_nothing(open_html, axe):
    for dark in (False, True):
        page = open_html(ActivationExplorer()._repr_html_(), dark=dark, width=340)
        assert page.evaluate("document.documentElement.scrollWidth") <= 340
        assert axe(page) == []
