"""Convolution over several channels: one sum per channel, then their total plus the bias."""

from typing import Any

import numpy as np

from cnnlib.interactive._element import (
    Element,
    array,
    cross_correlate,
    number,
    output_size,
    paragraph,
    plain,
    table,
    text_block,
    whole,
)

CHANNELS, FILTERS, LARGEST = 8, 32, 14


class MultiChannelConv(Element):
    """Choose an output channel and a position, and read every channel's share of the sum.

    Args:
        x: Input, shape (C, H, W), up to 8 channels of 14x14 cells, padding included.
        weight: Filters, shape (O, C, kH, kW).
        bias: One number per filter, shape (O,), or ``None``.
        stride: Step of the window.
        padding: Zeros around every channel.

    Raises:
        ValueError: If shapes do not belong together or a kernel does not fit.
    """

    script = "multi_channel_conv.js"
    title = "Many channels, one sum"

    def __init__(
        self, x: Any, weight: Any, bias: Any = None, *, stride: int = 1, padding: int = 0
    ) -> None:
        who = "MultiChannelConv"
        self.x = array(who, "x", x, 3)
        self.weight = array(who, "weight", weight, 4)
        self.stride = whole(who, "stride", stride, 1)
        self.padding = whole(who, "padding", padding, 0)
        self.bias = None if bias is None else array(who, "bias", bias, 1)
        channels, filters = len(self.x), len(self.weight)
        if self.weight.shape[1] != channels:
            raise ValueError(
                f"{who}: x has {channels} channels but weight expects {self.weight.shape[1]}: "
                f"x {self.x.shape}, weight {self.weight.shape}"
            )
        if self.bias is not None and len(self.bias) != filters:
            raise ValueError(
                f"{who}: bias needs one number per filter: bias {self.bias.shape}, "
                f"weight {self.weight.shape}"
            )
        sizes = [n + 2 * self.padding for n in self.x.shape[1:]]
        if channels > CHANNELS or filters > FILTERS or max(sizes) > LARGEST:
            raise ValueError(
                f"{who}: at most {CHANNELS} channels of {LARGEST}x{LARGEST} cells (with padding) "
                f"and {FILTERS} filters can be shown: x {self.x.shape}, "
                f"weight {self.weight.shape}, padding {self.padding}"
            )
        kernel = self.weight.shape[2:]
        if min(map(output_size, sizes, kernel, [self.stride] * 2)) < 1:
            raise ValueError(
                f"{who}: kernel {kernel} does not fit into the padded input {tuple(sizes)}"
            )
        self.output = np.stack([self._filter(o) for o in range(filters)])

    def _filter(self, o: int) -> np.ndarray:
        # Channel by channel, then the bias: the order of the script.
        parts = [
            cross_correlate(c, k, self.stride, self.padding)
            for c, k in zip(self.x, self.weight[o], strict=True)
        ]
        total = parts[0]
        for part in parts[1:]:
            total = total + part
        return total if self.bias is None else total + self.bias[o]

    def __repr__(self) -> str:
        head = (
            f"MultiChannelConv(x {self.x.shape}, weight {self.weight.shape}, "
            f"stride={self.stride}, padding={self.padding})"
        )
        return text_block(head, output=self.output)

    def _spec(self) -> dict[str, Any]:
        return {
            "x": plain(self.x),
            "w": plain(self.weight),
            "b": None if self.bias is None else plain(self.bias),
            "s": self.stride,
            "p": self.padding,
        }

    def _fallback(self) -> str:
        height, width = self.weight.shape[2:]
        first = np.pad(self.x, ((0, 0), *[(self.padding, self.padding)] * 2))[:, :height, :width]
        sums = (first * self.weight[0]).sum(axis=(1, 2))
        parts = [number(v) for v in sums] + ([] if self.bias is None else [number(self.bias[0])])
        tables = [
            table(self.x[c], f"Input channel {c}")
            + table(self.weight[0, c], f"Filter 0, channel {c}")
            for c in range(len(self.x))
        ]
        note = "sums of the channels" + ("" if self.bias is None else ", then the bias")
        return (
            "".join(tables)
            + table(self.output[0], "Output channel 0")
            + paragraph(
                f"out[0, 0, 0] = {' + '.join(parts)} = {number(self.output[0, 0, 0])} ({note})"
            )
        )
