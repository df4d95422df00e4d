"""Hours, money and energy of a data-parallel training, by the number of GPUs."""

import html
import math
from typing import Any, NamedTuple

from cnnlib.interactive._element import TIMES, Element, number, paragraph

#: Parameters of networks, as counted in chapter 10.
NETWORKS = {
    "AlexNet": 61_100_840,
    "VGG16": 138_357_544,
    "ResNet-18": 11_689_512,
    "ResNet-50": 25_557_032,
}
GPUS = [2**k for k in range(11)]
LINKS = [1, 10, 25, 100, 400]  # Gbit/s
IMAGES, LATENCY = 1_281_167, 1e-5
# What the sliders allow: name, least, largest.
RANGES = {
    "rate": (1, 20_000),
    "batch": (1, 1024),
    "epochs": (1, 300),
    "price": (0.0, 20.0),
    "watts": (0, 2000),
}


class Run(NamedTuple):
    """A training on some number of GPUs; the two times are of one step, in seconds."""

    compute: float
    exchange: float
    efficiency: float
    hours: float
    money: float
    kwh: float


class TrainingCostExplorer(Element):
    """Choose network, speed, network link and number of GPUs; read time, money and energy.

    A step computes for batch / rate seconds. Then the GPUs add up their gradients, four bytes for
    each parameter, round a ring: 2 (N - 1) messages of a N-th of the bytes, each after a wait of
    10 microseconds. The exchange is not hidden behind the computing, so this is the slow case.

    Args:
        rate: Images per second of one GPU, 1 to 20,000: measure yours.
        gpus: How many, a power of two up to 1024.
        network: One of ``NETWORKS``; its parameters decide the bytes.
        batch: Images per GPU and step.
        epochs: Passes over ImageNet's 1,281,167 training images.
        link: Gbit/s between GPUs, one of ``LINKS``.
        price: Of one GPU for one hour, 0 to 20.
        watts: That one GPU draws, 0 to 2000.

    Raises:
        ValueError: If an argument is out of range or unknown.
    """

    script = "training_cost_explorer.js"
    title = "How long, how much, on how many GPUs?"

    def __init__(
        self,
        rate: float = 1000,
        gpus: int = 8,
        network: str = "ResNet-50",
        *,
        batch: int = 64,
        epochs: int = 90,
        link: int = 100,
        price: float = 2.0,
        watts: float = 700,
    ):
        named: list[tuple[str, Any, list[Any]]] = [
            ("network", network, list(NETWORKS)),
            ("gpus", gpus, GPUS),
            ("link", link, LINKS),
        ]
        for name, value, known in named:
            if value not in known:
                listed = ", ".join(map(str, known))
                raise ValueError(
                    f"TrainingCostExplorer: {name} must be one of {listed}: {name}={value!r}"
                )
        self.network, self.gpus, self.link = network, gpus, link
        given: dict[str, Any] = {
            "rate": rate,
            "batch": batch,
            "epochs": epochs,
            "price": price,
            "watts": watts,
        }
        for name, value in given.items():
            low, high = RANGES[name]
            good = isinstance(value, int | float) and not isinstance(value, bool)
            if not good or not low <= value <= high:
                raise ValueError(
                    f"TrainingCostExplorer: {name} must be a number from {low:g} to {high:g}: "
                    f"{name}={value!r}"
                )
        self.values = given

    def run(self, gpus: int | None = None) -> Run:
        """The training on this many GPUs; on the chosen number if None."""
        n, v = gpus or self.gpus, self.values
        compute = v["batch"] / v["rate"]
        size = 4 * NETWORKS[self.network]
        exchange = 2 * (n - 1) * (size / (n * self.link * 1e9 / 8) + LATENCY)
        hours = IMAGES * v["epochs"] / (n * v["batch"]) * (compute + exchange) / 3600
        efficiency = compute / (compute + exchange)
        return Run(compute, exchange, efficiency, hours, hours * n * v["price"],
                   hours * n * v["watts"] / 1000)  # fmt: skip

    def _sentences(self) -> list[str]:
        run, n, v = self.run(), self.gpus, self.values
        steps = IMAGES * v["epochs"] / (n * v["batch"])
        return [
            f"A step: {number(1000 * run.compute, 1)} ms of computing, "
            f"{number(1000 * run.exchange, 1)} ms of adding up "
            f"{number(4 * NETWORKS[self.network] / 1e6, 1)} MB of gradients: "
            f"efficiency {number(100 * run.efficiency, 1)} %.",
            f"{number(IMAGES * v['epochs'] / 1e6, 1)} million images in batches of {n} {TIMES} "
            f"{number(v['batch'])} = {number(n * v['batch'])}: {number(steps, 0)} steps, "
            f"{duration(run.hours)}.",
            f"{number(run.hours * n, 1)} GPU hours: {number(run.money, 0)} at "
            f"{number(v['price'], 2)} each, and {number(run.kwh, 0)} kWh.",
        ]

    def __repr__(self) -> str:
        v = ", ".join(f"{name}={number(value)}" for name, value in self.values.items())
        head = f"{self.network}, gpus={self.gpus}, link={self.link}, {v}"
        return f"TrainingCostExplorer({head})\n" + "\n".join(self._sentences())

    def _spec(self) -> dict[str, Any]:
        return {
            "networks": NETWORKS,
            "all": GPUS,
            "links": LINKS,
            "images": IMAGES,
            "latency": LATENCY,
            "ranges": RANGES,
            "network": self.network,
            "gpus": self.gpus,
            "link": self.link,
            "values": self.values,
        }

    def _fallback(self) -> str:
        heads = ("GPUs", "batch", "efficiency", "time", "money", "kWh")
        rows = []
        for n in GPUS[::2]:
            run = self.run(n)
            cells = (str(n), number(n * self.values["batch"]),
                     f"{number(100 * run.efficiency, 1)} %", duration(run.hours),
                     number(run.money, 0), number(run.kwh, 0))  # fmt: skip
            rows.append("<tr>" + "".join(f"<td>{cell}</td>" for cell in cells) + "</tr>")
        top = "".join(f"<th>{h}</th>" for h in heads)
        caption = html.escape(f"{self.network} on ImageNet, {self.link} Gbit/s")
        return (
            f'<table class="dataframe" border="1"><caption>{caption}</caption>'
            f"<thead><tr>{top}</tr></thead><tbody>{''.join(rows)}</tbody></table>"
        ) + paragraph(" ".join(self._sentences()))


def duration(hours: float) -> str:
    """Hours as days, hours or minutes: ``duration(36)`` is ``"1.5 days"``."""
    for unit, name in ((24 * 365.25, "years"), (24, "days"), (1, "hours")):
        if hours >= unit:
            return f"{number(hours / unit, 1)} {name}"
    return f"{number(hours * 60, 1)} minutes" if math.isfinite(hours) else "never"
