"""From choices to pictures: warp the sign, lay it on clutter, light it, blur it, add noise."""

from collections.abc import Sequence
from functools import lru_cache
from typing import NamedTuple

import numpy as np

from cnnlib._road_signs.scene import Scenes
from cnnlib._road_signs.templates import EXTENT, MOST_PIXELS, templates

FINE = 2  # samples per pixel along each axis, for the sign
POLE = (0.42, 0.43, 0.45)
TAPS = 4  # the blur reaches this far to each side, in pixels of a 32-pixel image


class Atlas(NamedTuple):
    """Photographs, each at several sizes, as one long row of pixels."""

    pixels: np.ndarray  # (P, 3) float32
    first: np.ndarray  # (photographs, levels): where each picture starts
    shape: np.ndarray  # (photographs, levels, 2): its height and width


def atlas(photographs: Sequence[np.ndarray], levels: int = 4) -> Atlas:
    """Lay out photographs (H, W, 3) of bytes, each one full size, halved, quartered, ..."""
    pixels, first, shape, total = [], [], [], 0
    for photo in photographs:
        picture = photo.astype(np.float32) * np.float32(1 / 255)
        for _ in range(levels):
            height, width = picture.shape[:2]
            pixels.append(picture.reshape(-1, 3))
            first.append(total)
            shape.append((height, width))
            total += height * width
            even = picture[: height // 2 * 2, : width // 2 * 2]
            even = even.reshape(height // 2, 2, width // 2, 2, 3)
            picture = even[:, 0, :, 0] + even[:, 0, :, 1] + even[:, 1, :, 0] + even[:, 1, :, 1]
            picture = picture * np.float32(0.25)
    rows = len(photographs)
    return Atlas(
        np.concatenate(pixels),
        np.array(first, dtype=np.int64).reshape(rows, levels),
        np.array(shape, dtype=np.int64).reshape(rows, levels, 2),
    )


def render(
    labels: np.ndarray, scenes: Scenes, grain: np.ndarray, photos: Atlas, size: int
) -> np.ndarray:
    """Pictures of signs.

    Args:
        labels: Class of each image (N,).
        scenes: The choices for each image.
        grain: Random numbers of mean 0 and deviation 1 for the noise (N, size, size, 3).
        photos: Where the clutter is cut from.
        size: Pixels along each side.

    Returns:
        Bytes (N, size, size, 3).
    """
    light, dark = np.float32(1), scenes.night[:, None, None, None]
    clutter = _clutter(scenes, photos, size) * _per_image(scenes.tint)
    sign = _sign(labels, scenes, clutter, size)  # premultiplied, (N, size, size, 4)
    x, y = _grid(size)
    # At night the lamps light the sign, which throws the light back; all else stays in the dark.
    gain, lx, ly, radius = (_per_image(c) for c in scenes.lamps.T)
    spot = gain * np.exp(-((x - lx) ** 2 + (y - ly) ** 2) / (radius * radius))
    around = np.where(dark, np.float32(0.16) + np.float32(0.10) * spot, light)
    alpha = sign[..., 3:]
    night_blue = np.array([0.75, 0.85, 1.15], dtype=np.float32)
    image = clutter * around * np.where(dark, night_blue, light) * (1 - alpha)
    image += sign[..., :3] * np.where(dark, np.float32(0.28) + np.float32(0.7) * spot, light)
    image *= _per_image(scenes.light)
    image *= _shadow(scenes, x, y)
    image += _per_image(scenes.lift) * (1 - image) * np.where(dark, np.float32(0.3), light)
    image = _blur(image, scenes.blur * (size / 32))
    image += grain * _per_image(scenes.noise)
    return np.rint(np.clip(image, 0, 1) * np.float32(255)).astype(np.uint8)


def _per_image(values: np.ndarray) -> np.ndarray:
    """(N,) or (N, C) as float32 that broadcasts against (N, H, W, C)."""
    return values.reshape(len(values), 1, 1, -1).astype(np.float32)


@lru_cache(maxsize=8)
def _grid(size: int) -> tuple[np.ndarray, np.ndarray]:
    """Coordinates of pixel centres, x (1, 1, size, 1) and y (1, size, 1, 1), from -1 to 1."""
    line = ((np.arange(size) + 0.5) * (2 / size) - 1).astype(np.float32)
    return line.reshape(1, 1, size, 1), line.reshape(1, size, 1, 1)


def _clutter(scenes: Scenes, photos: Atlas, size: int) -> np.ndarray:
    """A turned crop of a photograph behind each sign, (N, size, size, 3)."""
    count = len(scenes.photo)
    which = (scenes.photo * len(photos.first)).astype(np.int64)
    cx, cy, width, angle, mirrored = scenes.crop.T
    # The level whose pixels are about as large as ours, so that sampling neither skips nor smears.
    level = np.floor(np.log2(np.maximum(width / size, 1.0))).astype(np.int64)
    level = np.minimum(level, photos.first.shape[1] - 1)
    rows, cols = (photos.shape[which, level, k] for k in (0, 1))
    half = width / 2 / 2.0**level
    reach = half * 1.36  # of a crop turned by half a radian
    x0 = reach + cx * np.maximum(cols - 2 * reach, 0)
    y0 = reach + cy * np.maximum(rows - 2 * reach, 0)
    cos, sin = half * np.cos(angle), half * np.sin(angle)
    flip = np.where(mirrored, -1.0, 1.0)
    x, y = (a[..., 0] for a in _grid(size))
    a, b, c, d, e, f = (
        v.reshape(count, 1, 1).astype(np.float32)
        for v in (flip * cos, -sin, x0, flip * sin, cos, y0)
    )
    px = np.clip(a * x + b * y + c, 0, (cols - 1.001).reshape(count, 1, 1).astype(np.float32))
    py = np.clip(d * x + e * y + f, 0, (rows - 1.001).reshape(count, 1, 1).astype(np.float32))
    start = photos.first[which, level].reshape(count, 1, 1)
    return _bilinear(photos.pixels, px, py, start, cols.reshape(count, 1, 1))


def _sign(labels: np.ndarray, scenes: Scenes, clutter: np.ndarray, size: int) -> np.ndarray:
    """The sign on its pole as the camera sees it, colours times alpha, (N, size, size, 4)."""
    count, fine = len(labels), size * FINE
    pixels = min(MOST_PIXELS, 2 ** int(np.ceil(np.log2(max(fine, 32)))))
    x, y = (a[..., 0] for a in _grid(fine))
    h = scenes.to_sign.reshape(count, 9, 1, 1).astype(np.float32)
    below = h[:, 6] * x + h[:, 7] * y + h[:, 8]
    u = (h[:, 0] * x + h[:, 1] * y + h[:, 2]) / below  # (N, fine, fine)
    v = (h[:, 3] * x + h[:, 4] * y + h[:, 5]) / below
    scale = np.float32(pixels / (2 * EXTENT))
    limit = np.float32(pixels - 1.001)
    px = np.clip((u + np.float32(EXTENT)) * scale - np.float32(0.5), 0, limit)
    py = np.clip((v + np.float32(EXTENT)) * scale - np.float32(0.5), 0, limit)
    start = labels.reshape(count, 1, 1) * pixels * pixels
    sign = _bilinear(templates(pixels).reshape(-1, 4), px, py, start, pixels)
    pole = (np.abs(u) < 0.07) & (v > 0.5)
    pole = _pooled(((1 - sign[..., 3]) * pole)[..., None], size)  # where no sign stands before it
    sign = _pooled(sign, size)
    fading, *gains = scenes.paint.T
    sign[..., :3] *= _per_image(np.stack(gains, axis=1) * (1 - fading)[:, None])
    sign[..., :3] += sign[..., 3:] * _per_image(0.62 * fading)
    sign += pole * np.array([*POLE, 1], dtype=np.float32)
    return _covered(sign, u, v, scenes, clutter)


def _pooled(fine: np.ndarray, size: int) -> np.ndarray:
    """The mean of each block of FINE x FINE samples."""
    count, _, _, channels = fine.shape
    blocks = fine.reshape(count, size, FINE, size, FINE, channels)
    rows = blocks[:, :, 0] + blocks[:, :, 1]
    return (rows[:, :, :, 0] + rows[:, :, :, 1]) * np.float32(1 / FINE**2)


def _covered(sign, u, v, scenes: Scenes, clutter) -> np.ndarray:
    """Lay a branch, a sticker or dirt over part of the sign."""
    kind, cx, cy, angle, narrow, long = (
        c.reshape(-1, 1, 1).astype(np.float32) for c in scenes.cover.T
    )
    u, v = (a[:, ::FINE, ::FINE] - b for a, b in ((u, 0.75 * cx), (v, 0.75 * cy)))
    across = u * np.cos(angle) + v * np.sin(angle)
    along = v * np.cos(angle) - u * np.sin(angle)
    length = np.where(kind > 0.5, narrow * (1 + long), np.float32(3))
    inside = (across / narrow) ** 2 + (along / length) ** 2
    hidden = np.clip((np.float32(1.25) - inside) * 2, 0, 1) * (kind > 0)
    hidden = hidden[..., None]
    # What covers is cut from the same photograph, mirrored and darker, or is a plain sticker.
    plain = np.stack([0.5 + 0.4 * scenes.cover[:, k] for k in (1, 2, 5)], axis=1)
    texture = np.where(
        kind[..., None] > 0.75, _per_image(plain), clutter[:, ::-1, ::-1] * np.float32(0.6)
    )
    texture = np.concatenate([texture, np.ones_like(texture[..., :1])], axis=-1)
    return sign * (1 - hidden) + texture * hidden


def _shadow(scenes: Scenes, x, y) -> np.ndarray:
    """A soft-edged shadow over part of the picture, as a factor (N, H, W, 1)."""
    dx, dy, offset, darkness = (_per_image(c) for c in scenes.shade.T)
    edge = np.clip((dx * x + dy * y - offset) * 4 + np.float32(0.5), 0, 1)
    return 1 - darkness * edge


def _bilinear(pixels, px, py, start, width) -> np.ndarray:
    """Sample pictures that lie row by row in ``pixels`` (P, C) at (px, py), from ``start`` on."""
    left, top = px.astype(np.int64), py.astype(np.int64)
    right, down = (px - left)[..., None], (py - top)[..., None]
    corner = start + top * width + left
    upper, lower = (_between(pixels, first, right) for first in (corner, corner + width))
    lower -= upper
    lower *= down
    lower += upper
    return lower


def _between(pixels, first, share):
    """The pixels a share of the way from those at ``first`` to their right-hand neighbours."""
    value = pixels.take(first, axis=0, mode="clip")
    step = pixels.take(first + 1, axis=0, mode="clip")
    step -= value
    step *= share
    step += value
    return step


def _blur(image: np.ndarray, deviation: np.ndarray) -> np.ndarray:
    """Blur each picture along x and y by its own two deviations, in pixels."""
    reach = max(1, round(TAPS * image.shape[1] / 32))
    offsets = np.arange(-reach, reach + 1)
    weights = np.exp(-0.5 * (offsets / deviation[..., None]) ** 2)  # (N, 2, taps)
    weights = (weights / weights.sum(axis=-1, keepdims=True)).astype(np.float32)
    for axis, column in ((2, 0), (1, 1)):
        spread = [(0, 0)] * 4
        spread[axis] = (reach, reach)
        padded = np.pad(image, spread, mode="edge")
        image = np.zeros_like(image)
        for k in range(len(offsets)):
            window = (
                padded[:, :, k : k + image.shape[2]]
                if axis == 2
                else (padded[:, k : k + image.shape[1]])
            )
            image += window * weights[:, column, k].reshape(-1, 1, 1, 1)
    return image
