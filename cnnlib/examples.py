"""The worked examples of the book: inputs, exact results, and what popular texts say instead."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

_SOURCE = "popular tutorials on CNNs and ImageNet; see the fact check in the appendix"


@dataclass(frozen=True, eq=False)
class Example:
    """One example: what goes in, what comes out, what is claimed elsewhere.

    Attributes:
        name: Key in :data:`EXAMPLES`.
        inputs: Values by name; arrays are read-only.
        expected: Right results by name.
        wrong: Results that circulate, under the names of ``expected`` where they have one.
        claims: What the texts say, in our words.
        source: Where the claim is found, or the definition that settles it.
    """

    name: str
    inputs: Mapping[str, Any]
    expected: Mapping[str, Any]
    claims: str
    wrong: Mapping[str, Any] = field(default_factory=dict)
    source: str = _SOURCE


EXAMPLES: dict[str, Example] = {}
"""All examples by name."""


def get(name: str) -> Example:
    """The example of that name; ``examples.conv3x3`` is short for ``examples.get("conv3x3")``.

    Raises:
        KeyError: If there is none, with the names that there are.
    """
    if name not in EXAMPLES:
        raise KeyError(f"no example {name!r}; there are {', '.join(EXAMPLES)}")
    return EXAMPLES[name]


def __getattr__(name: str) -> Example:
    if name in EXAMPLES:
        return EXAMPLES[name]
    raise AttributeError(f"module 'cnnlib.examples' has no example {name!r}")


def _fixed(values, dtype) -> np.ndarray:
    array = np.array(values, dtype=dtype)
    array.flags.writeable = False
    return array


def _array(values) -> np.ndarray:
    return _fixed(values, np.float64)


def _add(name: str, inputs: dict, expected: dict, claims: str, **more) -> None:
    EXAMPLES[name] = Example(name, inputs, expected, claims, **more)


_NINE = _array([[1, 2, 3], [4, 5, 6], [7, 8, 9]])
_SIXTEEN = _array([[1, 2, 3, 4], [5, 6, 7, 8], [9, 10, 11, 12], [13, 14, 15, 16]])

_add(
    "conv3x3",
    {"x": _NINE, "weight": _NINE},
    {"cross_correlation": 285.0, "convolution": 165.0},
    "The answer is 231; the nine products written out are not the element-wise ones, "
    "and as printed they add up to 221.",
    wrong={"cross_correlation": 231.0, "printed_products": 221.0},
)
_add(
    "conv_index",
    {"x": _array([[1, 2], [3, 4]]), "weight": _array([[1, 0], [0, 0]])},
    # x[i+m, j+n] with this kernel reads the top left pixel, x[i-m, j-n] the bottom right one.
    {"cross_correlation": 1.0, "convolution": 4.0},
    "The formula sums x[i-m, j-n] in one place and x[i+m, j+n] in others, as if it were the same.",
    wrong={"cross_correlation": 4.0},
)
_add(
    "relu",
    {"x": _array([-1, 2, -3])},
    {"y": _array([0, 2, 0])},
    "(0, 2, 0), which is right.",
)
_add(
    "max_pool",
    {"x": _SIXTEEN, "kernel_size": 2, "stride": 2},
    {"y": _array([[6, 8], [14, 16]])},
    "[[13, 14], [15, 16]].",
    wrong={"y": _array([[13, 14], [15, 16]])},
)
_add(
    "avg_pool",
    {"x": _SIXTEEN, "kernel_size": 2, "stride": 2},
    {"y": _array([[3.5, 5.5], [11.5, 13.5]])},
    "A formula that cannot be evaluated.",
)
_add(
    "dense",
    {"x": _array([1, 2, 3]), "weight": _NINE, "bias": _array([1, 2, 3])},
    {"y": _array([15, 34, 53]), "relu": _array([15, 34, 53])},
    "(14, 31, 48).",
    wrong={"y": _array([14, 31, 48])},
)
_add(
    "conv28",
    {"size": 28, "kernel_size": 5, "pool": 2, "other_kernel_size": 3},
    {"conv": 24, "pooled": 12, "other_conv": 26},
    "28x28 becomes 26x26 and then 13x13; that needs a 3x3 kernel.",
    wrong={"conv": 26, "pooled": 13},
)
_add(
    "softmax_cross_entropy",
    # Logarithms of whole numbers, so that the probabilities are plain fractions.
    {
        "logits": _array([[0.0, np.log(2), np.log(5)], [0.0, 0.0, np.log(2)]]),
        "labels": _fixed([2, 0], np.int64),
    },
    {
        "p": _array([[1 / 8, 2 / 8, 5 / 8], [1 / 4, 1 / 4, 2 / 4]]),
        "loss": (np.log(8 / 5) + np.log(4)) / 2,
        "p_minus_y": _array([[0.125, 0.25, -0.375], [-0.75, 0.25, 0.5]]),
        "dlogits": _array([[0.0625, 0.125, -0.1875], [-0.375, 0.125, 0.25]]),
    },
    "A formula for the gradient that refers to itself; -y/p, the gradient by the probabilities, "
    "taken for the one by the logits; the 1/N of the mean forgotten.",
    wrong={
        "p_minus_y": _array([[0, 0, -8 / 5], [-4, 0, 0]]),
        "dlogits": _array([[0.125, 0.25, -0.375], [-0.75, 0.25, 0.5]]),
    },
)
_add(
    "conv_gradients",
    {"x": _NINE, "weight": _array([[1, 2], [3, 4]]), "dy": _array([[1, -1], [2, 0]])},
    {
        "y": _array([[37, 47], [67, 77]]),
        "dweight": _array([[7, 9], [13, 15]]),
        "dx": _array([[1, 1, -2], [5, 5, -4], [6, 8, 0]]),
    },
    "dW = X^T dY and dX = W^T dY, matrix products that do not even have the right shapes.",
)
_add(
    "relu_mask",
    {"x": _array([-1, 2, -3]), "dy": _array([4, -5, 6])},
    {"dx": _array([0, -5, 0])},
    "The gradient passes where the wrong tensor, the gradient itself, is positive.",
    wrong={"dx": _array([4, 0, 6])},
)
_add(
    "precision_recall",
    {"tp": 8, "fp": 2, "fn": 4, "tn": 6},
    {"precision": 8 / 10, "recall": 8 / 12, "f1": 16 / 22, "accuracy": 14 / 20},
    "Precision and recall are defined by one and the same sentence.",
    wrong={"recall": 8 / 10},
)
_add(
    "fc_in_features",
    {"size": 224, "kernel_size": 3, "padding": 1, "pool": 2, "channels": 32},
    {"pooled": 112, "in_features": 401_408},
    "in_features is 32*56*56, which would take two pools.",
    wrong={"pooled": 56, "in_features": 100_352},
)
_add(
    "simplecnn",
    {
        "size": 224,
        # (kernel_size, stride, padding) of conv, pool, conv, pool, conv, pool
        "layers": ((7, 2, 3), (3, 2, 0), (3, 2, 1), (3, 2, 0), (3, 2, 1), (3, 2, 0)),
        "channels": 256,
    },
    {"sizes": (224, 112, 55, 28, 13, 7, 3), "in_features": 2_304},
    "in_features is 256*6*6.",
    wrong={"in_features": 9_216},
)
_add(
    "s5",
    {
        "size": 224,
        "channels": (3, 32, 64, 128),
        "kernel_size": 3,
        "pool": 2,
        "hidden": 512,
        "classes": 1000,
    },
    {
        "sizes": (224, 222, 111, 109, 54, 52, 26),
        "features": 86_528,
        "parameters": 44_909_096,
    },
    "No shapes and no counts are given.",
)
_add(
    "alexnet_listing",
    {
        "size": 28,
        "kernel_size": 11,
        "stride": 4,
        "layers": ("conv", "conv", "conv", "conv", "dense", "dense"),
    },
    {"first_layer": 5, "conv_layers": 4, "dense_layers": 2},
    "The network has 5 convolutional and 3 dense layers and suits 28x28 images.",
    wrong={"conv_layers": 5, "dense_layers": 3},
)
_add(
    "vgg_rescale",
    {"pixel": 255, "factor": 1 / 255},
    {"once": 1.0, "twice": 1 / 255},
    "Pixels are multiplied by 1/255 by the generator and once more by the model.",
    wrong={"once": 1 / 255},
)
_add(
    "normalize",
    {
        "pixels": _fixed([51, 51, 153, 153], np.uint8),
        "mean": 0.4,
        "std": 0.2,
        # The red channel of ImageNet: what black and white become.
        "imagenet_mean": 0.485,
        "imagenet_std": 0.229,
    },
    {
        "to_tensor": _array([0.2, 0.2, 0.6, 0.6]),
        "normalized": _array([-1, -1, 1, 1]),
        "black": -2.1179,
        "white": 2.2489,
    },
    "Normalize scales pixels to 0..1.",
    wrong={"black": 0.0, "white": 1.0},
)
_add(
    "softmax_twice",
    # Ten classes, and no doubt at all about the one at place 3.
    {"logits": _array([[0, 0, 0, 50, 0, 0, 0, 0, 0, 0]]), "label": 3, "other_label": 4},
    {"once": 0.0, "twice": np.log(np.e + 9) - 1, "twice_and_wrong": np.log(np.e + 9)},
    "A network that is trained with a cross-entropy of logits ends in a softmax layer of its own.",
    wrong={"twice": 0.0},
)
_add(
    "mirror",
    {"size": 32},
    # Which of the fourteen road signs each becomes in the mirror; -1 is none of them.
    {"labels": _fixed([-1, 1, 2, -1, -1, -1, 6, -1, -1, -1, 11, 10, -1, -1], np.int64)},
    "Mirroring half of the training images leaves their labels true.",
    wrong={"labels": _fixed(range(14), np.int64)},
)
_add(
    "view",
    {"shape": (4, 256, 3, 3), "n": 9_216},
    {"rows": 1, "features": 2_304},
    "In view(-1, n), -1 is the number of images.",
    wrong={"rows": 4},
)
_add(
    "mean_of_means",
    {
        "gradients": _array([-1, 0, 0, -8]),
        "workers": (3, 1),
        "losses": _array([0.1] * 32 + [3.4]),
        "batches": (32, 1),
    },
    {"gradient": -2.25, "loss": 0.2},
    "The mean of the means of unequal parts is the mean of all.",
    wrong={"gradient": -25 / 6, "loss": 1.75},
)
