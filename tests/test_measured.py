"""Measured records: found in a checkout and in a built package, and complete."""

import json
from pathlib import Path

import pytest

import cnnlib
from cnnlib import _measured

ROOT = Path(__file__).resolve().parent.parent
RECORDS = sorted((ROOT / "data" / "measured").glob("*.json"))


@pytest.mark.parametrize("path", RECORDS, ids=lambda p: p.stem)
def test_a_record_says_when_and_on_what(path: Path) -> None:
    """A number without its machine and date is worth little."""
    record = cnnlib.measured(path.stem)
    assert record == json.loads(path.read_text(encoding="utf-8"))
    assert {"date", "versions"} <= set(record)
    assert not any(name in json.dumps(record) for name in ("/home/", "/root/", "/work/"))


def test_the_built_package_looks_beside_itself(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Installed in Colab there is no data/ folder, but there is cnnlib/measured/."""
    (tmp_path / "measured").mkdir()
    (tmp_path / "measured" / "run.json").write_text('{"a": 1}')
    monkeypatch.setattr(_measured, "PLACES", (tmp_path / "nowhere", tmp_path / "measured"))
    assert cnnlib.measured("run") == {"a": 1}
    with pytest.raises(ValueError, match="no record 'other'; there are run"):
        cnnlib.measured("other")


def test_digits_band_comes_from_its_five_seeds() -> None:
    """Chapter 07's verdict uses this band; torch from the same weights lies in it too."""
    record = cnnlib.measured("digits_cnn")
    assert len(record["by_hand"]) == len(record["seeds"]) == 5
    low, high = record["band"]
    assert low == pytest.approx(min(record["by_hand"]) - 0.01, abs=1e-3)
    assert low > 0.97
    assert high == 1.0
    assert all(low <= a <= high for a in record["by_hand"] + record["torch"])
