"""Files that hold a training or its weights: written whole or not at all, never unpickled."""

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

import safetensors.torch
import torch
from torch import nn

FORMAT = "cnnlib checkpoint 1"


@contextmanager
def replacing(path: Path) -> Iterator[BinaryIO]:
    """Open a file for writing that takes its name only once it is complete and on the disk.

    Whoever reads ``path``, at any moment and after any crash, finds the old content or the new.
    The temporary file ``path.tmp`` stands beside it, since a file can only be renamed within a
    disk; one that a crash leaves behind is overwritten by the next attempt.

    Args:
        path: The file; its folder is made if need be.

    Yields:
        The temporary file, open for binary writing.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(path.name + ".tmp")
    try:
        with open(temporary, "wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())  # the content first, the name afterwards
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    os.replace(temporary, path)
    if os.name == "posix":  # the new name, too, has to reach the disk
        folder = os.open(path.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)


def save(state: Mapping[str, Any], path: str | os.PathLike) -> None:
    """Write the state of a training.

    Args:
        state: Tensors, numbers, texts, and dicts, lists and tuples of these.
        path: The file, replaced as a whole.
    """
    with replacing(Path(path)) as file:
        torch.save({"format": FORMAT, **state}, file)


def load(path: str | os.PathLike) -> dict[str, Any]:
    """Read what :func:`save` wrote; nothing in the file is executed.

    Args:
        path: The file.

    Returns:
        The state, on the CPU.

    Raises:
        ValueError: If the file is missing, damaged, or not a checkpoint of ours.
    """
    path = Path(path)
    if not path.is_file():
        raise ValueError(f"checkpoint: there is no file {path}")
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # torch names a dozen kinds of damage by as many types
        raise ValueError(
            f"checkpoint: {path} is damaged or not a checkpoint ({type(error).__name__})"
        ) from error
    if not isinstance(state, dict) or state.pop("format", None) != FORMAT:
        raise ValueError(f"checkpoint: {path} was not written by cnnlib ({FORMAT!r} is missing)")
    return state


def save_weights(
    model: nn.Module,
    path: str | os.PathLike,
    *,
    dtype: torch.dtype | None = None,
    metadata: Mapping[str, str] | None = None,
) -> None:
    """Write parameters and buffers as a safetensors file, and nothing else.

    Args:
        model: The network.
        path: The file, replaced as a whole.
        dtype: Type of the floating-point tensors in the file, such as ``torch.float16`` to halve
            it; as in the model if None.
        metadata: Texts to travel with the weights: architecture, classes, licence.
    """
    with replacing(Path(path)) as file:
        file.write(weights_bytes(model, dtype=dtype, metadata=metadata))


def weights_bytes(
    model: nn.Module,
    *,
    dtype: torch.dtype | None = None,
    metadata: Mapping[str, str] | None = None,
) -> bytes:
    """The bytes that :func:`save_weights` writes; equal weights give equal bytes."""
    tensors = {}
    for name, tensor in model.state_dict().items():
        target = dtype if dtype is not None and tensor.is_floating_point() else tensor.dtype
        # A copy of its own for each: safetensors refuses tensors that share memory.
        tensors[name] = (
            tensor.detach().to("cpu", target).clone(memory_format=torch.contiguous_format)
        )
    return safetensors.torch.save(tensors, dict(metadata) if metadata else None)


def load_weights(model: nn.Module, path: str | os.PathLike) -> dict[str, str]:
    """Copy the weights of a file into a network, which keeps its device and types.

    Args:
        model: The network.
        path: A safetensors file, or a checkpoint (``.pt``) of :func:`cnnlib.pytorch.train.fit`.

    Returns:
        The metadata of the file.

    Raises:
        ValueError: If the file is missing or damaged, or names or shapes differ from the
            model's; then nothing has been copied.
    """
    path = Path(path)
    metadata: dict[str, str] = {}
    if path.suffix == ".pt":
        state = load(path).get("model", {})
    else:
        state, metadata = _read_safetensors(path)
    check_fits(model, state, str(path))
    model.load_state_dict(state)
    return metadata


def _read_safetensors(path: Path) -> tuple[dict[str, torch.Tensor], dict[str, str]]:
    if not path.is_file():
        raise ValueError(f"load_weights: there is no file {path}")
    try:
        with safetensors.safe_open(str(path), framework="pt") as file:
            state = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
            return state, dict(file.metadata() or {})
    except (safetensors.SafetensorError, OSError) as error:
        raise ValueError(f"load_weights: {path} is damaged or not a safetensors file") from error


def check_fits(model: nn.Module, state: Mapping[str, torch.Tensor], origin: str) -> None:
    """Compare the names and shapes of a state with those of a model.

    Raises:
        ValueError: If they differ; the message names up to three differences.
    """
    here = {name: tuple(value.shape) for name, value in model.state_dict().items()}
    there = {name: tuple(value.shape) for name, value in state.items()}
    differ = [
        f"{name} is {there.get(name, 'missing')} in the file, {here.get(name, 'missing')} here"
        for name in [*here, *(n for n in there if n not in here)]
        if here.get(name) != there.get(name)
    ]
    if differ:
        more = f"; and {len(differ) - 3} more" if len(differ) > 3 else ""
        raise ValueError(
            f"checkpoint: {origin} belongs to another model: {'; '.join(differ[:3])}{more}"
        )
