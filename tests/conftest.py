"""One fixture: the array libraries that every operation has to run on."""

from collections.abc import Callable
from typing import Any

import array_api_strict
import numpy as np
import pytest
import torch

torch.set_num_threads(1)


def read_only(array: np.ndarray) -> np.ndarray:
    """A copy that raises when it is written to."""
    copy = np.array(array)
    copy.flags.writeable = False
    return copy


LIBRARIES: dict[str, Callable[[np.ndarray], Any]] = {
    "numpy": np.array,
    "numpy read-only": read_only,
    "array_api_strict": lambda a: array_api_strict.asarray(np.array(a)),
    "torch cpu": lambda a: torch.tensor(a),
}
if torch.cuda.is_available():
    LIBRARIES["torch cuda"] = lambda a: torch.tensor(a, device="cuda")


@pytest.fixture(params=list(LIBRARIES))
def xp(request: pytest.FixtureRequest) -> Callable[[np.ndarray], Any]:
    """A function that turns a NumPy array into one of the library under test."""
    return LIBRARIES[request.param]
