"""A commented pipeline for a family and a data set, with sizes that suit the images."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

Sizes = Mapping[str, object]


@dataclass(frozen=True)
class Subject:
    """The data of a pipeline: its name, its ``data:`` lines, the image's side, and how images may be changed."""

    name: str
    source: str
    side: int
    flip: bool = True
    rotation: int = 15
    extra: tuple[str, ...] = ()


# What changes a digit into another one, or into none, is no augmentation.
NAMED = MappingProxyType(
    {
        "digits": Subject("digits", "name: digits", 8, flip=False, rotation=10),
        "fashion_mnist": Subject("fashion_mnist", "name: fashion_mnist", 28, rotation=10),
        "mnist": Subject("mnist", "name: mnist", 28, flip=False, rotation=10),
        "cifar10": Subject("cifar10", "name: cifar10", 32),
        "cifar100": Subject("cifar100", "name: cifar100", 32),
    }
)


_SGD: Sizes = MappingProxyType(
    {
        "optimizer": "sgd",
        "learning_rate": 0.05,
        "final_learning_rate": "1e-5",
        "warmup": 0.0,
        "momentum": 0.9,
        "weight_decay": "5e-4",
        "clip_norm": "null",
        "label_smoothing": 0.0,
    }
)
# What works where the widths of student and teacher differ (docs/distillation.md).
_ADAMW: Sizes = MappingProxyType(
    {**_SGD, "optimizer": "adamw", "learning_rate": 0.004, "weight_decay": 0.001, "clip_norm": 1.0}
)
_ADAMW_VIT: Sizes = MappingProxyType({**_ADAMW, "learning_rate": "1e-3", "warmup": 0.1, "weight_decay": 0.05})
_FAST = "Minutes on two cores."
_SLOW = "The sizes of the PWL paper, meant for a GPU; for a try on a CPU lower `epochs` and give `limit`."


@dataclass(frozen=True)
class Plan:
    """Sizes of both sides and how long they are trained, with one remark on the choice."""

    teacher: Sizes
    student: Sizes
    epochs: tuple[int, int]
    remark: str
    batch: int = 128
    teacher_fit: Sizes = field(default_factory=lambda: _ADAMW)
    student_fit: Sizes = field(default_factory=lambda: _ADAMW)


def make_plan(family: str, side: int) -> Plan:
    """Sizes for square images of ``side`` pixels."""
    return _PLANS[family](side)


def _resnet(side: int) -> Plan:
    if side >= 32:
        return Plan(
            {"widths": [32, 64, 128, 256], "depths": [3, 4, 6, 3]},
            {"widths": [16, 32, 64, 128], "depths": [1, 1, 1, 1]},
            (160, 160),
            _SLOW,
            teacher_fit=_SGD,
        )
    teacher = {"widths": [16, 32, 48, 64], "depths": [2, 2, 2, 2]}
    student = {"widths": [8, 12, 16, 24], "depths": [1, 1, 1, 1]}
    return Plan(teacher, student, *_small(side))


def _vgg(side: int) -> Plan:
    if side >= 32:
        return Plan(
            {"widths": [64, 128, 256, 512, 512], "depths": [2, 2, 3, 3, 3]},
            {"widths": [32, 64, 128, 256, 256], "depths": [1, 1, 1, 1, 1]},
            (160, 160),
            _SLOW,
            teacher_fit=_SGD,
        )
    # Each group halves the image: 8x8 allows three groups, 28x28 four.
    count = min(side.bit_length() - 1, 4)
    return Plan(
        {"widths": [16, 32, 64, 96][:count], "depths": [2] * count},
        {"widths": [8, 12, 24, 32][:count], "depths": [1] * count},
        *_small(side),
    )


def _vit(side: int) -> Plan:
    patch = _patch(side)
    if side >= 32:
        return Plan(
            {"patch": patch, "width": 192, "depth": 12, "heads": 3, "mlp": 768, "groups": 6},
            {"width": 96, "depth": 6, "heads": 3, "mlp": 384},
            (160, 160),
            _SLOW,
            128,
            _ADAMW_VIT,
            _ADAMW_VIT,
        )
    _, remark, batch = _small(side)
    # A transformer learns slowly from few images: after 3 epochs on the digits it is right for a quarter of them.
    epochs = (60, 80) if side < 16 else (20, 30)
    return Plan(
        {"patch": patch, "width": 64, "depth": 8, "heads": 4, "mlp": 128, "groups": 4},
        {"width": 32, "depth": 4, "heads": 4, "mlp": 64},
        epochs,
        remark,
        batch,
        _ADAMW_VIT,
        _ADAMW_VIT,
    )


def _patch(side: int) -> int:
    """The smallest patch that divides the side into at most 8 (an attention over 64 tokens)."""
    return next(patch for patch in range(2, side + 1) if side % patch == 0 and side // patch <= 8)


def _lenet5(side: int) -> Plan:
    return Plan(
        {"channels": [6, 16], "units": [120, 84]},
        {"channels": [3, 8], "units": [60, 42]},
        (20, 30) if side < 32 else (60, 60),
        _FAST,
    )


def _small(side: int) -> tuple[tuple[int, int], str, int]:
    return ((12, 25), _FAST, 64) if side < 16 else ((10, 15), "About half an hour on two cores.", 128)


_PLANS = MappingProxyType({"resnet": _resnet, "vgg": _vgg, "vit": _vit, "lenet5": _lenet5})
FAMILIES = tuple(_PLANS)

_PARAMETER_COMMENTS = MappingProxyType(
    {
        "widths": "channels of each group",
        "depths": "blocks or convolutions of each group",
        "channels": "of the two convolutions",
        "units": "of the two dense layers",
        "patch": "side of a patch in pixels; divides the image's side",
        "width": "of a token; a multiple of heads",
        "depth": "encoder layers; a multiple of groups",
        "heads": "of each attention",
        "mlp": "units of each hidden dense layer",
        "groups": "how many groups; the same for both sides",
    }
)
_FIT_COMMENTS = MappingProxyType(
    {
        "optimizer": "sgd or adamw",
        "learning_rate": "at its highest; a cosine leads down from it",
        "final_learning_rate": "where the cosine ends",
        "warmup": "share of the steps in which the learning rate rises from 0",
        "momentum": "of sgd",
        "weight_decay": "",
        "clip_norm": "largest norm of all gradients together; null: no limit",
        "label_smoothing": "",
    }
)


def render_pipeline(name: str, family: str, subject: Subject) -> str:
    """The text of a pipeline with a comment on every key; keys that are commented out show what else there is."""
    plan = make_plan(family, subject.side)
    lines = [
        f"# {family} on {subject.name}. {plan.remark}",
        "# Build it with `tfpwl build THIS_FILE`; what is commented out shows what else there is.",
        f"name: {name}  # of the bundle, and of the folder runs/NAME",
        "seed: 0  # same seed, same versions, same machine type: same bundle",
        "",
        "data:",
        _line(2, subject.source, "a data set by name; or folder:, npz:, python: module:function"),
        *(_line(2, *_halves(extra)) for extra in subject.extra),
        _line(2, "validation: 0.1", "share of the training images that is kept for validation; never the test images"),
        _line(2, "# limit: 5000", "train on this many images only"),
        _line(2, "# channels: 3", "gives grey images three equal channels"),
        _line(2, "# preprocess: {scale: 0.0039}", "what the networks take; by default mean 0 and variance 1"),
        _line(2, "augment:", "changes to training images, at random; `augment: null` for none"),
        _line(4, f"rotation: {subject.rotation}", "degrees, either way"),
        _line(4, f"flip: {str(subject.flip).lower()}", "left and right"),
        _line(4, "crop: 0.125", "shift, as a share of the side"),
        "",
        "teacher:",
        _line(2, f"family: {family}", "lenet5, vgg, resnet or vit; or `preset:` for a pair of the PWL paper"),
        *(_line(2, f"{key}: {value}", _PARAMETER_COMMENTS[key]) for key, value in plan.teacher.items()),
        "  train:",
        _line(4, f"epochs: {plan.epochs[0]}", "passes through the training images"),
        _line(4, f"batch_size: {plan.batch}", "images per step"),
        *(_line(4, f"{key}: {value}", _FIT_COMMENTS[key]) for key, value in plan.teacher_fit.items()),
        "",
        "student:  # of the teacher's family; what is not given is the teacher's",
        *(_line(2, f"{key}: {value}", _PARAMETER_COMMENTS[key]) for key, value in plan.student.items()),
        "",
        "distill:",
        _line(2, "method: pwl", "pwl; or kd: the same student by plain distillation, without converters"),
        _line(2, f"epochs: {plan.epochs[1]}", ""),
        _line(2, f"batch_size: {plan.batch}", ""),
        *(_line(2, f"{key}: {value}", "") for key, value in plan.student_fit.items()),
        _line(2, "temperature: 2.0", "softens both sides' answers"),
        _line(2, "alpha: 0.4", "weight of the labels; 1 - alpha is that of the teacher's answers"),
        _line(2, "w_sync: 1.0", "weight: student and teacher agree at the boundaries"),
        _line(2, "w_recon: 1.0", "weight: decoder after encoder changes nothing"),
        _line(2, "w_cross: 2.0", "weight: mixes answer like the teacher"),
        _line(2, "cross: random", "one random mix per step, or all"),
        _line(2, "single_switch: 0.5", "share of random mixes that change sides once"),
        _line(2, "path_share: 0.5", "share of mixes taken from the path of the upgrade instead"),
        _line(2, "converter_lr: 1.0", "learning rate of encoders and decoders, times this"),
        _line(2, "baseline: false", "true: also train the student by plain distillation, to compare"),
        "",
        "export:",
        _line(2, "batch: 1", "images per answer, fixed in the files"),
        "",
        _line(0, "# finetune: {data: {npz: device.npz}}", "adapt it to device data (docs/tiers_on_device.md)"),
        "",
        "# quantize:  # smaller and faster files (docs/quantization.md); without it they are fp32",
        _line(0, "#   ladder: [fp32, fp16, w8, int8]", "what is made and measured"),
        _line(0, "#   calibration: {samples: 512, mixes: path}", "training images that the int8 ranges are found with"),
        _line(0, "#   gate: {max_drop: 1.0}", "points that any mix of the path may lose against fp32"),
        _line(0, "#   qat: {epochs: 3}", "training under int8 rounding, only where calibration misses the gate"),
        _line(0, "#   select: fastest", "of those that keep the gate; or smallest, or first as listed"),
        "",
        _line(0, "# runtime: {threads: 1, delegate: xnnpack}", "how an app runs the bundle unless it says otherwise"),
        "",
        "evaluate:",
        _line(2, "mixes: all", "all, or path: only those that the upgrade walks through"),
        _line(2, "# workers: 2", "processes; one per core by default"),
        _line(2, "# limit: 1000", "test images; all by default"),
        "",
        "gates:  # what the bundle must reach; else `tfpwl build` exits 1 after the report",
        _line(2, "max_step_loss: 2.0", "points that a step of the path may lose"),
        _line(2, "# min_teacher_accuracy: 95.0", "per cent"),
        _line(2, "# min_student_accuracy: 90.0", "per cent"),
        _line(2, "# max_student_drop: 5.0", "points between teacher and student"),
        _line(2, "# max_bundle_bytes: 5000000", "of all files together"),
        "",
        _line(0, "# tiers: default", "a bundle per kind of device: low, mid, high (docs/tiers.md)"),
    ]
    return "\n".join(lines) + "\n"


def _line(indent: int, text: str, comment: str) -> str:
    return f"{' ' * indent}{text}" + (f"  # {comment}" if comment else "")


def _halves(extra: str) -> tuple[str, str]:
    text, _, comment = extra.partition("  # ")
    return text, comment
