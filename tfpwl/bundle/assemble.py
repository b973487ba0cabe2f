"""From the files of a bundle to its manifest: what the files say is what the manifest says."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace

from tfpwl.bundle.entries import (
    BoundaryEntry,
    ByMix,
    FileEntry,
    GroupEntry,
    InputSpec,
    OutputSpec,
    Preprocess,
    Producer,
    Requires,
    RuntimeHints,
    TensorSpec,
)
from tfpwl.bundle.manifest import Manifest
from tfpwl.bundle.quantization import Quantization
from tfpwl.bundle.tflite_file import TfliteFacts, read_facts
from tfpwl.bundle.version import parse_version
from tfpwl.errors import ContractError, ManifestError

_STEM = re.compile(r"(g[0-9]{1,3}\.(student|teacher)|b[0-9]{1,3}\.(encoder|decoder))")
FLOAT_INPUTS = ("float32", "uint8")


def assemble_manifest(
    files: Mapping[str, bytes],
    entries: Mapping[str, FileEntry],
    *,
    name: str,
    precision: str,
    producer: Producer,
    preprocess: Preprocess,
    kind: str,
    labels: str | None,
    labels_sha256: str | None,
    tier: str | None,
    order: tuple[int, ...],
    accuracy: ByMix,
    latency_ms: ByMix,
    runtime: RuntimeHints,
    quantization: Quantization | None = None,
) -> Manifest:
    """The checked manifest of ``files`` (.tflite bytes by stem); ``entries`` are their entries by file name.

    Raises:
        ContractError: files are missing or superfluous, or do not fit together.
        ManifestError: another argument breaks a rule of the format.
    """
    num_groups = check_stems(files)
    facts = {stem: read_facts(f"{stem}.tflite", data) for stem, data in files.items()}
    boundaries = [_boundary_entry(i, facts, entries) for i in range(num_groups - 1)]
    first, last = _ends(facts, num_groups)
    bare = Manifest(
        name=name,
        tier=tier,
        precision=precision,
        producer=producer,
        input=InputSpec(first.shape, first.dtype, preprocess),
        output=OutputSpec(last.shape, last.dtype, kind, labels, labels_sha256),
        boundaries=tuple(boundaries),
        groups=tuple(
            GroupEntry(entries[f"g{i}.student.tflite"], entries[f"g{i}.teacher.tflite"]) for i in range(num_groups)
        ),
        order=order,
        path=(),
        runtime=runtime,
        requires=Requires(max((f.min_runtime_version for f in facts.values()), key=parse_version)),
        quantization=quantization,
    )
    return _with_path(bare, accuracy, latency_ms)


def check_stems(files: Mapping[str, bytes]) -> int:
    """The number of groups of a complete set of stems.

    Raises:
        ContractError: for what is missing or superfluous.
    """
    unknown = sorted(stem for stem in files if not _STEM.fullmatch(stem))
    if unknown:
        raise ContractError(f"Received files {unknown}; expected stems such as 'g0.student' and 'b0.encoder'.")
    num_groups = 1 + max((int(stem[1:].split(".")[0]) for stem in files if stem.startswith("g")), default=0)
    required = {f"g{i}.{side}" for i in range(num_groups) for side in ("student", "teacher")}
    missing = sorted(required - set(files))
    if missing:
        raise ContractError(f"The files {missing} are missing; a bundle needs a student and a teacher for every group.")
    converters = {f"b{i}.{what}" for i in range(num_groups - 1) for what in ("encoder", "decoder")}
    superfluous = sorted(set(files) - required - converters)
    if superfluous:
        raise ContractError(
            f"Received files {superfluous}; with {num_groups} groups there are {num_groups - 1} boundaries."
        )
    return num_groups


def _with_path(bare: Manifest, accuracy: ByMix, latency_ms: ByMix) -> Manifest:
    try:
        path = bare.walk(bare.order, accuracy, latency_ms)
    except ValueError as exc:
        raise ManifestError(f"order: {exc}") from exc
    outside = sorted({*accuracy, *latency_ms} - {entry.mix for entry in path})
    if outside:
        raise ManifestError(f"path: received figures for {outside}; the path has {[str(e.mix) for e in path]}.")
    # Through the parser: one place knows the rules, and what is written can be read.
    return Manifest.from_json(replace(bare, path=path).to_json())


def _boundary_entry(index: int, facts: Mapping[str, TfliteFacts], entries: Mapping[str, FileEntry]) -> BoundaryEntry:
    encoder, decoder = facts.get(f"b{index}.encoder"), facts.get(f"b{index}.decoder")
    student = [(f"g{index}.student", facts[f"g{index}.student"].output)]
    teacher = [(f"g{index}.teacher", facts[f"g{index}.teacher"].output)]
    student.append((f"g{index + 1}.student", facts[f"g{index + 1}.student"].input))
    teacher.append((f"g{index + 1}.teacher", facts[f"g{index + 1}.teacher"].input))
    if encoder is not None:
        student.append((f"b{index}.encoder", encoder.output))
        teacher.append((f"b{index}.encoder", encoder.input))
    if decoder is not None:
        student.append((f"b{index}.decoder", decoder.input))
        teacher.append((f"b{index}.decoder", decoder.output))
    return BoundaryEntry(
        _agreed(f"boundary {index}, student", student),
        _agreed(f"boundary {index}, teacher", teacher),
        entries.get(f"b{index}.encoder.tflite"),
        entries.get(f"b{index}.decoder.tflite"),
    )


def _ends(facts: Mapping[str, TfliteFacts], num_groups: int) -> tuple[TensorSpec, TensorSpec]:
    sides, last = ("student", "teacher"), num_groups - 1
    first_spec = _agreed("the input", [(f"g0.{side}", facts[f"g0.{side}"].input) for side in sides])
    last_spec = _agreed("the output", [(f"g{last}.{side}", facts[f"g{last}.{side}"].output) for side in sides])
    if first_spec.dtype not in FLOAT_INPUTS or last_spec.dtype != "float32":
        raise ContractError(
            f"The bundle would take {first_spec} and give {last_spec}; its ends must be float32 (or uint8 images as "
            "input), whatever the precision inside."
        )
    return first_spec, last_spec


def _agreed(where: str, faces: list[tuple[str, TensorSpec]]) -> TensorSpec:
    for _, spec in faces[1:]:
        if not spec.agrees_with(faces[0][1]):
            listing = "; ".join(f"{stem} has {face}" for stem, face in faces)
            raise ContractError(
                f"Files that touch {where} must agree on shape, dtype, scale and zero point; received: {listing}."
            )
    return faces[0][1]
