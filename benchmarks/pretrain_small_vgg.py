"""Pre-train SmallVGG on CIFAR-10, or on any folder of class folders, and write weights and card.

python benchmarks/pretrain_small_vgg.py --data FOLDER --out RUN                 train
python benchmarks/pretrain_small_vgg.py --data FOLDER --out RUN --report data/weights
torchrun --nproc-per-node 2 benchmarks/pretrain_small_vgg.py ...                one process a core

FOLDER holds train/<class>/ and val/<class>/; --torchvision ROOT takes torchvision's CIFAR-10
instead. Recipes are compared on images held out of train; val is read only for the report. The same
command goes on where an interrupted run stopped. --quick takes seconds, to see that all works.
"""

from __future__ import annotations

import argparse
import json
import os
import time
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")

import sam
import torch
from muon import Muon
from small_vgg_card import report
from small_vgg_data import SIZE, Images, augment, cutout, hold_out, normalise, read
from torch import nn
from torch.nn import functional as F

from cnnlib.pytorch import checkpoint, distributed
from cnnlib.pytorch.history import History
from cnnlib.pytorch.models import SmallVGG

RECIPE: dict[str, Any] = {
    "batch": 512,
    "lr": 0.12,  # of Muon, for all convolutions but the first; falls to 0
    "momentum": 0.8,
    "sgd_lr": 0.1,  # of everything else, falls likewise
    "sgd_momentum": 0.9,
    "sgd_weight_decay": 5e-4,  # not on biases and batch normalisation
    "label_smoothing": 0.1,
    "shift": 3,  # pixels
    "small_size": 24,  # side of the images at first, when seeing little is enough
    "small_epochs": 24,  # how many of the epochs,
    "lr_share": 0.3,  # in which the rates fall to this share of the first; later to 0
    "restarts": [34, 58, 88],  # after each of these epochs the rates rise again
    "restart_share": 0.25,  # to this share of the first, and fall to 0 once more,
    "cutouts": [8, 12, 8],  # while each image loses a square of this side
    "averages": [9, 9, 7],  # of so many last epochs of a round the mean weights are its result
    # The last round begins at the mean of the results before it, and is sharpness-aware.
    "warm_up": 50,  # its first steps, in which the rates rise from 0
    "rho": 0.7,  # see sam.py
    "part": 128,
}


def optimizers_for(model: nn.Module) -> list[torch.optim.Optimizer]:
    """Muon for the convolutions after the first; Nesterov's SGD for the rest."""
    convolutions = [p for p in model.parameters() if p.ndim == 4][1:]
    rest = [p for p in model.parameters() if all(p is not q for q in convolutions)]
    decay = RECIPE["sgd_weight_decay"]
    groups = [
        {"params": [p for p in rest if p.ndim > 1], "weight_decay": decay},
        {"params": [p for p in rest if p.ndim == 1], "weight_decay": 0.0},
    ]
    return [
        Muon(convolutions, RECIPE["lr"], RECIPE["momentum"]),
        torch.optim.SGD(groups, RECIPE["sgd_lr"], RECIPE["sgd_momentum"], nesterov=True),
    ]


def rate_share(at: float, epochs: int) -> float:
    """Learning rate after so many epochs, as a share of the first one: straight lines."""
    bend, low, ends = RECIPE["small_epochs"], RECIPE["lr_share"], [*RECIPE["restarts"], epochs]
    if at < bend:
        return 1 - (1 - low) * at / bend
    if at < ends[0]:
        return low * (ends[0] - at) / (ends[0] - bend)
    begin, end = next((b, e) for b, e in pairwise(ends) if at < e or e == epochs)
    return RECIPE["restart_share"] * (end - at) / (end - begin)


def set_rates(optimizers: list[torch.optim.Optimizer], share: float) -> None:
    """Give every group of parameters that share of its first rate."""
    for optimizer in optimizers:
        for group in optimizer.param_groups:
            group["first_lr"] = group.get("first_lr", group["lr"])
            group["lr"] = group["first_lr"] * share


def whiten(model: SmallVGG, images: Images) -> None:
    """Start the first convolution as the principal patterns of 3x3 patches, and their negatives."""
    first = model.features[0].weight
    patches = F.unfold(normalise(images.x[::25]), 3)[:, :, ::7].transpose(1, 2).flatten(0, 1)
    _, patterns = torch.linalg.eigh(patches.T @ patches)  # columns, the strongest last
    half = patterns.flip(1)[:, : len(first) // 2].T
    first.data.copy_(torch.cat([half, -half]).view_as(first))


def share_gradients(model: nn.Module, world: int) -> None:
    """Replace every gradient by its mean over all processes."""
    if world == 1:
        return
    gradients = [p.grad for p in model.parameters() if p.grad is not None]
    flat = distributed.add_up(torch.cat([g.flatten() for g in gradients])) / world
    for gradient, mean in zip(gradients, flat.split([g.numel() for g in gradients]), strict=True):
        gradient.copy_(mean.view_as(gradient))


def backward(
    model: nn.Module, loss_of: sam.Loss, x: torch.Tensor, y: torch.Tensor
) -> tuple[float, int]:
    """Put the gradient of the mean loss into ``.grad``; that loss, and the right answers."""
    model.zero_grad()
    logits = model(x)
    loss = loss_of(logits, y)
    loss.backward()
    return loss.item(), int((logits.argmax(1) == y).sum())


def train_epoch(
    model: nn.Module, optimizers: list[torch.optim.Optimizer], images: Images, args: Any, epoch: int
) -> dict[str, float]:
    """One pass over the images; which image comes when depends on seed and epoch alone."""
    model.train()
    processes = distributed.start("cpu")
    generator = torch.Generator().manual_seed(1_000_003 * args.seed + epoch)
    order = torch.randperm(len(images.y), generator=generator)
    # Each image is mirrored in every other epoch, instead of by chance.
    first = torch.rand(len(order), generator=torch.Generator().manual_seed(args.seed)) < 0.5
    batch = min(RECIPE["batch"], len(order))
    steps = len(order) // batch
    size = RECIPE["small_size"] if epoch < RECIPE["small_epochs"] else SIZE
    sums = distributed.zeros(3, torch.device("cpu"))  # loss, correct, examples
    loss_of = partial(F.cross_entropy, label_smoothing=RECIPE["label_smoothing"])
    last_round = RECIPE["restarts"][-1]
    for step in range(steps):
        share = rate_share(epoch + step / steps, args.epochs)
        if epoch == last_round:
            share *= min(1.0, (step + 1) / RECIPE["warm_up"])
        set_rates(optimizers, share)
        chosen = order[step * batch : (step + 1) * batch][processes.rank :: processes.world]
        flip = first[chosen] ^ bool(epoch % 2)
        x = augment(normalise(images.x[chosen]), flip, RECIPE["shift"], generator)
        if epoch >= RECIPE["restarts"][0]:
            since = sum(epoch >= restart for restart in RECIPE["restarts"])
            x = cutout(x, RECIPE["cutouts"][since - 1], generator)
        y = images.y[chosen]
        if size != SIZE:
            x = F.interpolate(x, size=(size, size), mode="bilinear", antialias=True)
        x = x.contiguous(memory_format=torch.channels_last)
        if epoch >= last_round:
            loss, hits = sam.backward(model, loss_of, x, y, RECIPE["rho"], RECIPE["part"])
        else:
            loss, hits = backward(model, loss_of, x, y)
        share_gradients(model, processes.world)
        for optimizer in optimizers:
            optimizer.step()
        sums += torch.tensor([loss * len(y), hits, len(y)], dtype=torch.float64)
    distributed.add_up(sums)
    return {
        "lr": optimizers[0].param_groups[0]["lr"],
        "train_loss": float(sums[0] / sums[2]),
        "train_accuracy": float(sums[1] / sums[2]),
    }


def evaluate(model: nn.Module, images: Images) -> tuple[float, float]:
    """Mean cross-entropy and accuracy on whole images; the processes share the work."""
    model.eval()
    distributed.same_buffers(model)
    processes = distributed.start("cpu")
    mine = images.part(torch.arange(processes.rank, len(images.y), processes.world))
    sums = distributed.zeros(3, torch.device("cpu"))
    with torch.no_grad():
        for x, y in zip(mine.x.split(250), mine.y.split(250), strict=True):
            logits = model(normalise(x))
            loss = F.cross_entropy(logits, y, reduction="sum").item()
            hits = int((logits.argmax(1) == y).sum())
            sums += torch.tensor([loss, hits, len(y)], dtype=torch.float64)
    distributed.add_up(sums)
    return float(sums[0] / sums[2]), float(sums[1] / sums[2])


def follow(mean: dict[str, torch.Tensor], state: dict[str, torch.Tensor], count: int) -> None:
    """Make the mean of ``count - 1`` states that of ``count``; whole numbers are just taken over.

    Source: P. Izmailov and others, "Averaging Weights Leads to Wider Optima and Better
    Generalization", 2018.
    """
    for name, value in state.items():
        old = mean.get(name, value)
        mean[name] = old + (value - old) / count if value.is_floating_point() else value.clone()


def measure_statistics(model: nn.Module, images: Images) -> None:
    """Give batch normalisation the mean statistics of batches of unaugmented images.

    The averaged weights are those of no epoch: nobody has measured theirs yet. And the images that
    will be seen have no squares cut out.
    """
    layers = [m for m in model.modules() if isinstance(m, nn.BatchNorm2d)]
    for layer in layers:
        layer.reset_running_stats()
        layer.momentum = None  # the plain mean over all batches
    model.train()
    order = torch.randperm(len(images.y), generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        for chosen in order[:16_000].split(RECIPE["batch"]):
            model(normalise(images.x[chosen]))
    for layer in layers:
        layer.momentum = 0.1  # torch's default again


def train(
    args: argparse.Namespace, training: Images, held_out: Images
) -> tuple[nn.Module, History]:
    """Train with a checkpoint after each epoch; go on from the one in args.out if it is there.

    Each round from the first restart on has a result, the mean of the weights after its last
    epochs. The last round begins at the mean of the others' results; its own is what comes back.
    """
    processes = distributed.start("cpu")
    torch.manual_seed(args.seed)
    model = SmallVGG(len(training.classes)).to(memory_format=torch.channels_last)
    whiten(model, training)
    optimizers, history = optimizers_for(model), History()
    means: dict[int, dict[str, torch.Tensor]] = {}  # by the last epoch of the round
    rounds = [*RECIPE["restarts"][1:], args.epochs]
    file = Path(args.out) / "checkpoint.pt"
    settings = {"epochs": args.epochs, "seed": args.seed, "hold_out": args.hold_out, **RECIPE}
    if file.is_file():
        state = checkpoint.load(file)
        if state["settings"] != settings:
            raise SystemExit(f"{file} belongs to other settings: {state['settings']}")
        model.load_state_dict(state["model"])
        for optimizer, content in zip(optimizers, state["optimizers"], strict=True):
            optimizer.load_state_dict(content)
        history, means = History(state["history"]), state["means"]
    for epoch in range(len(history), args.epochs):
        started = time.monotonic()
        if epoch == RECIPE["restarts"][-1] and rounds[:-1]:
            begin: dict[str, torch.Tensor] = {}
            for count, end in enumerate(rounds[:-1], 1):
                follow(begin, means[end], count)
            model.load_state_dict(begin)
            measure_statistics(model, training)
            optimizers = optimizers_for(model)
        row = train_epoch(model, optimizers, training, args, epoch)
        loss, accuracy = evaluate(model, held_out)
        row |= {"epoch": epoch + 1, "val_loss": loss, "val_accuracy": accuracy}
        history.append({**row, "seconds": time.monotonic() - started})
        end, length = next(r for r in zip(rounds, RECIPE["averages"], strict=True) if epoch < r[0])
        averaged = epoch + 1 - (end - length)
        if averaged > 0:
            follow(means.setdefault(end, {}), model.state_dict(), averaged)
        if processes.first:
            print("\n".join(str(history).splitlines()[0 if epoch == 0 else -1 :]), flush=True)
            state = {
                "model": model.state_dict(),
                "optimizers": [o.state_dict() for o in optimizers],
            }
            state |= {"means": means, "history": history.rows, "settings": settings}
            checkpoint.save(state, file)
    model.load_state_dict(means[args.epochs])
    measure_statistics(model, training)
    return model, history


def main(arguments: list[str] | None = None) -> None:
    """Train; with --report, evaluate the saved file on val and write everything."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    source = parser.add_mutually_exclusive_group(required=True)
    source.add_argument("--data", help="folder with train/<class>/ and val/<class>/")
    source.add_argument("--torchvision", help="folder of torchvision's CIFAR-10")
    parser.add_argument("--note", default="", help="sentence about the data, for the card")
    parser.add_argument("--epochs", type=int, default=108)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--hold-out", type=float, default=0.04, help="share of train")
    parser.add_argument("--out", required=True, help="folder for the checkpoint")
    parser.add_argument("--report", help="folder for weights, card, curve and log")
    parser.add_argument("--json", help="file for the record")
    parser.add_argument("--quick", action="store_true", help="six epochs of small batches")
    args = parser.parse_args(arguments)
    if args.quick:
        args.epochs = 6
        RECIPE.update(batch=16, small_epochs=1, restarts=[2, 4], averages=[2, 2], warm_up=2)
    if args.epochs <= RECIPE["restarts"][-1]:
        parser.error(f"--epochs must be more than {RECIPE['restarts'][-1]}, the last restart")
    processes = distributed.start("cpu")
    training, held_out = hold_out(read("train", args.data, args.torchvision), args.hold_out)
    # Now, not after hours of training: what is wrong with val shows at once.
    val = read("val", args.data, args.torchvision) if args.report and processes.first else None
    model, history = train(args, training, held_out)
    if val is None:
        return
    start = f"torchrun --nproc-per-node {processes.world}" if processes.world > 1 else "python"
    options = f"--epochs {args.epochs} --seed {args.seed} --hold-out {args.hold_out}"
    facts = {
        "command": f"{start} benchmarks/pretrain_small_vgg.py "
        f"{'--data FOLDER' if args.data else '--torchvision ROOT'} {options} --out RUN "
        "--report data/weights --json data/measured/small_vgg.json",
        "recipe": {"epochs": args.epochs, "seed": args.seed, **RECIPE},
        "data": args.note or ("class folders" if args.data else "CIFAR-10 from torchvision"),
        "train_images": len(training.y),
        "processes": processes.world,
    }
    record = report(Path(args.report), model, history, facts, held_out, val)
    print(f"val {record['val_accuracy']:.4f}, {record['bytes']} bytes")
    if args.json:
        Path(args.json).write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
