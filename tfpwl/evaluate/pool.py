"""Worker processes that score slices, and what happens when one of them dies."""

from __future__ import annotations

import os
import pickle
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import suppress
from pathlib import Path
from queue import SimpleQueue
from types import TracebackType
from typing import IO, Any, cast

from numpy.typing import NDArray

import tfpwl
from tfpwl.bundle import Bundle
from tfpwl.errors import EngineError
from tfpwl.mix import Mix

Array = NDArray[Any]
Slice = tuple[Array, Array]

_COMMAND = "from tfpwl.evaluate.worker import main; main()"
_LAST_WORDS = 500


class Worker:
    """One scoring process, started at once; it loads the files while others start."""

    def __init__(self, bundle: Bundle, mixes: Sequence[Mix], *, raw: bool = False) -> None:
        self._hello: object | None = (os.path.abspath(bundle.root), tuple(mixes), raw)
        # A file and not a pipe: nobody would empty the pipe, and a full one stops the worker.
        self._stderr = tempfile.TemporaryFile()  # noqa: SIM115 - closed in close()
        # The worker finds the tfpwl that runs here, wherever this process got it from.
        search = os.pathsep.join(filter(None, [str(Path(tfpwl.__file__).parents[1]), os.environ.get("PYTHONPATH")]))
        self.process = subprocess.Popen(
            [sys.executable, "-c", _COMMAND], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self._stderr,
            env={**os.environ, "PYTHONPATH": search},
        )  # fmt: skip
        self._requests = cast(IO[bytes], self.process.stdin)
        self._answers = cast(IO[bytes], self.process.stdout)

    def score(self, job: Slice) -> list[int]:
        """Right answers on a slice, one number per mix.

        Raises:
            TfpwlError: what the worker met while it loaded or ran the files.
            EngineError: the worker died.
        """
        if self._hello is not None:
            # Its answer is waited for, so that an error in loading is read before the pipe breaks.
            self._ask(self._hello)
            self._hello = None
        counts: list[int] = self._ask(job)
        return counts

    def _ask(self, request: object) -> Any:
        try:
            pickle.dump(request, self._requests, protocol=pickle.HIGHEST_PROTOCOL)
            self._requests.flush()
            what, value = pickle.load(self._answers)
        except (EOFError, OSError, ValueError, pickle.UnpicklingError) as exc:
            raise EngineError(self._obituary()) from exc
        if what == "error":
            raise value
        return value

    def close(self) -> None:
        """End the process, whatever it is doing."""
        self.process.kill()
        self.process.wait()
        for stream in (self._requests, self._answers, self._stderr):
            # A dead worker's pipe can still hold bytes to flush; nobody waits for them.
            with suppress(OSError):
                stream.close()

    def _obituary(self) -> str:
        code = self.process.wait()
        size = self._stderr.seek(0, os.SEEK_END)
        self._stderr.seek(max(0, size - _LAST_WORDS))
        words = self._stderr.read().decode(errors="replace").strip()
        return (
            f"An evaluation worker died with exit code {code}. Out of memory? Try fewer workers, or workers=1 to run "
            f"in this process. Its last words: {words or 'none'}"
        )


class WorkerPool:
    """Several workers on one bundle; use it in a ``with`` statement.

    Example:
        >>> with WorkerPool(bundle, mixes, 2) as pool:                             # doctest: +SKIP
        ...     for counts, num_images in pool.score(slices): ...
    """

    def __init__(self, bundle: Bundle, mixes: Sequence[Mix], num_workers: int, *, raw: bool = False) -> None:
        self.workers = [Worker(bundle, mixes, raw=raw) for _ in range(num_workers)]

    def __enter__(self) -> WorkerPool:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        for worker in self.workers:
            worker.close()

    def score(self, slices: Sequence[Slice]) -> Iterator[tuple[list[int], int]]:
        """The counts of each slice and its number of images, in the order in which they come.

        Raises:
            TfpwlError: the first error that a worker met, or an EngineError when one died.
        """
        idle: SimpleQueue[Worker] = SimpleQueue()
        for worker in self.workers:
            idle.put(worker)

        def score_one(job: Slice) -> tuple[list[int], int]:
            worker = idle.get()
            try:
                return worker.score(job), len(job[1])
            finally:
                idle.put(worker)

        # Threads only wait for the processes. They are not joined here: what they still wait for ends when
        # the pool is left and the processes are killed.
        executor = ThreadPoolExecutor(len(self.workers))
        try:
            for future in as_completed([executor.submit(score_one, job) for job in slices]):
                yield future.result()
        finally:
            executor.shutdown(wait=False, cancel_futures=True)
