"""An image's way through a network: shape, parameters and multiply-accumulates of every layer."""

import html
from collections.abc import Mapping
from typing import Any

from cnnlib.interactive._element import TIMES, Element, paragraph

# What the drawing and the buttons have room for.
MOST_LAYERS, MOST_NETWORKS = 40, 12


class ArchitectureExplorer(Element):
    """Step through a network's layers and see where its parameters and its work are.

    Args:
        networks: A table for each name, such as :func:`cnnlib.pytorch.summary.summary` gives: an
            object with ``input_size`` (C, H, W) and ``rows``, each of which has ``name``,
            ``layer``, ``shape``, ``parameters`` and ``macs``. Rows that neither weigh anything nor
            change the shape (ReLU, dropout) are left out, and so are rows that did not run.
        show: The network to begin with; the first if None.

    Raises:
        ValueError: If there are no networks or more than 12, one has no layer or more than 40 that
            count, a shape has neither one number nor three, or ``show`` is not among the names.
    """

    script = "architecture_explorer.js"
    title = "Through a network, layer by layer"

    def __init__(self, networks: Mapping[str, Any], show: str | None = None) -> None:
        if not isinstance(networks, Mapping) or not 1 <= len(networks) <= MOST_NETWORKS:
            raise ValueError(
                f"ArchitectureExplorer: networks must map 1 to {MOST_NETWORKS} names to tables"
            )
        self.layers = {name: _layers(name, table) for name, table in networks.items()}
        self.inputs = {name: list(table.input_size) for name, table in networks.items()}
        self.show = next(iter(self.layers)) if show is None else show
        if self.show not in self.layers:
            known = ", ".join(self.layers)
            raise ValueError(f"ArchitectureExplorer: show must be one of {known}, got {show!r}")

    def totals(self, name: str) -> tuple[int, int]:
        """Parameters and multiply-accumulates of all layers of a network."""
        layers = self.layers[name]
        return sum(layer["p"] for layer in layers), sum(layer["m"] for layer in layers)

    def __repr__(self) -> str:
        lines = ["ArchitectureExplorer"]
        for name in self.layers:
            parameters, macs = self.totals(name)
            lines.append(f"{name}: {parameters:,} parameters, {macs:,} multiply-accumulates")
        return "\n".join(lines)

    def _spec(self) -> dict[str, Any]:
        networks = [
            {"name": name, "input": self.inputs[name], "layers": layers}
            for name, layers in self.layers.items()
        ]
        return {"networks": networks, "show": self.show}

    def _fallback(self) -> str:
        parts = []
        for name, layers in self.layers.items():
            head = "".join(
                f'<th scope="col">{text}</th>'
                for text in ("layer", "kind", "output", "parameters", "multiply-accumulates")
            )
            body = "".join(
                f'<tr><th scope="row">{html.escape(layer["n"])}</th>'
                f"<td>{html.escape(layer['k'])}</td><td>{TIMES.join(map(str, layer['s']))}</td>"
                f"<td>{layer['p']:,}</td><td>{layer['m']:,}</td></tr>"
                for layer in layers
            )
            parameters, macs = self.totals(name)
            parts.append(
                f'<table class="dataframe" border="1"><caption>{html.escape(name)}</caption>'
                f"<thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"
                + paragraph(f"{name}: {parameters:,} parameters, {macs:,} multiply-accumulates")
            )
        return "".join(parts)


def _layers(name: str, table: Any) -> list[dict[str, Any]]:
    """The rows that count, as plain dictionaries with short keys."""
    found: list[dict[str, Any]] = []
    before = tuple(table.input_size)
    for row in table.rows:
        shape = tuple(row.shape)
        if not shape or (shape == before and not row.parameters and not row.macs):
            continue
        if len(shape) not in (1, 3):
            raise ValueError(
                f"ArchitectureExplorer: {name}, {row.name}: a shape has one number or three, "
                f"got {shape}"
            )
        keys = {"n": row.name, "k": row.layer, "s": list(shape)}
        found.append({**keys, "p": int(row.parameters), "m": int(row.macs)})
        before = shape
    if not 1 <= len(found) <= MOST_LAYERS:
        raise ValueError(
            f"ArchitectureExplorer: {name} has {len(found)} layers that count, "
            f"there is room for 1 to {MOST_LAYERS}: join them to stages"
        )
    return found
