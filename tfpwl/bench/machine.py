"""Where a benchmark runs, and whether it has the machine for itself."""

from __future__ import annotations

import os
import platform
from collections.abc import Iterator
from pathlib import Path

from tfpwl.bench.results import Machine
from tfpwl.versions import installed_version


def describe_machine() -> Machine:
    """Processor, memory, versions and the load before the first measurement."""
    return Machine(
        processor=_processor(),
        cores=len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1,
        memory_bytes=_memory_bytes(),
        system=f"{platform.system()} {platform.release()}, {platform.machine()}",
        python=platform.python_version(),
        litert=installed_version("ai-edge-litert") or "not installed",
        load_before=os.getloadavg()[0] if hasattr(os, "getloadavg") else 0.0,
    )


def cpu_times() -> tuple[int, int] | None:
    """Ticks of all processors since the machine started: stolen by other virtual machines, and in all."""
    try:
        fields = Path("/proc/stat").read_text(encoding="utf-8").splitlines()[0].split()[1:]
    except OSError:
        return None
    ticks = [int(field) for field in fields[:8]]
    return (ticks[7], sum(ticks)) if len(ticks) == 8 else None


def stolen_share(before: tuple[int, int] | None, after: tuple[int, int] | None) -> float | None:
    """The share of processor time that was stolen between two :func:`cpu_times`."""
    if before is None or after is None or after[1] == before[1]:
        return None
    return (after[0] - before[0]) / (after[1] - before[1])


def machine_notes(machine: Machine) -> Iterator[str]:
    """What a reader of figures has to know about the machine while they were measured."""
    if machine.load_before > 0.5:
        yield f"The machine was not quiet: load {machine.load_before:.1f} on {machine.cores} cores before the run."
    if machine.stolen is not None and machine.stolen > 0.01:
        yield f"Other virtual machines took {100 * machine.stolen:.1f} % of the processors' time."


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    names = [line.partition(":")[2].strip() for line in lines if line.startswith(("model name", "Hardware"))]
    return names[0] if names else platform.machine()


def _memory_bytes() -> int:
    try:
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (ValueError, OSError, AttributeError):
        return 0
