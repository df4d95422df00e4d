"""Layers: state as in torch, gradients that accumulate, errors that name the layer."""

import copy

import numpy as np
import pytest
import torch
from torch import nn

import cnnlib
from cnnlib import (
    AvgPool2d,
    BatchNorm2d,
    Conv2d,
    Dropout,
    Flatten,
    Layer,
    Linear,
    MaxPool2d,
    Parameter,
    ReLU,
    Sequential,
    Sigmoid,
    Tanh,
)

RNG = np.random.default_rng(0)
X = RNG.standard_normal((3, 4, 7, 6))
F64 = {"dtype": np.float64}

LAYERS = [
    (Conv2d(4, 6, (3, 2), stride=(2, 1), padding=1, dilation=(1, 2), groups=2, rng=0, **F64), X),
    (Conv2d(4, 3, 3, padding="same", bias=False, rng=0, **F64), X),
    (MaxPool2d((3, 2), stride=2, padding=1), X),
    (AvgPool2d(3, padding=1), X),
    (AvgPool2d(3, padding=1, count_include_pad=False), X),
    (BatchNorm2d(4, **F64), X),
    (ReLU(), X),
    (Sigmoid(), X),
    (Tanh(), X),
    (Flatten(), X),
    (Linear(6, 5, rng=0, **F64), X[:, 0, 0]),
    (Linear(6, 5, bias=False, rng=0, **F64), X[:, 0, 0]),
    (Dropout(0.4, rng=0), X),
]
IDS = [repr(layer) for layer, _ in LAYERS]


def net(dtype=np.float32, seed=0):
    rng = np.random.default_rng(seed)
    return Sequential(
        Conv2d(4, 6, 3, rng=rng, dtype=dtype),
        BatchNorm2d(6, dtype=dtype),
        ReLU(),
        Sequential(Flatten(), Linear(6 * 5 * 4, 3, rng=rng, dtype=dtype)),
    )


def torch_net():
    return nn.Sequential(
        nn.Conv2d(4, 6, 3),
        nn.BatchNorm2d(6),
        nn.ReLU(),
        nn.Sequential(nn.Flatten(), nn.Linear(120, 3)),
    )


def slope(layer, x, dy):
    """Numerical gradient with respect to x; a copy of the layer starts each call afresh."""
    return cnnlib.gradcheck.numerical_gradient(
        lambda moved: np.sum(copy.deepcopy(layer)(moved) * dy), x
    )


@pytest.mark.parametrize(("layer", "x"), LAYERS, ids=IDS)
def test_backward_is_the_slope_of_forward(layer, x):
    fresh = copy.deepcopy(layer)
    y = copy.deepcopy(fresh)(x)
    dy = RNG.standard_normal(y.shape)
    expected = slope(fresh, x, dy)
    fresh(x)
    dx = fresh.backward(dy)
    assert dx.shape == x.shape
    assert cnnlib.gradcheck.relative_error(dx, expected) < 1e-6
    for name, parameter in fresh.named_parameters():
        value = parameter.data.copy()

        def moved(data, name=name):
            twin = copy.deepcopy(layer)
            dict(twin.named_parameters())[name].data = data
            return np.sum(twin(x) * dy)

        expected = cnnlib.gradcheck.numerical_gradient(moved, value)
        assert cnnlib.gradcheck.relative_error(parameter.grad, expected) < 1e-6, name


@pytest.mark.parametrize(("layer", "x"), LAYERS, ids=IDS)
def test_backward_needs_a_forward_each_time(layer, x):
    layer = copy.deepcopy(layer)
    message = f"{type(layer).__name__}.backward: no forward pass to go back through; call the layer"
    with pytest.raises(RuntimeError, match=message):
        layer.backward(x)
    y = layer(x)
    layer.backward(np.ones_like(y))
    with pytest.raises(RuntimeError, match=message):
        layer.backward(np.ones_like(y))


def test_sequential_backward_without_forward_names_the_layer():
    with pytest.raises(RuntimeError, match=r"Linear\.backward: no forward pass"):
        net().backward(np.ones((3, 3), dtype=np.float32))


def test_gradients_accumulate_until_cleared():
    layer = Linear(3, 2, rng=0, **F64)
    x, dy = RNG.standard_normal((2, 4, 3)), RNG.standard_normal((2, 4, 2))
    assert layer.weight.grad is None
    for i in range(2):
        layer(x[i])
        layer.backward(dy[i])
    np.testing.assert_allclose(layer.weight.grad, dy[0].T @ x[0] + dy[1].T @ x[1])
    np.testing.assert_allclose(layer.bias.grad, dy[0].sum(0) + dy[1].sum(0))
    layer.zero_grad()
    assert layer.weight.grad is None
    assert layer.bias.grad is None


def test_accumulating_does_not_write_into_the_gradient_given():
    parameter, given = Parameter(np.zeros(2)), np.ones(2)
    parameter.accumulate(given)
    parameter.accumulate(given)
    assert given.tolist() == [1, 1]
    assert parameter.grad.tolist() == [2, 2]


def test_names_and_shapes_of_the_state_are_those_of_torch():
    ours, theirs = net().state_dict(), torch_net().state_dict()
    assert list(ours) == list(theirs)
    assert "3.1.weight" in ours
    assert "1.num_batches_tracked" in ours
    for name in ours:
        assert ours[name].shape == tuple(theirs[name].shape), name
    assert [n for n, _ in net().named_parameters()] == [
        n for n, _ in torch_net().named_parameters()
    ]


def test_state_is_a_copy_both_ways():
    a, b = net(), net(seed=1)
    state = a.state_dict()
    state["0.weight"][...] = 7
    assert not np.any(a[0].weight.data == 7)
    b.load_state_dict(state)
    assert np.all(b[0].weight.data == 7)
    state["0.weight"][...] = 8
    assert np.all(b[0].weight.data == 7)


def test_the_network_after_loading_is_the_same_network():
    a, b = net(), net(seed=1)
    x = X.astype(np.float32)
    for _ in range(3):
        a(x)  # moves the running statistics, which belong to the state
    b.load_state_dict(a.state_dict())
    assert b[1].num_batches_tracked == 3
    np.testing.assert_array_equal(a.eval()(x), b.eval()(x))
    assert not np.array_equal(net(seed=1).eval()(x), b(x))


def test_loading_keeps_the_precision():
    a = net()
    a.load_state_dict(net(np.float64, seed=1).state_dict())
    assert a[0].weight.data.dtype == np.float32
    np.testing.assert_array_equal(a[0].weight.data, net(seed=1)[0].weight.data)


def test_a_state_of_another_library_loads_too():
    a = net()
    a.load_state_dict(torch_net().double().eval().requires_grad_(False).state_dict())
    assert isinstance(a[0].weight.data, np.ndarray)
    assert a[0].weight.data.dtype == np.float32


def broken(change):
    state = net(seed=1).state_dict()
    change(state)
    return state


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda s: s.pop("3.1.bias"), "Sequential.load_state_dict: missing 3.1.bias"),
        (lambda s: s.update(extra=np.ones(1)), "unexpected extra"),
        (
            lambda s: s.update({"3.1.weight": np.ones((120, 3))}),
            r"3.1.weight is \(3, 120\) here but \(120, 3\) in the state",
        ),
        (
            lambda s: (s.pop("0.bias"), s.update(extra=np.ones(1))),
            "missing 0.bias; unexpected extra",
        ),
        (lambda s: s.update({"3.1.bias": np.array(["a", "b", "c"])}), "could not convert"),
    ],
)
def test_a_bad_state_changes_nothing(change, message):
    model = net()
    before = model.state_dict()
    with pytest.raises(ValueError, match=message):
        model.load_state_dict(broken(change))
    for name, value in model.state_dict().items():
        np.testing.assert_array_equal(value, before[name])


@pytest.mark.parametrize("affine", [1.0, 2.5])
def test_batch_norm_is_torchs_through_training_and_eval(affine):
    ours, theirs = BatchNorm2d(4, **F64), nn.BatchNorm2d(4, dtype=torch.float64)
    ours.weight.data[...] = affine
    theirs.weight.data.fill_(affine)
    for _ in range(3):
        x = RNG.standard_normal((3, 4, 5, 2)) * 3 + 1
        expected = theirs(torch.tensor(x)).detach().numpy()
        np.testing.assert_allclose(ours(x), expected, atol=1e-12)
    for name, value in theirs.state_dict().items():
        np.testing.assert_allclose(ours.state_dict()[name], value.numpy(), atol=1e-12, err_msg=name)
    ours.eval()
    theirs.eval()
    np.testing.assert_allclose(ours(x), theirs(torch.tensor(x)).detach().numpy(), atol=1e-12)
    assert ours.num_batches_tracked == theirs.num_batches_tracked == 3


def test_dropout_by_its_own_generator():
    x = np.ones((50, 40))
    a, b, c = Dropout(0.25, rng=1), Dropout(0.25, rng=1), Dropout(0.25, rng=2)
    y = a(x)
    np.testing.assert_array_equal(y, b(x))
    assert not np.array_equal(y, c(x))
    assert not np.array_equal(y, a(x))
    assert set(np.unique(y)) == {0, 1 / 0.75}
    assert np.mean(y == 0) == pytest.approx(0.25, abs=0.04)
    np.testing.assert_array_equal(b.eval()(x), x)


def test_train_and_eval_reach_every_layer():
    model = Sequential(Sequential(Dropout(0.5, rng=0)), BatchNorm2d(2))
    assert model.eval() is model
    assert not any(m.training for m in (model, model[0], model[0][0], model[1]))
    assert model.train() is model
    assert all(m.training for m in (model, model[0], model[0][0], model[1]))


def test_float32_in_float32_out():
    model = net()
    y = model(X.astype(np.float32))
    dx = model.backward(np.ones_like(y))
    assert y.dtype == dx.dtype == np.float32
    assert {p.grad.dtype for p in model.parameters()} == {np.dtype(np.float32)}
    assert model[1].running_var.dtype == np.float32


@pytest.mark.parametrize(("layer", "x"), LAYERS, ids=IDS)
def test_on_tensors_after_map_arrays(layer, x):
    ours, theirs = copy.deepcopy(layer), copy.deepcopy(layer)
    assert theirs.map_arrays(torch.from_numpy) is theirs
    y, t = ours(x), theirs(torch.from_numpy(x))
    dy = RNG.standard_normal(y.shape)
    dx, dt = ours.backward(dy), theirs.backward(torch.from_numpy(dy))
    assert isinstance(t, torch.Tensor)
    assert isinstance(dt, torch.Tensor)
    np.testing.assert_allclose(t.numpy(), y, atol=1e-12)
    np.testing.assert_allclose(dt.numpy(), dx, atol=1e-12)
    state = theirs.state_dict()
    assert all(isinstance(value, torch.Tensor) for value in state.values())
    for name, value in ours.state_dict().items():
        np.testing.assert_allclose(state[name].numpy(), value, atol=1e-12)
    theirs.load_state_dict(ours.state_dict())
    assert all(isinstance(p.data, torch.Tensor) for p in theirs.parameters())


def test_map_arrays_takes_gradients_along_and_drops_the_cache():
    layer = Linear(3, 2, rng=0, **F64)
    layer.backward(layer(np.ones((1, 3))))
    layer(np.ones((1, 3)))
    layer.map_arrays(torch.from_numpy)
    assert isinstance(layer.weight.grad, torch.Tensor)
    with pytest.raises(RuntimeError, match="no forward pass"):
        layer.backward(torch.ones(1, 2))


@pytest.mark.parametrize(
    ("ours", "theirs"),
    [
        (Conv2d(4, 6, 3), nn.Conv2d(4, 6, 3)),
        (
            Conv2d(4, 6, (3, 2), stride=2, padding=(1, 0), dilation=2, groups=2, bias=False),
            nn.Conv2d(4, 6, (3, 2), stride=2, padding=(1, 0), dilation=2, groups=2, bias=False),
        ),
        (Conv2d(4, 6, 3, padding="same"), nn.Conv2d(4, 6, 3, padding="same")),
        (Linear(3, 2, bias=False), nn.Linear(3, 2, bias=False)),
        (AvgPool2d(2), nn.AvgPool2d(2)),
        (ReLU(), nn.ReLU()),
        (Sigmoid(), nn.Sigmoid()),
        (Tanh(), nn.Tanh()),
        (Flatten(), nn.Flatten()),
        (Sequential(), nn.Sequential()),
        (
            Sequential(Conv2d(1, 2, 3), Sequential(ReLU(), AvgPool2d(3, stride=2, padding=1))),
            nn.Sequential(
                nn.Conv2d(1, 2, 3), nn.Sequential(nn.ReLU(), nn.AvgPool2d(3, stride=2, padding=1))
            ),
        ),
    ],
    ids=lambda layer: type(layer).__name__,
)
def test_reprs_are_those_of_torch(ours, theirs):
    assert repr(ours) == repr(theirs)


def test_other_reprs():
    # torch prints options here that we do not have.
    assert repr(MaxPool2d(2)) == "MaxPool2d(kernel_size=2, stride=2, padding=0)"
    assert repr(BatchNorm2d(4)) == "BatchNorm2d(4, eps=1e-05, momentum=0.1)"
    assert repr(Dropout(0.3)) == "Dropout(p=0.3)"
    assert repr(Linear(3, 2).weight) == "Parameter(shape=(2, 3), dtype=float32)"


def test_sequential_is_a_sequence():
    model = net()
    assert len(model) == 4
    assert model[-1] is list(model)[3]
    assert isinstance(model[:2], Sequential)
    assert model[:2][0] is model[0]
    with pytest.raises(TypeError, match="Sequential: item 1 is not a Layer but 3"):
        Sequential(ReLU(), 3)


def test_first_weights_are_he_normal_and_biases_zero():
    layer = Conv2d(8, 64, 3, rng=np.random.default_rng(3))
    expected = cnnlib.init.he_normal((64, 8, 3, 3), np.random.default_rng(3))
    np.testing.assert_array_equal(layer.weight.data, expected)
    assert not layer.bias.data.any()
    assert layer.weight.data.dtype == layer.bias.data.dtype == np.float32


def test_a_layer_of_ones_own():
    class Residual(Layer):
        def __init__(self):
            super().__init__()
            self.inner = Linear(3, 3, rng=0, **F64)

        def forward(self, x):
            return x + self.inner(x)

        def backward(self, dy):
            return dy + self.inner.backward(dy)

    layer, x = Residual(), RNG.standard_normal((2, 3))
    dy = RNG.standard_normal((2, 3))
    assert list(layer.state_dict()) == ["inner.weight", "inner.bias"]
    expected = slope(layer, x, dy)
    layer(x)
    np.testing.assert_allclose(layer.backward(dy), expected, atol=1e-8)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Conv2d(3, 4, 3, groups=2), "groups must divide in_channels and out_channels"),
        (lambda: Conv2d(4, 3, 3, groups=2), "got 2 for 4 and 3"),
        (lambda: Conv2d(0, 4, 3), r"Conv2d: sizes must be positive ints, got \(0, 4, 1, 3, 3\)"),
        (lambda: Conv2d(3, 4, (3, 0)), "Conv2d: sizes must be positive ints"),
        (lambda: Conv2d(3, 4, (3, 3, 3)), "Conv2d: kernel_size must be an int or a pair"),
        (lambda: Linear(3, 2.5), "Linear: sizes must be positive ints"),
        (lambda: BatchNorm2d(-1), "BatchNorm2d: sizes must be positive ints"),
        (lambda: Dropout(1.5), "Dropout: p must be from 0 to 1, got 1.5"),
    ],
)
def test_errors(make, message):
    with pytest.raises(ValueError, match=message):
        make()


def test_a_base_layer_has_no_forward():
    with pytest.raises(NotImplementedError, match="Layer has no forward"):
        Layer()(X)
    with pytest.raises(NotImplementedError, match="Layer has no backward"):
        Layer().backward(X)


def test_numpy_ints_are_ints():
    layer = Conv2d(4, 4, np.int64(3), groups=np.int64(2))
    assert layer(np.zeros((1, 4, 5, 5), np.float32)).shape == (1, 4, 3, 3)
    assert repr(layer) == "Conv2d(4, 4, kernel_size=(3, 3), stride=(1, 1), groups=2)"
