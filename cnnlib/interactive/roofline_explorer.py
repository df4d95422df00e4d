"""The roofline of one or more machines, and where the layers of a network meet it."""

import html
import math
from collections.abc import Mapping
from typing import Any, NamedTuple

from cnnlib.interactive._element import TIMES, Element, number, paragraph, whole

# Bytes of one number. TF32 is a way to multiply: the numbers lie in memory as float32.
BYTES = {"float64": 8, "float32": 4, "tf32": 4, "bfloat16": 2, "float16": 2}
BATCHES = [2**k for k in range(11)]


class Work(NamedTuple):
    """What a layer does to one image: operations, numbers read and written; and its weights."""

    operations: int
    inputs: int
    outputs: int
    weights: int


def _conv(c: int, o: int, size: int, k: int, groups: int = 1) -> Work:
    weights = o * c // groups * k * k
    return Work(2 * weights * size * size, c * size * size, o * size * size, weights)


def _each(count: int, reads: int = 1, shrink: int = 1) -> Work:
    """An operation on every number of a map; a pooling of four numbers takes three comparisons."""
    done = count // shrink * (shrink - 1 or 1)
    return Work(done, reads * count, count // shrink, 0)


#: Layers of VGG16 by their names in the paper's order, and four others for comparison.
LAYERS = {
    "conv1_1: 3x3, 3 to 64, 224x224": _conv(3, 64, 224, 3),
    "conv1_2: 3x3, 64 to 64, 224x224": _conv(64, 64, 224, 3),
    "ReLU, 64x224x224": _each(64 * 224 * 224),
    "max-pool 2x2, 64x224x224": _each(64 * 224 * 224, shrink=4),
    "conv3_2: 3x3, 256 to 256, 56x56": _conv(256, 256, 56, 3),
    "conv5_1: 3x3, 512 to 512, 14x14": _conv(512, 512, 14, 3),
    "fc6: dense, 25088 to 4096": Work(2 * 25088 * 4096, 25088, 4096, 25088 * 4096),
    "fc8: dense, 4096 to 1000": Work(2 * 4096 * 1000, 4096, 1000, 4096 * 1000),
    "convolution 1x1, 256 to 64, 56x56": _conv(256, 64, 56, 1),
    "depthwise 3x3, 256, 56x56": _conv(256, 256, 56, 3, groups=256),
    "residual sum, 256x56x56": _each(256 * 56 * 56, reads=2),
}


class Spot(NamedTuple):
    """Where a layer stands under a roofline; rates in GFLOP/s, FLOP and bytes as such."""

    operations: float
    bytes: float
    intensity: float
    ridge: float
    rate: float
    seconds: float
    bound: str


class RooflineExplorer(Element):
    """Choose a machine, a layer, a batch and a number format; read intensity, bound and time.

    The bytes are the fewest possible: every number is read once and written once. So the time is
    the least that the machine's two ceilings allow, not a prediction.

    Args:
        machines: name -> ``{"bandwidth": GB/s, "peaks": {format: GFLOP/s}}``; formats are
            float64, float32, tf32, bfloat16 and float16.
        layer: shown first, one of ``LAYERS``.
        batch: images, a power of two up to 1024.
        machine: shown first; the first one if None.
        mode: number format shown first.

    Raises:
        ValueError: If a machine has no bandwidth or peak above 0, or something is unknown.
    """

    script = "roofline_explorer.js"
    title = "Bound by memory or by arithmetic?"

    def __init__(
        self,
        machines: Mapping[str, Mapping[str, Any]],
        layer: str = "conv3_2: 3x3, 256 to 256, 56x56",
        batch: int = 32,
        *,
        machine: str | None = None,
        mode: str = "float32",
    ):
        if not machines:
            raise ValueError("RooflineExplorer: machines must hold at least one")
        self.machines = {name: self._ceilings(name, m) for name, m in machines.items()}
        self.machine = self._known("machine", machine or next(iter(machines)), self.machines)
        self.layer = self._known("layer", layer, LAYERS)
        self.mode = self._known("mode", mode, self.machines[self.machine]["peaks"])
        self.batch = whole("RooflineExplorer", "batch", batch, 1, 1024)
        if batch not in BATCHES:
            raise ValueError(f"RooflineExplorer: batch must be a power of two: batch={batch}")

    @staticmethod
    def _known(name: str, value: str, among: Mapping[str, Any]) -> str:
        if value not in among:
            known = ", ".join(among)
            raise ValueError(f"RooflineExplorer: {name} must be one of {known}: {value!r}")
        return value

    @staticmethod
    def _ceilings(name: str, given: Mapping[str, Any]) -> dict[str, Any]:
        numbers = {"bandwidth": given.get("bandwidth"), **given.get("peaks", {})}
        unknown = sorted(set(numbers) - {"bandwidth", *BYTES})
        if unknown or len(numbers) < 2:
            raise ValueError(
                f"RooflineExplorer: {name!r} needs a bandwidth and peaks for some of "
                f"{', '.join(BYTES)}; not {unknown}"
            )
        for key, value in numbers.items():
            if not isinstance(value, int | float) or not 0 < value < math.inf:
                raise ValueError(
                    f"RooflineExplorer: {key} of {name!r} must be above 0, got {value!r}"
                )
        return {"bandwidth": numbers.pop("bandwidth"), "peaks": numbers}

    def spot(self) -> Spot:
        """Where the layer stands under the machine's roofline."""
        work, b = LAYERS[self.layer], BYTES[self.mode]
        bandwidth = self.machines[self.machine]["bandwidth"]
        peak = self.machines[self.machine]["peaks"][self.mode]
        operations = float(self.batch * work.operations)
        moved = float(b * (self.batch * (work.inputs + work.outputs) + work.weights))
        intensity, ridge = operations / moved, peak / bandwidth
        rate = min(peak, intensity * bandwidth)
        bound = "arithmetic" if intensity >= ridge else "memory"
        return Spot(operations, moved, intensity, ridge, rate, operations / rate / 1e9, bound)

    def _sentence(self) -> str:
        work, s = LAYERS[self.layer], self.spot()
        images = f"{self.batch} {TIMES} " if self.batch > 1 else ""
        read = f"{self.batch} {TIMES} ({work.inputs:,} + {work.outputs:,})"
        return (
            f"Operations: {images}{amount(work.operations)}FLOP = {amount(s.operations)}FLOP. "
            f"Bytes: {BYTES[self.mode]} {TIMES} ({read} + {work.weights:,}) = {amount(s.bytes)}B. "
            f"Intensity: {number(s.intensity, 2)} FLOP per byte; the ridge is at "
            f"{number(s.ridge, 2)}. Bound by {s.bound}: at most {amount(1e9 * s.rate)}FLOP/s, "
            f"at least {duration(s.seconds)}."
        )

    def __repr__(self) -> str:
        head = f"{self.machine}: {self.layer}, batch {self.batch}, {self.mode}"
        return f"RooflineExplorer({head})\n{self._sentence()}"

    def _spec(self) -> dict[str, Any]:
        return {
            "machines": self.machines,
            "layers": {name: list(work) for name, work in LAYERS.items()},
            "sizes": BYTES,
            "batches": BATCHES,
            "machine": self.machine,
            "layer": self.layer,
            "batch": self.batch,
            "mode": self.mode,
        }

    def _fallback(self) -> str:
        rows = "".join(
            f"<tr><td>{html.escape(name)}</td><td>{mode}</td><td>{amount(1e9 * m['bandwidth'])}B/s"
            f"</td><td>{amount(1e9 * peak)}FLOP/s</td>"
            f"<td>{number(peak / m['bandwidth'], 1)} FLOP/byte</td></tr>"
            for name, m in self.machines.items()
            for mode, peak in m["peaks"].items()
        )
        heads = "".join(
            f"<th>{h}</th>" for h in ("machine", "format", "bandwidth", "products", "ridge")
        )
        table = (
            '<table class="dataframe" border="1"><caption>Ceilings</caption>'
            f"<thead><tr>{heads}</tr></thead><tbody>{rows}</tbody></table>"
        )
        head = f"{self.layer}, batch {self.batch}, {self.mode}, on {self.machine}. "
        return table + paragraph(head + self._sentence())


def amount(value: float) -> str:
    """Three digits or so and a prefix: ``amount(3.7e9)`` is ``"3.7 G"``."""
    return _scaled(value, {"P": 1e15, "T": 1e12, "G": 1e9, "M": 1e6, "k": 1e3, "": 1.0})


def duration(seconds: float) -> str:
    """Seconds in s, ms or µs."""
    return _scaled(seconds, {"s": 1.0, "ms": 1e-3, "µs": 1e-6})


def _scaled(value: float, units: dict[str, float]) -> str:
    name = next((name for name, unit in units.items() if value >= unit), list(units)[-1])
    v = value / units[name]
    return f"{number(v, 0 if v >= 100 else 1 if v >= 10 else 2)} {name}"
