"""FreezingExplorer: what Python computes, and what a reader sees and does in Chromium."""

import itertools
import re

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from browser.conftest import find
from cnnlib.interactive import FreezingExplorer
from cnnlib.interactive.freezing_explorer import NETWORKS
from cnnlib.pytorch import finetune, models
from cnnlib.pytorch.summary import summary

BUILT = {"small VGG, 32x32": ("small_vgg", 32), "VGG16, 224x224": ("vgg16", 224)}


def build(network):
    name, size = BUILT[network]
    with torch.device("meta"):
        return models.build(name, classes=14), size


@pytest.mark.parametrize("network", NETWORKS)
def test_the_table_is_that_of_the_network(network):
    model, size = build(network)
    macs = {row.name: row.macs for row in summary(model, (3, size, size)).rows}
    stages = finetune.stages(model)
    assert [stage.name for stage in NETWORKS[network]] == list(stages)
    for stage in NETWORKS[network]:
        own = [macs[path] for path in stages[stage.name] if macs.get(path)]
        learned = finetune.stage_parameters(model, stage.name)
        assert stage[1:] == (sum(p.numel() for _, p in learned), sum(own), own[0])


@pytest.mark.parametrize("network", NETWORKS)
def test_the_cost_is_what_torch_multiplies(network):
    """For every choice of stages."""
    figure = FreezingExplorer(network)
    names = [stage.name for stage in NETWORKS[network]]
    choices = [c for k in range(1, len(names) + 1) for c in itertools.combinations(names, k)]
    for chosen in choices[:: 1 if len(names) < 6 else 9]:
        model, size = build(network)
        finetune.freeze(model, names)
        finetune.unfreeze(model, chosen)
        with FlopCounterMode(display=False) as counter:
            model(torch.empty(1, 3, size, size, device="meta")).sum().backward()
        assert figure.cost(chosen).step == counter.get_total_flops() / 2, chosen
    assert figure.cost(names).step == figure.cost().full
    assert figure.cost([]).step == figure.cost().forward


def test_sentences_and_output():
    head = FreezingExplorer(learn=["head"])
    assert "can be computed once" in repr(head)
    assert "34 % of training all" in repr(head)
    assert "Nothing learns." in repr(FreezingExplorer(learn=[]))
    text = FreezingExplorer()._repr_html_()
    assert text == FreezingExplorer()._repr_html_()
    assert set(re.findall(r"https?://[\w./]+", text)) <= {"http://www.w3.org/2000/svg"}
    assert text.count("<tr>") == 6


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"network": "LeNet"}, "network must be 'small VGG, 32x32', 'VGG16, 224x224': .*'LeNet'"),
        ({"learn": ["dense"]}, "has no stage 'dense': block1, block2"),
    ],
)
def test_bad_arguments_are_one_clear_error(options, message):
    with pytest.raises(ValueError, match=message):
        FreezingExplorer(**options)


def live(page):
    return re.sub(r"\s+", " ", page.locator("[role=status]").inner_text()).strip()


@pytest.mark.browser
def test_the_browser_computes_and_writes_what_python_does(open_html):
    page = open_html(FreezingExplorer()._repr_html_())
    for network in reversed(NETWORKS):
        page.get_by_label("network", exact=True).last.select_option(network)
        names = [stage.name for stage in NETWORKS[network]]
        learn = list(names)
        for name in (None, names[0], names[1], names[-1], *names[2:-1], names[0]):
            if name is not None:
                page.get_by_label(name, exact=True).click()
                learn = [n for n in names if (n in learn) != (n == name)]
            want = FreezingExplorer(network, learn)
            got = find(page, "freezing-explorer").evaluate("e => e.output")
            assert got == want.cost()._asdict()
            assert live(page) == " ".join(want._sentences())


@pytest.mark.browser
def test_buttons_tick_the_boxes(open_html):
    page = open_html(FreezingExplorer()._repr_html_())
    for button, ticked in (("the head", 1), ("the last two", 2), ("all learn", 5)):
        page.get_by_role("button", name=button).click()
        assert page.locator("input:checked").count() == ticked
        assert page.get_by_text("none", exact=True).count() == 2 * (5 - ticked) + (
            1 if ticked in (1, 5) else 0
        )


@pytest.mark.browser
def test_it_fits_a_phone_and_axe_finds_nothing(open_html, axe):
    for dark in (False, True):
        page = open_html(FreezingExplorer("VGG16, 224x224")._repr_html_(), dark=dark, width=340)
        assert page.evaluate("document.documentElement.scrollWidth") <= 340
        assert axe(page) == []


@pytest.mark.browser
def test_without_scripts_and_by_keyboard(open_html):
    figure = FreezingExplorer()._repr_html_()
    page = open_html(figure, java_script_enabled=False)
    assert page.locator("table.dataframe").is_visible()
    page = open_html(f'{figure}<button id="after">after</button>')
    for _ in range(20):
        page.keyboard.press("Tab")
        if page.evaluate("document.activeElement.id") == "after":
            break
    assert page.evaluate("document.activeElement.id") == "after"


@pytest.mark.browser
@pytest.mark.parametrize("width", [390, 1280])
def test_columns_stand_under_their_headings(open_html, width):
    page = open_html(FreezingExplorer()._repr_html_(), width=width)
    edges = find(page, "freezing").evaluate(
        "e => [...e.shadowRoot.querySelectorAll('table.plan tr')]"
        ".map(r => [...r.children].map(c => Math.round(c.getBoundingClientRect().left)))"
    )
    assert len(edges) == 6
    assert [row == edges[0] for row in edges] == [True] * 6
