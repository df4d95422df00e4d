"""The training loop against torch by hand, its options one by one, and what it refuses."""

import math
from typing import ClassVar

import numpy as np
import pytest
import torch
import torch.nn.functional as F
import tqdm.auto
from torch import nn
from torch.utils.data import DataLoader, IterableDataset, TensorDataset

from cnnlib import metrics
from cnnlib.pytorch import checkpoint, data, train, train_state
from cnnlib.pytorch.evaluate import place
from cnnlib.pytorch.order import fixed_order
from cnnlib.pytorch.random_state import mix, random_state, seed_everything
from cnnlib.pytorch.schedules import Schedule
from cnnlib.pytorch.train import Evaluation, TrainConfig, evaluate, fit, predict_logits

COUNT = 45  # 5 batches of 8 and one of 5


def examples(count=COUNT, dtype=torch.float64, classes=3):
    x = torch.randn(count, 2, 6, 5, generator=torch.Generator().manual_seed(0), dtype=dtype)
    y = (x[:, 0, :3].sum((1, 2)) > 0).long() + (x[:, 1].sum((1, 2)) > 1).long()
    return TensorDataset(x, y.clamp(max=classes - 1))


def network(*more, dtype=torch.float64, classes=3):
    torch.manual_seed(1)
    layers = [nn.Conv2d(2, 4, 3), *more, nn.ReLU(), nn.Flatten(), nn.Linear(48, classes)]
    return nn.Sequential(*layers).to(dtype)


def loader(batch=8, **options):
    return DataLoader(examples(**options), batch)


def quiet(model, batches, val=None, config=None, **options):
    return fit(model, batches, val, config, progress=False, device="cpu", **options)


def difference(a, b):
    pairs = zip(a.parameters(), b.parameters(), strict=True)
    return max(float((p - q).detach().abs().max()) for p, q in pairs)


@pytest.mark.parametrize(
    ("config", "optimizer"),
    [
        (
            TrainConfig(epochs=3, lr=0.05),
            lambda p: torch.optim.SGD(p, 0.05, 0.9, weight_decay=5e-4, nesterov=True),
        ),
        (
            TrainConfig(epochs=3, lr=0.05, momentum=0.0, weight_decay=0.1),
            lambda p: torch.optim.SGD(p, 0.05, weight_decay=0.1),
        ),
        (
            TrainConfig(epochs=3, lr=0.01, optimizer="adam", weight_decay=0.1),
            lambda p: torch.optim.Adam(p, 0.01, weight_decay=0.1),
        ),
        (
            TrainConfig(epochs=3, lr=0.01, optimizer="adamw", weight_decay=0.1),
            lambda p: torch.optim.AdamW(p, 0.01, weight_decay=0.1),
        ),
    ],
    ids=["sgd", "plain sgd", "adam", "adamw"],
)
def test_equals_the_loop_by_hand(config, optimizer):
    ours, theirs = network(), network()
    history = quiet(ours, loader(), loader(20), config)
    stepper = optimizer(theirs.parameters())
    for _ in range(3):
        for x, y in loader():
            stepper.zero_grad()
            F.cross_entropy(theirs(x), y).backward()
            stepper.step()
    assert difference(ours, theirs) < 1e-13
    x, y = examples().tensors
    with torch.no_grad():
        logits = theirs(x)
    last = history.rows[-1]
    assert last["val_loss"] == pytest.approx(float(F.cross_entropy(logits, y)), abs=1e-12)
    assert last["val_accuracy"] == pytest.approx(metrics.accuracy(logits.numpy(), y.numpy()))
    assert history["epoch"] == [1, 2, 3]


@pytest.mark.parametrize(("size", "groups"), [(4, 3), (8, 2), (7, 4), (3, 100)])
def test_accumulated_batches_equal_one_large_batch(size, groups):
    """Also where the last batch or the last group is smaller."""
    config = TrainConfig(epochs=2, lr=0.1, accumulate=groups, clip_norm=0.5, schedule="cosine")
    a, b = network(), network()
    first = quiet(a, loader(size), config=config)
    large = TrainConfig.from_dict({**config.to_dict(), "accumulate": 1})
    second = quiet(b, loader(size * groups), config=large)
    assert difference(a, b) < 1e-13
    assert first["train_loss"] == pytest.approx(second["train_loss"], abs=1e-12)
    assert first["train_accuracy"] == second["train_accuracy"]


def test_every_example_has_the_same_weight_in_the_losses():
    model, config = network(), TrainConfig(epochs=1, lr=0.0, momentum=0, weight_decay=0)
    row = quiet(model, loader(44), loader(32), config).rows[0]
    x, y = examples().tensors
    with torch.no_grad():
        loss = float(F.cross_entropy(model(x), y))
        right = float((model(x).argmax(1) == y).double().mean())
    for part in ("train", "val"):
        assert row[f"{part}_loss"] == pytest.approx(loss, abs=1e-13)
        assert row[f"{part}_accuracy"] == pytest.approx(right)


def factors(config, steps, epochs=None):
    schedule = Schedule(config, steps)
    return [schedule.factor(s) for s in range(steps * (epochs or config.epochs))]


def test_schedules_equal_torchs():
    parameter = nn.Parameter(torch.zeros(1))
    optimizer = torch.optim.SGD([parameter], lr=1.0)
    ours = factors(TrainConfig(epochs=7, schedule="cosine"), 6)
    theirs = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, T_max=42)
    for factor in ours:
        assert factor == pytest.approx(optimizer.param_groups[0]["lr"], abs=1e-12)
        optimizer.step()
        theirs.step()
    optimizer = torch.optim.SGD([parameter], lr=1.0)
    ours = factors(TrainConfig(epochs=7, schedule="step", step_size=3, gamma=0.2), 5)[::5]
    theirs = torch.optim.lr_scheduler.StepLR(optimizer, 3, 0.2)
    for factor in ours:
        assert factor == pytest.approx(optimizer.param_groups[0]["lr"])
        optimizer.step()
        theirs.step()
    optimizer = torch.optim.SGD([parameter], lr=1.0)
    ours = Schedule(TrainConfig(schedule="plateau", plateau_patience=1, gamma=0.5), 5)
    theirs = torch.optim.lr_scheduler.ReduceLROnPlateau(
        optimizer, factor=0.5, patience=1, threshold=0, threshold_mode="abs"
    )
    for loss in (3, 2, 2, 2.5, 1, 1, 1, 1, 1, math.nan, math.nan, 0.5, 0.6, 0.6):
        ours.epoch_end(loss)
        theirs.step(loss)
        assert ours.factor(0) == optimizer.param_groups[0]["lr"]
    assert ours.factor(0) < 0.2


def test_warm_up_rises_linearly_to_the_full_rate():
    for schedule in ("constant", "cosine"):
        config = TrainConfig(epochs=4, warmup=1.5, schedule=schedule)
        seen = factors(config, 4)
        assert seen[:6] == pytest.approx([1 / 6, 2 / 6, 3 / 6, 4 / 6, 5 / 6, 1])
        assert seen[6] == 1
        assert all(0 < f <= 1 for f in seen)
    assert seen[11] == pytest.approx(0.5)  # half way from 1.5 to 4 epochs
    assert factors(TrainConfig(epochs=2, warmup=2, schedule="cosine"), 3)[-1] == 1
    history = quiet(network(), loader(), config=TrainConfig(epochs=3, lr=0.2, warmup=2))
    assert history["lr"] == pytest.approx([0.1, 0.2, 0.2])


def test_each_group_keeps_its_rate_and_frozen_parameters_their_values():
    model = network(nn.Conv2d(4, 4, 1))
    model[1].requires_grad_(False)
    start = network(nn.Conv2d(4, 4, 1))
    groups = [
        {"params": model[:2].parameters(), "lr": 0.0, "weight_decay": 0.0},
        {"params": model[-1].parameters(), "lr": 0.02},
    ]
    config = TrainConfig(epochs=2, schedule="step", step_size=1, gamma=0.5)
    history = quiet(model, loader(), config=config, parameters=groups)
    assert history["lr"] == pytest.approx([0.02, 0.01])
    assert torch.equal(model[0].weight, start[0].weight)
    assert torch.equal(model[1].weight, start[1].weight)
    assert not torch.equal(model[-1].weight, start[-1].weight)
    head = network()
    quiet(head, loader(), config=TrainConfig(epochs=1), parameters=head[-1].parameters())
    assert torch.equal(head[0].weight, network()[0].weight)


def test_clipping_bounds_the_length_of_a_step():
    options = {"epochs": 1, "lr": 1.0, "momentum": 0.0, "weight_decay": 0.0}

    def length(**more):
        model = network()
        quiet(model, loader(100), config=TrainConfig(**options, **more))
        pairs = zip(model.parameters(), network().parameters(), strict=True)
        return math.sqrt(sum(float(((p - q) ** 2).sum().detach()) for p, q in pairs))

    free = length()
    assert length(clip_norm=0.01) == pytest.approx(0.01, rel=1e-3)
    assert length(clip_norm=2 * free) == pytest.approx(free)
    assert length(clip_norm=0.01, precision="fp16") == pytest.approx(0.01, rel=0.02)


def test_label_smoothing_is_torchs_and_stays_out_of_the_validation():
    still = {"epochs": 1, "lr": 0.0, "momentum": 0.0, "weight_decay": 0.0}
    model = network()
    row = quiet(model, loader(), loader(), TrainConfig(**still, label_smoothing=0.2)).rows[0]
    x, y = examples().tensors
    with torch.no_grad():
        smooth = float(F.cross_entropy(model(x), y, label_smoothing=0.2))
        sharp = float(F.cross_entropy(model(x), y))
    assert row["train_loss"] == pytest.approx(smooth)
    assert row["val_loss"] == pytest.approx(sharp)


def test_soft_labels_and_a_loss_of_ones_own():
    x, y = examples().tensors
    soft = DataLoader(TensorDataset(x, F.one_hot(y, 3).float()), 8)
    a, b, c = network(), network(), network()
    config = TrainConfig(epochs=2, lr=0.05)
    one, other = quiet(a, loader(), config=config), quiet(b, soft, config=config)
    assert difference(a, b) < 1e-13
    assert one["train_accuracy"] == other["train_accuracy"]

    def twice(logits, labels):
        return 2 * F.cross_entropy(logits, labels, reduction="none")

    config = TrainConfig(epochs=2, lr=0.025, weight_decay=0)
    quiet(c, loader(), config=config, loss=twice)
    quiet(a := network(), loader(), config=TrainConfig(epochs=2, lr=0.05, weight_decay=0))
    assert difference(a, c) < 1e-13
    still = TrainConfig(epochs=1, lr=0.0)
    row = quiet(network(), loader(), loader(), still, loss=twice).rows[0]
    assert row["train_loss"] == pytest.approx(2 * row["val_loss"])  # measured without it


def test_a_loss_that_averages_by_itself_is_refused():
    """It would be divided by the size of the batch once more."""
    model = network()
    with pytest.raises(ValueError, match=r"one value per example, \(8,\), got \(\)"):
        quiet(model, loader(), loss=nn.CrossEntropyLoss())
    assert difference(model, network()) == 0


def test_of_equal_logits_the_first_class_comes_first():
    """As everywhere else: topk may take any of them."""
    same = DataLoader(TensorDataset(torch.zeros(100, 10), torch.zeros(100).long()), 30)
    result = evaluate(nn.Identity(), same)
    assert (result.accuracy, result.top5) == (1, 1)
    last = DataLoader(TensorDataset(torch.zeros(100, 10), torch.full((100,), 5)), 30)
    assert evaluate(nn.Identity(), last).top5 == 0
    coarse = torch.randn(400, 200, generator=torch.Generator().manual_seed(0)).bfloat16().float()
    y = torch.randint(200, (400,), generator=torch.Generator().manual_seed(1))
    y[::2] = coarse[::2].argmax(1)
    result = evaluate(nn.Identity(), DataLoader(TensorDataset(coarse, y), 50))
    assert result.accuracy == metrics.accuracy(coarse.numpy(), y.numpy())
    assert result.top5 == metrics.top_k_accuracy(coarse.numpy(), y.numpy(), 5)


@pytest.mark.parametrize("dtype", [torch.int32, torch.int16, torch.uint8])
def test_labels_of_any_whole_numbers(dtype):
    x, y = examples().tensors
    results = []
    for labels in (y, y.to(dtype)):
        batches, model = DataLoader(TensorDataset(x, labels), 8), network()
        row = quiet(model, batches, batches, TrainConfig(epochs=1)).rows[0]
        results.append(([row["train_loss"], row["val_loss"]], model[0].weight))
    assert results[0][0] == results[1][0]
    assert torch.equal(results[0][1], results[1][1])


def test_soft_labels_are_measured():
    x, y = examples(classes=3).tensors
    model, hard = network(), evaluate(network(), loader())
    for one_hot in (F.one_hot(y, 3), F.one_hot(y, 3).float()):
        assert evaluate(model, DataLoader(TensorDataset(x, one_hot), 8)) == hard
    shares = torch.softmax(torch.randn(COUNT, 3, generator=torch.Generator().manual_seed(2)), 1)
    batches = DataLoader(TensorDataset(x, shares), 8)
    result = evaluate(model, batches)
    with torch.no_grad():
        logits = model(x)
    assert result.loss == pytest.approx(float(F.cross_entropy(logits, shares.double())))
    assert result.accuracy == metrics.accuracy(logits.numpy(), shares.argmax(1).numpy())
    assert quiet(network(), batches, batches, TrainConfig(epochs=1))["val_accuracy"][0] <= 1


class Spy(nn.Module):
    """Writes down what passes."""

    def __init__(self):
        super().__init__()
        self.seen = []

    def forward(self, x):
        layout = x.is_contiguous(memory_format=torch.channels_last) and not x.is_contiguous()
        self.seen.append((x.dtype, layout, self.training))
        return x


@pytest.mark.parametrize(
    ("precision", "inside"), [("bf16", torch.bfloat16), ("fp16", torch.float16)]
)
def test_mixed_precision(precision, inside):
    spy = Spy()
    model, plain = network(spy, dtype=torch.float32), network(nn.Identity(), dtype=torch.float32)
    config = TrainConfig(epochs=3, lr=0.05, precision=precision)
    batches = DataLoader(examples(dtype=torch.float32), 8, shuffle=True)
    history = quiet(model, batches, batches, config)
    reference = quiet(plain, batches, batches, TrainConfig(epochs=3, lr=0.05))
    assert {dtype for dtype, _, _ in spy.seen} == {inside}
    assert all(p.dtype == torch.float32 for p in model.parameters())
    assert history["train_loss"] == pytest.approx(reference["train_loss"], rel=0.03)
    assert 0 < difference(model, plain) < 0.05


def test_the_scaler_of_fp16_skips_a_step_that_overflows(tmp_path):
    model = network(dtype=torch.float32)
    before = network(dtype=torch.float32)
    calls = []

    def explode(gradient):
        calls.append(1)
        return gradient * (torch.inf if len(calls) == 1 else 1)

    model[-1].weight.register_hook(explode)
    config = TrainConfig(epochs=1, lr=0.05, precision="fp16")
    quiet(model, loader(100, dtype=torch.float32), config=config, folder=tmp_path)
    assert difference(model, before) == 0
    assert checkpoint.load(tmp_path / "last.pt")["scaler"]["scale"] == 2.0**15
    model = network(dtype=torch.float32)
    model[-1].weight.register_hook(lambda g: g)
    quiet(model, loader(100, dtype=torch.float32), config=config)
    assert difference(model, before) > 0


def test_channels_last_changes_the_layout_and_not_the_result():
    spy = Spy()
    model, plain = network(spy), network()
    history = quiet(model, loader(), loader(), TrainConfig(epochs=2, channels_last=True))
    quiet(plain, loader(), loader(), TrainConfig(epochs=2))
    assert all(layout for _, layout, _ in spy.seen)
    assert difference(model, plain) < 1e-12
    assert len(history) == 2
    spy.seen.clear()
    evaluate(network(spy), loader())
    assert not any(layout for _, layout, _ in spy.seen)


def test_compile_trains_the_translated_network(monkeypatch):
    compiled, compile_ = [], torch.compile

    def eager(network, **options):
        compiled.append(network)
        return compile_(network, backend="eager", **options)

    monkeypatch.setattr(train_state.torch, "compile", eager)
    model, plain = network(), network()
    quiet(model, loader(), config=TrainConfig(epochs=2, compile=True))
    quiet(plain, loader(), config=TrainConfig(epochs=2))
    assert compiled == [model]
    assert difference(model, plain) < 1e-12
    assert list(model.state_dict()) == list(plain.state_dict())


def scripted(monkeypatch, values, what="loss"):
    """Make validation say these values, one after the other."""
    values = iter(values)

    def told(model, loader, **_):
        value = next(values)
        loss, accuracy = (value, 0.5) if what == "loss" else (1.0, value)
        return Evaluation(loss, accuracy, 1.0, 1)

    monkeypatch.setattr(train, "evaluate", told)


@pytest.mark.parametrize(
    ("monitor", "values", "options", "epochs"),
    [
        ("loss", [3, 2, 2, 2, 1], {"patience": 2}, 4),
        ("loss", [3, 2, 2.5, 1.9, 2, 2], {"patience": 2}, 6),
        ("loss", [3, 2.95, 2.91, 2.0], {"patience": 2, "min_delta": 0.1}, 3),
        ("loss", [3, math.nan, math.nan, 1], {"patience": 2}, 3),
        ("loss", [math.nan, 3, 2, 1, 1, 1, 1], {"patience": 3}, 7),
        ("accuracy", [0.1, 0.2, 0.2, 0.9], {"patience": 1}, 3),
        ("accuracy", [0.1, 0.2, 0.3, 0.2, 0.4, 0.4], {"patience": None}, 6),
    ],
)
def test_early_stopping(monkeypatch, monitor, values, options, epochs):
    scripted(monkeypatch, values, monitor)
    config = TrainConfig(epochs=len(values), monitor=monitor, **options)
    history = quiet(network(), loader(), loader(), config)
    assert len(history) == epochs
    assert history.stopped_early == (options["patience"] is not None)


@pytest.mark.parametrize("with_folder", [False, True])
@pytest.mark.parametrize(("monitor", "best"), [("loss", 2), ("accuracy", 3)])
def test_the_best_weights_are_kept(monkeypatch, tmp_path, monitor, best, with_folder):
    values = {"loss": [3, 1, 2, 4], "accuracy": [0.1, 0.2, 0.3, 0.3]}[monitor]
    weights = []

    def run(**more):
        scripted(monkeypatch, values, monitor)
        model = network(nn.BatchNorm2d(4))
        weights.clear()
        config = TrainConfig(epochs=4, monitor=monitor, **more)
        folder = tmp_path / str(more) if with_folder else None
        quiet(
            model, loader(), loader(), config, folder=folder,
            on_epoch_end=lambda _: weights.append(checkpoint.weights_bytes(model)),
        )  # fmt: skip
        if with_folder:
            assert (folder / "best.safetensors").read_bytes() == weights[best - 1]
        return checkpoint.weights_bytes(model)

    assert run(restore_best=True) == weights[best - 1] != weights[-1]
    assert run() == weights[-1]


def test_the_order_follows_from_seed_and_epoch_alone():
    class Told(TensorDataset):
        def __getitem__(self, index):
            orders[-1].append(int(index))
            return super().__getitem__(index)

    orders = []
    told = Told(*examples(12).tensors)

    def order(seed, epochs, drawn=0):
        torch.rand(drawn)
        orders.append([])
        batches = DataLoader(told, 5, shuffle=True)
        quiet(network(nn.Dropout(0.5)), batches, config=TrainConfig(epochs=epochs, seed=seed))
        assert batches.sampler.generator is None is batches.generator
        return orders[-1]

    first = order(0, 2)
    assert sorted(first[:12]) == sorted(first[12:]) == list(range(12))
    assert first[:12] != first[12:]
    assert order(0, 2, drawn=5) == first
    assert order(0, 1) == first[:12]
    assert order(1, 2) != first


def test_the_order_without_batches_of_the_loader_follows_from_the_seed_too():
    batches = DataLoader(examples(12), batch_size=None, shuffle=True)
    orders = []
    for drawn in (0, 5):
        torch.rand(drawn)
        with fixed_order(batches, 0, 0):
            orders.append([float(x.sum()) for x, _ in batches])
        assert batches.sampler.generator is None
    assert orders[0] == orders[1] != sorted(orders[0])


def test_our_own_loader_keeps_to_its_own_seed():
    """As the docstrings of fit and TrainConfig say."""
    orders = {}
    for seed, own in ((0, 0), (1, 0), (0, 1)):
        chosen = data.loader(examples(12), 5, shuffle=True, seed=own)
        with fixed_order(chosen, seed, 3):
            orders[seed, own] = torch.cat([x for x, _ in chosen])
    assert torch.equal(orders[0, 0], orders[1, 0])
    assert not torch.equal(orders[0, 0], orders[0, 1])


def test_training_is_repeatable_and_leaves_the_callers_generators_alone():
    def run(seed):
        model = network(nn.Dropout(0.5))
        quiet(model, loader(), config=TrainConfig(epochs=1, seed=seed))
        return model

    seed_everything(5)
    before = random_state()
    first = run(0)
    after = random_state()
    seed_everything(6)
    assert difference(first, run(0)) == 0
    assert difference(first, run(1)) > 0
    torch.manual_seed(1)  # network() has seeded torch with 1
    network(nn.Dropout(0.5))
    assert torch.equal(after["torch"], torch.get_rng_state())
    assert (after["python"], after["numpy"]) == (before["python"], before["numpy"])
    assert mix(1, 2) == mix(1, 2) != mix(2, 1)


def test_cuda_is_there_before_its_generators_are_read(monkeypatch):
    """Only then can the caller's be put back."""
    done = []

    def read():
        done.append("read")
        raise InterruptedError

    monkeypatch.setattr(torch.cuda, "init", lambda: done.append("init"))
    monkeypatch.setattr(train, "unchanged_random_state", read)
    for device in ("cuda", "cpu"):
        with pytest.raises(InterruptedError):
            fit(network(), loader(), device=device)
    assert done == ["init", "read", "read"]


def test_callback_gets_each_row_after_the_checkpoint(tmp_path):
    seen = []

    def callback(row):
        state = checkpoint.load(tmp_path / "last.pt")
        seen.append((row, state["epoch"], state["history"][-1]))

    history = quiet(
        network(), loader(), loader(), TrainConfig(epochs=2), folder=tmp_path, on_epoch_end=callback
    )
    assert [row for row, _, _ in seen] == history.rows == [saved for _, _, saved in seen]
    assert [epoch for _, epoch, _ in seen] == [1, 2]


class Bar:
    """Stands in for tqdm's."""

    made: ClassVar[list] = []

    def __init__(self, **options):
        self.options, self.count = options, 0
        Bar.made.append(self)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.closed = True

    def update(self):
        self.count += 1


def test_the_bar_counts_steps_and_can_be_switched_off(monkeypatch, tmp_path):
    monkeypatch.setattr(tqdm.auto, "tqdm", Bar)
    Bar.made.clear()
    config = TrainConfig(epochs=3, accumulate=2)
    quiet(network(), loader(), config=config)
    assert Bar.made == []
    fit(network(), loader(), config=config, device="cpu")
    (bar,) = Bar.made
    assert bar.count == 9  # ceil(6 batches / 2), three times
    assert bar.closed
    assert bar.options == {"total": 9, "initial": 0, "unit": "step"}  # TQDM_DISABLE has its way


def test_evaluate_equals_the_metrics_of_chapter_5():
    model = network(nn.BatchNorm2d(4), nn.Dropout(0.5), classes=7)
    x, _ = examples().tensors
    y = torch.arange(COUNT) % 7
    batches = DataLoader(TensorDataset(x, y), 8)
    model.train()
    result = evaluate(model, batches, keep_logits=True)
    assert model.training
    model.eval()
    with torch.no_grad():
        logits = model(x)
    assert torch.equal(result.labels, y)
    torch.testing.assert_close(result.logits, logits, rtol=0, atol=1e-12)
    assert result.loss == pytest.approx(float(F.cross_entropy(logits, y)), abs=1e-12)
    assert result.accuracy == metrics.accuracy(logits.numpy(), y.numpy())
    assert result.top5 == metrics.top_k_accuracy(logits.numpy(), y.numpy(), 5)
    assert result.accuracy < result.top5 < 1
    assert result.examples == COUNT
    assert str(result).endswith(f"top-5 {result.top5:.4f} on 45 examples")
    assert evaluate(model, batches).logits is None
    both = predict_logits(model, batches)
    assert torch.equal(both[0], result.logits)
    assert torch.equal(both[1], y)
    model.float()
    half = evaluate(model, batches, precision="bf16")
    assert half.loss == pytest.approx(result.loss, rel=0.02)
    assert half.loss != result.loss


def test_to_measure_on_a_device_is_to_move_there():
    model = network()
    assert place(model) == torch.device("cpu")
    assert place(model, "meta") == torch.device("meta")
    assert all(p.is_meta for p in model.parameters())


class Stream(IterableDataset):
    """Examples without a length."""

    def __iter__(self):
        return iter(examples())


def test_validation_data_need_no_length_but_an_example():
    config = TrainConfig(epochs=1)
    row = quiet(network(), loader(), DataLoader(Stream(), 8), config).rows[0]
    assert row["val_loss"] == quiet(network(), loader(), loader(), config)["val_loss"][0]
    model = network()
    for empty in ([], DataLoader(examples(5), 8, drop_last=True)):
        with pytest.raises(ValueError, match="the validation loader has no batch"):
            quiet(model, loader(), empty, config)
    assert difference(model, network()) == 0  # said at once


def test_labels_that_fit_no_class_are_named():
    x, y = examples().tensors
    for wrong, message in [
        (y + 1, r"labels must lie in 0..2, as the model has 3 classes, got 1..3"),
        (y - 1, r"labels must lie in 0..2, .* got -1..1"),
        (y.double(), "labels must be integers, got torch.float64"),
        (y > 0, "labels must be integers, got torch.bool"),
        (F.one_hot(y, 4), r"soft labels must be \(N, classes\) as the logits \(45, 3\), got"),
        (y[:, None, None], r"for labels \(N,\), got \(45, 3\) for \(45, 1, 1\)"),
    ]:
        batches = DataLoader(TensorDataset(x, wrong), 100)
        with pytest.raises(ValueError, match=message):
            quiet(network(), batches)
        with pytest.raises(ValueError, match=message):
            evaluate(network(), batches)


def test_what_fit_refuses():
    model, batches = network(), loader()
    for options, message in [
        ({"patience": 2}, "patience needs a val_loader to judge the epochs by"),
        ({"restore_best": True}, "restore_best needs a val_loader"),
        ({"schedule": "plateau"}, "schedule 'plateau' needs a val_loader"),
    ]:
        with pytest.raises(ValueError, match=message):
            quiet(model, batches, config=TrainConfig(**options))
    with pytest.raises(ValueError, match="the training loader has no batch"):
        quiet(model, [])
    with pytest.raises(ValueError, match="the training loader needs a length"):
        quiet(model, iter([]))
    with pytest.raises(ValueError, match="the loader has no example"):
        evaluate(model, [])
    with pytest.raises(ValueError, match="precision must be fp32, bf16 or fp16, got 'int4'"):
        evaluate(model, batches, precision="int4")
    model.requires_grad_(False)
    with pytest.raises(ValueError, match="no parameter requires a gradient"):
        quiet(model, batches)
    with pytest.raises(ValueError, match="an epoch has at least 1 step, got 0"):
        Schedule(TrainConfig(), 0)


def test_a_loss_that_explodes_is_reported(caplog):
    model = network(dtype=torch.float32)
    history = quiet(model, loader(dtype=torch.float32), loader(), TrainConfig(epochs=2, lr=1e30))
    assert math.isnan(history["train_loss"][-1])
    assert "the training loss is not a number" in caplog.text


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"epochs": 0}, "epochs must be at least 1 and finite, got 0"),
        ({"epochs": 1.5}, "epochs must be an int, got 1.5"),
        ({"epochs": True}, "epochs must be an int, got True"),
        ({"epochs": "3"}, "epochs must be an int, got '3'"),
        ({"lr": -0.1}, "lr must be at least 0.0 and finite, got -0.1"),
        ({"lr": math.nan}, "lr must be at least 0.0 and finite, got nan"),
        ({"lr": "fast"}, "lr must be a number, got 'fast'"),
        ({"optimizer": "sdg"}, "optimizer must be one of sgd, adam, adamw, got 'sdg'"),
        ({"schedule": None}, "schedule must be one of constant, step, cosine, plateau, got None"),
        ({"precision": "fp8"}, "precision must be one of fp32, bf16, fp16, got 'fp8'"),
        ({"monitor": "f1"}, "monitor must be one of loss, accuracy, got 'f1'"),
        ({"label_smoothing": 1}, "label_smoothing must be from 0 to below 1, got 1"),
        ({"clip_norm": 0}, "clip_norm must be more than 0 and finite, got 0"),
        ({"gamma": 0}, "gamma must be more than 0 and at most 1, got 0"),
        ({"accumulate": 0}, "accumulate must be at least 1 and finite, got 0"),
        ({"patience": 0}, "patience must be at least 1 and finite, got 0"),
        ({"compile": 1}, "compile must be True or False, got 1"),
        ({"seed": -1}, r"seed must be from 0 to 2\*\*32 - 1, got -1"),
        ({"warmup": 11}, "warmup must not exceed the 10 epochs, got 11"),
        ({"learning_rate": 1}, "unknown option learning_rate; there are epochs, lr, "),
    ],
)
def test_wrong_options_are_named(options, message):
    with pytest.raises(ValueError, match=f"TrainConfig: {message}"):
        TrainConfig.from_dict(options)


def test_configurations_go_through_dicts():
    config = TrainConfig(epochs=3, clip_norm=1, patience=None, optimizer="adamw")
    assert TrainConfig.from_dict(config.to_dict()) == config
    assert TrainConfig.from_dict({}) == TrainConfig()
    assert np.array(list(config.to_dict())).size == 23


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.parametrize("precision", ["fp32", "bf16", "fp16"])
def test_on_cuda_the_same_code_runs(precision, tmp_path):
    model = network(nn.BatchNorm2d(4), dtype=torch.float32)
    batches = DataLoader(examples(dtype=torch.float32), 8, shuffle=True, pin_memory=True)
    config = TrainConfig(
        epochs=3, lr=0.02, precision=precision, channels_last=True, clip_norm=1, schedule="cosine"
    )
    history = fit(model, batches, batches, config, folder=tmp_path, progress=False)
    assert next(model.parameters()).is_cuda
    plain = network(nn.BatchNorm2d(4), dtype=torch.float32)
    reference = quiet(plain, batches, batches, config)
    assert history["val_loss"] == pytest.approx(reference["val_loss"], rel=0.05)
    again = network(nn.BatchNorm2d(4), dtype=torch.float32)
    same = fit(again, batches, batches, config, folder=tmp_path, resume=True, progress=False)
    assert same.rows == history.rows
