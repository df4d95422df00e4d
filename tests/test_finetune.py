"""Fine-tuning: heads, stages that stay, learning rates, cached features, weights trained before."""

from __future__ import annotations

import copy
import math
import socket
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
import torchvision
from torch import nn
from torch.utils.data import TensorDataset

from cnnlib.pytorch import checkpoint, data, distributed, finetune, models, pretrained
from cnnlib.pytorch.train import TrainConfig
from cnnlib.pytorch.train_state import TrainState


def small(classes: int = 4, seed: int = 0) -> nn.Module:
    """A small VGG with statistics that are not the initial ones."""
    torch.manual_seed(seed)
    model = models.build("small_vgg", classes=classes, dropout=0.3)
    with torch.no_grad():
        for _ in range(3):
            model(torch.randn(8, 3, 16, 16))
    return model.eval()


def pictures(n: int = 22, classes: int = 4, size: int = 16) -> TensorDataset:
    """Random images whose class can be seen: its channel pattern is brighter."""
    generator = torch.Generator().manual_seed(1)
    y = torch.arange(n) % classes
    x = torch.randn(n, 3, size, size, generator=generator)
    x += torch.randn(classes, 3, 1, 1, generator=generator)[y]
    return TensorDataset(x, y)


def state(model: nn.Module) -> dict[str, torch.Tensor]:
    return {k: v.clone() for k, v in model.state_dict().items()}


def changed(before: dict[str, torch.Tensor], model: nn.Module) -> set[str]:
    return {k for k, v in model.state_dict().items() if not torch.equal(v, before[k])}


CONFIG = TrainConfig(epochs=2, lr=0.05, seed=3)
QUIET: dict[str, Any] = {"progress": False, "device": "cpu"}


@pytest.mark.parametrize(
    ("name", "names", "head"),
    [
        ("small_vgg", "block1 block2 block3 block4 head", ["classifier.0", "classifier.1"]),
        ("vgg16", "block1 block2 block3 block4 block5 dense head", ["classifier.5"]),
        ("resnet18", "stem layer1 layer2 layer3 layer4 head", []),
        ("lenet5", "block1 block2 dense head", []),
    ],
)
def test_stages_follow_the_network(name: str, names: str, head: list[str]) -> None:
    with torch.device("meta"):
        model = models.build(name)
    stages = finetune.stages(model)
    assert " ".join(stages) == names
    assert list(stages["head"]) == [*head, models.head_name(model)]


@pytest.mark.parametrize("name", models.names())
def test_every_parameter_is_in_one_stage(name: str) -> None:
    with torch.device("meta"):
        model = models.build(name)
    found = [
        p for stage in finetune.stages(model) for p, _ in finetune.stage_parameters(model, stage)
    ]
    assert sorted(found) == sorted(dict(model.named_parameters()))
    paths = [path for paths in finetune.stages(model).values() for path in paths]
    assert len(set(paths)) == len(paths)


@pytest.mark.parametrize("name", ["vit_b_16", "densenet121", "mobilenet_v3_small", "swin_t"])
def test_stages_of_torchvision_s_own(name: str) -> None:
    with torch.device("meta"):
        model = torchvision.models.get_model(name)
    found = [
        p for stage in finetune.stages(model) for p, _ in finetune.stage_parameters(model, stage)
    ]
    assert sorted(found) == sorted(dict(model.named_parameters()))
    assert list(finetune.stages(model))[-1] == "head"


def test_stages_of_a_plain_sequential() -> None:
    model = nn.Sequential(
        nn.Conv2d(3, 4, 3), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(4, 5, 3), nn.Flatten(),
        nn.Linear(80, 7), nn.ReLU(), nn.Dropout(0.5), nn.Linear(7, 2),
    )  # fmt: skip
    assert finetune.stages(model) == {
        "block1": ("0", "1", "2"), "block2": ("3", "4"), "dense": ("5", "6"), "head": ("7", "8"),
    }  # fmt: skip


def test_stages_that_cannot_be_told_apart() -> None:
    class Hidden(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv, self.fc = nn.Conv2d(3, 4, 3), nn.Linear(4, 2)

    class Outer(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.inside = Hidden()

    with pytest.raises(ValueError, match=r"head inside\.fc stands inside inside, a Hidden"):
        finetune.stages(Outer())
    with pytest.raises(ValueError, match="has no Linear layer"):
        finetune.stages(nn.Sequential(nn.Conv2d(3, 4, 3)))
    with pytest.raises(ValueError, match="single Linear layer"):
        finetune.stages(nn.Linear(3, 2))


def test_frozen_stages_stay_to_the_last_bit_in_training() -> None:
    """Weights, running statistics, counters: also when fit calls model.train()."""
    model, before = small(), None
    assert finetune.freeze(model, ["block1", "block3"]) == ("block1", "block3")
    before = state(model)
    history = finetune.fine_tune(
        model, pictures(), None, CONFIG, method="partial", last=2, batch_size=8, **QUIET
    )
    assert len(history) == 2
    late = {f"features.{i}" for i in range(len(model.features))} - {
        p for s in ("block1", "block2") for p in finetune.stages(model)[s]
    }
    moved = changed(before, model)
    assert moved
    assert all(".".join(k.split(".")[:2]) in late or k.startswith("classifier") for k in moved)
    # ... and everything that should learn did, running statistics included
    assert {k for k in before if k.rpartition(".")[0] in late} <= moved


def test_requires_grad_alone_does_not_freeze_batch_normalisation() -> None:
    """The mistake of chapter 11: without eval mode the statistics drift. freeze() prevents it."""
    wrong, right = small(), small()
    for name, parameter in wrong.named_parameters():
        parameter.requires_grad_(name.startswith("classifier"))
    finetune.freeze(right)
    before = state(right)
    for model in (wrong, right):
        model.train()
        model(pictures()[:][0])
    assert any("running_mean" in k for k in changed(before, wrong))
    assert changed(before, right) == set()


def test_a_frozen_stage_computes_in_training_what_it_computes_in_evaluation() -> None:
    """Batch normalisation and dropout alike."""
    torch.manual_seed(0)
    model = models.build("vgg11_bn", classes=3, width=0.05)
    x = torch.randn(2, 3, 32, 32)
    finetune.freeze(model)
    finetune.freeze(model, "head")
    want = model.eval()(x)
    assert torch.equal(model.train()(x), want)
    assert model.training
    finetune.unfreeze(model, "dense")
    assert not torch.equal(model.train()(x), want)


def test_freezing_survives_copies_and_wrappers() -> None:
    """A copied frozen network is frozen by itself; unfreezing it leaves the original alone."""
    model = small()
    finetune.freeze(model)
    twin = copy.deepcopy(model)
    finetune.unfreeze(twin)
    model.train()
    twin.train()
    assert not model.features[1].training
    assert twin.features[1].training
    assert twin.features[1].weight.requires_grad
    assert nn.ModuleList([model]).train()[0].features[1].training is False
    assert list(twin.state_dict()) == list(model.state_dict())


def test_freezing_survives_synchronised_batch_normalisation() -> None:
    """PyTorch's conversion makes new layers, which would learn statistics again."""
    model = small()
    x = torch.randn(2, 3, 32, 32)
    finetune.freeze(model, ["block1", "block2"])
    converted = nn.SyncBatchNorm.convert_sync_batchnorm(copy.deepcopy(model))
    assert converted.train().features[1].training  # why ours is needed
    several = SimpleNamespace(
        config=TrainConfig(sync_batchnorm=True),
        processes=distributed.Processes(0, 2),
        device=torch.device("cuda"),
    )
    ours = TrainState._synchronised(several, copy.deepcopy(model)).train()
    kinds = [type(m) for m in ours.modules()]
    assert nn.SyncBatchNorm in kinds
    assert nn.BatchNorm2d not in kinds
    names = [n for n, m in model.train().named_modules() if m.training]
    assert [n for n, m in ours.named_modules() if m.training] == names
    assert "features.1" not in names
    assert finetune.frozen(ours) == ("block1", "block2")
    assert torch.equal(ours.eval()(x), model.eval()(x))
    finetune.unfreeze(ours.train())
    assert all(m.training for m in ours.modules())


def test_unfreeze_takes_the_mode_of_the_model() -> None:
    model = small()
    finetune.freeze(model)
    assert finetune.frozen(model) == ("block1", "block2", "block3", "block4")
    finetune.unfreeze(model, "block4")
    assert not any(m.training for m in model.modules())
    model.train()
    finetune.unfreeze(model, [])
    assert finetune.frozen(model) == ("block1", "block2", "block3")
    assert finetune.unfreeze(model) == ()
    assert all(m.training for m in model.modules())
    with pytest.raises(ValueError, match="freeze: there is no stage 'block9': it has block1"):
        finetune.freeze(model, "block9")


@pytest.mark.parametrize(
    ("method", "last", "learn"),
    [
        ("probe", None, "head"),
        ("partial", None, "block3 block4 head"),
        ("partial", 1, "block4 head"),
        ("partial", 0, "head"),
        ("full", None, "block1 block2 block3 block4 head"),
    ],
)
def test_methods_choose_what_learns(method: str, last: int | None, learn: str) -> None:
    model = small()
    finetune.freeze(model, ["block4", "head"])  # whatever was before does not matter
    assert " ".join(finetune.choose(model, method, last)) == learn
    assert [s for s in finetune.stages(model) if s not in finetune.frozen(model)] == learn.split()


def test_choose_refuses() -> None:
    for method, last, text in [
        ("some", None, "one of probe, partial, full"),
        ("partial", 5, "from 0 to 4"),
        ("full", 1, "goes with 'partial'"),
    ]:
        with pytest.raises(ValueError, match=text):
            finetune.choose(small(), method, last)


@pytest.mark.parametrize("name", ["small_vgg", "vgg11", "resnet18", "lenet5"])
def test_replace_head(name: str) -> None:
    """The last layer has new outputs; nothing else has changed; the first loss is ln(classes)."""
    options = {"width": 0.05} if name == "vgg11" else {}
    model = models.build(name, classes=10, **options)
    before = state(model)
    path = finetune.head_path(model)
    new = finetune.replace_head(model, 7, seed=5)
    assert isinstance(new, nn.Linear)
    assert finetune.head_path(model) == path
    kept = {k: v for k, v in state(model).items() if not k.startswith(f"{path}.")}
    assert all(torch.equal(v, before[k]) for k, v in kept.items())
    assert len(kept) == len(before) - 2
    logits = model.eval()(torch.randn(5, *((1, 32, 32) if name == "lenet5" else (3, 32, 32))))
    assert logits.shape == (5, 7)
    loss = nn.functional.cross_entropy(logits, torch.arange(5))
    assert loss.item() == pytest.approx(math.log(7), abs=0.2)
    again = models.build(name, classes=10, **options)
    assert torch.equal(finetune.replace_head(again, 7, seed=5).weight, new.weight)
    assert not torch.equal(finetune.replace_head(again, 7, seed=6).weight, new.weight)


def test_a_head_with_a_hidden_layer_is_one_stage_and_can_be_replaced() -> None:
    model = small().double()
    finetune.replace_head(model, 5, hidden=6, dropout=0.5)
    assert finetune.stages(model)["head"] == ("classifier.0", "classifier.1", "classifier.2")
    finetune.freeze(model)
    learning = {k for k, p in model.named_parameters() if p.requires_grad}
    assert learning == {f"classifier.2.{i}.{k}" for i in (0, 3) for k in ("weight", "bias")}
    assert model(torch.randn(2, 3, 8, 8, dtype=torch.float64)).dtype == torch.float64
    assert isinstance(finetune.replace_head(model, 3), nn.Linear)
    assert finetune.head_path(model) == "classifier.2"
    assert model(torch.randn(2, 3, 8, 8, dtype=torch.float64)).shape == (2, 3)


def test_replace_the_whole_classifier_of_vgg() -> None:
    """Dense 256, ReLU, dropout, dense C on the convolutional base: the popular recipe."""
    model = models.build("vgg11", width=0.1)
    finetune.replace_head(model, 4, hidden=256, dropout=0.5, whole=True)
    kinds = [type(m).__name__ for m in model.classifier]
    assert kinds == ["Flatten", "Linear", "ReLU", "Dropout", "Linear"]
    assert model.classifier[1].in_features == 51 * 7 * 7
    assert model.eval()(torch.randn(1, 3, 32, 32)).shape == (1, 4)
    assert list(finetune.stages(model))[-2:] == ["block5", "head"]
    with pytest.raises(ValueError, match="fc stands in no chain"):
        finetune.replace_head(models.build("resnet18"), 4, whole=True)


@pytest.mark.parametrize("bad", [{"classes": 0}, {"hidden": 0}, {"dropout": 1.0}, {"classes": 2.0}])
def test_replace_head_refuses(bad: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=f"replace_head: {next(iter(bad))} must be"):
        finetune.replace_head(small(), **{"classes": 4, **bad})


def test_parameter_groups_fall_towards_the_input() -> None:
    model = small()
    finetune.freeze(model, "block2")
    groups = finetune.parameter_groups(model, 0.8, 0.5)
    assert {g["name"]: g["lr"] for g in groups} == {
        "block1": 0.05, "block3": 0.2, "block4": 0.4, "head": 0.8,
    }  # fmt: skip
    ids = [id(p) for g in groups for p in g["params"]]
    assert sorted(ids) == sorted(id(p) for p in model.parameters() if p.requires_grad)
    for lr, decay in [(-1, 1), (1, 0), (1, 1.5)]:
        with pytest.raises(ValueError, match="decay in"):
            finetune.parameter_groups(model, lr, decay)
    finetune.freeze(model, list(finetune.stages(model)))
    with pytest.raises(ValueError, match="every stage is frozen"):
        finetune.parameter_groups(model, 0.1)


def test_discriminative_rates_reach_the_weights() -> None:
    """One step of plain SGD moves a stage by its rate times its gradient."""
    config = TrainConfig(epochs=1, lr=0.4, momentum=0, weight_decay=0, seed=3)
    moves = {}
    for decay in (1.0, 0.5):
        model = small().double()
        before = state(model)
        finetune.fine_tune(model, pictures(8), None, config, decay=decay, batch_size=8, **QUIET)
        moves[decay] = {k: v - before[k] for k, v in model.named_parameters()}
    names = list(finetune.stages(small()))
    for k, stage in enumerate(names):
        for name, _ in finetune.stage_parameters(small(), stage):
            want = moves[1.0][name] * 0.5 ** (len(names) - 1 - k)
            assert torch.allclose(moves[0.5][name], want, rtol=1e-9, atol=1e-15), name


@pytest.mark.parametrize("name", ["small_vgg", "vgg11_bn", "residual_net"])
def test_cached_features_give_the_same_probe(name: str) -> None:
    """Same head after training, to rounding, as when the frozen base runs in every epoch."""
    options = {"small_vgg": {}, "vgg11_bn": {"width": 0.05, "dropout": 0.0}, "residual_net": {}}[
        name
    ]
    train, val = pictures(22, size=32), pictures(9, size=32)
    results = []
    for cache in (True, False):
        torch.manual_seed(0)
        model = models.build(name, classes=4, **options).double()
        before = state(model)
        history = finetune.linear_probe(
            model, train, val, CONFIG, batch_size=8, cache=cache, **QUIET
        )
        path = finetune.head_path(model)
        assert changed(before, model) == {f"{path}.weight", f"{path}.bias"}
        results.append((state(model), history["val_loss"], history["train_loss"]))
    (cached, *losses), (uncached, *others) = results
    for key in cached:
        assert torch.allclose(cached[key], uncached[key], rtol=1e-10, atol=1e-12), key
    assert losses[0] == pytest.approx(others[0], rel=1e-10)
    assert losses[1] == pytest.approx(others[1], rel=1e-10)


@pytest.mark.parametrize("cache", [True, False])
def test_after_a_probe_dropout_sleeps(cache: bool) -> None:
    """The whole network is in evaluation mode, and measuring it does not change that."""
    model = models.build("small_vgg", classes=4)
    finetune.replace_head(model, 4, dropout=0.5)
    train = pictures(12, size=32)
    finetune.linear_probe(model, train, None, CONFIG, batch_size=8, cache=cache, **QUIET)
    assert not any(m.training for m in model.modules())


def test_a_new_head_takes_the_mode_of_the_model() -> None:
    x = torch.randn(2, 3, 32, 32)
    for training in (True, False):
        model = models.build("small_vgg", classes=4).train(training)
        new = finetune.replace_head(model, 3, hidden=16, dropout=0.5)
        assert {m.training for m in new.modules()} == {training}
    assert torch.equal(model(x), model(x))


def test_cached_features_are_what_the_head_takes() -> None:
    model, pics = small(), pictures(10)
    finetune.freeze(model)
    model.train()
    cached = finetune.cache_features(model, data.loader(pics, 4))
    assert model.training  # as before
    assert cached.tensors[0].shape == (10, model.classifier[-1].in_features, 1, 1)
    assert torch.equal(cached.tensors[1], pics.tensors[1])
    model.eval()
    assert torch.allclose(
        finetune.head(model)(cached.tensors[0]), model(pics.tensors[0]), atol=1e-6
    )
    assert finetune.head(model)[-1] is model.classifier[-1]


def test_features_that_would_go_stale_are_refused() -> None:
    model = small()
    finetune.freeze(model, ["block1", "block2", "block3"])
    with pytest.raises(ValueError, match="block4 still learn"):
        finetune.cache_features(model, data.loader(pictures(), 8))
    finetune.freeze(model)
    with pytest.raises(ValueError, match="the loader has no example"):
        finetune.cache_features(model, [])
    with pytest.raises(ValueError, match="with 'full' the features change"):
        finetune.fine_tune(model, pictures(), method="full", cache=True)


def test_fine_tune_wants_a_head_that_fits() -> None:
    signs = data.road_signs_dataset(14, 0)
    with pytest.raises(ValueError, match=r"data have 14 classes but the head has 4 outputs"):
        finetune.fine_tune(small(4), signs)


def test_a_last_batch_of_one_is_left_out() -> None:
    """Batch normalisation has no statistics of a single value; another one in each epoch."""
    model = nn.Sequential(
        nn.Conv2d(3, 4, 3), nn.AdaptiveAvgPool2d(1), nn.BatchNorm2d(4), nn.Flatten(),
        nn.Linear(4, 4),
    )  # fmt: skip
    history = finetune.fine_tune(model, pictures(17), None, CONFIG, batch_size=8, **QUIET)
    assert len(history) == 2
    assert model[2].num_batches_tracked == 2 * 2
    sizes = [len(y) for _, y in finetune._loaders(pictures(18), None, 8, 0, CONFIG)[0]]
    assert sizes == [8, 8, 2]  # in no other case


def test_an_empty_set_to_measure_on_is_no_missing_one() -> None:
    empty = TensorDataset(*(t[:0] for t in pictures().tensors))
    for method in ("full", "probe"):
        with pytest.raises(ValueError, match="the data set is empty"):
            finetune.fine_tune(small(), pictures(), empty, CONFIG, method=method, **QUIET)


def test_a_killed_probe_goes_on(tmp_path: Path) -> None:
    """Features are computed again, the head goes on where it was: the same weights."""
    train = pictures()
    whole, halves = small(), small()
    finetune.fine_tune(whole, train, None, CONFIG, method="probe", batch_size=8, **QUIET)

    def stop(row: dict[str, Any]) -> None:
        raise KeyboardInterrupt

    options: dict[str, Any] = {"method": "probe", "batch_size": 8, "folder": tmp_path, **QUIET}
    with pytest.raises(KeyboardInterrupt):
        finetune.fine_tune(halves, train, None, CONFIG, on_epoch_end=stop, **options)
    halves = small()
    history = finetune.fine_tune(halves, train, None, CONFIG, resume=True, **options)
    assert len(history) == 2
    assert changed(state(whole), halves) == set()


# --- Weights that were trained before


@pytest.fixture
def torch_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache folder of torch's own."""
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    monkeypatch.setattr(torch.hub, "_hub_dir", None)
    folder = tmp_path / "hub" / "checkpoints"
    folder.mkdir(parents=True)
    return folder


def fake_vgg16() -> dict[str, torch.Tensor]:
    """A state of VGG16's names and shapes that costs 12 bytes: every tensor is one number."""
    with torch.device("meta"):
        shapes = torchvision.models.vgg16(weights=None, init_weights=False).state_dict()
    return {k: torch.full((1,), 0.001).expand(v.shape) for k, v in shapes.items()}


def test_vgg16_from_torch_s_cache(torch_home: Path) -> None:
    """The path that a reader with a network takes, from the file on: name, shapes, our network."""
    torch.save(fake_vgg16(), torch_home / "vgg16-397923af.pth")
    model, recipe = pretrained.torchvision_weights("vgg16")
    assert isinstance(model, models.VGG)
    assert not model.training
    assert sum(p.numel() for p in model.parameters()) == 138_357_544
    assert all(float(p.detach().min()) == float(p.detach().max()) for p in model.parameters())
    assert (recipe.size, recipe.resize) == (224, 256)
    assert recipe.mean == data.IMAGENET_MEAN
    assert recipe.std == data.IMAGENET_STD
    assert len(recipe.classes) == 1000
    assert recipe.classes[281] == "tabby"
    finetune.replace_head(model, 14)
    assert finetune.choose(model, "probe") == ("head",)


def test_neither_cached_nor_reachable(torch_home: Path) -> None:
    """One message: what, how large, where it should be, where to get it, what to use instead."""
    with pytest.raises(ConnectionError) as caught:
        pretrained.torchvision_weights("vgg16")
    text = str(caught.value)
    assert "\n" not in text
    for part in ("ImageNet weights of vgg16", "528 MB", "vgg16-397923af.pth", "small_vgg()"):
        assert part in text
    assert str(torch_home) in text
    assert list(torch_home.iterdir()) == []  # nothing half-written


def test_a_download_says_so_and_waits_for_half_a_minute(
    torch_home: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """One warning before it, nothing on stdout, and a server that is silent is given up."""
    path = torch_home / "resnet18-f37072fd.pth"
    waits = []

    def download(url: str, place: str, *_: Any, **__: Any) -> None:
        waits.append(socket.getdefaulttimeout())
        torch.save(torchvision.models.resnet18(weights=None).state_dict(), place)

    monkeypatch.setattr(torch.hub, "download_url_to_file", download)
    for _ in range(2):  # the second time it is there
        pretrained.torchvision_weights("resnet18")
    assert waits == [30.0]
    assert socket.getdefaulttimeout() is None
    assert [record.getMessage() for record in caplog.records] == [
        f"downloading the ImageNet weights of resnet18 (45 MB) to {path}"
    ]
    assert caplog.records[0].levelname == "WARNING"
    assert capsys.readouterr().out == ""


def test_a_damaged_or_foreign_file_in_the_cache(torch_home: Path) -> None:
    path = torch_home / "alexnet-owt-7be5be79.pth"
    path.write_bytes(b"half a down")
    with pytest.raises(ValueError, match=r"alexnet-owt-7be5be79.pth is damaged .* delete it"):
        pretrained.torchvision_weights("alexnet")
    torch.save({"fc.weight": torch.zeros(2)}, path)
    with pytest.raises(ValueError, match="belongs to another model"):
        pretrained.torchvision_weights("alexnet")
    torch.save({"x": pretrained.SMALL_VGG_RECIPE}, path)  # would be unpickled: refused
    with pytest.raises(ValueError, match="damaged"):
        pretrained.torchvision_weights("alexnet")


def test_old_files_without_batch_counters(torch_home: Path) -> None:
    """resnet18's file dates from before num_batches_tracked."""
    torch.manual_seed(0)
    want = torchvision.models.resnet18(weights=None).state_dict()
    old = {k: v for k, v in want.items() if "num_batches" not in k}
    torch.save(old, torch_home / "resnet18-f37072fd.pth")
    model, _ = pretrained.torchvision_weights("resnet18")
    assert isinstance(model, models.ResNet)
    assert all(torch.equal(v, want[k]) for k, v in model.state_dict().items())


def test_unknown_names_are_refused() -> None:
    with pytest.raises(ValueError, match=r"no classifier 'small_cnn'.*vgg16"):
        pretrained.torchvision_weights("small_cnn")
    with pytest.raises(ValueError, match="no classifier 'googlenet' with one head"):
        pretrained.torchvision_weights("googlenet")
    with pytest.raises(ValueError, match="no weights 'V9': IMAGENET1K_V1"):
        pretrained.torchvision_weights("vgg16", "V9")


def test_small_vgg_comes_from_a_checkout_or_from_the_package(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pretrained, "PLACES", (tmp_path / "none", tmp_path))
    with pytest.raises(ValueError, match=r"no file .*small_vgg_cifar10\.safetensors"):
        pretrained.small_vgg()
    torch.manual_seed(0)
    model = models.build("small_vgg", classes=10)
    checkpoint.save_weights(model, tmp_path / "small_vgg_cifar10.safetensors")
    loaded, recipe = pretrained.load("small_vgg")
    assert not loaded.training
    assert changed(state(model), loaded) == set()
    assert (recipe.size, recipe.mean) == (32, data.CIFAR10_MEAN)
    assert recipe.classes[3] == "cat"


def test_pictures_are_resized_as_torchvision_does_for_these_weights() -> None:
    for weights, wanted in (
        (torchvision.models.EfficientNet_B0_Weights.IMAGENET1K_V1, "bicubic"),
        (torchvision.models.VGG16_Weights.IMAGENET1K_V1, "bilinear"),
    ):
        recipe = pretrained._recipe(weights)
        assert recipe.interpolation == wanted
        assert pretrained.Recipe.from_dict(recipe.to_dict()) == recipe
        image = torch.randint(100, 156, (3, 300, 280), dtype=torch.uint8)
        given = weights.transforms(antialias=True)(image)
        ours = recipe.transform()(image).as_subclass(torch.Tensor)
        # Bytes are rounded: at most one level off, over the smallest deviation.
        assert torch.allclose(ours, given, atol=1.01 / 255 / 0.224)
    old = {k: v for k, v in recipe.to_dict().items() if k != "interpolation"}
    assert pretrained.Recipe.from_dict(old).interpolation == "bilinear"  # of an older run


def test_recipes_travel_as_json() -> None:
    recipe = pretrained.SMALL_VGG_RECIPE.with_classes(["a", "b"])
    assert recipe.classes == ("a", "b")
    assert pretrained.Recipe.from_dict(recipe.to_dict()) == recipe
    for channels in (1, 3):
        for transform in (recipe.transform(), recipe.train_transform(flip=False)):
            image = torch.zeros(channels, 50, 40, dtype=torch.uint8)
            assert transform(image).shape == (3, 32, 32)
    grey = pretrained.Recipe(28, 32, (0.5,), (0.25,), ("a",))
    white = grey.transform()(torch.full((3, 50, 40), 255, dtype=torch.uint8))
    assert white.shape == (1, 28, 28)
    # Scaling bytes rounds, on some processors to 254: at most one level off, (1 / 255) / 0.25.
    assert torch.allclose(white.as_subclass(torch.Tensor), torch.tensor(2.0), atol=0.016)
    with pytest.raises(ValueError, match="one or three means"):
        pretrained.Recipe(28, 32, (0.5, 0.5), (0.25, 0.25), ("a",))
