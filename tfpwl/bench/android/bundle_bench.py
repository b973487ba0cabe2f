"""The benchmark of a bundle on a phone: ``tfpwl.bench.Main`` from ``android_bench``, run by ``app_process``."""

from __future__ import annotations

import json
import shlex
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tfpwl.bench.android.device import PhoneFacts
from tfpwl.bench.android.program import ProgramOptions, Reading, under_mask
from tfpwl.bundle import Bundle
from tfpwl.errors import DataError, DeviceError, WrongAbiError

FORMAT = "tfpwl-device-bench"
VERSION = 1
SUBJECT = "bundle"
_JAR = "tfpwl-bench.jar"
_LIBRARY = "libtensorflowlite_jni.so"
_GPU_LIBRARY = "libtensorflowlite_gpu_jni.so"
_RESULT = "result.json"


@dataclass(frozen=True, slots=True)
class BundleBench:
    """Measures a bundle, and models in one piece beside it; a :class:`Program`.

    Attributes:
        bundle: in a folder or packed.
        parts: the folder with the jar and the native libraries that ``make android`` builds.
        rivals: models in one piece by name; a name that begins with ``student`` is compared with the student's chain.
        seconds: of steady answers per mix.
        seed: of the first repeat's order and input; each repeat takes the next one.
        place: where the bundle lies in the program's folder on the phone.
    """

    bundle: Bundle
    parts: Path
    rivals: Mapping[str, Path]
    options: ProgramOptions = field(default_factory=ProgramOptions)
    seconds: float = 1.0
    seed: int = 0
    place: str = SUBJECT
    name: str = "bundle"
    result_file: str = _RESULT

    def __post_init__(self) -> None:
        if not (self.parts / _JAR).is_file():
            raise DataError(f"There is no {self.parts / _JAR}. `make android` in the repository builds it.")

    @property
    def subjects(self) -> tuple[str, ...]:
        """The bundle; one process measures all there is about it."""
        return (SUBJECT,)

    def files(self, facts: PhoneFacts) -> dict[str, Path]:
        """The jar, the libraries for the phone's own processor, the bundle, the rivals.

        Raises:
            WrongAbiError: there is no library for it.
        """
        # app_process is a program of the phone's first ABI, and loads no others' libraries.
        abi = facts.abis[0] if facts.abis else "unknown"
        libraries = (_LIBRARY, _GPU_LIBRARY) if self.options.delegate == "gpu" else (_LIBRARY,)
        for name in libraries:
            if not (self.parts / abi / name).is_file():
                built = sorted(path.parent.name for path in self.parts.glob(f"*/{name}"))
                raise WrongAbiError(
                    f"{facts.serial} ({facts.model}) runs {abi}, and {self.parts} has {name} for "
                    f"{', '.join(built) or 'nothing'} only."
                )
        files = {_JAR: self.parts / _JAR, **{name: self.parts / abi / name for name in libraries}}
        if self.bundle.is_packed:
            files[self.place] = self.bundle.root
        else:
            inside = sorted(path for path in self.bundle.root.iterdir() if path.is_file())
            files |= {f"{self.place}/{path.name}": path for path in inside}
        return files | {f"rivals/{name}.tflite": path for name, path in self.rivals.items()}

    def command(self, subject: str, folder: str, number: int) -> str:
        """One process that measures everything once."""
        arguments = [
            "--library",
            f"{folder}/{_LIBRARY}",
            "--bundle",
            f"{folder}/{self.place}",
            "--out",
            f"{folder}/{_RESULT}",
        ]
        for name in self.rivals:
            arguments += ["--rival", f"{name}={folder}/rivals/{name}.tflite"]
        if self.options.threads is not None:
            arguments += ["--threads", str(self.options.threads)]
        arguments += ["--delegate", self.options.delegate, "--runs", "1", "--seconds", f"{self.seconds:g}"]
        arguments += ["--seed", str(self.seed + number)]
        launch = under_mask(self.options, f"app_process {folder} tfpwl.bench.Main {shlex.join(arguments)}")
        return f"export CLASSPATH={folder}/{_JAR}; exec {launch}"

    def read(self, subject: str, output: str, result: Path | None) -> Reading:
        """The summary of its JSON, flattened.

        Raises:
            DeviceError: there is no JSON, or it tells of a failure.
        """
        if result is None:
            raise DeviceError(f"The benchmark on the phone wrote no result. Its last words: {output.strip()[-500:]}")
        told = read_device_json(result.read_bytes())
        summary = told["summary"]
        figures = dict(summary["subjects"])
        figures |= {f"mix {mix}": values for mix, values in summary["steady"].items()}
        figures |= {what: summary[what] for what in ("upgrade", "memory")}
        return Reading({name: _numbers(values) for name, values in figures.items()}, told)


def read_device_json(text: bytes) -> dict[str, Any]:
    """The JSON of the benchmark on the phone.

    Raises:
        DeviceError: it is another format or version, or tells of an error.
    """
    try:
        told = json.loads(text, parse_constant=_refuse)
        found = (told["format"], told["version"])
        error = told.get("error")
        if error is not None:
            raise DeviceError(f"The benchmark on the phone failed: {error['code']}: {error['message']}")
        if found != (FORMAT, VERSION) or not {"subjects", "steady", "upgrade", "memory"} <= set(told["summary"]):
            raise ValueError(f"format and version {found}")
    except (ValueError, KeyError, TypeError, AttributeError) as exc:
        raise DeviceError(
            f"The benchmark on the phone wrote no {FORMAT} of version {VERSION} ({exc}). Build it anew: `make android`."
        ) from exc
    return dict(told)


def _refuse(constant: str) -> None:
    raise ValueError(f"{constant} is no figure")


def _numbers(values: Mapping[str, Any]) -> dict[str, float]:
    return {key: float(value) for key, value in values.items() if isinstance(value, int | float)}
