"""Four interactive figures in Chromium: they step, follow the keyboard, and agree with NumPy."""

from typing import Any

import numpy as np
import pytest

from browser.conftest import find
from cnnlib.interactive import ConvStepper, KernelOnPhoto, MultiChannelConv, OutputSizeExplorer

pytestmark = pytest.mark.browser

RNG = np.random.default_rng(0)
NINE = np.arange(1, 10).reshape(3, 3)
PHOTO = RNG.integers(0, 256, (40, 60), dtype=np.uint8)
FIGURES: dict[str, Any] = {
    "conv-stepper": ConvStepper(RNG.normal(size=(6, 7)), RNG.normal(size=(3, 3)), padding=1),
    "kernel-on-photo": KernelOnPhoto(PHOTO, alt="noise"),
    "output-size-explorer": OutputSizeExplorer(28, 5),
    "multi-channel-conv": MultiChannelConv(
        RNG.normal(size=(3, 5, 6)), RNG.normal(size=(2, 3, 3, 2)), RNG.normal(size=2), padding=1
    ),
}
ALL = "".join(f"<section>{f._repr_html_()}</section>" for f in FIGURES.values())


def output(figure: Any) -> Any:
    return figure.evaluate("e => e.output")


def press(page: Any, *keys: str) -> None:
    for key in keys:
        page.keyboard.press(key)


@pytest.mark.parametrize("name", ["conv-stepper", "kernel-on-photo", "multi-channel-conv"])
def test_numbers_equal_pythons_to_the_bit(open_html: Any, name: str) -> None:
    got = output(find(open_html(ALL), name))
    figure = FIGURES[name]
    if name == "kernel-on-photo":
        assert np.array_equal(got, figure.response())
    else:
        want = figure.output[0] if name == "multi-channel-conv" else figure.output
        assert np.array_equal(got, want)


@pytest.mark.parametrize(("dark", "width"), [(False, 1280), (True, 390)])
def test_axe(open_html: Any, axe: Any, dark: bool, width: int) -> None:
    assert axe(open_html(ALL, dark=dark, width=width)) == []


@pytest.mark.parametrize("name", FIGURES)
@pytest.mark.parametrize("width", [1280, 760, 390])
def test_no_sideways_scrolling(open_html: Any, name: str, width: int) -> None:
    page = open_html(FIGURES[name]._repr_html_(), width=width)
    assert find(page, name).locator(".box").is_visible()
    assert page.evaluate("document.documentElement.scrollWidth") <= width


def test_all_figures_share_one_page_and_the_code_runs_once(open_html: Any) -> None:
    page = open_html(ALL + ALL)
    assert page.locator(".box").count() == 2 * len(FIGURES)
    shared = "Object.keys(globalThis).filter(k => k.startsWith('cnnlib_')).length"
    assert page.evaluate(shared) == 1
    assert page.evaluate("document.documentElement.scrollWidth") <= 1280


@pytest.mark.parametrize("name", FIGURES)
def test_sandboxed_frame(open_frame: Any, name: str) -> None:
    frame = open_frame(FIGURES[name]._repr_html_())
    assert frame.locator(".box").is_visible()
    before = frame.locator(".live").inner_text()
    if name == "output-size-explorer":
        frame.get_by_label("stride s, number").fill("2")
    elif name == "kernel-on-photo":
        frame.get_by_role("application").press("ArrowLeft")
    else:
        frame.locator("[role=gridcell][tabindex='0']").press("ArrowRight")
    assert frame.locator(".live").inner_text() != before


@pytest.mark.parametrize("name", FIGURES)
def test_forced_colours_and_less_motion(open_html: Any, name: str) -> None:
    page = open_html(FIGURES[name]._repr_html_(), forced_colors="active", reduced_motion="reduce")
    assert find(page, name).locator(".box").is_visible()
    assert page.get_by_role("button", name="Play").count() == 0


def test_figure_survives_being_moved(open_html: Any) -> None:
    page = open_html(FIGURES["conv-stepper"]._repr_html_())
    figure = find(page, "conv-stepper")
    page.get_by_role("button", name="Play").click()
    figure.evaluate("e => { const m = e.parentNode; e.remove(); m.append(e); }")
    assert page.get_by_role("button", name="Play").is_visible()
    assert figure.evaluate("e => e.timer") == 0


def test_plain_keys_stay_inside_and_shortcuts_pass(open_html: Any) -> None:
    page = open_html(FIGURES["conv-stepper"]._repr_html_())
    page.evaluate("window.seen = []; document.addEventListener('keydown', e => seen.push(e.key))")
    page.locator("[role=gridcell][tabindex='0']").focus()
    press(page, "ArrowRight", "a", "Control+k")
    assert page.evaluate("seen") == ["Control", "k"] or page.evaluate("seen") == ["k"]


class TestConvStepper:
    def open(self, open_html: Any, *args: Any, **kwargs: Any) -> tuple[Any, Any, Any]:
        page = open_html(ConvStepper(*args, **kwargs)._repr_html_())
        figure = find(page, "conv-stepper")
        return page, figure, figure.locator(".live")

    def test_285_and_165(self, open_html: Any) -> None:
        page, figure, live = self.open(open_html, NINE, NINE)
        assert live.inner_text().split()[-1] == "285"
        page.get_by_label("convolution (kernel turned)").check()
        assert output(figure) == [[165]]
        assert live.inner_text().split()[-1] == "165"
        assert "1×9" in live.inner_text()
        assert page.get_by_text("Turned by 180°").is_visible()

    def test_arrow_keys_walk_the_output(self, open_html: Any) -> None:
        x = np.arange(25).reshape(5, 5)
        page, _, live = self.open(open_html, x, NINE)
        page.locator("[role=gridcell][tabindex='0']").focus()
        press(page, "ArrowRight", "ArrowDown", "ArrowDown", "ArrowDown")
        assert live.inner_text().startswith("out[2, 1]")
        assert live.inner_text().split()[-1] == str((x[2:5, 1:4] * NINE).sum())
        press(page, "Home", "PageUp", "End")
        assert live.inner_text().startswith("out[0, 2]")
        assert page.locator("[aria-selected=true]").count() == 1
        assert live.get_attribute("aria-live") == "polite"

    def test_step_back_and_hover(self, open_html: Any) -> None:
        page, _, live = self.open(open_html, np.ones((4, 4)), np.ones((2, 2)), stride=2)
        page.get_by_role("button", name="Step").click()
        assert live.inner_text().startswith("out[0, 1]")
        page.get_by_role("button", name="Back").click()
        page.get_by_role("button", name="Back").click()
        assert live.inner_text().startswith("out[1, 1]")
        page.locator("[role=gridcell]").nth(2).hover()
        assert live.inner_text().startswith("out[1, 0]")

    def test_stride_padding_and_dilation(self, open_html: Any) -> None:
        x, k = RNG.normal(size=(7, 8)), RNG.normal(size=(2, 3))
        figure = ConvStepper(x, k, stride=2, padding=2, dilation=3)
        page = open_html(figure._repr_html_())
        assert np.array_equal(output(find(page, "conv-stepper")), figure.output)
        assert page.locator("td.in").count() == 6

    def test_editing_the_kernel(self, open_html: Any) -> None:
        page, figure, live = self.open(open_html, NINE, NINE)
        cell = page.get_by_label("kernel, row 1, column 2")
        cell.fill("-2.5")
        assert output(figure) == [[285 - 6 * 6 + 6 * -2.5]]
        assert "6×(−2.5)" in live.inner_text()
        assert page.get_by_label("kernel", exact=True).input_value() == "your own"
        cell.fill("")
        assert cell.get_attribute("aria-invalid") == "true"
        assert output(figure) == [[234]]
        cell.blur()
        assert cell.input_value() == "-2.5"
        assert cell.get_attribute("aria-invalid") is None

    def test_presets_are_exact(self, open_html: Any) -> None:
        page, figure, _ = self.open(open_html, NINE, NINE)
        page.get_by_label("kernel", exact=True).select_option("box blur")
        want = ConvStepper(NINE, np.full((3, 3), 1 / 9)).output
        assert np.array_equal(output(figure), want)
        page.get_by_label("kernel", exact=True).select_option("as given")
        assert output(figure) == [[285]]

    def test_predict_then_reveal(self, open_html: Any, axe: Any) -> None:
        page, _, live = self.open(open_html, NINE, NINE)
        page.get_by_label("predict first").check()
        assert page.locator("[role=gridcell]").all_inner_texts() == ["?"]
        assert "285" not in live.inner_text()
        guess = page.get_by_label("your prediction of this output cell")
        guess.fill("231")
        guess.press("Enter")
        assert "Not 231. Row by row, the products add up to 14, 77, 194." in live.inner_text()
        assert axe(page) == []
        guess.fill("285")
        page.get_by_role("button", name="Check").click()
        assert "Right" in live.inner_text()
        assert "285" in live.inner_text()
        assert not guess.is_visible()
        page.get_by_label("convolution (kernel turned)").check()
        assert page.locator("[role=gridcell]").all_inner_texts() == ["?"]
        page.get_by_role("button", name="Reveal", exact=True).click()
        assert page.locator("[role=gridcell]").all_inner_texts() == ["165"]


class TestKernelOnPhoto:
    def test_keyboard_reads_window_and_sum(self, open_html: Any) -> None:
        page = open_html(FIGURES["kernel-on-photo"]._repr_html_())
        live = page.locator(".live")
        page.get_by_role("application").focus()
        press(page, "Home", "PageUp", "ArrowRight", "Shift+ArrowDown")
        total = FIGURES["kernel-on-photo"].response()[10, 1]
        assert live.inner_text().startswith("row 11, column 2")
        assert live.inner_text().split("=")[-1].strip() == f"{total:.0f}".replace("-", "−")
        assert "row 11, column 2" in page.get_by_role("application").get_attribute("aria-label")

    def test_pointer_and_touch(self, open_html: Any) -> None:
        page = open_html(FIGURES["kernel-on-photo"]._repr_html_(), has_touch=True, width=390)
        live, photo = page.locator(".live"), page.locator("canvas").first
        box = photo.bounding_box()
        x, y = box["x"] + 30.5 / 60 * box["width"], box["y"] + 20.5 / 40 * box["height"]
        page.touchscreen.tap(x, y)
        assert live.inner_text().startswith("row 20, column 30")
        page.mouse.move(x + box["width"] / 6, y)
        assert live.inner_text().startswith("row 20, column 40")
        assert live.get_attribute("aria-live") == "off"

    def test_every_preset_equals_numpy(self, open_html: Any) -> None:
        figure = FIGURES["kernel-on-photo"]
        page = open_html(figure._repr_html_())
        for name, kernel in figure.kernels.items():
            page.get_by_label("kernel", exact=True).select_option(name)
            got = output(find(page, "kernel-on-photo"))
            assert np.array_equal(got, figure.response(kernel)), name

    def test_pixels_drawn(self, open_html: Any) -> None:
        figure = KernelOnPhoto(PHOTO, {"identity": [[0, 0, 0], [0, 1, 0], [0, 0, 0]]})
        page = open_html(figure._repr_html_())
        read = """e => {
            const c = new OffscreenCanvas(e.width, e.height), to = {willReadFrequently: true};
            c.getContext('2d', to).drawImage(e, 0, 0);
            return [...c.getContext('2d', to).getImageData(0, 0, e.width, e.height).data];
        }"""
        for canvas, inner in ((0, False), (1, True)):
            data = page.locator("canvas").nth(canvas).evaluate(read)
            rgba = np.reshape(data, (40, 60, 4))
            cut = (slice(1, -1),) * 2 if inner else ()
            assert np.array_equal(rgba[cut][..., 0], PHOTO[cut])
        assert rgba[0].max() == 0
        page.get_by_label("blue +, orange −").check()
        rgba = np.reshape(page.locator("canvas").nth(1).evaluate(read), (40, 60, 4))
        i, j = np.argwhere(PHOTO[1:-1, 1:-1] > 200)[0] + 1
        assert rgba[i, j, 2] > rgba[i, j, 0]

    def test_editing_the_kernel(self, open_html: Any) -> None:
        page = open_html(FIGURES["kernel-on-photo"]._repr_html_())
        page.get_by_label("kernel, row 0, column 0").fill("3")
        kernel = FIGURES["kernel-on-photo"].kernel.copy()
        kernel[0, 0] = 3
        got = output(find(page, "kernel-on-photo"))
        assert np.array_equal(got, FIGURES["kernel-on-photo"].response(kernel))


class TestOutputSizeExplorer:
    def test_formula_for_many_settings(self, open_html: Any) -> None:
        page = open_html(OutputSizeExplorer()._repr_html_())
        figure, live = find(page, "output-size-explorer"), page.locator(".live")
        names = ("input n", "kernel k", "stride s", "padding p", "dilation d")
        for values in [(28, 5, 1, 0, 1), (11, 3, 3, 1, 2), (64, 7, 2, 3, 1), (1, 1, 8, 0, 1)]:
            for name, value in zip(names, values, strict=True):
                page.get_by_label(f"{name}, number").fill(str(value))
            want = OutputSizeExplorer(*values).output_size
            assert output(figure) == want
            assert f"+ 1 = {want}" in live.inner_text()
            assert page.locator(".axis .res").count() == want

    def test_kernel_that_does_not_fit(self, open_html: Any, axe: Any) -> None:
        page = open_html(OutputSizeExplorer(5, 4, 1, 0, 2)._repr_html_())
        assert "The kernel does not fit" in page.locator(".live").inner_text()
        assert "2·(4 − 1) + 1 = 7" in page.locator(".live").inner_text()
        assert page.get_by_label("show window", exact=True).is_disabled()
        assert axe(page) == []

    def test_leftover_pixels(self, open_html: Any) -> None:
        page = open_html(OutputSizeExplorer(10, 3, 4)._repr_html_())
        text = page.locator(".live").inner_text()
        assert "Left over at the end: 3. Pixels that no window reads: 4." in text
        assert page.locator(".axis path.un").count() == 4

    def test_same_padding(self, open_html: Any) -> None:
        page = open_html(OutputSizeExplorer(28, 5)._repr_html_())
        page.get_by_role("button", name="p = 2 keeps 28").click()
        assert output(find(page, "output-size-explorer")) == 28
        assert page.get_by_label("padding p", exact=True).input_value() == "2"
        page.get_by_label("kernel k, number").fill("4")
        assert "odd number" in page.locator(".live").inner_text()

    def test_slider_by_keyboard_and_wrong_number(self, open_html: Any) -> None:
        page = open_html(OutputSizeExplorer(28, 5)._repr_html_())
        figure = find(page, "output-size-explorer")
        page.get_by_label("stride s", exact=True).press("ArrowRight")
        assert output(figure) == 12
        field = page.get_by_label("stride s, number")
        field.fill("99")
        assert field.get_attribute("aria-invalid") == "true"
        field.blur()
        assert field.input_value() == "2"
        page.get_by_label("show window", exact=True).press("End")
        assert "Output 11 reads positions 22, 23, 24, 25, 26." in page.locator(".live").inner_text()


class TestMultiChannelConv:
    def test_channels_and_positions(self, open_html: Any) -> None:
        figure = FIGURES["multi-channel-conv"]
        page = open_html(figure._repr_html_())
        page.get_by_label("output channel").select_option("1")
        assert np.array_equal(output(find(page, "multi-channel-conv")), figure.output[1])
        page.locator("[role=gridcell][tabindex='0']").focus()
        press(page, "ArrowDown", "ArrowRight")
        text = page.locator(".live").inner_text()
        assert text.startswith("out[1, 1, 1]")
        total = float(text.split()[-1].replace("−", "-"))
        assert total == pytest.approx(figure.output[1, 1, 1], abs=5e-4)
        padded = np.pad(figure.x, ((0, 0), (1, 1), (1, 1)))
        sums = (padded[:, 1:4, 1:3] * figure.weight[1]).sum(axis=(1, 2))
        shown = [float(t[1:].replace("−", "-")) for t in page.locator(".part").all_inner_texts()]
        np.testing.assert_allclose(shown, sums, atol=5e-4)

    def test_editing_a_weight_stays_with_its_filter(self, open_html: Any) -> None:
        x, w = np.ones((2, 3, 3)), np.ones((2, 2, 2, 2))
        page = open_html(MultiChannelConv(x, w)._repr_html_())
        figure = find(page, "multi-channel-conv")
        page.get_by_label("filter, channel 1, row 0, column 0").fill("5")
        assert output(figure) == [[12, 12], [12, 12]]
        page.get_by_label("output channel").select_option("1")
        assert output(figure) == [[8, 8], [8, 8]]
        page.get_by_label("output channel").select_option("0")
        assert output(figure) == [[12, 12], [12, 12]]
        assert "bias" not in page.locator(".live").inner_text()
