"""Many upgrades and downgrades of one bundle: memory, file handles, threads, and whether ``resident_bytes`` is true.

Example::

    python benchmarks/upgrade_rounds.py BUNDLE --rounds 1000 [--engine litert]

Prints the growth of the process's anonymous memory against ``resident_bytes`` after opening, after the first upgrade
and after the first downgrade, then goes up and down and prints the slope of memory over the second half of the rounds
(least squares, at the bottom and at the top), and what is left open. Linux only: it reads /proc.
"""

from __future__ import annotations

import argparse
import json
import os
import threading
from pathlib import Path

import numpy as np

from tfpwl.runtime import ProgressiveModel, make_engine

NUM_SAMPLES = 100


def anonymous_kb() -> int:
    """Anonymous memory of this process in kB: what it allocated, without mapped files."""
    for line in Path("/proc/self/smaps_rollup").read_text().splitlines():
        if line.startswith("Anonymous:"):
            return int(line.split()[1])
    raise OSError("/proc/self/smaps_rollup has no line Anonymous")


def open_files() -> int:
    return len(os.listdir("/proc/self/fd"))


def slope_bytes(rounds: list[int], sizes_kb: list[int]) -> float:
    """Bytes per round, least squares over the second half: the first one fills caches and pools."""
    half = len(rounds) // 2
    return 1024 * float(np.polyfit(rounds[half:], sizes_kb[half:], 1)[0])


def measure_growth(model: ProgressiveModel, x: np.ndarray, before_kb: int) -> dict[str, float]:
    """What the model says it takes, what the process grew by, and their ratio."""
    model.predict(x)
    grown = (anonymous_kb() - before_kb) * 1024
    return {"resident_bytes": model.resident_bytes, "grown_bytes": grown, "ratio": model.resident_bytes / grown}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("bundle", type=Path)
    parser.add_argument("--rounds", type=int, default=1000)
    parser.add_argument("--engine", default=None)
    arguments = parser.parse_args()
    engine = make_engine(arguments.engine)
    # Once before: libraries, the environment and Python's own pools are no part of a model.
    with ProgressiveModel.open(arguments.bundle, engine=engine, threads=1) as model:
        spec = model.bundle.manifest.input
        x = np.random.default_rng(0).random(spec.shape).astype(spec.dtype)
        model.predict(x)
        _ = model.resident_bytes
    before_kb, files, threads = anonymous_kb(), open_files(), threading.active_count()
    found: dict[str, object] = {"engine": engine.name, "rounds": arguments.rounds}
    with ProgressiveModel.open(arguments.bundle, engine=engine, threads=1) as model:
        student = model.predict(x)
        found["opened"] = measure_growth(model, x, before_kb)
        model.upgrade(background=False)
        teacher = model.predict(x)
        found["upgraded"] = measure_growth(model, x, before_kb)
        model.downgrade()
        found["downgraded"] = measure_growth(model, x, before_kb)
        at, bottom, top = [], [], []
        for number in range(arguments.rounds):
            model.upgrade()
            if not model.wait(60) or not np.array_equal(model.predict(x), teacher):
                raise SystemExit(f"round {number}: {model.state} {model.last_error}")
            sample = number % max(1, arguments.rounds // NUM_SAMPLES) == 0
            if sample:
                top.append(anonymous_kb())
            model.downgrade()
            if not np.array_equal(model.predict(x), student):
                raise SystemExit(f"round {number}: the student answers otherwise")
            if sample:
                at.append(number)
                bottom.append(anonymous_kb())
        found["slope_bytes_per_round"] = {"student": slope_bytes(at, bottom), "teacher": slope_bytes(at, top)}
        found["student_kb"] = {"first": bottom[0], "last": bottom[-1], "most": max(bottom)}
        found["teacher_kb"] = {"first": top[0], "last": top[-1], "most": max(top)}
    found["left_after_close"] = {
        "files": open_files() - files,
        "threads": threading.active_count() - threads,
        "anonymous_kb": anonymous_kb() - before_kb,
    }
    print(json.dumps(found, indent=1))


if __name__ == "__main__":
    main()
