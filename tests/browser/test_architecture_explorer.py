"""ArchitectureExplorer: what Python writes, and what a reader sees and does in Chromium."""

import html
import json
import re
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from browser.conftest import find
from cnnlib.interactive import ArchitectureExplorer
from cnnlib.interactive import _element as element
from cnnlib.pytorch import models
from cnnlib.pytorch.summary import summary


def table(*rows: Any, input_size: tuple[int, ...] = (3, 8, 8)) -> Any:
    keys = ("name", "layer", "shape", "parameters", "macs")
    return SimpleNamespace(
        input_size=input_size,
        rows=[SimpleNamespace(**dict(zip(keys, row, strict=True))) for row in rows],
    )


TINY = table(
    ("conv", "Conv2d 3x3", (4, 6, 6), 112, 3888),
    ("relu", "ReLU", (4, 6, 6), 0, 0),
    ("norm", "BatchNorm2d", (4, 6, 6), 8, 0),
    ("pool", "MaxPool2d 2x2", (4, 3, 3), 0, 0),
    ("drop", "Dropout", (4, 3, 3), 0, 0),
    ("idle", "Linear", (), 20, 0),
    ("fc", "Linear", (10,), 370, 360),
)


def published() -> ArchitectureExplorer:
    with torch.device("meta"):
        nets = {name: models.build(name) for name in ("alexnet", "vgg16", "resnet50")}
    tables = {name: summary(net, (3, 224, 224)) for name, net in nets.items()}
    tables["resnet50"] = tables["resnet50"].stages(2)
    return ArchitectureExplorer(tables, show="vgg16")


FIGURE = published()


def spec_of(figure: Any) -> dict[str, Any]:
    found = re.search(r'data-spec="([^"]*)"', figure._repr_html_())
    assert found is not None
    spec: dict[str, Any] = json.loads(html.unescape(found[1]))
    return spec


def test_rows_that_do_nothing_are_left_out() -> None:
    figure = ArchitectureExplorer({"tiny": TINY})
    assert [layer["n"] for layer in figure.layers["tiny"]] == ["conv", "norm", "pool", "fc"]
    assert figure.totals("tiny") == (490, 4248)
    assert spec_of(figure)["networks"][0]["layers"][2] == {
        "n": "pool", "k": "MaxPool2d 2x2", "s": [4, 3, 3], "p": 0, "m": 0
    }  # fmt: skip


def test_totals_are_the_published_ones() -> None:
    assert FIGURE.totals("alexnet") == (61_100_840, 714_188_480)
    assert FIGURE.totals("vgg16") == (138_357_544, 15_470_264_320)
    assert FIGURE.totals("resnet50") == (25_557_032, 4_089_184_256)
    assert "vgg16: 138,357,544 parameters, 15,470,264,320 multiply" in repr(FIGURE)
    assert len(FIGURE.layers["vgg16"]) == 13 + 5 + 3


def test_html_is_one_element_one_script_and_tables() -> None:
    text = FIGURE._repr_html_()
    assert text == published()._repr_html_()
    assert text.count("<script>") == text.count("</script>") == 1
    assert text.count('class="dataframe"') == 3
    assert "\n\n" not in text
    assert not re.search(r"https?://(?!www\.w3\.org/2000/svg)", text)
    assert len(element.squeeze(element._read(FIGURE.script)).encode()) <= 10_240


def test_text_from_the_caller_is_escaped() -> None:
    odd = table(("<i>a", "</script><b>", (2, 2, 2), 1, 1))
    text = ArchitectureExplorer({"<u>": odd})._repr_html_()
    assert not re.search(r"<(i|u|b)>", text)
    assert text.count("</script>") == 1


@pytest.mark.parametrize(
    ("networks", "options", "message"),
    [
        ({}, {}, "networks must map 1 to 12 names"),
        ([TINY], {}, "networks must map 1 to 12 names"),
        ({str(i): TINY for i in range(13)}, {}, "networks must map 1 to 12 names"),
        ({"a": TINY}, {"show": "b"}, "show must be one of a, got 'b'"),
        ({"a": table()}, {}, "a has 0 layers that count, there is room for 1 to 40"),
        ({"a": table(*[("l", "L", (1,), 1, 1)] * 41)}, {}, "a has 41 layers .* join them"),
        ({"a": table(("l", "L", (2, 2), 1, 1))}, {}, r"a, l: a shape has one number or three"),
    ],
)
def test_bad_arguments(networks: Any, options: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        ArchitectureExplorer(networks, **options)


def live(page: Any) -> str:
    text: str = page.locator(".live").inner_text()
    return text


@pytest.mark.browser
class TestInTheBrowser:
    def open(self, open_html: Any, **options: Any) -> tuple[Any, Any]:
        page = open_html(FIGURE._repr_html_(), **options)
        return page, find(page, "architecture-explorer")

    def test_steps_through_and_stops_at_the_ends(self, open_html: Any) -> None:
        page, figure = self.open(open_html)
        layers = FIGURE.layers["vgg16"]
        page.get_by_role("button", name="Back", exact=True).click()
        for layer in layers:
            got = figure.evaluate("e => e.output")
            assert got == {
                k: layer[v] for k, v in zip(("layer", "shape", "p", "m"), "nspm", strict=True)
            }
            page.get_by_role("button", name="Step", exact=True).click()
        assert figure.evaluate("e => e.output.layer") == layers[-1]["n"]
        assert "21 of 21: classifier.6 (Linear), 4096 → 1000 = 1,000 numbers." in live(page)
        assert "Up to here 100 % of the parameters and 100 % of the multiply" in live(page)

    def test_the_first_layer_in_words(self, open_html: Any) -> None:
        page, _ = self.open(open_html)
        assert "features.0 (Conv2d 3x3), 3×224×224 → 64×224×224 = 3,211,264 numbers" in live(page)
        assert "1,792 parameters of 138,357,544; 86,704,128 multiply-acc" in live(page)
        assert "under 0.01 % of the parameters and 0.56 % of the multiply" in live(page)

    def test_another_network_starts_at_its_first_layer(self, open_html: Any) -> None:
        page, figure = self.open(open_html)
        page.get_by_label("layer, number").fill("9")
        assert figure.evaluate("e => e.output.layer") == FIGURE.layers["vgg16"][8]["n"]
        page.get_by_label("network", exact=True).select_option("alexnet")
        assert figure.evaluate("e => e.output.layer") == "features.0"
        assert page.get_by_label("layer, number").input_value() == "1"
        assert page.get_by_label("layer, number").get_attribute("max") == "12"
        page.get_by_label("layer", exact=True).press("End")
        assert figure.evaluate("e => e.output.layer") == "classifier.6"

    def test_a_box_can_be_clicked_and_is_marked(self, open_html: Any) -> None:
        page, figure = self.open(open_html)
        figure.locator(".art .hit").nth(17).click()
        assert figure.evaluate("e => e.output.layer") == FIGURE.layers["vgg16"][17]["n"]
        assert figure.locator(".art .now").count() == 1
        assert "layer 18 is marked" in figure.locator(".art svg").get_attribute("aria-label")
        assert page.get_by_label("layer, number").input_value() == "18"

    def test_bars_show_the_shares(self, open_html: Any) -> None:
        page, figure = self.open(open_html)
        layers = FIGURE.layers["vgg16"]
        page.get_by_label("layer, number").fill("19")  # the first dense layer
        for key, bar in (("p", 0), ("m", 1)):
            total = sum(layer[key] for layer in layers)
            widths = (
                figure.locator(".share svg")
                .nth(bar)
                .locator("rect:not(.now)")
                .evaluate_all("all => all.map(r => +r.getAttribute('width'))")
            )
            assert widths == pytest.approx([400 * layer[key] / total for layer in layers])
        assert figure.locator(".share b").all_inner_texts() == ["74.27 %", "0.66 %"]

    @pytest.mark.parametrize(("dark", "width"), [(False, 1280), (True, 390)])
    def test_axe(self, open_html: Any, axe: Any, dark: bool, width: int) -> None:
        assert axe(open_html(FIGURE._repr_html_(), dark=dark, width=width)) == []

    @pytest.mark.parametrize("width", [1280, 760, 390])
    def test_no_sideways_scrolling(self, open_html: Any, width: int) -> None:
        page, figure = self.open(open_html, width=width)
        assert figure.locator(".box").is_visible()
        assert page.evaluate("document.documentElement.scrollWidth") <= width

    def test_sandboxed_frame(self, open_frame: Any) -> None:
        frame = open_frame(FIGURE._repr_html_())
        before = frame.locator(".live").inner_text()
        frame.get_by_role("button", name="Step", exact=True).click()
        assert frame.locator(".live").inner_text() != before

    def test_plays_and_begins_again(self, open_html: Any) -> None:
        page, figure = self.open(open_html)
        page.get_by_label("layer, number").fill("21")
        page.clock.install()
        page.get_by_role("button", name="Play").click()
        page.clock.run_for(1200)
        assert figure.evaluate("e => e.output.layer") == "features.0"
        page.get_by_role("button", name="Pause").click()

    def test_less_motion(self, open_html: Any) -> None:
        page, figure = self.open(open_html, reduced_motion="reduce", forced_colors="active")
        assert figure.locator(".box").is_visible()
        assert page.get_by_role("button", name="Play").count() == 0
