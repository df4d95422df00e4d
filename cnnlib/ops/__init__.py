"""The book's equations as pure forward/backward pairs, for NumPy arrays and torch tensors alike."""

from cnnlib.ops.activation import (
    relu_backward,
    relu_forward,
    sigmoid_backward,
    sigmoid_forward,
    tanh_backward,
    tanh_forward,
)
from cnnlib.ops.conv import conv2d_backward, conv2d_forward
from cnnlib.ops.dense import dropout_backward, dropout_forward, linear_backward, linear_forward
from cnnlib.ops.geometry import output_size
from cnnlib.ops.loss import (
    cross_entropy_backward,
    cross_entropy_forward,
    log_softmax,
    softmax,
)
from cnnlib.ops.norm import batch_norm2d_backward, batch_norm2d_forward
from cnnlib.ops.pool import (
    avg_pool2d_backward,
    avg_pool2d_forward,
    max_pool2d_backward,
    max_pool2d_forward,
)
from cnnlib.ops.winograd import winograd_conv2d_backward, winograd_conv2d_forward

__all__ = [
    "avg_pool2d_backward",
    "avg_pool2d_forward",
    "batch_norm2d_backward",
    "batch_norm2d_forward",
    "conv2d_backward",
    "conv2d_forward",
    "cross_entropy_backward",
    "cross_entropy_forward",
    "dropout_backward",
    "dropout_forward",
    "linear_backward",
    "linear_forward",
    "log_softmax",
    "max_pool2d_backward",
    "max_pool2d_forward",
    "output_size",
    "relu_backward",
    "relu_forward",
    "sigmoid_backward",
    "sigmoid_forward",
    "softmax",
    "tanh_backward",
    "tanh_forward",
    "winograd_conv2d_backward",
    "winograd_conv2d_forward",
]
