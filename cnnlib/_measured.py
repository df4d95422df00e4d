"""What was measured on a real machine, and the chapters show: the JSON files of data/measured."""

import json
from pathlib import Path
from typing import Any

# In a checkout the records stand in data/measured; the built package carries them inside.
PLACES = (
    Path(__file__).resolve().parent.parent / "data" / "measured",
    Path(__file__).resolve().parent / "measured",
)


def measured(name: str) -> Any:
    """A record of a real run: machine, versions, command, date and numbers.

    Args:
        name: name of the file without ``.json``, such as ``"digits_cnn"``.

    Returns:
        What the JSON file holds.

    Raises:
        ValueError: If nobody recorded a run of that name.
    """
    for place in PLACES:
        path = place / f"{name}.json"
        if path.is_file():
            return json.loads(path.read_text(encoding="utf-8"))
    known = sorted({p.stem for place in PLACES for p in place.glob("*.json")})
    raise ValueError(f"measured: no record {name!r}; there are {', '.join(known) or 'none'}")
