"""Two processes that train together do what one would do with batches twice as large."""

import os
import subprocess
import sys
from itertools import chain
from pathlib import Path

import pytest
import torch
from torch import nn
from torch.utils.data import BatchSampler, DataLoader, DistributedSampler, RandomSampler
from two_processes import COUNT, equality, examples, network

from cnnlib.pytorch import checkpoint, data, distributed
from cnnlib.pytorch._loading import training_loader
from cnnlib.pytorch.distributed import Processes, ShardedBatches, shard
from cnnlib.pytorch.finetune import linear_probe
from cnnlib.pytorch.order import fixed_order
from cnnlib.pytorch.train import TrainConfig, fit

PROGRAM = Path(__file__).with_name("two_processes.py")


@pytest.fixture(scope="module")
def both(tmp_path_factory):
    """What two processes under torchrun found."""
    folder = tmp_path_factory.mktemp("torchrun")
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone"]
    result = subprocess.run(
        [*command, "--nproc-per-node", "2", str(PROGRAM), str(folder)],
        capture_output=True, text=True, check=False, timeout=300,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )  # fmt: skip
    assert result.returncode == 0, result.stderr[-3000:]
    return folder, torch.load(folder / "result.pt", weights_only=True)


def largest_difference(a, b):
    return max(float((a[name] - b[name]).abs().max()) for name in a)


def rows(result):
    return [[v for k, v in row.items() if k != "seconds"] for row in result["rows"]]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("case", "loader", "dtype", "dropped", "tolerance"),
    [
        ("float64", "torch", torch.float64, 0, 1e-14),
        ("cnnlib", "cnnlib", torch.float32, 0, 1e-6),
        ("one left", "torch", torch.float64, 4, None),
    ],
)
def test_two_processes_equal_one_with_the_double_batch(
    both, case, loader, dtype, dropped, tolerance
):
    _, result = both
    assert result["group"] == [0, 2, "gloo"]
    one = equality(loader, dtype, 8, dropped)
    difference = largest_difference(one["weights"], result[case]["weights"])
    if tolerance is None:
        # 41 = 5 x 8 + 1: the one that is left cannot be shared, so there is a step less.
        assert difference > 1e-6
        return
    assert difference < tolerance
    assert rows(one) == [pytest.approx(row, abs=10 * tolerance) for row in rows(result[case])]
    other = equality(loader, dtype, 7, dropped)
    assert largest_difference(other["weights"], result[case]["weights"]) > 1e-4


@pytest.mark.slow
def test_each_example_is_seen_once(both):
    seen = both[1]["seen"]
    assert sorted(chain(*seen["train"])) == list(range(COUNT))
    assert sorted(chain(*seen["val"])) == list(range(COUNT))
    assert [len(part) for part in seen["train"]] == [23, 22]
    assert seen["seeds"][0] != seen["seeds"][1]  # dropout and transforms differ
    first, second = seen["evaluations"]
    assert first == second
    (loss, accuracy, count), whole = first
    assert count == whole[2] == COUNT
    assert accuracy == whole[1]
    assert loss == pytest.approx(whole[0], abs=1e-14)


@pytest.mark.slow
def test_weights_and_running_statistics_are_the_same_everywhere(both):
    seen = both[1]["seen"]
    assert seen["weights"][0] == seen["weights"][1]
    assert seen["buffers"][0] == seen["buffers"][1]
    assert any(seen["buffers"][0])
    alone = both[1]["alone"]["buffers"]  # without validation data, too
    assert alone[0] == alone[1]
    assert any(alone[0])


@pytest.mark.slow
def test_they_stop_together(both):
    first, second = both[1]["decisions"]["rows"]
    assert first == second
    history, stopped = first
    assert stopped
    assert [row["val_loss"] for row in history] == [1, 2, 3, 4]
    assert [row["lr"] for row in history] == pytest.approx([0.1, 0.1, 0.01, 0.001])


@pytest.mark.slow
def test_rank_0_writes_and_a_stopped_training_goes_on(both):
    folder, result = both
    (first, second), (again, again_second) = result["resumed"]["ends"]
    assert torch.equal(first, second)
    assert torch.equal(first, again)
    assert torch.equal(first, again_second)
    assert result["resumed"]["calls"] == [[1, 2, 3, 4], []]
    assert sorted(os.listdir(folder / "a")) == ["best.safetensors", "last.pt"]
    states = checkpoint.load(folder / "a" / "last.pt")["random"]
    assert len(states) == 2
    assert not torch.equal(states[0]["torch"], states[1]["torch"])  # dropout differs
    model = network(torch.float32, nn.BatchNorm2d(3), nn.Dropout(0.5))
    chosen = examples(torch.float32)
    with pytest.raises(
        ValueError, match=r"another training: batches was 6, is 12.*processes was 2"
    ):
        fit(
            model, DataLoader(chosen, 4, shuffle=True), DataLoader(chosen, 4),
            TrainConfig(epochs=4, restore_best=True), folder=folder / "a", resume=True,
            device="cpu", progress=False,
        )  # fmt: skip


@pytest.mark.slow
def test_what_several_processes_cannot_do(both):
    synchronised, no_loader, logits, sampler = both[1]["errors"]
    assert synchronised == "fit: sync_batchnorm needs CUDA devices, this process computes on cpu"
    assert "several processes need a DataLoader" in no_loader
    assert "keep_logits needs the whole data set" in logits
    assert "a DistributedSampler is in the way" in sampler


@pytest.mark.parametrize("drop_last", [False, True])
@pytest.mark.parametrize("world", [1, 2, 3, 4])
@pytest.mark.parametrize("size", [1, 3, 4])
@pytest.mark.parametrize("count", [1, 2, 7, 12, 13, 24, 25])
def test_every_way_of_dealing_out(count, size, world, drop_last):
    def sampler():
        return BatchSampler(range(count), size, drop_last)

    whole = list(BatchSampler(range(count), size * world, False))
    dealt = sorted(i for batch in sampler() for i in batch)
    for even in (True, False):
        parts = [ShardedBatches(sampler(), r, world, even=even) for r in range(world)]
        lists = [list(part) for part in parts]
        assert [len(part) for part in parts] == [len(batches) for batches in lists]
        assert all(batch for batches in lists for batch in batches)
        everything = sorted(i for batches in lists for batch in batches for i in batch)
        if not even:
            assert everything == dealt
            continue
        assert len({len(batches) for batches in lists}) == 1
        assert everything == dealt[: len(everything)]
        assert len(dealt) - len(everything) < world
        for together, large in zip(zip(*lists, strict=True), whole, strict=False):
            lengths = [len(batch) for batch in together]
            assert max(lengths) - min(lengths) <= 1
            assert sorted(chain(*together)) == [i for i in large if i in everything]


def test_shards_shuffle_alike_and_differently_in_each_epoch():
    loader = DataLoader(list(range(20)), 5, shuffle=True, drop_last=True)
    orders = []
    for epoch in (0, 1, 0):
        both = []
        for rank in range(2):
            torch.rand(rank)  # the processes' own generators are not in step
            part = shard(loader, Processes(rank, 2), even=True)
            with fixed_order(part, 0, epoch, rank):
                both.append([int(i) for batch in part for i in batch])
        assert sorted(chain(*both)) == list(range(20))
        orders.append(both)
    assert orders[0] == orders[2] != orders[1]


def test_a_shard_keeps_the_options_of_its_loader():
    def collate(batch):
        return batch

    loader = DataLoader(list(range(20)), 5, collate_fn=collate, timeout=0, pin_memory=False)
    part = shard(loader, Processes(1, 2), even=False)
    assert part.collate_fn is collate
    assert distributed.is_sharded(part)
    assert not distributed.is_sharded(loader)
    assert shard(loader, Processes(), even=True) is loader
    assert shard(part, Processes(1, 2), even=False) is part


def test_ready_made_shards_are_refused():
    ready = DistributedSampler(list(range(8)), num_replicas=2, rank=0)
    loader = DataLoader(list(range(8)), 2, sampler=ready)
    with pytest.raises(ValueError, match="a DistributedSampler is in the way"):
        shard(loader, Processes(0, 2), even=True)
    with pytest.raises(ValueError, match="need a DataLoader with batches"):
        shard(DataLoader(list(range(8)), None), Processes(0, 2), even=True)


def test_alone_nothing_is_started(monkeypatch):
    monkeypatch.delenv("WORLD_SIZE", raising=False)
    assert distributed.start() == Processes() == Processes(0, 1, 0)
    assert not torch.distributed.is_initialized()
    tensor = torch.ones(2)
    assert distributed.add_up(tensor) is tensor
    assert distributed.agree("x") == "x"
    assert distributed.gather("x") == ["x"]
    assert Processes(0, 4).first
    assert not Processes(1, 4).first


def test_more_processes_than_gpus_is_one_clear_error(monkeypatch):
    monkeypatch.setenv("WORLD_SIZE", "4")
    monkeypatch.setenv("LOCAL_RANK", "3")
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    with pytest.raises(ValueError, match="process 3 of this machine has no CUDA device of its own"):
        distributed.start("cuda")


def test_each_of_several_processes_has_a_cuda_device_of_its_own(monkeypatch):
    second = Processes(3, 4, 1)  # on the second machine
    for asked in ("cuda", "cuda:1", torch.device("cuda")):
        assert distributed.chosen_device(asked, second) == torch.device("cuda:1")
    assert distributed.chosen_device("cpu", second) == torch.device("cpu")
    assert distributed.chosen_device("cuda:2", Processes()) == torch.device("cuda:2")
    default = distributed.default_device(second)
    assert distributed.chosen_device(None, second) == default
    monkeypatch.setattr(distributed, "start", lambda device: second)
    chosen, model = examples(torch.float32), network(torch.float32)
    for train in (lambda: fit(model, DataLoader(chosen, 4), device="cuda:0"),
                  lambda: linear_probe(model, chosen, device="cuda:0")):  # fmt: skip
        with pytest.raises(ValueError, match="cuda:0 is not the device of process 1"):
            train()


def test_sums_have_a_type_that_the_device_has():
    assert distributed.zeros(2, torch.device("cpu")).dtype == torch.float64
    assert distributed.sum_type(torch.device("cuda")) == torch.float64
    assert distributed.sum_type(torch.device("mps")) == torch.float32


@pytest.mark.parametrize("world", [1, 2, 3])
@pytest.mark.parametrize("count", [1, 2, 3, 16, 17, 18, 19, 20, 21, 24, 25, 29, 30])
def test_no_process_is_left_with_a_single_example(count, world, monkeypatch):
    """Training loaders of fine_tune and the command line, from batches of two a process on."""
    monkeypatch.setenv("WORLD_SIZE", str(world))
    loader = training_loader(list(range(count)), 8, seed=0)
    parts = [shard(loader, Processes(r, world), even=True) for r in range(world)]
    sizes = [[len(batch) for batch in part] for part in parts]
    full, left = divmod(count, 8 * world)
    if full:
        assert min(min(own) for own in sizes) >= 2
    missing = left if full and left < 2 * world else 0
    if count >= world:
        assert sum(map(sum, sizes)) == count - missing
    for epoch in (0, 1):  # without a reason nothing changes
        loader.set_epoch(epoch)
        mine = [int(i) for batch in loader for i in batch]
        plain = data.loader(list(range(count)), 8, shuffle=True, seed=0)
        plain.set_epoch(epoch)
        assert mine == [int(i) for batch in plain for i in batch][: len(mine)]


def test_order_of_a_torch_sampler_is_its_own_afterwards():
    own = torch.Generator().manual_seed(7)
    loader = DataLoader(list(range(9)), 2, sampler=RandomSampler(range(9), generator=own))
    with fixed_order(loader, 0, 3):
        a = [batch.tolist() for batch in loader]
        assert loader.sampler.generator is not own
    assert loader.sampler.generator is own
    assert own.initial_seed() == 7
    with fixed_order(loader, 0, 3):
        assert [batch.tolist() for batch in loader] == a
    own.manual_seed(8)  # the seed of the loader's own generator counts as well
    with fixed_order(loader, 0, 3):
        assert [batch.tolist() for batch in loader] != a
