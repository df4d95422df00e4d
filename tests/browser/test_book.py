"""Every page of the built book in a real browser: light, then dark (by file://), phone width."""

from __future__ import annotations

import functools
import http.server
import importlib.util
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

import pytest

HTML = Path(__file__).resolve().parents[2] / "_build" / "html"
PAGES = sorted(
    p.relative_to(HTML).as_posix()
    for p in HTML.rglob("*.html")
    if not p.relative_to(HTML).parts[0].startswith("_")
)
WIDTHS = {"wide": 1280, "phone": 390}
WEIGHT = 1_500_000  # bytes of a page and of what only this page loads

# Defects of the theme that cannot be mended from outside, by axe's rule and element: none is known.
THEME: set[tuple[str, str]] = set()

# Rules about colours are slow, and what they find depends on the theme but not on the width: they
# run on the wide page, in light and dark. All other rules depend on the page and the width.
COLOURS = ["color-contrast"]
AXE = """
([only, without]) => axe.run({
  preload: false, resultTypes: ["violations"],
  rules: Object.fromEntries(without.map(r => [r, {enabled: false}])),
  runOnly: only.length ? {type: "rule", values: only}
    : ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"],
}).then(r => r.violations.flatMap(v => v.nodes.map(n => [v.id, n.target.join(" "), n.html])))
"""
RULES: dict[str, list[list[str]]] = {
    "wide": [[], []],
    "dark": [COLOURS, []],
    "phone": [[], COLOURS],
}

pytestmark = [
    pytest.mark.browser,
    pytest.mark.book,
    pytest.mark.skipif(not PAGES, reason="no book in _build/html: make book"),
]


@pytest.fixture(scope="module")
def axe() -> str:
    """The source of axe-core."""
    spec = importlib.util.find_spec("axe_playwright_python")
    assert spec is not None
    assert spec.origin is not None
    return (Path(spec.origin).parent / "axe.min.js").read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    """The book on a port of this machine."""

    class Quiet(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *args: Any) -> None:
            pass

    handler = functools.partial(Quiet, directory=str(HTML))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as httpd:
        threading.Thread(target=httpd.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{httpd.server_address[1]}/"
        httpd.shutdown()


class Visit:
    """One page at one width, and all that it did while it loaded."""

    def __init__(
        self, browser: Any, base: str, page: str, width: str = "wide", scheme: str = "light"
    ) -> None:
        self.width = width
        self.context = browser.new_context(
            color_scheme=scheme, viewport={"width": WIDTHS[width], "height": 900}, bypass_csp=True
        )
        self.page = self.context.new_page()
        self.foreign: list[str] = []
        self.failed: list[str] = []
        self.said: list[str] = []
        self.bytes = 0
        self.page.on("request", self.note_request)
        self.page.on("response", self.note_response)
        self.page.on("requestfailed", lambda r: self.failed.append(f"{r.failure} {r.url}"))
        self.page.on("pageerror", lambda e: self.said.append(str(e)))
        self.page.on(
            "console",
            lambda m: (
                self.said.append(f"{m.text} {m.location}")
                if m.type in ("error", "warning")
                else None
            ),
        )
        self.base = base
        self.page.goto(base + page, wait_until="load")
        self.page.wait_for_function(
            "!window.MathJax || !MathJax.startup || !MathJax.startup.promise"
            " || MathJax.startup.promise.then(() => true)"
        )
        # The theme fades to its dark colours; axe has to see the end of the fade.
        self.page.add_style_tag(
            content="* { transition: none !important; animation: none !important }"
        )
        self.page.wait_for_timeout(150)

    def note_request(self, request: Any) -> None:
        """Remember a request that leaves the book."""
        if not request.url.startswith((self.base, "data:", "blob:", "file:")):
            self.foreign.append(request.url)

    def note_response(self, response: Any) -> None:
        """Remember a request that failed, and weigh what the theme's shared files do not hold."""
        if response.status >= 400:
            self.failed.append(f"{response.status} {response.url}")
        elif "/_static/" not in response.url:
            file = HTML / unquote(urlsplit(response.url.removeprefix(self.base)).path)
            self.bytes += file.stat().st_size if file.is_file() else 0  # "data:" is in the page


@pytest.fixture(params=[(p, w) for p in PAGES for w in WIDTHS], ids="-".join)
def visit(request: pytest.FixtureRequest, browser: Any, server: str) -> Iterator[Visit]:
    """Every page at both widths.

    The wide pages come by file://, as somebody reads who copied the book to a stick, the others
    from a server. 404.html is a server's answer to any address, and names files by the server's.
    """
    page, width = request.param
    base = f"{HTML.as_uri()}/" if width == "wide" and page != "404.html" else server
    visit = Visit(browser, base, page, width)
    yield visit
    visit.context.close()


def test_page_is_whole(visit: Visit, axe: str) -> None:
    """No error, no other host, nothing broken or cut off, nothing a screen reader stops at."""
    page = visit.page
    assert visit.said == []
    assert visit.foreign == []
    assert visit.failed == []
    broken = page.evaluate(
        "[...document.images].filter(i => i.loading !== 'lazy' && !(i.complete && i.naturalWidth))"
        ".map(i => i.src)"
    )
    assert broken == []
    assert page.evaluate("document.querySelectorAll('mjx-merror').length") == 0
    raw = page.evaluate(
        "[...document.querySelectorAll('.math')].filter(m => !m.querySelector('mjx-container'))"
        ".map(m => m.textContent)"
    )
    assert raw == [], "formulas that were not rendered"
    assert 0 < visit.bytes < WEIGHT
    over = page.evaluate("document.documentElement.scrollWidth - window.innerWidth")
    assert over <= 0, f"the page scrolls {over} px sideways"
    page.evaluate(axe)
    found = page.evaluate(AXE, RULES[visit.width])
    if visit.width == "wide":  # night falls while the page is open
        page.emulate_media(color_scheme="dark")
        # 404.html is not made by the theme and has no such mark.
        page.wait_for_function(
            "['dark', undefined].includes(document.documentElement.dataset.theme)"
        )
        page.wait_for_timeout(150)
        found += page.evaluate(AXE, RULES["dark"])
        assert visit.said == []
    assert [f for f in found if (f[0], f[1]) not in THEME] == []


def test_search_finds_a_word_offline(browser: Any) -> None:
    """The search page answers by file://."""
    visit = Visit(browser, HTML.as_uri() + "/", "search.html?q=convolution")
    visit.page.wait_for_selector("#search-results li a", timeout=10_000)
    hits = visit.page.eval_on_selector_all(
        "#search-results li a", "links => links.map(a => a.getAttribute('href'))"
    )
    assert any("chapters/02_convolution" in h for h in hits)
    assert visit.foreign == []
    visit.context.close()


def test_the_theme_follows_the_readers_setting(browser: Any, server: str) -> None:
    """Dark where the reader's system is dark."""
    colour = "getComputedStyle(document.body).backgroundColor"
    brightest = f"Math.max(...{colour}.match(/[0-9]+/g).map(Number))"
    for mode, wanted in [("light", "=== 255"), ("dark", "> 0 && {} < 60")]:
        visit = Visit(browser, server, "index.html", scheme=mode)
        assert visit.page.evaluate(f"{brightest} {wanted.format(brightest)}")
        visit.context.close()
