"""Reading JSON strictly: every value knows where it stands, every malformation has its own message."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Collection, Iterator
from typing import Any, NoReturn

from tfpwl.errors import ManifestError

MAX_TEXT = 1000
MAX_QUOTE = 80


def parse_json(text: str | bytes, *, max_bytes: int) -> Node:
    """The root of a JSON document that has no duplicate keys, no NaN and at most ``max_bytes`` bytes of UTF-8.

    Raises:
        ManifestError: for each of these, with what was received.
    """
    data = text if isinstance(text, bytes) else text.encode("utf-8", "surrogatepass")
    if len(data) > max_bytes:
        raise ManifestError(f"The manifest has {len(data)} bytes; at most {max_bytes} are read.")
    try:
        value = json.loads(data.decode("utf-8"), object_pairs_hook=_unique_keys, parse_constant=_refuse_constant)
    except UnicodeDecodeError as exc:
        raise ManifestError(f"The manifest is not UTF-8 (byte {exc.start}); export the bundle again.") from exc
    except (ValueError, RecursionError) as exc:
        # ValueError is JSONDecodeError and also Python's limit on the digits of an integer.
        raise ManifestError(f"The manifest is not valid JSON: {exc}") from exc
    return Node(value, "")


def shorten(text: str) -> str:
    """``text`` cut to what a message can bear."""
    return text if len(text) <= MAX_QUOTE else text[: MAX_QUOTE - 3] + "..."


def _unique_keys(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for key, value in pairs:
        if key in found:
            raise ManifestError(f"The manifest has the key {key!r} twice in one object; each key may stand once.")
        found[key] = value
    return found


def _refuse_constant(token: str) -> NoReturn:
    raise ManifestError(f"The manifest holds {token}, which is not JSON; numbers must be finite.")


class Node:
    """One value of a JSON document and its path, such as ``groups[1].teacher.sha256``."""

    __slots__ = ("path", "value")

    def __init__(self, value: Any, path: str) -> None:
        self.value = value
        self.path = path

    def fail(self, problem: str) -> NoReturn:
        """Raise a :class:`ManifestError` that names this place."""
        raise ManifestError(f"{self.path or 'the manifest'}: {problem}")

    def _expected(self, what: str) -> NoReturn:
        self.fail(f"received {shorten(repr(self.value))}; expected {what}")

    def fields(self, *required: str, optional: Collection[str] = ()) -> Node:
        """This node, an object that has all ``required`` keys and no key beside these and ``optional``."""
        if not isinstance(self.value, dict):
            self._expected("an object")
        known = {*required, *optional}
        for key in self.value:
            if key not in known:
                self.child(key).fail(f"unknown key; expected only {', '.join(sorted(known))}")
        for key in required:
            if key not in self.value:
                self.child(key).fail("the key is missing")
        return self

    def child(self, key: str) -> Node:
        name = shorten(key)
        return Node(self.value.get(key), f"{self.path}.{name}" if self.path else name)

    def __getitem__(self, key: str) -> Node:
        return self.child(key)

    def maybe(self, key: str) -> Node | None:
        """The child at ``key``, or None where it is null or absent."""
        child = self.child(key)
        return None if child.value is None else child

    def items(self, *, minimum: int = 0) -> Iterator[Node]:
        """The members of a list that has at least ``minimum`` of them."""
        if not isinstance(self.value, list):
            self._expected("a list")
        if len(self.value) < minimum:
            self.fail(f"received {len(self.value)} members; expected at least {minimum}")
        for i, value in enumerate(self.value):
            yield Node(value, f"{self.path}[{i}]")

    def text(self) -> str:
        """Printable text that is not empty."""
        if not isinstance(self.value, str):
            self._expected("a string")
        if not self.value or len(self.value) > MAX_TEXT or not self.value.isprintable():
            self._expected(f"1 to {MAX_TEXT} printable characters")
        return self.value

    def matching(self, pattern: str, what: str) -> str:
        """Text that matches ``pattern`` from end to end; ``what`` says in words what that is."""
        if not re.fullmatch(pattern, self.text()):
            self._expected(what)
        return str(self.value)

    def choice(self, *choices: str) -> str:
        """Text that is one of ``choices``."""
        if self.text() not in choices:
            self._expected(f"one of {', '.join(choices)}")
        return str(self.value)

    def integer(self, *, minimum: int, maximum: int = 2**63 - 1) -> int:
        """A whole number; true and false are none, nor is 1.0."""
        if not isinstance(self.value, int) or isinstance(self.value, bool):
            self._expected("a whole number")
        if not minimum <= self.value <= maximum:
            self._expected(f"a whole number from {minimum} to {maximum}")
        return self.value

    def number(self, *, minimum: float = -math.inf, maximum: float = math.inf) -> float:
        """A finite number."""
        if not isinstance(self.value, (int, float)) or isinstance(self.value, bool):
            self._expected("a number")
        try:
            number = float(self.value)
        except OverflowError:
            self._expected("a finite number")
        if not math.isfinite(number):
            self._expected("a finite number")
        if not minimum <= number <= maximum:
            self._expected(f"a number from {minimum} to {maximum}")
        return number
