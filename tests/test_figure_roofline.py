"""The roofline figure draws the smaller of two ceilings, and every layer where it was measured."""

import matplotlib.pyplot as plt
import numpy as np
import pytest

from cnnlib import figures


def test_roof_ridge_and_points():
    fig, ax = plt.subplots()
    points = [("ReLU", 0.125, 3.0), ("conv", 500.0, 70.0), ("dense", 60.0, 50.0)]
    assert figures.roofline(ax, {"CPU": (30.0, 90.0)}, points, title="t") is ax
    roof, ridge, *spots = ax.lines
    x, y = roof.get_data()
    np.testing.assert_allclose(y, np.minimum(90, 30 * x))
    assert ridge.get_data()[0][0] == 3
    assert sorted((p.get_xdata()[0], p.get_ydata()[0]) for p in spots) == sorted(
        (a, b) for _, a, b in points
    )
    texts = [t.get_text() for t in ax.texts]
    assert texts == ["CPU: 90 GFLOP/s", "ReLU", "dense", "conv"]
    assert (ax.get_xscale(), ax.get_yscale()) == ("log", "log")
    low, high = ax.get_xlim()
    assert low < 0.125
    assert high > 500
    plt.close(fig)


def test_several_machines_and_labels_beside_each_other():
    fig, ax = plt.subplots()
    roofs = {"CPU": (30.0, 90.0), "GPU": (4000.0, 800e3)}
    figures.roofline(ax, roofs, [("a", 20.0, 50.0), ("b", 30.0, 60.0)])
    a, b = (t for t in ax.texts if t.get_text() in "ab")
    assert (a.get_ha(), b.get_ha()) == ("right", "left")
    assert ax.get_ylim()[1] > 800e3
    plt.close(fig)


@pytest.mark.parametrize(
    ("roofs", "points"), [({}, []), ({"m": (0, 1)}, []), ({"m": (1, 1)}, [("a", 1, -1)])]
)
def test_nothing_to_draw(roofs, points):
    _, ax = plt.subplots()
    with pytest.raises(ValueError, match="roofline: needs at least one roof and positive numbers"):
        figures.roofline(ax, roofs, points)
    plt.close("all")
