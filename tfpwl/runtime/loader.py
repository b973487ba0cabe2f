"""From a bundle's files to a chain of loaded groups; groups that stay are shared between chains."""

from __future__ import annotations

import weakref
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from tfpwl.bundle import Bundle, FileEntry
from tfpwl.bundle.faces import Face, faces_of
from tfpwl.errors import ContractError, EngineError, OutOfMemoryError, TfpwlError
from tfpwl.mix import Mix
from tfpwl.runtime.engine import Engine, LoadedGroup, ModelBytes, Runner
from tfpwl.runtime.footprint import loaded_bytes


class Step:
    """A loaded file in a chain. It closes its group when the last chain and the last answer have let go of it."""

    __slots__ = ("__weakref__", "entry", "group")

    def __init__(self, entry: FileEntry, group: LoadedGroup) -> None:
        self.entry = entry
        self.group = group
        weakref.finalize(self, group.close).atexit = False


class Chain(NamedTuple):
    """A mix, its loaded files in running order, and what runs them; never changed, only replaced.

    ``run`` is None once the model is closed. Who runs it holds the chain meanwhile, so that no group is closed
    under it.
    """

    mix: Mix
    steps: tuple[Step, ...]
    run: Runner | None

    @property
    def resident_bytes(self) -> int:
        """What its groups take; those that another chain shares are counted here, too."""
        return sum(step.group.resident_bytes for step in self.steps)


class OverBudget(Exception):
    """The next mix does not fit the budget; no fault, so no TfpwlError."""


class ChainLoader:
    """Builds chains for mixes of one bundle."""

    def __init__(self, bundle: Bundle, engine: Engine, threads: int, in_place: bool = False) -> None:
        self._bundle = bundle
        self._engine = engine
        self._threads = threads
        self._in_place = in_place
        self._faces: dict[str, list[Face]] = {}
        for face in faces_of(bundle.manifest):
            self._faces.setdefault(face.entry.file, []).append(face)

    def build(
        self, mix: Mix, current: Chain | None = None, *, warm_up: bool = False, budget: int | None = None
    ) -> Chain:
        """A chain for ``mix`` that takes over what ``current`` has loaded and loads the rest.

        Args:
            mix: one letter per group of the bundle.
            current: a chain to share loaded files with.
            warm_up: run each new file once. XNNPACK packs weights and touches pages in the first run (100 ms for
                100 MB); an answer should not wait for that.
            budget: bytes that ``current`` and the new files together may take.

        Raises:
            IntegrityError: a file is missing or not what the manifest says.
            ContractError: a file's ends are not what the manifest says.
            OutOfMemoryError: there is not enough memory; or, without ``current``, the mix does not fit the budget.
            OverBudget: a mix that comes after ``current`` does not fit the budget.
            EngineError: the engine cannot load or run a file.
        """
        loaded = {step.entry.file: step for step in current.steps} if current else {}
        entries = self.files(mix)
        missing = [entry for entry in entries if entry.file not in loaded]
        if budget is not None:
            new = self._load_within(missing, budget - (current.resident_bytes if current else 0), warm_up)
        else:
            # One after another: answers need the other core.
            new = [self.load(entry, self.read(entry), warm_up=warm_up) for entry in missing]
        loaded.update({step.entry.file: step for step in new})
        return self.connect(mix, [loaded[entry.file] for entry in entries])

    def files(self, mix: Mix) -> tuple[FileEntry, ...]:
        """The files of ``mix`` in running order."""
        return self._bundle.chain(mix)

    def connect(self, mix: Mix, steps: Sequence[Step]) -> Chain:
        """A chain of loaded files in running order.

        Raises:
            OutOfMemoryError: there is not enough memory for the tensors between the files.
            EngineError: a file does not take what the one before it gives, or the engine fails.
        """
        try:
            return Chain(mix, tuple(steps), self._engine.connect([step.group for step in steps]))
        except TfpwlError:
            raise
        except MemoryError as exc:
            reason = f"Not enough memory to connect the files of {mix}. Free some and try again."
            raise OutOfMemoryError(reason) from exc
        except Exception as exc:
            # As in load: foreign code.
            reason = f"{type(exc).__name__}: {exc}"
            raise EngineError(f"The engine {self._engine.name!r} cannot connect the files of {mix}: {reason}") from exc

    def _load_within(self, entries: list[FileEntry], budget: int, warm_up: bool) -> list[Step]:
        """Load files one after another, as long as they fit: a file is read to know what it takes, then loaded."""
        steps = []
        for entry in entries:
            content = self.read(entry)
            budget -= loaded_bytes(content)
            if budget < 0:
                raise OverBudget(f"{entry.file} would need {-budget} bytes more than the budget allows.")
            steps.append(self.load(entry, content, warm_up=warm_up))
        return steps

    def read(self, entry: FileEntry) -> ModelBytes:
        """The content of a file, its sum checked.

        Raises:
            IntegrityError: it is missing or not what the manifest says.
            OutOfMemoryError: there is not enough memory.
        """
        try:
            return self._bundle.view(entry) if self._in_place else self._bundle.read(entry)
        except MemoryError as exc:
            raise _out_of_memory(entry) from exc

    def load(self, entry: FileEntry, content: ModelBytes, *, warm_up: bool = False) -> Step:
        """Load a file with the content that :meth:`read` gave.

        Raises:
            ContractError: its ends are not what the manifest says.
            OutOfMemoryError: there is not enough memory.
            EngineError: the engine cannot load or run it.
        """
        try:
            group = self._engine.load(content, threads=self._threads, sha256=entry.sha256)
            step = Step(entry, group)
            self._check_faces(entry, group)
            if warm_up:
                group(np.zeros(group.input.shape, group.input.dtype))
        except EngineError as exc:
            raise type(exc)(f"{entry.file}: {exc}") from exc
        except TfpwlError:
            raise
        except MemoryError as exc:
            raise _out_of_memory(entry) from exc
        except Exception as exc:
            # An engine is foreign code: whatever it raises must leave the last good mix answering.
            reason = f"{type(exc).__name__}: {exc}"
            raise EngineError(f"{entry.file}: the engine {self._engine.name!r} failed with {reason}") from exc
        return step

    def _check_faces(self, entry: FileEntry, group: LoadedGroup) -> None:
        for face in self._faces[entry.file]:
            found = group.input if face.end == "input" else group.output
            if not face.accepts(found):
                raise ContractError(
                    f"{entry.file}: its {face.end} is {found}, but {face.where} is {face.spec}. "
                    "Export the bundle again."
                )


def _out_of_memory(entry: FileEntry) -> OutOfMemoryError:
    return OutOfMemoryError(
        f"{entry.file}: not enough memory to load its {entry.bytes} bytes. Free some and try again."
    )
