"""The node tests that ONNX ships, computed by our operations."""

import sys
from collections.abc import Callable
from functools import cache
from importlib import import_module
from typing import Any, NamedTuple
from unittest.mock import patch

import numpy as np
import onnx
import pytest
from naive import host
from onnx import helper

from cnnlib import ops

NODE = "onnx.backend.test.case.node"
RTOL, ATOL = 1e-3, 1e-7  # ONNX's own: some expected values have four digits only


class Case(NamedTuple):
    """One call of ONNX's ``expect``: a node and what it must compute."""

    kind: str
    inputs: list[np.ndarray]
    outputs: list[np.ndarray]
    options: dict[str, Any]


@cache
def cases() -> dict[str, Case]:
    """All cases of the operators that we have, by name; ONNX makes them while it is imported."""
    found = {}

    def expect(node, inputs, outputs, name, **_):
        options = {a.name: helper.get_attribute_value(a) for a in node.attribute}
        found[name] = Case(node.op_type, list(inputs), list(outputs), options)

    # A module that somebody loaded before has made its cases then: load it anew.
    before = {name: sys.modules.pop(name) for name in map(module, MODULES) if name in sys.modules}
    state = np.random.get_state()  # noqa: NPY002  ONNX seeds NumPy's global generator
    with patch.object(import_module(NODE), "expect", expect):
        for name in MODULES:
            import_module(module(name))
    np.random.set_state(state)  # noqa: NPY002
    for name in map(module, MODULES):
        del sys.modules[name]
    sys.modules.update(before)
    return found


def module(name: str) -> str:
    return f"{NODE}.{name}"


def geometry(case: Case) -> tuple[np.ndarray, dict[str, Any], list[tuple[int, int]], bool]:
    """Return x, our options without padding, ((top, bottom), (left, right)), and if they are even.

    Even is what our ``padding`` can say: as much before as after. ONNX pads each side on its own;
    its "SAME" says: so that the output has n / stride pixels, rounded up.
    """
    x, options = case.inputs[0], case.options
    kernel = options.get("kernel_shape", x.shape[2:])
    stride, dilation = options.get("strides", [1, 1]), options.get("dilations", [1, 1])
    pads = options.get("pads", [0, 0, 0, 0])
    borders = list(zip(pads[:2], pads[2:], strict=True))
    auto = options.get("auto_pad", b"NOTSET")
    if auto != b"NOTSET":
        borders = []
        for n, k, s, d in zip(x.shape[2:], kernel, stride, dilation, strict=True):
            total = max((-(-n // s) - 1) * s + d * (k - 1) + 1 - n, 0)
            small, large = total // 2, total - total // 2
            borders.append((small, large) if auto == b"SAME_UPPER" else (large, small))
    ours = {"kernel_size": tuple(kernel), "stride": tuple(stride), "dilation": tuple(dilation)}
    ours["ceil_mode"] = bool(options.get("ceil_mode", 0))
    return x, ours, borders, all(before == after for before, after in borders)


def pad(x: np.ndarray, borders: list, value: float = 0) -> np.ndarray:
    return np.pad(x, ((0, 0), (0, 0), *borders), constant_values=value)


def conv(case: Case, xp: Callable) -> list:
    x, ours, borders, even = geometry(case)
    options = {"stride": ours["stride"], "dilation": ours["dilation"]}
    if even:
        options["padding"] = tuple(before for before, _ in borders)
    else:
        x = pad(x, borders)
    return [ops.conv2d_forward(xp(x), *map(xp, case.inputs[1:]), **options)[0]]


def max_pool(case: Case, xp: Callable) -> list:
    x, ours, borders, even = geometry(case)
    if even and all(2 * b <= k for (b, _), k in zip(borders, ours["kernel_size"], strict=True)):
        ours["padding"] = tuple(before for before, _ in borders)
    else:  # torch and we refuse windows of nothing but padding
        x = pad(x, borders, -np.inf)
    return [ops.max_pool2d_forward(xp(x), ours.pop("kernel_size"), **ours)[0]]


def avg_pool(case: Case, xp: Callable) -> list:
    x, ours, borders, even = geometry(case)
    kernel = ours.pop("kernel_size")
    del ours["dilation"]
    counted = bool(case.options.get("count_include_pad", 0))
    if even and all(2 * b <= k for (b, _), k in zip(borders, kernel, strict=True)):
        padding = tuple(before for before, _ in borders)
        ours |= {"padding": padding, "count_include_pad": counted}
        return [ops.avg_pool2d_forward(xp(x), kernel, **ours)[0]]
    if counted:
        return [ops.avg_pool2d_forward(xp(pad(x, borders)), kernel, **ours)[0]]
    total, _ = ops.avg_pool2d_forward(xp(pad(x, borders)), kernel, divisor_override=1, **ours)
    real, _ = ops.avg_pool2d_forward(
        xp(pad(np.ones_like(x), borders)), kernel, divisor_override=1, **ours
    )
    return [total / real]


def global_avg_pool(case: Case, xp: Callable) -> list:
    return [ops.avg_pool2d_forward(xp(case.inputs[0]), case.inputs[0].shape[2:])[0]]


def gemm(case: Case, xp: Callable) -> list:
    a, b, *bias = case.inputs
    a = a.T if case.options.get("transA") else a
    weight = b if case.options.get("transB") else b.T
    return [ops.linear_forward(xp(a), xp(weight), *(xp(c[0]) for c in bias))[0]]


def matmul(case: Case, xp: Callable) -> list:
    a, b = case.inputs
    return [ops.linear_forward(xp(a), xp(b.T))[0]]


def activation(forward: Callable) -> Callable:
    return lambda case, xp: [forward(xp(case.inputs[0]))[0]]


def softmax(function: Callable) -> Callable:
    return lambda case, xp: [function(xp(case.inputs[0]), axis=case.options.get("axis", -1))]


def cross_entropy(case: Case, xp: Callable) -> list:
    logits, labels, *weight = map(xp, case.inputs)
    options = dict(case.options)
    if "reduction" in options:
        options["reduction"] = options["reduction"].decode()
    if weight:
        options["weight"] = weight[0]
    loss, _ = ops.cross_entropy_forward(logits, labels, **options)
    return [loss, ops.log_softmax(logits, axis=1)][: len(case.outputs)]


def batch_norm(case: Case, xp: Callable) -> list:
    x, weight, bias, mean, var = case.inputs
    training = bool(case.options.get("training_mode", 0))
    share = 1 - case.options.get("momentum", 0.9)  # ONNX weighs the old statistics, torch the new
    eps = case.options.get("epsilon", 1e-5)
    y, kept = ops.batch_norm2d_forward(
        *map(xp, (x, weight, bias, mean, var)), training=training, momentum=share, eps=eps
    )
    if not training:
        return [y]
    count = x.size // x.shape[1]
    new = (host(kept.running_var) - (1 - share) * var) * (count - 1) / count
    return [y, kept.running_mean, (1 - share) * var + new]  # ONNX keeps the biased variance


# By ONNX's name: its module, the adapter, and how many of its cases run and are left out.
OPERATORS = {
    "Conv": ("conv", conv, 6, 0),
    "MaxPool": ("maxpool", max_pool, 14, 5),
    "AveragePool": ("averagepool", avg_pool, 12, 8),
    "GlobalAveragePool": ("globalaveragepool", global_avg_pool, 2, 0),
    "Gemm": ("gemm", gemm, 5, 6),
    "MatMul": ("matmul", matmul, 3, 4),
    "Relu": ("relu", activation(ops.relu_forward), 1, 0),
    "Sigmoid": ("sigmoid", activation(ops.sigmoid_forward), 2, 0),
    "Tanh": ("tanh", activation(ops.tanh_forward), 2, 0),
    "Softmax": ("softmax", softmax(ops.softmax), 7, 0),
    "LogSoftmax": ("logsoftmax", softmax(ops.log_softmax), 7, 0),
    "SoftmaxCrossEntropyLoss": ("softmax_cross_entropy_loss", cross_entropy, 34, 0),
    "BatchNormalization": ("batch_normalization", batch_norm, 4, 0),
}
MODULES = [entry[0] for entry in OPERATORS.values()]


def reason(case: Case) -> str | None:
    """Why a case is no business of ours, or None if it is."""
    options, inputs = case.options, case.inputs
    if case.kind in ("Conv", "MaxPool", "AveragePool") and inputs[0].ndim != 4:
        return "one or three axes of pixels: our images have two"
    if case.kind == "AveragePool" and set(options.get("dilations", [1])) != {1}:
        return "avg_pool2d has no dilation, as in torch"
    if case.kind == "Gemm" and {"alpha", "beta"} & options.keys():
        return "linear has no factors"
    if case.kind == "Gemm" and len(inputs) == 3:
        columns = inputs[1].shape[0 if options.get("transB") else 1]
        if inputs[2].shape != (1, columns):
            return "linear's bias has one number per output"
    if case.kind == "MatMul" and inputs[1].ndim > 2:
        return "linear has one weight for the whole batch"
    return None


@pytest.mark.parametrize("kind", OPERATORS)
def test_onnx_s_cases_pass(kind, xp):
    adapter = OPERATORS[kind][1]
    for name, case in cases().items():
        if case.kind != kind or reason(case):
            continue
        try:
            got = adapter(case, xp)
            wanted = case.outputs[:1] if kind == "MaxPool" else case.outputs  # no indices
            for ours, theirs in zip(got, wanted, strict=True):
                np.testing.assert_allclose(host(ours), theirs, rtol=RTOL, atol=ATOL)
                assert host(ours).shape == theirs.shape
                assert host(ours).dtype == theirs.dtype
        except Exception as error:
            error.add_note(f"ONNX's {name}: {case.options}")
            raise


@pytest.mark.parametrize("kind", OPERATORS)
def test_no_case_is_lost(kind):
    mine = [case for case in cases().values() if case.kind == kind]
    left_out = [case for case in mine if reason(case)]
    assert len(mine) > len(left_out)
    if onnx.__version__.startswith("1.23."):
        assert (len(mine) - len(left_out), len(left_out)) == OPERATORS[kind][2:]
