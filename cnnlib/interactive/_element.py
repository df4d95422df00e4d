r"""What all interactive figures share: one custom element, one script, fallback tables.

A figure is a Python class and a JavaScript file of the same stem beside it::

    class PoolStepper(Element):
        script = "pool_stepper.js"
        title = "Pooling, step by step"

        def __init__(self, image, ...):          # validate once, raise one clear ValueError
            self.image = matrix("PoolStepper", "image", image)

        def _spec(self):                         # a dict that JSON can hold: what the script reads
            return {"x": plain(self.image)}

        def _fallback(self):                     # HTML that is read where scripts are stripped
            return table(self.image, "Input") + paragraph("out[0, 0] = max(1, 2, 5, 6) = 6")

        def __repr__(self):                      # the same numbers as text
            return text_block("PoolStepper(kernel_size=2)", input=self.image)

The JavaScript file is ONE arrow function from the shared parts (``shared.js``) to a class::

    ({Figure, el, fmt, grid, put, pick, row, button}) => class extends Figure {
      static css = "...";                        // optional, added to the shared sheet
      build({x}) {                               // spec in; append nodes to this.box, the frame
        this.x = x;
        this.tx = grid(x.length, x[0].length, "Input");
        this.box.append(row(this.tx), this.live);
      }
      draw() {                                   // called after build and by yourself
        put(this.tx, this.x);
        this.say("out[0, 0] = ", ...);           // writes this.live, the polite live region
      }
    }

The frame, its title, the style sheet, keyboard isolation from the host page and the removal of
timers are the base class's. The tag's name carries a hash of the code: output is the same on every
run, and two versions of the library can live on one page. ``fmt`` and :func:`number` format alike.
"""

import hashlib
import html
import json
import math
import re
from collections.abc import Mapping
from decimal import ROUND_HALF_UP, Decimal
from functools import cache
from importlib.resources import files
from typing import Any, ClassVar

import numpy as np

MINUS = "\u2212"
TIMES = "\u00d7"

# The 3x3 kernels that figures offer; one source for Python and JavaScript.
KERNELS: dict[str, list[list[float]]] = {
    "identity": [[0, 0, 0], [0, 1, 0], [0, 0, 0]],
    "box blur": [[1 / 9] * 3] * 3,
    "Gaussian blur": [[0.0625, 0.125, 0.0625], [0.125, 0.25, 0.125], [0.0625, 0.125, 0.0625]],
    "sharpen": [[0, -1, 0], [-1, 5, -1], [0, -1, 0]],
    "Sobel x": [[-1, 0, 1], [-2, 0, 2], [-1, 0, 1]],
    "Sobel y": [[-1, -2, -1], [0, 0, 0], [1, 2, 1]],
    "Laplacian": [[0, 1, 0], [1, -4, 1], [0, 1, 0]],
    "emboss": [[-2, -1, 0], [-1, 1, 1], [0, 1, 2]],
}


def number(value: float, digits: int = 3) -> str:
    """Format a number exactly as ``fmt`` of shared.js does: at most ``digits`` decimals."""
    v = float(value) + 0.0  # no minus zero
    if not math.isfinite(v):
        return "NaN" if v != v else ("\u221e" if v > 0 else f"{MINUS}\u221e")
    if v != 0 and not 0.5 * 10**-digits <= abs(v) < 1e7:
        exponent = Decimal(v).adjusted()
        mantissa = Decimal(v).scaleb(-exponent).quantize(Decimal("0.01"), ROUND_HALF_UP)
        if abs(mantissa) >= 10:  # 9.996 became 10.00
            mantissa, exponent = mantissa / 10, exponent + 1
        text = f"{mantissa:.2f}e{exponent}"
    else:
        # JavaScript's toFixed rounds ties away from zero, Python's format to even.
        fixed = Decimal(v).quantize(Decimal(1).scaleb(-digits), ROUND_HALF_UP)
        text = f"{fixed:f}"
        text = text.rstrip("0").rstrip(".") if "." in text else text
    return text.replace("-", MINUS)


def factor(value: float) -> str:
    """Format a number for use inside a product: negative ones stand in parentheses."""
    text = number(value)
    return f"({text})" if text.startswith(MINUS) else text


def products(window: np.ndarray, weights: np.ndarray) -> str:
    """Write ``1×4 + 2×(−1) + ...`` for two arrays of one shape, row by row."""
    pairs = zip(np.ravel(window), np.ravel(weights), strict=True)
    return " + ".join(f"{factor(a)}{TIMES}{factor(b)}" for a, b in pairs)


def plain(array: Any) -> Any:
    """Turn an array into nested lists for JSON, whole numbers as integers."""
    if isinstance(array, np.ndarray):
        array = array.tolist()
    if isinstance(array, list | tuple):
        return [plain(v) for v in array]
    if isinstance(array, float) and array.is_integer() and abs(array) < 2**53:
        return int(array)
    return array


def array(who: str, name: str, value: Any, ndim: int) -> np.ndarray:
    """Return ``value`` as a float64 array with ``ndim`` axes.

    Raises:
        ValueError: If it has another number of axes, no elements, or values that are not finite.
    """
    try:
        a = np.array(value, dtype=np.float64)
    except (TypeError, ValueError):
        raise ValueError(f"{who}: {name} must be an array of real numbers") from None
    if a.ndim != ndim or a.size == 0:
        raise ValueError(f"{who}: {name} needs {ndim} axes and no empty one: {name} {a.shape}")
    if not np.isfinite(a).all():
        raise ValueError(f"{who}: {name} must be finite, it holds NaN or infinity")
    return a


def matrix(who: str, name: str, value: Any) -> np.ndarray:
    """Return ``value`` as a float64 array of shape (H, W); errors as :func:`array`."""
    return array(who, name, value, 2)


def whole(who: str, name: str, value: Any, low: int, high: int | None = None) -> int:
    """Return ``value`` as an int that is at least ``low`` (and at most ``high``).

    Raises:
        ValueError: If it is no whole number or lies outside.
    """
    good = isinstance(value, int | np.integer) and not isinstance(value, bool)
    if not good or value < low or (high is not None and value > high):
        rule = f"at least {low}" if high is None else f"from {low} to {high}"
        raise ValueError(f"{who}: {name} must be a whole number {rule}: {name}={value!r}")
    return int(value)


def output_size(n: int, k: int, stride: int = 1, padding: int = 0, dilation: int = 1) -> int:
    """Positions along one axis; below 1 where the kernel does not fit."""
    return (n + 2 * padding - dilation * (k - 1) - 1) // stride + 1


def cross_correlate(
    x: np.ndarray, k: np.ndarray, stride: int = 1, padding: int = 0, dilation: int = 1
) -> np.ndarray:
    """Cross-correlate (H, W) with (kH, kW), adding in the order of the script: equal to the bit."""
    x = np.pad(x, padding)
    height = output_size(x.shape[0], k.shape[0], stride, 0, dilation)
    width = output_size(x.shape[1], k.shape[1], stride, 0, dilation)
    out = np.zeros((height, width))
    for u in range(k.shape[0]):
        for v in range(k.shape[1]):
            r, c = u * dilation, v * dilation
            taps = x[r : r + (height - 1) * stride + 1 : stride]
            out += taps[:, c : c + (width - 1) * stride + 1 : stride] * k[u, v]
    return out


def table(a: Any, caption: str) -> str:
    """Render a vector or a matrix as the plain HTML table that every notebook viewer shows."""
    rows = "".join(
        "<tr>" + "".join(f"<td>{number(v)}</td>" for v in line) + "</tr>"
        for line in np.atleast_2d(np.asarray(a, dtype=np.float64))
    )
    return (
        f'<table class="dataframe" border="1"><caption>{html.escape(caption)}</caption>'
        f"<tbody>{rows}</tbody></table>"
    )


def paragraph(text: str) -> str:
    """Render escaped text as a paragraph."""
    return f"<p>{html.escape(text)}</p>"


def text_block(head: str, /, **arrays: np.ndarray) -> str:
    """Render a headline and named arrays as the text that ``__repr__`` prints."""
    with np.printoptions(legacy=False, sign="-", formatter=None):
        parts = [
            f"{name.replace('_', ' ')}\n"
            + np.array2string(
                np.asarray(a, dtype=np.float64) + 0.0,
                precision=3,
                suppress_small=True,
                floatmode="maxprec",
                threshold=400,
                max_line_width=88,
            )
            for name, a in arrays.items()
        ]
    return "\n".join([head, *parts])


def squeeze(code: str) -> str:
    """Drop comment lines, indentation and empty lines from JavaScript or CSS."""
    code = re.sub(r"(?m)^\s*//.*\n", "", code)
    return re.sub(r"\n\s*", "\n", code).strip()


def _read(name: str) -> str:
    return files(__package__).joinpath(name).read_text("utf-8")


@cache
def compiled(script: str) -> tuple[str, str]:
    """Return the tag's name and the complete script of a figure's JavaScript file."""
    css = squeeze(_read("shared.css")).replace("\n", "")
    shared = squeeze(_read("shared.js")).replace("SHARED_CSS", json.dumps(css, ensure_ascii=False))
    figure = squeeze(_read(script)).removesuffix(";")
    common = hashlib.sha256(shared.encode()).hexdigest()[:8]
    own = hashlib.sha256((shared + figure).encode()).hexdigest()[:8]
    tag = f"cnn-{script.removesuffix('.js').replace('_', '-')}-{own}"
    # The shared part runs once per page, however many figures bring it along.
    code = (
        f"(()=>{{const shared=globalThis.cnnlib_{common}??=({shared})();\n"
        f'if(!customElements.get("{tag}"))customElements.define("{tag}",({figure})(shared));}})();'
    )
    return tag, code.replace("</", "<\\/").replace("<!--", "<\\!--")


class Element:
    """Base class of the interactive figures: turns spec and fallback into HTML."""

    script: ClassVar[str]
    title: ClassVar[str]

    def _spec(self) -> Mapping[str, Any]:
        raise NotImplementedError

    def _fallback(self) -> str:
        raise NotImplementedError

    def _repr_html_(self) -> str:
        """HTML with the element, its numbers as plain tables inside, and the script."""
        tag, code = compiled(self.script)
        spec = {"title": self.title, **self._spec()}
        data = json.dumps(spec, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
        note = "<p><em>Open this page in the book, Jupyter or Colab to play with it.</em></p>"
        return (
            f'<{tag} data-lm-suppress-shortcuts="true" data-spec="{html.escape(data)}">'
            f"{self._fallback()}{note}</{tag}><script>{code}</script>"
        )
