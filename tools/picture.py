"""Draw _static/cover.png, the picture of the README and of the first page, from real numbers."""

from __future__ import annotations

import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

import matplotlib  # noqa: E402

matplotlib.use("Agg")

import matplotlib.pyplot as plt  # noqa: E402
import numpy as np  # noqa: E402

from cnnlib import datasets, figures, ops  # noqa: E402


def main() -> None:
    """A photograph, nine numbers, and what the nine numbers see."""
    figures.style()
    photo = datasets.photograph("china")[60:380, 130:610]
    grey = photo.mean(axis=2)[::2, ::2] / 255
    kernel = np.array([[-1.0, 0, 1], [-2, 0, 2], [-1, 0, 1]])
    y, _ = ops.conv2d_forward(grey[None, None], kernel[None, None])
    fig, axes = plt.subplots(1, 3, figsize=(9, 2.9), width_ratios=[1.5, 0.75, 1.5])
    axes[0].imshow(grey, cmap="gray", vmin=0, vmax=1)
    axes[0].set_title(f"{grey.shape[0]} x {grey.shape[1]} pixels")
    figures.matrix(axes[1], kernel, title="nine numbers")
    figures.signed(axes[2], y[0, 0])
    axes[2].set_title(f"{y.shape[2]} x {y.shape[3]} sums: edges")
    for ax in (axes[0], axes[2]):
        ax.set_xticks([])
        ax.set_yticks([])
    fig.savefig(ROOT / "_static" / "cover.png", dpi=150, metadata={"Software": None})


if __name__ == "__main__":
    main()
