"""RooflineExplorer: what Python computes, and what a reader sees and does in Chromium."""

import itertools
import re

import pytest

from browser.conftest import find
from cnnlib.interactive import RooflineExplorer
from cnnlib.interactive.roofline_explorer import BATCHES, BYTES, LAYERS, amount, duration
from cnnlib.pytorch import models

CPU = {"bandwidth": 20, "peaks": {"float32": 100, "float64": 50}}
GPU = {"bandwidth": 4000, "peaks": {"float32": 60e3, "tf32": 400e3, "bfloat16": 800e3}}
MACHINES = {"a <CPU>": CPU, "a GPU": GPU}
CONV, RELU = "conv3_2: 3x3, 256 to 256, 56x56", "ReLU, 64x224x224"


def test_a_convolution_and_a_relu_by_hand():
    spot = RooflineExplorer(MACHINES, CONV, 4).spot()
    assert spot.operations == 4 * 56 * 56 * 256 * 256 * 9 * 2
    assert spot.bytes == 4 * (4 * 2 * 256 * 56 * 56 + 256 * 256 * 9)
    assert spot.intensity == spot.operations / spot.bytes
    assert (spot.ridge, spot.rate, spot.bound) == (5, 100, "arithmetic")
    assert spot.seconds == pytest.approx(spot.operations / 100e9)
    relu = RooflineExplorer(MACHINES, RELU, 2, machine="a GPU", mode="bfloat16").spot()
    assert relu.intensity == 1 / 4  # one operation for two bytes read and two written
    assert (relu.rate, relu.bound) == (1000, "memory")
    assert relu.seconds == pytest.approx(2 * 2 * 2 * 64 * 224 * 224 / 4000e9)


def test_the_layers_are_those_of_vgg16():
    import torch

    model, seen = models.build("vgg16"), {}
    for name, module in model.named_modules():
        module.register_forward_hook(lambda m, x, y, n=name: seen.update({n: (m, x[0], y)}))
    with torch.device("meta"):
        model.to("meta")(torch.empty(1, 3, 224, 224))
    for key, name in {
        "conv1_1": "features.0", "conv1_2": "features.2", "ReLU": "features.3",
        "max-pool": "features.4", "conv3_2": "features.12", "conv5_1": "features.24",
        "fc6": "classifier.0", "fc8": "classifier.6",
    }.items():  # fmt: skip
        work = next(w for layer, w in LAYERS.items() if layer.startswith(key))
        module, x, y = seen[name]
        weight = getattr(module, "weight", torch.empty(0))
        assert work[1:] == (x.numel(), y.numel(), weight.numel())
        if weight.numel():
            assert work.operations == 2 * y[0, :1].numel() * weight.numel()
    assert LAYERS[RELU].operations == 64 * 224 * 224
    pool = next(w for layer, w in LAYERS.items() if layer.startswith("max-pool"))
    assert pool.operations == 3 * pool.outputs


def test_numbers_as_text():
    assert [amount(v) for v in (3.7e9, 12, 0.5, 999e12, 2e15)] == [
        "3.7 G", "12 ", "0.5 ", "999 T", "2 P",
    ]  # fmt: skip
    assert [duration(v) for v in (2, 0.0123, 4.5e-6, 3e-8)] == [
        "2 s",
        "12.3 ms",
        "4.5 µs",
        "0.03 µs",
    ]


def test_output_is_the_same_every_time_escaped_and_needs_no_host():
    html = RooflineExplorer(MACHINES)._repr_html_()
    assert html == RooflineExplorer(MACHINES)._repr_html_()
    assert set(re.findall(r"https?://[\w./]+", html)) <= {"http://www.w3.org/2000/svg"}
    assert "<CPU>" not in html
    assert len(html.encode()) < 36_000
    assert "Bound by arithmetic" in html
    assert html.count("<tr>") == 6  # a heading, and five formats
    assert repr(RooflineExplorer(MACHINES)).startswith("RooflineExplorer(a <CPU>: conv3_2")


@pytest.mark.parametrize(
    ("machines", "options", "message"),
    [
        ({}, {}, "at least one"),
        ({"m": {"bandwidth": 1, "peaks": {}}}, {}, "'m' needs a bandwidth and peaks"),
        ({"m": {"bandwidth": 1, "peaks": {"fp4": 1}}}, {}, r"not \['fp4'\]"),
        ({"m": {"bandwidth": 0, "peaks": {"float32": 1}}}, {}, "bandwidth of 'm' must be above 0"),
        ({"m": {"peaks": {"float32": 1}}}, {}, "bandwidth of 'm' must be above 0, got None"),
        (MACHINES, {"layer": "conv9"}, "layer must be one of conv1_1"),
        (MACHINES, {"machine": "b"}, "machine must be one of a <CPU>, a GPU: 'b'"),
        (MACHINES, {"mode": "tf32"}, "mode must be one of float32, float64: 'tf32'"),
        (MACHINES, {"batch": 3}, "power of two: batch=3"),
        (MACHINES, {"batch": 2048}, "from 1 to 1024"),
    ],
)
def test_bad_arguments_are_one_clear_error(machines, options, message):
    with pytest.raises(ValueError, match=message) as caught:
        RooflineExplorer(machines, **options)
    assert str(caught.value).startswith("RooflineExplorer: ")


def live(page):
    text = page.locator("[role=status]").inner_text()
    return re.sub(r"\s+", " ", text).strip()


def choose(page, label, value):
    page.get_by_label(label, exact=True).last.select_option(value)


@pytest.mark.browser
def test_the_browser_computes_and_writes_what_python_does(open_html):
    page = open_html(RooflineExplorer(MACHINES)._repr_html_())
    for name, batch in itertools.product(LAYERS, (BATCHES[0], 16, BATCHES[-1])):
        choose(page, "layer", name)
        choose(page, "batch", str(batch))
        want = RooflineExplorer(MACHINES, name, batch)
        got = find(page, "roofline-explorer").evaluate("e => e.output")
        for key, value in want.spot()._asdict().items():
            assert got[key] == (value if key == "bound" else pytest.approx(value, rel=1e-12))
        assert live(page) == want._sentence()


@pytest.mark.browser
def test_formats_follow_the_machine(open_html):
    page = open_html(RooflineExplorer(MACHINES, mode="float64")._repr_html_())
    options = "e => [...e.options].map(o => o.text)"
    assert page.get_by_label("format").last.evaluate(options) == ["float32", "float64"]
    choose(page, "machine", "a GPU")
    assert page.get_by_label("format").last.evaluate(options) == ["float32", "tf32", "bfloat16"]
    for mode in GPU["peaks"]:
        choose(page, "format", mode)
        want = RooflineExplorer(MACHINES, machine="a GPU", mode=mode)
        assert live(page) == want._sentence()
        label = page.get_by_role("img").get_attribute("aria-label")
        assert label.startswith(f"Roofline of a GPU, {mode}, from 4 TB/s to ")
    assert sorted(BYTES.values()) == [2, 2, 4, 4, 8]


@pytest.mark.browser
def test_the_point_stands_on_the_roof(open_html):
    page = open_html(RooflineExplorer(MACHINES, RELU)._repr_html_())
    spots = {}
    for name in (RELU, CONV):
        choose(page, "layer", name)
        dot = page.locator("circle.at")
        spots[name] = [float(dot.get_attribute(a)) for a in ("cx", "cy")]
    path = page.locator("path.roof.on").first.get_attribute("d")
    x0, y0, x1, y1 = map(float, re.findall(r"[\d.]+", path)[:4])
    x, y = spots[RELU]  # on the slope
    assert x0 < x < x1
    assert y == pytest.approx(y0 + (y1 - y0) * (x - x0) / (x1 - x0), abs=0.3)
    assert spots[CONV][1] == pytest.approx(y1, abs=0.1)  # on the flat part
    assert spots[CONV][0] > x1
    assert page.locator("path.roof").count() == 4  # two machines in the plot, two in the key


@pytest.mark.browser
def test_it_fits_a_phone_and_axe_finds_nothing(open_html, axe):
    for dark in (False, True):
        page = open_html(RooflineExplorer(MACHINES)._repr_html_(), dark=dark, width=340)
        assert page.evaluate("document.documentElement.scrollWidth") <= 340
        assert axe(page) == []


@pytest.mark.browser
def test_without_scripts_and_by_keyboard(open_html, open_frame):
    figure = RooflineExplorer(MACHINES)._repr_html_()
    page = open_html(figure, java_script_enabled=False)
    assert page.locator("table.dataframe").is_visible()
    page = open_html(f'{figure}<button id="after">after</button>')
    for _ in range(12):
        page.keyboard.press("Tab")
        if page.evaluate("document.activeElement.id") == "after":
            break
    assert page.evaluate("document.activeElement.id") == "after"
    frame = open_frame(figure)
    before = frame.locator(".live").inner_text()
    frame.get_by_label("batch").last.select_option("1")
    assert frame.locator(".live").inner_text() != before


@pytest.mark.browser
def test_names_with_spaces_in_a_row_can_be_chosen(open_html):
    first, *_ = MACHINES.values()
    page = open_html(RooflineExplorer({"A  B": first, "C  D ": first})._repr_html_())
    select = page.get_by_label("machine", exact=True)
    assert select.input_value() == "A  B"
    select.select_option("C  D ")
    assert select.input_value() == "C  D "
