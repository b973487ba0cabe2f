"""One measurement in a process of its own: ``python -m tfpwl.bench.worker TASK``, JSON in, JSON out.

A process that has loaded a model before is not the one that a user waits for: pages, allocators and XNNPACK's own
start are warm there. What every app has at hand before it opens a model, its imported code, is imported before the
clock starts and stated separately.
"""

from __future__ import annotations

import time

_STARTED = time.perf_counter()

import hashlib  # noqa: E402
import json  # noqa: E402
import sys  # noqa: E402
from collections.abc import Callable, Mapping  # noqa: E402
from dataclasses import asdict  # noqa: E402
from typing import Any  # noqa: E402

import numpy as np  # noqa: E402
from numpy.typing import NDArray  # noqa: E402

from tfpwl.bench.page_cache import evict, warm  # noqa: E402
from tfpwl.bench.process import footprint, reset_peak  # noqa: E402
from tfpwl.bench.subjects import Subject, fill_cache, import_for, open_subject  # noqa: E402
from tfpwl.errors import DataError, TfpwlError  # noqa: E402

Array = NDArray[Any]
Task = Mapping[str, Any]
_BLOCK_S = 0.05


def make_input(shape: list[int], dtype: str, seed: int = 0) -> Array:
    """Noise: on a CPU the time does not depend on the values, and NaN or zeros could be a special case."""
    noise = np.random.default_rng(seed).random(shape)
    return (255 * noise).astype(np.uint8) if dtype == "uint8" else noise.astype(dtype)


def measure_start(task: Task) -> dict[str, Any]:
    """Create and first answer of a subject that this process has never seen."""
    subject = Subject(**task["subject"])
    import_for(subject)
    x = make_input(task["shape"], task["dtype"])
    imports_ms = 1e3 * (time.perf_counter() - _STARTED)
    files = subject.files()
    share = evict(files) if task["cold"] else warm(files)
    reset_peak()
    before = footprint()
    start = time.perf_counter()
    answer = open_subject(subject)
    opened = time.perf_counter()
    first = answer(x)
    done = time.perf_counter()
    after = footprint()
    return {
        "imports_ms": imports_ms,
        "create_ms": 1e3 * (opened - start),
        "first_ms": 1e3 * (done - opened),
        "resident_share": share,
        "peak_growth": _growth(before.resident, after.peak_resident),
        "anonymous_growth": _growth(before.anonymous, after.anonymous),
        "storage_read": _growth(before.storage_read, after.storage_read),
        "calls_read": _growth(before.calls_read, after.calls_read),
        "answer_sha256": hashlib.sha256(np.ascontiguousarray(first).tobytes()).hexdigest(),
    }


def measure_steady(task: Task) -> dict[str, Any]:
    """Milliseconds per answer of several subjects in this process, a block of answers each in turn."""
    subjects = [Subject(**fields) for fields in task["subjects"]]
    x = make_input(task["shape"], task["dtype"])
    for subject in subjects:
        import_for(subject)
    answers = {subject.name: open_subject(subject) for subject in subjects}
    first = {name: np.asarray(answer(x)) for name, answer in answers.items()}
    taken: dict[str, list[float]] = {name: [] for name in answers}
    end, number = time.perf_counter() + task["seconds"] * len(answers), 0
    while number < 3 or time.perf_counter() < end:
        names = list(answers)
        # Another one begins each time: who runs behind whom must not matter.
        turn = number % len(names)
        for name in names[turn:] + names[:turn]:
            taken[name] += _block(answers[name], x)
        number += 1
    return {
        "taken_ms": taken,
        "differences": {f"{a} / {b}": _difference(a, first[a], b, first[b]) for a, b in task.get("compare", [])},
    }


def _difference(name: str, answer: Array, other: str, other_answer: Array) -> float:
    if answer.shape != other_answer.shape:
        raise DataError(f"{name} answers {answer.shape} and {other} {other_answer.shape}; give the same model.")
    return float(np.max(np.abs(answer - other_answer)))


def _block(answer: Callable[[Array], Array], x: Array) -> list[float]:
    answer(x)  # brings the weights back into the processor's caches, which the other subjects had meanwhile
    taken: list[float] = []
    end = time.perf_counter() + _BLOCK_S
    while len(taken) < 2 or time.perf_counter() < end:
        start = time.perf_counter()
        answer(x)
        taken.append(1e3 * (time.perf_counter() - start))
    return taken


def measure_upgrade(task: Task) -> dict[str, Any]:
    """A trace of one upgrade."""
    from tfpwl.bench.upgrade import trace_upgrade  # noqa: PLC0415

    subject = Subject(**task["subject"])
    import_for(subject)
    x = make_input(task["shape"], task["dtype"])
    files = subject.files()
    share = evict(files) if task["cold"] else warm(files)
    reset_peak()
    before = footprint()
    trace = trace_upgrade(subject.path, subject.engine, subject.threads, x, steady_s=task["steady_s"])
    after = footprint()
    return {
        **asdict(trace),
        "resident_share": share,
        "peak_growth": _growth(before.resident, after.peak_resident),
    }


def fill(task: Task) -> dict[str, Any]:
    """Keep packed weights for later processes."""
    fill_cache(Subject(**task["subject"]))
    return {}


def measure_crowd(task: Task) -> dict[str, Any]:
    """Threads that ask while the mix changes."""
    from tfpwl.bench.upgrade import ask_from_threads  # noqa: PLC0415

    subject = Subject(**task["subject"])
    x = np.stack([make_input(task["shape"], task["dtype"], seed) for seed in range(4)])
    return asdict(
        ask_from_threads(
            subject.path, subject.engine, x, num_threads=task["num_threads"], upgrades=task["upgrades"],
            threads=subject.threads,
        )
    )  # fmt: skip


def measure_rounds(task: Task) -> dict[str, Any]:
    """Memory over many upgrades and downgrades."""
    from tfpwl.bench.rounds import repeat_upgrades  # noqa: PLC0415

    subject = Subject(**task["subject"])
    x = make_input(task["shape"], task["dtype"])
    return asdict(repeat_upgrades(subject.path, subject.engine, x, rounds=task["rounds"], threads=subject.threads))


TASKS: Mapping[str, Callable[[Task], dict[str, Any]]] = {
    "fill": fill,
    "start": measure_start,
    "steady": measure_steady,
    "upgrade": measure_upgrade,
    "crowd": measure_crowd,
    "rounds": measure_rounds,
}


def main(text: str) -> int:
    """Do the task; 1 and ``{"error": …}`` where it cannot be done."""
    task = json.loads(text)
    try:
        result = TASKS[task["task"]](task)
    except (TfpwlError, OSError, ValueError) as exc:
        print(json.dumps({"error": f"{type(exc).__name__}: {exc}"}))
        return 1
    print(json.dumps(result))
    return 0


def _growth(before: int | None, after: int | None) -> int | None:
    return None if before is None or after is None else after - before


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
