"""One Chromium for all browser tests, and a way to open a piece of HTML in it."""

import html
import importlib.util
import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

PAGE = """<!doctype html><html lang="en"><head><meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1"><title>Test page</title>
<style>:root{color-scheme:light dark}body{max-width:50rem;margin:0 auto;padding:16px;
font:16px/1.6 sans-serif;background:#fff;color:#222832}
@media(prefers-color-scheme:dark){body{background:#14181e;color:#ced6dd}}</style></head>
<body><main><h1>Test page</h1>%s</main></body></html>"""


def find(page: Any, name: str) -> Any:
    """The custom element whose tag begins with a name."""
    return page.locator(f"xpath=//*[starts-with(name(), 'cnn-{name}-')]").first


@pytest.fixture(scope="session")
def browser() -> Iterator[Any]:
    """Debian's Chromium through playwright."""
    api = pytest.importorskip("playwright.sync_api")
    # tools/browser.py says which browser it found; by hand, Debian's is taken.
    path = os.environ.get("CHROMIUM") or shutil.which("chromium")
    if path is None:
        pytest.skip("no Chromium on this machine")
    with api.sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=path, args=["--no-sandbox"])
        yield chromium
        chromium.close()


@pytest.fixture
def open_html(browser: Any, tmp_path: Path) -> Iterator[Callable[..., Any]]:
    """Open HTML as the body of a page from a file; at the end no error and no request is left."""
    contexts: list[Any] = []
    problems: list[str] = []

    def open_(body: str, *, dark: bool = False, width: int = 1280, **options: Any) -> Any:
        context = browser.new_context(
            viewport={"width": width, "height": 800},
            color_scheme="dark" if dark else "light",
            **options,
        )
        contexts.append(context)
        page = context.new_page()
        page.set_default_timeout(10_000)
        page.on("pageerror", lambda e: problems.append(str(e)))
        page.on(
            "console",
            lambda m: problems.append(m.text) if m.type in ("error", "warning") else None,
        )
        page.on(
            "request",
            lambda r: (
                None
                if r.url.startswith(("file:", "data:", "about:", "blob:"))
                else problems.append(f"asks for {r.url}")
            ),
        )
        file = tmp_path / f"page{len(contexts)}.html"
        file.write_text(PAGE % body, encoding="utf-8")
        page.goto(file.as_uri())
        return page

    yield open_
    for context in contexts:
        context.close()
    assert problems == []


@pytest.fixture
def open_frame(open_html: Callable[..., Any]) -> Callable[[str], Any]:
    """Open a figure's HTML in a sandboxed frame, as Colab does; gives the frame."""

    def open_(figure: str) -> Any:
        inside = html.escape(f"<!doctype html><title>f</title>{figure}")
        page = open_html(
            f'<iframe title="figure" sandbox="allow-scripts" width="700" height="700"'
            f' srcdoc="{inside}"></iframe>'
        )
        return page.frame_locator("iframe")

    return open_


@pytest.fixture(scope="session")
def axe() -> Callable[[Any], list[list[str]]]:
    """A function from a page to axe's violations: rule, target, HTML."""
    spec = importlib.util.find_spec("axe_playwright_python")
    if spec is None or spec.origin is None:
        pytest.skip("axe-playwright-python is not installed")
    source = (Path(spec.origin).parent / "axe.min.js").read_text(encoding="utf-8")

    def run(page: Any) -> list[list[str]]:
        page.evaluate(source)
        found: list[list[str]] = page.evaluate(
            "axe.run({runOnly: ['wcag2a', 'wcag2aa', 'wcag21a', 'wcag21aa', 'wcag22aa',"
            " 'best-practice']}).then(r => r.violations.flatMap(v =>"
            " v.nodes.map(n => [v.id, n.target.join(' '), n.html])))"
        )
        return found

    return run
