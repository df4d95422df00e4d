"""Between cnnlib and torch: our gradients inside autograd, weights in both directions."""

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.autograd.function import once_differentiable

from cnnlib import layers
from cnnlib.layers import Layer


def as_function(forward: Callable, backward: Callable) -> Callable:
    """Make a hand-written pair a function that autograd differentiates by our backward.

    Args:
        forward: ``y, cache = forward(*inputs, **options)``, such as ``ops.conv2d_forward``.
        backward: ``backward(dy, cache)`` gives one gradient, or a tuple with one for each of the
            first inputs; an input that gets None, or none at all, has no gradient.

    Returns:
        ``function(*inputs, **options)``: tensors (or None, as a missing bias) in, a tensor out.

    Raises:
        TypeError: When called, if forward does not give a tensor.

    >>> from cnnlib import ops
    >>> relu = as_function(ops.relu_forward, ops.relu_backward)
    >>> x = torch.tensor([-1.0, 2.0], requires_grad=True)
    >>> relu(x).sum().backward()
    >>> x.grad
    tensor([0., 1.])
    """

    class Pair(torch.autograd.Function):
        @staticmethod
        def forward(ctx, options, *inputs):
            y, cache = forward(*inputs, **options)
            if not isinstance(y, torch.Tensor):
                raise TypeError(f"as_function: forward must return a tensor, got {type(y)}")
            ctx.count = len(inputs)
            ctx.rebuild, tensors = _take_apart(cache)
            # torch has to hold the tensors: it then notices in-place changes and frees them.
            ctx.save_for_backward(*tensors)
            # An output that is its input (dropout in eval) would lose its place in the graph.
            return y.clone() if any(y is x for x in inputs) else y

        @staticmethod
        @once_differentiable
        def backward(ctx, dy):
            gradients = backward(dy, ctx.rebuild(ctx.saved_tensors))
            if not isinstance(gradients, tuple):
                gradients = (gradients,)
            return None, *gradients, *[None] * (ctx.count - len(gradients))

    def function(*inputs, **options):
        return Pair.apply(options, *inputs)

    return function


def _take_apart(cache) -> tuple[Callable, list[torch.Tensor]]:
    """Split a cache into its tensors and a function that puts it together again."""
    if not isinstance(cache, tuple):
        return lambda _: cache, []
    places = [i for i, value in enumerate(cache) if isinstance(value, torch.Tensor)]
    rest = [None if i in places else value for i, value in enumerate(cache)]
    make: Any = getattr(type(cache), "_make", tuple)

    def rebuild(tensors):
        values = list(rest)
        for place, tensor in zip(places, tensors, strict=True):
            values[place] = tensor
        return make(values)

    return rebuild, [cache[i] for i in places]


def copy_weights(source: Layer | nn.Module, target: Layer | nn.Module) -> None:
    """Copy all parameters and buffers from one network to another, ours or torch's.

    The two need the same names and shapes; the target keeps its dtype, library and device.

    Args:
        source: Where the values come from.
        target: Where they go; nothing is shared afterwards.

    Raises:
        TypeError: If one of the two is neither a Layer nor a Module.
        ValueError: If names or shapes differ; then nothing has been written.
    """
    for name, model in (("source", source), ("target", target)):
        if not isinstance(model, Layer | nn.Module):
            raise TypeError(
                f"copy_weights: {name} must be a cnnlib Layer or a torch Module, "
                f"got {type(model).__name__}"
            )
    state = source.state_dict()
    if isinstance(target, nn.Module):
        # torch's own check comes too late: it raises after copying whatever fits.
        there = {name: tuple(value.shape) for name, value in target.state_dict().items()}
        here = {name: tuple(value.shape) for name, value in state.items()}
        if here != there:
            differ = "; ".join(
                f"{n} is {here.get(n, 'missing')} in source, {there.get(n, 'missing')} in target"
                for n in sorted({*here, *there})
                if here.get(n) != there.get(n)
            )
            raise ValueError(f"copy_weights: the networks differ: {differ}")
        target.load_state_dict({name: torch.as_tensor(value) for name, value in state.items()})
    else:
        target.load_state_dict({name: _to_numpy(value) for name, value in state.items()})


def to_torch(model: Layer, device=None, dtype: torch.dtype | None = None) -> Layer:
    """Turn all arrays of one of our networks into torch tensors, in place.

    Args:
        model: One of our layers, on NumPy arrays or tensors.
        device: Where to put them; where they are (NumPy: the CPU) if None.
        dtype: For floating-point arrays; unchanged if None.

    Returns:
        The model itself, which now takes tensors. Make its optimiser afterwards.
    """

    def convert(array):
        tensor = torch.as_tensor(array)
        return tensor.to(device=device, dtype=dtype if tensor.is_floating_point() else None)

    return model.map_arrays(convert)


def as_module(model: Layer) -> nn.Module:
    """The same network of torch's own layers, with copies of the weights.

    Args:
        model: One of our layers, or a Sequential of them.

    Returns:
        A Module with equal ``state_dict`` names and the same training mode.

    Raises:
        TypeError: If torch has no layer of that name that takes our options.
    """
    module = _module(model)
    floating = [p.data for p in model.parameters()]
    if floating:
        like = torch.as_tensor(floating[0])
        module.to(device=like.device, dtype=like.dtype)
        copy_weights(model, module)
    return module.train(model.training)


def _module(layer: Layer) -> nn.Module:
    match layer:
        case layers.Sequential():
            return nn.Sequential(*(_module(child) for child in layer))
        case layers.Conv2d():
            sizes = layer.in_channels, layer.out_channels, layer.kernel_size
            return nn.Conv2d(*sizes, **layer.options, bias=layer.bias is not None)
        case layers.Linear():
            outputs, inputs = layer.weight.data.shape
            return nn.Linear(inputs, outputs, bias=layer.bias is not None)
        case layers.BatchNorm2d():
            features = layer.weight.data.shape[0]
            return nn.BatchNorm2d(features, eps=layer.eps, momentum=layer.momentum)
        case layers.MaxPool2d():
            return nn.MaxPool2d(layer.kernel_size, layer.stride, layer.padding)
        case layers.AvgPool2d():
            count = layer.count_include_pad
            return nn.AvgPool2d(
                layer.kernel_size, layer.stride, layer.padding, count_include_pad=count
            )
        case layers.Dropout():
            return nn.Dropout(layer.p)
        case layers.ReLU() | layers.Sigmoid() | layers.Tanh() | layers.Flatten():
            return getattr(nn, type(layer).__name__)()
    raise TypeError(f"as_module: torch has no counterpart of {type(layer).__name__}")


def _to_numpy(value) -> np.ndarray:
    return value.detach().cpu().numpy() if isinstance(value, torch.Tensor) else np.asarray(value)
