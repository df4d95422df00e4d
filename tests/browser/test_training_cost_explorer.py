"""TrainingCostExplorer: what Python computes, and what a reader sees and does in Chromium."""

import itertools
import re

import pytest

from browser.conftest import find
from cnnlib.interactive import TrainingCostExplorer
from cnnlib.interactive.training_cost_explorer import GPUS, IMAGES, LINKS, NETWORKS, duration
from cnnlib.pytorch import models, scaling


def test_it_computes_what_the_package_does():
    for network, gpus, link in itertools.product(NETWORKS, (1, 2, 64, 1024), LINKS):
        figure = TrainingCostExplorer(700, gpus, network, link=link, price=3, watts=500)
        run = figure.run()
        exchange = scaling.ring_all_reduce(4 * NETWORKS[network], gpus, link * 1e9 / 8, 1e-5)
        assert run.exchange == pytest.approx(exchange, rel=1e-12)
        cost = scaling.training_cost(
            IMAGES, 90, 700, gpus=gpus, efficiency=run.efficiency, price=3, watts=500
        )
        assert (run.hours, run.money, run.kwh) == pytest.approx((cost.hours, cost.money, cost.kwh))


def test_the_worked_example():
    figure = TrainingCostExplorer(1000, 1, price=2, watts=700)
    assert figure.run().efficiency == 1
    assert figure.run().hours == pytest.approx(1_281_167 * 90 / 1000 / 3600)
    assert "32 GPU hours: 64 at 2 each" in repr(TrainingCostExplorer(1000, 1))
    eight = TrainingCostExplorer(1000, 8).run()
    assert eight.exchange == pytest.approx(14 * (4 * 25_557_032 / 8 / 12.5e9 + 1e-5))
    assert eight.efficiency == pytest.approx(0.064 / (0.064 + eight.exchange))


@pytest.mark.parametrize(
    ("name", "network"),
    [("AlexNet", "alexnet"), ("VGG16", "vgg16"), ("ResNet-18", "resnet18"),
     ("ResNet-50", "resnet50")],
)  # fmt: skip
def test_the_parameters_are_those_of_the_networks(name, network):
    import torch

    with torch.device("meta"):
        model = models.build(network)
    assert sum(p.numel() for p in model.parameters()) == NETWORKS[name]


def test_durations_read_well():
    assert [duration(h) for h in (0.05, 1, 36, 8766 * 2.5)] == [
        "3 minutes", "1 hours", "1.5 days", "2.5 years",
    ]  # fmt: skip


def test_output_is_the_same_every_time_and_needs_no_host():
    text = TrainingCostExplorer()._repr_html_()
    assert text == TrainingCostExplorer()._repr_html_()
    assert set(re.findall(r"https?://[\w./]+", text)) <= {"http://www.w3.org/2000/svg"}
    assert len(text.encode()) < 36_000
    assert text.count("<tr>") == 7
    assert repr(TrainingCostExplorer()).startswith("TrainingCostExplorer(ResNet-50, gpus=8")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"gpus": 3}, "gpus must be one of 1, 2, 4, .*: gpus=3"),
        ({"network": "LeNet"}, "network must be one of AlexNet, VGG16, .*: network='LeNet'"),
        ({"link": 2}, "link must be one of 1, 10, 25, 100, 400: link=2"),
        ({"rate": 0}, "rate must be a number from 1 to 20000: rate=0"),
        ({"batch": True}, "batch must be a number from 1 to 1024: batch=True"),
        ({"price": -1}, "price must be a number from 0 to 20: price=-1"),
        ({"watts": "many"}, "watts must be a number from 0 to 2000: watts='many'"),
    ],
)
def test_bad_arguments_are_one_clear_error(options, message):
    with pytest.raises(ValueError, match=message):
        TrainingCostExplorer(**options)


def live(page):
    return re.sub(r"\s+", " ", page.locator("[role=status]").inner_text()).strip()


@pytest.mark.browser
def test_the_browser_computes_and_writes_what_python_does(open_html):
    page = open_html(TrainingCostExplorer()._repr_html_())
    for network, gpus, link in itertools.product(NETWORKS, (GPUS[0], 64, GPUS[-1]), LINKS[::2]):
        page.get_by_label("network", exact=True).last.select_option(network)
        page.get_by_label("GPUs", exact=True).last.select_option(str(gpus))
        page.get_by_label("link in Gbit/s", exact=True).last.select_option(str(link))
        want = TrainingCostExplorer(1000, gpus, network, link=link)
        got = find(page, "training-cost-explorer").evaluate("e => e.output")
        assert got == pytest.approx(want.run()._asdict(), rel=1e-12)
        assert live(page) == " ".join(want._sentences())


@pytest.mark.browser
def test_the_sliders_and_the_plot_follow(open_html):
    page = open_html(TrainingCostExplorer(gpus=1024)._repr_html_())
    for label, key, value in [
        ("images/s per GPU", "rate", 250), ("batch per GPU", "batch", 32), ("epochs", "epochs", 30),
        ("price per hour", "price", 1.5), ("watts per GPU", "watts", 400),
    ]:  # fmt: skip
        page.get_by_label(f"{label}, number").fill(str(value))
        got = find(page, "training-cost-explorer").evaluate("e => e.values")
        assert got[key] == value
    want = TrainingCostExplorer(250, 1024, batch=32, epochs=30, price=1.5, watts=400)
    assert live(page) == " ".join(want._sentences())
    label = page.get_by_role("img").get_attribute("aria-label")
    assert f"{duration(want.run().hours)} on 1024" in label
    heights = [float(page.locator("circle.at").get_attribute("cy"))]
    page.get_by_label("GPUs", exact=True).last.select_option("1")
    heights.append(float(page.locator("circle.at").get_attribute("cy")))
    assert heights[0] > heights[1]  # fewer hours stand lower


@pytest.mark.browser
def test_it_fits_a_phone_and_axe_finds_nothing(open_html, axe):
    for dark in (False, True):
        page = open_html(TrainingCostExplorer()._repr_html_(), dark=dark, width=340)
        assert page.evaluate("document.documentElement.scrollWidth") <= 340
        assert axe(page) == []


@pytest.mark.browser
def test_without_scripts_and_by_keyboard(open_html):
    figure = TrainingCostExplorer()._repr_html_()
    page = open_html(figure, java_script_enabled=False)
    assert page.locator("table.dataframe").is_visible()
    page = open_html(f'{figure}<button id="after">after</button>')
    for _ in range(20):
        page.keyboard.press("Tab")
        if page.evaluate("document.activeElement.id") == "after":
            break
    assert page.evaluate("document.activeElement.id") == "after"
