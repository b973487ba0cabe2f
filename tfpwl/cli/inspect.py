"""``tfpwl inspect``: what a bundle says about itself."""

from __future__ import annotations

import json
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import click
from rich import box
from rich.table import Table

from tfpwl import mix as mixes
from tfpwl.bundle import Bundle, FileEntry, Manifest, Preprocess, TensorSpec
from tfpwl.cli.arguments import bundle_argument, json_option, open_bundle, stdout_console
from tfpwl.cli.rendering import mix_text
from tfpwl.report import units

_SHOWN_LABELS = 5
_NONE = "–"


@click.command()
@bundle_argument
@json_option("the manifest, with sums")
def inspect(bundle: Path, as_json: bool) -> None:
    """Show a bundle's groups, boundaries and path.

    Reads the manifest only; `tfpwl verify` looks into the files.

    \b
    Example:
      tfpwl inspect runs/digits_resnet/bundle
      tfpwl inspect --json runs/digits_resnet/bundle | jq '.path[].mix'
    """
    opened = open_bundle(bundle)
    if as_json:
        click.echo(json.dumps(_as_json(opened), indent=1, sort_keys=True))
        return
    console = stdout_console()
    console.print(f"[bold]{opened.manifest.name}[/]  {opened.manifest.precision}, {_count(opened)}", soft_wrap=True)
    facts = Table.grid(padding=(0, 2))
    facts.add_column(style="dim")
    for what, value in _facts(opened):
        facts.add_row(f"  {what}", value)
    console.print(facts)
    console.print(_groups_table(opened.manifest))
    if opened.manifest.boundaries:
        console.print(_boundaries_table(opened.manifest))
    console.print(_path_table(opened.manifest))


def _as_json(bundle: Bundle) -> dict[str, object]:
    student, teacher = _ends(bundle.manifest)
    return {
        **json.loads(bundle.manifest.to_json()),
        "root": str(bundle.root),
        "labels": None if bundle.labels is None else list(bundle.labels),
        "bundle_bytes": sum(entry.bytes for entry in bundle.files()),
        "student_bytes": student,
        "teacher_bytes": teacher,
    }


def _count(bundle: Bundle) -> str:
    tier = f", tier {bundle.manifest.tier}" if bundle.manifest.tier is not None else ""
    num_groups = bundle.manifest.num_groups
    return f"{num_groups} group{'' if num_groups == 1 else 's'}{tier}"


def _ends(manifest: Manifest) -> tuple[int, int]:
    n = manifest.num_groups
    return manifest.mix_bytes(mixes.Mix.all_student(n)), manifest.mix_bytes(mixes.Mix.all_teacher(n))


def _facts(bundle: Bundle) -> Iterator[tuple[str, str]]:
    m = bundle.manifest
    student, teacher = _ends(m)
    files = bundle.files()
    yield "input", f"{m.input.dtype} {_shape(m.input.shape)}, {_preprocess(m.input.preprocess)}"
    yield "output", f"{m.output.dtype} {_shape(m.output.shape)}, {m.output.kind}{_labels(bundle)}"
    yield "student", units.byte_size(student)
    yield "teacher", f"{units.byte_size(teacher)}, {teacher / student:.1f} × the student"
    yield "all files", f"{len(files)}, {units.byte_size(sum(entry.bytes for entry in files))}"
    yield "order", ", ".join(map(str, m.order))
    threads = "1 thread" if m.runtime.threads == 1 else f"{m.runtime.threads} threads"
    yield "runs with", f"TFLite {m.requires.tflite_runtime} or newer, {threads}, {m.runtime.delegate}"
    yield (
        "made by",
        f"tfpwl {m.producer.tfpwl}, TensorFlow {m.producer.tensorflow}, configuration {m.producer.config_sha256[:12]}",
    )


def _labels(bundle: Bundle) -> str:
    labels = bundle.labels
    if labels is None:
        return ", no labels"
    more = ", …" if len(labels) > _SHOWN_LABELS else ""
    return f" of {len(labels)} classes: {', '.join(labels[:_SHOWN_LABELS])}{more}"


def _preprocess(p: Preprocess) -> str:
    mean, std = ([f"{value:.6g}" for value in values] for values in (p.mean, p.std))
    shown = [values[0] if len(set(values)) == 1 else f"({', '.join(values)})" for values in (mean, std)]
    return f"(raw × {p.scale:.6g} − {shown[0]}) ÷ {shown[1]}"


def _shape(shape: tuple[int, ...]) -> str:
    return "×".join(map(str, shape))


def _table(title: str, *columns: str) -> Table:
    table = Table(title=title, box=box.SIMPLE_HEAD, title_justify="left")
    for index, column in enumerate(columns):
        table.add_column(column, justify="right" if index else "left")
    return table


def _groups_table(manifest: Manifest) -> Table:
    table = _table("groups", "group", "student", "teacher", "ratio")
    for index, group in enumerate(manifest.groups):
        ratio = f"{group.teacher.bytes / group.student.bytes:.1f} ×"
        table.add_row(str(index), units.byte_size(group.student.bytes), units.byte_size(group.teacher.bytes), ratio)
    return table


def _boundaries_table(manifest: Manifest) -> Table:
    table = _table("boundaries", "boundary", "student", "teacher", "dtype", "encoder", "decoder")
    for index, boundary in enumerate(manifest.boundaries):
        table.add_row(
            f"{index} → {index + 1}", _tensor(boundary.student), _tensor(boundary.teacher), boundary.student.dtype,
            _file_size(boundary.encoder), _file_size(boundary.decoder),
        )  # fmt: skip
    return table


def _tensor(spec: TensorSpec) -> str:
    if spec.scale is None or spec.zero_point is None:
        return _shape(spec.shape)
    sign = "−" if spec.zero_point > 0 else "+"
    return f"{_shape(spec.shape)}\n{spec.scale:.6g} × (q {sign} {abs(spec.zero_point)})"


def _file_size(entry: FileEntry | None) -> str:
    return _NONE if entry is None else units.byte_size(entry.bytes)


def _path_table(manifest: Manifest) -> Table:
    table = _table("path", "mix", "accuracy", "step", "loads", "files", "answer")
    loads = [
        manifest.mix_bytes(manifest.path[0].mix),
        *(_loads(manifest, a.mix, b.mix) for a, b in pairwise(manifest.path)),
    ]
    before: float | None = None
    for entry, load in zip(manifest.path, loads, strict=True):
        step = None if entry.accuracy is None or before is None else entry.accuracy - before
        before = entry.accuracy
        table.add_row(
            mix_text(entry.mix), units.percent(entry.accuracy), units.points(step), units.byte_size(load),
            units.byte_size(entry.resident_bytes), units.milliseconds(entry.latency_ms),
        )  # fmt: skip
    return table


def _loads(manifest: Manifest, before: str, after: str) -> int:
    """Bytes that are read at a step of the path."""
    there = {entry.file for entry in manifest.chain(before)}
    return sum(entry.bytes for entry in manifest.chain(after) if entry.file not in there)
