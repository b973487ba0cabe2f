"""From a bundle's files to a chain of loaded groups; groups that stay are shared between chains."""

from __future__ import annotations

import weakref
from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from tfpwl.bundle import Bundle, FileEntry
from tfpwl.bundle.faces import Face, faces_of
from tfpwl.errors import ContractError, EngineError, TfpwlError
from tfpwl.mix import Mix
from tfpwl.runtime.engine import Array, Engine, LoadedGroup


class Step:
    """A loaded file in a chain. It closes its group when the last chain and the last answer have let go of it."""

    __slots__ = ("__weakref__", "entry", "run")

    def __init__(self, entry: FileEntry, group: LoadedGroup) -> None:
        self.entry = entry
        self.run: Callable[[Array], Array] = group.__call__
        weakref.finalize(self, group.close).atexit = False


class Chain(NamedTuple):
    """A mix and its loaded files in running order; never changed, only replaced."""

    mix: Mix
    steps: tuple[Step, ...]

    @property
    def resident_bytes(self) -> int:
        return sum(step.entry.bytes for step in self.steps)


class ChainLoader:
    """Builds chains for mixes of one bundle."""

    def __init__(self, bundle: Bundle, engine: Engine, threads: int) -> None:
        self._bundle = bundle
        self._engine = engine
        self._threads = threads
        self._faces: dict[str, list[Face]] = {}
        for face in faces_of(bundle.manifest):
            self._faces.setdefault(face.entry.file, []).append(face)

    def build(self, mix: Mix, current: Chain | None = None, *, warm_up: bool = False) -> Chain:
        """A chain for ``mix`` that takes over what ``current`` has loaded and loads the rest.

        Args:
            mix: one letter per group of the bundle.
            current: a chain to share loaded files with.
            warm_up: run each new file once. XNNPACK packs weights and touches pages in the first run (100 ms for
                100 MB, FACTS.md); an answer should not wait for that.

        Raises:
            IntegrityError: a file is missing or not what the manifest says.
            ContractError: a file's ends are not what the manifest says.
            EngineError: the engine cannot load or run a file, or there is not enough memory.
        """
        loaded = {step.entry.file: step for step in current.steps} if current else {}
        steps = []
        for entry in self._bundle.chain(mix):
            step = loaded.get(entry.file)
            steps.append(self._load(entry, warm_up) if step is None else step)
        return Chain(mix, tuple(steps))

    def _load(self, entry: FileEntry, warm_up: bool) -> Step:
        try:
            group = self._engine.load(self._bundle.read(entry), threads=self._threads)
            step = Step(entry, group)
            self._check_faces(entry, group)
            if warm_up:
                step.run(np.zeros(group.input.shape, group.input.dtype))
        except EngineError as exc:
            raise EngineError(f"{entry.file}: {exc}") from exc
        except TfpwlError:
            raise
        except MemoryError as exc:
            raise EngineError(
                f"{entry.file}: not enough memory to load its {entry.bytes} bytes. Free some and try again."
            ) from exc
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
