"""Train a network on CIFAR-10 to 94 % in a few seconds, from five seeds.

python benchmarks/cifar_speed.py --data FOLDER --json data/measured/cifar_speed.json

FOLDER holds train/ and val/ with class folders, or what torchvision's CIFAR10 unpacks. Timed: from
pictures as bytes on the device to the last answer on val, after a rehearsal on noise that loads
kernels and compiles. Not our ideas: whitening first layer, identities at the start, fast biases,
Lookahead, mirroring in alternate epochs, views in the test (Jordan, 2024, arXiv:2404.00498).
"""

import sys
from pathlib import Path
from statistics import mean, stdev
from time import perf_counter

import numpy as np
import torch
import torch.nn.functional as F
from cifar_data import augment, normalise, pretend, read
from gpu_timing import parser, prepare, record, save, typed
from torch import nn


def stage(c: int, o: int) -> nn.Sequential:
    """Two convolutions; the maps of the first are halved. (N, c, H, W) to (N, o, H/2, W/2)."""
    conv = [nn.Conv2d(i, o, 3, padding=1, bias=False) for i in (c, o)]
    norm = [nn.BatchNorm2d(o, momentum=0.4) for _ in range(2)]
    return nn.Sequential(conv[0], nn.MaxPool2d(2), norm[0], nn.GELU(), conv[1], norm[1], nn.GELU())


class Net(nn.Module):
    """A layer that whitens 2x2 patches, three stages, one dense layer."""

    def __init__(self, widths: list[int]):
        super().__init__()
        self.white = nn.Conv2d(3, 24, 2)
        stages = [stage(c, o) for c, o in zip([24, *widths], widths, strict=False)]
        self.body = nn.Sequential(nn.GELU(), *stages, nn.AdaptiveMaxPool2d(1), nn.Flatten())
        self.head = nn.Linear(widths[-1], 10, bias=False)
        for module in self.modules():  # neither the whitening nor the scale of a norm is learned
            if isinstance(module, nn.BatchNorm2d) or module is self.white:
                module.weight.requires_grad_(False)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Logits (N, 10) of normalised pictures (N, 3, 32, 32)."""
        return self.head(self.body(self.white(x))) / 9

    @torch.no_grad()
    def restart(self, x: torch.Tensor) -> None:
        """New weights in place: identities first, whitening from the covariance of x's patches."""
        for module in self.modules():
            if isinstance(module, nn.Conv2d | nn.BatchNorm2d | nn.Linear):
                module.reset_parameters()
            if isinstance(module, nn.Conv2d) and module is not self.white:
                nn.init.dirac_(module.weight[: module.in_channels])
        patches = F.unfold(x[:: max(1, len(x) // 5000)].float(), 2).transpose(1, 2).reshape(-1, 12)
        values, vectors = torch.linalg.eigh(patches.T @ patches / len(patches))
        filters = (vectors / (values + 5e-4).sqrt()).T.reshape(12, 3, 2, 2)
        self.white.weight.copy_(torch.cat([filters, -filters]))
        self.white.bias.zero_()


def train(net: Net, run: nn.Module, images: torch.Tensor, labels: torch.Tensor, epochs, args):
    """Train net from new weights, through run: net itself or its compiled form."""
    x, steps = normalise(images), len(images) // args.batch
    net.restart(x)
    run.train()
    fast = [p for k, p in net.body.named_parameters() if k.endswith("bias")]
    rest = [p for p in net.parameters() if p.requires_grad and all(p is not q for q in fast)]
    pairs = (rest, args.lr), (fast, 64 * args.lr)
    groups = [{"params": p, "peak": lr, "weight_decay": 2e-3 / lr} for p, lr in pairs]
    sgd = torch.optim.SGD(groups, lr=1.0, momentum=0.85, nesterov=True, fused=x.is_cuda or None)
    state = [v for v in net.state_dict().values() if v.is_floating_point()]
    slow, done = [v.clone() for v in state], 0
    coin = torch.rand(len(x), device=x.device) < 0.5
    for epoch in range(epochs):
        moved = augment(x, coin ^ bool(epoch % 2))
        for part in torch.randperm(len(x), device=x.device)[: steps * args.batch].view(steps, -1):
            share = done / (steps * epochs)
            for group in sgd.param_groups:
                group["lr"] = group["peak"] * float(np.interp(share, [0, 0.23, 1], [0.2, 1, 0.07]))
            with torch.autocast(x.device.type, torch.bfloat16, x.is_cuda):
                loss = F.cross_entropy(run(moved[part]), labels[part], label_smoothing=0.2)
            loss.backward()
            sgd.step()
            sgd.zero_grad()
            done += 1
            if done % 5 == 0 or done == steps * epochs:  # Lookahead; at the end slow ones win
                keep = 1.0 if done == steps * epochs else 0.77 * share**3
                for a, b in zip(slow, state, strict=True):
                    b.copy_(a.lerp_(b, 1 - keep))


@torch.no_grad()
def accuracy(run: nn.Module, images: torch.Tensor, labels: torch.Tensor, size: int) -> float:
    """Share of right answers; each is a mean over the picture, two moved ones and their mirrors."""
    run.eval()
    right = 0
    for x, y in zip(normalise(images).split(size), labels.split(size), strict=True):
        wide, logits = F.pad(x, (1,) * 4, "reflect"), torch.zeros(len(x), 10, device=x.device)
        for weight, i in ((2, 1), (1, 0), (1, 2)):
            view = wide[:, :, i : i + 32, i : i + 32].contiguous(memory_format=torch.channels_last)
            with torch.autocast(x.device.type, torch.bfloat16, x.is_cuda):
                logits += weight * (run(view).float() + run(view.flip(3)).float())
        right += (logits.argmax(1) == y).sum()
    return int(right) / len(labels)


def main() -> int:
    """Rehearse, train once for each seed, print the table, write the record if asked to."""
    p = parser(__doc__ or "", "cifar_speed")
    p.add_argument("--data", type=Path, help="folder with the pictures")
    p.add_argument("--widths", type=int, nargs=3, default=[128, 384, 384], help="of the stages")
    p.add_argument("--compile", action="store_true", help="torch.compile the network")
    numbers = {"epochs": 16, "batch": 1024, "seeds": 5, "train": 50_000, "lr": 1.3}
    for name, value in numbers.items():
        p.add_argument(f"--{name}", type=type(value), default=value)
    args = p.parse_args()
    if args.quick:
        args.epochs, args.widths, args.batch, args.seeds, args.lr = 4, [8, 16, 16], 64, 2, 0.3
    elif args.data is None or args.seeds < 2:
        p.error("--data FOLDER and two seeds or more are needed (or --quick)")
    device = prepare(args)
    sets = [read(args.data, s) if args.data else pretend(s) for s in ("train", "val")]
    (x, y), (xv, yv) = ([t.to(device) for t in pair] for pair in sets)
    x, y = x[:: -(-len(x) // args.train)], y[:: -(-len(y) // args.train)]
    net = Net(args.widths).to(device, memory_format=torch.channels_last)
    run = torch.compile(net) if args.compile else net
    body = {k: getattr(args, k) for k in (*numbers, "widths", "compile")} | {"runs": []}
    body |= {"options": typed(p, args), "parameters": sum(w.numel() for w in net.parameters())}
    text = "seconds from bytes on the device to the last answer on val, without the rehearsal"
    for seed in range(-1, args.seeds):  # the first is the rehearsal
        torch.manual_seed(seed)
        begun, noise = perf_counter(), torch.randint_like(x, 256)
        train(net, run, *((noise, y, 1) if seed < 0 else (x, y, args.epochs)), args)
        score = accuracy(run, xv, yv, 2000)  # int() waits for the device
        row = {"seed": seed, "seconds": round(perf_counter() - begun, 3), "accuracy": score}
        print("{seed:4d}  {seconds:8.3f} s  {accuracy:.4f}".format(**row), flush=True)
        if seed >= 0:  # after every seed: whoever stops it early keeps what there is
            body["runs"].append(row)
            s, t = ([r[k] for r in body["runs"]] for k in ("accuracy", "seconds"))
            body |= {"spread": stdev(s) if seed else None, "seconds_mean": mean(t), "mean": mean(s)}
            save(args.json, record(text, "one after another", "cifar_speed", device, **body))
    print("mean {mean:.4f}, standard deviation {spread:.4f}, {seconds_mean:.2f} s".format(**body))
    return 0 if args.quick or body["mean"] >= 0.94 else 1


if __name__ == "__main__":
    sys.exit(main())
