"""BackpropStepper: a small computational graph, values forward and gradients backward."""

import html
import math
from collections.abc import Mapping
from typing import Any, NamedTuple

from cnnlib.interactive._element import Element, number, paragraph


class Node(NamedTuple):
    """One node: an input where ``op`` is empty; level and lane say where it is drawn."""

    id: str
    label: str
    op: str
    args: tuple[str, ...]
    level: float
    lane: float


class Graph(NamedTuple):
    """A graph whose nodes stand in an order of computation; the last one is the loss."""

    title: str
    formula: str
    values: dict[str, float]
    chain: str  # the input whose chain rule is written out first
    nodes: tuple[Node, ...]


def _neuron(title: str, op: str, symbol: str, target: float) -> Graph:
    return Graph(
        title,
        f"L = (a \u2212 t)\u00b2 with a = {symbol}(w\u2081x\u2081 + w\u2082x\u2082 + b)",
        {"x1": 1, "w1": 2, "x2": 3, "w2": -0.5, "b": 0.5, "t": target},
        "w1",
        (
            Node("x1", "x\u2081", "", (), 0, 0),
            Node("w1", "w\u2081", "", (), 0, 1),
            Node("x2", "x\u2082", "", (), 0, 2),
            Node("w2", "w\u2082", "", (), 0, 3),
            Node("b", "b", "", (), 1, 4),
            Node("t", "t", "", (), 3, 4),
            Node("p", "p", "mul", ("w1", "x1"), 1, 0.5),
            Node("q", "q", "mul", ("w2", "x2"), 1, 2.5),
            Node("z", "z", "add", ("p", "q", "b"), 2, 2),
            Node("a", "a", op, ("z",), 3, 2),
            Node("d", "d", "sub", ("a", "t"), 4, 2),
            Node("L", "L", "square", ("d",), 5, 2),
        ),
    )


GRAPHS: dict[str, Graph] = {
    "neuron": _neuron("a neuron with ReLU", "relu", "relu", 2),
    "sigmoid": _neuron("a neuron with sigmoid", "sigmoid", "\u03c3", 1),
    "product": Graph(
        "a sum times a number",
        "f = (x + y) \u00b7 z",
        {"x": 3, "y": -1, "z": 4},
        "x",
        (
            Node("x", "x", "", (), 0, 0),
            Node("y", "y", "", (), 0, 1),
            Node("z", "z", "", (), 1, 2),
            Node("s", "s", "add", ("x", "y"), 1, 0.5),
            Node("f", "f", "mul", ("s", "z"), 2, 1),
        ),
    ),
    "fork": Graph(
        "values used twice",
        "f = (x + y) \u00b7 (x \u2212 y)",
        {"x": 3, "y": 2},
        "x",
        (
            Node("x", "x", "", (), 0, 0),
            Node("y", "y", "", (), 0, 2),
            Node("s", "s", "add", ("x", "y"), 1, 0),
            Node("m", "m", "sub", ("x", "y"), 1, 2),
            Node("f", "f", "mul", ("s", "m"), 2, 1),
        ),
    ),
    "deep": Graph(
        "two sigmoids in a row",
        "L = (b \u2212 t)\u00b2 with b = \u03c3(v \u00b7 \u03c3(w \u00b7 x))",
        {"x": 2, "w": 1, "v": 3, "t": 0},
        "w",
        (
            Node("x", "x", "", (), 0, 0),
            Node("w", "w", "", (), 0, 1),
            Node("v", "v", "", (), 2, 1.5),
            Node("t", "t", "", (), 4, 1.5),
            Node("p", "p", "mul", ("w", "x"), 1, 0.5),
            Node("a", "a", "sigmoid", ("p",), 2, 0.5),
            Node("q", "q", "mul", ("v", "a"), 3, 0.5),
            Node("b", "b", "sigmoid", ("q",), 4, 0.5),
            Node("L", "L", "sqerr", ("b", "t"), 5, 0.5),
        ),
    ),
}


def _apply(op: str, v: list[float]) -> tuple[float, list[float]]:
    """Return a node's value and its derivative by each argument."""
    match op:
        case "mul":
            return v[0] * v[1], [v[1], v[0]]
        case "add":
            return sum(v), [1.0] * len(v)
        case "sub":
            return v[0] - v[1], [1.0, -1.0]
        case "relu":
            return max(v[0], 0.0), [1.0 if v[0] > 0 else 0.0]
        case "sigmoid":
            s = 1 / (1 + math.exp(-v[0])) if v[0] > -700 else 0.0
            return s, [s * (1 - s)]
        case "square":
            return v[0] * v[0], [2 * v[0]]
        case _:  # sqerr
            d = v[0] - v[1]
            return d * d, [2 * d, -2 * d]


class BackpropStepper(Element):
    """Walk a computational graph forward for the values and backward for the gradients.

    Args:
        graph: The graph shown first: "neuron", "sigmoid", "product", "fork" or "deep"; the
            reader can choose any of them.
        values: Numbers for some of its inputs, such as ``{"w1": 0.5}``; the others keep theirs.

    Raises:
        ValueError: If the graph or an input is unknown, or a value is no number from -1000 to 1000.

    Source: Rumelhart, Hinton and Williams 1986, "Learning representations by back-propagating
    errors".
    """

    script = "backprop_stepper.js"
    title = "Back-propagation"

    def __init__(self, graph: str = "neuron", values: Mapping[str, float] | None = None) -> None:
        if graph not in GRAPHS:
            names = ", ".join(GRAPHS)
            raise ValueError(f"BackpropStepper: graph must be one of {names}: graph={graph!r}")
        self.graph = graph
        self.inputs = dict(GRAPHS[graph].values)
        for name, value in (values or {}).items():
            if name not in self.inputs:
                raise ValueError(
                    f"BackpropStepper: {graph!r} has the inputs {', '.join(self.inputs)}, "
                    f"not {name!r}"
                )
            try:
                v = float(value)
            except (TypeError, ValueError):
                v = math.nan
            if not abs(v) <= 1000:
                raise ValueError(
                    f"BackpropStepper: {name} must be a number from -1000 to 1000: {value!r}"
                )
            self.inputs[name] = int(v) if v.is_integer() else v

    def values(self) -> dict[str, float]:
        """Return the value of every node, inputs included, by its id."""
        found: dict[str, float] = {k: float(v) for k, v in self.inputs.items()}
        for n in GRAPHS[self.graph].nodes:
            if n.op:
                found[n.id] = _apply(n.op, [found[a] for a in n.args])[0]
        return found

    def gradients(self) -> dict[str, float]:
        """Return the derivative of the last node by every node, by its id."""
        nodes, found = GRAPHS[self.graph].nodes, self.values()
        grads = dict.fromkeys(found, 0.0)
        grads[nodes[-1].id] = 1.0
        for n in reversed(nodes):
            if n.op:
                local = _apply(n.op, [found[a] for a in n.args])[1]
                for arg, d in zip(n.args, local, strict=True):
                    grads[arg] += grads[n.id] * d
        return grads

    def _spec(self) -> dict[str, Any]:
        graphs = {
            k: {**g._asdict(), "nodes": [n._asdict() for n in g.nodes]} for k, g in GRAPHS.items()
        }
        graphs[self.graph]["values"] = self.inputs
        return {"graph": self.graph, "graphs": graphs}

    def _fallback(self) -> str:
        g, values, grads = GRAPHS[self.graph], self.values(), self.gradients()
        rows = "".join(
            f"<tr><th>{html.escape(n.label)}</th><td>{number(values[n.id])}</td>"
            f"<td>{number(grads[n.id])}</td></tr>"
            for n in g.nodes
        )
        last = g.nodes[-1].label
        return paragraph(g.formula) + (
            '<table class="dataframe" border="1"><caption>Values forward, gradients backward'
            f"</caption><thead><tr><th>node</th><th>value</th><th>gradient of {last}</th></tr>"
            f"</thead><tbody>{rows}</tbody></table>"
        )

    def __repr__(self) -> str:
        values, grads = self.values(), self.gradients()
        lines = [f"BackpropStepper({self.graph!r})", f"{'node':>5}{'value':>10}{'gradient':>10}"]
        lines += [f"{k:>5}{v:>10.4f}{grads[k] + 0.0:>10.4f}" for k, v in values.items()]
        return "\n".join(lines)
