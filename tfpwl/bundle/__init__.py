"""A bundle on disk: its manifest, writing it, reading it with checksums, verifying its contracts."""

from tfpwl.bundle.contracts import Check, verify
from tfpwl.bundle.manifest import (
    BoundaryEntry,
    FileEntry,
    GroupEntry,
    InputSpec,
    Manifest,
    OutputSpec,
    PathEntry,
    Preprocess,
    Producer,
    Requires,
    RuntimeHints,
    TensorSpec,
)
from tfpwl.bundle.reader import Bundle
from tfpwl.bundle.writer import update_manifest, write_bundle

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
    "Requires",
    "RuntimeHints",
    "TensorSpec",
    "update_manifest",
    "verify",
    "write_bundle",
]
