"""The template file: what condensing leaves and every size starts from."""

from __future__ import annotations

import json
import os
import tempfile
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from tfpwl.errors import ModelError

FORMAT, VERSION = "tfpwl-templates", 1
_HEADER, _PARTS = "header", ("templates", "scalers")
_MAX_HEADER_BYTES = 1 << 20


@dataclass(frozen=True)
class TemplateSet:
    """Templates by kind, and what they were condensed from.

    Args:
        family: of the models they start, such as ``vit``.
        templates: ``(K, p, q)`` or ``(K, height, width, p, q)`` float32 by kind.
        scalers: ``(K, r, c)`` of the auxiliary model, by the name of its kernel; those of other sizes start from them.
        source: how they came about (name of the teacher's pipeline, epochs, …), for people.
    """

    family: str
    templates: Mapping[str, np.ndarray]
    scalers: Mapping[str, np.ndarray]
    source: Mapping[str, Any]

    @property
    def num_parameters(self) -> int:
        return sum(value.size for value in self.templates.values())


def save_templates(templates: TemplateSet, path: Path) -> None:
    """Write a template file (``.npz``), whole or not at all.

    Raises:
        OSError: the folder cannot be written.
    """
    parts = {"templates": templates.templates, "scalers": templates.scalers}
    header = {
        "format": FORMAT, "version": VERSION, "family": templates.family, "source": dict(templates.source),
        **{part: {name: list(value.shape) for name, value in values.items()} for part, values in parts.items()},
    }  # fmt: skip
    arrays: dict[str, Any] = {_HEADER: np.frombuffer(json.dumps(header, sort_keys=True).encode(), np.uint8)}
    for part, values in parts.items():
        arrays |= {f"{part}/{name}": np.asarray(value, np.float32) for name, value in values.items()}
    with tempfile.NamedTemporaryFile(dir=path.parent, prefix=f".{path.name}.", delete=False) as file:
        try:
            np.savez(file, **arrays)
            file.close()
            os.replace(file.name, path)
        except BaseException:
            os.unlink(file.name)
            raise


def load_templates(path: Path, *, family: str | None = None) -> TemplateSet:
    """Read a template file; the header first, each array against it after.

    Args:
        path: of the file.
        family: of the model that is to start from it; None takes any.

    Raises:
        ModelError: there is no file, it is none of ours, cut short or damaged, of another version or another family.
    """
    if not path.is_file():
        raise ModelError(f"No template file {path}. Make one with `tfpwl wave condense PIPELINE.yaml -o {path}`.")
    try:
        # Opened here: numpy leaves a file open that it finds broken.
        with path.open("rb") as raw, np.load(raw, allow_pickle=False) as file:
            header = _header(file, path)
            parts = {part: {name: file[f"{part}/{name}"] for name in header[part]} for part in _PARTS}
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile, NotImplementedError) as exc:
        raise ModelError(
            f"{path} is no whole template file ({exc}); it may be cut short or damaged. Copy it again or condense anew."
        ) from exc
    for part, arrays in parts.items():
        for name, value in arrays.items():
            _check_array(value, header[part][name], f"{path}: {part} {name!r}")
    if family is not None and header["family"] != family:
        raise ModelError(
            f"{path} has templates for the family {header['family']!r}, and the model is a {family!r}. Condense "
            f"templates from a {family!r} teacher."
        )
    return TemplateSet(header["family"], parts["templates"], parts["scalers"], header["source"])


def _header(file: Any, path: Path) -> dict[str, Any]:
    if _HEADER not in file.files:
        raise ModelError(f"{path} is an .npz, but no template file of tfpwl: it has no header.")
    raw = file[_HEADER]
    if raw.dtype != np.uint8 or raw.ndim != 1 or raw.size > _MAX_HEADER_BYTES:
        raise ModelError(f"{path} is an .npz, but its header is none of tfpwl's.")
    header = json.loads(raw.tobytes())
    if not isinstance(header, dict) or header.get("format") != FORMAT:
        raise ModelError(f"{path} is an .npz, but its header does not say {FORMAT!r}.")
    if header.get("version") != VERSION:
        raise ModelError(
            f"{path} has version {header.get('version')!r} of the template format, and this tfpwl reads version "
            f"{VERSION}. Use the tfpwl that wrote it, or condense anew."
        )
    return _checked(header, path)


def _check_array(value: np.ndarray, shape: list[int], what: str) -> None:
    if list(value.shape) != shape or value.dtype != np.float32 or not np.isfinite(value).all():
        raise ModelError(
            f"{what} are {value.dtype} of shape {list(value.shape)}; the header says finite float32 of {shape}. The "
            "file is damaged; copy it again or condense anew."
        )


def _checked(header: dict[str, Any], path: Path) -> dict[str, Any]:
    if not (
        isinstance(header.get("family"), str)
        and isinstance(header.get("source"), dict)
        and _is_table(header.get("templates"), (3, 5))
        and _is_table(header.get("scalers"), (3,))
    ):
        raise ModelError(f"{path}: the header lacks family, source, templates or scalers, or they are malformed.")
    return header


def _is_table(value: Any, ranks: tuple[int, ...]) -> bool:
    """Whether ``value`` maps names to shapes of one of ``ranks``."""
    return isinstance(value, dict) and all(
        isinstance(shape, list) and len(shape) in ranks and all(type(n) is int and n > 0 for n in shape)
        for shape in value.values()
    )
