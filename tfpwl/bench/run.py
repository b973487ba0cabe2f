"""The benchmark: which measurements, in which order, each in a fresh process."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from tfpwl.bench import results
from tfpwl.bench.machine import cpu_times, describe_machine, machine_notes, stolen_share
from tfpwl.bench.page_cache import evict, warm
from tfpwl.bench.results import BenchResult, StartResult, SteadyResult, UpgradeResult, percentile
from tfpwl.bench.rivals import Rivals
from tfpwl.bench.rounds import RoundsResult
from tfpwl.bench.subjects import Subject
from tfpwl.bench.upgrade import CrowdResult, UpgradeTrace
from tfpwl.bundle import Bundle
from tfpwl.errors import EngineError, TfpwlError
from tfpwl.mix import Mix
from tfpwl.runtime import make_engine

OnProgress = Callable[[int, int, str], None]
_TIMEOUT_S = 1800.0
# More than this share of the files still in the page cache is no cold start.
_MAX_RESIDENT = 0.01


@dataclass(frozen=True, slots=True)
class BenchOptions:
    """What to measure.

    Attributes:
        repeats: fresh processes per figure; a median of fewer than 20 is for trying out.
        engine: by name; None takes the best one that works here.
        cold, warm: which starts and upgrades.
        steady_s: seconds per subject and process for answers when everything is loaded.
        crowd: threads that ask while the mix changes; 0 leaves that out.
        crowd_upgrades: upgrades meanwhile.
        rounds: upgrades and downgrades for the memory's slope; 0 leaves that out.
    """

    repeats: int = 20
    engine: str | None = None
    cold: bool = True
    warm: bool = True
    steady_s: float = 1.0
    crowd: int = 8
    crowd_upgrades: int = 20
    rounds: int = 1000


def run_bench(
    bundle: Bundle,
    rivals: Rivals | None = None,
    options: BenchOptions | None = None,
    *,
    on_progress: OnProgress | None = None,
) -> BenchResult:
    """Measure a bundle and, in the same run and in turn, its rivals.

    Args:
        bundle: the bundle, in a folder.
        rivals: models in one piece; None measures the bundle alone.
        options: what to measure.
        on_progress: called with ``(steps done, steps in all, what is next)``.

    Raises:
        TfpwlError: a measurement failed; the message is the worker's.

    Example:
        >>> result = run_bench(bundle, find_rivals(bundle), BenchOptions(repeats=3))   # doctest: +SKIP
        >>> result.start("bundle", cold=False).median_ms                               # doctest: +SKIP
        14.2
    """
    options = options or BenchOptions()
    if bundle.is_packed:
        raise EngineError(f"{bundle.root} is packed; the benchmark reads the folder of a bundle. Unpack it first.")
    with tempfile.TemporaryDirectory(prefix="tfpwl-bench-") as work:
        return _Bench(bundle, rivals or Rivals(), options, Path(work), on_progress).run()


class _Bench:
    def __init__(
        self, bundle: Bundle, rivals: Rivals, options: BenchOptions, work: Path, on_progress: OnProgress | None
    ) -> None:
        self._bundle = bundle
        self._options = options
        self._on_progress = on_progress
        self._engine = make_engine(options.engine).name
        self._notes: list[str] = []
        self._input = {"shape": list(bundle.manifest.input.shape), "dtype": bundle.manifest.input.dtype}
        self._own = Subject(
            results.BUNDLE, str(bundle.root), self._engine, is_bundle=True, threads=bundle.manifest.runtime.threads
        )
        self._rivals = rivals
        self._subjects = list(_start_subjects(self._own, rivals, work))
        self._modes = [cold for cold, wanted in ((False, options.warm), (True, options.cold)) if wanted]
        self._done = 0
        self._total = self._count()

    def run(self) -> BenchResult:
        manifest, options = self._bundle.manifest, self._options
        machine, ticks = describe_machine(), cpu_times()
        self._prepare()
        starts = self._measure_starts()
        steady, differences = self._measure_steady()
        upgrades = self._measure_upgrades()
        crowd, rounds = self._measure_crowd(), self._measure_rounds()
        machine = replace(machine, stolen=stolen_share(ticks, cpu_times()))
        self._note_the_machine(machine)
        return BenchResult(
            bundle=str(self._bundle.root),
            name=manifest.name,
            precision=manifest.precision,
            engine=self._engine,
            threads=manifest.runtime.threads,
            student_bytes=self._bundle.mix_bytes(Mix.all_student(manifest.num_groups)),
            teacher_bytes=self._bundle.mix_bytes(Mix.all_teacher(manifest.num_groups)),
            path=tuple((str(entry.mix), entry.accuracy) for entry in manifest.path),
            repeats=options.repeats,
            machine=machine,
            starts=starts,
            steady=steady,
            upgrades=upgrades,
            crowd=crowd,
            rounds=rounds,
            differences=differences,
            notes=tuple(dict.fromkeys(self._notes)),
        )

    def _count(self) -> int:
        options = self._options
        cached = sum(subject.weight_cache is not None for subject in self._subjects)
        per_mode = options.repeats * (len(self._subjects) + 1)  # starts and an upgrade
        return cached + len(self._modes) * per_mode + options.repeats + (options.crowd > 0) + (options.rounds > 0)

    def _prepare(self) -> None:
        """Fill the rivals' weight caches; leave out what this runtime cannot do, and say so."""
        for subject in list(self._subjects):
            if subject.weight_cache is None:
                continue
            try:
                self._work("filling the XNNPACK cache", {"task": "fill", "subject": asdict(subject)})
            except TfpwlError as exc:
                self._subjects.remove(subject)
                self._notes.append(f"{subject.name} was left out: {exc}")

    def _measure_starts(self) -> tuple[StartResult, ...]:
        found: dict[tuple[str, bool], list[Mapping[str, Any]]] = {}
        for cold in self._modes:
            for number in range(self._options.repeats):
                for subject in _turned(self._subjects, number):
                    result = self._measure("start", subject, cold)
                    found.setdefault((subject.name, cold), []).append(result)
        order = [(subject.name, cold) for cold in self._modes for subject in self._subjects]
        for name, _ in order:
            answers = {one["answer_sha256"] for key, ones in found.items() if key[0] == name for one in ones}
            if len(answers) > 1:
                self._notes.append(f"{name}: first answers differ from process to process.")
        return tuple(_start_result(name, cold, found[name, cold]) for name, cold in order)

    def _measure_steady(self) -> tuple[tuple[SteadyResult, ...], dict[str, float]]:
        num_groups = self._bundle.manifest.num_groups
        subjects = [
            replace(self._own, name=results.TEACHER_CHAIN, mix=str(Mix.all_teacher(num_groups))),
            replace(self._own, name=results.STUDENT_CHAIN, mix=str(Mix.all_student(num_groups))),
        ]
        wanted = (results.TEACHER, results.STUDENT, results.TEACHER_INTERPRETER)
        subjects += [subject for subject in self._subjects if subject.name in wanted]
        compare = [(results.TEACHER_CHAIN, results.TEACHER), (results.STUDENT_CHAIN, results.STUDENT)]
        names = {subject.name for subject in subjects}
        task = {
            "task": "steady",
            "seconds": self._options.steady_s,
            "compare": [pair for pair in compare if set(pair) <= names],
        }
        taken: dict[str, list[list[float]]] = {subject.name: [] for subject in subjects}
        differences: dict[str, float] = {}
        for number in range(self._options.repeats):
            turned = [asdict(subject) for subject in _turned(subjects, number)]
            result = self._work("answers in turn", {**task, "subjects": turned})
            for name, times in result["taken_ms"].items():
                taken[name].append(times)
            for pair, difference in result["differences"].items():
                differences[pair] = max(differences.get(pair, 0.0), difference)
        return tuple(_steady_result(name, processes) for name, processes in taken.items()), differences

    def _measure_upgrades(self) -> tuple[UpgradeResult, ...]:
        found = []
        for cold in self._modes:
            traces = []
            for _ in range(self._options.repeats):
                result = self._measure("upgrade", self._own, cold, steady_s=min(0.5, self._options.steady_s))
                fields = {key: result[key] for key in UpgradeTrace.__dataclass_fields__}
                traces.append(UpgradeTrace.from_fields(fields))
            found.append(UpgradeResult.of(traces, cold=cold))
        return tuple(found)

    def _measure_crowd(self) -> CrowdResult | None:
        if not self._options.crowd:
            return None
        task = {"task": "crowd", "subject": asdict(self._own), "num_threads": self._options.crowd}
        what = f"{self._options.crowd} threads asking"
        return CrowdResult(**self._work(what, {**task, "upgrades": self._options.crowd_upgrades}))

    def _measure_rounds(self) -> RoundsResult | None:
        if not self._options.rounds:
            return None
        task = {"task": "rounds", "subject": asdict(self._own), "rounds": self._options.rounds}
        result = self._work(f"{self._options.rounds} upgrades and downgrades", task)
        return RoundsResult(**{**result, "anonymous": tuple(result["anonymous"])})

    def _measure(self, task: str, subject: Subject, cold: bool, **more: Any) -> Mapping[str, Any]:
        files = subject.files()
        (evict if cold else warm)(files)  # the worker does it again, right before the clock starts
        what = f"{task}, {'cold' if cold else 'warm'}: {subject.name}"
        result = self._work(what, {"task": task, "subject": asdict(subject), "cold": cold, **more})
        share = result["resident_share"]
        if cold and (share is None or share > _MAX_RESIDENT):
            kept = "the system does not tell" if share is None else f"{100 * share:.0f} % of the pages stayed"
            self._notes.append(f"Files could not be put out of the page cache ({kept}); cold figures are not cold.")
        return result

    def _work(self, what: str, task: Mapping[str, Any]) -> dict[str, Any]:
        if self._on_progress is not None:
            self._on_progress(self._done, self._total, what)
        result = run_worker({**self._input, **task})
        self._done += 1
        if self._on_progress is not None:
            self._on_progress(self._done, self._total, what)
        return result

    def _note_the_machine(self, machine: results.Machine) -> None:
        self._notes += machine_notes(machine)
        if self._options.repeats < 20:
            self._notes.append(f"Medians of {self._options.repeats} processes: for trying out, not for a table.")


def run_worker(task: Mapping[str, Any]) -> dict[str, Any]:
    """One measurement in a fresh process.

    Raises:
        TfpwlError: what the worker says, or how it died.
    """
    command = [sys.executable, "-m", "tfpwl.bench.worker", json.dumps(task)]
    environment = {**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3"}
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=_TIMEOUT_S, env=environment)
    except subprocess.TimeoutExpired as exc:
        raise TfpwlError(f"The measurement {task['task']!r} has not ended after {_TIMEOUT_S:.0f} s.") from exc
    try:
        result: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    except (IndexError, ValueError) as exc:
        raise TfpwlError(
            f"The measurement {task['task']!r} died with exit code {done.returncode}. Its last words:\n"
            f"{done.stderr[-2000:]}"
        ) from exc
    if "error" in result:
        raise TfpwlError(f"The measurement {task['task']!r} failed: {result['error']}")
    return result


def _start_subjects(own: Subject, rivals: Rivals, work: Path) -> Iterator[Subject]:
    yield own
    yield replace(own, name=results.BUNDLE_EARLY, early=True)
    if own.engine == "litert" and rivals != Rivals():
        yield replace(own, name=results.BUNDLE_CACHED, weight_cache=str(work / "bundle"))
    if own.engine != "interpreter" and rivals != Rivals():
        yield replace(own, name=results.BUNDLE_INTERPRETER, engine="interpreter")
    whole = replace(own, is_bundle=False)
    if rivals.student is not None:
        yield replace(whole, name=results.STUDENT, path=str(rivals.student))
    teachers = [(rivals.teacher, results.TEACHER, results.TEACHER_CACHED)]
    if rivals.teacher_fp32 not in (None, rivals.teacher):
        teachers.append((rivals.teacher_fp32, results.TEACHER_FP32, results.TEACHER_FP32_CACHED))
    for number, (path, name, cached_name) in enumerate(teachers):
        if path is not None:
            teacher = replace(whole, name=name, path=str(path))
            yield teacher
            if own.engine == "litert":
                yield replace(teacher, name=cached_name, weight_cache=str(work / f"weights{number}.xnnpack"))
    if rivals.teacher is not None and own.engine != "interpreter":
        yield replace(whole, name=results.TEACHER_INTERPRETER, path=str(rivals.teacher), engine="interpreter")


def _turned(subjects: Sequence[Subject], number: int) -> list[Subject]:
    """Another one begins each time, so that nobody always runs behind the same one."""
    turn = number % len(subjects)
    return [*subjects[turn:], *subjects[:turn]]


def _start_result(name: str, cold: bool, found: Sequence[Mapping[str, Any]]) -> StartResult:
    def largest(key: str) -> Any:
        return max((one[key] for one in found if one[key] is not None), default=None)

    return StartResult(
        name=name,
        cold=cold,
        create_ms=tuple(one["create_ms"] for one in found),
        first_ms=tuple(one["first_ms"] for one in found),
        imports_ms=tuple(one["imports_ms"] for one in found),
        peak_growth=largest("peak_growth"),
        anonymous_growth=largest("anonymous_growth"),
        storage_read=largest("storage_read"),
        resident_share=largest("resident_share"),
    )


def _steady_result(name: str, processes: Sequence[Sequence[float]]) -> SteadyResult:
    together = [taken for times in processes for taken in times]
    return SteadyResult(
        name=name,
        medians_ms=tuple(percentile(times, 0.5) for times in processes),
        p50_ms=percentile(together, 0.5),
        p90_ms=percentile(together, 0.9),
        p99_ms=percentile(together, 0.99),
        num_answers=len(together),
    )
