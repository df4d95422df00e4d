"""What a training is told: a record of options, checked at the door, saved with the run."""

from dataclasses import asdict, dataclass, fields
from typing import Any

CHOICES = {
    "optimizer": ("sgd", "adam", "adamw"),
    "schedule": ("constant", "step", "cosine", "plateau"),
    "precision": ("fp32", "bf16", "fp16"),
    "monitor": ("loss", "accuracy"),
}
AT_LEAST = {
    "epochs": 1, "accumulate": 1, "step_size": 1, "plateau_patience": 0, "patience": 1,
    "lr": 0.0, "momentum": 0.0, "weight_decay": 0.0, "warmup": 0.0, "min_delta": 0.0,
}  # fmt: skip
INTEGERS = ("epochs", "accumulate", "step_size", "plateau_patience", "patience", "seed")
SWITCHES = ("nesterov", "channels_last", "compile", "restore_best", "sync_batchnorm")
OPTIONAL = ("clip_norm", "patience")  # None switches them off


@dataclass(frozen=True)
class TrainConfig:
    """Options of :func:`cnnlib.pytorch.train.fit`; equal options and data give equal weights.

    A loader from :func:`cnnlib.pytorch.data.loader` draws order and augmentation from the seed that
    it was given itself: give it this one.

    Args:
        epochs: How often the training set is seen.
        lr: Learning rate at its highest, before any schedule lowers it.
        optimizer: ``"sgd"``, ``"adam"`` or ``"adamw"``.
        momentum: Of SGD; 0 switches it off. Adam has its usual betas, 0.9 and 0.999.
        nesterov: Whether SGD looks ahead (with momentum only).
        weight_decay: L2 penalty of SGD and Adam, decoupled decay of AdamW.
        schedule: ``"constant"``, ``"step"`` (times gamma every step_size epochs), ``"cosine"``
            (towards 0 after the last step) or ``"plateau"`` (times gamma when the monitored value
            has not improved for more than plateau_patience epochs).
        warmup: Epochs, perhaps a fraction, in which the rate rises linearly to lr.
        step_size: Epochs between two steps of ``"step"``.
        gamma: Factor of ``"step"`` and ``"plateau"``, more than 0 and at most 1.
        plateau_patience: Epochs without improvement that ``"plateau"`` bears.
        label_smoothing: Share of the target that is spread over all classes, from 0 to below 1.
        clip_norm: Largest norm of the gradient of all parameters together; None for no limit.
        accumulate: Batches whose gradients are added up for one step.
        precision: ``"fp32"`` (as the model is), ``"bf16"`` or ``"fp16"``: mixed precision.
        channels_last: Store images and kernels as (N, H, W, C); faster on GPUs with fp16 or bf16.
        compile: Translate the network with ``torch.compile``.
        patience: Stop when the monitored value has not improved for this many epochs.
        min_delta: An improvement by no more than this does not count.
        monitor: Validation ``"loss"`` or ``"accuracy"``: decides which epoch is the best.
        restore_best: Leave the model with the weights of its best epoch instead of the last.
        sync_batchnorm: With several processes, batch statistics over all of them; CUDA only.
        seed: Of the order of the examples, of dropout and of random transforms.

    Raises:
        ValueError: If an option is out of range; the message names it.

    >>> TrainConfig(epochs=2).lr
    0.1
    """

    epochs: int = 10
    lr: float = 0.1
    optimizer: str = "sgd"
    momentum: float = 0.9
    nesterov: bool = True
    weight_decay: float = 5e-4
    schedule: str = "constant"
    warmup: float = 0.0
    step_size: int = 30
    gamma: float = 0.1
    plateau_patience: int = 5
    label_smoothing: float = 0.0
    clip_norm: float | None = None
    accumulate: int = 1
    precision: str = "fp32"
    channels_last: bool = False
    compile: bool = False
    patience: int | None = None
    min_delta: float = 0.0
    monitor: str = "loss"
    restore_best: bool = False
    sync_batchnorm: bool = False
    seed: int = 0

    def __post_init__(self) -> None:
        for field in fields(self):
            _check(field.name, getattr(self, field.name))
        if self.warmup > self.epochs:
            raise ValueError(
                f"TrainConfig: warmup must not exceed the {self.epochs} epochs, got {self.warmup}"
            )

    def to_dict(self) -> dict[str, Any]:
        """All options by name, as JSON and YAML can hold them."""
        return asdict(self)

    @classmethod
    def from_dict(cls, options: dict[str, Any]) -> "TrainConfig":
        """The inverse of :meth:`to_dict`; options that are left out keep their defaults.

        Raises:
            ValueError: If a name is unknown or a value out of range.

        >>> TrainConfig.from_dict({"epochs": 3}) == TrainConfig(epochs=3)
        True
        """
        known = [field.name for field in fields(cls)]
        unknown = sorted(set(options) - set(known))
        if unknown:
            raise ValueError(
                f"TrainConfig: unknown option {', '.join(unknown)}; there are {', '.join(known)}"
            )
        return cls(**options)


def _check(name: str, value: Any) -> None:
    if value is None and name in OPTIONAL:
        return
    if name in CHOICES:
        if value not in CHOICES[name]:
            raise _wrong(name, f"one of {', '.join(CHOICES[name])}", value)
    elif name in SWITCHES:
        if not isinstance(value, bool):
            raise _wrong(name, "True or False", value)
    elif name in INTEGERS:
        if isinstance(value, bool) or not isinstance(value, int):
            raise _wrong(name, "an int", value)
    elif isinstance(value, bool) or not isinstance(value, int | float):
        raise _wrong(name, "a number", value)
    if name in AT_LEAST and not AT_LEAST[name] <= value < float("inf"):
        raise _wrong(name, f"at least {AT_LEAST[name]} and finite", value)
    if name == "seed" and not 0 <= value < 2**32:
        raise _wrong(name, "from 0 to 2**32 - 1", value)
    if name == "label_smoothing" and not 0 <= value < 1:
        raise _wrong(name, "from 0 to below 1", value)
    if name == "gamma" and not 0 < value <= 1:
        raise _wrong(name, "more than 0 and at most 1", value)
    if name == "clip_norm" and not 0 < value < float("inf"):
        raise _wrong(name, "more than 0 and finite", value)


def _wrong(name: str, rule: str, value: Any) -> ValueError:
    return ValueError(f"TrainConfig: {name} must be {rule}, got {value!r}")
