"""Pooling, softmax, back-propagation and learning-rate figures in Chromium agree with Python."""

from typing import Any

import numpy as np
import pytest

from browser.conftest import find
from cnnlib.interactive import BackpropStepper, LearningRateExplorer, PoolStepper, SoftmaxExplorer
from cnnlib.interactive.backprop_stepper import GRAPHS
from cnnlib.interactive.learning_rate_explorer import SURFACES

pytestmark = pytest.mark.browser

IMAGE = np.random.default_rng(0).integers(0, 5, (6, 7)).astype(float)
FIGURES: dict[str, Any] = {
    "pool-stepper": PoolStepper(IMAGE, 3, stride=2, padding=1),
    "softmax-explorer": SoftmaxExplorer([2.0, 1.0, 0.1], 0, ["cat", "dog", "sign <1>"]),
    "backprop-stepper": BackpropStepper(),
    "learning-rate-explorer": LearningRateExplorer("bowl", lr=0.15),
}
ALL = "".join(f"<section>{f._repr_html_()}</section>" for f in FIGURES.values())


def output(page: Any, name: str) -> Any:
    return find(page, name).evaluate("e => e.output")


def live(page: Any) -> str:
    text: str = page.locator(".live").inner_text()
    return text.replace("\u00a0", " ")


def click(page: Any, name: str, times: int = 1) -> None:
    for _ in range(times):
        page.get_by_role("button", name=name, exact=True).click()


@pytest.mark.parametrize("name", FIGURES)
@pytest.mark.parametrize(
    ("dark", "width"), [(False, 1280), (True, 1280), (False, 390), (True, 390)]
)
def test_axe_and_width(open_html: Any, axe: Any, name: str, dark: bool, width: int) -> None:
    page = open_html(FIGURES[name]._repr_html_(), dark=dark, width=width)
    assert find(page, name).locator(".box").is_visible()
    assert page.locator("table.dataframe").first.is_hidden()
    if name == "backprop-stepper":
        click(page, "All backward")
    assert axe(page) == []
    assert page.evaluate("document.documentElement.scrollWidth") <= width


@pytest.mark.parametrize("name", FIGURES)
def test_sandboxed_frame(open_frame: Any, name: str) -> None:
    frame = open_frame(FIGURES[name]._repr_html_())
    before = frame.locator(".live").inner_text()
    if name == "softmax-explorer":
        frame.get_by_label("logit of dog, slider").press("ArrowRight")
        frame.get_by_label("dog is the true class").check()
    else:
        frame.get_by_role("button", name="Step").press("Enter")
    assert frame.locator(".live").inner_text() != before


@pytest.mark.parametrize("name", FIGURES)
def test_forced_colours_and_less_motion(open_html: Any, name: str) -> None:
    page = open_html(FIGURES[name]._repr_html_(), forced_colors="active", reduced_motion="reduce")
    assert find(page, name).locator(".box").is_visible()
    assert page.get_by_role("button", name="Play").count() == 0


def test_all_on_one_page_twice(open_html: Any) -> None:
    page = open_html(ALL + ALL)
    assert page.locator(".box").count() == 2 * len(FIGURES)


class TestPoolStepper:
    @pytest.mark.parametrize(
        ("kernel", "stride", "padding"), [(2, None, 0), (3, 2, 1), ((3, 2), (1, 3), (1, 0))]
    )
    def test_numbers_equal_pythons(
        self, open_html: Any, kernel: Any, stride: Any, padding: Any
    ) -> None:
        made = {
            mode: PoolStepper(IMAGE, kernel, stride=stride, padding=padding, mode=mode)
            for mode in ("max", "average")
        }
        page = open_html(made["max"]._repr_html_())
        for label, mode in (("maximum", "max"), ("average", "average")):
            page.get_by_label(label).check()
            got = output(page, "pool-stepper")
            np.testing.assert_allclose(got["y"], made[mode].forward(), rtol=1e-14)
            np.testing.assert_allclose(got["dx"], made[mode].backward(), atol=1e-14)

    def test_keyboard_mouse_and_text(self, open_html: Any) -> None:
        x = np.arange(1, 17).reshape(4, 4)
        page = open_html(PoolStepper(x, upstream=[[1, 2], [3, 4]])._repr_html_())
        assert "y[0, 0] = max(1, 2, 5, 6) = 6" in live(page)
        page.locator("[role=gridcell][tabindex='0']").press("ArrowRight")
        assert "y[0, 1] = max(3, 4, 7, 8) = 8" in live(page)
        assert "dy[0, 1] = 2 goes whole to x[1, 3], the maximum" in live(page)
        click(page, "Step")
        assert "y[1, 0]" in live(page)
        page.locator("[role=gridcell]").nth(3).click()
        assert "y[1, 1] = max(11, 12, 15, 16) = 16" in live(page)
        page.get_by_label("average").check()
        assert "(11 + 12 + 15 + 16) / 4 = 13.5" in live(page)
        assert "4 / 4 = 1 for each of the 4 cells" in live(page)

    def test_editing_the_upstream_and_ties(self, open_html: Any) -> None:
        page = open_html(PoolStepper(np.ones((2, 2)))._repr_html_())
        page.get_by_label("dy, row 0, column 0").fill("-2.5")
        assert output(page, "pool-stepper")["dx"] == [[-2.5, 0], [0, 0]]
        assert "the first of 4 equal maxima" in live(page)

    def test_shifting_shows_the_invariance(self, open_html: Any) -> None:
        x = np.zeros((4, 4))
        x[0, 0] = 9
        page = open_html(PoolStepper(x)._repr_html_())
        note = page.locator(".note")
        click(page, "shift the input one pixel right")
        assert "2 of 16 inputs changed, 0 of 4 outputs changed" in note.inner_text()
        click(page, "shift the input one pixel right")
        assert "2 of 16 inputs changed, 2 of 4 outputs changed" in note.inner_text()
        click(page, "shift the input one pixel down", 5)
        assert output(page, "pool-stepper")["y"] == [[0, 9], [0, 0]]
        click(page, "Reset")
        assert output(page, "pool-stepper")["y"] == [[9, 0], [0, 0]]


class TestSoftmaxExplorer:
    def check(self, page: Any, logits: Any, label: int, temperature: float = 1.0) -> None:
        want = SoftmaxExplorer(logits, label, temperature=temperature)
        got = output(page, "softmax-explorer")
        np.testing.assert_allclose(got["p"], want.probabilities(), atol=1e-12)
        np.testing.assert_allclose(got["grad"], want.gradient(), atol=1e-12)
        assert got["loss"] == pytest.approx(want.loss(), abs=1e-12)

    def test_numbers_equal_pythons(self, open_html: Any) -> None:
        page = open_html(FIGURES["softmax-explorer"]._repr_html_())
        self.check(page, [2, 1, 0.1], 0)
        assert "p(cat) = 1.0000 / 1.5174 = 0.6590. Loss = −ln 0.6590 = 0.4170 nats" in live(page)
        page.get_by_label("logit of dog", exact=True).fill("-3.25")
        self.check(page, [2, -3.25, 0.1], 0)
        slider = page.get_by_label("logit of cat, slider")
        slider.press("ArrowRight")
        self.check(page, [2.1, -3.25, 0.1], 0)
        page.get_by_label("sign <1> is the true class").check()
        self.check(page, [2.1, -3.25, 0.1], 2)
        page.get_by_label("temperature T, number").fill("2.5")
        self.check(page, [2.1, -3.25, 0.1], 2, 2.5)
        click(page, "Reset")
        self.check(page, [2, 1, 0.1], 0)

    def test_adding_100_changes_nothing(self, open_html: Any) -> None:
        page = open_html(FIGURES["softmax-explorer"]._repr_html_())
        before = page.locator("output").all_inner_texts()
        click(page, "Add 100 to every logit", 8)
        assert page.get_by_label("logit of cat", exact=True).input_value() == "802"
        assert page.locator("output").all_inner_texts() == before
        assert "overflow to ∞" in page.locator(".note").inner_text()
        page.get_by_label("logit of cat, slider").press("ArrowRight")
        self.check(page, [2.1, 1, 0.1], 0)

    def test_bad_number_is_marked_and_put_back(self, open_html: Any) -> None:
        page = open_html(FIGURES["softmax-explorer"]._repr_html_())
        field = page.get_by_label("logit of dog", exact=True)
        field.fill("")
        assert field.get_attribute("aria-invalid") == "true"
        field.blur()
        assert field.input_value() == "1"
        assert field.get_attribute("aria-invalid") is None


class TestBackpropStepper:
    @pytest.mark.parametrize("graph", GRAPHS)
    def test_numbers_equal_pythons(self, open_html: Any, graph: str) -> None:
        page = open_html(BackpropStepper()._repr_html_())
        page.get_by_label("graph", exact=True).select_option(GRAPHS[graph].title)
        got, want = output(page, "backprop-stepper"), BackpropStepper(graph)
        assert got["values"] == pytest.approx(want.values(), abs=1e-14)
        assert got["grads"] == pytest.approx(want.gradients(), abs=1e-14)

    def test_forward_then_backward(self, open_html: Any) -> None:
        page = open_html(BackpropStepper()._repr_html_())
        picture = page.get_by_role("img")
        assert "p = " not in picture.get_attribute("aria-label")
        click(page, "Step")
        assert live(page) == "Forward 1 of 6: p = w₁ · x₁ = 2 · 1 = 2."
        click(page, "Step", 5)
        assert live(page) == "Forward 6 of 6: L = d² = (−1)² = 1. Now backward."
        click(page, "Step", 2)
        assert "upstream ∂L/∂L = 1: ∂L/∂d = 1 × 2d = 1 × (−2) = −2." in live(page)
        page.get_by_role("button", name="Step", exact=True).focus()
        for _ in range(5):
            page.keyboard.press("Enter")
        assert "∂L/∂w₁ = (−2) × x₁ = (−2) × 1 = −2" in live(page)
        assert "w₁ = 2, gradient −2" in picture.get_attribute("aria-label")
        assert page.get_by_role("button", name="Step", exact=True).is_disabled()
        click(page, "Back")
        assert live(page).startswith("Backward 5 of 6")
        click(page, "All forward")
        assert live(page).startswith("Forward 6 of 6")

    def test_inputs_and_the_chain_rule(self, open_html: Any) -> None:
        page = open_html(BackpropStepper()._repr_html_())
        chain = page.locator(".chain")
        assert (
            chain.inner_text() == "∂L/∂w₁ = 2d · 1 · [z > 0] · 1 · x₁ = (−2) × 1 × 1 × 1 × 1 = −2"
        )
        page.get_by_label("x₂", exact=True).fill("4.5")
        want = BackpropStepper(values={"x2": 4.5})
        got = output(page, "backprop-stepper")
        assert got["grads"] == pytest.approx(want.gradients(), abs=1e-14)
        page.get_by_label("chain rule for").select_option("w₂")
        assert chain.inner_text().startswith("∂L/∂w₂ = 2d")
        click(page, "Reset")
        assert page.get_by_label("x₂", exact=True).input_value() == "3"

    def test_a_fork_adds_its_paths(self, open_html: Any) -> None:
        page = open_html(BackpropStepper("fork")._repr_html_())
        click(page, "All backward")
        assert "∂f/∂x gains 1 × 1 = 1, together 6" in live(page)
        assert page.locator(".chain").inner_text() == "∂f/∂x = m · 1 + s · 1 = 1 × 1 + 5 × 1 = 6"

    def test_the_graph_turns_on_a_phone_and_stays_readable(self, open_html: Any) -> None:
        page = open_html(BackpropStepper()._repr_html_(), width=390)
        click(page, "All backward")
        page.wait_for_function(
            "document.querySelector('main').firstElementChild.nextElementSibling"
            ".shadowRoot.querySelector('svg').viewBox.baseVal.width < 420"
        )
        box = page.get_by_role("img").bounding_box()
        assert box["height"] > box["width"]
        texts = page.locator("svg text").evaluate_all(
            "all => all.filter(t => t.textContent).map(t => t.getBoundingClientRect())"
            ".map(b => [b.left, b.right, b.height])"
        )
        assert min(t[0] for t in texts) >= 0
        assert max(t[1] for t in texts) <= 390
        assert min(t[2] for t in texts) >= 12


class TestLearningRateExplorer:
    @pytest.mark.parametrize("momentum", [0.0, 0.9])
    @pytest.mark.parametrize("surface", SURFACES)
    def test_path_loss_and_verdict_equal_pythons(
        self, open_html: Any, surface: str, momentum: float
    ) -> None:
        page = open_html(LearningRateExplorer()._repr_html_())
        page.get_by_label("loss", exact=True).select_option(surface)
        page.get_by_label("momentum, number").fill(str(momentum))
        for lr in (None, 0.005, 0.1, 0.2, 0.21, 0.9):
            if lr is not None:
                page.get_by_label("learning rate, number").fill(str(lr))
            want = LearningRateExplorer(surface, lr=lr, momentum=momentum).run()
            got = output(page, "learning-rate-explorer")
            assert got["verdict"] == want.verdict
            ends = np.isfinite(want.loss)
            np.testing.assert_allclose(
                np.array(got["ws"], float)[ends], want.path[ends], rtol=1e-9, atol=1e-12
            )
            assert want.verdict in page.locator(".badge").inner_text()

    def test_steps_by_keyboard_and_mouse(self, open_html: Any) -> None:
        page = open_html(LearningRateExplorer(start=2)._repr_html_())
        page.get_by_label("step, number").fill("0")
        assert live(page) == "Start: w = 2; loss 4; gradient 4."
        click(page, "Step")
        assert live(page) == "Step 1: w = 2 − 0.1 × 4 = 1.6. Loss 2.56."
        page.get_by_label("step", exact=True).press("ArrowRight")
        assert live(page) == "Step 2: w = 1.6 − 0.1 × 3.2 = 1.28. Loss 1.638."
        click(page, "Back", 3)
        assert live(page).startswith("Start")
        page.get_by_label("momentum, number").fill("0.5")
        click(page, "Step", 2)
        assert "velocity 0.5 × 4 + 3.2 = 5.2; w = 1.6 − 0.1 × 5.2 = 1.08" in live(page)

    def test_start_by_number_and_by_touch(self, open_html: Any) -> None:
        page = open_html(LearningRateExplorer("bowl")._repr_html_(), has_touch=True, width=390)
        page.get_by_label("start u").fill("-1")
        page.get_by_label("start v").fill("0.5")
        want = LearningRateExplorer("bowl", start=(-1, 0.5)).run()
        got = output(page, "learning-rate-explorer")
        np.testing.assert_allclose(got["ws"], want.path, rtol=1e-12)
        plot = page.get_by_role("img").first
        plot.scroll_into_view_if_needed()
        box = plot.bounding_box()
        x = box["x"] + (46 + (360 - 46 - 12) / 2) / 360 * box["width"]
        page.touchscreen.tap(x, box["y"] + (22 + (250 - 22 - 20) / 2) / 250 * box["height"])
        assert np.abs(output(page, "learning-rate-explorer")["ws"][0]).max() <= 0.05

    def test_overflow_is_drawn_without_an_error(self, open_html: Any) -> None:
        page = open_html(LearningRateExplorer("two wells", lr=1.2, steps=60)._repr_html_())
        page.get_by_label("step, number").fill("60")
        assert page.locator(".badge").inner_text().startswith("diverges")
        page.get_by_label("loss", exact=True).select_option("quadratic")
        assert page.locator(".badge").inner_text().startswith("converges")


def test_one_live_region_and_every_number_has_a_name(open_html: Any) -> None:
    """Twelve classes would otherwise speak two dozen times at each step of a slider."""
    figure = SoftmaxExplorer([float(k) for k in range(12)], 0)
    page = open_html(figure._repr_html_())
    live, names = find(page, "softmax-explorer").evaluate(
        """e => {
          const all = [...e.shadowRoot.querySelectorAll("*")];
          const role = n => n.matches("output, [role=status]") ? "polite" : "off";
          const speaks = n => (n.getAttribute("aria-live") ?? role(n)) !== "off";
          const outputs = all.filter(n => n.matches("output"));
          return [all.filter(speaks).length, outputs.map(n => n.getAttribute("aria-label"))];
        }"""
    )
    assert live == 1
    assert len(names) == 24
    assert all(names)
    assert len(set(names)) == 24
