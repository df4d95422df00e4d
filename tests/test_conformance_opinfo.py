"""Torch's own samples (OpInfo) through our operations: values and gradients must be torch's."""

import warnings
from collections.abc import Callable
from functools import cache
from importlib import import_module
from typing import Any, NamedTuple

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from cnnlib import ops

DTYPES = (torch.float32, torch.float64)
DATABASE = "torch.testing._internal.common_methods_invocations"


class Op(NamedTuple):
    """An entry of torch's database and our pair for it."""

    name: str  # in the database
    torch: Callable
    arguments: str  # torch's names of all arguments after the first
    forward: Callable
    backward: Callable | None
    leaves: tuple[str, ...] = ()  # what gets a gradient besides the input
    images: bool = False  # the input has to be (N, C, H, W)


def max_pool2d(x: Any, *, return_indices: bool = False, **options: Any) -> Any:
    return ops.max_pool2d_forward(x, options.pop("kernel_size"), **options)


def batch_norm(x: Any, **given: Any) -> Any:
    names = "weight", "bias", "running_mean", "running_var"
    arrays = [given.pop(name, None) for name in names]
    return ops.batch_norm2d_forward(x, *arrays, **({"training": False} | given))


OPS = {
    "conv2d": Op(
        "nn.functional.conv2d", F.conv2d, "weight bias stride padding dilation groups",
        ops.conv2d_forward, ops.conv2d_backward, ("weight", "bias"), images=True,
    ),
    "max_pool2d": Op(
        "nn.functional.max_pool2d", F.max_pool2d,
        "kernel_size stride padding dilation ceil_mode return_indices",
        max_pool2d, ops.max_pool2d_backward, images=True,
    ),
    "avg_pool2d": Op(
        "nn.functional.avg_pool2d", F.avg_pool2d,
        "kernel_size stride padding ceil_mode count_include_pad divisor_override",
        ops.avg_pool2d_forward, ops.avg_pool2d_backward, images=True,
    ),
    "linear": Op(
        "nn.functional.linear", F.linear, "weight bias",
        ops.linear_forward, ops.linear_backward, ("weight", "bias"),
    ),
    "relu": Op("nn.functional.relu", F.relu, "", ops.relu_forward, ops.relu_backward),
    "sigmoid": Op("sigmoid", torch.sigmoid, "", ops.sigmoid_forward, ops.sigmoid_backward),
    "tanh": Op("tanh", torch.tanh, "", ops.tanh_forward, ops.tanh_backward),
    "softmax": Op(
        "softmax", torch.softmax, "dim", lambda x, dim: (ops.softmax(x, axis=dim), None), None
    ),
    "log_softmax": Op(
        "log_softmax", torch.log_softmax, "dim",
        lambda x, dim: (ops.log_softmax(x, axis=dim), None), None,
    ),
    "cross_entropy": Op(
        "nn.functional.cross_entropy", F.cross_entropy,
        "target weight size_average ignore_index reduce reduction label_smoothing",
        lambda x, target, **options: ops.cross_entropy_forward(x, target, **options),
        lambda dy, cache: ops.cross_entropy_backward(cache, dy),
    ),
    "batch_norm2d": Op(
        "nn.functional.batch_norm", F.batch_norm,
        "running_mean running_var weight bias training momentum eps",
        batch_norm, ops.batch_norm2d_backward, ("weight", "bias"), images=True,
    ),
}  # fmt: skip

# Samples that run and samples left out by `reason`, for one dtype, as torch 2.15 has them.
COUNTS = {
    "conv2d": (15, 15),
    "max_pool2d": (1152, 288),
    "avg_pool2d": (7, 0),
    "linear": (25, 0),
    "relu": (41, 0),
    "sigmoid": (39, 0),
    "tanh": (35, 0),
    "softmax": (5, 9),
    "log_softmax": (5, 9),
    "cross_entropy": (21, 0),
    "batch_norm2d": (4, 20),
}
ERRORS = {"conv2d": 8, "max_pool2d": 1}


def reason(op: Op, x: torch.Tensor, options: dict[str, Any]) -> str | None:
    """Why a sample is no business of ours, or None if it is."""
    if op.images and x.ndim != 4:
        return "not (N, C, H, W): our images come in batches"
    if op.backward is None and 0 in (x.ndim, x.numel()):
        return "a softmax needs an axis, and a number on it"
    if "dtype" in options:
        return "no conversion on the way: the dtype stays"
    return None


@cache
def database() -> Any:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            found = import_module(DATABASE).op_db
            # The module locks torch's global flags; other tests in this process set them.
            state = torch.backends.flags_frozen.__globals__
            state["__allow_nonbracketed_mutation_flag"] = True
            return found
    except ModuleNotFoundError as error:
        pytest.skip(f"this torch has no OpInfo database to test against: {error}")


@cache
def samples(name: str, dtype: torch.dtype) -> tuple[list[tuple], list[str]]:
    """The (input, options) of one operation, and for each sample left out the reason."""
    op, kept, left_out = OPS[name], [], []
    for info in database():
        if info.name != op.name:
            continue
        for sample in info.reference_inputs("cpu", dtype, requires_grad=True):
            options = named(op, sample)
            why = reason(op, sample.input, options)
            if why is None:
                kept.append((sample.input, options))
            else:
                left_out.append(why)
    return kept, left_out


def named(op: Op, sample: Any) -> dict[str, Any]:
    """All arguments after the input, by name."""
    return dict(zip(op.arguments.split(), sample.args, strict=False)) | sample.kwargs


def to_numpy(tensor: torch.Tensor) -> np.ndarray:
    """A view that raises when it is written to."""
    array = tensor.detach().numpy()
    array.flags.writeable = False
    return array


LIBRARIES: dict[str, Callable] = {"numpy": to_numpy, "torch": torch.Tensor.detach}
if torch.cuda.is_available():
    LIBRARIES["torch cuda"] = lambda tensor: tensor.detach().cuda()


def close(ours: Any, theirs: torch.Tensor) -> None:
    """Same shape, dtype and values, within the rounding of a sum; NaN equals NaN.

    Two orders of adding differ by rounding errors of the size of the largest values, also where
    the sum is small: torch's fixed 1e-5 holds on one processor and not on the next. Four units in
    the last place of the largest value are more in float32, and far less in float64 (torch: 1e-7).
    """
    ours = ours.cpu() if isinstance(ours, torch.Tensor) else torch.tensor(np.asarray(ours))
    theirs = theirs.detach()
    finite = theirs[torch.isfinite(theirs)].abs() if theirs.is_floating_point() else theirs[:0]
    largest = max(1.0, float(finite.max())) if finite.numel() else 1.0
    unit = torch.finfo(theirs.dtype).eps if theirs.is_floating_point() else 0.0
    torch.testing.assert_close(ours, theirs, rtol=0, atol=4 * unit * largest, equal_nan=True)


def compare(op: Op, convert: Callable, x: torch.Tensor, options: dict[str, Any]) -> None:
    """One sample forward and backward."""
    given = {k: v.detach().clone() if torch.is_tensor(v) else v for k, v in options.items()}
    leaves = {name: given.get(name) for name in op.leaves}
    leaves = {"input": x.detach().clone()} | {k: v for k, v in leaves.items() if v is not None}
    for leaf in leaves.values():
        leaf.requires_grad_()
    want = op.torch(leaves["input"], **given)  # writes new running statistics into its tensors
    want = want[0] if isinstance(want, tuple) else want

    arrays = {k: convert(v) if torch.is_tensor(v) else v for k, v in options.items()}
    y, kept = op.forward(convert(x), **arrays)
    close(y, want)
    for name in {"running_mean", "running_var"} & given.keys():
        close(getattr(kept, name), given[name])
    if op.backward is None:
        return
    dy = torch.randn(want.shape, dtype=want.dtype, generator=torch.Generator().manual_seed(0))
    gradients = op.backward(convert(dy), kept)
    gradients = gradients if isinstance(gradients, tuple) else (gradients,)
    wanted = dict(zip(leaves, torch.autograd.grad(want, leaves.values(), dy), strict=True))
    for name, gradient in zip(("input", *op.leaves), gradients, strict=True):
        assert (gradient is None) == (name not in wanted)
        if gradient is not None:
            close(gradient, wanted[name])


@pytest.mark.filterwarnings("ignore:Using padding='same'")
@pytest.mark.parametrize("library", LIBRARIES)
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("name", OPS)
def test_torch_s_samples_pass(name, dtype, library):
    kept, _ = samples(name, dtype)
    for x, options in kept:
        try:
            compare(OPS[name], LIBRARIES[library], x, options)
        except Exception as error:
            shapes = {k: tuple(v.shape) if torch.is_tensor(v) else v for k, v in options.items()}
            error.add_note(f"sample: input {tuple(x.shape)}, {shapes}")
            raise


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("name", OPS)
def test_no_sample_is_lost(name, dtype):
    kept, left_out = samples(name, dtype)
    assert kept
    if torch.__version__.startswith("2.15."):
        assert (len(kept), len(left_out)) == COUNTS[name]


@pytest.mark.parametrize("library", LIBRARIES)
@pytest.mark.parametrize("name", ERRORS)
def test_what_torch_refuses_we_refuse(name, library):
    op, tried = OPS[name], 0
    info = next(info for info in database() if info.name == op.name)
    for error in info.error_inputs("cpu"):
        x, options = error.sample_input.input, named(op, error.sample_input)
        if reason(op, x, options) is None:
            tried += 1
            convert = LIBRARIES[library]
            arrays = {k: convert(v) if torch.is_tensor(v) else v for k, v in options.items()}
            with pytest.raises((ValueError, TypeError), match=f"^{name}: "):
                op.forward(convert(x), **arrays)
    assert tried
    if torch.__version__.startswith("2.15."):
        assert tried == ERRORS[name]
