"""Figures to play with in the static book, in Jupyter and in Colab, with no kernel needed.

Every object has ``_repr_html_`` (one custom element, one script, fallback tables) and a
``__repr__`` that prints its numbers. Nothing is fetched; the output is the same on every run.
"""

from importlib import import_module
from typing import Any

# Loaded on first use: a figure's script is read only where it is shown.
_WHERE = {
    "ActivationExplorer": "activation_explorer",
    "ArchitectureExplorer": "architecture_explorer",
    "ConvStepper": "conv_stepper",
    "FreezingExplorer": "freezing_explorer",
    "KernelOnPhoto": "kernel_on_photo",
    "MultiChannelConv": "multi_channel_conv",
    "OutputSizeExplorer": "output_size_explorer",
    "PixelExplorer": "pixel_explorer",
    "PoolStepper": "pool_stepper",
    "RooflineExplorer": "roofline_explorer",
    "SoftmaxExplorer": "softmax_explorer",
    "TrainingCostExplorer": "training_cost_explorer",
    "BackpropStepper": "backprop_stepper",
    "LearningRateExplorer": "learning_rate_explorer",
}

__all__ = sorted(_WHERE)


def __getattr__(name: str) -> Any:
    if name not in _WHERE:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(f"{__name__}.{_WHERE[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *_WHERE})
