"""The small VGG's weights: the file, its card and its record tell one story, and it computes."""

import argparse
import csv
import hashlib
import json
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import numpy as np
import pytest
import safetensors
import torch
from PIL import Image

import cnnlib
from cnnlib.pytorch import checkpoint, data
from cnnlib.pytorch.models import SmallVGG

ROOT = Path(__file__).resolve().parents[1]
WEIGHTS = ROOT / "data" / "weights"
FILE = WEIGHTS / "small_vgg_cifar10.safetensors"
sys.path.insert(0, str(ROOT / "benchmarks"))
import muon  # noqa: E402
import pretrain_small_vgg as pretrain  # noqa: E402
import sam  # noqa: E402
import small_vgg_card as card  # noqa: E402
import small_vgg_data  # noqa: E402

RECORD = cnnlib.measured("small_vgg")


@pytest.fixture(scope="module")
def model() -> SmallVGG:
    """The network with the weights of the file."""
    network = SmallVGG(10)
    checkpoint.load_weights(network, FILE)
    return network.eval()


def test_file_is_small_and_fp16():
    assert FILE.stat().st_size <= 2.5e6
    with safetensors.safe_open(str(FILE), framework="pt") as file:
        types = {name: file.get_tensor(name).dtype for name in file.keys()}  # noqa: SIM118
    counters = {name for name in types if name.endswith("num_batches_tracked")}
    assert {types[name] for name in types if name not in counters} == {torch.float16}
    assert all(types[name] == torch.int64 for name in counters)


def test_file_fits_the_network():
    network = SmallVGG(10)
    with safetensors.safe_open(str(FILE), framework="pt") as file:
        shapes = {name: tuple(file.get_slice(name).get_shape()) for name in file.keys()}  # noqa: SIM118
    assert shapes == {name: tuple(t.shape) for name, t in network.state_dict().items()}
    assert sum(p.numel() for p in network.parameters()) == RECORD["parameters"] <= 1_000_000


def test_values_are_sound(model):
    """Halving the precision neither overflowed a value nor emptied a running variance."""
    for name, value in model.state_dict().items():
        assert bool(torch.isfinite(value).all()), name
        if name.endswith("running_var"):
            assert bool((value > 0).all()), name


def test_metadata_say_how_to_use_it():
    with safetensors.safe_open(str(FILE), framework="pt") as file:
        texts = file.metadata()
    assert json.loads(texts["classes"]) == RECORD["classes"] == sorted(RECORD["classes"])
    assert len(RECORD["classes"]) == 10
    assert tuple(json.loads(texts["mean"])) == tuple(RECORD["mean"]) == tuple(data.CIFAR10_MEAN)
    assert tuple(json.loads(texts["std"])) == tuple(RECORD["std"]) == tuple(data.CIFAR10_STD)
    assert {"architecture", "input", "licence"} <= set(texts)


def test_record_belongs_to_the_file():
    assert hashlib.sha256(FILE.read_bytes()).hexdigest() == RECORD["sha256"]
    assert FILE.stat().st_size == RECORD["bytes"]
    matrix = np.array(RECORD["confusion"])
    assert matrix.sum() == RECORD["val_images"]
    assert np.trace(matrix) / matrix.sum() == pytest.approx(RECORD["val_accuracy"], abs=1e-4)
    recall = np.diag(matrix) / matrix.sum(1)
    assert list(RECORD["per_class"].values()) == pytest.approx(recall, abs=1e-4)


def test_accuracy_is_far_from_chance():
    assert min(RECORD["val_accuracy"], RECORD["held_out_accuracy"]) >= 0.9
    assert RECORD["val_mirrored_accuracy"] >= 0.9


def test_card_and_log_are_made_from_the_record():
    text = (WEIGHTS / f"{card.NAME}.md").read_text(encoding="utf-8")
    assert text == card.card(RECORD, SmallVGG(10))
    assert RECORD["sha256"] in text
    assert RECORD["command"] in text
    assert f"**{RECORD['val_accuracy']:.4f}**" in text
    for picture in re.findall(r"!\[.+\]\((.+)\)", text):
        assert (WEIGHTS / picture).stat().st_size < 100_000
    with open(WEIGHTS / f"{card.NAME}.csv", encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == RECORD["recipe"]["epochs"] == len(RECORD["history"])
    for row, stored in zip(rows, RECORD["history"], strict=True):
        assert {k: float(v) for k, v in row.items()} == pytest.approx(stored, abs=1e-4)


def test_logits_are_those_of_the_run(model):
    """On pictures from whole-number arithmetic: the file, the network and the constants agree."""
    logits = card.logits_of(model, card.probe_images()).numpy()
    np.testing.assert_allclose(logits, RECORD["probe_logits"], atol=2e-3)
    assert np.ptp(logits, axis=0).max() > 0.5  # they tell the pictures apart
    # Each of what could go wrong does change them by more than that.
    with torch.no_grad():
        for wrong in (lambda x: x / 255, lambda x: small_vgg_data.normalise(x.flip(1))):
            other = model(wrong(card.probe_images())).numpy()
            assert np.abs(other - RECORD["probe_logits"]).max() > 0.1


def test_probe_images_never_change():
    images = card.probe_images().numpy()
    assert images.shape == (4, 3, 32, 32)
    digest = hashlib.sha256(images.tobytes()).hexdigest()
    assert digest == "a211740b71a1fa84157733a36b54ef58c66a56a847f5ad3d9bacd87f158a4d4d"


def test_weights_travel_with_the_package():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    tools = project["tool"]["setuptools"]
    assert tools["package-dir"]["cnnlib.weights"] == "data/weights"
    assert "cnnlib.weights" in tools["packages"]
    assert any(FILE.match(pattern) for pattern in tools["package-data"]["cnnlib.weights"])


# The command that made them


@pytest.fixture
def folder(tmp_path):
    """Three classes that differ in brightness, as class folders; one has a picture too large."""
    rng = np.random.default_rng(0)
    for split, count in (("train", 20), ("val", 4)):
        for label, name in enumerate(("dark", "grey", "light")):
            place = tmp_path / "pictures" / split / name
            place.mkdir(parents=True)
            for i in range(count):
                size = 48 if i == 0 else 32
                pixels = rng.integers(0, 120, (size, size, 3)) + 60 * label
                Image.fromarray(pixels.astype(np.uint8)).save(place / f"{i:02}.png")
    return tmp_path / "pictures"


@pytest.fixture
def recipe(monkeypatch):
    """The script's recipe, put back afterwards."""
    monkeypatch.setattr(pretrain, "RECIPE", dict(pretrain.RECIPE))
    return pretrain.RECIPE


def test_command_writes_weights_card_and_record(folder, tmp_path, recipe, capsys):
    run = ["--data", str(folder), "--out", str(tmp_path / "run"), "--quick", "--hold-out", "0.1"]
    pretrain.main(run)
    assert not (tmp_path / "w").exists()
    pretrain.main([*run, "--report", str(tmp_path / "w"), "--json", str(tmp_path / "r.json")])
    names = {p.name for p in (tmp_path / "w").iterdir()}
    assert names == {f"{card.NAME}.{kind}" for kind in ("safetensors", "md", "csv", "png")}
    record = json.loads((tmp_path / "r.json").read_text(encoding="utf-8"))
    assert record.keys() == RECORD.keys()
    assert record["classes"] == ["dark", "grey", "light"]
    assert (record["train_images"], record["held_out_images"], record["val_images"]) == (54, 6, 12)
    assert record["val_accuracy"] > 0.6
    assert str(tmp_path) not in json.dumps(record)
    # The second call found the training finished: one heading, six epochs, one result.
    assert len(capsys.readouterr().out.splitlines()) == 8


def test_broken_pictures_are_left_out_and_long_ones_cut(folder, caplog):
    """One truncated file in a folder of thousands does not end the run."""
    broken = folder / "train" / "grey" / "03.png"
    broken.write_bytes(broken.read_bytes()[:1000])
    flag = np.zeros((64, 128, 3), np.uint8)
    flag[:, :32, 0] = flag[:, 96:, 0] = 255  # red at both ends, which fall off
    flag[:, 32:96, 2] = 255
    Image.fromarray(flag).save(folder / "train" / "dark" / "00.png")
    images = small_vgg_data.read("train", str(folder), None)
    assert images.x.shape == (59, 3, 32, 32)
    assert torch.bincount(images.y).tolist() == [20, 19, 20]
    assert "skipped 1 of 60 files" in caplog.text
    assert "03.png" in caplog.text
    assert images.x[0].amin((1, 2)).tolist() == images.x[0].amax((1, 2)).tolist() == [0, 0, 255]


@pytest.mark.parametrize("last", [1, 4, 5])  # 4: where the last round begins
def test_interrupted_run_ends_as_if_it_had_not_been(folder, tmp_path, recipe, monkeypatch, last):
    def final(run, *more):
        pretrain.main(["--data", str(folder), "--out", str(tmp_path / run), "--quick", *more])
        return checkpoint.load(tmp_path / run / "checkpoint.pt")

    whole = final("whole")
    original = pretrain.train_epoch

    def breaks(model, optimizers, images, args, epoch):
        if epoch == last:
            raise KeyboardInterrupt
        return original(model, optimizers, images, args, epoch)

    with monkeypatch.context() as patch:
        patch.setattr(pretrain, "train_epoch", breaks)
        with pytest.raises(KeyboardInterrupt):
            final("broken")
    resumed = final("broken")
    assert len(resumed["history"]) == 6
    assert list(resumed["means"]) == [4, 6]
    pairs = [(whole["model"], resumed["model"])]
    pairs += [(whole["means"][end], resumed["means"][end]) for end in (4, 6)]
    for right, found in pairs:
        for name, value in right.items():
            assert torch.equal(value, found[name]), name
    with pytest.raises(SystemExit, match="other settings"):
        final("broken", "--seed", "1")


@pytest.mark.slow
def test_two_processes_train_together(folder, tmp_path):
    """Rank 0 alone prints and writes."""
    command = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2",
               str(ROOT / "benchmarks/pretrain_small_vgg.py"), "--data", str(folder),
               "--out", str(tmp_path / "run"), "--quick"]  # fmt: skip
    result = subprocess.run(
        [sys.executable, *command],
        capture_output=True,
        text=True,
        cwd=ROOT,
        timeout=300,
        check=False,
    )
    assert result.returncode == 0, result.stderr
    assert len(result.stdout.splitlines()) == 7  # the heading and six epochs, once
    assert len(checkpoint.load(tmp_path / "run" / "checkpoint.pt")["history"]) == 6


def test_processes_take_the_mean_of_their_gradients(monkeypatch):
    network = torch.nn.Sequential(torch.nn.Conv2d(1, 2, 3), torch.nn.Flatten())
    gradients = [torch.randn(p.shape) for p in network.parameters()]
    for p, gradient in zip(network.parameters(), gradients, strict=True):
        p.grad = gradient.clone()
    other = torch.arange(20.0)  # what the other process sends, 18 weights and 2 biases
    monkeypatch.setattr(pretrain.distributed, "add_up", lambda flat: flat.add_(other))
    pretrain.share_gradients(network, 2)
    means = [(g.flatten() + o) / 2 for g, o in zip(gradients, other.split([18, 2]), strict=True)]
    for p, mean in zip(network.parameters(), means, strict=True):
        torch.testing.assert_close(p.grad.flatten(), mean)


def test_held_out_images_are_a_share_of_each_class_and_of_no_use_in_training():
    labels = torch.arange(3).repeat_interleave(40)
    images = small_vgg_data.Images(torch.arange(120), labels, ["a", "b", "c"])
    training, held_out = small_vgg_data.hold_out(images, 0.25)
    assert torch.bincount(held_out.y).tolist() == [10, 10, 10]
    assert torch.equal(images.y[held_out.x], held_out.y)
    assert sorted([*training.x.tolist(), *held_out.x.tolist()]) == list(range(120))
    # The record speaks of these very images: another choice would let the network have seen them.
    assert held_out.x[8:14].tolist() == [37, 38, 40, 42, 43, 46]


def test_augmentation_mirrors_and_shifts():
    x = torch.arange(2 * 3 * 32 * 32, dtype=torch.float32).view(2, 3, 32, 32)
    generator = torch.Generator().manual_seed(1)
    same = small_vgg_data.augment(x, torch.tensor([False, True]), 0, generator)
    assert torch.equal(same[0], x[0])
    assert torch.equal(same[1], x[1].flip(2))
    shifted = small_vgg_data.augment(x, torch.tensor([False, False]), 2, generator)
    assert shifted.shape == x.shape
    moved = shifted[:, 0, 8, 8] - x[:, 0, 8, 8]  # a row counts 32, a column 1
    rows = torch.round(moved / 32)
    assert (torch.cat([rows, moved - 32 * rows]).abs() <= 2).all()
    assert moved.abs().sum() > 0


def test_cutout_hides_one_square_in_each_image():
    x = torch.ones(200, 3, 32, 30)
    hidden = small_vgg_data.cutout(x, 8, torch.Generator().manual_seed(0)) == 0
    assert (hidden == hidden[:, :1]).all()  # in all channels alike
    seen = set()
    for image in hidden[:, 0]:
        rows, columns = image.any(1), image.any(0)
        assert torch.equal(image, rows[:, None] & columns)  # a rectangle, without gaps:
        for line in (rows, columns):
            places = line.nonzero().flatten()
            assert places[-1] - places[0] + 1 == len(places) <= 8
        seen.add((int(rows.sum()), int(columns.sum())))
    assert (8, 8) in seen  # inside
    assert min(min(size) for size in seen) < 3  # and hanging over the edge
    assert x.min() == 1  # what is given stays


def test_rates_fall_along_straight_lines(recipe):
    recipe.update(small_epochs=13, lr_share=0.25, restarts=[20, 30], restart_share=0.5)
    shares = [pretrain.rate_share(at, 34) for at in (0, 6.5, 13, 16.5, 20, 25, 29, 30, 33, 34)]
    assert shares == pytest.approx([1, 0.625, 0.25, 0.125, 0.5, 0.25, 0.05, 0.5, 0.125, 0])
    weight = torch.nn.Parameter(torch.ones(1))
    optimizer = torch.optim.SGD([weight], lr=0.4)
    for share in (1.0, 0.5, 0.25):  # of the first rate, not of the last
        pretrain.set_rates([optimizer], share)
        assert optimizer.param_groups[0]["lr"] == pytest.approx(0.4 * share)


def test_the_mean_of_the_last_weights_is_the_result(folder, tmp_path, recipe, monkeypatch):
    seen, real = [], pretrain.evaluate

    def spy(model, images):
        seen.append({k: v.clone() for k, v in model.state_dict().items()})
        return real(model, images)

    monkeypatch.setattr(pretrain, "evaluate", spy)
    began, real_epoch = {}, pretrain.train_epoch

    def watch(model, optimizers, images, args, epoch):
        began[epoch] = {k: v.clone() for k, v in model.state_dict().items()}
        assert bool(optimizers[0].state) == (epoch not in (0, 6))  # new ones for the last round
        return real_epoch(model, optimizers, images, args, epoch)

    monkeypatch.setattr(pretrain, "train_epoch", watch)
    recipe.update(batch=16, small_epochs=1, restarts=[2, 4, 6], averages=[2, 2, 2], warm_up=2)
    images = small_vgg_data.read("train", str(folder), None)
    args = argparse.Namespace(epochs=8, seed=0, hold_out=0.1, out=str(tmp_path))
    model, _ = pretrain.train(args, *small_vgg_data.hold_out(images, 0.1))
    for name, value in model.named_parameters():
        after = [state[name] for state in seen]
        torch.testing.assert_close(value, (after[6] + after[7]) / 2)
        torch.testing.assert_close(began[6][name], sum(after[2:6]) / 4)
        for epoch in (1, 2, 3, 4, 5, 7):
            assert torch.equal(began[epoch][name], after[epoch - 1])
    # Batch normalisation has statistics of its own: those of what the first layer makes of images.
    training, _ = small_vgg_data.hold_out(images, 0.1)
    first, norm = model.features[:2]
    order = torch.randperm(len(training.y), generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        batches = [first(small_vgg_data.normalise(training.x[k])) for k in order.split(16)]
    means = torch.stack([made.mean((0, 2, 3)) for made in batches])
    torch.testing.assert_close(norm.running_mean, means.mean(0), rtol=1e-4, atol=1e-5)
    assert norm.momentum == 0.1


def test_sharpness_aware_gradients_are_those_uphill():
    """One weight, loss w^4 / 4: at w = 2 with rho 0.3 the worst point is 2 + 0.3 * (2 + 0.01)."""
    weight = torch.tensor([2.0], dtype=torch.float64, requires_grad=True)
    with sam.uphill([weight], [weight.detach() ** 3], 0.3):
        assert weight.item() == pytest.approx(2 + 0.3 * 2.01)
    assert weight.item() == 2
    pair = [torch.tensor([3.0, -1.0]), torch.tensor([[0.0]])]
    gradients = [torch.tensor([1.0, 2.0]), torch.tensor([[-200.0]])]
    with sam.uphill(pair, gradients, 0.5, eta=0.01):
        sizes = np.array([3.01, 1.01, 0.01])
        g = np.array([1, 2, -200])
        moved = np.array([3, -1, 0]) + 0.5 * sizes**2 * g / np.linalg.norm(sizes * g)
        found = torch.cat([w.flatten() for w in pair]).numpy()
        np.testing.assert_allclose(found, moved, rtol=1e-6)
    assert [w.flatten().tolist() for w in pair] == [[3, -1], [0]]
    with pytest.raises(KeyError), sam.uphill(pair, gradients, 0.5):
        raise KeyError  # the weights go back then, too
    assert pair[0].tolist() == [3, -1]


def small_network() -> torch.nn.Sequential:
    """Convolution, batch normalisation, dense layer, in double precision; always the same."""
    torch.manual_seed(0)
    layers = [torch.nn.Conv2d(1, 2, 3), torch.nn.BatchNorm2d(2), torch.nn.Flatten()]
    return torch.nn.Sequential(*layers, torch.nn.Linear(8, 3)).double()


def test_sharpness_aware_gradients_of_a_network():
    """Each part looks uphill alone; their mean counts images; batch norm sees only the weights."""
    x = torch.randn(5, 1, 4, 4, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    y = torch.tensor([0, 1, 2, 1, 1])
    loss_of = torch.nn.functional.cross_entropy
    network, plain = small_network(), small_network()
    loss, hits = sam.backward(network, loss_of, x, y, rho=0.0, part=5)
    loss_of(plain(x), y).backward()
    for found, right in zip(network.parameters(), plain.parameters(), strict=True):
        torch.testing.assert_close(found.grad, right.grad)
    for name, value in network.named_buffers():  # running statistics, followed once
        if "running" in name:
            torch.testing.assert_close(value, plain.get_buffer(name))
    assert network[1].momentum == plain[1].momentum
    with torch.no_grad():
        logits = small_network()(x)
    assert loss == pytest.approx(loss_of(logits, y).item())
    assert hits == int((logits.argmax(1) == y).sum())

    network = small_network()
    sam.backward(network, loss_of, x, y, rho=0.4, part=3)
    sums = [0.0] * 6
    for images, labels in ((x[:3], y[:3]), (x[3:], y[3:])):
        plain = small_network()
        weights = list(plain.parameters())
        gradients = torch.autograd.grad(loss_of(plain(images), labels), weights)
        length = sum(
            (((w.abs() + 0.01) * g) ** 2).sum() for w, g in zip(weights, gradients, strict=True)
        )
        with torch.no_grad():
            for w, g in zip(weights, gradients, strict=True):
                w += 0.4 * (w.abs() + 0.01) ** 2 * g / length.sqrt()
        there = torch.autograd.grad(loss_of(plain(images), labels), weights)
        sums = [s + len(labels) * g for s, g in zip(sums, there, strict=True)]
    for found, right in zip(network.parameters(), sums, strict=True):
        torch.testing.assert_close(found.grad, right / 5)


def test_each_round_has_its_squares_and_the_last_looks_uphill(
    folder, tmp_path, recipe, monkeypatch
):
    """Which steps cut out what, look uphill, and at which share of the first rate."""
    rows, cut, uphill, real = [], pretrain.cutout, sam.backward, pretrain.set_rates

    def rates(optimizers, share):
        rows.append({"share": share})
        real(optimizers, share)

    def squares(x, side, generator):
        rows[-1]["side"] = side
        return cut(x, side, generator)

    def backward(model, loss_of, x, y, rho, part):
        rows[-1] |= {"rho": rho, "part": part}
        return uphill(model, loss_of, x, y, rho, part)

    monkeypatch.setattr(pretrain, "set_rates", rates)
    monkeypatch.setattr(pretrain, "cutout", squares)
    monkeypatch.setattr(sam, "backward", backward)
    recipe.update(batch=27, small_epochs=1, lr_share=0.5, restarts=[2, 3], restart_share=0.8)
    recipe.update(cutouts=[5, 7], averages=[1, 1], warm_up=3, rho=0.3, part=9)
    images = small_vgg_data.hold_out(small_vgg_data.read("train", str(folder), None), 0.1)
    args = argparse.Namespace(epochs=5, seed=0, hold_out=0.1, out=str(tmp_path))
    pretrain.train(args, *images)
    plain, first, last = rows[:4], rows[4:6], rows[6:]  # two steps an epoch
    assert [row["share"] for row in plain] == pytest.approx([1, 0.75, 0.5, 0.25])
    assert [row["share"] for row in first] == pytest.approx([0.8, 0.4])
    # It falls from 0.8 to 0 in four steps; the first two are a third and two thirds of that.
    assert [row["share"] for row in last] == pytest.approx([0.8 / 3, 0.4, 0.4, 0.2])
    assert all(row.keys() == {"share"} for row in plain)
    assert [row["side"] for row in rows[4:]] == [5, 5, 7, 7, 7, 7]
    assert all("rho" not in row for row in first)
    assert all((row["rho"], row["part"]) == (0.3, 9) for row in last)


def test_muon_makes_steps_of_equal_strength_in_all_directions():
    generator = torch.Generator().manual_seed(0)
    u, _ = torch.linalg.qr(torch.randn(8, 8, generator=generator, dtype=torch.float64))
    v, _ = torch.linalg.qr(torch.randn(18, 8, generator=generator, dtype=torch.float64))
    matrix = u @ torch.diag(torch.logspace(0, -1, 8, dtype=torch.float64)) @ v.T
    result = muon.orthogonalise(matrix, steps=5)
    strengths = torch.diagonal(u.T @ result @ v)  # the singular vectors stay
    assert ((strengths > 0.6) & (strengths < 1.3)).all()
    assert torch.allclose(u @ torch.diag(strengths) @ v.T, result, atol=1e-8)


def test_muon_steps_downhill_on_the_sphere():
    weight = torch.nn.Parameter(torch.randn(4, 2, 3, 3, generator=torch.Generator().manual_seed(0)))
    target = torch.randn(4, 2, 3, 3, generator=torch.Generator().manual_seed(1))
    target *= 2 / target.norm()
    optimizer, losses = muon.Muon([weight], lr=0.1, momentum=0.5), []
    for _ in range(60):
        loss = (weight - target).square().sum()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < 0.1 * losses[1]
    assert weight.norm().item() == pytest.approx(2, rel=0.15)


def test_first_convolution_starts_as_patterns_and_their_negatives():
    x = torch.randint(0, 256, (100, 3, 32, 32), generator=torch.Generator().manual_seed(0))
    images = small_vgg_data.Images(x.to(torch.uint8), torch.zeros(100, dtype=torch.int64), ["a"])
    network = SmallVGG(10)
    pretrain.whiten(network, images)
    weight = network.features[0].weight.detach().flatten(1)  # (32, 27)
    assert torch.equal(weight[:16], -weight[16:])
    torch.testing.assert_close(weight[:16] @ weight[:16].T, torch.eye(16), atol=1e-5, rtol=0)
