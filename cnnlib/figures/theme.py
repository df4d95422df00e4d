"""Colours and matplotlib settings that all figures of the book share."""

import sys
from typing import Any

import matplotlib as mpl
from cycler import cycler
from matplotlib.colors import LinearSegmentedColormap

#: Okabe and Ito's palette, which readers with any common colour vision can tell apart.
COLOURS = {
    "blue": "#0072B2",
    "vermillion": "#D55E00",
    "green": "#009E73",
    "purple": "#CC79A7",
    "orange": "#E69F00",
    "sky": "#56B4E9",
    "black": "#222222",
}
INK = COLOURS["black"]
MUTED = "#767676"

#: Negative values vermillion, zero white, positive values blue.
SIGNED = LinearSegmentedColormap.from_list(
    "cnnlib_signed", ["#8A3B00", "#D55E00", "#F6C9A8", "#FFFFFF", "#B3D7EC", "#0072B2", "#00436B"]
)
#: The same hues, but pale enough for dark numbers to stand on every cell.
PALE = LinearSegmentedColormap.from_list(
    "cnnlib_pale", ["#F0A878", "#FBE3D3", "#FFFFFF", "#DCEDF7", "#8FC4E3"]
)

_SETTINGS: Any = {
    "figure.figsize": (6.4, 3.2),
    "figure.dpi": 110,
    "figure.facecolor": "white",
    "figure.constrained_layout.use": True,
    "savefig.dpi": "figure",
    "savefig.facecolor": "white",
    "font.family": "DejaVu Sans",  # ships with matplotlib: the same picture on every machine
    "font.size": 10,
    "mathtext.fontset": "dejavusans",
    "axes.prop_cycle": cycler(color=list(COLOURS.values())),
    "axes.titlesize": 10,
    "axes.titleweight": "normal",
    "axes.titlepad": 6,
    "axes.labelsize": 10,
    "axes.labelcolor": INK,
    "axes.edgecolor": "#9A9A9A",
    "axes.linewidth": 0.8,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.axisbelow": True,
    "axes.grid": False,
    "grid.color": "#E4E4E4",
    "grid.linewidth": 0.6,
    "text.color": INK,
    "xtick.color": "#555555",
    "ytick.color": "#555555",
    "xtick.labelsize": 9,
    "ytick.labelsize": 9,
    "xtick.major.width": 0.8,
    "ytick.major.width": 0.8,
    "xtick.major.size": 3,
    "ytick.major.size": 3,
    "lines.linewidth": 1.6,
    "lines.markersize": 4,
    "legend.frameon": False,
    "legend.fontsize": 9,
    "image.interpolation": "nearest",
    "image.cmap": "gray",
}
_UNCROPPED: Any = {"bbox_inches": None}


def style() -> None:
    """Set the book's look once per notebook; every later figure follows it.

    In a notebook it also switches off the cropping of figures ("tight" bounding boxes), so that a
    picture has the size that was asked for, to the pixel, whichever version of matplotlib drew it.
    """
    mpl.rcParams.update(_SETTINGS)
    ipython = sys.modules.get("IPython")
    shell = ipython.get_ipython() if ipython else None
    if shell is not None and hasattr(shell, "kernel"):
        from matplotlib_inline.config import InlineBackend

        InlineBackend.instance(parent=shell).print_figure_kwargs = _UNCROPPED
