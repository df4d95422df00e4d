"""How many positions a kernel has along one axis, drawn and computed."""

from typing import Any

from cnnlib.interactive._element import MINUS, Element, output_size, paragraph, table, whole

# What the sliders allow: name, least, largest.
RANGES = {"n": (1, 64), "kernel": (1, 15), "stride": (1, 8), "padding": (0, 10), "dilation": (1, 6)}


class OutputSizeExplorer(Element):
    """Slide size, kernel, stride, padding and dilation, and see which windows fit.

    Args:
        n: Pixels along one axis, 1 to 64.
        kernel: Taps of the kernel, 1 to 15.
        stride: Step of the window, 1 to 8.
        padding: Zeros at each end, 0 to 10.
        dilation: Distance between taps, 1 to 6.

    Raises:
        ValueError: If an argument is no whole number in its range. A kernel that does not fit
            is allowed: the figure says so.
    """

    script = "output_size_explorer.js"
    title = "How large is the output?"

    def __init__(
        self, n: int = 28, kernel: int = 5, stride: int = 1, padding: int = 0, dilation: int = 1
    ) -> None:
        given = {"n": n, "kernel": kernel, "stride": stride, "padding": padding}
        given["dilation"] = dilation
        self.values = {
            name: whole("OutputSizeExplorer", name, value, *RANGES[name])
            for name, value in given.items()
        }

    @property
    def output_size(self) -> int:
        """Windows that fit; 0 where the kernel is longer than the padded input."""
        return max(0, output_size(*self.values.values()))

    def _sum(self, minus: str, times: str) -> str:
        n, k, s, p, d = self.values.values()
        inner = f"({n} + 2{times}{p} {minus} {d}{times}({k} {minus} 1) {minus} 1) / {s}"
        if not self.output_size:
            span = d * (k - 1) + 1
            return f"the kernel spans {span}, the padded input has {n + 2 * p}: it does not fit"
        return f"floor({inner}) + 1 = {self.output_size}"

    def __repr__(self) -> str:
        given = ", ".join(f"{name}={value}" for name, value in self.values.items())
        return f"OutputSizeExplorer({given})\n{self._sum('-', '*')}"

    def _spec(self) -> dict[str, Any]:
        return {"values": self.values, "ranges": RANGES}

    def _fallback(self) -> str:
        return table(list(self.values.values()), ", ".join(self.values)) + paragraph(
            f"output size = {self._sum(MINUS, '·')}"
        )
