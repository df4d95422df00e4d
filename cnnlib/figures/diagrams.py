"""Drawings of how kernels meet their input: positions, taps, receptive fields, channels."""

from collections.abc import Sequence

from matplotlib.axes import Axes
from matplotlib.patches import Polygon, Rectangle

from cnnlib.figures.theme import COLOURS, INK, MUTED

_LINE = "#8C8C8C"
_FILL = "#CFE5F3"


def positions(
    ax: Axes,
    n: int,
    kernel: int,
    *,
    stride: int = 1,
    padding: int = 0,
    dilation: int = 1,
    title: str | None = None,
) -> Axes:
    """Draw a row of pixels and, under it, every place where a kernel may start.

    Args:
        ax: where to draw.
        n: pixels along one side of the image.
        kernel: taps of the kernel along that side.
        stride: steps between two starts.
        padding: zeros added at either end (drawn dashed).
        dilation: distance between two taps.
        title: written above.

    Returns:
        ``ax``; pixels that no window reaches are hatched.
    """
    total, span = n + 2 * padding, dilation * (kernel - 1) + 1
    starts = list(range(0, total - span + 1, stride))
    used = {s + t * dilation for s in starts for t in range(kernel)}
    for i in range(total):
        inside = padding <= i < padding + n
        style = "-" if inside else (0, (2, 1.5))
        ax.add_patch(
            Rectangle(
                (i, 0), 1, 1, facecolor="#F2F2F2" if inside else "white", edgecolor=_LINE, ls=style
            )
        )
        if i not in used:
            ax.add_patch(
                Rectangle((i, 0), 1, 1, fill=False, hatch="////", edgecolor="#BBBBBB", lw=0)
            )
        text = str(i - padding) if inside else "0"
        ax.text(
            i + 0.5, 0.5, text, ha="center", va="center", color=INK if inside else MUTED, size=9
        )
    for row, start in enumerate(starts):
        y = 1.45 + 0.8 * row
        ax.plot((start + 0.5, start + span - 0.5), (y, y), color=COLOURS["blue"], lw=1)
        for tap in range(kernel):
            corner = (start + tap * dilation + 0.14, y - 0.26)
            ax.add_patch(Rectangle(corner, 0.72, 0.52, facecolor=COLOURS["blue"], lw=0))
        ax.text(-0.25, y, f"output {row}", ha="right", va="center", size=9)
    ax.set(xlim=(-2.4, total + 0.1), ylim=(1.45 + 0.8 * len(starts) - 0.3, -0.12), aspect="equal")
    ax.axis("off")
    if title:
        ax.set_title(title)
    return ax


def taps(
    ax: Axes,
    n: int,
    kernel: int,
    *,
    stride: int = 1,
    padding: int = 0,
    dilation: int = 1,
    at: Sequence[tuple[int, int]] = ((0, 0),),
    title: str | None = None,
) -> Axes:
    """Draw an n x n image with its padding and the pixels that chosen outputs read.

    Args:
        ax: where to draw.
        n: pixels along each side.
        kernel: taps along each side.
        stride: steps between two windows.
        padding: zeros around the image (drawn dashed).
        dilation: distance between two taps.
        at: outputs (row, column) whose windows are drawn, the first blue, the second orange.
        title: written above.

    Returns:
        ``ax``.
    """
    span = dilation * (kernel - 1) + 1
    for i in range(-padding, n + padding):
        for j in range(-padding, n + padding):
            inside = 0 <= i < n and 0 <= j < n
            ax.add_patch(
                Rectangle(
                    (j, i),
                    1,
                    1,
                    facecolor="#F2F2F2" if inside else "white",
                    edgecolor="#B5B5B5",
                    lw=0.7 if inside else 0.5,
                    ls="-" if inside else (0, (2, 1.5)),
                )
            )
    for number, (row, col) in enumerate(at):
        colour = COLOURS[("blue", "orange", "green", "purple")[number % 4]]
        top, left = row * stride - padding, col * stride - padding
        for i in range(kernel):
            for j in range(kernel):
                corner = (left + j * dilation + 0.16, top + i * dilation + 0.16)
                ax.add_patch(Rectangle(corner, 0.68, 0.68, facecolor=colour, alpha=0.75, lw=0))
        ax.add_patch(
            Rectangle(
                (left, top),
                span,
                span,
                fill=False,
                edgecolor=colour,
                lw=2,
                zorder=3,
                ls=_dash(number),
            )
        )
    edge = padding + 0.15
    ax.set(xlim=(-edge, n + edge), ylim=(n + edge, -edge), aspect="equal")
    ax.axis("off")
    if title:
        ax.set_title(title)
    return ax


def receptive_field(
    ax: Axes, layers: Sequence[tuple[int, int]], *, names: Sequence[str] | None = None
) -> Axes:
    """Draw, in one dimension, what one unit on top of a stack of layers sees of the layers below.

    Args:
        ax: where to draw.
        layers: (kernel, stride) of each layer, from the input up.
        names: name of the input and of each layer; numbered if not given.

    Returns:
        ``ax``; the input is the lowest row.
    """
    widths = [1]
    for kernel, stride in reversed(layers):
        widths.append(stride * (widths[-1] - 1) + kernel)
    widths.reverse()  # of the field in the input, after layer 1, ..., at the top
    labels = names or ["input"] + [f"layer {i + 1}" for i in range(len(layers))]
    centres = [[0.0] * 0 for _ in widths]
    centres[0] = [i - (widths[0] - 1) / 2 for i in range(widths[0])]
    for level, (kernel, stride) in enumerate(layers):
        below = centres[level]
        for i in range(widths[level + 1]):
            window = below[i * stride : i * stride + kernel]
            centres[level + 1].append(sum(window) / kernel)
            for x in window:
                ends = ((centres[level + 1][-1], x), (1.6 * (level + 1) - 0.4, 1.6 * level + 0.4))
                ax.plot(*ends, color="#A9A9A9", lw=0.7, zorder=0)
    for level, row in enumerate(centres):
        top = level == len(layers)
        for x in row:
            face = COLOURS["orange"] if top else _FILL
            ax.add_patch(
                Rectangle((x - 0.4, 1.6 * level - 0.4), 0.8, 0.8, facecolor=face, edgecolor=_LINE)
            )
        count = f"{len(row)} unit" + ("s" if len(row) > 1 else "")
        left, right = -widths[0] / 2 - 0.4, widths[0] / 2 + 0.4
        ax.text(left, 1.6 * level, labels[level], ha="right", va="center", size=9)
        ax.text(right, 1.6 * level, count, ha="left", va="center", size=9, color=MUTED)
    ax.set(
        xlim=(-widths[0] / 2 - 2.8, widths[0] / 2 + 2.6),
        ylim=(-0.6, 1.6 * len(layers) + 0.6),
        aspect="equal",
    )
    ax.axis("off")
    return ax


def conv_stack(ax: Axes, channels: int = 3, filters: int = 4) -> Axes:
    """Draw how C input channels and O filters of C kernels each make O output maps.

    Args:
        ax: where to draw.
        channels: C, the maps of the input and the kernels of each filter.
        filters: O, the filters and the maps of the output.

    Returns:
        ``ax``.
    """
    rows = [1.15 * i for i in range(filters)]
    middle = (rows[0] + rows[-1] + 0.7) / 2
    _maps(ax, 0.0, middle - 1.0, 2.0, channels, 0.22, _FILL)
    for number, y in enumerate(rows):
        chosen = number == 0
        face = "#F9E1B0" if chosen else "#EFEFEF"
        _maps(ax, 4.6, y, 0.62, channels, 0.16, face)
        spread = 0.16 * (number - (filters - 1) / 2)
        here, there = (5.85 + 0.16 * (channels - 1) - 0.3, y + 0.31), (8.2, middle + 1.3 * spread)
        shade = COLOURS["orange"] if chosen else "#C9C9C9"
        start = (2.2 + 0.22 * (channels - 1), middle)
        arrow = {"arrowstyle": "-|>", "lw": 1.4 if chosen else 0.8, "color": shade, "shrinkA": 0}
        for a, b in ((start, (4.45, y + 0.31)), (here, there)):
            ax.annotate("", b, a, arrowprops=arrow)
    _maps(ax, 8.35, middle - 0.9, 1.7, filters, 0.22, "#EFEFEF", first="#F9E1B0")
    bottom = rows[-1] + 1.0
    for x, text in (
        (1.0 + 0.11 * channels, f"input: {channels} channels\n(C, H, W)"),
        (5.0 + 0.08 * channels, f"{filters} filters, each {channels} kernels\n(O, C, kH, kW)"),
        (9.2 + 0.11 * filters, f"output: {filters} maps\n(O, oH, oW)"),
    ):
        ax.text(x, bottom, text, ha="center", va="top", size=9, linespacing=1.4)
    ax.set(xlim=(-0.2, 11.2), ylim=(bottom + 1.0, -0.7), aspect="equal")
    ax.axis("off")
    return ax


def _maps(
    ax: Axes, x: float, y: float, side: float, count: int, step: float, face: str, first: str = ""
) -> None:
    """Squares one behind the other; the first lies in front."""
    for i in reversed(range(count)):
        left, top = x + i * step, y - i * step
        corners = [(left, top), (left + side, top), (left + side, top + side), (left, top + side)]
        colour = first if first and i == 0 else face
        ax.add_patch(Polygon(corners, facecolor=colour, edgecolor=_LINE, lw=0.8, zorder=2))


def _dash(number: int) -> object:
    return ("-", (0, (4, 1.5)), (0, (1.5, 1)), (0, (6, 1, 1, 1)))[number % 4]
