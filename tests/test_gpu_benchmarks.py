"""The GPU benchmarks on a CPU: they count, check and time what they say, and their records too."""

import gc
import json
import subprocess
import sys
import weakref
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch.nn import functional as F

import cnnlib

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "benchmarks"))
import cifar_data  # noqa: E402
import cifar_speed  # noqa: E402
import gpu_all  # noqa: E402
import gpu_ops  # noqa: E402
import gpu_timing  # noqa: E402
import roofline  # noqa: E402
import timing  # noqa: E402
import vgg16_throughput as vgg  # noqa: E402

CPU = torch.device("cpu")
RECORD = cnnlib.measured("roofline_cpu")


def namespace(**values):
    return type("Arguments", (), values)


# --- the clock and the switches ---


def test_tf32_sets_both_switches_and_puts_them_back():
    def now():
        return torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32

    before = now()
    with gpu_timing.tf32(True):
        assert now() == (True, True)
        with gpu_timing.tf32(False, True):
            assert now() == (False, True)
        assert now() == (True, True)
    assert now() == before
    with pytest.raises(KeyError), gpu_timing.tf32(True):
        raise KeyError
    assert now() == before


def test_turns_are_taken_and_nobody_is_left_out():
    calls = []
    runs = {who: lambda w=who: calls.append(w) for who in "abc"}
    times = gpu_timing.in_turns(runs, CPU, budget=0)
    assert calls == list("aabbcc") + list("abc")  # warm-up and one trial each, then one round
    assert {who: len(t) for who, t in times.items()} == {"a": 1, "b": 1, "c": 1}
    calls.clear()
    times = gpu_timing.in_turns({"a": lambda: None}, CPU, budget=0.01, least=3, most=4)
    assert 3 <= len(times["a"]) <= 4


def test_a_call_takes_its_own_time_not_that_of_all(monkeypatch):
    ticks = iter(range(0, 1000, 10))
    monkeypatch.setattr(gpu_timing, "clock", lambda: next(ticks))
    assert gpu_timing.elapsed(lambda: None, 5, CPU, one=True) == 2
    assert gpu_timing.middle({"a": [3, 1, 2]}) == {"a": 2}


def test_a_device_that_is_not_there_ends_the_program_in_one_line():
    assert gpu_timing.pick("cpu") == CPU
    with pytest.raises(SystemExit, match="auto, cpu or cuda, got 'tpu'"):
        gpu_timing.pick("tpu")
    if not torch.cuda.is_available():
        assert gpu_timing.pick("auto") == CPU
        with pytest.raises(SystemExit, match="no CUDA device here"):
            gpu_timing.pick("cuda")


def test_a_record_is_written_whole_and_names_no_path(tmp_path):
    record = gpu_timing.record("what", "how", "roofline", CPU, file="roofline_cpu", rows=[1])
    assert record["command"] == (
        "python benchmarks/roofline.py --device cpu --json data/measured/roofline_cpu.json"
    )
    assert record["rows"] == [1]
    assert {"date", "machine", "device", "kind", "versions", "load"} <= record.keys()
    gpu_timing.save(tmp_path / "new" / "r.json", record)
    assert json.loads((tmp_path / "new" / "r.json").read_text()) == record
    assert [p.name for p in (tmp_path / "new").iterdir()] == ["r.json"]


# --- roofline ---


def test_operations_and_bytes_of_the_layers():
    found = {layer.name: layer for layer in roofline.layers(CPU, torch.float32, quick=True)}
    c, side = 8, 8
    conv = found["conv 3x3"]
    assert conv.operations == 2 * c * c * 9 * side * side
    assert conv.values == 2 * c * side * side + c * c * 9
    assert found["depthwise 3x3"].operations == conv.operations / c
    assert found["conv 1x1"].operations == 2 * c * (c // 4) * side * side
    relu = found["ReLU in place"]
    assert (relu.operations, relu.values) == (2 * 16 * 16, 2 * 2 * 16 * 16)
    assert found["max-pool 2x2"].values == 2 * 16 * 16 * 5 / 4
    dense = found["dense, batch 1"]
    assert (dense.operations, dense.values) == (2 * 384 * 64, 384 + 384 * 64 + 64)
    for layer in found.values():  # each is what it says: as many outputs as were counted
        y = layer.run()
        assert layer.values > y.numel()
    x = torch.randn(3)
    assert torch.equal(F.relu_(x.clone()), x.clamp(min=0))


def test_a_rate_is_amount_over_time():
    assert roofline.rates([2.0, 0.5, 1.0], 4e9) == {"best": 8.0, "median": 4.0}


def test_the_roofline_is_kept_part_by_part(monkeypatch, tmp_path):
    """Whoever stops the program early keeps what there is."""

    def stop(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(roofline, "points", stop)
    file = tmp_path / "r.json"
    monkeypatch.setattr(sys, "argv", ["roofline.py", "--device=cpu", "--quick", f"--json={file}"])
    with pytest.raises(KeyboardInterrupt):
        roofline.main()
    record = json.loads(file.read_text())
    assert record.keys() == RECORD.keys()
    assert record["peaks"].keys() == RECORD["peaks"].keys()
    assert record["layers"] == []


def test_points_are_held_against_both_ceilings():
    rows = roofline.points(CPU, "float32", {"peak": 1e9, "bandwidth": 1e6}, quick=True)
    for row in rows:
        assert row["intensity"] == pytest.approx(row["operations"] / row["bytes"], abs=1e-4)
        assert row["roof"] == pytest.approx(min(1e9, row["intensity"] * 1e6), rel=1e-3)
        assert row["gflops"] == pytest.approx(row["operations"] / row["ms"] / 1e6, rel=0.02)


# --- ops ---


def test_every_case_is_right_and_a_wrong_one_is_seen(monkeypatch):
    cases = list(gpu_ops.cases(quick=True, cuda=False))
    assert [c.op for c in cases] == (
        ["conv2d"] * 2 + ["max_pool2d"] * 2 + ["avg_pool2d"] * 2 + ["linear", "cross_entropy"]
    )
    for case in cases:
        for mode in gpu_ops.TOLERANCE:
            row = gpu_ops.row(case, mode, CPU, 1.0, quick=True)
            assert row["torch"]["right"], (case.op, mode)
            assert row["cnnlib"]["right"], (case.op, mode)
            assert ("torch NHWC" in row) == (case.op == "conv2d")
    wrong = gpu_ops.ops.conv2d_backward
    monkeypatch.setattr(gpu_ops.ops, "conv2d_backward", lambda dy, c: wrong(1.001 * dy, c))
    row = gpu_ops.row(cases[0], "float32", CPU, 1.0, quick=True)
    assert row["torch"]["right"]
    assert not row["cnnlib"]["right"]
    monkeypatch.setattr(gpu_ops.ops, "conv2d_backward", lambda dy, c: wrong(torch.nan * dy, c))
    assert not gpu_ops.row(cases[0], "bfloat16", CPU, 1.0, quick=True)["cnnlib"]["right"]


def test_operations_of_a_convolution_and_larger_batches_on_a_gpu(monkeypatch):
    monkeypatch.setattr(gpu_ops.timing, "FULL", {**timing.TINY, "pool": {}})
    cases = list(gpu_ops.cases(quick=False, cuda=True))
    names = [c.shape for c in cases if c.op == "conv2d"]
    assert names == ["lenet", "alex", "lenet x32", "alex x32"]
    small, large = cases[0], cases[2]
    (n, c, h, w), o, k, _ = timing.TINY["conv2d"]["lenet"]
    assert small.flops == 2 * n * o * (h - k + 1) * (w - k + 1) * c * k * k
    assert large.flops == 32 * small.flops


# --- VGG16 ---


def test_operations_of_vgg16_are_the_published_ones():
    forward, both = vgg.operations(namespace(width=1.0, size=224))
    assert round(forward / 2e9, 2) == 15.47  # multiply-accumulates, as in torchvision's table
    first = 2 * 64 * 224 * 224 * 27
    assert both == 3 * forward - first


def test_each_measure_stands_on_the_one_before():
    fields = ("conv_tf32", "matmul_tf32", "bf16", "channels_last", "lean", "compile", "graph")
    on = [[f for f in fields if getattr(s, f)] for s in vgg.TRAINING]
    assert on == [list(fields[:n]) for n in range(8)]
    assert len({s.name for s in vgg.TRAINING}) == 8
    for before, after in zip(vgg.INFERENCE, vgg.INFERENCE[1:], strict=False):
        assert all(getattr(after, f) for f in fields if getattr(before, f))
    assert set(vgg.ON_CPU) <= {s.name for s in vgg.TRAINING}


@pytest.mark.parametrize("setup", [vgg.PLAIN, vgg.BF16, vgg.LEAN], ids=lambda s: s.name)
def test_a_training_step_changes_the_weights_and_lowers_the_loss(setup, monkeypatch):
    made = []
    monkeypatch.setattr(vgg, "network", lambda args: made.append(tiny()) or made[-1])
    monkeypatch.setattr(torch.optim, "SGD", lambda p, lr, **o: SGD(p, 0.1, **o | {"fused": None}))
    args = namespace(batch=4, size=32, width=1, backend="eager")
    torch.manual_seed(0)
    step = vgg.training_step(setup, args, CPU)
    x, y = data(step)
    before = F.cross_entropy(made[0](x), y).item()
    for _ in range(12):
        step()
    assert F.cross_entropy(made[0](x), y).item() < before - 0.1
    layout = torch.channels_last if setup.channels_last else torch.contiguous_format
    assert made[0][0].weight.is_contiguous(memory_format=layout)
    assert x.is_contiguous(memory_format=layout)


SGD = torch.optim.SGD


def tiny():
    conv = torch.nn.Conv2d(3, 4, 3)
    return torch.nn.Sequential(
        conv, torch.nn.AdaptiveAvgPool2d(2), torch.nn.Flatten(), torch.nn.Linear(16, 1000)
    )


def data(step):
    """The first batch that a step takes its pictures from."""
    return next(
        cell.cell_contents[0]
        for name, cell in zip(step.__code__.co_freevars, step.__closure__, strict=True)
        if name == "data"
    )


def test_a_measure_that_fails_costs_one_line(monkeypatch, capsys):
    make = vgg.training_step

    def sometimes(setup, *rest):
        if setup.conv_tf32 and not setup.bf16:
            raise RuntimeError("not here\nnor there")
        return make(setup, *rest)

    monkeypatch.setattr(vgg, "training_step", sometimes)
    monkeypatch.setattr(vgg, "network", lambda args: tiny())
    args = namespace(batch=1, size=32, width=1, quick=True, backend="eager")
    rows = list(vgg.measure("training", [vgg.DEFAULT, vgg.PLAIN, vgg.BF16], args, CPU, 1.0))
    assert rows[0]["error"] == "RuntimeError: not here"
    assert rows[1]["speedup"] == 1
    rates = [row["images_per_second"] for row in rows[1:]]
    assert rows[2]["speedup"] == pytest.approx(rates[1] / rates[0], abs=0.01)
    assert rates[0] != rates[1]
    assert vgg.line(rows[0]).endswith("not here")
    assert "nor there" in capsys.readouterr().err  # the whole story


def test_without_a_base_there_is_no_speedup_and_what_failed_leaves_no_network(monkeypatch):
    alive = []

    def make(setup, args, device):
        network = tiny()
        alive.append(weakref.ref(network))

        def step():
            if setup == vgg.PLAIN and network is not None:
                raise RuntimeError("out of memory")

        return step

    monkeypatch.setattr(vgg, "training_step", make)
    monkeypatch.setattr(vgg, "network", lambda args: tiny())
    args = namespace(batch=1, size=32, width=1, quick=True, backend="eager")
    rows = vgg.measure("training", [vgg.PLAIN, vgg.DEFAULT, vgg.BF16], args, CPU, 1.0)
    assert next(rows)["error"] == "RuntimeError: out of memory"
    gc.collect()
    assert alive[0]() is None
    later = list(rows)
    assert [row["speedup"] for row in later] == [None, None]
    assert vgg.line(later[0]).endswith("       -")


def test_inference_gives_the_networks_logits(monkeypatch):
    net, seen = tiny().eval(), []
    net.register_forward_hook(lambda m, x, y: seen.append((x[0].clone(), y)))
    monkeypatch.setattr(vgg, "network", lambda args: net)
    args = namespace(batch=2, size=32, width=1, backend="eager")
    step = vgg.inference_step(vgg.LAST, args, CPU)
    step()
    step()
    (a, y), (b, _) = seen
    assert y.dtype == torch.bfloat16
    assert not torch.equal(a, b)  # another batch each time
    assert a.is_contiguous(memory_format=torch.channels_last)


# --- CIFAR-10 ---


def test_the_script_is_short():
    text = (ROOT / "benchmarks/cifar_speed.py").read_text(encoding="utf-8")
    assert len(text.splitlines()) < 150


def test_pictures_are_read_from_class_folders(tmp_path):
    rng = np.random.default_rng(0)
    wanted = rng.integers(0, 256, (4, 32, 32, 3), dtype=np.uint8)
    for i, name in enumerate(["dog/0", "cat/0", "cat/1", "dog/1"]):
        path = tmp_path / "train" / f"{name}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(wanted[i]).save(path)
    x, y = cifar_data.read(tmp_path, "train")
    assert (x.dtype, tuple(x.shape), y.tolist()) == (torch.uint8, (4, 3, 32, 32), [0, 0, 1, 1])
    assert np.array_equal(x.permute(0, 2, 3, 1).numpy(), wanted[[1, 2, 0, 3]])
    with pytest.raises(ValueError, match="neither val/ with class folders nor"):
        cifar_data.read(tmp_path, "val")
    (tmp_path / "val" / "cat").mkdir(parents=True)
    with pytest.raises(ValueError, match="no pictures in the class folders"):
        cifar_data.read(tmp_path, "val")


def test_augmentation_mirrors_and_moves_and_invents_nothing():
    torch.manual_seed(0)
    x = torch.arange(200 * 3 * 32 * 32, dtype=torch.float32).view(200, 3, 32, 32)
    mirrored = torch.arange(200) % 2 == 0
    y = cifar_data.augment(x, mirrored)
    moves = set()
    for n in range(200):
        base = x[n].flip(2) if mirrored[n] else x[n]
        wide = F.pad(base[None], (2,) * 4, "reflect")[0]
        fits = [
            (i, j)
            for i in range(5)
            for j in range(5)
            if torch.equal(y[n], wide[:, i : i + 32, j : j + 32])
        ]
        assert len(fits) == 1
        moves.update(fits)
    assert len(moves) == 25


def test_normalised_channels():
    x = torch.full((1, 3, 2, 2), 255, dtype=torch.uint8)
    y = cifar_data.normalise(x)[0, :, 0, 0]
    mean, std = torch.tensor([0.4914, 0.4822, 0.4465]), torch.tensor([0.247, 0.2435, 0.2616])
    torch.testing.assert_close(y, (1 - mean) / std)


def test_the_first_layer_whitens_and_the_others_start_as_identities():
    torch.manual_seed(0)
    images, _ = cifar_data.pretend("val")
    x = cifar_data.normalise(images)
    net = cifar_speed.Net([24, 32, 32])
    net.restart(x)
    half = net.white(x).detach()[:, :12]  # the other twelve are their negatives
    flat = half.transpose(0, 1).reshape(12, -1)
    covariance = flat @ flat.T / flat.shape[1]
    assert (covariance - torch.eye(12)).abs().max() < 0.05
    torch.testing.assert_close(net.white(x)[:, 12:], -half)
    conv = net.body[1][0]
    picture = torch.randn(1, 24, 6, 6)
    torch.testing.assert_close(conv(picture)[:, :24], picture)
    learned = {k.rsplit(".", 1)[-1] for k, p in net.named_parameters() if p.requires_grad}
    assert learned == {"weight", "bias"}
    assert not net.white.weight.requires_grad
    assert not net.body[1][2].weight.requires_grad


def test_the_first_layer_sees_all_classes():
    """Pictures come class by class from folders: the first ones are all of one kind."""
    torch.manual_seed(0)
    smooth = torch.randn(5000, 3, 1, 1).expand(-1, -1, 8, 8)
    x = torch.cat([smooth, torch.randn(5000, 3, 8, 8)])
    net = cifar_speed.Net([24, 32, 32])
    net.restart(x)
    half = net.white(x[::20]).detach()[:, :12].transpose(0, 1).reshape(12, -1)
    assert half.var(1).max() < 2


def test_the_command_in_a_record_says_what_was_typed():
    p = gpu_timing.parser("", "x")
    p.add_argument("--data")
    p.add_argument("--batch", type=int, default=5)
    p.add_argument("--widths", type=int, nargs=2, default=[1, 2])
    given = ["--data", "secret", "--device", "cpu", "--widths", "3", "4", "--quick"]
    options = gpu_timing.typed(p, p.parse_args(given))
    assert options == "--quick --data FOLDER --widths 3 4 "
    made = gpu_timing.record("a", "b", "x", torch.device("cpu"), options=options)
    assert made["command"] == (
        "python benchmarks/x.py --device cpu --quick --data FOLDER --widths 3 4 "
        "--json data/measured/x.json"
    )
    assert "options" not in made


def test_cifar_speed_keeps_every_seed(monkeypatch, tmp_path):
    scores = iter([0.1, 0.9])  # rehearsal, seed 0, stop

    def accuracy(*_):
        if (score := next(scores, None)) is None:
            raise KeyboardInterrupt
        return score

    monkeypatch.setattr(cifar_speed, "train", lambda *_: None)
    monkeypatch.setattr(cifar_speed, "accuracy", accuracy)
    file = tmp_path / "c.json"
    monkeypatch.setattr(
        sys, "argv", ["cifar_speed.py", "--device=cpu", "--quick", f"--json={file}"]
    )
    with pytest.raises(KeyboardInterrupt):
        cifar_speed.main()
    record = json.loads(file.read_text())
    assert [run["seed"] for run in record["runs"]] == [0]
    assert (record["mean"], record["spread"]) == (0.9, None)


def test_the_test_counts_right_answers():
    class Bright(torch.nn.Module):
        def forward(self, x):
            rows = x.mean(dim=(1, 3))[:, :30].reshape(len(x), 10, 3)
            return rows.sum(2)

    images, labels = cifar_data.pretend("val")
    assert cifar_speed.accuracy(Bright(), images, labels, 64) == 1
    assert cifar_speed.accuracy(Bright(), images, (labels + 1) % 10, 64) == 0


def test_the_test_looks_at_six_views():
    class Spy(torch.nn.Module):
        def forward(self, x):
            views.append(x.clone())
            return torch.zeros(len(x), 10)

    views = []
    images, labels = cifar_data.pretend("val")
    cifar_speed.accuracy(Spy(), images, labels, len(labels))
    x = cifar_data.normalise(images)
    wide = F.pad(x, (1,) * 4, "reflect")
    wanted = [x, wide[:, :, :32, :32], wide[:, :, 2:, 2:]]
    for n, view in enumerate(wanted):
        assert torch.equal(views[2 * n], view)
        assert torch.equal(views[2 * n + 1], view.flip(3))
    assert len(views) == 6


# --- the programs as a reader starts them ---


@pytest.mark.slow
def test_all_of_them_run_on_a_cpu(tmp_path):
    command = [sys.executable, str(ROOT / "benchmarks/gpu_all.py"), "--device", "cpu", "--quick"]
    refused = subprocess.run(command, capture_output=True, text=True, check=False)
    assert refused.returncode == 2
    assert "--folder of its own" in refused.stderr
    run = subprocess.run(
        [*command, "--folder", str(tmp_path)], capture_output=True, text=True, check=False
    )
    assert run.returncode == 0, run.stdout + run.stderr
    assert [line.split()[1][:4] for line in run.stdout.splitlines()[-4:]] == ["well"] * 4
    records = {p.stem: json.loads(p.read_text()) for p in tmp_path.glob("*.json")}
    assert set(records) == {"roofline_cpu", "cifar_speed", "vgg16_throughput", "gpu_ops"}
    for record in records.values():
        assert {"what", "how", "command", "date", "machine", "versions"} <= record.keys()
    assert records["roofline_cpu"].keys() == RECORD.keys()
    assert records["cifar_speed"]["mean"] > 0.3  # it has learned: guessing gives 0.1
    assert not any("error" in row for row in records["vgg16_throughput"]["rows"])


def test_the_command_of_each_program(tmp_path):
    args = namespace(device="cuda", folder=tmp_path, quick=False, data=Path("photos"))
    assert gpu_all.command("roofline", args)[-1] == str(tmp_path / "roofline_cuda.json")
    assert gpu_all.command("cifar_speed", args)[-2:] == ["--data", "photos"]
    args.data = None
    assert gpu_all.run("cifar_speed", args, 9) == "left out: it needs --data FOLDER"


def test_a_program_that_fails_or_hangs_is_said_so(monkeypatch, tmp_path):
    args = namespace(device="cpu", folder=tmp_path, quick=True, data=None)
    monkeypatch.setattr(
        gpu_all, "command", lambda *a: [sys.executable, "-c", "raise SystemExit(3)"]
    )
    assert gpu_all.run("roofline", args, 60).startswith("exit code 3")
    hang = [sys.executable, "-c", "import time; time.sleep(60)"]
    monkeypatch.setattr(gpu_all, "command", lambda *a: hang)
    assert gpu_all.run("roofline", args, 1) == "stopped after 1 s"
    monkeypatch.setitem(gpu_all.LIMITS, "roofline", 2)
    assert gpu_all.run("roofline", args, 60) == "stopped after 2 s"


# --- the record that chapter 08 shows ---


def test_the_roofline_of_this_cpu_is_recorded():
    assert RECORD["kind"] == "cpu"
    assert set(RECORD["peaks"]) == {"float64", "float32", "bfloat16"}
    bandwidth = RECORD["bandwidth"]
    assert bandwidth["best"] == max(bandwidth["copy"]["best"], bandwidth["in_place"]["best"])
    assert len(RECORD["layers"]) == 9
    for row in RECORD["layers"]:
        assert row["roof"] == pytest.approx(
            min(RECORD["peaks"]["float32"]["best"], row["intensity"] * bandwidth["best"]), rel=1e-3
        )
        assert 0 < row["share"] < 1.3  # the ceilings are ceilings, up to the noise of a machine


cuda = pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")


@cuda
def test_a_recorded_step_goes_on_training(monkeypatch):
    device, made = torch.device("cuda"), []
    monkeypatch.setattr(vgg, "network", lambda args: made.append(tiny()) or made[-1])
    monkeypatch.setattr(torch.optim, "SGD", lambda p, lr, **o: SGD(p, 0.1, **o))
    setup = vgg.replace(vgg.LEAN, name="graph", graph=True)
    step = vgg.training_step(setup, namespace(batch=4, size=32, width=1, backend="eager"), device)
    x, y = data(step)
    before = F.cross_entropy(made[0](x), y).item()
    for _ in range(12):
        step()
    assert F.cross_entropy(made[0](x), y).item() < before - 0.1
