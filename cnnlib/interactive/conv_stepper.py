"""A kernel stepped over a small image, with the sum behind every output cell."""

from typing import Any

import numpy as np

from cnnlib.interactive._element import (
    KERNELS,
    Element,
    cross_correlate,
    matrix,
    number,
    output_size,
    paragraph,
    plain,
    products,
    table,
    text_block,
    whole,
)

LARGEST = 20  # cells along one axis that can still be read


class ConvStepper(Element):
    """Step a kernel over a small image and read the sum behind every output cell.

    The reader moves the window by mouse, touch or arrow keys, edits the kernel, turns it by 180
    degrees (true convolution), or hides the output and predicts it.

    Args:
        image: Numbers, shape (H, W).
        kernel: Numbers, shape (kH, kW).
        stride: Step of the window.
        padding: Zeros around the image on every side.
        dilation: Distance between neighbouring taps of the kernel.

    Raises:
        ValueError: If an argument has the wrong form or the kernel does not fit.
    """

    script = "conv_stepper.js"
    title = "Convolution, step by step"

    def __init__(
        self, image: Any, kernel: Any, *, stride: int = 1, padding: int = 0, dilation: int = 1
    ) -> None:
        self.image = matrix("ConvStepper", "image", image)
        self.kernel = matrix("ConvStepper", "kernel", kernel)
        self.stride = whole("ConvStepper", "stride", stride, 1)
        self.padding = whole("ConvStepper", "padding", padding, 0)
        self.dilation = whole("ConvStepper", "dilation", dilation, 1)
        height, width = (n + 2 * self.padding for n in self.image.shape)
        if max(height, width) > LARGEST:
            raise ValueError(
                f"ConvStepper: image with padding is {height}x{width}, "
                f"at most {LARGEST}x{LARGEST} cells can be shown: crop it"
            )
        args = (self.stride, self.padding, self.dilation)
        sizes = [
            output_size(n, k, *args)
            for n, k in zip(self.image.shape, self.kernel.shape, strict=True)
        ]
        if min(sizes) < 1:
            raise ValueError(
                f"ConvStepper: kernel {self.kernel.shape} with dilation {self.dilation} "
                f"does not fit into the padded image ({height}, {width})"
            )
        self.output = cross_correlate(self.image, self.kernel, *args)

    def __repr__(self) -> str:
        head = (
            f"ConvStepper(stride={self.stride}, padding={self.padding}, dilation={self.dilation})"
        )
        return text_block(head, image=self.image, kernel=self.kernel, output=self.output)

    def _spec(self) -> dict[str, Any]:
        spec = {
            "x": plain(self.image),
            "k": plain(self.kernel),
            "s": self.stride,
            "p": self.padding,
            "d": self.dilation,
        }
        return spec | ({"kernels": KERNELS} if self.kernel.shape == (3, 3) else {})

    def _fallback(self) -> str:
        d, (height, width) = self.dilation, self.kernel.shape
        padded = np.pad(self.image, self.padding)
        first = padded[: d * (height - 1) + 1 : d, : d * (width - 1) + 1 : d]
        total = number(self.output[0, 0])
        return (
            table(self.image, "Input")
            + table(self.kernel, "Kernel")
            + table(self.output, "Output (cross-correlation)")
            + paragraph(f"out[0, 0] = {products(first, self.kernel)} = {total}")
        )
