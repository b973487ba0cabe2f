"""One phone from its facts to its cleaning, and many phones at once."""

from __future__ import annotations

import random
import shlex
import tempfile
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path

from tfpwl.bench.android.adb import Phone
from tfpwl.bench.android.crash import crash_of, tombstones
from tfpwl.bench.android.device import PhoneFacts, read_facts, read_temperature
from tfpwl.bench.android.program import Program, Reading
from tfpwl.bench.android.push import FOLDER, clean, end_program, leave_pid, push_changed
from tfpwl.bench.android.results import AndroidResult, Failure, PhoneResult, Run
from tfpwl.errors import DeviceCrashError, DeviceError, DeviceTimeoutError

# Serial, steps done, steps in all, what is next.
OnProgress = Callable[[str, int, int, str], None]
# Sensors flicker by about a degree.
_TOLERANCE_C = 1.5


@dataclass(frozen=True, slots=True)
class SessionOptions:
    """How often and in what order, how patiently.

    Attributes:
        repeats: processes per subject; each round takes the subjects in another random order.
        seed: of these orders.
        cool_down_s: how long to wait, at most, before each run until the phone is as cool as at first; 0 never waits.
        timeout_s: for one run; then it is killed and the phone has failed.
        keep_pushed: leave the files on the phone, for the next call to push less.
        poll_s: between two looks at the temperature.
    """

    repeats: int = 5
    seed: int = 0
    cool_down_s: float = 120.0
    timeout_s: float = 1800.0
    keep_pushed: bool = False
    poll_s: float = 5.0


def measure_phones(
    phones: Sequence[Phone],
    program: Program,
    options: SessionOptions | None = None,
    *,
    on_progress: OnProgress | None = None,
) -> AndroidResult:
    """Run a program on every phone, all phones at the same time; what fails on one does not stop the others.

    Args:
        phones: where.
        program: what.
        options: how often, in what order, how patiently.
        on_progress: called from the phones' threads.

    Example:
        >>> phones = Adb().select("all")                                     # doctest: +SKIP
        >>> measure_phones(phones, program).complete                         # doctest: +SKIP
        True
    """
    options = options or SessionOptions()
    stop = threading.Event()

    def measure(phone: Phone) -> PhoneResult:
        return _PhoneSession(phone, program, options, stop, on_progress).run()

    with ThreadPoolExecutor(len(phones)) as pool:
        futures = [pool.submit(measure, phone) for phone in phones]
        try:
            # Again and again: Python sees a Ctrl-C that came just before a wait only when that wait ends.
            while wait(futures, timeout=0.5).not_done:
                pass
            results = tuple(future.result() for future in futures)
        except BaseException:
            # Interrupted: without their programs the phones' threads come to an end, and clean up as always.
            stop.set()
            while wait(futures, timeout=1.0).not_done:  # again, as one may just have been about to start
                for phone in phones:
                    with suppress(DeviceError):
                        end_program(phone)
            raise
    told = {**asdict(program.options), **asdict(options)}
    return AndroidResult(program=program.name, options=told, phones=results)


class _PhoneSession:
    def __init__(
        self, phone: Phone, program: Program, options: SessionOptions, stop: threading.Event,
        on_progress: OnProgress | None,
    ) -> None:  # fmt: skip
        self._phone, self._program, self._options, self._stop = phone, program, options, stop
        self._on_progress = on_progress
        self._facts: PhoneFacts | None = None
        self._runs: list[Run] = []
        self._notes: list[str] = []
        self._total = options.repeats * len(program.subjects) + 1

    def run(self) -> PhoneResult:
        failure = None
        try:
            self._measure()
        except DeviceError as exc:
            tombstone = exc.tombstone if isinstance(exc, DeviceCrashError) else ""
            failure = Failure(type(exc).__name__, str(exc), tombstone)
        finally:
            self._clean()
        self._tell("failed" if failure else "done")
        return PhoneResult(self._phone.serial, self._facts, tuple(self._runs), failure, tuple(self._notes))

    def _measure(self) -> None:
        self._tell("asking what it is")
        facts = self._facts = read_facts(self._phone)
        files = self._program.files(facts)
        self._tell("pushing files")
        end_program(self._phone)  # of a call that lost the connection
        push_changed(self._phone, files, facts.free_bytes)
        at_first = read_temperature(self._phone)
        if at_first is None and self._options.cool_down_s:
            self._notes.append("It does not tell its temperature; nothing waited for it to cool down.")
        for place, (subject, number) in enumerate(_shuffled(self._program.subjects, self._options)):
            if self._stop.is_set():
                return
            waited_s, celsius = self._cool_down(at_first)
            self._tell(f"{subject}, {number + 1} of {self._options.repeats}", place + 1)
            reading = self._run_once(subject, number)
            self._runs.append(Run(subject, number, place, celsius, waited_s, reading.figures, reading.told))

    def _cool_down(self, at_first: float | None) -> tuple[float, float | None]:
        """Wait until the phone is as cool as at first; the time waited and the temperature then."""
        started = time.monotonic()
        celsius = read_temperature(self._phone) if at_first is not None else None
        waited = 0.0
        while celsius is not None and at_first is not None and celsius > at_first + _TOLERANCE_C:
            waited = time.monotonic() - started
            if waited >= self._options.cool_down_s:
                if self._options.cool_down_s:
                    note = f"Run {len(self._runs) + 1} began at {celsius:.1f} °C, the first one at {at_first:.1f} °C."
                    self._notes.append(note)
                break
            self._tell(f"cooling down: {celsius:.1f} °C, {at_first:.1f} °C at first", len(self._runs) + 1)
            if self._stop.wait(self._options.poll_s):
                break
            celsius = read_temperature(self._phone)
        return waited, celsius

    def _run_once(self, subject: str, number: int) -> Reading:
        command = self._program.command(subject, FOLDER, number)
        # exec: the process id in the file is the program's.
        script = f"{leave_pid()}; {command}"
        result = f"{FOLDER}/{self._program.result_file}"
        before = tombstones(self._phone)
        try:
            done = self._phone.shell(
                f"cd {FOLDER} && rm -f {result} && sh -c {shlex.quote(script)}", timeout_s=self._options.timeout_s
            )
        except DeviceTimeoutError as exc:
            raise DeviceTimeoutError(
                f"{subject} on {self._phone.serial} was not done after {self._options.timeout_s:.0f} s and was killed. "
                "A higher --timeout gives it longer."
            ) from exc
        if done.code > 128:
            raise crash_of(self._phone, subject, done, before)
        if done.code:
            raise DeviceError(
                f"{subject} on {self._phone.serial} ended with exit code {done.code}. Its last words: "
                f"{done.output.strip()[-1000:]}"
            )
        with tempfile.TemporaryDirectory(prefix="tfpwl-phone-") as folder:
            pulled = None
            if self._phone.shell(f"[ -f {result} ]").code == 0:
                pulled = Path(folder) / self._program.result_file
                self._phone.pull(result, pulled)
            return self._program.read(subject, done.output, pulled)

    def _clean(self) -> None:
        if self._facts is None:
            return  # it was never reached, so there is nothing on it
        try:
            clean(self._phone, keep_pushed=self._options.keep_pushed)
        except DeviceError as exc:
            self._notes.append(f"{FOLDER} may still be on it, the next call removes it: {exc}")

    def _tell(self, what: str, done: int | None = None) -> None:
        if self._on_progress is not None:
            done = len(self._runs) + (what == "done") if done is None else done
            self._on_progress(self._phone.serial, done, self._total, what)


def _shuffled(subjects: Sequence[str], options: SessionOptions) -> list[tuple[str, int]]:
    """Round by round, so that a phone that gets slower does so for all subjects alike."""
    chance = random.Random(options.seed)
    return [
        (subject, number)
        for number in range(options.repeats)
        for subject in chance.sample(list(subjects), len(subjects))
    ]
