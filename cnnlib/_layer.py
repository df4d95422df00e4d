"""What all layers share: parameters, the cache of one forward, state in and out; and Sequential."""

from collections.abc import Callable, Iterator, Mapping
from typing import Any, ClassVar, Self, overload

from cnnlib._array import namespace


class Parameter:
    """An array that is learned, and its gradient.

    Attributes:
        data: The array.
        grad: Sum of the gradients of all backward passes since it was cleared; None before.
    """

    def __init__(self, data: Any):
        self.data = data
        self.grad: Any = None

    def accumulate(self, gradient) -> None:
        """Add a gradient; the array given is kept or read, never written to."""
        self.grad = gradient if self.grad is None else self.grad + gradient

    def __repr__(self) -> str:
        return f"Parameter(shape={tuple(self.data.shape)}, dtype={self.data.dtype})"


class Layer:
    """Base of all layers; a subclass writes ``forward`` and ``backward``.

    Attributes that are a :class:`Parameter` are its parameters, those that are a Layer its
    children; ``buffers`` names arrays that belong to the state but are not learned.
    """

    buffers: ClassVar[tuple[str, ...]] = ()

    def __init__(self) -> None:
        self.training = True
        self._cache: Any = None

    def __call__(self, x):
        """The same as :meth:`forward`."""
        return self.forward(x)

    def forward(self, x):
        """Output of the layer; what :meth:`backward` needs is kept."""
        raise NotImplementedError(f"{type(self).__name__} has no forward")

    def backward(self, dy):
        """Gradient with respect to x, from dy; adds to the gradients of the parameters.

        Raises:
            RuntimeError: If there was no forward since the last backward.
        """
        raise NotImplementedError(f"{type(self).__name__} has no backward")

    def _remember(self, result: tuple):
        y, self._cache = result
        return y

    def _recall(self):
        if self._cache is None:
            raise RuntimeError(
                f"{type(self).__name__}.backward: no forward pass to go back through; "
                "call the layer on an input first (one forward serves one backward)"
            )
        # Given away, not kept: a cache holds the layer's whole input.
        cache, self._cache = self._cache, None
        return cache

    def children(self) -> Iterator[tuple[str, "Layer"]]:
        """Names and layers directly inside this one."""
        for name, value in vars(self).items():
            if isinstance(value, Layer):
                yield name, value

    def _modules(self) -> Iterator["Layer"]:
        yield self
        for _, child in self.children():
            yield from child._modules()

    def parameters(self) -> Iterator[Parameter]:
        """All parameters, those of children included."""
        for _, parameter in self.named_parameters():
            yield parameter

    def named_parameters(self) -> Iterator[tuple[str, Parameter]]:
        """Names as in torch (``"0.weight"``) and parameters; a shared one only once."""
        seen = set()
        for name, owner, _ in self._slots():
            if isinstance(owner, Parameter) and id(owner) not in seen:
                seen.add(id(owner))
                yield name, owner

    def _slots(self, prefix: str = "") -> Iterator[tuple[str, Any, str]]:
        """Name, owner and attribute of every array of the state, in torch's order."""
        for name, value in vars(self).items():
            if isinstance(value, Parameter):
                yield prefix + name, value, "data"
        for name in self.buffers:
            yield prefix + name, self, name
        for name, child in self.children():
            yield from child._slots(f"{prefix}{name}.")

    def state_dict(self) -> dict[str, Any]:
        """Copies of all parameters and buffers, under torch's names."""
        return {name: _copy(getattr(owner, field)) for name, owner, field in self._slots()}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Take over a state; dtype, library and device stay as they are here.

        Args:
            state: Arrays by name, as :meth:`state_dict` gives them.

        Raises:
            ValueError: If names or shapes differ; then nothing has been written.
        """
        slots = {name: (owner, field) for name, owner, field in self._slots()}
        wrong = [f"missing {name}" for name in slots if name not in state]
        wrong += [f"unexpected {name}" for name in state if name not in slots]
        for name, (owner, field) in slots.items():
            if name in state:
                here, given = tuple(getattr(owner, field).shape), tuple(state[name].shape)
                if here != given:
                    wrong.append(f"{name} is {here} here but {given} in the state")
        if wrong:
            raise ValueError(f"{type(self).__name__}.load_state_dict: {'; '.join(wrong)}")
        # All conversions come before the first assignment: one that fails leaves no half state.
        arrays = [_copy(state[name], like=getattr(*slots[name])) for name in slots]
        for (owner, field), array in zip(slots.values(), arrays, strict=True):
            setattr(owner, field, array)

    def map_arrays(self, fn: Callable[[Any], Any]) -> Self:
        """Replace every parameter, gradient and buffer by ``fn`` of it.

        ``net.map_arrays(torch.from_numpy)`` moves a network to torch,
        ``net.map_arrays(lambda a: a.astype("float64"))`` to double precision.

        Args:
            fn: From array to array.

        Returns:
            The layer itself.
        """
        done = set()  # what is shared has two names, and is replaced once
        for _, owner, field in self._slots():
            if (id(owner), field) in done:
                continue
            done.add((id(owner), field))
            setattr(owner, field, fn(getattr(owner, field)))
            if isinstance(owner, Parameter) and owner.grad is not None:
                owner.grad = fn(owner.grad)
        for module in self._modules():
            module._cache = None
        return self

    def train(self, mode: bool = True) -> Self:
        """Switch to training: batch statistics, dropout; returns the layer itself."""
        for module in self._modules():
            module.training = mode
        return self

    def eval(self) -> Self:
        """Switch to inference: running statistics, no dropout; returns the layer itself."""
        return self.train(False)

    def zero_grad(self) -> None:
        """Forget all gradients, before the next batch adds its own."""
        for parameter in self.parameters():
            parameter.grad = None

    def extra_repr(self) -> str:
        """The options, as they stand between the parentheses of the repr."""
        return ""

    def __repr__(self) -> str:
        lines = [f"  ({name}): {child!r}".replace("\n", "\n  ") for name, child in self.children()]
        inside = "\n" + "\n".join(lines) + "\n" if lines else self.extra_repr()
        return f"{type(self).__name__}({inside})"


class Sequential(Layer):
    """Layers one after the other; backward goes through them in reverse.

    ``net[0]`` is a layer, ``net[:2]`` a Sequential that shares its layers with ``net``.

    Args:
        layers: In order.

    Raises:
        TypeError: If one is not a Layer.
    """

    def __init__(self, *layers: Layer):
        super().__init__()
        for position, layer in enumerate(layers):
            if not isinstance(layer, Layer):
                raise TypeError(f"Sequential: item {position} is not a Layer but {layer!r}")
        self._layers = layers

    def forward(self, x):
        for layer in self._layers:
            x = layer(x)
        return x

    def backward(self, dy):
        for layer in reversed(self._layers):
            dy = layer.backward(dy)
        return dy

    def children(self):
        for position, layer in enumerate(self._layers):
            yield str(position), layer

    @overload
    def __getitem__(self, index: int) -> Layer: ...
    @overload
    def __getitem__(self, index: slice) -> "Sequential": ...
    def __getitem__(self, index):
        chosen = self._layers[index]
        return Sequential(*chosen) if isinstance(index, slice) else chosen

    def __iter__(self):
        return iter(self._layers)

    def __len__(self) -> int:
        return len(self._layers)


def _copy(array, like=None):
    """A copy of an array, in the library, dtype and device of another one if given."""
    like = array if like is None else like
    xp = namespace("state_dict", array=like)
    # In two steps: NumPy cannot ask a tensor of another library for a copy.
    return xp.asarray(xp.asarray(array), dtype=like.dtype, device=like.device, copy=True)
