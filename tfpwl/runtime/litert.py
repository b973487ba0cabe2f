"""The LiteRT C API of ``libLiteRt.so`` (in ``ai-edge-litert``) through ctypes: only the calls that the engine needs.

ctypes lets go of Python's global lock during every call that takes long (:data:`_LONG`), which the package's own
bindings do not while they load.

A wrong declaration crashes the process instead of raising, and the API changes between releases: in 2.1 to 2.3
``LiteRtCreateModelFromBuffer`` got the environment as its first argument. So the library is used only in the
versions that these declarations were checked with (:data:`CHECKED_VERSIONS`), and only with every symbol there;
otherwise :func:`load_library` says why not and the Interpreter engine does the work.
"""

from __future__ import annotations

import ctypes
import os
import threading
from ctypes import POINTER, byref, c_char_p, c_float, c_int, c_int64, c_size_t, c_void_p
from functools import cache
from pathlib import Path
from typing import Any

from tfpwl.bundle.version import parse_version
from tfpwl.errors import EngineError, MissingDependencyError

CHECKED_VERSIONS = ((2, 3),)  # (major, minor) of ai-edge-litert
LIBRARY_NAME = "libLiteRt.so"
# LiteRtHwAccelerators, a set of bits.
CPU, GPU = 1, 2
MAX_RANK = 8
# LiteRtElementType, the types that may stand at the ends of a group.
DTYPES = {1: "float32", 3: "uint8", 7: "int16", 9: "int8", 10: "float16"}
PER_TENSOR = 1  # LiteRtQuantizationTypeId
_NO_QUANTIZATION = 0
_RANKED = 0  # LiteRtTensorTypeId

STATUS = {
    1: "invalid argument",
    2: "out of memory",
    3: "runtime failure",
    4: "missing input tensor",
    5: "unsupported",
    6: "not found",
    8: "wrong version",
    9: "unknown error",
    500: "file cannot be read",
    501: "not a valid flatbuffer",
    502: "a library cannot be loaded",
    504: "compilation failed",
    1000: "index out of bounds",
    1001: "invalid type",
    1002: "invalid graph",
    4000: "unsupported runtime version",
}
_OUT_OF_MEMORY = 2


class RankedTensorType(ctypes.Structure):
    """``LiteRtRankedTensorType``: 72 bytes. ``bits`` holds the rank (7 bits) and whether there are strides (1 bit)."""

    _fields_ = (
        ("element_type", c_int),
        ("bits", ctypes.c_uint32),
        ("dimensions", ctypes.c_int32 * MAX_RANK),
        ("strides", ctypes.c_uint32 * MAX_RANK),
    )

    @property
    def shape(self) -> tuple[int, ...]:
        return tuple(self.dimensions[: self.bits & 0x7F])


class PerTensorQuantization(ctypes.Structure):
    """``LiteRtQuantizationPerTensor``."""

    _fields_ = (("scale", c_float), ("zero_point", c_int64))


class _Value(ctypes.Structure):
    """``LiteRtAny`` that holds an integer, or the address of a text."""

    _fields_ = (("type", c_int), ("value", c_int64))


class _EnvironmentOption(ctypes.Structure):
    _fields_ = (("tag", c_int), ("value", _Value))


_INTEGER, _TEXT = 2, 8
_LIBRARY_FOLDER = 22
_AUTO_REGISTER_ACCELERATORS = 24
_MIN_LOGGER_SEVERITY = 25
_ERRORS_ONLY = 2

_Handle = c_void_p
_Out = POINTER(c_void_p)
_COUNT_OUT = POINTER(c_size_t)
# Arguments of each function; all return a LiteRtStatus but those named LiteRtDestroy….
_FUNCTIONS: dict[str, tuple[Any, ...]] = {
    "LiteRtCreateEnvironment": (c_int, POINTER(_EnvironmentOption), _Out),
    "LiteRtCreateModelFromBuffer": (_Handle, c_void_p, c_size_t, _Out),
    "LiteRtDestroyModel": (_Handle,),
    "LiteRtGetNumModelSignatures": (_Handle, _COUNT_OUT),
    "LiteRtGetModelSignature": (_Handle, c_size_t, _Out),
    "LiteRtGetNumSignatureInputs": (_Handle, _COUNT_OUT),
    "LiteRtGetNumSignatureOutputs": (_Handle, _COUNT_OUT),
    "LiteRtGetSignatureInputTensorByIndex": (_Handle, c_size_t, _Out),
    "LiteRtGetSignatureOutputTensorByIndex": (_Handle, c_size_t, _Out),
    "LiteRtGetTensorTypeId": (_Handle, POINTER(c_int)),
    "LiteRtGetRankedTensorType": (_Handle, POINTER(RankedTensorType)),
    "LiteRtGetQuantizationTypeId": (_Handle, POINTER(c_int)),
    "LiteRtGetPerTensorQuantization": (_Handle, POINTER(PerTensorQuantization)),
    "LiteRtGetModelSubgraph": (_Handle, c_size_t, _Out),
    "LiteRtGetNumSubgraphOps": (_Handle, _COUNT_OUT),
    "LiteRtGetSubgraphOp": (_Handle, c_size_t, _Out),
    "LiteRtGetOpCode": (_Handle, POINTER(c_int)),
    "LiteRtGetNumOpInputs": (_Handle, _COUNT_OUT),
    "LiteRtGetNumOpOutputs": (_Handle, _COUNT_OUT),
    "LiteRtGetOpInput": (_Handle, c_size_t, _Out),
    "LiteRtGetOpOutput": (_Handle, c_size_t, _Out),
    "LiteRtGetTensorWeights": (_Handle, _Out),
    "LiteRtGetWeightsBytes": (_Handle, _Out, _COUNT_OUT),
    "LiteRtCreateOptions": (_Out,),
    "LiteRtDestroyOptions": (_Handle,),
    "LiteRtSetOptionsHardwareAccelerators": (_Handle, c_int),
    "LiteRtCreateOpaqueOptions": (c_char_p, c_void_p, c_void_p, _Out),
    "LiteRtDestroyOpaqueOptions": (_Handle,),
    "LiteRtAddOpaqueOptions": (_Handle, _Handle),
    "LiteRtCreateCompiledModel": (_Handle, _Handle, _Handle, _Out),
    "LiteRtDestroyCompiledModel": (_Handle,),
    "LiteRtCreateTensorBufferFromHostMemory": (POINTER(RankedTensorType), c_void_p, c_size_t, c_void_p, _Out),
    "LiteRtDestroyTensorBuffer": (_Handle,),
    "LiteRtRunCompiledModel": (_Handle, c_size_t, c_size_t, _Out, c_size_t, _Out),
}

# Those that load, pack or run: other threads go on meanwhile. The others take a microsecond, less than giving the
# global lock to another thread and getting it back.
_LONG = frozenset(
    {
        "LiteRtCreateEnvironment",
        "LiteRtCreateModelFromBuffer",
        "LiteRtDestroyModel",
        "LiteRtCreateCompiledModel",
        "LiteRtDestroyCompiledModel",
        "LiteRtRunCompiledModel",
    }
)


class Library:
    """The bound functions, and the environments of this process."""

    def __init__(self, path: Path, version: str) -> None:
        self.version = version
        self._folder = path.parent
        self._functions: dict[str, Any] = {}
        try:
            releasing, keeping = ctypes.CDLL(str(path)), ctypes.PyDLL(str(path))
            # libc's own free as the destructor of an options' text, which must outlive this call.
            self._libc = ctypes.CDLL(None)
            self._libc.strdup.restype = c_void_p
        except OSError as exc:
            raise EngineError(f"Cannot load {path}: {exc}. Install ai-edge-litert again.") from exc
        missing = [name for name in _FUNCTIONS if not hasattr(keeping, name)]
        if missing:
            raise EngineError(f"{path} lacks {', '.join(missing)}; install ai-edge-litert {_versions()} again.")
        for name, arguments in _FUNCTIONS.items():
            function = getattr(releasing if name in _LONG else keeping, name)
            function.argtypes = arguments
            function.restype = None if name.startswith("LiteRtDestroy") else c_int
            self._functions[name] = function
        self.run = self._functions["LiteRtRunCompiledModel"]
        self._environments: dict[int, c_void_p] = {}
        self._lock = threading.Lock()

    def call(self, name: str, *arguments: Any) -> None:
        """Call a function that returns a status.

        Raises:
            MemoryError: the status says so.
            EngineError: any other status but OK.
        """
        status = self._functions[name](*arguments)
        if status:
            raise MemoryError if status == _OUT_OF_MEMORY else EngineError(f"{name}: {describe(status)}")

    def create(self, name: str, *arguments: Any) -> c_void_p:
        """Call a function whose last argument receives a handle (or a borrowed object), and return that."""
        handle = c_void_p()
        self.call(name, *arguments, byref(handle))
        if not handle:
            raise EngineError(f"{name} gave no object and no reason.")
        return handle

    def number(self, name: str, handle: c_void_p) -> int:
        """What a function of one handle writes into a ``size_t``."""
        found = c_size_t()
        self.call(name, handle, byref(found))
        return found.value

    def destroy(self, what: str, handle: c_void_p | None) -> None:
        """``LiteRtDestroy<what>``."""
        if handle:
            self._functions[f"LiteRtDestroy{what}"](handle)

    def environment(self, accelerators: int = CPU) -> c_void_p:
        """The environment with these accelerators, created at the first use and kept: models and threads share it.

        The CPU has one of its own: looking for GPU libraries takes 4 ms, that for the CPU alone 0.07.
        """
        with self._lock:
            if accelerators not in self._environments:
                # LiteRT looks for accelerators' libraries here, and by itself only where the system's linker does.
                folder = ctypes.create_string_buffer(os.fsencode(self._folder))
                options = (_EnvironmentOption * 3)(
                    _EnvironmentOption(_AUTO_REGISTER_ACCELERATORS, _Value(_INTEGER, accelerators)),
                    _EnvironmentOption(_MIN_LOGGER_SEVERITY, _Value(_INTEGER, _ERRORS_ONLY)),
                    _EnvironmentOption(_LIBRARY_FOLDER, _Value(_TEXT, ctypes.addressof(folder))),
                )
                self._environments[accelerators] = self.create("LiteRtCreateEnvironment", len(options), options)
            return self._environments[accelerators]

    def add_text_option(self, options: c_void_p, identifier: bytes, text: str) -> None:
        """Add options of a delegate to the options of a model; ``text`` is TOML, as LiteRT's own binding sends it."""
        payload = self._libc.strdup(text.encode())
        if not payload:
            raise MemoryError
        free = ctypes.cast(self._libc.free, c_void_p)
        opaque = self.create("LiteRtCreateOpaqueOptions", identifier, payload, free)
        try:
            self.call("LiteRtAddOpaqueOptions", options, opaque)
        except (EngineError, MemoryError):  # and not Ctrl-C: they may belong to the other options by then
            self.destroy("OpaqueOptions", opaque)
            raise


def describe(status: int) -> str:
    """A status in words."""
    return f"{STATUS.get(status, 'error')} (LiteRT status {status})"


@cache
def load_library() -> Library:
    """The library of the installed ``ai-edge-litert``, checked once per process.

    Raises:
        MissingDependencyError: ai-edge-litert is not installed, or comes without the library.
        EngineError: its version is not one of :data:`CHECKED_VERSIONS`, or a symbol is missing.
    """
    try:
        import ai_edge_litert  # noqa: PLC0415  # loads 8 MB of native code
    except ImportError as exc:
        raise MissingDependencyError(
            "ai-edge-litert, the TFLite runtime, is not installed. Install it with: pip install ai-edge-litert"
        ) from exc
    version = ai_edge_litert.__version__
    check_version(version)
    path = Path(ai_edge_litert.__file__).with_name(LIBRARY_NAME)
    if not path.is_file():
        raise MissingDependencyError(
            f"ai-edge-litert {version} has no {LIBRARY_NAME} for this platform; use the engine 'interpreter'."
        )
    return Library(path, version)


def check_version(version: str) -> None:
    """Refuse a version of ai-edge-litert whose C API these declarations were not checked with.

    Raises:
        EngineError: when it is another.
    """
    if parse_version(version)[:2] not in CHECKED_VERSIONS:
        raise EngineError(
            f"ai-edge-litert {version} is installed; the engine 'litert' was checked with {_versions()}, and "
            "another C API would crash. Install that version, or use the engine 'interpreter'."
        )


def _versions() -> str:
    return " and ".join(f"{major}.{minor}" for major, minor in CHECKED_VERSIONS)


def tensor_type(library: Library, tensor: c_void_p) -> RankedTensorType:
    """Element type and shape of a tensor.

    Raises:
        EngineError: it has no fixed rank.
    """
    kind = c_int()
    library.call("LiteRtGetTensorTypeId", tensor, byref(kind))
    if kind.value != _RANKED:
        raise EngineError("An end of the file has no fixed rank; export the group with fixed shapes.")
    found = RankedTensorType()
    library.call("LiteRtGetRankedTensorType", tensor, byref(found))
    return found


def quantization(library: Library, tensor: c_void_p) -> tuple[float | None, int | None]:
    """Scale and zero point of an end; both None where it has none.

    Raises:
        EngineError: it has more than one scale.
    """
    kind = c_int()
    library.call("LiteRtGetQuantizationTypeId", tensor, byref(kind))
    if kind.value == _NO_QUANTIZATION:
        return None, None
    if kind.value != PER_TENSOR:
        raise EngineError("An end of the file has several scales; activations have one scale.")
    found = PerTensorQuantization()
    library.call("LiteRtGetPerTensorQuantization", tensor, byref(found))
    return float(found.scale), int(found.zero_point)
