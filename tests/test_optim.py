"""Optimisers against torch's over many steps, and what they must not touch."""

import numpy as np
import pytest
import torch

from cnnlib import SGD, Adam, Parameter

SHAPES = [(3, 2), (4,)]
STEPS = 7


def run_ours(make, convert=lambda a: a):
    rng = np.random.default_rng(0)
    parameters = [Parameter(convert(rng.standard_normal(shape))) for shape in SHAPES]
    optimizer = make(parameters)
    for step in range(STEPS):
        for parameter, shape in zip(parameters, SHAPES, strict=True):
            parameter.grad = convert(rng.standard_normal(shape))
        if step == 4:
            optimizer.lr = optimizer.lr / 3
        optimizer.step()
    return [np.asarray(parameter.data) for parameter in parameters]


def run_torch(make):
    rng = np.random.default_rng(0)
    parameters = [torch.nn.Parameter(torch.tensor(rng.standard_normal(s))) for s in SHAPES]
    optimizer = make(parameters)
    for step in range(STEPS):
        for parameter in parameters:
            parameter.grad = torch.tensor(rng.standard_normal(tuple(parameter.shape)))
        if step == 4:
            optimizer.param_groups[0]["lr"] /= 3
        optimizer.step()
    return [parameter.detach().numpy() for parameter in parameters]


CASES = [
    ("SGD", {"lr": 0.1}),
    ("SGD", {"lr": 0.1, "weight_decay": 0.2}),
    ("SGD", {"lr": 0.1, "momentum": 0.9}),
    ("SGD", {"lr": 0.1, "momentum": 0.9, "weight_decay": 0.2, "nesterov": True}),
    ("Adam", {}),
    ("Adam", {"lr": 0.1, "betas": (0.7, 0.8), "eps": 1e-2, "weight_decay": 0.2}),
    ("Adam", {"lr": 0.1, "betas": (0.0, 0.0)}),
]
OURS, THEIRS = {"SGD": SGD, "Adam": Adam}, {"SGD": torch.optim.SGD, "Adam": torch.optim.Adam}


@pytest.mark.parametrize("convert", [lambda a: a, torch.from_numpy], ids=["numpy", "torch"])
@pytest.mark.parametrize(("name", "options"), CASES)
def test_steps_are_those_of_torch(name, options, convert):
    ours = run_ours(lambda p: OURS[name](p, **{"lr": 1e-3, **options}), convert)
    theirs = run_torch(lambda p: THEIRS[name](p, **{"lr": 1e-3, **options}))
    for a, b in zip(ours, theirs, strict=True):
        np.testing.assert_allclose(a, b, rtol=0, atol=1e-12)


@pytest.mark.parametrize(("name", "options"), CASES)
def test_every_option_matters(name, options):
    # Twin of the test above: without the option, or with another value, the result is another.
    for option in options:
        changed = {"lr": 1e-3, **options, option: {"lr": 0.2, "eps": 1.0}.get(option, 0)}
        if option == "betas":
            changed["betas"] = (0.5, 0.95)
        if option == "momentum":
            changed["nesterov"] = False
        ours = run_ours(lambda p, c=changed: OURS[name](p, **c))
        theirs = run_torch(lambda p: THEIRS[name](p, **{"lr": 1e-3, **options}))
        assert any(np.abs(a - b).max() > 1e-6 for a, b in zip(ours, theirs, strict=True)), option


@pytest.mark.parametrize("make", [lambda p: SGD(p, 0.5, momentum=0.9), lambda p: Adam(p, 0.5)])
def test_in_place_but_never_on_gradients(make):
    data, gradient = np.ones(3), np.array([1.0, -2.0, 0.5])
    gradient.flags.writeable = False
    parameter = Parameter(data)
    parameter.grad = gradient
    optimizer = make([parameter])
    optimizer.step()
    optimizer.step()
    assert parameter.data is data
    assert not np.any(data == 1)
    assert parameter.grad is gradient
    np.testing.assert_array_equal(gradient, [1.0, -2.0, 0.5])


@pytest.mark.parametrize("make", [lambda p: SGD(p, 0.5, momentum=0.9), lambda p: Adam(p, 0.5)])
def test_the_velocity_does_not_follow_a_reused_gradient_array(make):
    def end(reuse):
        parameter = Parameter(np.zeros(2))
        optimizer = make([parameter])
        buffer = np.zeros(2)
        for value in (1.0, -3.0):
            buffer[...] = value
            parameter.grad = buffer if reuse else buffer.copy()
            optimizer.step()
        return parameter.data

    np.testing.assert_array_equal(end(True), end(False))


@pytest.mark.parametrize("make", [lambda p: SGD(p, 0.5, weight_decay=0.1), Adam])
def test_no_gradient_no_step(make):
    still, moving = Parameter(np.ones(2)), Parameter(np.ones(2))
    moving.grad = np.ones(2)
    optimizer = make([still, moving])
    optimizer.step()
    assert still.data.tolist() == [1, 1]
    assert moving.data[0] < 1
    optimizer.zero_grad()
    assert moving.grad is None


@pytest.mark.parametrize("make", [lambda p: SGD(p, 0.1, momentum=0.9, nesterov=True), Adam])
def test_float32_stays_float32_with_a_numpy_learning_rate(make):
    parameter = Parameter(np.ones(2, dtype=np.float32))
    optimizer = make([parameter])
    optimizer.lr = np.float64(0.1)
    for _ in range(2):
        parameter.grad = np.ones(2, dtype=np.float32)
        update = optimizer._update(parameter.grad, {})
        optimizer.step()
    assert update.dtype == parameter.data.dtype == np.float32


def test_a_learning_rate_of_zero_stands_still():
    parameter = Parameter(np.ones(2))
    parameter.grad = np.ones(2)
    SGD([parameter], 0).step()
    assert parameter.data.tolist() == [1, 1]


P = Parameter(np.ones(1))


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda: SGD([P], -0.1), ValueError, "SGD: lr must be at least 0, got -0.1"),
        (lambda: SGD([P], float("nan")), ValueError, "SGD: lr must be at least 0, got nan"),
        (lambda: SGD([P], 0.1, momentum=-1), ValueError, "momentum must be at least 0, got -1"),
        (lambda: SGD([P], 0.1, weight_decay=-1), ValueError, "weight_decay must be at least 0"),
        (lambda: SGD([P], 0.1, nesterov=True), ValueError, "nesterov looks ahead along"),
        (lambda: SGD([], 0.1), ValueError, "SGD: there is no parameter to optimise"),
        (lambda: SGD([np.ones(1)], 0.1), TypeError, "expected Parameters, got a ndarray"),
        (lambda: Adam([P], -1), ValueError, "Adam: lr must be at least 0"),
        (lambda: Adam([P], betas=(0.9, 1.0)), ValueError, r"in \[0, 1\), got \(0.9, 1.0\)"),
        (lambda: Adam([P], betas=(-0.1, 0.9)), ValueError, r"two numbers in \[0, 1\)"),
        (lambda: Adam([P], eps=-1), ValueError, "eps must be at least 0, got -1"),
    ],
)
def test_errors(make, error, message):
    with pytest.raises(error, match=message):
        make()
