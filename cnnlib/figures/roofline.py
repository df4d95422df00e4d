"""The roofline of one or several machines, with measured layers under it."""

from collections.abc import Iterable, Mapping

import numpy as np
from matplotlib.axes import Axes

from cnnlib.figures.theme import COLOURS, INK, MUTED

_DASHES = ("-", (0, (5, 1.6)), (0, (1.6, 1.4)), (0, (6, 1.5, 1.5, 1.5)))
_TURNS = ("blue", "green", "purple", "black")


def roofline(
    ax: Axes,
    roofs: Mapping[str, tuple[float, float]],
    points: Iterable[tuple[str, float, float]] = (),
    *,
    title: str | None = None,
) -> Axes:
    """Draw what a machine can do at best over arithmetic intensity: a slope, then a flat roof.

    Args:
        ax: where to draw; both axes become logarithmic.
        roofs: label -> (bandwidth in GB/s, peak in GFLOP/s).
        points: (label, FLOP per byte, GFLOP/s) of layers that were timed.
        title: written above.

    Returns:
        ``ax``.

    Raises:
        ValueError: If there is no roof or a number is not positive.
    """
    spots = list(points)
    numbers = [v for pair in roofs.values() for v in pair] + [v for s in spots for v in s[1:]]
    if not roofs or min(numbers) <= 0:
        raise ValueError(
            f"roofline: needs at least one roof and positive numbers, got {roofs}, {spots}"
        )
    ridges = [peak / bandwidth for bandwidth, peak in roofs.values()]
    low = min([s[1] for s in spots] + ridges + [0.1]) / 2
    high = max([s[1] for s in spots] + ridges + [100]) * 6
    for i, ((label, (bandwidth, peak)), ridge) in enumerate(
        zip(roofs.items(), ridges, strict=True)
    ):
        colour = COLOURS[_TURNS[i % 4]]
        along = np.array([low, ridge, high])
        ax.plot(
            along, np.minimum(peak, along * bandwidth), color=colour, ls=_DASHES[i % 4], zorder=2
        )
        ax.annotate(
            f"{label}: {peak:,.0f} GFLOP/s",
            (high, peak),
            # Under the line where the next roof leaves no room above it.
            xytext=(0, -12 if any(peak < p < 5 * peak for _, p in roofs.values()) else 4),
            textcoords="offset points",
            ha="right",
            fontsize=9,
            color=colour,
        )
        ax.plot([ridge], [peak], marker="o", ms=3.5, color=colour, zorder=3)
    spots.sort(key=lambda spot: spot[1])
    for i, (label, x, y) in enumerate(spots):
        ax.plot([x], [y], marker="D", ms=4.5, color=COLOURS["vermillion"], ls="", zorder=4)
        close = i + 1 < len(spots) and spots[i + 1][1] < 8 * x and spots[i + 1][2] < 3 * y
        left = x > np.sqrt(low * high) and (close or 4 * x > high)
        ax.annotate(
            label,
            (x, y),
            xytext=(-6 if left else 6, -11),
            textcoords="offset points",
            ha="right" if left else "left",
            fontsize=8.5,
            color=INK,
        )
    ax.set_xscale("log", base=2)
    ax.set_yscale("log")
    ax.set(xlim=(low, high), xlabel="FLOP per byte", ylabel="GFLOP/s")
    slopes = [low * bandwidth for bandwidth, _ in roofs.values()]
    bottom = min([s[2] / 2.5 for s in spots] + slopes)
    ax.set_ylim(bottom, max(peak for _, peak in roofs.values()) * 3)
    ax.xaxis.set_major_formatter(lambda v, _: f"{v:g}" if v >= 1 else f"1/{1 / v:g}")
    ax.grid(color="#ECECEC", lw=0.6)
    ax.tick_params(colors=MUTED)
    if title:
        ax.set_title(title)
    return ax
