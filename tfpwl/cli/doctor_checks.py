"""What ``tfpwl doctor`` looks at: packages, Keras backend, devices, data sets, tools. Imports none of the packages."""

from __future__ import annotations

import json
import os
import platform
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import tfpwl
from tfpwl.bundle.version import parse_version
from tfpwl.data.sources import FASHION_MNIST_FOLDER
from tfpwl.versions import installed_version

TRAIN = "pip install 'tfpwl[train]'"
_DEVICE_SCRIPT = """
import json, keras
backend = keras.backend.backend()
if backend == "torch":
    import torch
    found = [f"gpu:{i} {torch.cuda.get_device_name(i)}" for i in range(torch.cuda.device_count())] or ["cpu"]
else:
    found = keras.distribution.list_devices()
print(json.dumps([backend, found]))
"""


@dataclass(frozen=True, slots=True)
class Package:
    """A package that tfpwl uses: lowest version, what for, how to get it. ``need`` is device, train or option."""

    name: str
    minimum: str | None
    need: str
    purpose: str
    install: str


# The minimums are those of setup.cfg; a test compares them.
PACKAGES = (
    Package("numpy", "1.26", "device", "arrays", "pip install numpy"),
    Package("ai-edge-litert", "2.1", "device", "runs .tflite files", "pip install ai-edge-litert"),
    Package("click", "8.1", "device", "command line", "pip install click"),
    Package("protobuf", "4.22", "device", "results of benchmark_model", "pip install protobuf"),
    Package("rich", "13", "device", "tables and bars", "pip install rich"),
    Package("cryptography", "42", "device", "signatures", "pip install cryptography"),
    Package("tensorflow", "2.21", "train", "export", TRAIN),
    Package("keras", "3.15", "train", "models and training", TRAIN),
    Package("pydantic", "2.7", "train", "pipelines", TRAIN),
    Package("PyYAML", "6", "train", "pipelines", TRAIN),
    Package("scikit-learn", "1.4", "train", "data set digits", TRAIN),
    Package("pillow", "10", "train", "image files", TRAIN),
    Package("matplotlib", "3.8", "train", "figure of the path", TRAIN),
    Package("filelock", "4.2", "train", "builds that share a folder", TRAIN),
    Package("Jinja2", "3.1", "train", "report.html", TRAIN),
    Package("vl-convert-python", "1.9", "train", "charts of report.html", TRAIN),
    Package("jsonschema", "4.20", "train", "reading reports", TRAIN),
    Package("litert-quantizer", "0.11", "train", "fp16, w8, int8", TRAIN),
    Package("tf_keras", "2.21", "train", "quantization-aware training", TRAIN),
    Package("tensorflow-model-optimization", "0.8.1", "train", "quantization-aware training", TRAIN),
    Package("tensorboard", "2.19", "option", "build --log tensorboard", "pip install 'tfpwl[tensorboard]'"),
    Package("mlflow-skinny", "3.1", "option", "build --log mlflow", "pip install 'tfpwl[mlflow]'"),
    Package("jax", None, "option", "Keras backend", "pip install jax"),
    Package("torch", None, "option", "Keras backend", "pip install torch"),
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Found:
    """A package as it was found; ``version`` is None when it is not installed."""

    package: Package
    version: str | None

    @property
    def is_good(self) -> bool:
        """Installed, and not older than tfpwl needs."""
        if self.version is None:
            return False
        return self.package.minimum is None or _numbers(self.version) >= _numbers(self.package.minimum)


def _numbers(version: str) -> tuple[int, int, int]:
    try:
        return parse_version(version if "." in version else f"{version}.0")
    except ValueError:
        return (0, 0, 0)


def find_packages() -> list[Found]:
    """Every package of ``PACKAGES`` as it is installed here."""
    return [Found(package, installed_version(package.name)) for package in PACKAGES]


def system() -> dict[str, object]:
    """The machine and the interpreter; memory in bytes, None where it cannot be told."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return {
        "tfpwl": tfpwl.__version__,
        "python": platform.python_version(),
        "executable": sys.executable,
        "platform": platform.platform(),
        "machine": platform.machine(),
        "cores": cores,
        "memory_bytes": _memory("SC_PHYS_PAGES"),
        "memory_free_bytes": _memory("SC_AVPHYS_PAGES"),
    }


def _memory(pages: str) -> int | None:
    try:
        return os.sysconf(pages) * os.sysconf("SC_PAGE_SIZE")
    except (AttributeError, OSError, ValueError):
        return None


def keras_backend(environ: Mapping[str, str] = os.environ) -> dict[str, object]:
    """The backend that Keras would take, who says so, and whether it is installed."""
    home = Path(environ.get("KERAS_HOME", Path.home() / ".keras"))
    name, said_by = "tensorflow", "default"
    try:
        configured = json.loads((home / "keras.json").read_text(encoding="utf-8")).get("backend")
    except (OSError, ValueError, AttributeError):
        configured = None
    if configured:
        name, said_by = str(configured), str(home / "keras.json")
    if environ.get("KERAS_BACKEND"):
        name, said_by = environ["KERAS_BACKEND"], "KERAS_BACKEND"
    return {"name": name, "said_by": said_by, "version": installed_version(name)}


def find_devices(timeout_s: float = 180.0) -> dict[str, object]:
    """The devices that the Keras backend sees; asked in a process of its own, which imports it."""
    try:
        done = subprocess.run(
            [sys.executable, "-c", _DEVICE_SCRIPT], capture_output=True, text=True, timeout=timeout_s, check=False
        )
    except (OSError, subprocess.TimeoutExpired) as exc:
        return {"error": str(exc)}
    if done.returncode:
        return {"error": (done.stderr.strip().splitlines() or [f"exit code {done.returncode}"])[-1]}
    backend, devices = json.loads(done.stdout.strip().splitlines()[-1])
    return {"backend": backend, "devices": devices}


def find_data_sets(environ: Mapping[str, str] = os.environ) -> Iterator[tuple[str, str | None, str]]:
    """Per named data set: its name, where it is (None: not here), how to get it."""
    cache = Path(environ.get("KERAS_HOME", Path.home() / ".keras")) / "datasets"
    download = "downloaded by keras.datasets when it is used"
    yield "digits", "scikit-learn" if installed_version("scikit-learn") else None, "pip install scikit-learn"
    idx = [FASHION_MNIST_FOLDER / f"{part}-{what}-idx{rank}-ubyte.gz"
           for part in ("train", "t10k") for what, rank in (("images", 3), ("labels", 1))]  # fmt: skip
    fashion = FASHION_MNIST_FOLDER if all(path.is_file() for path in idx) else _first(cache / "fashion-mnist")
    yield "fashion_mnist", _shown(fashion), f"apt-get install dataset-fashion-mnist, or {download}"
    yield "mnist", _shown(_first(cache / "mnist.npz")), download
    for name, stem in (("cifar10", "cifar-10-batches-py"), ("cifar100", "cifar-100-python")):
        found = _first(*(cache / f"{stem}{ending}" for ending in ("", "_extracted", "-target", ".tar.gz")))
        yield name, _shown(found), download


def _first(*paths: Path) -> Path | None:
    return next((path for path in paths if path.exists()), None)


def _shown(path: Path | None) -> str | None:
    return None if path is None else str(path)


def find_adb() -> str | None:
    """Where the Android debug bridge is."""
    return shutil.which("adb")
