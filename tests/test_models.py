"""The networks: equal to torchvision's where it has them, to the papers' numbers, and trainable."""

import copy

import pytest
import torch
import torchvision
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from cnnlib.pytorch import models

CONVOLUTIONAL = ("vgg11", "vgg13", "vgg16", "vgg19")
TORCHVISION = (
    "alexnet",
    *CONVOLUTIONAL,
    *(f"{name}_bn" for name in CONVOLUTIONAL),
    "resnet18",
    "resnet50",
    "googlenet",
)
# Small versions of all networks, quick to run: options and one image.
QUICK = {
    "lenet5": ({}, (1, 32, 32)),
    "small_cnn": ({}, (1, 28, 28)),
    "imagenet_cnn": ({"input_size": (3, 40, 48)}, (3, 40, 48)),
    "simple_cnn": ({"input_size": (3, 96, 112)}, (3, 96, 112)),
    "case_study_cnn": ({"input_size": (3, 24, 16)}, (3, 24, 16)),
    "alexnet_mnist": ({}, (1, 28, 28)),
    "vgg11": ({"width": 0.125}, (3, 32, 40)),
    "vgg16_bn": ({"width": 0.0625}, (3, 40, 32)),
    "small_vgg": ({}, (3, 32, 24)),
    "googlenet": ({}, (3, 40, 32)),
    "inception_net": ({}, (3, 20, 16)),
    "resnet18": ({}, (3, 40, 32)),
    "resnet50": ({}, (3, 32, 40)),
    "plain_net": ({"depth": 8, "width": 4}, (3, 16, 12)),
    "residual_net": ({"depth": 14, "width": 4}, (3, 12, 16)),
}


def torchvision_model(name, **options):
    extra = {"init_weights": False, "aux_logits": False} if name == "googlenet" else {}
    extra |= {"init_weights": False} if name.startswith("vgg") else {}
    return getattr(torchvision.models, name)(weights=None, **extra, **options)


def shapes(model):
    return {key: tuple(value.shape) for key, value in model.state_dict().items()}


def count(model):
    return sum(p.numel() for p in model.parameters())


def on_meta(name, **options):
    with torch.device("meta"):
        return models.build(name, **options)


def test_without_a_number_of_classes_a_network_has_its_own():
    ten = {"lenet5", "small_cnn", "alexnet_mnist", "small_vgg", "inception_net", "plain_net",
           "residual_net"}  # fmt: skip
    for name in models.names():
        head = on_meta(name).get_submodule(models.head_name(on_meta(name)))
        assert head.out_features == (10 if name in ten else 1000), name
        head = on_meta(name, classes=3).get_submodule(models.head_name(on_meta(name)))
        assert head.out_features == 3


@pytest.mark.parametrize("name", TORCHVISION)
def test_names_shapes_and_sizes_are_those_of_torchvision(name):
    with torch.device("meta"):
        theirs = torchvision_model(name, num_classes=17)
        ours = models.build(name, classes=17)
    assert list(shapes(ours)) == list(shapes(theirs)) or name.startswith(("resnet", "googlenet"))
    assert shapes(ours) == shapes(theirs)
    if name.startswith(("alexnet", "vgg")):
        # Every option of every layer, in order.
        assert repr(ours.features) == repr(theirs.features)
        assert repr(ours.classifier) == repr(theirs.classifier)
        assert repr(ours.avgpool).replace("(7, 7)", "7") == repr(theirs.avgpool).replace(
            "(7, 7)", "7"
        )


@pytest.mark.parametrize("name", ["alexnet", "vgg11_bn", "resnet18", "resnet50", "googlenet"])
def test_with_torchvisions_weights_the_logits_are_torchvisions(name):
    torch.manual_seed(0)
    theirs = torchvision_model(name, num_classes=12).eval()
    for module in theirs.modules():
        if isinstance(module, nn.Conv2d | nn.Linear):  # or the image hardly reaches the logits
            nn.init.kaiming_normal_(module.weight)
        elif isinstance(module, nn.BatchNorm2d):  # not 0 and 1, or a mix-up would not show
            module.running_mean.normal_(0, 0.1)
            module.running_var.uniform_(0.5, 2)
            nn.init.uniform_(module.weight, 0.5, 1.5)
            nn.init.normal_(module.bias, 0, 0.1)
    ours = on_meta(name, classes=12).eval()
    assert ours.load_state_dict(theirs.state_dict(), assign=True).missing_keys == []
    for size in [(96, 64)] if name.startswith("vgg") else [(96, 64), (65, 75)]:
        x = torch.randn(2, 3, *size)
        with torch.no_grad():
            want = theirs(x)
            got = ours(x)
        assert want[0].sub(want[1]).abs().max() > 0.01 * want.std()
        torch.testing.assert_close(got, want, rtol=1e-5, atol=1e-5 * float(want.std()))


def test_training_mode_and_gradients_are_torchvisions():
    torch.manual_seed(0)
    theirs = torchvision_model("resnet18", num_classes=5).double()
    ours = models.build("resnet18", classes=5).double()
    ours.load_state_dict(theirs.state_dict())
    x, labels = torch.randn(3, 3, 40, 56, dtype=torch.float64), torch.tensor([0, 4, 2])
    for model in (theirs, ours):
        nn.functional.cross_entropy(model(x), labels).backward()
    for (key, a), (_, b) in zip(
        sorted(theirs.named_parameters()), sorted(ours.named_parameters()), strict=True
    ):
        assert a.grad.abs().max() > 0, key
        torch.testing.assert_close(b.grad, a.grad, rtol=1e-8, atol=1e-12)
    torch.testing.assert_close(dict(ours.named_buffers()), dict(theirs.named_buffers()))


def test_auxiliary_weights_of_googlenet_are_passed_over():
    with torch.device("meta"):
        theirs = torchvision.models.googlenet(weights=None, init_weights=False, aux_logits=True)
        ours = models.build("googlenet")
    state = theirs.state_dict()
    assert any(key.startswith("aux1.") for key in state)
    before = len(state)
    ours.load_state_dict(state, assign=True)
    assert len(state) == before, "the caller's dictionary was changed"
    with pytest.raises(RuntimeError, match="Unexpected key"):
        ours.load_state_dict({**state, "aux3.weight": torch.zeros(1)}, assign=True)


@pytest.mark.parametrize(
    ("name", "parameters"),
    [
        ("alexnet", 61_100_840),
        ("alexnet_2012", 60_965_224),
        ("vgg11", 132_863_336),
        ("vgg13", 133_047_848),
        ("vgg16", 138_357_544),
        ("vgg19", 143_667_240),
        ("resnet18", 11_689_512),
        ("resnet50", 25_557_032),
        ("googlenet", 6_624_904),
        ("imagenet_cnn", 44_909_096),
    ],
)
def test_parameters(name, parameters):
    assert count(on_meta(name)) == parameters


def test_lenet_has_the_papers_layers():
    """156, 48,120 and 10,164 are the paper's; complete connections make C3 2,416."""
    net = models.build("lenet5", classes=10)
    per_layer = [count(m) for m in [*net.features, *net.classifier] if count(m)]
    assert per_layer == [156, 2416, 48_120, 10_164, 850]
    assert sum(per_layer) == 61_706
    padded = models.LeNet5(input_size=(1, 28, 28), padding=2)
    assert shapes(padded) == shapes(net)


def test_alexnet_of_2012_has_the_papers_neurons_and_normalisation():
    net = on_meta("alexnet_2012").eval()
    x = torch.zeros(1, 3, 227, 227, device="meta")
    neurons = []
    for layer in net.features:
        x = layer(x)
        if isinstance(layer, nn.Conv2d):
            neurons.append(x.numel())
    # Section 3.5; the paper says 253,440 for the first layer, but 55 * 55 * 96 is
    assert neurons == [290_400, 186_624, 64_896, 64_896, 43_264]
    torch.manual_seed(0)
    a = torch.randn(1, 7, 1, 1, dtype=torch.float64) * 30
    b = net.features[2](a)
    for i in range(7):  # section 3.3: k = 2, n = 5, alpha = 1e-4, beta = 0.75
        total = (a[0, max(0, i - 2) : i + 3] ** 2).sum()
        torch.testing.assert_close(b[0, i], a[0, i] / (2 + 1e-4 * total) ** 0.75)


def test_inception_3a_adds_up():
    block = models.Inception(192, 64, 96, 128, 16, 32, 32)
    weights = sum(m.weight.numel() for m in block.modules() if isinstance(m, nn.Conv2d))
    want = 192 * 64 + 192 * 96 + 96 * 128 * 9 + 192 * 16 + 16 * 32 * 25 + 192 * 32
    assert weights == want == 163_328
    x = torch.randn(2, 192, 5, 6)
    y = block.eval()(x)
    assert y.shape == (2, 256, 5, 6)
    parts = [block.branch1(x), block.branch2(x), block.branch3(x), block.branch4(x)]
    assert [part.shape[1] for part in parts] == [64, 128, 32, 32]
    torch.testing.assert_close(y, torch.cat(parts, 1))
    # The pooling branch sees the neighbours, and pads with minus infinity.
    pooled = block.branch4[0](-torch.ones(1, 192, 3, 3))
    assert torch.equal(pooled, -torch.ones(1, 192, 3, 3))


def test_small_vgg_keeps_its_promises():
    net = models.build("small_vgg", classes=10)
    assert count(net) <= 1_000_000
    assert isinstance(net.features, nn.Sequential)
    convolutions = [m for m in net.features if isinstance(m, nn.Conv2d)]
    assert [m.out_channels for m in convolutions] == [
        n for n in models.SMALL_VGG if isinstance(n, int)
    ]
    assert all(m.kernel_size == (3, 3) and m.bias is None for m in convolutions)
    x = torch.randn(2, 3, 32, 32)
    maps = net.eval().features(x)
    torch.testing.assert_close(net.pool(maps).flatten(1), maps.mean((2, 3)))


@pytest.mark.parametrize(
    ("depth", "millions"), [(20, 0.27), (32, 0.46), (44, 0.66), (56, 0.85), (110, 1.7)]
)
def test_thin_nets_have_the_papers_sizes(depth, millions):
    """He et al. 2016, table 6; plain and residual do not differ in a single shape."""
    residual = on_meta("residual_net", classes=10, depth=depth)
    assert round(count(residual) / 1e6, 1 if depth == 110 else 2) == millions
    layers = [m for m in residual.modules() if isinstance(m, nn.Conv2d | nn.Linear)]
    assert len(layers) == depth
    assert shapes(on_meta("plain_net", classes=10, depth=depth)) == shapes(residual)


def test_a_residual_block_without_weights_hands_on_its_input():
    x = torch.relu(torch.randn(2, 8, 6, 4))
    block = models.BasicBlock(8, 8).eval()
    nn.init.zeros_(block.bn2.weight)
    assert torch.equal(block(x), x)
    block.residual = False
    assert torch.equal(block(x), torch.zeros_like(x))


def test_the_shortcut_between_stages_takes_every_second_pixel_and_adds_zeros():
    net = models.build("residual_net", classes=10, depth=8, width=4)
    block = net.layer2[0].eval()
    nn.init.zeros_(block.bn2.weight)
    x = torch.relu(torch.randn(1, 4, 6, 4))
    y = block(x)
    assert torch.equal(y[:, :4], x[:, :, ::2, ::2])
    assert torch.equal(y[:, 4:], torch.zeros(1, 4, 3, 2))
    assert models.build("plain_net", depth=8).layer2[0].downsample is None


def test_plain_and_residual_differ_in_nothing_but_the_sum():
    torch.manual_seed(0)
    plain = models.build("plain_net", classes=4, depth=14, width=4).eval()
    residual = models.build("residual_net", classes=4, depth=14, width=4).eval()
    residual.load_state_dict(plain.state_dict())
    x = torch.randn(3, 3, 16, 16)
    assert not torch.allclose(plain(x), residual(x))
    for module in residual.modules():
        if isinstance(module, models.BasicBlock):
            module.residual = False
    torch.testing.assert_close(residual(x), plain(x))


def test_the_reduced_alexnet_has_the_sources_widths():
    net = on_meta("alexnet_mnist", width=1.0, classes=10)
    convolutions = [m.out_channels for m in net.features if isinstance(m, nn.Conv2d)]
    dense = [(m.in_features, m.out_features) for m in net.classifier if isinstance(m, nn.Linear)]
    assert convolutions == [96, 256, 384, 384, 256]
    assert dense == [(2304, 4096), (4096, 4096), (4096, 10)]


@pytest.mark.parametrize(
    ("name", "features"), [("imagenet_cnn", 86_528), ("simple_cnn", 2_304), ("small_cnn", 1_600)]
)
def test_dense_layers_fit_what_reaches_them(name, features):
    net = on_meta(name)
    dense = [m for m in net.classifier if isinstance(m, nn.Linear)]
    assert dense[0].in_features == features


def test_width_divides_a_vgg():
    net = models.build("vgg16", classes=7, width=0.25)
    convolutions = [m.out_channels for m in net.features if isinstance(m, nn.Conv2d)]
    assert convolutions == [16] * 2 + [32] * 2 + [64] * 3 + [128] * 6
    assert [m.out_features for m in net.classifier if isinstance(m, nn.Linear)] == [1024, 1024, 7]


@pytest.mark.parametrize("name", QUICK)
def test_every_network_trains(name):
    """All parameters get a finite gradient, and a few steps lower the loss."""
    torch.manual_seed(0)
    options, size = QUICK[name]
    steps = 4 if name.startswith(("resnet", "googlenet")) else 9
    net = models.build(name, classes=3, **options)
    x, labels = torch.randn(6, *size), torch.arange(6) % 3
    optimizer = torch.optim.Adam(net.parameters(), 1e-3)
    losses = []
    for step in range(steps):
        loss = nn.functional.cross_entropy(net(x), labels)
        optimizer.zero_grad()
        loss.backward()
        if step == 0:
            for key, value in net.named_parameters():
                assert value.grad is not None, key
                assert torch.isfinite(value.grad).all(), key
        optimizer.step()
        losses.append(float(loss.detach()))
    assert min(losses[2:]) < losses[0], losses


@pytest.mark.parametrize("name", models.names())
def test_every_network_takes_its_own_size_and_ends_in_its_head(name):
    net = on_meta(name, classes=43).eval()
    x = torch.empty(2, *models.input_size(name), device="meta")
    assert net(x).shape == (2, 43)
    assert net(x[:0]).shape == (0, 43)
    head = net.get_submodule(models.head_name(net))
    assert isinstance(head, nn.Linear)
    assert head.out_features == 43
    last = [module for module in net.modules() if not any(module.children())][-1]
    assert last is head


@pytest.mark.parametrize(
    ("name", "least"),
    [("alexnet", 63), ("vgg11", 32), ("googlenet", 15), ("small_vgg", 8), ("inception_net", 4)],
)
def test_the_smallest_image(name, least):
    net = on_meta(name, classes=2).eval()
    assert net(torch.empty(1, 3, least, least, device="meta")).shape == (1, 2)
    with pytest.raises(ValueError, match=f"at least {least}x{least}, got 70x{least - 1}"):
        net(torch.empty(1, 3, 70, least - 1, device="meta"))
    if name not in ("googlenet",):  # there, torch rounds windows up and would go on
        features = copy.deepcopy(net.features)
        with pytest.raises(RuntimeError, match="too small"):
            features(torch.empty(1, 3, least - 1, least - 1, device="meta"))


def test_dropout_is_on_in_training_only():
    torch.manual_seed(0)
    for name in ("alexnet_mnist", "simple_cnn", "small_vgg", "inception_net"):
        options, size = QUICK[name]
        net = models.build(name, classes=3, dropout=0.5, **options)
        x = torch.randn(2, *size)
        assert torch.equal(net.eval()(x), net(x))
        # Batch normalisation repeats itself, dropout does not.
        assert not torch.equal(net.train()(x), net(x))


@pytest.mark.parametrize("name", ["alexnet", "vgg16_bn", "resnet50", "googlenet", "residual_net"])
def test_other_numbers_of_channels(name):
    net = on_meta(name, classes=2, in_channels=1).eval()
    assert net(torch.empty(1, 1, 64, 64, device="meta")).shape == (1, 2)
    with pytest.raises(ValueError, match=r"x must be \(N, 1, H, W\), got \(1, 3, 64, 64\)"):
        net(torch.empty(1, 3, 64, 64, device="meta"))


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: models.build("vgg17"), "build: there is no network 'vgg17': did you mean vgg1"),
        (lambda: models.build("transformer"), "no network 'transformer': choose from lenet5, "),
        (lambda: models.input_size("vgg"), "input_size: there is no network 'vgg'"),
        (lambda: models.build("vgg16", widht=1), "has no option 'widht': it has classes, width, d"),
        (lambda: models.build("vgg16_bn", batch_norm=False), "no option 'batch_norm'"),
        (lambda: models.build("plain_net", residual=True), "no option 'residual'"),
        (lambda: models.build("resnet18", block=1), "no option 'block'"),
        (lambda: models.build("small_vgg", classes=0), "small_vgg: classes must be a positive"),
        (lambda: models.build("alexnet", classes=2.5), "alexnet: classes must .* got 2.5"),
        (lambda: models.build("resnet50", in_channels=-1), "in_channels must be a positive int"),
        (lambda: models.build("alexnet", dropout=1), "dropout must be at least 0 and below 1"),
        (lambda: models.build("vgg11", width=0), "width must be positive, got 0"),
        (lambda: models.build("alexnet_mnist", width=-1), "width must be positive, got -1"),
        (lambda: models.build("googlenet", large_kernel=4), "large_kernel must be 3 or 5"),
        (lambda: models.build("plain_net", depth=18), r"plain_net: depth must be 6n \+ 2"),
        (lambda: models.build("residual_net", depth=2), "depth must be .* at least 8, got 2"),
        (lambda: models.build("residual_net", width=1.5), "width must be a positive int"),
        (lambda: models.ResNet(models.BasicBlock, (1, 1, 1)), "depths must be four positive"),
        (lambda: models.VGG("vgg12"), "VGG: name must be one of vgg11, "),
        (lambda: models.make_features([8, "m"]), "'m' is neither a number of channels nor 'M'"),
        (lambda: models.LeNet5(input_size=(1, 9, 9)), r"\(1, 9, 9\) are too small for its layers"),
        (lambda: models.SmallCNN(input_size=(28, 28)), r"input_size must be \(channels, height"),
        (lambda: models.LeNet5()(torch.zeros(1, 32, 32)), r"x must be \(N, 1, 32, 32\), got"),
        (
            lambda: models.LeNet5()(torch.zeros(1, 1, 28, 28)),
            "lenet5: built for images of 32x32, got 28x28: resize them, or build",
        ),
        (lambda: models.head_name(nn.Conv2d(1, 1, 1)), "head_name: Conv2d has no Linear layer"),
    ],
)
def test_errors_name_the_thing(call, message):
    with torch.device("meta"), pytest.raises(ValueError, match=message):
        call()


def test_head_name_on_other_peoples_models():
    with torch.device("meta"):
        for name, head in [
            ("vgg16", "classifier.6"),
            ("resnet50", "fc"),
            ("mobilenet_v2", "classifier.1"),
            ("vit_b_16", "heads.head"),
        ]:
            assert models.head_name(getattr(torchvision.models, name)(weights=None)) == head
    assert models.head_name(nn.Linear(2, 3)) == ""


@pytest.mark.parametrize("name", models.names())
def test_macs_are_half_of_torchs_own_count(name):
    from cnnlib.pytorch.summary import summary

    net, size = on_meta(name, classes=10).eval(), models.input_size(name)
    with FlopCounterMode(display=False) as counter:
        net(torch.empty(1, *size, device="meta"))
    assert 2 * summary(net, size).macs == counter.get_total_flops()


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
@pytest.mark.parametrize("name", QUICK)
def test_cuda_gives_the_same_logits(name):
    torch.manual_seed(0)
    options, size = QUICK[name]
    net = models.build(name, classes=3, **options).double().eval()
    x = torch.randn(2, *size, dtype=torch.float64)
    with torch.no_grad():
        want = net(x)
        got = net.cuda()(x.cuda()).cpu()
    torch.testing.assert_close(got, want, rtol=1e-8, atol=1e-10)
