"""A photograph with a window that shows the numbers of its pixels."""

import base64
from typing import Any

import numpy as np

from cnnlib.interactive._element import Element, paragraph, table, text_block, whole

MOST_PIXELS = 40_000


class PixelExplorer(Element):
    """Move over a photograph and read the red, green and blue of the pixels under the pointer.

    Args:
        photo: (H, W, 3) array of uint8, at most 40,000 pixels: they travel with the page.
        row: row of the pixel that is marked first; the middle one if not given.
        column: its column.
        window: how many rows and columns of numbers are shown, an odd number.

    Raises:
        ValueError: If the photograph has another shape, type or size, or a position is outside.
    """

    script = "pixel_explorer.js"
    title = "A photograph and its numbers"

    def __init__(
        self, photo: Any, *, row: int | None = None, column: int | None = None, window: int = 5
    ):
        photo = np.array(photo)
        if photo.ndim != 3 or photo.shape[2] != 3 or photo.dtype != np.uint8:
            raise ValueError(
                f"PixelExplorer: photo must be (H, W, 3) of uint8: {photo.shape}, {photo.dtype}"
            )
        height, width, _ = photo.shape
        if height * width > MOST_PIXELS:
            raise ValueError(
                f"PixelExplorer: photo has {height * width:,} pixels, at most {MOST_PIXELS:,} fit "
                "into a page; give a crop, or every n-th pixel as photo[::n, ::n]"
            )
        self.window = whole("PixelExplorer", "window", window, 1, min(9, height, width))
        if self.window % 2 == 0:
            raise ValueError(f"PixelExplorer: window must be odd: window={window}")
        self.photo = photo
        self.row = whole("PixelExplorer", "row", height // 2 if row is None else row, 0, height - 1)
        self.column = whole(
            "PixelExplorer", "column", width // 2 if column is None else column, 0, width - 1
        )

    def _corner(self) -> tuple[int, int]:
        """Row and column where the window starts: it stays inside the photograph."""
        half, (height, width, _) = self.window // 2, self.photo.shape
        top = min(max(self.row - half, 0), height - self.window)
        return top, min(max(self.column - half, 0), width - self.window)

    def _channels(self) -> dict[str, np.ndarray]:
        top, left = self._corner()
        part = self.photo[top : top + self.window, left : left + self.window]
        return {name: part[:, :, k] for k, name in enumerate(("red", "green", "blue"))}

    def _spec(self) -> dict[str, Any]:
        height, width, _ = self.photo.shape
        return {
            "photo": base64.b64encode(self.photo.tobytes()).decode(),
            "rows": height,
            "columns": width,
            "size": self.window,
            "at": [self.row, self.column],
        }

    def _fallback(self) -> str:
        top, left = self._corner()
        values = ", ".join(str(v) for v in self.photo[self.row, self.column])
        where = f"from row {top}, column {left}"
        grids = "".join(table(part, f"{name}, {where}") for name, part in self._channels().items())
        return grids + paragraph(f"photo[{self.row}, {self.column}] = ({values})")

    def __repr__(self) -> str:
        height, width, _ = self.photo.shape
        head = f"PixelExplorer({height}x{width}, row={self.row}, column={self.column})"
        return text_block(head, **self._channels())
