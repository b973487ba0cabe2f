"""``tfpwl init``: write a commented pipeline."""

from __future__ import annotations

import difflib
import json
import os
import re
import zipfile
from pathlib import Path

import click
import numpy as np

from tfpwl.cli.pipeline_template import FAMILIES, NAMED, Subject, render_pipeline
from tfpwl.errors import ConfigError, DataError

_FOLDER_SIDE = 64
_UNKNOWN_SIDE = 32


@click.command()
@click.option("--family", type=click.Choice(FAMILIES), default="resnet", show_default=True, help="Of both sides.")
@click.option("--data", default="digits", show_default=True, metavar=f"{'|'.join(NAMED)}|FOLDER|FILE.npz",
              help="What to train on. A folder has one sub-folder per class.")  # fmt: skip
@click.option(
    "-o", "--output", type=click.Path(path_type=Path, dir_okay=False), help="File to write. [DATA_FAMILY.yaml]"
)
@click.option("--force", is_flag=True, help="Overwrite the file if it is there.")
def init(family: str, data: str, output: Path | None, force: bool) -> None:
    """Write a commented pipeline.

    It has every section, sizes that suit the images, and a comment on every key.

    \b
    Example:
      tfpwl init
      tfpwl init --family vit --data cifar10 -o my.yaml
      tfpwl init --data photos/
    """
    name = f"{_stem(data)}_{family}"
    path = Path(f"{name}.yaml") if output is None else output
    if output is not None:
        name = _clean(output.stem)
    text = render_pipeline(name, family, _subject(data, path.parent))
    try:
        with path.open("w" if force else "x", encoding="utf-8") as file:
            file.write(text)
    except FileExistsError as exc:
        raise ConfigError(f"{path} is there already. Give another name with -o, or --force to overwrite it.") from exc
    except OSError as exc:
        raise ConfigError(f"Cannot write {path}: {exc.strerror or exc}.") from exc
    click.echo(f"wrote {path}\nnext: tfpwl build {path}")


def _stem(data: str) -> str:
    """A name for the data."""
    return _clean(data if data in NAMED else Path(data).resolve().name.removesuffix(".npz"))


def _clean(text: str) -> str:
    """``text`` as a name that a pipeline may have."""
    return re.sub(r"[^A-Za-z0-9_.-]+", "_", text).lstrip("_.-")[:80] or "data"


def _subject(data: str, base: Path) -> Subject:
    if data in NAMED:
        return NAMED[data]
    path = Path(data)
    # A pipeline takes relative paths from its own folder. A JSON string is a YAML string.
    written = json.dumps(os.path.relpath(path, base), ensure_ascii=False)
    if path.is_dir():
        size = f"image_size: [{_FOLDER_SIDE}, {_FOLDER_SIDE}]  # height and width that images are resized to"
        return Subject(_stem(data), f"folder: {written}", _FOLDER_SIDE, extra=(size,))
    if path.is_file() and path.suffix == ".npz":
        return Subject(_stem(data), f"npz: {written}", _side_of(path))
    close = difflib.get_close_matches(data, NAMED, n=1)
    hint = f" Did you mean {close[0]!r}?" if close else ""
    raise DataError(
        f"Received --data {data!r}; expected {', '.join(NAMED)}, a folder that is there, or a .npz that is there.{hint}"
    )


def _side_of(path: Path) -> int:
    """The shorter side of the images in a .npz; only the array's header is read."""
    try:
        with zipfile.ZipFile(path) as archive, archive.open("x_train.npy") as member:
            version = np.lib.format.read_magic(member)
            read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
            shape = read(member)[0]
    except (KeyError, OSError, ValueError, zipfile.BadZipFile) as exc:
        raise DataError(
            f"{path}: no array x_train can be read from it ({exc}); expected x_train, y_train, x_test, y_test."
        ) from exc
    return int(min(shape[1:3])) if len(shape) >= 3 else _UNKNOWN_SIDE
