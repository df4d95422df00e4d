"""show_source: the real lines, without docstrings unless asked for."""

import ast
import inspect
import subprocess
import sys

import numpy as np
import pytest

import cnnlib
from cnnlib import ops, show_source
from cnnlib._scale import scale


def sample(x):
    """Purpose.

    More of it.
    """

    # a comment stays
    y = """not a docstring"""  # nor does this go
    return x, y


class Sample:
    """Class docstring."""

    def first(self):
        """Only a docstring."""

    def second(self):
        "One line."
        return 1


def test_the_docstring_goes_and_nothing_else():
    assert repr(show_source(sample)).split("\n") == [
        "def sample(x):",
        "    # a comment stays",
        '    y = """not a docstring"""  # nor does this go',
        "    return x, y",
    ]


def test_methods_lose_theirs_too_and_stay_valid():
    text = repr(show_source(Sample))
    assert "docstring" not in text
    assert "One line" not in text
    assert text.split("\n")[:3] == ["class Sample:", "    def first(self):", "        ..."]
    ast.parse(text)


def test_docstring_on_request():
    assert repr(show_source(sample, docstring=True)) == inspect.getsource(sample).rstrip("\n")


def test_a_method_is_not_indented():
    assert repr(show_source(Sample.second)) == "def second(self):\n    return 1"


def test_markdown_is_a_python_fence():
    assert show_source(Sample.second)._repr_markdown_() == (
        "```python\ndef second(self):\n    return 1\n```"
    )


def test_a_fence_in_the_source_does_not_end_the_listing():
    assert cnnlib.listing.Listing('x = "```"')._repr_markdown_().startswith("````python\n")


def test_two_at_once():
    both = repr(show_source(sample, Sample.second))
    assert both == f"{show_source(sample)!r}\n\n\n{show_source(Sample.second)!r}"


@pytest.mark.parametrize("obj", [getattr(ops, name) for name in ops.__all__])
def test_listings_of_ops_run_the_same_code(obj):
    def code(text):
        tree = ast.parse(text)
        for node in ast.walk(tree):
            if isinstance(node, ast.FunctionDef) and ast.get_docstring(node) is not None:
                node.body = node.body[1:]
        return ast.dump(tree)

    assert code(repr(show_source(obj))) == code(inspect.getsource(obj))
    assert '"""' not in repr(show_source(obj))


def test_objects_without_source():
    with pytest.raises(TypeError, match="has no Python source; give a function"):
        show_source(np.add)
    with pytest.raises(TypeError, match="name at least one"):
        show_source()


def test_scale(monkeypatch):
    monkeypatch.delenv("CNNLIB_SCALE", raising=False)
    assert scale() == cnnlib.scale() == "laptop"
    monkeypatch.setenv("CNNLIB_SCALE", "full")
    assert scale() == "full"
    monkeypatch.setenv("CNNLIB_SCALE", "huge")
    with pytest.raises(ValueError, match="must be 'laptop' or 'full', got 'huge'"):
        scale()


def test_the_repr_is_the_same_in_another_process():
    command = "from cnnlib import ops, show_source; print(show_source(ops.relu_forward))"
    out = subprocess.run(
        [sys.executable, "-c", command], capture_output=True, text=True, check=True
    )
    assert out.stdout.rstrip("\n") == repr(show_source(ops.relu_forward))
