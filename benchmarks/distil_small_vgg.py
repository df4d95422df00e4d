"""Let a larger network teach SmallVGG, after pretrain_small_vgg.py, and write weights and card.

torchrun --nproc-per-node 2 benchmarks/distil_small_vgg.py --data FOLDER --pretrained RUN --out RUN2
... --report data/weights --json data/measured/small_vgg.json                       and report

FOLDER (or --torchvision ROOT) and --hold-out as for pretrain_small_vgg.py, whose folder RUN holds
the network to start from. First the teacher is trained, on the same images; then the student learns
the teacher's probabilities along with the labels. The same command goes on where an interrupted run
stopped. --quick takes seconds, to see that all works.

Source: G. Hinton, O. Vinyals, J. Dean, "Distilling the Knowledge in a Neural Network", 2015.
"""

from __future__ import annotations

import argparse
import copy
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple

import pretrain_small_vgg as first  # before torch: it sets the number of threads
import torch
from small_vgg_data import SIZE, Images, hold_out, read
from torch import nn
from torch.nn import functional as F

from cnnlib.pytorch import checkpoint
from cnnlib.pytorch.history import History
from cnnlib.pytorch.models import SmallVGG

TEACHER: dict[str, Any] = {
    "widths": (64, 128, 256),
    "epochs": 12,
    "small_epochs": 5,  # of them, with small images
    "share": 1.0,  # of the first learning rates, to start with; they fall to 0
    "average": 1,  # last epochs
}
STUDENT: dict[str, Any] = {
    "epochs": 9,
    "small_epochs": 0,
    "pairs": True,  # each view beside its mirror image
    "share": 0.25,  # of the first learning rates, to start with; they fall to 0
    "temperature": 2.0,
    "labels": 0.2,  # share of the labels in the loss; the rest is the teacher's
    "average": 3,  # last epochs
}


class Stage(nn.Module):
    """Three convolutions; the first halves the map, the other two stand beside a short cut."""

    def __init__(self, channels: int, width: int):
        super().__init__()
        self.convs = nn.ModuleList(
            nn.Conv2d(c, width, 3, padding=1, bias=False) for c in (channels, width, width)
        )
        self.norms = nn.ModuleList(nn.BatchNorm2d(width) for _ in range(3))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(N, channels, H, W) to (N, width, H // 2, W // 2)."""
        x = F.relu(self.norms[0](F.max_pool2d(self.convs[0](x), 2)))
        y = F.relu(self.norms[1](self.convs[1](x)))
        return x + F.relu(self.norms[2](self.convs[2](y)))


class Teacher(nn.Module):
    """A convolution of 2x2 patches, three stages, the mean of each map, a dense layer."""

    def __init__(self, classes: int):
        super().__init__()
        widths = [24, *TEACHER["widths"]]
        stages = [Stage(c, o) for c, o in pairwise(widths)]
        self.first = nn.Conv2d(3, widths[0], 2, bias=False)
        self.stages = nn.Sequential(nn.BatchNorm2d(widths[0]), nn.ReLU(), *stages)
        self.head = nn.Linear(widths[-1], classes)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Logits (N, classes) of normalised images (N, 3, H, W)."""
        return self.head(self.stages(self.first(x)).mean((2, 3)))


def lesson(teachers: list[nn.Module]) -> first.Loss:
    """The student's loss, of views x, its logits and labels y.

    The second half of the views are the mirror images of the first half. What the student is told
    of both is the mean of the teachers' probabilities for both.
    """
    heat, labels = STUDENT["temperature"], STUDENT["labels"]

    def loss_of(x: torch.Tensor, logits: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        with torch.no_grad():
            told = torch.stack([(teacher(x) / heat).softmax(1) for teacher in teachers])
            both = told.view(len(teachers), 2, len(x) // 2, -1).mean((0, 1))
            target = torch.cat([both, both])
        # Cross-entropy with soft targets has the gradient of the divergence between the two. Times
        # the square of the temperature, this gradient is about as long as at temperature 1.
        taught = heat**2 * F.cross_entropy(logits / heat, target)
        return labels * F.cross_entropy(logits, y) + (1 - labels) * taught

    return loss_of


def train(
    name: str,
    model: nn.Module,
    sets: tuple[Images, Images],
    args: argparse.Namespace,
    plan: dict[str, Any],
    loss_of: first.Loss,
) -> History:
    """Train in place by the plan, with rates that fall to 0 in a straight line."""
    epochs, training = plan["epochs"], sets[0]

    def rate(at: float) -> float:
        return plan["share"] * (1 - at / epochs)

    def one(optimizers: list[torch.optim.Optimizer], epoch: int) -> dict[str, float]:
        size = first.RECIPE["small_size"] if epoch < plan["small_epochs"] else SIZE
        return first.train_epoch(
            model,
            optimizers,
            training,
            args.seed,
            epoch,
            rate,
            loss_of,
            size,
            pairs=plan.get("pairs", False),
        )

    settings = {"seed": args.seed, "hold_out": args.hold_out, **plan}
    file = Path(args.out) / f"{name}.pt"
    return first.go_through(epochs, one, model, *sets, file, settings, plan["average"])


class Taught(NamedTuple):
    """The student, the history of all its epochs, and what is to be said about the rest."""

    student: nn.Module
    history: History
    settings: dict[str, Any]  # of the training that the student started from
    teacher_accuracy: float  # on the images held out
    teacher_seconds: float


def teach(args: argparse.Namespace, sets: tuple[Images, Images]) -> Taught:
    """Train the teacher, then the student with it, or go on from their checkpoints."""
    file = Path(args.pretrained) / "checkpoint.pt"
    if not file.is_file():
        raise SystemExit(f"{file} is not there: --pretrained takes --out of pretrain_small_vgg.py")
    start, classes = checkpoint.load(file), len(sets[0].classes)
    torch.manual_seed(args.seed)
    teacher = Teacher(classes).to(memory_format=torch.channels_last)
    first.whiten(teacher.first, sets[0])
    labels_alone = lambda x, logits, y: F.cross_entropy(logits, y)  # noqa: E731
    lessons = train("teacher", teacher, sets, args, TEACHER, labels_alone)
    accuracy = first.evaluate(teacher, sets[1])[1]  # which also ends the training mode
    student = SmallVGG(classes).to(memory_format=torch.channels_last)
    student.load_state_dict(start["mean"])
    first.measure_statistics(student, sets[0])
    former = copy.deepcopy(student).eval()
    history = train("student", student, sets, args, STUDENT, lesson([teacher, former]))
    before = start["history"]
    rows = [{**row, "epoch": row["epoch"] + len(before)} for row in history.rows]
    seconds = sum(lessons["seconds"])
    return Taught(student, History([*before, *rows]), start["settings"], accuracy, seconds)


def main(arguments: list[str] | None = None) -> None:
    """Teach; with --report, evaluate the saved file on val and write everything."""
    parser = first.options(__doc__ or "")
    parser.add_argument("--pretrained", required=True, help="--out of pretrain_small_vgg.py")
    args = parser.parse_args(arguments)
    if args.quick:
        first.RECIPE.update(batch=16)
        TEACHER.update(widths=(8, 8, 8), epochs=2, small_epochs=1)
        STUDENT.update(epochs=2, average=1)
    sets = hold_out(read("train", args.data, args.torchvision), args.hold_out)
    taught = teach(args, sets)
    epochs = taught.settings["epochs"]
    commands = [
        first.command("pretrain_small_vgg", args, f"--epochs {epochs} --out RUN"),
        first.command("distil_small_vgg", args, "--pretrained RUN --out RUN2", first.REPORT),
    ]
    facts = {
        "command": "\n".join(commands),
        "recipe": {
            **taught.settings,
            "epochs": len(taught.history),
            "first_epochs": epochs,
            "first_average": taught.settings["average"],
            "average": STUDENT["average"],
            "student": STUDENT,
            "teacher": TEACHER,
            "teacher_accuracy": round(taught.teacher_accuracy, 4),
            "teacher_hours": round(taught.teacher_seconds / 3600, 2),
        },
        "train_images": len(sets[0].y),
    }
    first.hand_over(taught.student, taught.history, args, sets[1], facts)


if __name__ == "__main__":
    main()
