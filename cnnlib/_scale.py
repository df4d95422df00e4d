"""Which of the two tiers a notebook runs at: minutes on a laptop, or a full run on a GPU."""

import os
from typing import Literal, cast


def scale() -> Literal["laptop", "full"]:
    """The tier that the environment variable ``CNNLIB_SCALE`` asks for.

    Returns:
        ``"laptop"`` (the default: every chapter in minutes, offline) or ``"full"``.

    Raises:
        ValueError: If the variable holds anything else.
    """
    value = os.environ.get("CNNLIB_SCALE", "laptop")
    if value not in ("laptop", "full"):
        raise ValueError(f"CNNLIB_SCALE must be 'laptop' or 'full', got {value!r}")
    return cast('Literal["laptop", "full"]', value)
