"""The real source code of a function or class, for showing in a chapter: nothing is retyped."""

import ast
import inspect
import textwrap


class Listing:
    """Source text that a notebook shows as highlighted Python."""

    def __init__(self, text: str):
        self.text = text

    def __repr__(self) -> str:
        return self.text

    def _repr_markdown_(self) -> str:
        fence = "```"
        while fence in self.text:
            fence += "`"
        return f"{fence}python\n{self.text}\n{fence}"


def show_source(*objects, docstring: bool = False) -> Listing:
    """The source of functions, methods, classes or modules, as it stands in their files.

    Args:
        objects: What to show, in this order.
        docstring: Keep the docstrings; without them a formula's code fits the eye.

    Returns:
        :class:`Listing`, shown as a Python listing in notebooks and as text elsewhere.

    Raises:
        TypeError: If there is no object, or one has no Python source.
    """
    if not objects:
        raise TypeError("show_source: name at least one function or class")
    return Listing("\n\n\n".join(_source(one, docstring) for one in objects))


def _source(obj, docstring: bool) -> str:
    try:
        text = textwrap.dedent(inspect.getsource(obj))
    except (TypeError, OSError) as error:
        raise TypeError(
            f"show_source: {obj!r} has no Python source; give a function, method, class or module"
        ) from error
    text = text.rstrip("\n")
    return text if docstring else _without_docstrings(text)


def _without_docstrings(text: str) -> str:
    """Cut the docstrings' lines, leave all others, comments included, as they are."""
    source = text.split("\n")
    lines: list[str | None] = [*source]  # None: cut
    documented = ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef
    for node in ast.walk(ast.parse(text)):
        if not isinstance(node, documented) or ast.get_docstring(node) is None:
            continue
        first, last = node.body[0].lineno - 1, node.body[0].end_lineno or 0
        if len(node.body) == 1 and not isinstance(node, ast.Module):
            # A body needs one statement: what was only a docstring becomes three dots.
            indent = source[first][: node.body[0].col_offset]
            lines[first:last] = [f"{indent}...", *[None] * (last - first - 1)]
            continue
        while last < len(source) and not source[last].strip():
            last += 1  # the blank line between a docstring and the code
        lines[first:last] = [None] * (last - first)
    return "\n".join(line for line in lines if line is not None)
