"""What every interactive figure owes a reader without scripts, and one with a keyboard."""

from typing import Any

import pytest

from browser import test_architecture_explorer, test_interactive_a, test_interactive_b

FIGURES = {
    **test_interactive_a.FIGURES,
    **test_interactive_b.FIGURES,
    "architecture-explorer": test_architecture_explorer.FIGURE,
}

pytestmark = pytest.mark.browser


@pytest.mark.parametrize("name", FIGURES)
def test_without_scripts_the_tables_are_read(open_html: Any, name: str) -> None:
    """GitHub and untrusted notebooks strip scripts."""
    page = open_html(FIGURES[name]._repr_html_(), java_script_enabled=False)
    assert page.locator("table.dataframe").first.is_visible()
    assert page.get_by_text("Open this page in the book").is_visible()


@pytest.mark.parametrize("name", FIGURES)
def test_tab_passes_through(open_html: Any, name: str) -> None:
    """No figure keeps the keyboard to itself, forwards or backwards."""
    page = open_html(f'{FIGURES[name]._repr_html_()}<button id="after">after</button>')
    for _ in range(60):
        page.keyboard.press("Tab")
        if page.evaluate("document.activeElement.id") == "after":
            break
    assert page.evaluate("document.activeElement.id") == "after"
    page.keyboard.press("Shift+Tab")
    assert page.evaluate("document.activeElement.tagName").startswith("CNN-")
