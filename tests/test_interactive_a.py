"""Interactive figures as Python objects: numbers, HTML, errors; the shared element beneath them."""

import base64
import html
import json
import re
import subprocess
import sys
from typing import Any

import numpy as np
import pytest

from cnnlib.interactive import ConvStepper, KernelOnPhoto, MultiChannelConv, OutputSizeExplorer
from cnnlib.interactive import _element as element

NINE = np.arange(1, 10).reshape(3, 3)
PHOTO = np.random.default_rng(0).integers(0, 256, (40, 60, 3), dtype=np.uint8)
RNG = np.random.default_rng(1)
FIGURES: dict[str, Any] = {
    "stepper": ConvStepper(RNG.normal(size=(6, 5)), RNG.normal(size=(2, 3)), stride=2, padding=1),
    "photo": KernelOnPhoto(PHOTO, alt='a "quoted" <b>photo</b> & more'),
    "size": OutputSizeExplorer(11, 3, 3, 1, 2),
    "multi": MultiChannelConv(RNG.normal(size=(2, 5, 4)), RNG.normal(size=(3, 2, 3, 2)), [1, 2, 3]),
}


def naive(x: np.ndarray, k: np.ndarray, s: int = 1, p: int = 0, d: int = 1) -> np.ndarray:
    x = np.pad(np.asarray(x, float), p)
    span_h, span_w = d * (k.shape[0] - 1) + 1, d * (k.shape[1] - 1) + 1
    return np.array(
        [
            [(x[i : i + span_h : d, j : j + span_w : d] * k).sum() for j in range(0, w, s)]
            for h, w in [(x.shape[0] - span_h + 1, x.shape[1] - span_w + 1)]
            for i in range(0, h, s)
        ]
    )


def spec_of(figure: Any) -> dict[str, Any]:
    found = re.search(r'data-spec="([^"]*)"', figure._repr_html_())
    assert found is not None
    spec: dict[str, Any] = json.loads(html.unescape(found[1]))
    return spec


def test_the_worked_example_is_285() -> None:
    figure = ConvStepper(NINE, NINE)
    assert figure.output.tolist() == [[285.0]]
    text = figure._repr_html_()
    assert "out[0, 0] = 1×1 + 2×2 + 3×3 + 4×4 + 5×5 + 6×6 + 7×7 + 8×8 + 9×9 = 285" in text
    assert "<td>285</td>" in text
    assert repr(figure).endswith("output\n[[285.]]")


@pytest.mark.parametrize(
    ("s", "p", "d", "kernel"), [(1, 0, 1, (3, 2)), (2, 1, 1, (2, 3)), (3, 2, 2, (3, 3))]
)
def test_stepper_output_equals_naive_loops(s: int, p: int, d: int, kernel: tuple[int, int]) -> None:
    rng = np.random.default_rng(3)
    x, k = rng.normal(size=(7, 9)), rng.normal(size=kernel)
    figure = ConvStepper(x, k, stride=s, padding=p, dilation=d)
    np.testing.assert_allclose(figure.output, naive(x, k, s, p, d), rtol=1e-12, atol=1e-13)


def test_multi_channel_output_equals_naive_loops() -> None:
    rng = np.random.default_rng(4)
    x, w, b = rng.normal(size=(3, 6, 5)), rng.normal(size=(4, 3, 2, 3)), rng.normal(size=4)
    figure = MultiChannelConv(x, w, b, stride=2, padding=1)
    want = [sum(naive(x[c], w[o, c], 2, 1) for c in range(3)) + b[o] for o in range(4)]
    np.testing.assert_allclose(figure.output, want, rtol=1e-12, atol=1e-13)


def test_multi_channel_fallback_adds_up() -> None:
    figure = MultiChannelConv(np.ones((2, 3, 3)), np.ones((1, 2, 2, 2)), [0.5])
    assert "out[0, 0, 0] = 4 + 4 + 0.5 = 8.5" in figure._repr_html_()
    assert (
        "then the bias"
        not in MultiChannelConv(np.ones((1, 3, 3)), np.ones((1, 1, 2, 2)))._repr_html_()
    )


@pytest.mark.parametrize(
    ("args", "size"), [((28, 5), 24), ((28, 2, 2), 14), ((11, 3, 3, 1, 2), 3), ((5, 4, 1, 0, 2), 0)]
)
def test_output_size(args: tuple[int, ...], size: int) -> None:
    figure = OutputSizeExplorer(*args)
    assert figure.output_size == size
    text = "does not fit" if size == 0 else f"+ 1 = {size}"
    assert text in repr(figure)
    assert text in figure._repr_html_()


def test_photo_is_shrunk_by_block_means_and_travels_as_a_bitmap() -> None:
    photo = np.random.default_rng(5).integers(0, 256, (301, 403), dtype=np.uint8)
    figure = KernelOnPhoto(photo)
    height, width = figure.photo.shape
    f = 301 // height
    assert height * width <= 14_000
    means = photo[: height * f, : width * f].reshape(height, f, width, f).mean(axis=(1, 3))
    assert np.abs(figure.photo - means).max() <= 0.5
    found = re.search(r"base64,([^\"]*)", figure._repr_html_())
    assert found is not None
    assert len(found[1]) <= 20_480
    raw = np.frombuffer(base64.b64decode(found[1])[1078:], np.uint8).reshape(height, -1)
    assert np.array_equal(raw[:, :width], figure.photo)
    np.testing.assert_array_equal(figure.response(), naive(figure.photo, figure.kernel))


def test_photo_takes_floats_and_grey() -> None:
    grey = PHOTO[..., 0]
    assert np.array_equal(KernelOnPhoto(grey / 255).photo, KernelOnPhoto(grey).photo)
    assert np.array_equal(KernelOnPhoto(np.stack([grey] * 3, -1)).photo, grey)


def test_bitmap_is_read_by_pillow() -> None:
    image = pytest.importorskip("PIL.Image")
    io = pytest.importorskip("io")
    figure = FIGURES["photo"]
    data = re.search(r"base64,([^\"]*)", figure._repr_html_())
    assert data is not None
    with image.open(io.BytesIO(base64.b64decode(data[1]))) as picture:
        assert np.array_equal(np.asarray(picture.convert("L")), figure.photo)


@pytest.mark.parametrize("name", FIGURES)
def test_html_is_one_element_one_script_and_tables(name: str) -> None:
    text = FIGURES[name]._repr_html_()
    assert text == FIGURES[name]._repr_html_()
    assert text.count("<script>") == text.count("</script>") == 1
    assert 'class="dataframe"' in text
    assert not re.search(r"https?://(?!www\.w3\.org/2000/svg)", text)
    assert "\n\n" not in text
    tag = re.match(r"<(cnn-[a-z-]+-[0-9a-f]{8}) ", text)
    assert tag is not None
    assert text.count(f"</{tag[1]}>") == 1


@pytest.mark.parametrize("name", FIGURES)
def test_own_script_stays_small(name: str) -> None:
    assert len(element.squeeze(element._read(FIGURES[name].script)).encode()) <= 10_240


def test_html_and_text_are_the_same_in_another_process() -> None:
    code = (
        "import numpy as np, hashlib; from cnnlib.interactive import ConvStepper as C;"
        "a = np.arange(12.).reshape(3, 4) / 7;"
        "text = C(a, a[:2, :2])._repr_html_() + repr(C(a, a));"
        "print(hashlib.sha256(text.encode()).hexdigest())"
    )
    runs = {
        subprocess.run([sys.executable, "-c", code], capture_output=True, check=True).stdout
        for _ in range(2)
    }
    assert len(runs) == 1


def test_print_options_of_the_reader_change_nothing() -> None:
    before = repr(FIGURES["stepper"])
    with np.printoptions(precision=8, suppress=False, sign="+"):
        assert repr(FIGURES["stepper"]) == before


def test_text_from_the_caller_is_escaped() -> None:
    text = FIGURES["photo"]._repr_html_()
    assert "<b>photo</b>" not in text
    assert spec_of(FIGURES["photo"])["alt"] == 'a "quoted" <b>photo</b> & more'
    named = KernelOnPhoto(PHOTO, {"</script><i>": NINE})._repr_html_()
    assert "<i>" not in named
    assert named.count("</script>") == 1


def test_spec_holds_the_exact_numbers() -> None:
    figure = FIGURES["stepper"]
    assert np.array_equal(spec_of(figure)["x"], figure.image)
    assert "kernels" not in spec_of(figure)
    assert "kernels" in spec_of(ConvStepper(NINE, NINE))


def test_arguments_are_copied() -> None:
    image = NINE.astype(float)
    figure = ConvStepper(image, image)
    image[:] = 0
    assert figure.image.sum() == 45


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.0, "0"), (-0.0, "0"), (-1.5, "−1.5"), (1 / 9, "0.111"), (0.0625, "0.063"),
        (-0.0625, "−0.063"), (2.0, "2"), (1e-5, "1.00e−5"), (12345678.0, "1.23e7"),
        (11250000.0, "1.13e7"), (-11250000.0, "−1.13e7"), (9.999e7, "1.00e8"),
        (9.996e-5, "1.00e−4"),
        (float("inf"), "∞"), (-float("inf"), "−∞"), (float("nan"), "NaN"),
    ],
)  # fmt: skip
def test_number(value: float, text: str) -> None:
    assert element.number(value) == text


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: ConvStepper([1, 2], NINE), r"image needs 2 axes and no empty one: image \(2,\)"),
        (lambda: ConvStepper(NINE, "no"), "kernel must be an array of real numbers"),
        (lambda: ConvStepper(NINE, [[np.nan]]), "kernel must be finite"),
        (lambda: ConvStepper(NINE, NINE, stride=0), "stride must be a whole number at least 1"),
        (lambda: ConvStepper(NINE, NINE, padding=-1), "padding must be a whole number at least 0"),
        (
            lambda: ConvStepper(NINE, NINE, dilation=2),
            r"does not fit into the padded image \(3, 3\)",
        ),
        (lambda: ConvStepper(np.ones((30, 3)), NINE), "30x3, at most 20x20 cells"),
        (lambda: OutputSizeExplorer(0), "n must be a whole number from 1 to 64: n=0"),
        (lambda: OutputSizeExplorer(28, 2.5), "kernel must be a whole number"),  # type: ignore[arg-type]
        (
            lambda: MultiChannelConv(np.ones((2, 4, 4)), np.ones((1, 3, 2, 2))),
            "x has 2 channels but",
        ),
        (
            lambda: MultiChannelConv(np.ones((1, 4, 4)), np.ones((2, 1, 2, 2)), [1]),
            "one number per",
        ),
        (lambda: MultiChannelConv(np.ones((1, 4, 4)), np.ones((2, 1, 5, 2))), "does not fit"),
        (lambda: MultiChannelConv(np.ones((9, 4, 4)), np.ones((2, 9, 2, 2))), "at most 8 channels"),
        (lambda: KernelOnPhoto(np.ones((4, 40))), "at least 8x8 pixels"),
        (lambda: KernelOnPhoto(np.ones(40)), "photo must be numbers of shape"),
        (lambda: KernelOnPhoto(np.full((9, 9), 1.5)), r"must lie in \[0, 1\]"),
        (lambda: KernelOnPhoto(np.full((9, 9), 256)), r"must lie in 0\.\.255"),
        (lambda: KernelOnPhoto(PHOTO, {}), "must map names"),
        (lambda: KernelOnPhoto(PHOTO, {"a": np.ones((2, 2))}), r"kernels\['a'\] must be 3x3"),
    ],
)
def test_bad_input_gets_one_clear_error(make: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make()


def test_package_knows_its_names() -> None:
    import cnnlib.interactive as interactive

    assert {"ConvStepper", "PoolStepper", "LearningRateExplorer"} <= set(dir(interactive))
    with pytest.raises(AttributeError, match="no attribute 'Nothing'"):
        _ = interactive.Nothing
