"""How fast can this machine copy and multiply at best, and how near do a network's layers come?

python benchmarks/roofline.py --device cuda --json data/measured/roofline_cuda.json
python benchmarks/roofline.py --device cpu --json data/measured/roofline_cpu.json

The two ceilings of the roofline: bytes per second of a large copy or update, floating-point
operations per second of a large matrix product. A layer's own two numbers, operations and bytes
(each input read once, each output written once), say which of the two it meets first.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any, NamedTuple

import torch
from gpu_timing import MODES, elapsed, in_turns, parser, prepare, record, save, tf32
from torch.nn import functional as F

HERE = {"cpu": ("float64", "float32", "bfloat16"), "cuda": tuple(MODES)}


class Layer(NamedTuple):
    """One layer on one batch: how to run it, and its two numbers."""

    name: str
    run: Callable[[], Any]
    operations: float
    values: float  # numbers read or written; times the bytes of one


def tensor(*shape: int, dtype: torch.dtype, device: torch.device) -> torch.Tensor:
    """Normal numbers. Zeros would be multiplied faster than real data."""
    return torch.randn(shape, device=device).to(dtype)


def bandwidth(device: torch.device, quick: bool) -> dict[str, Any]:
    """GB/s of streams far larger than any cache, bytes read plus bytes written.

    A copy, and an update in place: before a CPU writes to a new place it fetches what stands
    there, and these bytes nobody counts. The ceiling is the faster of the two.
    """
    count = 2**16 if quick else 2**29 if device.type == "cuda" else 2**26
    x = tensor(count, dtype=torch.float32, device=device)
    y = torch.empty_like(x)
    streams = {"copy": lambda: y.copy_(x), "in_place": lambda: x.neg_()}
    rounds = in_turns(streams, device, budget=0 if quick else 3)
    found: dict[str, Any] = {who: rates(times, 2 * x.nbytes) for who, times in rounds.items()}
    return {**found, "best": max(rate["best"] for rate in found.values())}


def products(device: torch.device, mode: str, quick: bool) -> dict[str, float]:
    """GFLOP/s of large square matrix products in one number format; best and median.

    Of two sizes, the faster one: the larger is not always the better for a cache.
    """
    dtype, rounding = MODES[mode]
    n = 64 if quick else 8192 if device.type == "cuda" else 2048
    if device.type == "cpu" and dtype.itemsize < 4:
        n = min(n, 512)  # a CPU without instructions for it is slow
    found = []
    for size in (n // 2, n):
        a, b = (tensor(size, size, dtype=dtype, device=device) for _ in range(2))
        out = torch.empty_like(a)
        with tf32(rounding):
            run = {"product": partial(torch.matmul, a, b, out=out)}
            rounds = in_turns(run, device, budget=0 if quick else 1.5)["product"]
        found.append({**rates(rounds, 2.0 * size**3), "n": size})
    return max(found, key=lambda rate: rate["best"])


def rates(rounds: list[float], amount: float) -> dict[str, float]:
    """Best and median rate in thousand millions per second."""
    ordered = sorted(amount / t / 1e9 for t in rounds)
    return {"best": round(ordered[-1], 3), "median": round(ordered[len(ordered) // 2], 3)}


def layers(device: torch.device, dtype: torch.dtype, quick: bool) -> list[Layer]:
    """Layers of VGG16 and their neighbours, on batches that no cache holds."""
    few, many = (1, 1) if quick else (4, 32) if device.type == "cpu" else (128, 512)
    side, wide = (8, 64) if quick else (56, 4096)

    def make(*shape: int) -> torch.Tensor:
        return tensor(*shape, dtype=dtype, device=device)

    def conv(name: str, n: int, c: int, o: int, size: int, k: int, groups: int = 1) -> Layer:
        x, weight = make(n, c, size, size), make(o, c // groups, k, k)
        operations = 2.0 * n * o * size * size * (c // groups) * k * k
        values = x.numel() + weight.numel() + n * o * size * size
        run = lambda: F.conv2d(x, weight, padding=k // 2, groups=groups)  # noqa: E731
        return Layer(name, run, operations, values)

    def dense(name: str, n: int, i: int, o: int) -> Layer:
        x, weight = make(n, i), make(o, i)
        return Layer(name, lambda: F.linear(x, weight), 2.0 * n * i * o, n * i + i * o + n * o)

    c = 8 if quick else 256
    x, other = make(many, c // 4, 2 * side, 2 * side), make(many, c // 4, 2 * side, 2 * side)
    pooled = x.numel() // 4
    return [
        conv("conv 3x3", few, c, c, side, 3),
        conv("conv 3x3, 14x14", few, 2 * c, 2 * c, side // 4, 3),
        conv("conv 1x1", few, c, c // 4, side, 1),
        conv("depthwise 3x3", few, c, c, side, 3, groups=c),
        dense("dense, batch 1", 1, 6 * wide, wide),
        dense("dense, batch 128", 2 if quick else 128, 6 * wide, wide),
        Layer("ReLU in place", lambda: F.relu_(x), x.numel(), 2 * x.numel()),
        Layer("residual sum", lambda: x.add_(other), x.numel(), 3 * x.numel()),
        Layer("max-pool 2x2", lambda: F.max_pool2d(x, 2), 3 * pooled, x.numel() + pooled),
    ]


def points(device: torch.device, mode: str, ceilings: dict, quick: bool) -> list[dict[str, Any]]:
    """Every layer: operations, bytes, time, and the share of what the roofline allows."""
    dtype, rounding = MODES[mode]
    rows = []
    with torch.no_grad(), tf32(rounding):
        for layer in layers(device, dtype, quick):
            rounds = in_turns({"layer": layer.run}, device, budget=0 if quick else 0.5)["layer"]
            seconds = sorted(rounds)[len(rounds) // 2]
            size = layer.values * dtype.itemsize
            intensity = layer.operations / size
            roof = min(ceilings["peak"], intensity * ceilings["bandwidth"])
            rate = layer.operations / seconds / 1e9
            rows.append(
                {
                    "layer": layer.name,
                    "mode": mode,
                    "operations": layer.operations,
                    "bytes": size,
                    "intensity": round(intensity, 4),
                    "ms": round(1000 * seconds, 6),
                    "gflops": round(rate, 6),
                    "roof": round(roof, 3),
                    "share": round(rate / roof, 3),
                }
            )
    return rows


def launch_microseconds(device: torch.device) -> float:
    """Time of the smallest possible piece of work: what every operation costs at least."""
    x = torch.zeros(1, device=device)
    one = torch.get_num_threads() == 1
    for _ in range(100):
        x.add_(1)
    return round(1e6 * min(elapsed(lambda: x.add_(1), 1000, device, one) for _ in range(5)), 3)


def measure(device: torch.device, quick: bool) -> Iterator[dict[str, Any]]:
    """Both ceilings, in every number format that the device is good for, and the layers.

    Yields the record as far as it goes, after each part; what is still missing is None or empty.
    """
    copy = bandwidth(device, quick)
    body: dict[str, Any] = {"launch_us": None, "bandwidth": copy, "peaks": {}, "layers": []}
    yield body
    for mode in HERE[device.type]:
        body["peaks"][mode] = products(device, mode, quick)
        yield body
    for mode in ("float32",) if device.type == "cpu" else ("float32", "tf32", "bfloat16"):
        ceilings = {"peak": body["peaks"][mode]["best"], "bandwidth": copy["best"]}
        body["layers"] += points(device, mode, ceilings, quick)
        yield body
    body["launch_us"] = launch_microseconds(device)
    yield body


def print_table(record: dict[str, Any]) -> None:
    """The ceilings, then one line a layer."""
    copy, update = (record["bandwidth"][who]["best"] for who in ("copy", "in_place"))
    print(f"\ncopy {copy:.1f} GB/s, update in place {update:.1f} GB/s, read plus written")
    print(f"smallest operation: {record['launch_us']:.2f} microseconds")
    for mode, peak in record["peaks"].items():
        ridge = peak["best"] / record["bandwidth"]["best"]
        print(f"product, {mode:9s} {peak['best']:12.1f} GFLOP/s; ridge at {ridge:7.1f} FLOP/byte")
    print(
        f"\n{'layer':20s}{'mode':10s}{'FLOP/byte':>10s}{'ms':>10s}{'GFLOP/s':>12s}{'of roof':>9s}"
    )
    for row in record["layers"]:
        print(
            f"{row['layer']:20s}{row['mode']:10s}{row['intensity']:10.2f}{row['ms']:10.3f}"
            f"{row['gflops']:12.1f}{row['share']:8.0%}"
        )


def main() -> int:
    """Run, print the table, and write the record if asked to."""
    args = parser(__doc__ or "", "roofline_cuda").parse_args()
    device = prepare(args)
    result: dict[str, Any] = {}
    for body in measure(device, args.quick):
        result = record(
            "the two ceilings of this machine, and layers under them",
            "copy and update in place of a large array, product of large matrices of random "
            "numbers: best of the rounds; layers: forward, median of the rounds; rates in GB/s and "
            "GFLOP/s",
            "roofline",
            device,
            file=f"roofline_{device.type}",
            **body,
        )
        save(args.json, result)  # after every part: whoever stops it early keeps what there is
    print_table(result)
    return 0


if __name__ == "__main__":
    sys.exit(main())
