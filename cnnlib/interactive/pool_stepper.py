"""PoolStepper: maximum and average pooling, and the way the gradient takes back through them."""

from typing import Any

import numpy as np

from cnnlib.interactive._element import (
    Element,
    factor,
    matrix,
    number,
    output_size,
    paragraph,
    plain,
    table,
    text_block,
    whole,
)

MODES = ("max", "average")


def _pair(name: str, value: Any, low: int, high: int | None = None) -> tuple[int, int]:
    items = value if isinstance(value, tuple | list) else (value, value)
    if len(items) != 2:
        raise ValueError(f"PoolStepper: {name} must be a whole number or two: {name}={value!r}")
    h, w = (whole("PoolStepper", name, v, low, high) for v in items)
    return h, w


class PoolStepper(Element):
    """Step a pooling window over a small image, forward and backward.

    Forward shows the maximum or the mean of each window with its numbers. Backward sends an
    upstream gradient to the first maximum of the window, or shares it equally (as torch does,
    padding included). Buttons shift the image by a pixel to show how many outputs notice.

    Args:
        image: Array of shape (H, W), at most 12 x 12.
        kernel_size: Window height and width, an int or a pair.
        stride: Step of the window; the window's own size if None.
        padding: Rows and columns added on each side (minus infinity for the maximum, zero for the
            mean), at most half the window.
        upstream: Gradient of shape (OH, OW); whole numbers from a fixed seed if None.
        mode: What is shown first, "max" or "average".

    Raises:
        ValueError: If an argument is outside these limits or the window does not fit.

    Source: ordinary max- and average-pooling as in torch.nn.functional.
    """

    script = "pool_stepper.js"
    title = "Pooling and its gradient"

    def __init__(
        self,
        image: Any,
        kernel_size: Any = 2,
        *,
        stride: Any = None,
        padding: Any = 0,
        upstream: Any = None,
        mode: str = "max",
    ) -> None:
        self.image = matrix("PoolStepper", "image", image)
        if max(self.image.shape) > 12:
            raise ValueError(f"PoolStepper: image may have 12 x 12 pixels: {self.image.shape}")
        self.kernel_size = _pair("kernel_size", kernel_size, 1)
        self.stride = self.kernel_size if stride is None else _pair("stride", stride, 1)
        self.padding = _pair("padding", padding, 0)
        if any(2 * p > k for p, k in zip(self.padding, self.kernel_size, strict=True)):
            raise ValueError(
                "PoolStepper: padding must be at most half of kernel_size: "
                f"padding={self.padding}, kernel_size={self.kernel_size}"
            )
        if mode not in MODES:
            raise ValueError(f"PoolStepper: mode must be one of {MODES}: mode={mode!r}")
        self.mode = mode
        axes = zip(self.image.shape, self.kernel_size, self.stride, self.padding, strict=True)
        shape = tuple(output_size(n, k, s, p) for n, k, s, p in axes)
        if min(shape) < 1:
            raise ValueError(
                f"PoolStepper: the window does not fit: image {self.image.shape}, "
                f"kernel_size={self.kernel_size}, padding={self.padding}"
            )
        if upstream is None:
            rng = np.random.default_rng(0)
            upstream = rng.integers(1, 6, shape) * rng.choice([-1, 1], shape, p=[0.3, 0.7])
        self.upstream = matrix("PoolStepper", "upstream", upstream)
        if self.upstream.shape != shape:
            raise ValueError(
                f"PoolStepper: upstream {self.upstream.shape} must have the output's shape {shape}"
            )

    def _windows(self) -> np.ndarray:
        """Return the windows as rows, (OH, OW, kH*kW), padded for the chosen mode."""
        fill = -np.inf if self.mode == "max" else 0.0
        p, q = self.padding
        x = np.pad(self.image, ((p, p), (q, q)), constant_values=fill)
        view = np.lib.stride_tricks.sliding_window_view(x, self.kernel_size)
        view = view[:: self.stride[0], :: self.stride[1]]  # (OH, OW, kH, kW)
        return view.reshape(*view.shape[:2], -1)

    def forward(self) -> np.ndarray:
        """Return the pooled image, shape (OH, OW)."""
        windows = self._windows()
        return windows.max(axis=-1) if self.mode == "max" else windows.mean(axis=-1)

    def backward(self) -> np.ndarray:
        """Return the gradient of the image, shape (H, W), for the upstream gradient."""
        windows = self._windows()
        size = windows.shape[-1]
        if self.mode == "max":
            share = np.eye(size)[windows.argmax(axis=-1)]  # argmax takes the first maximum
        else:
            share = np.full_like(windows, 1 / size)
        share = (share * self.upstream[..., None]).reshape(*self.upstream.shape, *self.kernel_size)
        (p, q), (h, w) = self.padding, self.image.shape
        dx = np.zeros((h + 2 * p, w + 2 * q))
        for i, j in np.ndindex(self.upstream.shape):
            r, c = i * self.stride[0], j * self.stride[1]
            dx[r : r + self.kernel_size[0], c : c + self.kernel_size[1]] += share[i, j]
        return dx[p : p + h, q : q + w]

    def _spec(self) -> dict[str, Any]:
        return {
            "x": plain(self.image),
            "dy": plain(self.upstream),
            "kernel": self.kernel_size,
            "stride": self.stride,
            "padding": self.padding,
            "mode": self.mode,
        }

    def _fallback(self) -> str:
        y, first = self.forward(), self._windows()[0, 0]
        if self.mode == "max":
            terms = f"max({', '.join(number(v) for v in first)})"
        else:
            terms = f"({' + '.join(factor(v) for v in first)}) / {first.size}"
        return (
            table(self.image, "Input x")
            + table(y, f"Output y ({self.mode} pooling)")
            + table(self.upstream, "Upstream gradient dy")
            + table(self.backward(), "Gradient dx")
            + paragraph(f"y[0, 0] = {terms} = {number(y[0, 0])}")
        )

    def __repr__(self) -> str:
        head = (
            f"PoolStepper(kernel_size={self.kernel_size}, stride={self.stride}, "
            f"padding={self.padding}, mode={self.mode!r})"
        )
        return text_block(
            head,
            input=self.image,
            output=self.forward(),
            upstream=self.upstream,
            dx=self.backward(),
        )
