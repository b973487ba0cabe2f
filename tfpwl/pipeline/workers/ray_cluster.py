"""Workers of a Ray cluster (https://www.ray.io): its nodes see the build's output folder under the same path."""

from __future__ import annotations

import logging
import pickle
import socket
from concurrent.futures import Future
from types import TracebackType

from tfpwl.errors import MissingDependencyError, WorkerError
from tfpwl.pipeline.workers.task import Place, Task, WorkerLost

try:
    import ray
    from ray.exceptions import RayError, RayTaskError
except ImportError as exc:
    raise MissingDependencyError("Ray is not installed. Install it with: pip install 'tfpwl[ray]'") from exc

# What travels by Ray are configurations and errors; artifacts travel by the store's folder.
_OBJECT_STORE_BYTES = 80 << 20
_CONNECT_S = 5.0


class RayWorkers:
    """Tasks of a Ray cluster, one processor and the task's memory each.

    A task whose worker or node dies is done again elsewhere. Nodes need this version of tfpwl, and the build's output
    folder, the pipeline's data and its folder under the same paths, such as on NFS.

    Args:
        address: of the cluster's head, or ``"auto"`` for the one that runs on this machine; by default a cluster of
            this machine alone is started, and ended with the build.
    """

    def __init__(self, address: str | None = None) -> None:
        self._is_ours = not ray.is_initialized()
        if self._is_ours:
            _connect(address)
        self._place = Place.here()
        self._asked: list[ray.ObjectRef] = []

    def submit(self, task: Task) -> Future[object]:
        remote = ray.remote(
            num_cpus=1, memory=task.memory_bytes, max_retries=0, scheduling_strategy="SPREAD", name=task.name
        )(_work)
        # As bytes: a worker can find a user's modules only once it stands where this process stands.
        reference = remote.remote(self._place, pickle.dumps((task.work, task.arguments)))
        self._asked.append(reference)
        outer: Future[object] = Future()
        reference.future().add_done_callback(lambda finished: _hand_on(finished, outer))
        return outer

    def __enter__(self) -> RayWorkers:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        for reference in self._asked:  # nothing of a build that failed goes on; what is done is not touched
            ray.cancel(reference)
        if self._is_ours:
            ray.shutdown()


def _connect(address: str | None) -> None:
    _check_reachable(address)
    quiet = {"log_to_driver": False, "logging_level": logging.ERROR}
    try:
        if address is None:
            ray.init(address="local", object_store_memory=_OBJECT_STORE_BYTES, include_dashboard=False, **quiet)
        else:
            ray.init(address=address, **quiet)
    except (ConnectionError, RuntimeError, ValueError) as exc:
        raise WorkerError(
            f"There is no Ray cluster at {address or 'this machine'}: {exc}. Start one with `ray start --head`."
        ) from exc


def _check_reachable(address: str | None) -> None:
    """Ray itself tries for minutes before it says that nobody is there."""
    host, colon, port = (address or "").rpartition(":")
    if colon and port.isdigit():
        try:
            socket.create_connection((host, int(port)), _CONNECT_S).close()
        except OSError as exc:
            raise WorkerError(
                f"There is no Ray cluster at {address}: {exc}. Start one with `ray start --head`."
            ) from exc


def _work(place: Place, task: bytes) -> None:
    place.enter()
    work, arguments = pickle.loads(task)
    work(*arguments)


def _hand_on(inner: Future[object], outer: Future[object]) -> None:
    """What the task raised as it raised it; what Ray raised as a lost worker."""
    if not outer.set_running_or_notify_cancel():
        return
    error = inner.exception()
    if isinstance(error, RayTaskError):
        outer.set_exception(error.cause if isinstance(error.cause, BaseException) else error)
    elif isinstance(error, RayError):
        outer.set_exception(WorkerLost(f"{type(error).__name__} of Ray"))
    elif error is not None:
        outer.set_exception(error)
    else:
        outer.set_result(None)
