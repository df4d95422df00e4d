"""Turn plain Markdown that reads well everywhere into the book's boxes, captions and citations.

> **Mistake to avoid: title.** text      a warning box (Predict, Remember, Note, Definition alike)
**Figure 2.1.** text                     the caption of the figure above
[Krizhevsky et al., 2012](cite:key)      a link to the entry of the bibliography
"""

import re
from typing import Any

from docutils import nodes
from sphinx.transforms import SphinxTransform
from sphinx.util import logging
from sphinx.util.osutil import relative_uri

BOXES = {
    "Mistake": "warning",
    "Predict": "tip",
    "Remember": "important",
    "Note": "note",
    "Definition": "note",
}
CAPTION = re.compile(r"(Figure|Table) [A-Z]?\d+\.\d+\.$")
log = logging.getLogger(__name__)


def lead(node: nodes.Node) -> nodes.strong | None:
    """The bold words that a paragraph starts with."""
    # MyST puts an empty text before the words.
    first = next((c for c in node.children if c.astext()), None)
    return first if isinstance(first, nodes.strong) else None


class Plain(SphinxTransform):
    """Boxes and captions."""

    default_priority = 200

    def apply(self, **kwargs: Any) -> None:
        """Sphinx calls this on every page."""
        for quote in list(self.document.findall(nodes.block_quote)):
            self.box(quote)
        for paragraph in self.document.findall(nodes.paragraph):
            strong = lead(paragraph)
            if strong is not None and CAPTION.match(strong.astext()):
                paragraph["classes"].append("picture-caption")

    def box(self, quote: nodes.block_quote) -> None:
        """Make a box of a block quote that starts with one of our words in bold."""
        strong = lead(quote.children[0]) if quote.children else None
        word = strong.astext().split()[0].strip(":.") if strong is not None else ""
        if strong is None or word not in BOXES:
            return
        title = nodes.title("", "", *strong.children)
        last = title.children[-1]
        if isinstance(last, nodes.Text) and last.endswith((".", ":")):
            title.replace(last, nodes.Text(last[:-1]))
        first = quote.children[0]
        first.remove(strong)
        first[:] = [c for c in first.children if c.astext() or not isinstance(c, nodes.Text)]
        if first.children and isinstance(first.children[0], nodes.Text):
            first.replace(first.children[0], nodes.Text(first.children[0].lstrip()))
        body = [p for p in quote.children if p.astext().strip() or p.children]
        kind = BOXES[word]
        quote.replace_self(nodes.admonition("", title, *body, classes=[kind, "admonition-plain"]))


def cite(app: Any, doctree: nodes.document, docname: str) -> None:
    """Lead citations to their entries; a key that is not in references.bib is a warning."""
    citations = {c.key: c for c in app.env.get_domain("cite").citations}
    for node in doctree.findall(nodes.reference):
        uri = node.get("refuri", "")
        if not uri.startswith("cite:"):
            continue
        entry = citations.get(uri.removeprefix("cite:"))
        if entry is None:
            log.warning("no entry %r in references.bib", uri, location=node)
            continue
        here, there = (
            app.builder.get_target_uri(d) for d in (docname, entry.bibliography_key.docname)
        )
        node["refuri"] = f"{relative_uri(here, there)}#{entry.citation_id}"
        node["internal"] = True
        node["classes"] = ["citation-link"]


def setup(app: Any) -> dict[str, bool]:
    """Sphinx calls this."""
    app.add_transform(Plain)
    app.connect("doctree-resolved", cite)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
