"""Reading JSON strictly: every value knows where it stands, every malformation has its own message."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from typing import Any, NoReturn

from tfpwl.errors import ManifestError, TfpwlError

MAX_TEXT = 1000
MAX_QUOTE = 80


@dataclass(frozen=True, slots=True)
class Document:
    """What a JSON text is, for messages, and the error that is raised where it is broken."""

    name: str
    error: type[TfpwlError]
    again: str

    def fail(self, problem: str) -> NoReturn:
        raise self.error(problem)

    def unique_keys(self, pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        found: dict[str, Any] = {}
        for key, value in pairs:
            if key in found:
                self.fail(f"{self._begin()} has the key {key!r} twice in one object; each key may stand once.")
            found[key] = value
        return found

    def refuse_constant(self, token: str) -> NoReturn:
        self.fail(f"{self._begin()} holds {token}, which is not JSON; numbers must be finite.")

    def parse(self, text: str | bytes, max_bytes: int) -> Any:
        data = text if isinstance(text, bytes) else text.encode("utf-8", "surrogatepass")
        if len(data) > max_bytes:
            self.fail(f"{self._begin()} has {len(data)} bytes; at most {max_bytes} are read.")
        try:
            return json.loads(
                data.decode("utf-8"), object_pairs_hook=self.unique_keys, parse_constant=self.refuse_constant
            )
        except UnicodeDecodeError as exc:
            raise self.error(f"{self._begin()} is not UTF-8 (byte {exc.start}); {self.again}.") from exc
        except (ValueError, RecursionError) as exc:
            # ValueError is JSONDecodeError and also Python's limit on the digits of an integer.
            raise self.error(f"{self._begin()} is not valid JSON: {exc}") from exc

    def _begin(self) -> str:
        return self.name[0].upper() + self.name[1:]


MANIFEST = Document("the manifest", ManifestError, "export the bundle again")


def parse_json(text: str | bytes, *, max_bytes: int, document: Document = MANIFEST) -> Node:
    """The root of a JSON document that has no duplicate keys, no NaN and at most ``max_bytes`` bytes of UTF-8.

    Raises:
        TfpwlError: ``document.error`` for each of these, with what was received.
    """
    return Node(document.parse(text, max_bytes), document)


def shorten(text: str) -> str:
    """``text`` cut to what a message can bear."""
    return text if len(text) <= MAX_QUOTE else text[: MAX_QUOTE - 3] + "..."


class Node:
    """One value of a JSON document and its path, such as ``groups[1].teacher.sha256``."""

    __slots__ = ("_name", "_parent", "document", "value")

    def __init__(
        self, value: Any, document: Document = MANIFEST, parent: Node | None = None, name: str | int = ""
    ) -> None:
        self.value = value
        self.document = document
        self._parent = parent
        self._name = name

    @property
    def path(self) -> str:
        """Put together when it is asked for: a manifest has hundreds of values, and few ever fail."""
        before = "" if self._parent is None else self._parent.path
        if isinstance(self._name, int):
            return f"{before}[{self._name}]"
        return f"{before}.{shorten(self._name)}" if before else shorten(self._name)

    def fail(self, problem: str) -> NoReturn:
        """Raise the document's error, naming this place."""
        self.document.fail(f"{self.path or self.document.name}: {problem}")

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
        return Node(self.value.get(key), self.document, self, key)

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
            yield Node(value, self.document, self, i)

    def text(self) -> str:
        """Printable text that is not empty."""
        if not isinstance(self.value, str):
            self._expected("a string")
        if not self.value or len(self.value) > MAX_TEXT or not self.value.isprintable():
            self._expected(f"1 to {MAX_TEXT} printable characters")
        return self.value

    def matching(self, pattern: re.Pattern[str], what: str) -> str:
        """Text that matches ``pattern`` from end to end; ``what`` says in words what that is."""
        if not pattern.fullmatch(self.text()):
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

    def flag(self) -> bool:
        """True or false."""
        if not isinstance(self.value, bool):
            self._expected("true or false")
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
