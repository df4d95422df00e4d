"""What a network has to be given and what its outputs mean: the other half of its weights."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import torch
from torchvision.transforms import v2

from cnnlib.pytorch import data


@dataclass(frozen=True)
class Recipe:
    """How pictures are prepared for a network, and the names of its classes.

    Args:
        size: Height and width of the images.
        resize: Length of an image's shorter side before the middle is cut out.
        mean: Of each channel, as in the data that the network was trained on; one number for
            greyscale, three for colour.
        std: The same for the deviation.
        classes: Name of each output.
        interpolation: How pixels are found between pixels when an image is resized: "bilinear",
            "bicubic" or another value of torchvision's ``InterpolationMode``.

    Raises:
        ValueError: If the numbers fit no picture.
    """

    size: int
    resize: int
    mean: tuple[float, ...]
    std: tuple[float, ...]
    classes: tuple[str, ...]
    interpolation: str = "bilinear"

    def __post_init__(self) -> None:
        good = len(self.mean) == len(self.std) and len(self.mean) in (1, 3) and min(self.std) > 0
        if not good or not 1 <= self.size <= self.resize:
            raise ValueError(
                "Recipe: needs one or three means and positive deviations, and resize at least "
                f"size, got {self.mean}, {self.std}, {self.resize} and {self.size}"
            )

    def transform(self) -> v2.Compose:
        """From any picture to the network's input (C, size, size), normalised once."""
        prepared = data.eval_transform(
            self.size,
            resize=self.resize,
            mean=self.mean,
            std=self.std,
            interpolation=self.interpolation,
        )
        return v2.Compose([v2.ToImage(), Channels(len(self.mean)), *prepared.transforms])

    def train_transform(self, **options: Any) -> v2.Compose:
        """The same with random variation; options as in :func:`data.train_transform`."""
        prepared = data.train_transform(self.size, mean=self.mean, std=self.std, **options)
        return v2.Compose([v2.ToImage(), Channels(len(self.mean)), *prepared.transforms])

    def with_classes(self, classes: Sequence[str]) -> "Recipe":
        """The same preparation for a network with a new head."""
        return replace(self, classes=tuple(classes))

    def to_dict(self) -> dict[str, Any]:
        """As JSON can hold it."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> "Recipe":
        """The inverse of :meth:`to_dict`."""
        lists: Any = {k: tuple(v) if isinstance(v, list) else v for k, v in values.items()}
        return cls(**lists)


class Channels:
    """Turns a tensor image (C, H, W) of one or three channels into one of ``wanted`` channels."""

    def __init__(self, wanted: int):
        self.wanted = wanted

    def __call__(self, image: torch.Tensor) -> torch.Tensor:
        if image.shape[0] == self.wanted:
            return image
        if self.wanted == 1:
            return v2.functional.rgb_to_grayscale(image, num_output_channels=1)
        return v2.functional.grayscale_to_rgb(image)
