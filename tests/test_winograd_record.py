"""The record of Winograd's convolution: its form, and what appendix A2 says of it."""

import json
import subprocess
import sys
from math import prod
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
RECORD = json.loads((ROOT / "data/measured/winograd.json").read_text(encoding="utf-8"))
KINDS = ("float32", "float64")
SHAPES = ["lenet", "small", "cifar", "vgg112", "vgg56", "vgg14", "alex"]
FITS = {"small", "cifar", "vgg112", "vgg56", "vgg14"}  # 3x3, stride 1


@pytest.mark.parametrize("kind", KINDS)
def test_the_record_has_all_rows_and_its_means_follow(kind):
    rows = RECORD[kind]
    assert [row["shape"] for row in rows] == SHAPES
    for row in rows:
        assert set(row["ratios"]) == {"cnnlib", *(["winograd"] if row["shape"] in FITS else [])}
        assert min(row["rounds"].values()) >= 3
        assert row["chosen"] == ("winograd" if row["shape"] in FITS - {"small"} else "cnnlib")
    for way, mean in RECORD["geomean"][kind].items():
        for mode, value in mean.items():
            ratios = [r["ratios"][r["chosen"] if way == "chosen" else way][mode] for r in rows]
            assert value == pytest.approx(prod(ratios) ** (1 / len(rows)), abs=2e-3)


def test_the_record_says_how_it_was_measured():
    assert RECORD["threads"] == 1
    assert RECORD["unset"] == ["OPENBLAS_CORETYPE", "OPENBLAS_L2_SIZE"]
    for key in ("date", "command", "blas", "how", "what", "seconds", "load", "versions"):
        assert RECORD[key]


def test_many_channels_gain_and_few_lose():
    for kind in KINDS:
        rows = {row["shape"]: row["ratios"] for row in RECORD[kind]}
        for shape in FITS - {"small"}:
            assert rows[shape]["winograd"]["both"] < rows[shape]["cnnlib"]["both"]
        assert rows["small"]["winograd"]["both"] > rows["small"]["cnnlib"]["both"]
        means = RECORD["geomean"][kind]
        assert means["chosen"]["both"] < 0.9 * means["cnnlib"]["both"]
    assert RECORD["geomean"]["float32"]["chosen"]["both"] < 0.85


def test_rounding_is_as_the_text_says():
    """Tiles of 4 lose about a decimal place, tiles of 2 hardly anything."""
    for row in RECORD["float32"]:
        if "rounding" in row:
            error = row["rounding"]
            assert error["columns"] < 1e-6
            assert error["tile 2"] < 4 * error["columns"]
            assert 4 * error["columns"] < error["tile 4"] < 50 * error["columns"]


@pytest.mark.slow
def test_a_quick_run_writes_a_record_of_the_same_form(tmp_path):
    target = tmp_path / "quick.json"
    command = [sys.executable, "benchmarks/winograd.py", "--quick", "--json", str(target)]
    run = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stderr
    quick = json.loads(target.read_text(encoding="utf-8"))
    assert quick.keys() == RECORD.keys()
    assert quick["float32"][1].keys() == {*RECORD["float32"][1].keys()} - {"memory_mb"}
    assert "geometric mean" in run.stdout
