"""FreezingExplorer: which products of a training step fall away when stages are frozen."""

import html
from collections.abc import Sequence
from typing import Any, NamedTuple

from cnnlib.interactive._element import Element, number, paragraph


class Stage(NamedTuple):
    """A stage: parameters, and multiply-accumulates forward for one image, of all and of its first
    layer."""

    name: str
    parameters: int
    macs: int
    first: int


#: With a head for the fourteen road signs; counted by chapter 11's functions, held by a test.
NETWORKS = {
    "small VGG, 32x32": (
        Stage("block1", 928, 884_736, 884_736),
        Stage("block2", 55_552, 14_155_776, 4_718_592),
        Stage("block3", 221_696, 14_155_776, 4_718_592),
        Stage("block4", 710_528, 11_354_112, 4_128_768),
        Stage("head", 3_150, 3_136, 3_136),
    ),
    "VGG16, 224x224": (
        Stage("block1", 38_720, 1_936_392_192, 86_704_128),
        Stage("block2", 221_440, 2_774_532_096, 924_844_032),
        Stage("block3", 1_475_328, 4_624_220_160, 924_844_032),
        Stage("block4", 5_899_776, 4_624_220_160, 924_844_032),
        Stage("block5", 7_079_424, 1_387_266_048, 462_422_016),
        Stage("dense", 119_545_856, 119_537_664, 102_760_448),
        Stage("head", 57_358, 57_344, 57_344),
    ),
}


class Cost(NamedTuple):
    """Multiply-accumulates of a step for one image, in three parts, and what learns."""

    forward: int
    weights: int
    inputs: int
    step: int
    full: int
    parameters: int


class FreezingExplorer(Element):
    """Tick the stages that learn; read what a training step still has to compute.

    A stage that learns needs the gradient of its weights. The gradient of inputs is needed from
    the last layer back to the first layer that learns, whose own input nobody asks for. Each of
    these costs about as much as the layer's forward pass.

    Args:
        network: One of ``NETWORKS``.
        learn: Names of the stages that learn; all if None.

    Raises:
        ValueError: If there is no such network or stage.
    """

    script = "freezing_explorer.js"
    title = "What does freezing save?"

    def __init__(self, network: str = "small VGG, 32x32", learn: Sequence[str] | None = None):
        if network not in NETWORKS:
            listed = ", ".join(map(repr, NETWORKS))
            raise ValueError(f"FreezingExplorer: network must be {listed}: network={network!r}")
        self.network = network
        names = [stage.name for stage in NETWORKS[network]]
        self.learn = names if learn is None else list(learn)
        for name in self.learn:
            if name not in names:
                raise ValueError(
                    f"FreezingExplorer: {network} has no stage {name!r}: {', '.join(names)}"
                )

    def cost(self, learn: Sequence[str] | None = None) -> Cost:
        """The parts of a step when these stages learn; the chosen ones if None."""
        stages = NETWORKS[self.network]
        learn = self.learn if learn is None else learn
        learning = [k for k, s in enumerate(stages) if s.name in learn]
        forward = sum(s.macs for s in stages)
        weights = sum(stages[k].macs for k in learning)
        inputs = sum(s.macs for s in stages[learning[0] :]) if learning else 0
        inputs -= stages[learning[0]].first if learning else 0
        full = 3 * forward - stages[0].first
        parameters = sum(stages[k].parameters for k in learning)
        return Cost(forward, weights, inputs, forward + weights + inputs, full, parameters)

    def _sentences(self) -> list[str]:
        c = self.cost()
        unit, name = (1e9, "G") if c.forward > 1e9 else (1e6, "M")
        parts = " + ".join(f"{v / unit:.1f}" for v in (c.forward, c.weights, c.inputs))
        sentences = [
            f"Forward + weights + inputs: {parts} = {c.step / unit:.1f} {name} "
            f"multiply-accumulates an image, {number(100 * c.step / c.full, 0)} % of training all.",
            f"{number(c.parameters / 1e6, 3)} million parameters learn; their gradients and Adam's "
            f"two means take {12 * c.parameters / 1e6:.2f} MB.",
        ]
        before = [s.name for s in NETWORKS[self.network][:-1]]
        if not self.learn:
            sentences.append("Nothing learns.")
        elif not set(before) & set(self.learn):
            sentences.append("The base is frozen: its features can be computed once and kept.")
        return sentences

    def __repr__(self) -> str:
        head = f"FreezingExplorer({self.network}; {', '.join(self.learn) or 'nothing'} learns)"
        return "\n".join([head, *self._sentences()])

    def _spec(self) -> dict[str, Any]:
        networks = {name: [list(s) for s in stages] for name, stages in NETWORKS.items()}
        return {"networks": networks, "network": self.network, "learn": self.learn}

    def _fallback(self) -> str:
        names = [stage.name for stage in NETWORKS[self.network]]
        rows = []
        for k in range(len(names)):
            c = self.cost(names[k:])
            cells = (", ".join(names[k:]), f"{c.parameters:,}", f"{c.step / 1e6:,.1f}",
                     f"{number(100 * c.step / c.full, 0)} %")  # fmt: skip
            rows.append("<tr>" + "".join(f"<td>{html.escape(x)}</td>" for x in cells) + "</tr>")
        heads = ("what learns", "parameters", "million MACs a step", "of all")
        top = "".join(f"<th>{h}</th>" for h in heads)
        return (
            f'<table class="dataframe" border="1"><caption>{html.escape(self.network)}</caption>'
            f"<thead><tr>{top}</tr></thead><tbody>{''.join(rows)}</tbody></table>"
        ) + paragraph(" ".join(self._sentences()))
