"""``manifest.json`` of a bundle as a frozen dataclass, with a parser that takes nothing on trust.

The parser is complete: a :class:`Manifest` that was read kept every rule of the format, so the code behind it
checks nothing again. The parts are in :mod:`tfpwl.bundle.entries`, rules between fields in :mod:`tfpwl.bundle.rules`.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass

from tfpwl import mix as mixes
from tfpwl.bundle.entries import (
    BoundaryEntry,
    ByMix,
    FileEntry,
    GroupEntry,
    InputSpec,
    OutputSpec,
    PathEntry,
    Producer,
    Requires,
    RuntimeHints,
)
from tfpwl.bundle.quantization import Quantization
from tfpwl.bundle.rules import check_rules
from tfpwl.bundle.schema import Node, parse_json
from tfpwl.errors import ManifestError
from tfpwl.mix import Mix

FORMAT = "tfpwl-bundle"
VERSION = 1
MAX_MANIFEST_BYTES = 1 << 20


@dataclass(frozen=True, slots=True)
class Manifest:
    """All that a bundle says about itself (docs/design.md). Accuracies are fractions 0..1; shapes have the batch axis.

    Make one with :func:`tfpwl.bundle.write_bundle`, read one with :meth:`from_json`.
    """

    name: str
    tier: str | None
    precision: str
    producer: Producer
    input: InputSpec
    output: OutputSpec
    boundaries: tuple[BoundaryEntry, ...]
    groups: tuple[GroupEntry, ...]
    order: tuple[int, ...]
    path: tuple[PathEntry, ...]
    runtime: RuntimeHints
    requires: Requires
    quantization: Quantization | None = None

    @property
    def num_groups(self) -> int:
        return len(self.groups)

    @classmethod
    def from_json(cls, text: str | bytes) -> Manifest:
        """Parse a manifest and check every rule of the format.

        Args:
            text: JSON, at most 1 MiB of UTF-8.

        Raises:
            ManifestError: for any malformation, with the JSON path of the place, such as ``groups[1].teacher.sha256``.
        """
        root = parse_json(text, max_bytes=MAX_MANIFEST_BYTES)
        check_format(root)
        manifest = cls._read(root)
        check_rules(manifest)
        return manifest

    @classmethod
    def _read(cls, root: Node) -> Manifest:
        tier, quantization = root.maybe("tier"), root.maybe("quantization")
        return cls(
            name=root["name"].text(),
            tier=None if tier is None else tier.text(),
            precision=root["precision"].choice("fp32", "fp16", "int8", "w8"),
            producer=Producer.read(root["producer"]),
            input=InputSpec.read(root["input"]),
            output=OutputSpec.read(root["output"]),
            boundaries=tuple(BoundaryEntry.read(n) for n in root["boundaries"].items()),
            groups=tuple(GroupEntry.read(n) for n in root["groups"].items(minimum=1)),
            order=tuple(n.integer(minimum=0) for n in root["order"].items(minimum=1)),
            path=tuple(PathEntry.read(n) for n in root["path"].items()),
            runtime=RuntimeHints.read(root["runtime"]),
            requires=Requires.read(root["requires"]),
            quantization=None if quantization is None else Quantization.read(quantization),
        )

    def to_json(self) -> str:
        """The manifest's text: sorted keys, so that equal manifests are equal bytes.

        Raises:
            ManifestError: a field holds NaN or something else that JSON cannot hold, such as a NumPy number.
        """
        fields = {"format": FORMAT, "version": VERSION, **asdict(self)}
        if self.output.labels_sha256 is None:  # as bundles were written before there was such a sum
            del fields["output"]["labels_sha256"]
        if self.quantization is None:
            del fields["quantization"]
        try:
            return json.dumps(fields, sort_keys=True, indent=1, allow_nan=False) + "\n"
        except (TypeError, ValueError) as exc:
            raise ManifestError(f"The manifest has a value that JSON cannot hold: {exc}.") from exc

    def files(self) -> Iterator[FileEntry]:
        """Every .tflite file of the bundle, groups first."""
        for group in self.groups:
            yield group.student
            yield group.teacher
        for boundary in self.boundaries:
            if boundary.encoder is not None and boundary.decoder is not None:
                yield boundary.encoder
                yield boundary.decoder

    def load_order(self) -> tuple[FileEntry, ...]:
        """Every file once, in the order a device first needs it.

        First the all-student chain, then what each step of the path adds, then what only other mixes use.

        Example:
            >>> [entry.file for entry in bundle.manifest.load_order()][:2]          # doctest: +SKIP
            ['g0.student.tflite', 'g1.student.tflite']
        """
        along = [entry for step in self.path for entry in self.chain(step.mix)]
        return tuple(dict.fromkeys([*along, *self.files()]))

    def stems(self) -> dict[str, FileEntry]:
        """Every file by what it is: ``g0.student``, ``b0.encoder``, … whatever it is called."""
        found: dict[str, FileEntry] = {}
        for i, group in enumerate(self.groups):
            found |= {f"g{i}.student": group.student, f"g{i}.teacher": group.teacher}
        for i, boundary in enumerate(self.boundaries):
            if boundary.encoder is not None and boundary.decoder is not None:
                found |= {f"b{i}.encoder": boundary.encoder, f"b{i}.decoder": boundary.decoder}
        return found

    def chain(self, mix: str) -> tuple[FileEntry, ...]:
        """The files that run one after another for ``mix``, converters included.

        Raises:
            ValueError: when ``mix`` has not one letter S or T per group.
        """
        checked = self.check_mix(mix)
        steps: list[FileEntry] = []
        for index, side in enumerate(checked):
            if index and checked[index - 1] != side:
                converter = self.boundaries[index - 1].converter(side)
                steps.extend([] if converter is None else [converter])
            steps.append(self.groups[index].side(side))
        return tuple(steps)

    def check_mix(self, mix: str) -> Mix:
        """``mix`` as a :class:`Mix` of this bundle's number of groups, or a ValueError."""
        checked = Mix(mix)
        if len(checked) != self.num_groups:
            raise ValueError(f"Received mix {str(mix)!r}; expected {self.num_groups} letters, one per group.")
        return checked

    def mix_bytes(self, mix: str) -> int:
        """Bytes of the files that ``mix`` needs."""
        return sum(entry.bytes for entry in self.chain(mix))

    def walk(
        self,
        order: Sequence[int],
        accuracy: ByMix | None = None,
        latency_ms: ByMix | None = None,
    ) -> tuple[PathEntry, ...]:
        """The ``path`` of this bundle along ``order``, with what was measured for some or all mixes.

        Raises:
            ValueError: when ``order`` is not a permutation of the groups.
        """
        accuracies, latencies = dict(accuracy or {}), dict(latency_ms or {})
        return tuple(
            PathEntry(mix, accuracies.get(mix), self.mix_bytes(mix), latencies.get(mix)) for mix in mixes.path(order)
        )


def check_format(root: Node) -> None:
    """Format and version first: a manifest of another version may have other keys."""
    if isinstance(root.value, dict) and "format" in root.value and "version" in root.value:
        if root["format"].text() != FORMAT:
            root["format"].fail(f"received {root['format'].text()[:80]!r}; expected {FORMAT!r}")
        version = root["version"].integer(minimum=1)
        if version != VERSION:
            root["version"].fail(f"received {version}; this tfpwl reads {VERSION}. Update tfpwl or export again")
    root.fields(
        "format", "version", "name", "precision", "producer", "input", "output", "boundaries", "groups", "order",
        "path", "runtime", "requires", optional=("tier", "quantization"),
    )  # fmt: skip
