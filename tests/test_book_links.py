"""Links, anchors and pictures of the built book lead somewhere, and no page loads from outside."""

from __future__ import annotations

import base64
import hashlib
import json
from html.parser import HTMLParser
from io import BytesIO
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest
from PIL import Image

HTML = Path(__file__).resolve().parent.parent / "_build" / "html"
PAGES = sorted(p for p in HTML.rglob("*.html") if not p.relative_to(HTML).parts[0].startswith("_"))

pytestmark = [
    pytest.mark.book,
    pytest.mark.skipif(not PAGES, reason="no book in _build/html: make book"),
]


class Page(HTMLParser):
    """Ids, links, loaded things and pictures of one page."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.ids: set[str] = set()
        self.links: list[str] = []
        self.loads: list[str] = []
        self.no_alt: list[str] = []
        self.feed(path.read_text(encoding="utf-8"))

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Collect."""
        a = dict(attrs)
        self.ids |= {v for k in ("id", "name") if (v := a.get(k))}
        if tag == "a" and a.get("href"):
            self.links.append(a["href"] or "")
        if tag == "link" and "canonical" not in (a.get("rel") or "") and a.get("href"):
            self.loads.append(a["href"] or "")
        if a.get("src"):
            self.loads.append(a["src"] or "")
        in_place = tag == "img" and "logo" not in (a.get("class") or "")
        alt = a.get("alt") or ""
        if in_place and (not alt.strip() or alt == a.get("src") or alt.endswith(".png")):
            self.no_alt.append(a.get("src") or "?")


@pytest.fixture(scope="module")
def pages() -> dict[Path, Page]:
    """All pages, read once."""
    return {p.resolve(): Page(p) for p in PAGES}


@pytest.mark.parametrize("path", PAGES, ids=lambda p: p.relative_to(HTML).as_posix())
def test_links_lead_somewhere(path: Path, pages: dict[Path, Page]) -> None:
    """Links inside the book: the file and the anchor exist."""
    dead = []
    for link in pages[path.resolve()].links:
        parts = urlsplit(link)
        if parts.scheme or parts.netloc:
            continue
        target = (path.parent / unquote(parts.path)).resolve() if parts.path else path.resolve()
        if target.is_dir():
            target /= "index.html"
        anchor = unquote(parts.fragment)
        if not target.exists() or (anchor and target in pages and anchor not in pages[target].ids):
            dead.append(link)
    assert dead == []


@pytest.mark.parametrize("path", PAGES, ids=lambda p: p.relative_to(HTML).as_posix())
def test_page_loads_only_what_is_in_the_book(path: Path, pages: dict[Path, Page]) -> None:
    """Scripts, styles and pictures are local files that exist."""
    bad = []
    for link in pages[path.resolve()].loads:
        parts = urlsplit(link)
        if parts.scheme == "data":
            continue
        if parts.scheme or parts.netloc or not (path.parent / unquote(parts.path)).exists():
            bad.append(link)
    assert bad == []


@pytest.mark.parametrize("path", PAGES, ids=lambda p: p.relative_to(HTML).as_posix())
def test_pictures_have_alternative_text(path: Path, pages: dict[Path, Page]) -> None:
    """Every picture says in words what it shows."""
    assert pages[path.resolve()].no_alt == []


def pixels(data: bytes) -> str:
    """A fingerprint of what one sees."""
    with Image.open(BytesIO(data)) as picture:
        return hashlib.sha256(picture.convert("RGB").tobytes()).hexdigest()


def test_large_pictures_are_lighter_and_show_the_same() -> None:
    """The book's copies lose a transparency that shows nothing, and no pixel."""
    stored = set()
    for path in (HTML.parent.parent / "chapters").glob("*.ipynb"):
        for cell in json.loads(path.read_text(encoding="utf-8"))["cells"]:
            for output in cell.get("outputs", []):
                data = base64.b64decode("".join(output.get("data", {}).get("image/png", "")))
                if len(data) > 60_000:
                    stored.add(pixels(data))
    shown = set()
    for file in (HTML / "_images").glob("*.png"):
        data = file.read_bytes()
        shown.add(pixels(data))
        if len(data) > 60_000:
            with Image.open(file) as picture:
                assert picture.mode == "RGB"
    assert stored
    assert stored <= shown
