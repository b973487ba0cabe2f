"""A bundle: its manifest, writing it, reading it with checksums, verifying, signing, packing and fetching it."""

from tfpwl.bundle.contracts import Check, verify
from tfpwl.bundle.entries import (
    BoundaryEntry,
    FileEntry,
    GroupEntry,
    InputSpec,
    OutputSpec,
    PathEntry,
    Preprocess,
    Producer,
    Requires,
    RuntimeHints,
    TensorSpec,
)
from tfpwl.bundle.manifest import Manifest
from tfpwl.bundle.packing import pack, unpack
from tfpwl.bundle.pulling import PullProgress, pull
from tfpwl.bundle.quantization import Quantization, RungEntry
from tfpwl.bundle.reader import Bundle
from tfpwl.bundle.writer import sign, update_manifest, write_bundle

__all__ = [
    "BoundaryEntry",
    "Bundle",
    "Check",
    "FileEntry",
    "GroupEntry",
    "InputSpec",
    "Manifest",
    "OutputSpec",
    "PathEntry",
    "Preprocess",
    "Producer",
    "PullProgress",
    "Quantization",
    "Requires",
    "RungEntry",
    "RuntimeHints",
    "TensorSpec",
    "pack",
    "pull",
    "sign",
    "unpack",
    "update_manifest",
    "verify",
    "write_bundle",
]
