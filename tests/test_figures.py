"""Every figure draws what its docstring says, whatever sizes and numbers it is given."""

import warnings
from itertools import combinations

import matplotlib

matplotlib.use("Agg")

import matplotlib.pyplot as plt
import numpy as np
import pytest
from matplotlib.text import Text

from cnnlib import figures
from cnnlib.figures.graph import graph


@pytest.fixture(autouse=True)
def clean_slate():
    """Each test starts with the book's style and leaves no figure and no setting behind."""
    with matplotlib.rc_context():
        figures.style()
        yield
    plt.close("all")


def texts(ax):
    return [text.get_text() for text in ax.texts]


def drawn(figure):
    """The figure's pixels; drawing must not warn."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        figure.canvas.draw()
    return np.asarray(figure.canvas.buffer_rgba())


def test_matrix_writes_every_number_with_a_real_minus_and_skips_nan():
    _, ax = plt.subplots()
    figures.matrix(ax, [[1, -2.5], [np.nan, 0]], highlight=[(0, 0), (0, 0, 2, 1)], title="t")
    assert texts(ax) == ["1", "\N{MINUS SIGN}2.5", "0"]
    assert ax.get_title() == "t"


def test_matrix_never_writes_a_negative_zero():
    _, ax = plt.subplots()
    figures.matrix(ax, [-0.0])
    assert texts(ax) == ["0"]


def test_matrix_tints_by_sign():
    _, ax = plt.subplots()
    figures.matrix(ax, [[-3, 0, 3]])
    red, white, blue = (patch.get_facecolor() for patch in ax.patches)
    assert red[0] > red[2]
    assert blue[2] > blue[0]
    assert white[:3] == pytest.approx((1, 1, 1), abs=0.01)


def test_matrix_refuses_an_image_stack():
    _, ax = plt.subplots()
    with pytest.raises(ValueError, match=r"one or two axes, got shape \(1, 2, 2\)"):
        figures.matrix(ax, np.zeros((1, 2, 2)))


def test_equation_grows_with_its_cells():
    x, y = np.arange(9).reshape(3, 3), [[1.0]]
    small = figures.equation([x, "=", y], titles=["x", None, "y"])
    large = figures.equation([x, "=", y], [x, "=", y], highlight={0: (0, 0, 2, 2)})
    assert large.get_figheight() > 1.5 * small.get_figheight()
    drawn(small)
    drawn(large)
    with pytest.raises(ValueError, match="same number of parts"):
        figures.equation([x], [x, "="])


def test_images_take_channel_first_colour_and_grey():
    figure = figures.images(
        [np.zeros((1, 1, 4, 6)), np.zeros((4, 6, 3)), np.zeros((4, 6))], ["a", "b", "c"], cols=2
    )
    assert sum(bool(ax.images) for ax in figure.axes) == 3
    drawn(figure)
    with pytest.raises(ValueError, match="2 images but 1 titles"):
        figures.images([np.zeros((2, 2))] * 2, ["a"])
    with pytest.raises(ValueError, match="no image"):
        figures.images([])
    with pytest.raises(ValueError, match=r"got shape \(2, 4, 5\)"):
        figures.images([np.zeros((2, 4, 5))])


def test_signed_map_is_symmetric_about_white():
    _, ax = plt.subplots()
    figures.signed(ax, [[-1, 0], [0, 4]])
    assert ax.images[0].get_clim() == (-4, 4)
    assert ax.images[0].get_cmap()(0.5)[:3] == pytest.approx((1, 1, 1), abs=0.02)
    figures.signed(plt.subplots()[1], np.zeros((2, 2)))


def test_learning_curves_label_each_line_apart():
    figure, ax = plt.subplots()
    figures.learning_curves(ax, {"a": [1, 2, 3.0], "b": [1, 2, 3.0], "c": [3, 1]}, ylabel="loss")
    drawn(figure)
    heights = sorted(text.xy[1] for text in ax.texts)
    assert sorted(texts(ax)) == ["a", "b", "c"]
    assert min(np.diff(heights)) > 0.05
    assert list(ax.lines[0].get_xdata()) == [1, 2, 3]


def test_function_takes_one_or_several_and_constants():
    _, ax = plt.subplots()
    figures.function(ax, {"sin": np.sin, "one": lambda x: 1.0}, -1, 1)
    assert texts(ax) == ["sin", "one"]
    _, ax = plt.subplots()
    figures.function(ax, np.cos, 0, 1)
    assert texts(ax) == []


def test_bars_write_their_numbers():
    figure, ax = plt.subplots()
    figures.bars(ax, {"ours": 1.5, "theirs": 3}, unit=" s", emphasise=["ours"])
    assert texts(ax) == ["1.5 s", "3 s"]
    drawn(figure)


def test_confusion_leaves_zeros_empty_and_checks_labels():
    _, ax = plt.subplots()
    figures.confusion(ax, [[5, 1], [0, 0]], ["cat", "dog"])
    assert texts(ax) == ["5", "1"]
    with pytest.raises(ValueError, match="K labels"):
        figures.confusion(ax, [[5, 1], [0, 4]], ["cat"])


def test_a_curve_that_runs_away_keeps_its_label():
    figure, ax = plt.subplots()
    curves = {"good": [2, 1, 0.5], "nan": [2, 9, np.nan], "inf": [1, np.inf, np.inf]}
    figures.learning_curves(ax, {**curves, "all nan": [np.nan] * 3, "none": []}, ylabel="loss")
    drawn(figure)
    assert sorted(texts(ax)) == ["good", "inf", "nan"]
    places = {text.get_text(): text.xy for text in ax.texts}
    assert np.isfinite(list(places.values())).all()
    assert places["inf"][1] < places["nan"][1]


def test_positions_hatch_every_pixel_that_no_window_reads():
    _, ax = plt.subplots()
    figures.positions(ax, 7, 1, stride=2)
    assert {int(p.get_x()) for p in ax.patches if p.get_hatch()} == {1, 3, 5}


@pytest.mark.parametrize(
    ("n", "options", "outputs"),
    [
        (7, {}, 5),
        (7, {"stride": 2}, 3),
        (8, {"stride": 2}, 3),
        (7, {"padding": 1, "stride": 3}, 3),
        (7, {"dilation": 2}, 3),
        (2, {}, 0),
    ],
)
def test_positions_draw_one_row_per_output(n, options, outputs):
    figure, ax = plt.subplots()
    figures.positions(ax, n, 3, **options, title="t")
    assert sum(text.startswith("output") for text in texts(ax)) == outputs
    drawn(figure)


def test_taps_draw_every_tap_of_every_window():
    figure, ax = plt.subplots()
    figures.taps(ax, 5, 3, padding=1, dilation=2, at=[(0, 0), (1, 1)], title="t")
    assert len(ax.patches) == 7 * 7 + 2 * (9 + 1)
    drawn(figure)


def test_receptive_field_counts_the_units_of_every_layer():
    figure, ax = plt.subplots()
    figures.receptive_field(ax, [(3, 1), (3, 2), (3, 1)])
    counts = [text for text in texts(ax) if text.endswith(("unit", "units"))]
    assert counts == ["9 units", "7 units", "3 units", "1 unit"]
    drawn(figure)


def test_conv_stack_names_its_sizes():
    figure, ax = plt.subplots()
    figures.conv_stack(ax, channels=3, filters=4)
    assert "input: 3 channels\n(C, H, W)" in texts(ax)
    drawn(figure)


def test_style_fixes_the_size_in_pixels():
    figure, _ = plt.subplots()
    assert drawn(figure).shape == (352, 704, 4)
    assert matplotlib.rcParams["font.family"] == ["DejaVu Sans"]


def test_graph_writes_values_and_gradients_and_names_unknown_nodes():
    figure, ax = plt.subplots()
    places = {"x": (0, 0), "y": (1, 0)}
    graph(ax, places, {("x", "y"): "2"}, values={"x": -1}, gradients={"x": 2})
    assert {"x", "y", "2", "value \N{MINUS SIGN}1", "grad 2"} <= set(texts(ax))
    drawn(figure)
    with pytest.raises(ValueError, match=r"no position: \['z'\]"):
        graph(ax, places, {("x", "z"): ""})


BOXES = {"a": (0, 0, 2), "b": (2, 0), "c": (0, 1), "d": (1, 1, 2)}
ROUND = {("a", "c"): "labels", ("d", "c"): "scores", ("c", "a"): "", ("d", "b"): "10"}


def collisions(figure, ax):
    """Texts that touch another text, the border of a box or the edge of the axes."""
    drawn(figure)
    areas = [(t.get_text(), Text.get_window_extent(t)) for t in ax.texts if t.get_text()]
    boxes = [patch.get_window_extent() for patch in ax.patches]
    found = {t for (t, a), (u, b) in combinations(areas, 2) if a.overlaps(b) for t in (t, u)}
    for text, area in areas:
        holders = [box for box in boxes if area.overlaps(box)]
        for box in [*holders, ax.bbox]:
            if not all(box.contains(*corner) for corner in area.corners()):
                found.add(text)
    return found


def test_flow_sets_its_texts_apart_and_the_check_sees_where_there_is_no_room():
    words = {"labels": {"a": "labelled images\nchapters 1, 9", "d": "network\nchapters 2–5, 7"}}
    words |= {"titles": {"a": "learning", "b": "recognising"}}
    figure, ax = plt.subplots(figsize=(4.7, 2.6))
    figures.flow(ax, BOXES, ROUND, **words)
    assert {"labelled images", "chapters 1, 9", "b", "learning", "scores"} <= set(texts(ax))
    assert collisions(figure, ax) == set()
    figure, ax = plt.subplots(figsize=(2.4, 1.4))
    figures.flow(ax, BOXES, ROUND, **words)
    assert {"chapters 1, 9", "scores"} <= collisions(figure, ax)


@pytest.mark.parametrize(
    ("start", "leaves", "end", "arrives"),
    [
        ("a", "y1", "c", "y0"),
        ("c", "y0", "a", "y1"),
        ("d", "x0", "c", "x1"),
        ("c", "x1", "d", "x0"),
    ],
)
def test_flow_arrows_are_straight_and_join_the_borders_of_their_boxes(start, leaves, end, arrives):
    _, ax = plt.subplots()
    figures.flow(ax, BOXES, {(start, end): ""})
    places = {name: box.get_bbox() for name, box in zip(BOXES, ax.patches, strict=True)}
    (arrow,) = (text for text in ax.texts if text.arrow_patch)
    along, across = (0, 1) if leaves[0] == "x" else (1, 0)
    assert arrow.xyann[along] == pytest.approx(getattr(places[start], leaves))
    assert arrow.xy[along] == pytest.approx(getattr(places[end], arrives))
    middle = (0.5, 1.5)[across]  # of the first column, which a and c share, or of the second row
    assert arrow.xyann[across] == arrow.xy[across] == pytest.approx(middle)


def test_flow_tints_the_boxes_that_are_given_a_colour():
    _, ax = plt.subplots()
    figures.flow(ax, BOXES, {}, colours={"b": "blue"})
    edges = [matplotlib.colors.to_hex(box.get_edgecolor()).upper() for box in ax.patches]
    assert [edge == figures.COLOURS["blue"] for edge in edges] == [False, True, False, False]
    red, green, blue, _ = ax.patches[1].get_facecolor()
    assert 0.8 < red < green < blue <= 1


@pytest.mark.parametrize(
    ("arrows", "options", "message"),
    [
        ({("a", "z"): ""}, {}, r"no box for \['z'\], only \['a', 'b', 'c', 'd'\]"),
        ({}, {"labels": {"y": "x"}}, r"no box for \['y'\]"),
        ({}, {"colours": {"y": "blue"}}, r"no box for \['y'\]"),
        ({}, {"titles": {"y": "x"}}, r"no box for \['y'\]"),
        ({}, {"colours": {"a": "pink"}}, r"no colour \['pink'\], only \['blue'"),
        ({("b", "c"): ""}, {}, "'b' and 'c' share no column and no row"),
        ({("a", "a"): ""}, {}, "'a' and 'a' lie over each other"),
    ],
)
def test_flow_names_what_it_cannot_draw(arrows, options, message):
    _, ax = plt.subplots()
    with pytest.raises(ValueError, match=message):
        figures.flow(ax, BOXES, arrows, **options)


def test_flow_wants_a_box():
    with pytest.raises(ValueError, match="no box to draw"):
        figures.flow(plt.subplots()[1], {}, {})
