"""Photographs, grids of small images and signed maps."""

import textwrap
from collections.abc import Sequence
from math import ceil
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from cnnlib.figures.theme import MUTED, SIGNED


def images(
    arrays: Any,
    titles: Sequence[Any] | None = None,
    *,
    cols: int | None = None,
    cmap: Any = "gray",
    size: float = 1.6,
    vmin: float | None = None,
    vmax: float | None = None,
) -> Figure:
    r"""Show pictures side by side, or in a grid.

    Args:
        arrays: a sequence of images, each (H, W), (1, H, W) or (H, W, 3).
        titles: one per image.
        cols: images per row; all in one row, up to eight, if not given.
        cmap: colour map for images without colour.
        size: height of one image in inches.
        vmin: value shown darkest; each image's own minimum if not given.
        vmax: value shown brightest.

    Returns:
        The figure.
    """
    pictures = [_plain(image) for image in arrays]
    if not pictures:
        raise ValueError("images: there is no image to show")
    if titles is not None and len(titles) != len(pictures):
        raise ValueError(f"images: {len(pictures)} images but {len(titles)} titles")
    columns = min(len(pictures), cols or 8)
    rows = ceil(len(pictures) / columns)
    wide = max(image.shape[1] / image.shape[0] for image in pictures)
    heads = [] if titles is None else [str(title) for title in titles]
    lines = max((head.count("\n") + 1 for head in heads), default=0)
    figure, axes = plt.subplots(
        rows,
        columns,
        figsize=(columns * size * wide + 0.1, rows * (size + 0.2 * lines) + 0.1),
        squeeze=False,
    )
    for ax in axes.flat:
        ax.axis("off")
    for i, (ax, image) in enumerate(zip(axes.flat, pictures, strict=False)):
        ax.imshow(image, cmap=cmap, vmin=vmin, vmax=vmax)
        if titles is not None:
            ax.set_title(str(titles[i]), fontsize=9.5)
    return figure


def photograph(ax: Axes, array: Any, *, title: str | None = None, credit: str = "") -> Axes:
    """Show one photograph, with its credit in small letters under it.

    Args:
        ax: where to draw.
        array: (H, W, 3) or (H, W), 0..255 integers or 0..1 floats.
        title: written above.
        credit: photographer, licence.

    Returns:
        ``ax``.
    """
    ax.imshow(_plain(array), cmap="gray")
    ax.axis("off")
    if title:
        ax.set_title(title)
    if credit:
        spec = ax.get_subplotspec()
        columns = spec.get_gridspec().ncols if spec else 1
        inches = ax.figure.bbox.width / ax.figure.dpi / columns
        lines = textwrap.fill(credit, int(17 * inches))  # letters of this size in an inch
        below: Any = {"transform": ax.transAxes, "ha": "left", "va": "top"}
        ax.text(0, -0.02, lines, **below, fontsize=6.5, color=MUTED, linespacing=1.3)
    return ax


def signed(
    ax: Axes,
    array: Any,
    *,
    title: str | None = None,
    limit: float | None = None,
    colorbar: bool = True,
) -> Axes:
    r"""Show a map of signed values: blue above zero, vermillion below, white at zero.

    Args:
        ax: where to draw.
        array: (H, W) values.
        title: written above.
        limit: the value of full colour; the largest magnitude if not given.
        colorbar: whether to draw the scale beside it.

    Returns:
        ``ax``.
    """
    values = _plain(array).astype(float)
    bound = float(np.abs(values).max()) or 1.0 if limit is None else limit
    picture = ax.imshow(values, cmap=SIGNED, vmin=-bound, vmax=bound)
    ax.set(xticks=[], yticks=[])
    ax.spines[["top", "right"]].set_visible(True)
    if title:
        ax.set_title(title)
    if colorbar:
        bar = ax.figure.colorbar(picture, ax=ax, shrink=0.85, aspect=18, pad=0.02)
        bar.outline.set_linewidth(0.5)
        bar.ax.tick_params(labelsize=8, length=2)
    return ax


def _plain(image: Any) -> np.ndarray:
    """The image as (H, W) or (H, W, 3)."""
    array = np.asarray(image)
    while array.ndim > 2 and array.shape[0] == 1:
        array = array[0]
    if array.ndim == 3 and array.shape[2] == 1:
        array = array[:, :, 0]
    if array.ndim == 2 or (array.ndim == 3 and array.shape[2] in (3, 4)):
        return array
    raise ValueError(f"an image must be (H, W), (1, H, W) or (H, W, 3), got shape {array.shape}")
