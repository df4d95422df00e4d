"""The book's figures: arrays in, matplotlib Axes or Figures out; nothing else of cnnlib is used."""

try:
    import matplotlib  # noqa: F401
except ImportError as error:  # pragma: no cover
    raise ImportError(
        "cnnlib.figures draws with matplotlib, which is not installed: pip install matplotlib"
    ) from error

from cnnlib.figures.curves import bars, confusion, function, learning_curves
from cnnlib.figures.diagrams import conv_stack, positions, receptive_field, taps
from cnnlib.figures.flow import flow
from cnnlib.figures.numbers import equation, matrix
from cnnlib.figures.pictures import images, photograph, signed
from cnnlib.figures.roofline import roofline
from cnnlib.figures.theme import COLOURS, INK, MUTED, SIGNED, style

__all__ = [
    "COLOURS",
    "INK",
    "MUTED",
    "SIGNED",
    "bars",
    "confusion",
    "conv_stack",
    "equation",
    "flow",
    "function",
    "images",
    "learning_curves",
    "matrix",
    "photograph",
    "positions",
    "receptive_field",
    "roofline",
    "signed",
    "style",
    "taps",
]
