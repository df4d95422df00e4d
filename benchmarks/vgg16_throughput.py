"""How many images per second does VGG16 train on, and what does each measure add?

python benchmarks/vgg16_throughput.py --device cuda --json data/measured/vgg16_throughput.json

Training at 224x224 as in torchvision's reference script (SGD with momentum, and the loss and the
accuracy read back after every step), first in plain float32, then with one measure after another,
each on top of those before; inference likewise. The images are random numbers that lie on the
device: reading photographs is another question. Share: the network's own operations per second
over the largest bfloat16 matrix product's on the same card.
"""

from __future__ import annotations

import gc
import sys
import traceback
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any

import roofline
import torch
from gpu_timing import in_turns, parser, prepare, record, save, tf32, typed
from torch import nn

from cnnlib.pytorch import models


@dataclass(frozen=True)
class Setup:
    """What is switched on."""

    name: str
    matmul_tf32: bool = False
    conv_tf32: bool = False
    bf16: bool = False  # training: autocast; inference: the weights themselves
    channels_last: bool = False
    lean: bool = False  # no loss and accuracy read back after each step, one optimiser kernel
    compile: bool = False
    graph: bool = False


PLAIN = Setup("float32")
DEFAULT = replace(PLAIN, name="PyTorch's defaults", conv_tf32=True)
TF32 = replace(DEFAULT, name="+ TF32", matmul_tf32=True)
BF16 = replace(TF32, name="+ bfloat16", bf16=True)
LAST = replace(BF16, name="+ channels last", channels_last=True)
LEAN = replace(LAST, name="+ lean loop", lean=True)
COMPILED = replace(LEAN, name="+ compile", compile=True)
GRAPHED = replace(COMPILED, name="+ CUDA graph", graph=True)
TRAINING = [PLAIN, DEFAULT, TF32, BF16, LAST, LEAN, COMPILED, GRAPHED]
INFERENCE = [
    PLAIN,
    DEFAULT,
    TF32,
    BF16,
    LAST,
    replace(LAST, name="+ compile", compile=True),
    replace(LAST, name="+ CUDA graph", compile=True, graph=True),
]
ON_CPU = ("float32", "+ bfloat16", "+ channels last", "+ lean loop", "+ compile")


def network(args: Any) -> nn.Module:
    """VGG16, or a narrow one for a test."""
    return models.build("vgg16", width=args.width)


def operations(args: Any) -> tuple[float, float]:
    """Floating-point operations of one image: forward, and forward with backward.

    Two for each product and sum. Backward computes two such passes, the gradients of inputs and
    of weights; the first layer needs no gradient of its input.
    """
    counted: list[float] = []

    def count(layer: nn.Module, _: Any, y: torch.Tensor) -> None:
        weight = layer.weight
        outputs = y[0].numel() if isinstance(layer, nn.Conv2d) else y.shape[1]
        counted.append(2.0 * outputs * weight[0].numel())

    with torch.device("meta"):  # shapes only, no numbers
        model = network(args)
        for layer in model.modules():
            if isinstance(layer, nn.Conv2d | nn.Linear):
                layer.register_forward_hook(count)
        model(torch.empty(1, 3, args.size, args.size))
    return sum(counted), 3 * sum(counted) - counted[0]


def batches(args: Any, device: torch.device, layout: torch.memory_format) -> list[tuple]:
    """A few batches of random images and labels, used in turn."""
    shape = (args.batch, 3, args.size, args.size)
    return [
        (
            torch.randn(shape, device=device).contiguous(memory_format=layout),
            torch.randint(0, 1000, (args.batch,), device=device),
        )
        for _ in range(2)
    ]


def graphed(step: Callable[[], Any]) -> Callable[[], Any]:
    """The same work, recorded once and replayed: one launch instead of hundreds.

    A replay reads and writes the memory it was recorded with, so inputs must lie where they lay.
    The rehearsal on a side stream lets everything be allocated before the recording.
    """
    side = torch.cuda.Stream()
    side.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(side):
        for _ in range(3):
            step()
    torch.cuda.current_stream().wait_stream(side)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        step()
    return graph.replay


def training_step(setup: Setup, args: Any, device: torch.device) -> Callable[[], Any]:
    """A function that trains on one batch."""
    layout = torch.channels_last if setup.channels_last else torch.contiguous_format
    model = network(args).to(device, memory_format=layout).train()
    fused = setup.lean and device.type == "cuda"  # one kernel for all parameters
    optimizer = torch.optim.SGD(
        model.parameters(), lr=1e-4, momentum=0.9, weight_decay=1e-4, fused=fused or None
    )
    run = torch.compile(model, backend=args.backend) if setup.compile else model
    data = batches(args, device, layout)
    images, labels = (t.clone() for t in data[0])  # preserves the layout
    turn = 0

    def work(x: torch.Tensor, y: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        optimizer.zero_grad(set_to_none=True)
        # A cast weight must not outlive the recording of a graph: no cache.
        with torch.autocast(device.type, torch.bfloat16, setup.bf16, cache_enabled=not setup.graph):
            logits = run(x)
            loss = nn.functional.cross_entropy(logits, y)
        loss.backward()
        optimizer.step()
        return logits, loss

    replay = graphed(lambda: work(images, labels)) if setup.graph else None

    def step() -> None:
        nonlocal turn
        turn += 1
        x, y = data[turn % len(data)]
        if replay is not None:
            images.copy_(x)
            labels.copy_(y)
            replay()
            return
        logits, loss = work(x, y)
        if not setup.lean:  # each .item() waits until the device has finished
            best = logits.detach().topk(5, dim=1).indices == y[:, None]
            best[:, 0].float().mean().item(), best.any(dim=1).float().mean().item(), loss.item()

    return step


def inference_step(setup: Setup, args: Any, device: torch.device) -> Callable[[], Any]:
    """A function that gives one batch its logits."""
    layout = torch.channels_last if setup.channels_last else torch.contiguous_format
    dtype = torch.bfloat16 if setup.bf16 else torch.float32
    model = network(args).to(device, dtype, memory_format=layout).eval()
    run = torch.compile(model, backend=args.backend) if setup.compile else model
    data = [x.to(dtype) for x, _ in batches(args, device, layout)]
    images = data[0].clone()
    turn = 0

    def work() -> torch.Tensor:
        with torch.no_grad():
            return run(images)

    replay = graphed(work) if setup.graph else work

    def step() -> None:
        nonlocal turn
        turn += 1
        images.copy_(data[turn % len(data)])
        replay()

    return step


def measure(
    kind: str, setups: list[Setup], args: Any, device: torch.device, peak: float
) -> Iterator[dict[str, Any]]:
    """One row for each set-up; one that this version of PyTorch cannot do says why.

    Speed-ups are over plain float32; where that failed, there are none.
    """
    make = training_step if kind == "training" else inference_step
    work = operations(args)[kind == "training"]
    plain: float | None = None
    for setup in setups:
        row: dict[str, Any] = {"kind": kind, "setup": setup.name}
        step = None
        try:
            with tf32(setup.matmul_tf32, setup.conv_tf32):
                step = make(setup, args, device)
                budget = 0 if args.quick else 3
                rounds = sorted(in_turns({"step": step}, device, budget=budget, least=3)["step"])
            rate = args.batch / rounds[len(rounds) // 2]
            plain = rate if setup == PLAIN else plain
            row |= {
                "images_per_second": round(rate, 2),
                "spread": [round(args.batch / t, 2) for t in (rounds[-1], rounds[0])],
                "tflops": round(rate * work / 1e12, 4),
                "share": round(rate * work / 1e9 / peak, 4),
                "speedup": round(rate / plain, 3) if plain else None,
            }
        except Exception as reason:
            # On purpose all of them: the other lines are worth having.
            traceback.print_exc(limit=3)
            row["error"] = f"{type(reason).__name__}: {reason}".splitlines()[0][:200]
        finally:
            step = None  # its network makes room for the next, whatever happened
        yield row
        gc.collect()
        torch.compiler.reset()
        if device.type == "cuda":
            torch.cuda.empty_cache()


def line(row: dict[str, Any]) -> str:
    """A row of the table."""
    text = f"{row['kind']:10s}{row['setup']:22s}"
    if "error" in row:
        return text + row["error"]
    rates = f"{row['images_per_second']:10.1f}{row['tflops']:10.3f}{row['share']:8.1%}"
    return text + rates + (f"{row['speedup']:8.2f}" if row["speedup"] else f"{'-':>8s}")


def main() -> int:
    """Run, print the table, and write the record if asked to."""
    p = parser(__doc__ or "", "vgg16_throughput")
    p.add_argument("--batch", type=int, default=256, help="images in a batch")
    p.add_argument("--size", type=int, default=224, help="pixels of a side")
    p.add_argument("--width", type=float, default=1.0, help="width of the network")
    p.add_argument("--backend", default="inductor", help="of torch.compile")
    args = p.parse_args()
    if args.quick:
        args.batch, args.size, args.width, args.backend = 2, 32, 0.05, "eager"
    device = prepare(args)
    peak = roofline.products(device, "bfloat16", args.quick)["best"]
    print(f"\n{'':32s}{'images/s':>10s}{'TFLOP/s':>10s}{'share':>8s}{'times':>8s}")
    forward, both = operations(args)
    rows: list[dict[str, Any]] = []
    for kind, setups in (("training", TRAINING), ("inference", INFERENCE)):
        here = [s for s in setups if device.type == "cuda" or s.name in ON_CPU]
        for row in measure(kind, here, args, device, peak):
            rows.append(row)
            print(line(row), flush=True)
            result = record(
                "VGG16 on random images that lie on the device: images per second",
                "each line on top of the one before; median of rounds, by events on CUDA; share: "
                "of the bfloat16 matrix product measured in the same run",
                "vgg16_throughput",
                device,
                batch=args.batch,
                size=args.size,
                width=args.width,
                gflop_per_image={"inference": forward / 1e9, "training": both / 1e9},
                bf16_peak_gflops=peak,
                rows=rows,
                options=typed(p, args),
            )
            save(args.json, result)  # after every row: whoever stops it early keeps what there is
    return 1 if all("error" in row for row in rows) else 0


if __name__ == "__main__":
    sys.exit(main())
