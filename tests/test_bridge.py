"""Our gradients inside autograd; weights and networks to torch and back."""

import functools

import numpy as np
import pytest
import torch
from torch import nn

import cnnlib
from cnnlib import ops
from cnnlib.pytorch import bridge

torch.set_num_threads(1)


def tensor(*shape, seed=0):
    values = np.random.default_rng(seed).standard_normal(shape)
    return torch.tensor(values, requires_grad=True)


X, W, B = tensor(2, 4, 5, 6), tensor(6, 2, 3, 2, seed=1), tensor(6, seed=2)
RUNNING = (torch.zeros(4, dtype=torch.float64), torch.ones(4, dtype=torch.float64))
PAIRS = {
    "conv2d": ((X, W, B), {"stride": (2, 1), "padding": 1, "groups": 2}),
    "conv2d without bias": ((X, W, None), {"groups": 2, "dilation": (2, 1)}),
    "linear": ((tensor(3, 4), tensor(5, 4, seed=1), tensor(5, seed=2)), {}),
    "linear without bias": ((tensor(3, 4), tensor(5, 4, seed=1), None), {}),
    "max_pool2d": ((X,), {"kernel_size": (3, 2), "stride": 2, "padding": 1}),
    "avg_pool2d": ((X,), {"kernel_size": 3, "padding": 1, "count_include_pad": False}),
    "relu": ((X,), {}),
    "sigmoid": ((X,), {}),
    "tanh": ((X,), {}),
    "batch_norm2d": ((X, tensor(4, seed=1), tensor(4, seed=2), *RUNNING), {"training": True}),
    "dropout": ((X,), {"p": 0.4, "rng": 0}),
    "dropout in eval": ((X,), {"p": 0.4, "rng": None, "training": False}),
}


def pair(name):
    name = name.split()[0]
    forward, backward = getattr(ops, f"{name}_forward"), getattr(ops, f"{name}_backward")
    if name == "dropout":  # a generator moves on; gradcheck needs the same mask at each call

        def forward(x, *, rng, **options):
            rng = rng if rng is None else np.random.default_rng(rng)
            return ops.dropout_forward(x, rng=rng, **options)

    return forward, backward


@pytest.mark.parametrize("name", PAIRS)
def test_pairs_pass_torchs_own_gradient_check(name):
    inputs, options = PAIRS[name]
    function = functools.partial(bridge.as_function(*pair(name)), **options)
    assert torch.autograd.gradcheck(function, inputs)


@pytest.mark.parametrize("name", PAIRS)
def test_a_wrong_backward_does_not_pass(name):
    inputs, options = PAIRS[name]
    forward, backward = pair(name)

    def wrong(dy, cache):
        gradients = backward(dy, cache)
        if isinstance(gradients, tuple):
            return (1.01 * gradients[0], *gradients[1:])
        return 1.01 * gradients

    function = functools.partial(bridge.as_function(forward, wrong), **options)
    assert not torch.autograd.gradcheck(function, inputs, raise_exception=False)


def test_the_backward_is_ours_and_not_autograds():
    called = []

    def backward(dy, cache):
        called.append(tuple(dy.shape))
        return 7 * dy

    x = torch.ones(2, 3, requires_grad=True)
    bridge.as_function(ops.relu_forward, backward)(x).sum().backward()
    assert called == [(2, 3)]
    assert x.grad.tolist() == [[7.0] * 3] * 2


def test_a_loss_with_integer_labels():
    logits, labels = tensor(4, 3), torch.tensor([2, 0, 1, 1])
    loss = bridge.as_function(
        ops.cross_entropy_forward, lambda dy, cache: dy * ops.cross_entropy_backward(cache)
    )
    assert torch.autograd.gradcheck(lambda x: 3 * loss(x, labels), (logits,))


def test_it_composes_with_torchs_own_functions():
    conv = bridge.as_function(ops.conv2d_forward, ops.conv2d_backward)
    ours = torch.autograd.grad(torch.tanh(conv(X.exp(), W, B, groups=2)).pow(2).sum(), (X, W, B))
    y = nn.functional.conv2d(X.exp(), W, B, groups=2)
    theirs = torch.autograd.grad(torch.tanh(y).pow(2).sum(), (X, W, B))
    for a, b in zip(ours, theirs, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-10, atol=1e-10)


def test_changing_an_input_before_backward_is_noticed():
    x = torch.ones(3, requires_grad=True)
    hidden = x * 2
    y = bridge.as_function(ops.relu_forward, ops.relu_backward)(hidden)
    hidden.zero_()
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        y.sum().backward()


def test_a_forward_that_gives_no_tensor():
    function = bridge.as_function(lambda x: (1.0, None), ops.relu_backward)
    with pytest.raises(TypeError, match="forward must return a tensor"):
        function(X)


def our_net(seed, dtype=np.float32):
    rng = np.random.default_rng(seed)
    return cnnlib.Sequential(
        cnnlib.Conv2d(2, 3, (3, 2), stride=2, padding=1, bias=False, rng=rng, dtype=dtype),
        cnnlib.BatchNorm2d(3, eps=1e-3, momentum=0.3, dtype=dtype),
        cnnlib.Sequential(cnnlib.ReLU(), cnnlib.MaxPool2d(2, stride=1, padding=1)),
        cnnlib.AvgPool2d(2, padding=1, count_include_pad=False),
        cnnlib.Sigmoid(),
        cnnlib.Tanh(),
        cnnlib.Flatten(),
        cnnlib.Dropout(0.3, rng=rng),
        cnnlib.Linear(36, 4, rng=rng, dtype=dtype),
    )


PICTURES = np.random.default_rng(0).standard_normal((3, 2, 9, 7))


def test_as_module_is_the_same_network():
    ours = our_net(0, np.float64)
    ours(PICTURES)  # moves the running statistics
    theirs = bridge.as_module(ours.eval())
    assert not theirs.training
    assert theirs[0].weight.dtype == torch.float64
    assert theirs[1].momentum == 0.3
    assert theirs[7].p == 0.3
    expected = theirs(torch.tensor(PICTURES)).detach().numpy()
    np.testing.assert_allclose(ours(PICTURES), expected, atol=1e-12)
    assert bridge.as_module(ours.train()).training


def test_as_module_shares_nothing():
    ours = our_net(0)
    theirs = bridge.as_module(ours)
    with torch.no_grad():
        theirs[0].weight.zero_()
    assert np.abs(ours[0].weight.data).max() > 0.1


def test_as_module_knows_only_torchs_layers():
    class Own(cnnlib.Layer):
        pass

    with pytest.raises(TypeError, match="torch has no counterpart of Own"):
        bridge.as_module(cnnlib.Sequential(Own()))


@pytest.mark.parametrize(
    "make", ["ours to ours", "ours to torch", "torch to ours", "torch to torch"]
)
def test_copy_weights(make):
    kinds = [our_net(0), our_net(1)]
    for i, kind in enumerate(make.split(" to ")):
        kinds[i](PICTURES.astype(np.float32))
        kinds[i] = bridge.as_module(kinds[i]) if kind == "torch" else kinds[i]
    source, target = kinds
    differs = {
        n
        for n, v in source.state_dict().items()
        if not np.all(np.asarray(v) == np.asarray(target.state_dict()[n]))
    }
    assert {"0.weight", "8.weight", "1.running_mean"} <= differs
    bridge.copy_weights(source, target)
    for name, value in source.state_dict().items():
        np.testing.assert_array_equal(np.asarray(value), np.asarray(target.state_dict()[name]))


def test_copy_weights_between_precisions_keeps_the_targets():
    source, target = our_net(0, np.float64), bridge.as_module(our_net(1))
    bridge.copy_weights(source, target)
    assert target[0].weight.dtype == torch.float32
    back = our_net(2)
    bridge.copy_weights(target, back)
    assert back[0].weight.data.dtype == np.float32


@pytest.mark.parametrize("kind", ["ours", "torch"])
def test_copy_weights_into_another_network_changes_nothing(kind):
    source = our_net(0)
    target = cnnlib.Sequential(
        cnnlib.Conv2d(2, 3, (3, 2), bias=False, rng=1), cnnlib.BatchNorm2d(4)
    )
    target = bridge.as_module(target) if kind == "torch" else target
    before = {name: np.asarray(value).copy() for name, value in target.state_dict().items()}
    with pytest.raises(ValueError, match=r"8\.weight") as error:
        bridge.copy_weights(source, target)
    assert "1.running_var" in str(error.value)
    assert "(3,)" in str(error.value)
    for name, value in target.state_dict().items():
        np.testing.assert_array_equal(np.asarray(value), before[name])


def test_copy_weights_wants_networks():
    with pytest.raises(
        TypeError, match="target must be a cnnlib Layer or a torch Module, got dict"
    ):
        bridge.copy_weights(our_net(0), {})


def test_to_torch():
    model = our_net(0)
    expected = our_net(0)(PICTURES.astype(np.float32))
    assert bridge.to_torch(model) is model
    assert model[0].weight.data.dtype == torch.float32
    y = model(torch.tensor(PICTURES, dtype=torch.float32))
    np.testing.assert_allclose(y.numpy(), expected, atol=1e-5)
    bridge.to_torch(model, dtype=torch.float64)
    assert model[0].weight.data.dtype == model[1].running_var.dtype == torch.float64
    assert model[1].num_batches_tracked.dtype == torch.int64
    bridge.to_torch(model, device="meta")
    assert model[8].bias.data.device.type == "meta"
