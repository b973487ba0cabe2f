"""Measures a profile: every bundle with every number of threads and delegate, in turn, in fresh processes.

:func:`profile_host` is for this machine; a driver for other devices hands its samples to :func:`make_profile`.
"""

from __future__ import annotations

import re
import statistics
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

from tfpwl.bench.machine import cpu_times, describe_machine, machine_notes, stolen_share
from tfpwl.bench.profile import Measurement, Profile, ProfiledDevice
from tfpwl.bench.run import run_worker
from tfpwl.bench.subjects import Subject
from tfpwl.bundle import Bundle
from tfpwl.errors import ProfileError, TfpwlError
from tfpwl.mix import Mix
from tfpwl.runtime import make_engine
from tfpwl.runtime.engines import GPU_ENGINE

CPU, GPU = "xnnpack", "gpu"  # delegates, as a manifest names them
ENOUGH_REPEATS = 10
_MAX_WORDS = 500
_STUDENT, _TEACHER = "student", "teacher"


@dataclass(frozen=True, slots=True)
class Setting:
    """What is measured by itself: a bundle with some threads and a delegate."""

    bundle: Bundle
    threads: int
    delegate: str

    def __str__(self) -> str:
        manifest = self.bundle.manifest
        return f"{manifest.name} {manifest.precision}, {self.threads} × {self.delegate}"


@dataclass(frozen=True, slots=True)
class Sample:
    """One fresh process: medians of its answers of the all-student and the all-teacher mix, in milliseconds."""

    setting: Setting
    student_ms: float
    teacher_ms: float


OnProgress = Callable[[int, int, str], None]


def profile_host(
    bundles: Sequence[Bundle],
    *,
    threads: Sequence[int] | None = None,
    repeats: int = ENOUGH_REPEATS,
    seconds: float = 0.5,
    on_progress: OnProgress | None = None,
) -> Profile:
    """Measure bundles on this machine, on its CPU and, where LiteRT finds one that answers right, on its GPU.

    Each setting has a process of its own, because idle threads of another one would disturb it; settings take turns,
    so that a machine that gets slower does so for all of them alike.

    Args:
        bundles: one per precision, or several; folders or packs.
        threads: to try on the CPU; 1, 2, 4 … up to the cores here by default.
        repeats: fresh processes per setting.
        seconds: of answers per mix and process.
        on_progress: called with ``(processes done, processes in all, what is next)``.

    Raises:
        TfpwlError: a bundle is broken, or a measurement failed.
    """
    machine, ticks = describe_machine(), cpu_times()
    engines = {CPU: make_engine().name, GPU: GPU_ENGINE}
    settings = [
        Setting(bundle, count, CPU) for bundle in bundles for count in threads or thread_counts(machine.cores)
    ] + [Setting(bundle, 1, GPU) for bundle in bundles]
    samples: list[Sample] = []
    notes: list[str] = []
    left_out: list[Setting] = []
    done = 0
    for number in range(repeats):
        turn = number % len(settings)
        for setting in settings[turn:] + settings[:turn]:
            if on_progress is not None:
                on_progress(done, repeats * len(settings), str(setting))
            done += 1
            if setting in left_out:
                continue
            try:
                samples.append(_measure(setting, engines[setting.delegate], seconds))
            except TfpwlError as exc:
                if setting.delegate == CPU:
                    raise
                left_out.append(setting)
                samples = [sample for sample in samples if sample.setting != setting]
                # In one line, as a profile has its notes.
                notes.append(f"{setting} was left out: {' '.join(str(exc).split())[:_MAX_WORDS]}")
    machine = replace(machine, stolen=stolen_share(ticks, cpu_times()))
    device = ProfiledDevice(
        name=device_name(f"{machine.processor}-{machine.cores}-cores"),
        processor=machine.processor,
        cores=machine.cores,
        memory_bytes=machine.memory_bytes,
        system=machine.system,
        runtime=f"ai-edge-litert {machine.litert}, engine {engines[CPU]}",
    )
    notes += machine_notes(machine)
    if repeats < ENOUGH_REPEATS:
        notes.append(f"Medians of {repeats} processes: for trying out.")
    return make_profile(device, samples, notes)


def make_profile(device: ProfiledDevice, samples: Iterable[Sample], notes: Sequence[str] = ()) -> Profile:
    """A profile of what was measured, wherever that was; settings in the order in which they first came.

    Raises:
        ProfileError: nothing was measured.
    """
    found: dict[tuple[str, int, str], list[Sample]] = {}
    for sample in samples:
        setting = sample.setting
        found.setdefault((str(setting.bundle.root), setting.threads, setting.delegate), []).append(sample)
    if not found:
        raise ProfileError(f"Nothing was measured on {device.name}; give at least one bundle, repeat and thread.")
    measurements = sorted(map(_measurement, found.values()), key=lambda one: (one.precision, one.bundle, one.threads))
    return Profile(device, tuple(measurements), tuple(notes))


def thread_counts(cores: int) -> tuple[int, ...]:
    """1, 2, 4, … and the number of cores.

    Example:
        >>> thread_counts(6)
        (1, 2, 4, 6)
    """
    powers = {1 << i for i in range(cores.bit_length())}
    return tuple(sorted({count for count in powers if count <= cores} | {cores}))


def device_name(text: str) -> str:
    """``text`` as the name of a file.

    Example:
        >>> device_name("AMD EPYC 7B13 (Milan)")
        'amd-epyc-7b13-milan'
    """
    return re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-")[:80] or "device"


def _measure(setting: Setting, engine: str, seconds: float) -> Sample:
    manifest = setting.bundle.manifest
    own = Subject(
        _STUDENT, str(setting.bundle.root), engine, is_bundle=True,
        mix=str(Mix.all_student(manifest.num_groups)), threads=setting.threads,
    )  # fmt: skip
    subjects = [own, replace(own, name=_TEACHER, mix=str(Mix.all_teacher(manifest.num_groups)))]
    task: dict[str, Any] = {
        "task": "steady",
        "shape": list(manifest.input.shape),
        "dtype": manifest.input.dtype,
        "seconds": seconds,
        "subjects": [asdict(subject) for subject in subjects],
    }
    taken = run_worker(task)["taken_ms"]
    return Sample(setting, statistics.median(taken[_STUDENT]), statistics.median(taken[_TEACHER]))


def _measurement(samples: Sequence[Sample]) -> Measurement:
    setting = samples[0].setting
    manifest = setting.bundle.manifest
    return Measurement(
        bundle=manifest.name,
        precision=manifest.precision,
        threads=setting.threads,
        delegate=setting.delegate,
        bundle_bytes=manifest.mix_bytes(Mix.all_teacher(manifest.num_groups)),
        student_ms=tuple(sample.student_ms for sample in samples),
        teacher_ms=tuple(sample.teacher_ms for sample in samples),
    )
