"""The commands of ``python -m cnnlib`` and their options; each does its work in another file."""

from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer

from cnnlib import __version__
from cnnlib._cli.options import plain, read_config, read_resume, training_options, typed

# Of cnnlib.pytorch.models.names(), which loads torch: a help must not.
NETWORKS = (
    "lenet5", "small_cnn", "imagenet_cnn", "simple_cnn", "case_study_cnn", "alexnet",
    "alexnet_2012", "alexnet_mnist", "vgg11", "vgg13", "vgg16", "vgg19", "vgg11_bn", "vgg13_bn",
    "vgg16_bn", "vgg19_bn", "small_vgg", "googlenet", "inception_net", "resnet18", "resnet50",
    "plain_net", "residual_net",
)  # fmt: skip


class Method(StrEnum):
    """What learns in fine-tuning, see cnnlib.pytorch.finetune.METHODS."""

    probe = "probe"
    partial = "partial"
    full = "full"


class Part(StrEnum):
    """Part of a data set."""

    train = "train"
    val = "val"
    test = "test"
    all = "all"


class Precision(StrEnum):
    """Number format of a training."""

    fp32 = "fp32"
    bf16 = "bf16"
    fp16 = "fp16"


app = typer.Typer(
    help="Train, fine-tune, measure and use image classifiers.",
    epilog="Exit codes: 0 done, 1 something was wrong with files or numbers, 2 the command was "
    "written wrongly, 130 interrupted. --debug, with any command, shows the trace of an error.",
    add_completion=False,
    rich_markup_mode=None,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)

Data = Annotated[
    str,
    typer.Option(
        help="Folder <class>/<picture>, or one with such folders in train/ and val/, test/ or "
        "both; or road-signs, digits, mnist, fashion-mnist, cifar10, gtsrb, oxford-pets."
    ),
]
Out = Annotated[Path, typer.Option(help="Folder of the run: configuration, weights, history.")]
Config = Annotated[
    Path | None,
    typer.Option(
        help="JSON or YAML file with options, such as the config.json of an earlier run; options "
        "on the command line count more.",
        callback=read_config,
        is_eager=True,
    ),
]
Resume = Annotated[
    Path | None,
    typer.Option(
        help="Folder of an interrupted run: go on with it, with its options.",
        callback=read_resume,
        is_eager=True,
    ),
]
Images = Annotated[int, typer.Option(help="Training images that are drawn for road-signs.", min=28)]
ValShare = Annotated[
    float,
    typer.Option(
        help="Share of the pictures to validate on; not if the folder has val/, and not of "
        "road-signs, whose parts are drawn.",
        min=0,
        max=0.9,
    ),
]
TestShare = Annotated[
    float,
    typer.Option(
        help="Share of a folder to measure on once, at the end; not if it has test/.",
        min=0,
        max=0.9,
    ),
]
Check = Annotated[
    bool,
    typer.Option("--check/--no-check", help="Read every picture of a folder once before training."),
]
BatchSize = Annotated[int, typer.Option(help="Images per step (and process).", min=1)]
Workers = Annotated[int, typer.Option(help="Processes that load images; 0: none extra.", min=0)]
Device = Annotated[str | None, typer.Option(help="cpu, cuda, cuda:1, ...; CUDA if there is one.")]
Size = Annotated[int | None, typer.Option(help="Height and width of the network's input.", min=1)]
Augment = Annotated[bool, typer.Option(help="Vary the training images at random.")]
Crop = Annotated[float, typer.Option(help="Least share of the area that a random crop keeps.")]
Flip = Annotated[bool, typer.Option(help="Mirror at random; never for signs or letters.")]
Quiet = Annotated[bool, typer.Option("--quiet", help="No progress, no line per epoch.")]
Board = Annotated[bool, typer.Option("--tensorboard", help="Write curves for TensorBoard too.")]
Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]
Model = Annotated[
    str, typer.Option(help="Folder of a run, or small_vgg, vgg16, resnet50, ... (ImageNet).")
]
Classes = Annotated[
    int | None,
    typer.Option(help="Outputs; as many as the network was drawn for. Not with a run.", min=1),
]
Name = Annotated[str, typer.Argument(help="small_vgg, vgg16, resnet18, ... or a run's folder.")]


@app.callback()
def _every(
    debug: Annotated[bool, typer.Option("--debug", help="Show the trace of an error.")] = False,
) -> None:
    """Train, fine-tune, measure and use image classifiers."""


@app.command()
@training_options(restore_best=True, schedule="cosine", lr=0.05)
def train(
    ctx: typer.Context,
    data: Data,
    model: Annotated[str, typer.Option(help=f"Network: {', '.join(NETWORKS)}.")] = "small_vgg",
    out: Out = Path("runs/train"),
    config: Config = None,
    resume: Resume = None,
    size: Size = None,
    batch_size: BatchSize = 64,
    images: Images = 4000,
    val_share: ValShare = 0.2,
    test_share: TestShare = 0.0,
    check: Check = True,
    augment: Augment = True,
    crop: Crop = 0.6,
    flip: Flip = False,
    workers: Workers = 0,
    device: Device = None,
    quiet: Quiet = False,
    tensorboard: Board = False,
    *,
    training: Any,
) -> None:
    """Train a network from new random weights; also under torchrun -m cnnlib train ..."""
    from cnnlib._cli import training as work

    work.train(_own(locals()), training)


@app.command()
@training_options(
    restore_best=True, schedule="cosine", optimizer="adamw", lr=1e-3, weight_decay=0.01, warmup=1.0
)
def finetune(
    ctx: typer.Context,
    data: Data,
    base: Annotated[
        str, typer.Option(help="small_vgg, a network with ImageNet weights, or a run's folder.")
    ] = "small_vgg",
    out: Out = Path("runs/finetune"),
    method: Annotated[
        Method,
        typer.Option(help="What learns: the head, the later stages and the head, everything."),
    ] = Method.full,
    last: Annotated[
        int | None, typer.Option(help="How many stages before the head learn in partial.", min=0)
    ] = None,
    decay: Annotated[
        float, typer.Option(help="Learning rate of a stage over that of the stage after it.")
    ] = 0.6,
    hidden: Annotated[
        int | None, typer.Option(help="Units of a hidden layer in the new head.", min=1)
    ] = None,
    dropout: Annotated[float, typer.Option(help="Before the head's last layer.")] = 0.0,
    whole: Annotated[
        bool, typer.Option("--whole", help="Replace all dense layers, not only the last.")
    ] = False,
    config: Config = None,
    resume: Resume = None,
    size: Size = None,
    batch_size: BatchSize = 32,
    images: Images = 280,
    val_share: ValShare = 0.2,
    test_share: TestShare = 0.0,
    check: Check = True,
    augment: Augment = True,
    crop: Crop = 0.6,
    flip: Flip = False,
    workers: Workers = 0,
    device: Device = None,
    quiet: Quiet = False,
    tensorboard: Board = False,
    *,
    training: Any,
) -> None:
    """Put a new head on a trained network and train it on a folder of pictures."""
    from cnnlib._cli import training as work

    work.finetune_(_own(locals()), training)


@app.command()
def evaluate(
    model: Model,
    data: Annotated[
        str | None, typer.Option(help="Other pictures than the run's own, as for train.")
    ] = None,
    part: Annotated[
        Part | None, typer.Option(help="Which part; without it val, or all of --data.")
    ] = None,
    batch_size: BatchSize = 64,
    workers: Workers = 0,
    device: Device = None,
    json: Json = False,
) -> None:
    """Measure a network: accuracy, and precision and recall of each class."""
    from cnnlib._cli import using

    using.evaluate(model, data, plain(part), batch_size, workers, device, json)


@app.command()
def predict(
    pictures: Annotated[list[Path], typer.Argument(help="Picture files, or folders of them.")],
    model: Model = "small_vgg",
    top: Annotated[int, typer.Option(help="How many classes.", min=1)] = 5,
    batch_size: BatchSize = 32,
    device: Device = None,
    json: Json = False,
) -> None:
    """Say what is on pictures: the five likeliest classes, each with its probability."""
    from cnnlib._cli import using

    using.predict(pictures, model, top, batch_size, device, json)


@app.command()
def summary(
    model: Name,
    size: Size = None,
    classes: Classes = None,
    stages: Annotated[bool, typer.Option("--stages", help="Add up layers of one part.")] = False,
    json: Json = False,
) -> None:
    """Print a network's layers, output shapes, parameters and multiply-accumulates."""
    from cnnlib._cli import looking

    looking.summary(model, size, classes, stages, json)


@app.command()
def bench(
    model: Name,
    size: Size = None,
    batch_size: BatchSize = 32,
    steps: Annotated[int, typer.Option(help="Steps that are timed.", min=1)] = 10,
    precision: Annotated[
        Precision, typer.Option(help="fp32, or mixed precision with bf16 or fp16.")
    ] = Precision.fp32,
    channels_last: Annotated[bool, typer.Option(help="Store as (N, H, W, C).")] = False,
    compile: Annotated[bool, typer.Option(help="Use torch.compile.")] = False,
    device: Device = None,
    json: Json = False,
) -> None:
    """Time inference and training steps here, on random images."""
    from cnnlib._cli import looking

    looking.bench(
        model, size, batch_size, steps, str(plain(precision)), channels_last, compile, device, json
    )


@app.command()
def version() -> None:
    """Print the version."""
    typer.echo(__version__)


def _own(options: dict[str, Any]) -> dict[str, Any]:
    """A command's own options, as JSON can hold them, and which of all were typed."""
    ours = ("ctx", "training", "config", "work")
    left = {k: plain(v) for k, v in options.items() if k not in ours}
    return {**left, "typed": typed(options["ctx"])}
