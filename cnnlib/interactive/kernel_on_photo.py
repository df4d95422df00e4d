"""A 3x3 kernel on a real photograph, with the window and the sum under the cursor."""

import base64
import html
import struct
from collections.abc import Mapping
from typing import Any

import numpy as np

from cnnlib.interactive._element import (
    KERNELS,
    Element,
    array,
    cross_correlate,
    number,
    paragraph,
    plain,
    products,
    table,
    text_block,
)

PIXELS = 14_000  # as base64 under 20 KB


def _grey(photo: Any) -> np.ndarray:
    """Return a photo as (H, W) uint8, block means of whole pixels, in integers throughout."""
    a = np.asarray(photo)
    if (
        a.ndim not in (2, 3)
        or (a.ndim == 3 and a.shape[2] not in (3, 4))
        or a.dtype.kind not in "uif"
    ):
        raise ValueError(
            "KernelOnPhoto: photo must be numbers of shape (H, W) or (H, W, 3): "
            f"photo {a.shape}, {a.dtype}"
        )
    if min(a.shape[:2]) < 8:
        raise ValueError(f"KernelOnPhoto: photo needs at least 8x8 pixels: photo {a.shape}")
    if a.dtype.kind == "f":
        if not (np.isfinite(a).all() and a.min() >= 0 and a.max() <= 1):
            raise ValueError("KernelOnPhoto: a photo of floats must lie in [0, 1]")
        a = np.rint(np.asarray(a, dtype=np.float64) * 255)
    if a.min() < 0 or a.max() > 255:
        raise ValueError("KernelOnPhoto: a photo of integers must lie in 0..255")
    a = a.astype(np.int64)
    if a.ndim == 3:  # luma weights of ITU-R BT.601
        a = (299 * a[..., 0] + 587 * a[..., 1] + 114 * a[..., 2] + 500) // 1000
    f = 1
    while (a.shape[0] // f) * (a.shape[1] // f) > PIXELS:
        f += 1
    height, width = a.shape[0] // f, a.shape[1] // f
    blocks = a[: height * f, : width * f].reshape(height, f, width, f).sum(axis=(1, 3))
    return ((2 * blocks + f * f) // (2 * f * f)).astype(np.uint8)


def _bitmap(grey: np.ndarray) -> str:
    """Return a grey picture as a data address: BMP needs no compressor, so bytes never vary."""
    height, width = grey.shape
    pixels = np.pad(grey, ((0, 0), (0, -width % 4))).tobytes()
    palette = b"".join(bytes((v, v, v, 0)) for v in range(256))
    start = 14 + 40 + len(palette)
    head = b"BM" + struct.pack("<IHHI", start + len(pixels), 0, 0, start)
    # A negative height says that the first row comes first.
    info = struct.pack("<IiiHHIIiiII", 40, width, -height, 1, 8, 0, len(pixels), 2835, 2835, 256, 0)
    return "data:image/bmp;base64," + base64.b64encode(head + info + palette + pixels).decode()


class KernelOnPhoto(Element):
    """Lay an editable 3x3 kernel on a photograph and see the response beside it.

    Args:
        photo: Shape (H, W) or (H, W, 3): integers in 0..255 or floats in [0, 1]. It is turned
            grey and shrunk by block means to at most 14,000 pixels.
        kernels: Names and 3x3 kernels to choose from; the first is shown at the start.
            ``None`` offers blurs, sharpening and edge detectors.
        alt: What the photograph shows, for readers who cannot see it.

    Raises:
        ValueError: If the photo or a kernel has the wrong form.
    """

    script = "kernel_on_photo.js"
    title = "A kernel on a photograph"

    def __init__(
        self, photo: Any, kernels: Mapping[str, Any] | None = None, *, alt: str = "a photograph"
    ) -> None:
        self.photo = _grey(photo)
        self.alt = str(alt)
        if kernels is None:
            kernels = {"Sobel x": KERNELS["Sobel x"], **KERNELS}
        if not isinstance(kernels, Mapping) or not kernels:
            raise ValueError("KernelOnPhoto: kernels must map names to 3x3 arrays")
        self.kernels = {
            str(name): array("KernelOnPhoto", f"kernels[{name!r}]", k, 2)
            for name, k in kernels.items()
        }
        for name, k in self.kernels.items():
            if k.shape != (3, 3):
                raise ValueError(f"KernelOnPhoto: kernels[{name!r}] must be 3x3: {k.shape}")

    @property
    def kernel(self) -> np.ndarray:
        """The kernel shown at the start."""
        return next(iter(self.kernels.values()))

    def response(self, kernel: Any = None) -> np.ndarray:
        """Cross-correlate the shrunken photo with a kernel, shape (H - 2, W - 2)."""
        k = self.kernel if kernel is None else np.asarray(kernel, dtype=np.float64)
        return cross_correlate(self.photo.astype(np.float64), k)

    def __repr__(self) -> str:
        height, width = self.photo.shape
        head = f"KernelOnPhoto({height}x{width} pixels, kernels: {', '.join(self.kernels)})"
        r = self.response()
        return text_block(head, kernel=self.kernel) + (
            f"\nresponse from {number(r.min())} to {number(r.max())}"
        )

    def _spec(self) -> dict[str, Any]:
        return {
            "w": self.photo.shape[1],
            "h": self.photo.shape[0],
            "alt": self.alt,
            "kernels": {name: plain(k) for name, k in self.kernels.items()},
        }

    def _fallback(self) -> str:
        height, width = self.photo.shape
        i, j = height // 2 - 1, width // 2 - 1
        window = self.photo[i : i + 3, j : j + 3].astype(np.float64)
        total = number(self.response()[i, j])
        return (
            f'<img alt="{html.escape(self.alt)}" width="{2 * width}" height="{2 * height}" '
            f'src="{_bitmap(self.photo)}">'
            + table(window, f"Pixels around row {i + 1}, column {j + 1}")
            + table(self.kernel, f"Kernel: {next(iter(self.kernels))}")
            + paragraph(f"response = {products(window, self.kernel)} = {total}")
        )
