"""Layers: thin classes around the equations of ops, with torch's names, defaults and state."""

import math
from typing import Any, ClassVar

import numpy as np

from cnnlib import init, ops
from cnnlib._array import namespace
from cnnlib._layer import Layer, Parameter, Sequential
from cnnlib.ops.geometry import pair

__all__ = [
    "AvgPool2d",
    "BatchNorm2d",
    "Conv2d",
    "Dropout",
    "Flatten",
    "Layer",
    "Linear",
    "MaxPool2d",
    "Parameter",
    "ReLU",
    "Sequential",
    "Sigmoid",
    "Tanh",
]


class _Weighted(Layer):
    """A layer with a weight and perhaps a bias: He-normal and zero at first."""

    def __init__(self, shape: tuple[int, ...], bias: bool, rng, dtype):
        super().__init__()
        self.weight = Parameter(init.he_normal(shape, rng, dtype=dtype))
        self.bias = Parameter(np.zeros(shape[0], dtype=dtype)) if bias else None

    def _accumulate(self, dx, dweight, dbias):
        self.weight.accumulate(dweight)
        if self.bias is not None:
            self.bias.accumulate(dbias)
        return dx


class Conv2d(_Weighted):
    """Convolution of (N, C, H, W) images, see :func:`cnnlib.ops.conv2d_forward`.

    Args:
        in_channels: C.
        out_channels: Number of kernels.
        kernel_size: Int or (height, width).
        stride: Int or pair.
        padding: Int, pair, ``"same"`` or ``"valid"``.
        dilation: Int or pair.
        groups: Divides both numbers of channels.
        bias: Whether there is one.
        rng: Generator or int seed for the He-normal weights; None draws new ones each time.
        dtype: Type of the parameters.

    Raises:
        ValueError: If a size is not positive or groups does not divide the channels.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size,
        *,
        stride=1,
        padding=0,
        dilation=1,
        groups: int = 1,
        bias: bool = True,
        rng=None,
        dtype=np.float32,
    ):
        kernel = pair("Conv2d", "kernel_size", kernel_size, 0)
        _check_sizes("Conv2d", in_channels, out_channels, groups, *kernel)
        if in_channels % groups or out_channels % groups:
            raise ValueError(
                f"Conv2d: groups must divide in_channels and out_channels, "
                f"got {groups} for {in_channels} and {out_channels}"
            )
        super().__init__((out_channels, in_channels // groups, *kernel), bias, rng, dtype)
        self.in_channels, self.out_channels, self.kernel_size = in_channels, out_channels, kernel
        self.options = {
            "stride": stride,
            "padding": padding,
            "dilation": dilation,
            "groups": groups,
        }

    def forward(self, x):
        bias = None if self.bias is None else self.bias.data
        return self._remember(ops.conv2d_forward(x, self.weight.data, bias, **self.options))

    def backward(self, dy):
        return self._accumulate(*ops.conv2d_backward(dy, self._recall()))

    def extra_repr(self) -> str:
        options = self.options
        text = f"{self.in_channels}, {self.out_channels}, kernel_size={self.kernel_size}"
        text += f", stride={pair('Conv2d', 'stride', options['stride'], 0)}"
        for name, default in (("padding", (0, 0)), ("dilation", (1, 1))):
            value = options[name]
            value = value if isinstance(value, str) else pair("Conv2d", name, value, 0)
            text += f", {name}={value}" if value != default else ""
        text += f", groups={options['groups']}" if options["groups"] != 1 else ""
        return text if self.bias is not None else text + ", bias=False"


class Linear(_Weighted):
    """Dense layer, from (N, in_features) to (N, out_features).

    Args:
        in_features: Inputs.
        out_features: Outputs.
        bias: Whether there is one.
        rng: Generator or int seed for the He-normal weights; None draws new ones each time.
        dtype: Type of the parameters.

    Raises:
        ValueError: If a size is not positive.
    """

    def __init__(
        self,
        in_features: int,
        out_features: int,
        *,
        bias: bool = True,
        rng=None,
        dtype=np.float32,
    ):
        _check_sizes("Linear", in_features, out_features)
        super().__init__((out_features, in_features), bias, rng, dtype)

    def forward(self, x):
        bias = None if self.bias is None else self.bias.data
        return self._remember(ops.linear_forward(x, self.weight.data, bias))

    def backward(self, dy):
        return self._accumulate(*ops.linear_backward(dy, self._recall()))

    def extra_repr(self) -> str:
        outputs, inputs = self.weight.data.shape
        return f"in_features={inputs}, out_features={outputs}, bias={self.bias is not None}"


class BatchNorm2d(Layer):
    """Batch normalisation: batch statistics in training, running ones in eval.

    Args:
        num_features: Channels.
        eps: Added to the variance.
        momentum: Share of the new batch in the running statistics.
        dtype: Type of parameters and statistics.
    """

    buffers: ClassVar[tuple[str, ...]] = ("running_mean", "running_var", "num_batches_tracked")

    def __init__(
        self, num_features: int, *, eps: float = 1e-5, momentum: float = 0.1, dtype=np.float32
    ):
        super().__init__()
        _check_sizes("BatchNorm2d", num_features)
        self.eps, self.momentum = eps, momentum
        self.weight = Parameter(np.ones(num_features, dtype=dtype))
        self.bias = Parameter(np.zeros(num_features, dtype=dtype))
        self.running_mean: Any = np.zeros(num_features, dtype=dtype)
        self.running_var: Any = np.ones(num_features, dtype=dtype)
        self.num_batches_tracked = np.array(0)

    def forward(self, x):
        y, cache = ops.batch_norm2d_forward(
            x,
            self.weight.data,
            self.bias.data,
            self.running_mean,
            self.running_var,
            training=self.training,
            momentum=self.momentum,
            eps=self.eps,
        )
        if self.training:
            self.running_mean, self.running_var = cache.running_mean, cache.running_var
            self.num_batches_tracked += 1
        return self._remember((y, cache))

    def backward(self, dy):
        dx, dweight, dbias = ops.batch_norm2d_backward(dy, self._recall())
        self.weight.accumulate(dweight)
        self.bias.accumulate(dbias)
        return dx

    def extra_repr(self) -> str:
        return f"{self.weight.data.shape[0]}, eps={self.eps}, momentum={self.momentum}"


class _Pool(Layer):
    def __init__(self, kernel_size, *, stride=None, padding=0):
        super().__init__()
        self.kernel_size, self.padding = kernel_size, padding
        self.stride = kernel_size if stride is None else stride

    def extra_repr(self) -> str:
        return f"kernel_size={self.kernel_size}, stride={self.stride}, padding={self.padding}"


class MaxPool2d(_Pool):
    """Largest value of each window; the gradient goes to the first maximum.

    Args:
        kernel_size: Int or pair.
        stride: Int or pair; the kernel size if None.
        padding: Int or pair, with minus infinity.
    """

    def forward(self, x):
        return self._remember(
            ops.max_pool2d_forward(x, self.kernel_size, stride=self.stride, padding=self.padding)
        )

    def backward(self, dy):
        return ops.max_pool2d_backward(dy, self._recall())


class AvgPool2d(_Pool):
    """Mean of each window.

    Args:
        kernel_size: Int or pair.
        stride: Int or pair; the kernel size if None.
        padding: Int or pair, with zeros.
        count_include_pad: Whether padded zeros count in the mean.
    """

    def __init__(self, kernel_size, *, stride=None, padding=0, count_include_pad: bool = True):
        super().__init__(kernel_size, stride=stride, padding=padding)
        self.count_include_pad = count_include_pad

    def forward(self, x):
        return self._remember(
            ops.avg_pool2d_forward(
                x,
                self.kernel_size,
                stride=self.stride,
                padding=self.padding,
                count_include_pad=self.count_include_pad,
            )
        )

    def backward(self, dy):
        return ops.avg_pool2d_backward(dy, self._recall())


class ReLU(Layer):
    """max(x, 0)."""

    def forward(self, x):
        return self._remember(ops.relu_forward(x))

    def backward(self, dy):
        return ops.relu_backward(dy, self._recall())


class Sigmoid(Layer):
    """1 / (1 + exp(-x))."""

    def forward(self, x):
        return self._remember(ops.sigmoid_forward(x))

    def backward(self, dy):
        return ops.sigmoid_backward(dy, self._recall())


class Tanh(Layer):
    """Hyperbolic tangent."""

    def forward(self, x):
        return self._remember(ops.tanh_forward(x))

    def backward(self, dy):
        return ops.tanh_backward(dy, self._recall())


class Flatten(Layer):
    """From (N, C, H, W) to (N, C H W)."""

    def forward(self, x):
        xp, shape = namespace("flatten", x=x), tuple(x.shape)
        # Not -1: it has no answer for an empty batch.
        return self._remember((xp.reshape(x, (shape[0], math.prod(shape[1:]))), shape))

    def backward(self, dy):
        return namespace("flatten_backward", dy=dy).reshape(dy, self._recall())

    def extra_repr(self) -> str:
        return "start_dim=1, end_dim=-1"


class Dropout(Layer):
    """Zeroes each value with probability p in training and scales the rest by 1 / (1 - p).

    Args:
        p: Share that is dropped, 0 to 1.
        rng: Generator or int seed of its own.

    Raises:
        ValueError: If p is not in [0, 1].
    """

    def __init__(self, p: float = 0.5, *, rng=None):
        super().__init__()
        if not 0 <= p <= 1:
            raise ValueError(f"Dropout: p must be from 0 to 1, got {p}")
        self.p = p
        self.rng = np.random.default_rng(rng)

    def forward(self, x):
        return self._remember(
            ops.dropout_forward(x, p=self.p, rng=self.rng, training=self.training)
        )

    def backward(self, dy):
        return ops.dropout_backward(dy, self._recall())

    def extra_repr(self) -> str:
        return f"p={self.p}"


def _check_sizes(layer: str, *sizes: int) -> None:
    if not all(isinstance(size, int | np.integer) and size > 0 for size in sizes):
        raise ValueError(f"{layer}: sizes must be positive ints, got {sizes}")
