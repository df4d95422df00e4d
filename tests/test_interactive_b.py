"""Pooling, softmax, back-propagation and learning-rate figures as Python objects."""

import html
import json
import re
from typing import Any

import numpy as np
import pytest

from cnnlib import ops
from cnnlib.gradcheck import numerical_gradient
from cnnlib.interactive import (
    BackpropStepper,
    LearningRateExplorer,
    PoolStepper,
    SoftmaxExplorer,
)
from cnnlib.interactive.backprop_stepper import GRAPHS
from cnnlib.interactive.learning_rate_explorer import SURFACES

RNG = np.random.default_rng(0)
FIGURES: dict[str, Any] = {
    "pool": PoolStepper(RNG.integers(0, 4, (6, 5)), 3, stride=2, padding=1),
    "softmax": SoftmaxExplorer([2.0, 1.0, 0.1], 1, ['a "b"', "<i>c</i>", "d & e"]),
    "backprop": BackpropStepper("sigmoid", {"w1": 0.25}),
    "rate": LearningRateExplorer("bowl", lr=0.18, momentum=0.5),
}


@pytest.mark.parametrize("name", FIGURES)
def test_html_is_deterministic_escaped_and_small(name: str) -> None:
    figure = FIGURES[name]
    text = figure._repr_html_()
    assert text == figure._repr_html_()
    assert "<i>c" not in text
    assert 'class="dataframe"' in text
    found = re.search(r'data-spec="([^"]*)"', text)
    assert found is not None
    assert json.loads(html.unescape(found[1]))["title"] == figure.title
    assert "http" not in re.sub(r"http://www\.w3\.org/2000/svg", "", text)
    assert len(text.encode()) < 36_000
    assert repr(figure) == repr(figure)
    assert type(figure).__name__ in repr(figure)


def test_the_worked_pooling_example() -> None:
    figure = PoolStepper(np.arange(1, 17).reshape(4, 4))
    assert figure.forward().tolist() == [[6, 8], [14, 16]]
    assert "y[0, 0] = max(1, 2, 5, 6) = 6" in figure._repr_html_()
    mean = PoolStepper(np.arange(1, 17).reshape(4, 4), mode="average")
    assert mean.forward().tolist() == [[3.5, 5.5], [11.5, 13.5]]
    assert "(1 + 2 + 5 + 6) / 4 = 3.5" in mean._repr_html_()


@pytest.mark.parametrize("mode", ["max", "average"])
@pytest.mark.parametrize(
    ("kernel", "stride", "padding"), [(2, None, 0), (3, 2, 1), ((3, 2), (1, 3), (1, 0)), (2, 3, 1)]
)
def test_pooling_equals_the_ops(mode: str, kernel: Any, stride: Any, padding: Any) -> None:
    x = np.random.default_rng(1).integers(-2, 3, (7, 8)).astype(float)  # many ties
    figure = PoolStepper(x, kernel, stride=stride, padding=padding, mode=mode)
    forward = ops.max_pool2d_forward if mode == "max" else ops.avg_pool2d_forward
    backward = ops.max_pool2d_backward if mode == "max" else ops.avg_pool2d_backward
    y, cache = forward(x[None, None], kernel, stride=stride, padding=padding)
    np.testing.assert_allclose(figure.forward(), y[0, 0], rtol=1e-14)
    dx = backward(figure.upstream[None, None], cache)
    np.testing.assert_allclose(figure.backward(), dx[0, 0], atol=1e-14)


def test_the_first_of_equal_maxima_gets_the_gradient() -> None:
    figure = PoolStepper(np.zeros((2, 2)), upstream=[[3]])
    assert figure.backward().tolist() == [[3, 0], [0, 0]]


def test_softmax_loss_and_gradient_equal_the_ops() -> None:
    figure = SoftmaxExplorer([2.0, 1.0, 0.1], 1)
    loss, cache = ops.cross_entropy_forward(figure.logits[None], np.array([1]))
    assert figure.loss() == pytest.approx(float(loss), abs=1e-14)
    np.testing.assert_allclose(figure.probabilities(), ops.softmax(figure.logits), rtol=1e-14)
    np.testing.assert_allclose(figure.gradient(), ops.cross_entropy_backward(cache)[0], atol=1e-14)
    moved = SoftmaxExplorer([-31.0, -32.0, -32.9], 1)
    np.testing.assert_allclose(moved.gradient(), figure.gradient(), atol=1e-12)
    assert "−ln 0.2424 = 1.4170 nats" in figure._repr_html_()


def test_temperature_scales_the_gradient() -> None:
    z = np.array([2.0, -1.0, 0.5])
    got = SoftmaxExplorer(z, 2, temperature=2.5).gradient()
    want = numerical_gradient(lambda v: SoftmaxExplorer(v, 2, temperature=2.5).loss(), z)
    np.testing.assert_allclose(got, want, atol=1e-8)


@pytest.mark.parametrize("graph", GRAPHS)
def test_graph_gradients_equal_central_differences(graph: str) -> None:
    rng = np.random.default_rng(2)
    names = list(GRAPHS[graph].values)
    v = rng.normal(size=len(names)) + 0.3
    last = GRAPHS[graph].nodes[-1].id

    def loss(a: np.ndarray) -> float:
        return BackpropStepper(graph, dict(zip(names, a.tolist(), strict=True))).values()[last]

    got = BackpropStepper(graph, dict(zip(names, v.tolist(), strict=True))).gradients()
    np.testing.assert_allclose([got[n] for n in names], numerical_gradient(loss, v), atol=1e-7)


def test_default_neuron_by_hand() -> None:
    figure = BackpropStepper()
    values, grads = figure.values(), figure.gradients()
    assert [values[n] for n in "pqzadL"] == [2, -1.5, 1, 1, -1, 1]
    assert [grads[n] for n in ("x1", "w1", "x2", "w2", "b", "t")] == [-4, -2, 1, -6, -2, 2]
    fork = BackpropStepper("fork", {"x": 3, "y": 2}).gradients()
    assert (fork["x"], fork["y"]) == (6, -4)  # 2x and -2y: two paths add up
    assert BackpropStepper(values={"b": -9}).gradients()["w1"] == 0  # ReLU is off


def test_every_node_is_drawn_in_a_place_of_its_own() -> None:
    for g in GRAPHS.values():
        places = [(n.level, n.lane) for n in g.nodes]
        assert len(set(places)) == len(places)
        seen: set[str] = set(g.values)
        for n in g.nodes:
            assert set(n.args) <= seen
            seen.add(n.id)


@pytest.mark.parametrize("momentum", [0.0, 0.9])
@pytest.mark.parametrize("surface", SURFACES)
def test_descent_equals_a_plain_loop(surface: str, momentum: float) -> None:
    figure = LearningRateExplorer(surface, momentum=momentum, steps=12)
    gradients: dict[str, Any] = {
        "quadratic": lambda w: [2 * w[0]],
        "two wells": lambda w: [4 * w[0] * (w[0] ** 2 - 1) + 0.3],
        "bowl": lambda w: [w[0], 10 * w[1]],
    }
    w, v = list(SURFACES[surface].start), [0.0, 0.0]
    for step in range(13):
        np.testing.assert_allclose(figure.run().path[step], w, rtol=1e-12)
        for i, g in enumerate(gradients[surface](w)):
            v[i] = momentum * v[i] + g
            w[i] -= figure.lr * v[i]


@pytest.mark.parametrize("surface", SURFACES)
def test_surface_gradients_equal_central_differences(surface: str) -> None:
    s = SURFACES[surface]
    w = np.random.default_rng(3).normal(size=len(s.start))
    np.testing.assert_allclose(s.gradient(w), numerical_gradient(s.loss, w), atol=1e-8)


@pytest.mark.parametrize(
    ("surface", "lr", "momentum", "verdict"),
    [
        ("quadratic", 0.1, 0, "converges"),
        ("quadratic", 0.9, 0, "oscillates, then settles"),
        ("quadratic", 1.0, 0, "oscillates, not settled"),
        ("quadratic", 1.05, 0, "diverges"),
        ("quadratic", 0.005, 0, "still on its way"),
        ("quadratic", 0, 0, "still on its way"),
        ("two wells", 0.4, 0, "diverges"),
        ("two wells", 1.2, 0, "diverges"),
        ("bowl", 0.1, 0, "still on its way"),
        ("bowl", 0.21, 0, "diverges"),
        ("bowl", 0.15, 0, "oscillates, then settles"),
    ],
)
def test_verdicts(surface: str, lr: float, momentum: float, verdict: str) -> None:
    assert LearningRateExplorer(surface, lr=lr, momentum=momentum).run().verdict == verdict


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: PoolStepper([1, 2]), r"image needs 2 axes.*\(2,\)"),
        (lambda: PoolStepper([[np.nan]], 1), "finite"),
        (lambda: PoolStepper(np.ones((13, 2))), r"12 x 12.*\(13, 2\)"),
        (lambda: PoolStepper(np.ones((2, 2)), 3), r"does not fit.*\(2, 2\)"),
        (lambda: PoolStepper(np.ones((4, 4)), 0), "kernel_size must be a whole number"),
        (lambda: PoolStepper(np.ones((4, 4)), (1, 2, 3)), "kernel_size"),
        (lambda: PoolStepper(np.ones((4, 4)), 2, stride=0), "stride"),
        (lambda: PoolStepper(np.ones((4, 4)), 2, padding=2), "at most half of kernel_size"),
        (lambda: PoolStepper(np.ones((4, 4)), mode="sum"), "mode='sum'"),
        (lambda: PoolStepper(np.ones((4, 4)), upstream=[[1]]), r"\(1, 1\).*\(2, 2\)"),
        (lambda: SoftmaxExplorer([1]), "2 to 12"),
        (lambda: SoftmaxExplorer([1, 99]), "between -50 and 50"),
        (lambda: SoftmaxExplorer([1, 2], 2), "label=2"),
        (lambda: SoftmaxExplorer([1, 2], names=["a"]), "1 names for 2 logits"),
        (lambda: SoftmaxExplorer([1, 2], temperature=0), "temperature=0"),
        (lambda: BackpropStepper("cube"), "graph='cube'"),
        (lambda: BackpropStepper(values={"w9": 1}), "not 'w9'"),
        (lambda: BackpropStepper(values={"w1": float("nan")}), "w1 must be a number"),
        (lambda: BackpropStepper(values={"w1": "one"}), "w1 must be a number"),  # type: ignore
        (lambda: LearningRateExplorer("cubic"), "surface='cubic'"),
        (lambda: LearningRateExplorer(lr=-1), "lr=-1"),
        (lambda: LearningRateExplorer(momentum=1.0), "momentum=1.0"),
        (lambda: LearningRateExplorer(steps=0), "steps=0"),
        (lambda: LearningRateExplorer("bowl", start=1), r"start must be 2 number"),
    ],
)
def test_bad_input_is_one_clear_error(make: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message) as caught:
        make()
    assert re.match(r"[A-Z]\w+: ", str(caught.value))
