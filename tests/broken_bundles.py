"""Broken bundles, made of a good one in the ways that ``broken_bundles.json`` lists.

Each case of the table names what to do to a bundle and what opening it or upgrading to the teacher must raise. Python's
tests (``tests/bundle/test_corpus.py``) and those of the Android library read the same table, so that both sides refuse
the same bundles with the same errors.

A case::

    {"name": "sum_of_a_teacher", "do": [["flip", "g1.teacher.tflite", -1]],
     "at": "upgrade", "error": "IntegrityError", "says": "g1.teacher.tflite"}

``at`` is where the error comes: ``open`` or ``upgrade``; ``error`` is null where everything works. ``key`` is ``right``
or ``other`` where the bundle is opened with a public key. ``packed`` cases are packed before ``do``, which then changes
the packed file. The steps of ``do`` are the functions below, with their arguments.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from tfpwl.bundle import pack, sign
from tfpwl.bundle.archive import CENTRAL, CENTRAL_MARK, LOCAL, LOCAL_MARK

TABLE = Path(__file__).with_name("broken_bundles.json")
MANIFEST = "manifest.json"
KEY_SEEDS = {"right": 1, "other": 2}

Files = Mapping[str, bytes]
Case = dict[str, Any]


def cases() -> list[Case]:
    """The table."""
    return list(json.loads(TABLE.read_text("utf-8")))


def make(case: Case, good: Path, target: Path, private_key: Path, spare: Files) -> Path:
    """Write the broken bundle of ``case``.

    Args:
        case: a row of the table.
        good: the folder of a bundle, signed with ``private_key``; it stays as it is.
        target: where the bundle shall be; must not exist.
        private_key: to sign again with, where a case asks for it.
        spare: .tflite files by stem that a case may put in.

    Returns:
        ``target``: a folder or a packed file.
    """
    if case.get("packed"):
        pack(good, target)
        data = bytearray(target.read_bytes())
        for step in case["do"]:
            _PACK_STEPS[step[0]](data, *step[1:])
        target.write_bytes(bytes(data))
        return target
    target.mkdir()
    for path in good.iterdir():
        (target / path.name).write_bytes(path.read_bytes())
    for step in case["do"]:
        if step[0] == "sign":
            sign(target, private_key)
        elif step[0] == "put":
            _put(target, step[1], spare[step[2]])
        else:
            _FOLDER_STEPS[step[0]](target, *step[1:])
    return target


def _document(root: Path) -> Any:
    return json.loads((root / MANIFEST).read_text("utf-8"))


def _write(root: Path, document: Any) -> None:
    (root / MANIFEST).write_text(json.dumps(document, sort_keys=True, indent=1) + "\n", "utf-8")


def _set(root: Path, where: list[str | int], value: Any) -> None:
    """Put a value at a place of the manifest."""
    document = _document(root)
    parent = document
    for step in where[:-1]:
        parent = parent[step]
    parent[where[-1]] = value
    _write(root, document)


def _remove(root: Path, where: list[str | int]) -> None:
    """Take a key out of the manifest."""
    document = _document(root)
    parent = document
    for step in where[:-1]:
        parent = parent[step]
    del parent[where[-1]]
    _write(root, document)


def _text(root: Path, old: str, new: str) -> None:
    """Replace the first ``old`` of the manifest's text."""
    text = (root / MANIFEST).read_text("utf-8")
    assert old in text, f"the manifest has no {old!r}; the table is out of date"
    (root / MANIFEST).write_text(text.replace(old, new, 1), "utf-8")


def _raw(root: Path, name: str, content: str) -> None:
    """Write a file; ``content`` is in hexadecimal."""
    (root / name).write_bytes(bytes.fromhex(content))


def _fill(root: Path, name: str, count: int) -> None:
    """Write a file of ``count`` spaces."""
    (root / name).write_bytes(b" " * count)


def _nest(root: Path, name: str, levels: int) -> None:
    """Write a JSON list of that many levels."""
    (root / name).write_text("[" * levels + "]" * levels, "utf-8")


def _cut(root: Path, name: str, count: int) -> None:
    """Take bytes off the end of a file."""
    (root / name).write_bytes((root / name).read_bytes()[:-count])


def _append(root: Path, name: str, count: int) -> None:
    """Add zero bytes to a file."""
    (root / name).write_bytes((root / name).read_bytes() + bytes(count))


def _flip(root: Path, name: str, at: int) -> None:
    """Turn one byte of a file around; a negative place counts from the end."""
    data = bytearray((root / name).read_bytes())
    data[at] ^= 0xFF
    (root / name).write_bytes(data)


def _delete(root: Path, name: str) -> None:
    (root / name).unlink()


def _folder(root: Path, name: str) -> None:
    """A folder in the place of a file."""
    (root / name).unlink()
    (root / name).mkdir()


def _link(root: Path, name: str) -> None:
    """A link to the file's content in its place."""
    (root / name).rename(root / f"{name}.real")
    (root / name).symlink_to(f"{name}.real")


def _swap(root: Path, one: str, other: str) -> None:
    """Exchange two files' contents."""
    first, second = (root / one).read_bytes(), (root / other).read_bytes()
    (root / one).write_bytes(second)
    (root / other).write_bytes(first)


def _put(root: Path, name: str, data: bytes) -> None:
    """Another content with sums that fit: what only the engine or the contracts can tell."""
    import hashlib

    (root / name).write_bytes(data)
    document = _document(root)
    for group in document["groups"]:
        for entry in group.values():
            if entry["file"] == name:
                entry |= {"bytes": len(data), "sha256": hashlib.sha256(data).hexdigest()}
    _write(root, document)


def _pack_cut(data: bytearray, count: int) -> None:
    del data[-count:]


def _pack_append(data: bytearray, count: int) -> None:
    data += bytes(count)


def _pack_flip(data: bytearray, name: str) -> None:
    """Turn the first byte of a member around."""
    local = data.index(LOCAL_MARK + data[4:6], _header(data, name))
    extra = int.from_bytes(data[local + 28 : local + 30], "little")
    data[local + LOCAL.size + len(name) + extra] ^= 0xFF


def _pack_local(data: bytearray, name: str, at: int, content: str) -> None:
    """Write into the local header of a member."""
    _overwrite(data, _header(data, name) + at, content)


def _pack_central(data: bytearray, name: str, at: int, content: str) -> None:
    """Write into a member's entry of the directory."""
    _overwrite(data, _entry(data, name) + at, content)


def _pack_end(data: bytearray, at: int, content: str) -> None:
    """Write into the zip's end, ``at`` counted from its end."""
    _overwrite(data, len(data) + at, content)


def _overwrite(data: bytearray, at: int, content: str) -> None:
    raw = bytes.fromhex(content)
    data[at : at + len(raw)] = raw


def _entry(data: bytearray, name: str) -> int:
    return data.rindex(name.encode()) - CENTRAL.size


def _header(data: bytearray, name: str) -> int:
    entry = _entry(data, name)
    assert data[entry : entry + 4] == CENTRAL_MARK
    return int.from_bytes(data[entry + 42 : entry + 46], "little")


_FOLDER_STEPS: dict[str, Callable[..., None]] = {
    "set": _set,
    "remove": _remove,
    "text": _text,
    "raw": _raw,
    "fill": _fill,
    "nest": _nest,
    "cut": _cut,
    "append": _append,
    "flip": _flip,
    "delete": _delete,
    "folder": _folder,
    "link": _link,
    "swap": _swap,
}
_PACK_STEPS: dict[str, Callable[..., None]] = {
    "cut": _pack_cut,
    "append": _pack_append,
    "flip": _pack_flip,
    "local": _pack_local,
    "central": _pack_central,
    "end": _pack_end,
}
