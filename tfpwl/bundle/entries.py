"""The parts of a manifest: one frozen dataclass per object of ``manifest.json``, each able to read itself."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from tfpwl.bundle.schema import Node
from tfpwl.mix import STUDENT, Mix

# TFLite cannot address a flatbuffer of 2 GiB or more.
MAX_FILE_BYTES = (1 << 31) - 1
MAX_AXES = 8
QUANTIZED_DTYPES = ("int8", "uint8", "int16")
# Compiled here: it would take a third of the time in which a manifest is read for the first time.
PLAIN_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}")
_SHA256 = re.compile(r"[0-9a-f]{64}")
_MIX = re.compile(r"[ST]+")
_VERSION = re.compile(r"[0-9]{1,4}\.[0-9]{1,4}\.[0-9]{1,4}")
RESERVED_NAMES = ("manifest.json", "manifest.sig")

Shape = tuple[int, ...]
# Both, because the key type of a Mapping is invariant.
ByMix = Mapping[Mix, float] | Mapping[str, float]


@dataclass(frozen=True, slots=True)
class Preprocess:
    """How raw input becomes model input: ``(raw * scale - mean) / std``, channels last.

    ``mean`` and ``std`` hold one number, or one per channel.

    Example:
        >>> Preprocess(scale=1 / 255, mean=(0.5,), std=(0.5,))([0, 255]).tolist()
        [-1.0, 1.0]
    """

    scale: float
    mean: tuple[float, ...]
    std: tuple[float, ...]

    def __call__(self, raw: ArrayLike) -> NDArray[np.float32]:
        """Model input for ``raw`` (any shape whose last axis is the channels), as float32."""
        scaled = np.asarray(raw, np.float32) * np.float32(self.scale)
        centred = scaled - np.asarray(self.mean, np.float32)
        return np.asarray(centred / np.asarray(self.std, np.float32), np.float32)

    @classmethod
    def read(cls, node: Node) -> Preprocess:
        node.fields("scale", "mean", "std")
        mean = tuple(n.number() for n in node["mean"].items(minimum=1))
        std = tuple(n.number() for n in node["std"].items(minimum=1))
        if len(mean) != len(std):
            node["std"].fail(f"received {len(std)} numbers; expected {len(mean)}, one for each of `mean`")
        if not all(std):
            node["std"].fail(f"received {list(std)}; a standard deviation may not be 0")
        return cls(node["scale"].number(), mean, std)


@dataclass(frozen=True, slots=True)
class FileEntry:
    """A file of the bundle: plain name, size in bytes and SHA-256 in hexadecimal."""

    file: str
    bytes: int
    sha256: str

    @classmethod
    def read(cls, node: Node) -> FileEntry:
        node.fields("file", "bytes", "sha256")
        return cls(
            read_name(node["file"]),
            node["bytes"].integer(minimum=1, maximum=MAX_FILE_BYTES),
            node["sha256"].matching(_SHA256, "64 lowercase hexadecimal digits"),
        )


@dataclass(frozen=True, slots=True)
class TensorSpec:
    """Shape (with the batch axis), dtype and, where the dtype is an integer, scale and zero point."""

    shape: Shape
    dtype: str
    scale: float | None = None
    zero_point: int | None = None

    @property
    def is_quantized(self) -> bool:
        return self.dtype in QUANTIZED_DTYPES

    def agrees_with(self, other: TensorSpec) -> bool:
        """Whether a tensor of one can be handed on as the other, unchanged."""
        if (self.shape, self.dtype, self.zero_point) != (other.shape, other.dtype, other.zero_point):
            return False
        if self.scale is None or other.scale is None:
            return self.scale is other.scale
        # Scales are float32 in the files; a manifest may have printed them with 7 digits.
        return abs(self.scale - other.scale) <= 1e-6 * abs(self.scale)

    def __str__(self) -> str:
        quantization = f" scale {self.scale:.9g} zero point {self.zero_point}" if self.scale is not None else ""
        return f"{self.dtype} {list(self.shape)}{quantization}"

    @classmethod
    def read(cls, node: Node) -> TensorSpec:
        node.fields("shape", "dtype", optional=("scale", "zero_point"))
        shape, dtype = read_shape(node["shape"]), node["dtype"].choice("float32", "float16", *QUANTIZED_DTYPES)
        scale, zero_point = node.maybe("scale"), node.maybe("zero_point")
        if dtype not in QUANTIZED_DTYPES:
            for given in (scale, zero_point):
                if given is not None:
                    given.fail(f"received {given.value!r}; expected null, because {dtype} is not quantized")
            return cls(shape, dtype)
        if scale is None or zero_point is None:
            node.fail(f"scale and zero_point are needed with dtype {dtype}")
        if scale.number() <= 0:
            scale.fail(f"received {scale.value!r}; expected a number above 0")
        limits = np.iinfo(dtype)
        return cls(shape, dtype, scale.number(), zero_point.integer(minimum=int(limits.min), maximum=int(limits.max)))


@dataclass(frozen=True, slots=True)
class InputSpec:
    """What :meth:`ProgressiveModel.predict` takes, and how raw input gets there."""

    shape: Shape
    dtype: str
    preprocess: Preprocess

    def prepare(self, raw: NDArray[Any]) -> NDArray[Any]:
        """Raw input (any number of images) as the model takes it: preprocessed, or as it is where that is uint8."""
        return raw.astype(np.uint8) if self.dtype == "uint8" else self.preprocess(raw)

    @classmethod
    def read(cls, node: Node) -> InputSpec:
        node.fields("shape", "dtype", "preprocess")
        return cls(
            read_shape(node["shape"]),
            node["dtype"].choice("float32", "uint8"),
            Preprocess.read(node["preprocess"]),
        )


@dataclass(frozen=True, slots=True)
class OutputSpec:
    """What an answer is: ``kind`` is ``logits`` or ``probabilities``; ``labels`` names a text file, one per line.

    ``labels_sha256`` is that file's sum; bundles of the first tfpwl have none.
    """

    shape: Shape
    dtype: str
    kind: str
    labels: str | None = None
    labels_sha256: str | None = None

    @classmethod
    def read(cls, node: Node) -> OutputSpec:
        node.fields("shape", "dtype", "kind", optional=("labels", "labels_sha256"))
        labels, labels_sha256 = node.maybe("labels"), node.maybe("labels_sha256")
        if labels is None and labels_sha256 is not None:
            labels_sha256.fail("received the sum of a file that output.labels does not name; expected null")
        return cls(
            read_shape(node["shape"]),
            node["dtype"].choice("float32"),
            node["kind"].choice("logits", "probabilities"),
            None if labels is None else read_name(labels),
            None if labels_sha256 is None else labels_sha256.matching(_SHA256, "64 lowercase hexadecimal digits"),
        )


@dataclass(frozen=True, slots=True)
class BoundaryEntry:
    """Both sides of a boundary, and the converters between them where the channel counts differ."""

    student: TensorSpec
    teacher: TensorSpec
    encoder: FileEntry | None = None
    decoder: FileEntry | None = None

    def converter(self, into: str) -> FileEntry | None:
        """The file that leads into side ``"S"`` (the encoder) or ``"T"`` (the decoder)."""
        return self.encoder if into == STUDENT else self.decoder

    @classmethod
    def read(cls, node: Node) -> BoundaryEntry:
        node.fields("student", "teacher", optional=("encoder", "decoder"))
        encoder, decoder = node.maybe("encoder"), node.maybe("decoder")
        return cls(
            TensorSpec.read(node["student"]),
            TensorSpec.read(node["teacher"]),
            None if encoder is None else FileEntry.read(encoder),
            None if decoder is None else FileEntry.read(decoder),
        )


@dataclass(frozen=True, slots=True)
class GroupEntry:
    """The two files of a group."""

    student: FileEntry
    teacher: FileEntry

    def side(self, side: str) -> FileEntry:
        """The file of side ``"S"`` or ``"T"``."""
        return self.student if side == STUDENT else self.teacher

    @classmethod
    def read(cls, node: Node) -> GroupEntry:
        node.fields("student", "teacher")
        return cls(FileEntry.read(node["student"]), FileEntry.read(node["teacher"]))


@dataclass(frozen=True, slots=True)
class PathEntry:
    """A mix of the path: accuracy as a fraction 0..1, bytes of its files, ms per answer; None: not measured."""

    mix: Mix
    accuracy: float | None
    resident_bytes: int
    latency_ms: float | None

    @classmethod
    def read(cls, node: Node) -> PathEntry:
        node.fields("mix", "resident_bytes", optional=("accuracy", "latency_ms"))
        accuracy, latency = node.maybe("accuracy"), node.maybe("latency_ms")
        return cls(
            Mix(node["mix"].matching(_MIX, "one letter S or T per group")),
            None if accuracy is None else accuracy.number(minimum=0, maximum=1),
            node["resident_bytes"].integer(minimum=0),
            None if latency is None else latency.number(minimum=0),
        )


@dataclass(frozen=True, slots=True)
class Producer:
    """What made the bundle: versions, and the SHA-256 of the pipeline's configuration."""

    tfpwl: str
    tensorflow: str
    config_sha256: str

    @classmethod
    def read(cls, node: Node) -> Producer:
        node.fields("tfpwl", "tensorflow", "config_sha256")
        return cls(
            node["tfpwl"].text(),
            node["tensorflow"].text(),
            node["config_sha256"].matching(_SHA256, "64 lowercase hexadecimal digits"),
        )


@dataclass(frozen=True, slots=True)
class RuntimeHints:
    """How the bundle was measured, and how it is run unless the app says otherwise."""

    threads: int = 1
    delegate: str = "xnnpack"

    @classmethod
    def read(cls, node: Node) -> RuntimeHints:
        node.fields("threads", "delegate")
        return cls(node["threads"].integer(minimum=1, maximum=1024), node["delegate"].text())


@dataclass(frozen=True, slots=True)
class Requires:
    """The oldest TFLite runtime, in TensorFlow's numbering, that can run every file."""

    tflite_runtime: str

    @classmethod
    def read(cls, node: Node) -> Requires:
        node.fields("tflite_runtime")
        return cls(node["tflite_runtime"].matching(_VERSION, "a version such as '2.16.0'"))


def read_shape(node: Node) -> Shape:
    """Two to eight axes, all fixed; the first is the batch."""
    shape = tuple(n.integer(minimum=1, maximum=2**31 - 1) for n in node.items(minimum=2))
    if len(shape) > MAX_AXES:
        node.fail(f"received {len(shape)} axes; expected at most {MAX_AXES}")
    return shape


def read_name(node: Node) -> str:
    """A plain file name: nothing that could lead out of the bundle's folder or hide in it."""
    name = node.matching(
        PLAIN_NAME, "a plain file name of letters, digits, '_', '-' and '.', not hidden, without separators"
    )
    if name.lower() in RESERVED_NAMES:
        node.fail(f"received {name!r}, a name that the bundle format keeps for itself")
    return name
