"""Random numbers that are the same on every machine and with every version of NumPy.

NumPy promises that a bit generator's raw integers never change; what ``Generator`` makes of them
may. So we make our own numbers of the raw integers.
"""

import numpy as np


class Stream:
    """An endless stream of random numbers, one of its own for each key.

    Args:
        key: Non-negative integers; another key, another stream.
    """

    def __init__(self, *key: int):
        self._bits = np.random.PCG64(np.random.SeedSequence(key))

    def raw(self, *shape: int) -> np.ndarray:
        """Random uint64."""
        return self._bits.random_raw(int(np.prod(shape))).reshape(shape)

    def uniform(self, *shape: int) -> np.ndarray:
        """Numbers from 0 up to, but not, 1; float64."""
        return (self.raw(*shape) >> np.uint64(11)) * 2.0**-53

    def bell(self, *shape: int) -> np.ndarray:
        """Numbers of mean 0 and deviation 1, nearly normal: the sum of four random bytes; float32.

        The last axis must be even. A bell of four bytes ends at 3.5 deviations.
        """
        words = self.raw(*shape[:-1], shape[-1] // 2).astype("<u8", copy=False)
        parts = words.view(np.uint8).reshape(*shape, 4)
        total = parts[..., 0].astype(np.int16)
        for k in (1, 2, 3):
            total += parts[..., k]
        return (total.astype(np.float32) - np.float32(510)) * np.float32(1 / 147.8)
