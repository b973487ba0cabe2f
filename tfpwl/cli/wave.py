"""``tfpwl wave``: templates from a teacher, students of any size from templates, and the study that compares starts."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from tfpwl.cli.arguments import json_option
from tfpwl.cli.progress import BuildProgress, stderr_console

if TYPE_CHECKING:
    from tfpwl.data import Dataset
    from tfpwl.wave import TemplateSet

_PATH = click.Path(path_type=Path)


@click.group(name="wave")
def wave() -> None:
    """Weight templates: students of many sizes from one teacher.

    \b
    Example:
      tfpwl wave condense pipelines/digits_vit.yaml -o templates.npz
      tfpwl wave init templates.npz --depth 2 --width 24 -o student.keras
      tfpwl wave study pipelines/wave_study.yaml
    """


@wave.command()
@click.argument("pipeline", type=_PATH)
@click.option("-o", "--output", type=_PATH, required=True, help="The template file to write, such as templates.npz.")
@click.option("--run", "run_folder", type=_PATH, help="Folder of the pipeline's build. [runs/NAME]")
@click.option(
    "--set", "overrides", multiple=True, metavar="KEY=VALUE", help="Override a key, e.g. wave.condense.epochs=5."
)
@json_option("what was made")
def condense(pipeline: Path, output: Path, run_folder: Path | None, overrides: tuple[str, ...], as_json: bool) -> None:
    """Distil the teacher of a pipeline into weight templates.

    The teacher is trained first, unless the pipeline's folder has it. Template shapes are the common divisors of the
    teacher, the student and `wave: sizes`. Interrupted, the same command goes on after the last whole epoch.

    \b
    Example:
      tfpwl wave condense pipelines/digits_vit.yaml -o templates.npz
    """
    from tfpwl.cli.build import run_pipeline  # noqa: PLC0415
    from tfpwl.config import WaveConfig, digest, load_config  # noqa: PLC0415
    from tfpwl.pairs import load_side  # noqa: PLC0415
    from tfpwl.wave import condense_pipeline, save_templates  # noqa: PLC0415

    _check_folder(output)
    built = run_pipeline(pipeline, run_folder, overrides, "train", None)
    config = load_config(pipeline, overrides)
    section = (config.wave or WaveConfig()).model_dump(mode="json")
    key = digest([section, config.student.model_dump(mode="json"), built.artifacts["train"].name])[:16]
    checkpoint = built.output / "wave" / f"condense-{key}.checkpoint"
    data = _load_data(config.data.model_dump(), config.seed)
    with BuildProgress(stderr_console()) as reporter:
        templates = condense_pipeline(
            config, data, load_side(built.artifacts["train"], "teacher"), checkpoint=checkpoint,
            on_progress=lambda *done: reporter.advanced("condense", *done),
        )  # fmt: skip
    save_templates(templates, output)
    _remove(checkpoint)
    shapes = {kind: list(value.shape) for kind, value in templates.templates.items()}
    if as_json:
        click.echo(json.dumps({"templates": str(output), "parameters": templates.num_parameters, "kinds": shapes}))
        return
    for kind, shape in shapes.items():
        click.echo(f"{kind:<10} {shape[0]:>4} templates of {'x'.join(map(str, shape[1:]))}")
    click.echo(f"templates: {output}, {templates.num_parameters:,} numbers")


@wave.command(name="init")
@click.argument("templates", type=_PATH)
@click.option("-o", "--output", type=_PATH, required=True, help="The Keras file to write, such as student.keras.")
@click.option("--family", help="Refuse templates of another family.")
@click.option("--depth", type=int, help="ViT: layers.")
@click.option("--width", type=int, help="ViT: width of a token.")
@click.option("--heads", type=int, help="ViT: heads. [as wide as the teacher's]")
@click.option("--mlp", type=int, help="ViT: hidden units. [in the teacher's proportion]")
@click.option("--widths", help="Staged families: channels of each stage, such as 8,16,24.")
@click.option("--depths", help="Staged families: blocks of each stage, such as 1,1,1.")
@click.option("--data", "data_name", help="Name or .npz of the data set for the scalers. [the pipeline's]")
@click.option("--steps", type=click.IntRange(1), default=150, show_default=True, help="Steps that train the scalers.")
@click.option(
    "--seed", type=click.IntRange(0), default=0, show_default=True, help="Of batches and what is not from templates."
)
@json_option("what was made")
def init_student(
    *, templates: Path, output: Path, family: str | None, data_name: str | None, steps: int, seed: int, as_json: bool,
    **size: Any,
) -> None:  # fmt: skip
    """Write a student of any size that starts from templates.

    What is not given is as the teacher has it. Trains the student's scalers on a little data and writes an ordinary
    Keras model.

    \b
    Example:
      tfpwl wave init templates.npz --family vit --depth 2 --width 24 -o student.keras
    """
    from tfpwl.errors import ModelError  # noqa: PLC0415
    from tfpwl.models import build_groups  # noqa: PLC0415
    from tfpwl.pairs import compose  # noqa: PLC0415
    from tfpwl.wave import count_scalers, initialise, load_templates  # noqa: PLC0415
    from tfpwl.wave.configured import batches_of, derive_size  # noqa: PLC0415

    _check_folder(output)
    loaded = load_templates(templates, family=family)
    params = derive_size(loaded, _given(size))
    data = _data_for(loaded, data_name)
    student = build_groups(loaded.family, data.input_shape, data.num_classes, name="student", seed=seed, **params)
    counts = count_scalers(student, loaded.templates)
    with BuildProgress(stderr_console()) as reporter:
        history = initialise(
            student, loaded, batches_of(data, 64, seed), steps=steps, seed=seed,
            on_progress=lambda *done: reporter.advanced("scalers", *done),
        )  # fmt: skip
    if output.suffix != ".keras":
        raise ModelError(f"Received -o {output}; expected a name that ends in .keras.")
    partial = output.with_name(f".{output.stem}.{os.getpid()}.keras")
    model = compose(student, "student")
    model.save(partial)
    os.replace(partial, output)
    made = {
        "student": str(output), "family": loaded.family, "size": params, "parameters": int(model.count_params()),
        "scalers": counts, "train_accuracy": history.epochs[-1].get("accuracy"),
    }  # fmt: skip
    if as_json:
        click.echo(json.dumps(made))
        return
    for kind, count in counts.items():
        click.echo(f"{kind:<10} {count:>7,} scalers")
    click.echo(f"student: {output}, {sum(counts.values()):,} scalers made {made['parameters']:,} parameters")


@wave.command()
@click.argument("study", type=_PATH)
@click.option("-o", "--output", type=_PATH, help="Folder for everything. [runs/NAME]")
@click.option("--set", "overrides", multiple=True, metavar="KEY=VALUE", help="Override a key, e.g. seeds=1.")
@click.option("--workers", type=click.IntRange(1), help="Processes side by side, a thread each. [number of cores]")
@json_option("the results")
def study(study: Path, output: Path | None, overrides: tuple[str, ...], workers: int | None, as_json: bool) -> None:
    """Compare WAVE with random, selection and pruning starts on the same budget.

    Writes study.json and study.md. Interrupted, the same command goes on from what is finished. Learning rates are
    chosen on validation images, test images only measure; to try other settings, measure on validation images too.

    \b
    Example:
      tfpwl wave study pipelines/wave_study.yaml
      tfpwl wave study pipelines/wave_study.yaml --set split=validation --set seeds=1 -o /tmp/tuning
    """
    from tfpwl.wave.study import run_study  # noqa: PLC0415
    from tfpwl.wave.study_config import load_study  # noqa: PLC0415
    from tfpwl.wave.study_tables import to_markdown  # noqa: PLC0415

    config = load_study(study, overrides)
    output = Path("runs") / config.name if output is None else output
    with BuildProgress(stderr_console()) as reporter:
        results = run_study(config, output, workers=workers or os.cpu_count() or 1, on_progress=reporter.advanced)
    text = json.dumps(results, indent=1, sort_keys=True) + "\n"
    for name, content in (("study.json", text), ("study.md", to_markdown(results))):
        partial = output / f".{name}.partial"
        partial.write_text(content, encoding="utf-8")
        os.replace(partial, output / name)
    if as_json:
        click.echo(text, nl=False)
    else:
        click.echo(f"tables: {output / 'study.md'}\nnumbers: {output / 'study.json'}")


def _check_folder(output: Path) -> None:
    """Before anything is trained."""
    if not output.absolute().parent.is_dir():
        raise click.BadParameter(f"the folder {output.absolute().parent} does not exist", param_hint="-o")


def _given(size: Mapping[str, Any]) -> dict[str, Any]:
    given = {key: value for key, value in size.items() if value is not None}
    for key in ("widths", "depths"):
        if key in given:
            try:
                given[key] = [int(part) for part in given[key].split(",")]
            except ValueError as exc:
                message = f"received {given[key]!r}; expected numbers with commas, such as 8,16,24"
                raise click.BadParameter(message, param_hint=f"--{key}") from exc
    return given


def _data_for(templates: TemplateSet, name: str | None) -> Dataset:
    """The data set that ``--data`` names, or that of the pipeline that the templates came from."""
    source = templates.source.get("data")
    if name is not None:
        recorded = source if isinstance(source, Mapping) else {}
        given = {"npz": Path(name)} if name.endswith(".npz") else {"name": name}
        form = {key: recorded.get(key) for key in ("image_size", "channels", "preprocess")}
        return _load_data({**form, **given}, 0)
    if not isinstance(source, Mapping):
        raise click.UsageError("The template file does not say which data it came from; give --data NAME.")
    return _load_data(source, int(templates.source.get("seed", 0)))


def _load_data(source: Mapping[str, Any], seed: int) -> Dataset:
    from tfpwl.config import DataConfig, validate_as  # noqa: PLC0415
    from tfpwl.data import load_section  # noqa: PLC0415

    section = validate_as(DataConfig, source, source="the template file's data")
    return load_section(section, seed)


def _remove(folder: Path) -> None:
    import shutil  # noqa: PLC0415

    shutil.rmtree(folder, ignore_errors=True)
