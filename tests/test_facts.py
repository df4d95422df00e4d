"""The bibliography, the citations and the ImageNet numbers: complete and consistent."""

import ast
import json
import re
from pathlib import Path

import pytest

from cnnlib import examples

ROOT = Path(__file__).resolve().parent.parent
BIB = (ROOT / "references.bib").read_text(encoding="utf-8")
ILSVRC = json.loads((ROOT / "data" / "ilsvrc.json").read_text(encoding="utf-8"))
# Printed proceedings for which we found no address that we could confirm.
NO_ADDRESS = {"sanchez2011"}


def entries() -> list[tuple[str, str, dict[str, str]]]:
    """(kind, key, fields) of every entry of references.bib."""
    found = []
    for kind, key, body in re.findall(r"^@(\w+)\{([^,\s]+),\n(.*?)^\}", BIB, re.M | re.S):
        fields = re.findall(r"^\s*(\w+)\s*=\s*\{(.*)\},?\s*$", body, re.M)
        found.append((kind, key, {name.lower(): value for name, value in fields}))
    return found


ENTRIES = entries()
KEYS = {key for _, key, _ in ENTRIES}


def test_every_entry_is_read():
    assert len(ENTRIES) == len(re.findall(r"^@", BIB, re.M))
    assert BIB.count("{") == BIB.count("}")


def test_keys_are_unique_and_in_house_style():
    keys = [key for _, key, _ in ENTRIES]
    assert len(keys) == len(set(keys))
    assert [k for k in keys if not re.fullmatch(r"[a-z]+\d{4}[a-z]*", k)] == []


def test_no_work_stands_there_twice():
    titles = [re.sub(r"\W", "", fields["title"].lower()) for _, _, fields in ENTRIES]
    assert len(titles) == len(set(titles))


@pytest.mark.parametrize(("kind", "key", "fields"), ENTRIES, ids=[e[1] for e in ENTRIES])
def test_entry_is_complete(kind, key, fields):
    for name in ("author", "title", "year"):
        assert fields.get(name), f"{key} has no {name}"
    assert re.fullmatch(r"\d{4}", fields["year"])
    year = re.search(r"\d{4}", key)
    assert year is not None
    assert year[0] == fields["year"], f"{key} says {fields['year']}"
    venue = {"article": "journal", "inproceedings": "booktitle", "book": "publisher"}.get(kind)
    assert venue is None or fields.get(venue), f"{key} has no {venue}"
    if key not in NO_ADDRESS:
        assert {"doi", "url", "eprint", "isbn"} & set(fields), f"{key}: no way to find it"
    assert not fields.get("doi", "").startswith("http"), f"{key}: doi without the address"
    if kind == "misc":
        assert {"url", "doi", "eprint"} & set(fields), f"{key}: no address"


def pages() -> list[Path]:
    """Every text in which a citation may stand."""
    top = [p for p in ROOT.glob("*.md") if p.name != "CONTRIBUTING.md"]
    return sorted([*top, *ROOT.glob("manuscript/*.md"), *ROOT.glob("appendix/*.md")])


def test_every_citation_has_an_entry():
    missing = {
        (page.name, key)
        for page in pages()
        for key in re.findall(r"\]\(cite:([^)\s]+)\)", page.read_text(encoding="utf-8"))
        if key not in KEYS
    }
    assert missing == set()


def test_the_years_of_the_challenge_are_complete():
    assert [w["year"] for w in ILSVRC["winners"]] == list(range(2010, 2018))


def test_every_number_has_a_source():
    numbers = [*ILSVRC["winners"], *ILSVRC["others"], ILSVRC["human"], *ILSVRC["sizes"].values()]
    for number in numbers:
        assert number["source"] in KEYS
        assert number.get("page", number["source"]) in KEYS
        assert number.get("paper") is None or number["paper"] in KEYS
        assert number["seen"]


def test_errors_fall_and_rounding_is_right():
    errors = [w["error"] for w in ILSVRC["winners"]]
    assert errors == sorted(errors, reverse=True)
    for row in [*ILSVRC["winners"], *ILSVRC["others"]]:
        places = len(str(row["error"]).partition(".")[2])
        assert row["error"] == pytest.approx(row["digits"], abs=0.5 * 10**-places + 1e-9)


def test_figures_that_the_text_repeats():
    """The numbers of the story, as the chapter and the fact check print them."""
    sizes = ILSVRC["sizes"]
    assert (sizes["ImageNet"]["images"], sizes["ImageNet"]["synsets"]) == (14_197_122, 21_841)
    ilsvrc = sizes["ILSVRC-2012"]
    assert [ilsvrc[k] for k in ("train", "validation", "test", "classes")] == [
        1_281_167,
        50_000,
        100_000,
        1000,
    ]
    winners = {w["year"]: w for w in ILSVRC["winners"]}
    # "a relative improvement of about 25 %" over 2016, as the winners of 2017 write
    assert 1 - winners[2017]["digits"] / winners[2016]["digits"] == pytest.approx(0.25, abs=0.005)
    better = [w["year"] for w in ILSVRC["winners"] if w["error"] < ILSVRC["human"]["error"]]
    assert better == [2015, 2016, 2017]


def literal(name: str) -> object:
    """The value that chapter 1 gives to a name."""
    text = (ROOT / "manuscript" / "01_images.md").read_text(encoding="utf-8")
    found = re.search(rf"^{name} = (\{{.*?\}}$|\S+$)", text, re.M | re.S)
    assert found is not None, f"chapter 1 has no {name}"
    return ast.literal_eval(found[1])


def test_chapter_1_shows_the_recorded_numbers():
    winners = literal("winners")
    assert isinstance(winners, dict)
    assert {y: e for y, (_, e) in winners.items()} == {
        w["year"]: w["error"] for w in ILSVRC["winners"]
    }
    for w in ILSVRC["winners"]:
        assert w["team"] in winners[w["year"]][0]
    assert literal("human") == ILSVRC["human"]["error"]
    imagenet, ilsvrc = ILSVRC["sizes"]["ImageNet"], ILSVRC["sizes"]["ILSVRC-2012"]
    assert literal("full") == {"images": imagenet["images"], "classes": imagenet["synsets"]}
    assert literal("ilsvrc") == {
        "training": ilsvrc["train"],
        "validation": ilsvrc["validation"],
        "test": ilsvrc["test"],
    }


def test_the_fact_check_settles_every_example():
    text = (ROOT / "manuscript" / "A1_fact_check.md").read_text(encoding="utf-8")
    used = set(re.findall(r'examples\.get\("(\w+)"\)', text))
    assert used == set(examples.EXAMPLES)


def test_the_fact_check_has_a_section_for_every_row():
    text = (ROOT / "manuscript" / "A1_fact_check.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| \[(\d+)\]\(#(\d+)-", text, re.M)
    sections = re.findall(r"^## (\d+)\. ", text, re.M)
    assert [row for row, _ in rows] == [link for _, link in rows] == sections
    parts = re.split(r"^## \d+\. .*$", text, flags=re.M)[1:]
    for number, part in zip(sections, parts, strict=True):
        assert "**The claim.**" in part, number
        assert "**What is so.**" in part, number
