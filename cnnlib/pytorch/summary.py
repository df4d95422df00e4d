"""What a network is made of: a table of layers, output shapes, parameters, multiply-accumulates."""

import html
import math
from collections.abc import Callable
from dataclasses import dataclass, field, replace

import torch
from torch import nn
from torch.nn.parameter import is_lazy


@dataclass(frozen=True)
class Row:
    """One layer, or a stage of several.

    Attributes:
        name: Its attribute path in the model.
        layer: What it is.
        shape: Of its output for one image, without the batch; empty if it did not run.
        parameters: Numbers that are learned.
        macs: Multiply-accumulates for one image.
    """

    name: str
    layer: str
    shape: tuple[int, ...]
    parameters: int
    macs: int


@dataclass(frozen=True)
class Summary:
    """A table that prints as text and, in a notebook, as HTML.

    Attributes:
        model: The class's name.
        input_size: Of one image.
        rows: In the order in which the layers ran.
        parameters: Of the whole model, each counted once.
        macs: Of the whole model for one image.
        outputs: Output shapes of the modules that hold others, by name.
    """

    model: str
    input_size: tuple[int, ...]
    rows: tuple[Row, ...]
    parameters: int
    macs: int
    outputs: dict[str, tuple[int, ...]] = field(default_factory=dict)

    def stages(self, depth: int = 1) -> "Summary":
        """The same, with neighbours added up whose names begin with the same ``depth`` parts.

        Raises:
            ValueError: If depth is less than 1.
        """
        if depth < 1:
            raise ValueError(f"stages: depth must be at least 1, got {depth}")
        groups: list[list[Row]] = []
        for row in self.rows:
            stage = row.name.split(".")[:depth]
            if groups and groups[-1][0].name.split(".")[:depth] == stage:
                groups[-1].append(row)
            else:
                groups.append([row])
        return replace(self, rows=tuple(_join(group, depth, self.outputs) for group in groups))

    def weighted(self) -> "Summary":
        """The same, without the rows that have neither parameters nor multiply-accumulates."""
        rows = tuple(row for row in self.rows if row.parameters or row.macs)
        return replace(self, rows=rows)

    def _cells(self) -> list[tuple[str, str, str, str, str]]:
        return [
            (row.name, row.layer, _by(row.shape), f"{row.parameters:,}", f"{row.macs:,}")
            for row in self.rows
        ]

    def _total(self) -> str:
        return (
            f"{self.model} on {_by(self.input_size)}: {self.parameters:,} parameters, "
            f"{self.macs:,} multiply-accumulates ({_short(self.macs)})"
        )

    def __str__(self) -> str:
        cells = [_HEAD, *self._cells()]
        widths = [max(len(row[i]) for row in cells) for i in range(5)]
        lines = [
            "  ".join(
                cell.rjust(width) if i > 2 else cell.ljust(width)
                for i, (cell, width) in enumerate(zip(row, widths, strict=True))
            ).rstrip()
            for row in cells
        ]
        return "\n".join([*lines, self._total()])

    __repr__ = __str__

    def _repr_html_(self) -> str:
        head = "".join(f'<th scope="col">{name}</th>' for name in _HEAD)
        body = "".join(
            "<tr>"
            + f'<th scope="row">{html.escape(name)}</th><td>{html.escape(layer)}</td>'
            + "".join(f"<td>{cell}</td>" for cell in numbers)
            + "</tr>"
            for name, layer, *numbers in self._cells()
        )
        return (
            f'<table class="dataframe"><caption>{html.escape(self._total())}</caption>'
            f"<thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"
        )


_HEAD = ("name", "layer", "output", "parameters", "multiply-accumulates")


def summary(
    model: nn.Module,
    input_size: tuple[int, ...],
    *,
    device: torch.device | str | None = None,
) -> Summary:
    """Run the model once on one image and write down each layer.

    A multiply-accumulate is one product added to a sum. Those of convolutions and dense layers
    are counted, biases, normalisation, activations and pooling are not: as in published tables.

    Args:
        model: Any module that takes one tensor; it is left as it was.
        input_size: Of one image, without the batch, such as (3, 224, 224).
        device: Where to run; by default on the meta device, where tensors have shapes and no
            numbers, so that even VGG19 takes no memory and no time to speak of.

    Returns:
        The table. A layer that runs twice has two rows, and its parameters count in the first.

    Raises:
        ValueError: If a size is not positive, the model has layers that do not know their shapes
            yet, or it does not take such an image.

    >>> net = nn.Sequential(nn.Conv2d(3, 8, 3), nn.ReLU(), nn.Flatten(), nn.Linear(288, 10))
    >>> print(summary(net, (3, 8, 8)))
    name  layer       output  parameters  multiply-accumulates
    0     Conv2d 3x3  8x6x6          224                 7,776
    1     ReLU        8x6x6            0                     0
    2     Flatten     288              0                     0
    3     Linear      10           2,890                 2,880
    Sequential on 3x8x8: 3,114 parameters, 10,656 multiply-accumulates (10.66 k)
    """
    input_size = tuple(input_size)
    if not input_size or not all(isinstance(n, int) and n > 0 for n in input_size):
        raise ValueError(f"summary: input_size must be positive ints, got {input_size}")
    if any(is_lazy(value) for value in [*model.parameters(), *model.buffers()]):
        raise ValueError("summary: the model has lazy layers: run it once first")
    place = torch.device("meta" if device is None else device)
    state = {
        name: value.detach().to(place)
        for name, value in [*model.named_parameters(), *model.named_buffers()]
    }
    dtype = next((v.dtype for v in state.values() if v.is_floating_point()), torch.float32)
    rows: list[Row] = []
    outputs: dict[str, tuple[int, ...]] = {}
    todo = _own_parameters(model)
    handles = [
        module.register_forward_hook(
            _holder(name, outputs) if any(module.children()) else _recorder(name, rows, todo)
        )
        for name, module in model.named_modules()
    ]
    modes = [(module, module.training) for module in model.modules()]
    model.eval()
    try:
        with torch.no_grad():
            # The copies stand in for the model's own tensors during this one call.
            x = torch.zeros(1, *input_size, dtype=dtype, device=place)
            torch.func.functional_call(model, state, (x,))
    except RuntimeError as error:
        raise ValueError(
            f"summary: {type(model).__name__} does not take {_by(input_size)}: {error}"
        ) from error
    finally:
        for handle in handles:
            handle.remove()
        for module, mode in modes:
            module.training = mode
    for name, count in todo.items():
        if count:
            layer = f"{_describe(model.get_submodule(name))}, not run by itself"
            rows.append(Row(name or "model", layer, (), count, 0))
    parameters = sum(row.parameters for row in rows)
    macs = sum(row.macs for row in rows)
    return Summary(type(model).__name__, input_size, tuple(rows), parameters, macs, outputs)


def _own_parameters(model: nn.Module) -> dict[str, int]:
    """Of each module without its children; a shared parameter belongs to the first."""
    seen: set[int] = set()
    counts = {}
    for name, module in model.named_modules():
        own = {id(p): p.numel() for p in module.parameters(recurse=False) if id(p) not in seen}
        seen |= own.keys()
        counts[name] = sum(own.values())
    return counts


def _recorder(name: str, rows: list[Row], todo: dict[str, int]) -> Callable:
    def record(module, inputs, output):
        macs = _macs(module, inputs, output)
        count = todo.pop(name, 0)
        rows.append(Row(name or "model", _describe(module), _shape(output), count, macs))

    return record


def _holder(name: str, outputs: dict[str, tuple[int, ...]]) -> Callable:
    def record(module, inputs, output):
        outputs[name] = _shape(output)

    return record


def _shape(output) -> tuple[int, ...]:
    return tuple(output.shape[1:]) if isinstance(output, torch.Tensor) else ()


_CONVOLUTIONS = (nn.Conv1d, nn.Conv2d, nn.Conv3d)
_TRANSPOSED = (nn.ConvTranspose1d, nn.ConvTranspose2d, nn.ConvTranspose3d)


def _macs(module: nn.Module, inputs: tuple, y: torch.Tensor) -> int:
    if isinstance(module, (*_CONVOLUTIONS, nn.Linear)):
        # Each output is a sum over one filter: in_channels / groups times the kernel's size.
        return y.numel() * math.prod(module.weight.shape[1:])
    if isinstance(module, _TRANSPOSED):
        return inputs[0].numel() * math.prod(module.weight.shape[1:])
    return 0


def _describe(module: nn.Module) -> str:
    text = type(module).__name__
    kernel = getattr(module, "kernel_size", None)
    if kernel is None:
        return text
    sides = kernel if isinstance(kernel, tuple) else (kernel, kernel)
    text += f" {_by(sides)}"
    stride = getattr(module, "stride", 1)
    first = stride[0] if isinstance(stride, tuple) else stride
    text += f", stride {first}" if first != 1 else ""
    groups = getattr(module, "groups", 1)
    return text + (f", groups {groups}" if groups != 1 else "")


def _join(group: list[Row], depth: int, outputs: dict[str, tuple[int, ...]]) -> Row:
    if len(group) == 1:
        return group[0]
    name = ".".join(group[0].name.split(".")[:depth])
    # A stage may end in several branches: its own output is the one that counts.
    last = next((row.shape for row in reversed(group) if row.shape), ())
    return Row(
        name,
        f"{len(group)} layers",
        outputs.get(name) or last,
        sum(row.parameters for row in group),
        sum(row.macs for row in group),
    )


def _by(shape: tuple[int, ...]) -> str:
    return "x".join(map(str, shape))


def _short(number: int) -> str:
    for factor, letter in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if number >= factor / 10:  # so that AlexNet has 0.71 G, as in the tables
            return f"{number / factor:.2f} {letter}"
    return str(number)
