"""The benchmark compares like with like, and its record says what was measured."""

import json
import subprocess
import sys
from math import prod
from pathlib import Path

import numpy as np
import pytest
import torch

from cnnlib import ops
from conftest import read_only

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "benchmarks"))
import textbook  # noqa: E402

RECORD = json.loads((ROOT / "data/measured/ops.json").read_text())
CONV2D = ["lenet", "small", "cifar", "vgg112", "vgg56", "vgg14", "alex"]
TABLES = {
    "conv2d": (CONV2D, ["cnnlib", "im2col", "tensordot"]),
    "conv2d_float64": (CONV2D, ["cnnlib"]),
    "max_pool2d": (["2x2 s2", "3x3 s2"], ["cnnlib", "im2col", "windows"]),
    "avg_pool2d": (["2x2 s2", "3x3 s2"], ["cnnlib", "im2col", "windows"]),
    "linear": (["mlp", "vgg"], ["cnnlib"]),
    "cross_entropy": (["digits", "imagenet"], ["cnnlib"]),
}


def shapes(count: int) -> list[tuple]:
    """Random batch, channels, height, width, kernels, kernel height and width, stride, padding."""
    rng = np.random.default_rng(0)
    low, high = (1, 1, 5, 5, 1, 1, 1, 1, 0), (4, 4, 10, 10, 4, 5, 5, 4, 3)
    return [tuple(int(a) for a in rng.integers(low, high)) for _ in range(count)]


@pytest.mark.parametrize("algorithm", ["loops", "im2col", "windows"])
@pytest.mark.parametrize("shape", shapes(8))
def test_textbook_convolution_is_right(algorithm, shape):
    n, c, h, w, o, kh, kw, stride, padding = shape
    rng = np.random.default_rng(1)
    inputs = [rng.normal(size=s) for s in ((n, c, h, w), (o, c, kh, kw), (o,))]
    tensors = [torch.tensor(a, requires_grad=True) for a in inputs]
    expected = torch.nn.functional.conv2d(*tensors, stride=stride, padding=padding)
    dy = rng.normal(size=expected.shape)
    expected.backward(torch.tensor(dy))
    forward = getattr(textbook, f"{algorithm}_conv2d_forward")
    backward = getattr(textbook, f"{algorithm}_conv2d_backward")
    y, cache = forward(*map(read_only, inputs), stride=stride, padding=padding)
    ours, _ = ops.conv2d_forward(*inputs, stride=stride, padding=padding)
    np.testing.assert_allclose(y, expected.detach(), atol=1e-12)
    np.testing.assert_allclose(y, ours, atol=1e-12)
    for gradient, tensor in zip(backward(read_only(dy), cache), tensors, strict=True):
        np.testing.assert_allclose(gradient, tensor.grad, atol=1e-12)


@pytest.mark.parametrize("algorithm", ["im2col", "windows"])
@pytest.mark.parametrize("op", ["max_pool2d", "avg_pool2d"])
@pytest.mark.parametrize(("kernel", "stride"), [(2, 2), (3, 2), (2, 3), (3, 1)])
def test_textbook_pooling_is_right(algorithm, op, kernel, stride):
    rng = np.random.default_rng(2)
    x = rng.normal(size=(2, 3, 8, 7))
    tensor = torch.tensor(x, requires_grad=True)
    expected = getattr(torch.nn.functional, op)(tensor, kernel, stride)
    dy = rng.normal(size=expected.shape)
    expected.backward(torch.tensor(dy))
    y, cache = getattr(textbook, f"{algorithm}_{op}_forward")(read_only(x), kernel, stride=stride)
    dx = getattr(textbook, f"{algorithm}_{op}_backward")(read_only(dy), cache)
    np.testing.assert_allclose(y, expected.detach(), atol=1e-12)
    np.testing.assert_allclose(dx, tensor.grad, atol=1e-12)


@pytest.mark.slow
def test_a_quick_run_writes_a_record_of_the_same_form(tmp_path):
    target = tmp_path / "quick.json"
    command = [sys.executable, "benchmarks/ops.py", "--quick", "--json", str(target)]
    run = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stderr
    quick = json.loads(target.read_text())
    assert quick.keys() == RECORD.keys()
    for name, (_, whom) in TABLES.items():
        assert quick[name][0].keys() == RECORD[name][0].keys()
        assert list(quick["geomean"][name]) == whom
        for row in quick[name]:
            assert set(row["rounds"].values()) == {1}
    assert "geometric mean" in run.stdout
    assert "OPENBLAS_CORETYPE" in run.stdout


@pytest.mark.parametrize("name", list(TABLES))
def test_the_record_has_all_rows_and_everyone(name):
    wanted, whom = TABLES[name]
    rows = RECORD[name]
    assert [row["shape"] for row in rows] == wanted
    for row in rows:
        assert 0 < row["torch_ms"]["forward"] < row["torch_ms"]["both"]
        assert list(row["ratios"]) == whom
        assert list(row["rounds"]) == ["torch", *whom]
        assert min(row["rounds"].values()) >= 3
        assert all(ratio > 0 for who in whom for ratio in row["ratios"][who].values())
    for who, mean in RECORD["geomean"][name].items():
        for mode, value in mean.items():
            expected = prod(row["ratios"][who][mode] for row in rows) ** (1 / len(rows))
            assert value == pytest.approx(expected, abs=2e-3)  # both are rounded


def test_the_record_says_how_it_was_measured():
    assert RECORD["threads"] == 1
    assert RECORD["unset"] == ["OPENBLAS_CORETYPE", "OPENBLAS_L2_SIZE"]
    assert {"python", "numpy", "torch"} <= RECORD["versions"].keys()
    assert {"before", "after"} == RECORD["load"].keys()
    assert "cores" in RECORD["machine"]
    for key in ("date", "command", "blas", "how", "what", "seconds"):
        assert RECORD[key]


def test_the_record_bears_out_what_chapter_2_says():
    ratio = {
        row["shape"]: {who: row["ratios"][who]["both"] for who in row["ratios"]}
        for row in RECORD["conv2d"]
    }
    ours = {shape: row["cnnlib"] for shape, row in ratio.items()}
    assert 0.9 < RECORD["geomean"]["conv2d"]["cnnlib"]["both"] < 1.1
    assert max(ours["lenet"], ours["alex"]) < 0.85
    assert all(0.9 < ours[shape] < 1.1 for shape in ("vgg112", "vgg56", "vgg14"))
    assert 1.05 < ours["cifar"] < ours["small"]
    gains = {shape: row["im2col"] / row["cnnlib"] for shape, row in ratio.items()}
    assert min(gains.values()) > 1.3
    assert min(gains, key=gains.get) == "vgg14"
    over_windows = [row["tensordot"] / row["cnnlib"] for row in ratio.values()]
    assert min(over_windows[:4]) > 1.4 > 1.3 > max(over_windows[4:])
    assert over_windows[-1] < 1.05


def test_pooling_and_convolution_keep_up_with_torch():
    """Forward with backward, and for convolution forward alone: bounds that were set before."""
    mean = {op: RECORD["geomean"][op]["cnnlib"] for op in RECORD["geomean"]}
    assert mean["conv2d"]["both"] <= 1.15
    assert mean["conv2d"]["forward"] <= 1.25
    assert mean["max_pool2d"]["both"] <= 0.7
    assert mean["avg_pool2d"]["both"] <= 0.7
    for op in ("linear", "cross_entropy", "conv2d_float64"):
        assert mean[op]["both"] < 1


def test_cnnlib_is_faster_than_textbook_numpy():
    mean = {who: ratio["both"] for who, ratio in RECORD["geomean"]["conv2d"].items()}
    assert mean["im2col"] > 2.5 * mean["cnnlib"]
    assert mean["tensordot"] > mean["cnnlib"]
    assert 300 < RECORD["loops"]["ratios"]["loops"]["both"] / mean["cnnlib"] < 1000
    for op in ("max_pool2d", "avg_pool2d"):
        for who in ("im2col", "windows"):
            assert (
                RECORD["geomean"][op][who]["both"] > 1.5 * RECORD["geomean"][op]["cnnlib"]["both"]
            )


def test_the_blocks_need_less_memory_than_torch_on_large_layers():
    for row in RECORD["conv2d"]:
        memory = row["memory_mb"]
        assert memory["cnnlib"] >= memory["results"]
        assert memory["cnnlib"] < max(27, memory["torch"])
