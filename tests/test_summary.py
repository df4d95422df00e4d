"""The table of layers: published numbers, odd modules, the model left alone, text and HTML."""

import re

import pytest
import torch
import torchvision
from torch import nn

from cnnlib.pytorch import models
from cnnlib.pytorch.summary import summary


def meta(name, **options):
    with torch.device("meta"):
        return models.build(name, **options)


# Parameters, and multiply-accumulates in units of 10^9 as the published tables round them.
PUBLISHED = {
    "alexnet": (61_100_840, 0.71),
    "vgg11": (132_863_336, 7.61),
    "vgg13": (133_047_848, 11.31),
    "vgg16": (138_357_544, 15.47),
    "vgg19": (143_667_240, 19.63),
    "resnet18": (11_689_512, 1.81),
    "resnet50": (25_557_032, 4.09),
    "googlenet": (6_624_904, 1.50),
}
WEIGHTS = {
    "alexnet": "AlexNet", "vgg11": "VGG11", "vgg13": "VGG13", "vgg16": "VGG16", "vgg19": "VGG19",
    "vgg11_bn": "VGG11_BN", "vgg16_bn": "VGG16_BN", "resnet18": "ResNet18", "resnet50": "ResNet50",
    "googlenet": "GoogLeNet",
}  # fmt: skip


@pytest.mark.parametrize("name", PUBLISHED)
def test_published_numbers(name):
    table = summary(meta(name), (3, 224, 224))
    assert (table.parameters, round(table.macs / 1e9, 2)) == PUBLISHED[name]
    assert table.parameters == sum(row.parameters for row in table.rows)
    assert table.macs == sum(row.macs for row in table.rows)


@pytest.mark.parametrize("name", WEIGHTS)
def test_what_torchvision_writes_beside_its_weights(name):
    """Its own numbers, counted by other code."""
    about = getattr(torchvision.models, f"{WEIGHTS[name]}_Weights").IMAGENET1K_V1.meta
    table = summary(meta(name), (3, 224, 224))
    assert table.parameters == about["num_params"]
    assert round(table.macs / 1e9, 3) == about["_ops"]


def test_alexnet_layer_by_layer():
    rows = summary(meta("alexnet"), (3, 224, 224)).weighted().rows
    assert [(row.name, row.shape, row.parameters, row.macs) for row in rows] == [
        ("features.0", (64, 55, 55), 23_296, 70_276_800),
        ("features.3", (192, 27, 27), 307_392, 223_948_800),
        ("features.6", (384, 13, 13), 663_936, 112_140_288),
        ("features.8", (256, 13, 13), 884_992, 149_520_384),
        ("features.10", (256, 13, 13), 590_080, 99_680_256),
        ("classifier.1", (4096,), 37_752_832, 37_748_736),
        ("classifier.4", (4096,), 16_781_312, 16_777_216),
        ("classifier.6", (1000,), 4_097_000, 4_096_000),
    ]


def test_strides_and_groups_count():
    net = nn.Sequential(
        nn.Conv2d(4, 6, (3, 2), stride=2, groups=2, padding=(1, 0)),
        nn.ConvTranspose2d(6, 4, 3, stride=2, groups=2, bias=False),
        nn.AvgPool2d(2),
    )
    table = summary(net, (4, 8, 6))
    first, second, third = table.rows
    assert (first.shape, first.macs) == ((6, 4, 3), 6 * 4 * 3 * 2 * 3 * 2)
    assert first.parameters == 6 * 2 * 3 * 2 + 6
    # Each of its inputs goes, times a kernel, to 2 channels.
    assert (second.shape, second.macs) == ((4, 9, 7), 6 * 4 * 3 * 2 * 3 * 3)
    assert (third.parameters, third.macs) == (0, 0)
    assert first.layer == "Conv2d 3x2, stride 2, groups 2"
    assert third.layer == "AvgPool2d 2x2, stride 2"


def test_conv1d_conv3d_and_a_dense_layer_by_itself():
    assert summary(nn.Conv1d(3, 5, 4), (3, 10)).macs == 5 * 7 * 3 * 4
    assert summary(nn.Conv3d(2, 3, 2), (2, 4, 5, 6)).macs == 3 * 3 * 4 * 5 * 2 * 8
    table = summary(nn.Linear(7, 5), (7,))
    assert [(row.name, row.shape, row.macs) for row in table.rows] == [("model", (5,), 35)]
    # A dense layer over the last axis runs once for each place.
    assert summary(nn.Linear(7, 5), (4, 7)).macs == 4 * 35


class Odd(nn.Module):
    """A layer used twice, a shared weight, an idle layer, a weight of its own, two outputs."""

    def __init__(self):
        super().__init__()
        self.twice = nn.Linear(6, 6)
        self.tied = nn.Linear(6, 6)
        self.tied.weight = self.twice.weight
        self.never = nn.Linear(6, 2)
        self.scale = nn.Parameter(torch.ones(3))
        self.pair = Pair()

    def forward(self, x):
        x = self.twice(self.twice(x)) * self.scale.sum()
        return self.pair(self.tied(x))[0]


class Pair(nn.Module):
    def forward(self, x):
        return x, x


def test_odd_models_are_counted_once():
    model = Odd()
    table = summary(model, (6,))
    rows = [(row.name, row.shape, row.parameters, row.macs) for row in table.rows]
    assert rows == [
        ("twice", (6,), 42, 36),
        ("twice", (6,), 0, 36),
        ("tied", (6,), 6, 36),
        ("pair", (), 0, 0),
        ("model", (), 3, 0),
        ("never", (), 14, 0),
    ]
    assert table.parameters == sum(p.numel() for p in model.parameters()) == 65
    assert "never  Linear, not run by itself" in str(table)


@pytest.mark.parametrize("device", [None, "cpu"])
def test_the_model_is_left_as_it_was(device):
    torch.manual_seed(0)
    model = models.build("residual_net", classes=3, depth=8, width=4)
    model.train()
    model.layer2.eval()
    state = {key: value.clone() for key, value in model.state_dict().items()}
    places = {key: value.data_ptr() for key, value in model.state_dict().items()}
    modes = [module.training for module in model.modules()]
    summary(model, (3, 16, 16), device=device)
    with pytest.raises(ValueError, match="x must be"):
        summary(model, (1, 16, 16), device=device)
    assert [module.training for module in model.modules()] == modes
    assert all(torch.equal(value, state[key]) for key, value in model.state_dict().items())
    assert {key: value.data_ptr() for key, value in model.state_dict().items()} == places
    assert not any(module._forward_hooks for module in model.modules())
    assert all(p.requires_grad and p.grad is None for p in model.parameters())


def test_dtypes_and_devices_make_no_difference():
    want = summary(models.build("lenet5"), (1, 32, 32))
    assert summary(models.build("lenet5").double(), (1, 32, 32), device="cpu") == want
    assert summary(models.build("lenet5").bfloat16(), (1, 32, 32)) == want


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
def test_cuda():
    want = summary(models.build("lenet5"), (1, 32, 32))
    assert summary(models.build("lenet5").cuda(), (1, 32, 32)) == want
    assert summary(models.build("lenet5").cuda(), (1, 32, 32), device="cuda") == want


def test_stages_add_up():
    table = summary(meta("resnet50"), (3, 224, 224))
    stages = table.stages()
    names = ["conv1", "bn1", "relu", "maxpool", "layer1", "layer2", "layer3", "layer4"]
    assert [row.name for row in stages.rows] == [*names, "avgpool", "fc"]
    assert [row.shape for row in stages.rows[4:8]] == [
        (256, 56, 56), (512, 28, 28), (1024, 14, 14), (2048, 7, 7)
    ]  # fmt: skip
    assert sum(row.macs for row in stages.rows) == stages.macs == table.macs
    assert sum(row.parameters for row in stages.rows) == stages.parameters == table.parameters
    deeper = table.stages(2)
    assert "layer3.5" in [row.name for row in deeper.rows]
    assert deeper.rows[0] == table.rows[0]
    # Branches that are joined as channels: the stage's output, not its last layer's.
    blocks = summary(meta("googlenet"), (3, 224, 224)).stages().rows
    shapes = {row.name: row.shape for row in blocks}
    assert shapes["inception3a"] == (256, 28, 28)
    assert shapes["inception5b"] == (1024, 7, 7)
    with pytest.raises(ValueError, match="stages: depth must be at least 1, got 0"):
        table.stages(0)


def test_text():
    table = summary(models.LeNet5(), (1, 32, 32))
    lines = str(table).splitlines()
    assert lines[0].split() == ["name", "layer", "output", "parameters", "multiply-accumulates"]
    assert lines[1].split() == ["features.0", "Conv2d", "5x5", "6x28x28", "156", "117,600"]
    assert lines[-1] == (
        "LeNet5 on 1x32x32: 61,706 parameters, 416,520 multiply-accumulates (0.42 M)"
    )
    # Numbers end below each other, nothing hangs over.
    assert len({len(line) for line in lines[:-1]}) == 1
    assert repr(table) == str(table)
    assert "15,470,264,320 multiply-accumulates (15.47 G)" in str(
        summary(meta("vgg16"), (3, 224, 224))
    )


def test_html():
    table = summary(models.LeNet5(), (1, 32, 32))
    text = table._repr_html_()
    assert text.count("<tr>") == len(table.rows) + 1
    assert text.count('<th scope="row">') == len(table.rows)
    assert text.count('<th scope="col">') == 5
    assert "<caption>LeNet5 on 1x32x32: 61,706 parameters" in text
    cells = re.findall(r"<td>(.*?)</td>", text)
    assert cells[:4] == ["Conv2d 5x5", "6x28x28", "156", "117,600"]

    class Less(nn.Identity):
        pass

    Less.__name__ = "<b>"
    assert "<b>" not in summary(Less(), (1,))._repr_html_()


@pytest.mark.parametrize(
    ("model", "size", "message"),
    [
        (nn.Linear(2, 2), (), "input_size must be positive ints"),
        (nn.Linear(2, 2), (0,), "input_size must be positive ints"),
        (nn.Linear(2, 2), (2.0,), "input_size must be positive ints"),
        (nn.LazyLinear(2), (2,), "the model has lazy layers: run it once first"),
        (nn.Linear(2, 2), (3,), "Linear does not take 3: "),
        (models.SmallCNN(), (1, 32, 32), "built for images of 28x28, got 32x32"),
    ],
)
@pytest.mark.filterwarnings("ignore:Lazy modules are a new feature")
def test_errors(model, size, message):
    with pytest.raises(ValueError, match=message):
        summary(model, size)
