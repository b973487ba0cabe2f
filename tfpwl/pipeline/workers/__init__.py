"""Other processes that do a build's work: on this machine, or of a Ray cluster."""

from __future__ import annotations

from tfpwl.errors import ConfigError
from tfpwl.pipeline.workers.local import LocalWorkers
from tfpwl.pipeline.workers.task import OnTask, Task, Workers, run_tasks

__all__ = ["ENGINES", "LocalWorkers", "OnTask", "Task", "Workers", "make_workers", "run_tasks"]

ENGINES = ("local", "ray")


def make_workers(engine: str, *, count: int | None = None, address: str | None = None) -> Workers:
    """Workers by the name of their engine; a context manager that ends them.

    Args:
        engine: ``"local"`` (processes of this machine) or ``"ray"``.
        count: processes of this machine; by default as many as its processors and its memory allow.
        address: of the Ray cluster, such as ``"10.0.0.1:6379"`` or ``"auto"``; by default one is started here.

    Raises:
        ConfigError: there is no such engine, or an option that is another's.
        MissingDependencyError: Ray is not installed.
        WorkerError: there is no cluster at ``address``.
    """
    if engine == "local":
        if address is not None:
            raise ConfigError(f"Received --address {address}; --engine local uses this machine. Take --engine ray.")
        return LocalWorkers(count)
    if engine == "ray":
        if count is not None:
            raise ConfigError(f"Received --workers {count}; a Ray cluster has its own number of processors.")
        from tfpwl.pipeline.workers.ray_cluster import RayWorkers  # noqa: PLC0415 - Ray takes a second to import

        return RayWorkers(address)
    raise ConfigError(f"Received engine {engine!r}; expected one of {', '.join(ENGINES)}.")
