"""Text files are UTF-8 wherever tfpwl runs: without an encoding, Python takes that of the user's locale.

ruff has PLW1514 for it, which is in preview and does not see through ``path: Path``.
"""

import ast
from pathlib import Path

import pytest

import tfpwl

ARGUMENTS_BEFORE = {"read_text": 0, "write_text": 1}  # positional ones, before the encoding


def without_encoding(source):
    """Line numbers of calls that read or write text and name no encoding."""
    for node in ast.walk(ast.parse(source)):
        if not isinstance(node, ast.Call) or "encoding" in {keyword.arg for keyword in node.keywords}:
            continue
        name = getattr(node.func, "attr", getattr(node.func, "id", None))
        if name in ARGUMENTS_BEFORE and len(node.args) == ARGUMENTS_BEFORE[name]:
            yield node.lineno
        # Methods of this name open zip files and bundles, too; only the built-in and Path's take a mode.
        given = [arg.value for arg in node.args if isinstance(arg, ast.Constant)]
        modes = [value for value in given if isinstance(value, str) and set(value) <= set("rwxabt+")]
        if name == "open" and (modes or isinstance(node.func, ast.Name)) and "b" not in "".join(modes):
            yield node.lineno


@pytest.mark.parametrize(
    ("call", "bad"),
    [
        ("path.read_text()", True),
        ("path.read_text(encoding='utf-8')", False),
        ("path.write_text(text)", True),
        ("path.write_text(text, 'utf-8')", False),
        ("open(path)", True),
        ("open(path, 'w')", True),
        ("open(path, 'rb')", False),
        ("path.open('x')", True),
        ("path.open('xb')", False),
        ("Bundle.open(root)", False),
        ("archive.open('x_train.npy')", False),
    ],
)
def test_calls_without_an_encoding_are_found(call, bad):
    assert list(without_encoding(call)) == [1] * bad


def test_every_text_file_is_read_and_written_as_utf_8():
    root = Path(tfpwl.__file__).parent
    found = {
        f"{path.relative_to(root)}:{line}"
        for path in root.rglob("*.py")
        for line in without_encoding(path.read_text("utf-8"))
    }
    assert found == set()
