"""What happens to a sign between the pole and the picture: every random choice, image by image."""

from typing import NamedTuple

import numpy as np

from cnnlib._road_signs.streams import Stream

CHOICES = 48
"""Random numbers per image, whether or not they are used: so that no image moves another's."""


class Scenes(NamedTuple):
    """The choices for N images, arrays of float64 with N rows unless said otherwise.

    Lengths are in half-widths of the image, angles in radians, light in shares of full scale.
    """

    night: np.ndarray  # (N,) bool
    to_sign: np.ndarray  # (N, 3, 3): homography from image to sign coordinates
    photo: np.ndarray  # (N,) in [0, 1): which photograph
    crop: np.ndarray  # (N, 5): centre x, centre y in [0, 1); width in pixels; angle; mirrored
    tint: np.ndarray  # (N, 3) gain of the clutter's channels
    paint: np.ndarray  # (N, 4): fading 0..1, gains of red, green, blue
    light: np.ndarray  # (N, 3) gain of the whole picture's channels
    lift: np.ndarray  # (N,) haze: added light
    shade: np.ndarray  # (N, 4): direction x, direction y, offset, darkness 0..1
    cover: np.ndarray  # (N, 6): kind 0..1 (0: none), place x, y, angle, half-width, half-length
    lamps: np.ndarray  # (N, 4): gain at the centre of the headlights, x, y, radius (night)
    blur: np.ndarray  # (N, 2): deviation along x and y, in pixels of a 32-pixel image
    noise: np.ndarray  # (N,) deviation


def choose(count: int, stream: Stream, difficulty: float, night: bool | None) -> Scenes:
    """Draw the choices for the next ``count`` images of the stream.

    Args:
        count: N.
        stream: Where the random numbers come from; each image takes the same number of them.
        difficulty: 0 (a clean sign from the front) to 1.
        night: True or False for all images, None for a quarter of them.
    """
    u = iter(stream.uniform(count, CHOICES).T)
    d = difficulty

    def between(low, high) -> np.ndarray:
        return low + (high - low) * next(u)

    def around(spread: float) -> np.ndarray:
        return between(-spread, spread)

    dark = next(u) < 0.25
    if night is not None:
        dark = np.full(count, night)
    yaw, pitch, roll = around(1.0 * d), around(0.6 * d), around(0.45 * d)
    radius = between(0.86 - 0.42 * d, 0.92)  # of the sign, seen from the front
    room = np.maximum(0.0, 1.0 - radius) + 0.16 * d
    to_sign = _homography(yaw, pitch, roll, radius, around(1) * room, around(1) * room)

    photo = next(u)
    # A crop of 40 to 300 pixels of a photograph; small ones are smooth, large ones busy.
    width = 40.0 * 7.5 ** next(u)
    crop = np.stack([next(u), next(u), width, around(0.5), next(u) < 0.5], axis=1)
    tint = np.stack([between(0.7, 1.25) for _ in range(3)], axis=1)
    fading = next(u) ** 2 * 0.75 * d
    paint = np.stack([fading, *(between(1 - 0.25 * d, 1 + 0.12 * d) for _ in range(3))], axis=1)

    gain = between(1 - 0.75 * d, 1 + 0.3 * d)
    gain = np.where(dark, np.maximum(gain, 0.85), gain)  # dark enough by itself
    warmth = around(0.22 * d)
    light = np.stack([gain * (1 + warmth), gain, gain * (1 - warmth)], axis=1)
    lift = next(u) ** 3 * 0.5 * d
    angle, offset, shade = around(np.pi), around(0.8), next(u)
    darkness = np.where(next(u) < 0.6 * d, 0.25 + 0.5 * shade, 0.0)
    shades = np.stack([np.cos(angle), np.sin(angle), offset, darkness], axis=1)

    kind = np.where(next(u) < 0.9 * d, next(u), 0.0)
    cover = np.stack(
        [kind, around(1), around(1), around(np.pi), between(0.08, 0.14 + 0.3 * d), next(u)], axis=1
    )
    lamps = np.stack([between(0.75, 1.3), around(0.8), around(0.8), between(0.9, 1.8)], axis=1)
    blur = np.stack([next(u) ** 2 * 2.4 * d + 0.25, next(u) ** 2 * 1.8 * d + 0.25], axis=1)
    noise = between(0.004, 0.004 + 0.10 * d) * np.where(dark, 1.3, 1.0)
    return Scenes(
        dark, to_sign, photo, crop, tint, paint, light, lift, shades, cover, lamps, blur, noise
    )


def _homography(yaw, pitch, roll, radius, shift_x, shift_y) -> np.ndarray:
    """From image coordinates in -1..1 to the sign's own, in units of its radius; (N, 3, 3).

    A camera at distance 3 looks at the sign, turned by yaw about the upright axis, by pitch about
    the level one and by roll in its plane: (u, v) of the sign lies at R (u, v, 0) and is seen at
    radius * 3 (X, Y) / (3 + Z) + shift.
    """
    cy, sy, cp, sp = np.cos(yaw), np.sin(yaw), np.cos(pitch), np.sin(pitch)
    cr, sr = np.cos(roll), np.sin(roll)
    distance = 3.0
    one = np.ones_like(yaw)
    # The first two columns of R = yaw pitch roll.
    x_u, x_v = cy * cr + sy * sp * sr, -cy * sr + sy * sp * cr
    y_u, y_v = cp * sr, cp * cr
    z_u, z_v = -sy * cr + cy * sp * sr, sy * sr + cy * sp * cr
    third = np.stack([z_u / distance, z_v / distance, one], axis=1)
    first = radius[:, None] * np.stack([x_u, x_v, 0 * one], axis=1) + shift_x[:, None] * third
    second = radius[:, None] * np.stack([y_u, y_v, 0 * one], axis=1) + shift_y[:, None] * third
    to_image = np.stack([first, second, third], axis=1)  # (N, 3, 3)
    return np.linalg.inv(to_image)
