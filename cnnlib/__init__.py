"""Convolutional networks worked out by hand: the companion package of the book."""

from cnnlib import calibration, datasets, examples, gradcheck, init, metrics, ops
from cnnlib._measured import measured
from cnnlib._scale import scale
from cnnlib.layers import (
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
from cnnlib.listing import show_source
from cnnlib.losses import CrossEntropyLoss
from cnnlib.optim import SGD, Adam

__version__ = "0.1.0"

__all__ = [
    "SGD",
    "Adam",
    "AvgPool2d",
    "BatchNorm2d",
    "Conv2d",
    "CrossEntropyLoss",
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
    "__version__",
    "calibration",
    "datasets",
    "examples",
    "gradcheck",
    "init",
    "measured",
    "metrics",
    "ops",
    "scale",
    "show_source",
]
