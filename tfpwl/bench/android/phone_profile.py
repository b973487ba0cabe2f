"""Profiles of phones: bundles with several numbers of threads, on the CPU and on the GPU where a phone has one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from tfpwl.bench.android.adb import Phone
from tfpwl.bench.android.bundle_bench import BundleBench
from tfpwl.bench.android.device import PhoneFacts
from tfpwl.bench.android.program import Delegate, ProgramOptions, Reading
from tfpwl.bench.android.results import PhoneResult, Run
from tfpwl.bench.android.session import OnProgress, SessionOptions, measure_phones
from tfpwl.bench.profile import Profile, ProfiledDevice
from tfpwl.bench.profiling import Sample, Setting, device_name, make_profile
from tfpwl.bundle import Bundle
from tfpwl.errors import DeviceError
from tfpwl.mix import Mix

PHONE_THREADS = (1, 2, 4)
_MAX_WORDS = 500
# What a bundle's manifest calls it.
_DELEGATES: Mapping[Delegate, str] = {"cpu": "xnnpack", "gpu": "gpu"}


@dataclass(frozen=True, slots=True)
class ProfileProgram:
    """One benchmark per setting, each in a process of its own; a :class:`Program`."""

    benches: Mapping[str, BundleBench]
    options: ProgramOptions
    name: str = "profile"

    @property
    def result_file(self) -> str:
        return next(iter(self.benches.values())).result_file

    @property
    def subjects(self) -> tuple[str, ...]:
        return tuple(self.benches)

    def files(self, facts: PhoneFacts) -> dict[str, Path]:
        return {name: path for bench in self.benches.values() for name, path in bench.files(facts).items()}

    def command(self, subject: str, folder: str, number: int) -> str:
        return self.benches[subject].command(subject, folder, number)

    def read(self, subject: str, output: str, result: Path | None) -> Reading:
        return self.benches[subject].read(subject, output, result)


def profile_phones(
    phones: Sequence[Phone],
    bundles: Sequence[Bundle],
    parts: Path,
    *,
    threads: Sequence[int] = PHONE_THREADS,
    delegates: Sequence[Delegate] = ("cpu", "gpu"),
    seconds: float = 0.5,
    session: SessionOptions | None = None,
    on_progress: OnProgress | None = None,
) -> dict[str, Profile | DeviceError]:
    """Measure bundles on phones, all phones at the same time.

    The first delegate has to work; where another one does not, the profile says so and goes without it.

    Args:
        phones: where.
        bundles: one per precision.
        parts: the folder with what ``make android`` builds for phones.
        threads: to try on the CPU; other delegates are asked with one.
        delegates: to try.
        seconds: of answers per mix and process.
        session: repeats, order, patience.
        on_progress: called from the phones' threads.

    Returns:
        By serial, the profile, or why there is none; one phone's failure does not stop the others.
    """
    found: dict[str, list[PhoneResult]] = {phone.serial: [] for phone in phones}
    for delegate in delegates:
        working = [phone for phone in phones if all(result.failure is None for result in found[phone.serial][:1])]
        if not working:
            break
        program = _program(bundles, parts, threads if delegate == "cpu" else (1,), delegate, seconds)
        for result in measure_phones(working, program, session, on_progress=on_progress).phones:
            found[result.serial].append(result)
    return {serial: _profile(results, bundles) for serial, results in found.items()}


def _program(
    bundles: Sequence[Bundle], parts: Path, threads: Sequence[int], delegate: Delegate, seconds: float
) -> ProfileProgram:
    benches = {}
    for number, bundle in enumerate(bundles):
        for count in threads:
            options = ProgramOptions(threads=count, delegate=delegate)
            bench = BundleBench(bundle, parts, {}, options, seconds=seconds, place=f"bundle{number}")
            benches[f"{number} {count}"] = bench
    return ProfileProgram(benches, ProgramOptions(delegate=delegate))


def _profile(results: Sequence[PhoneResult], bundles: Sequence[Bundle]) -> Profile | DeviceError:
    first = results[0]
    if first.failure is not None:
        return DeviceError(first.failure.message)
    samples: list[Sample] = []
    notes: list[str] = []
    for result in results:
        notes += result.notes
        if result.failure is not None:
            # In one line: the message may end with what a program printed.
            words = " ".join(result.failure.message.split())
            notes.append(f"A delegate was left out: {words[:_MAX_WORDS]}")
            continue
        samples += [_sample(run, bundles) for run in result.runs]
    return make_profile(_device(first), samples, list(dict.fromkeys(notes)))


def _sample(run: Run, bundles: Sequence[Bundle]) -> Sample:
    number, _, threads = run.subject.partition(" ")
    bundle = bundles[int(number)]
    delegate: Delegate = run.told["options"]["delegate"]
    groups = bundle.manifest.num_groups
    sides = (Mix.all_student(groups), Mix.all_teacher(groups))
    student_ms, teacher_ms = (run.figures[f"mix {mix}"]["median_ms"] for mix in sides)
    return Sample(Setting(bundle, int(threads), _DELEGATES[delegate]), student_ms, teacher_ms)


def _device(result: PhoneResult) -> ProfiledDevice:
    told, facts = result.runs[0].told, result.facts
    if facts is None:  # a phone that was measured has been asked
        raise DeviceError(f"{result.serial} was measured without telling what it is.")
    engine = told["engine"]
    return ProfiledDevice(
        name=device_name(f"{facts.manufacturer} {facts.model}"),
        processor=facts.soc or "unknown",
        cores=told["device"]["cores"],
        memory_bytes=facts.memory_bytes or 0,
        system=f"Android API {facts.api}, {facts.abis[0] if facts.abis else 'unknown'}",
        runtime=f"TFLite {engine['tflite']}, engine {engine['name']}",
    )
