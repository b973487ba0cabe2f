"""Every contract of the bundle format that can be checked without data, one line each."""

from __future__ import annotations

import hashlib
import os
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from tfpwl.bundle.entries import TensorSpec
from tfpwl.bundle.faces import faces_of
from tfpwl.bundle.reader import Bundle
from tfpwl.bundle.signing import Key, load_public_key
from tfpwl.bundle.store import MANIFEST_NAME, SIGNATURE_NAME
from tfpwl.bundle.tflite_file import SIGNATURE, read_facts, spec_of_detail
from tfpwl.bundle.version import check_runtime, installed_tflite_level, parse_version
from tfpwl.errors import BundleError, ContractError, IntegrityError, ManifestError
from tfpwl.mix import Mix

# What a dynamic batch leaves behind.
DYNAMIC_OPERATORS = frozenset({"SHAPE", "GATHER", "PACK", "REDUCE_PROD"})


@dataclass(frozen=True, slots=True)
class Check:
    """The outcome of one contract: ``detail`` says what was found, or what breaks it."""

    name: str
    passed: bool
    detail: str


@dataclass(slots=True)
class _Loaded:
    """A file in an interpreter."""

    interpreter: Any
    input: TensorSpec
    output: TensorSpec
    signatures: list[str]
    operators: Counter[str] = field(default_factory=Counter)
    left_outside: Counter[str] = field(default_factory=Counter)

    def run(self, x: Any) -> Any:
        self.interpreter.set_tensor(self.interpreter.get_input_details()[0]["index"], x)
        self.interpreter.invoke()
        return self.interpreter.get_tensor(self.interpreter.get_output_details()[0]["index"])


def verify(bundle: Bundle | str | os.PathLike[str], *, public_key: Key | None = None) -> list[Check]:
    """Check a bundle's contracts (docs/design.md) by reading, loading and running every file.

    Checks that need an earlier one are left out when that failed: no file reaches the interpreter before every
    checksum is right.

    Args:
        bundle: an open bundle, its folder or its pack.
        public_key: also check the signature, by the owner of this key (see :meth:`Bundle.open`).

    Returns:
        One :class:`Check` per contract. The bundle is sound when all passed.

    Raises:
        SignatureError: the public key itself cannot be used.
        MissingDependencyError: ai-edge-litert is not installed.

    Example:
        >>> all(check.passed for check in verify("runs/digits_resnet/bundle"))     # doctest: +SKIP
        True
    """
    key = None if public_key is None else load_public_key(public_key)
    try:
        opened = bundle if isinstance(bundle, Bundle) else Bundle.open(bundle)
    except BundleError as exc:
        return [Check("manifest" if isinstance(exc, ManifestError) else "integrity", False, str(exc))]
    checks = [Check("manifest", True, _about(opened))]
    if public_key is not None and key is not None:
        checks.append(_outcome("signature", lambda: _check_signature(opened, public_key, key)))
    models: dict[str, bytes] = {}
    for name, check in (
        ("integrity", lambda: _check_integrity(opened, models)),
        ("runtime version", lambda: _check_version(opened, models)),
    ):
        checks.append(_outcome(name, check))
    if all(check.passed for check in checks):
        checks.extend(_check_files(opened, models))
    checks.append(_outcome("other files", lambda: _check_others(opened)))
    return checks


def _about(bundle: Bundle) -> str:
    signed = ", signed" if bundle.is_signed else ""
    return f"version 1, {bundle.manifest.num_groups} groups, {bundle.manifest.precision}{signed}"


def _check_signature(bundle: Bundle, public_key: Key, key: Any) -> str:
    bundle.check_signature(public_key)
    digest = hashlib.sha256(key.public_bytes_raw()).hexdigest()
    return f"{SIGNATURE_NAME} is right; the public key has SHA-256 {digest[:16]}…"


def _check_others(bundle: Bundle) -> str:
    """A model that no sum covers breaks the contract; other files are the user's own and are only named."""
    known = {MANIFEST_NAME, SIGNATURE_NAME, bundle.manifest.output.labels, *(e.file for e in bundle.files())}
    others = [name for name in bundle.store.names() if name not in known]
    models = [name for name in others if name.lower().endswith(".tflite")]
    if models:
        raise IntegrityError(
            f"{', '.join(models)}: not in the manifest, so no sum covers {'it' if len(models) == 1 else 'them'}; delete"
        )
    return f"not in the manifest, never read: {', '.join(others)}" if others else "there is nothing beside the bundle"


def _outcome(name: str, check: Callable[[], str]) -> Check:
    try:
        return Check(name, True, check())
    except BundleError as exc:
        return Check(name, False, str(exc))


def _check_integrity(bundle: Bundle, models: dict[str, bytes]) -> str:
    for entry in bundle.files():
        models[entry.file] = bundle.read(entry)
    labels = bundle.labels
    named = f", {len(labels)} labels" if labels is not None else ""
    return f"{len(models)} files, {sum(map(len, models.values()))} bytes, every SHA-256 right{named}"


def _check_version(bundle: Bundle, models: dict[str, bytes]) -> str:
    required, available = bundle.manifest.requires.tflite_runtime, installed_tflite_level()
    for file, model in models.items():
        with suppress(ContractError):  # a file that cannot be read is the next check's matter
            needed = read_facts(file, model).min_runtime_version
            if parse_version(needed) > parse_version(required):
                raise ManifestError(f"the manifest asks for TFLite {required}; {file} needs {needed}. Export again.")
    check_runtime(required, available)
    return f"needs TFLite {required}, the installed runtime stands at {available}"


def _check_files(bundle: Bundle, models: dict[str, bytes]) -> Iterator[Check]:
    loaded: dict[str, _Loaded] = {}
    yield _outcome("fixed batch", lambda: _check_loading(models, loaded))
    if len(loaded) < len(models):
        return
    for name, check in (
        ("one partition", lambda: _check_partitions(bundle.manifest.precision, loaded)),
        ("operators", lambda: _check_operators(loaded)),
        ("boundaries", lambda: _check_faces(bundle, loaded, at_boundary=True)),
        ("float ends", lambda: _check_faces(bundle, loaded, at_boundary=False)),
    ):
        yield _outcome(name, check)
    yield _outcome("teacher chain", lambda: _check_mix(bundle, loaded, Mix.all_teacher(bundle.manifest.num_groups)))
    yield _outcome("path", lambda: _check_path(bundle, loaded))


def _check_loading(models: dict[str, bytes], loaded: dict[str, _Loaded]) -> str:
    problems = []
    for file, model in models.items():
        try:
            loaded[file] = _load(model)
        except (ValueError, RuntimeError, ContractError) as exc:
            problems.append(f"{file}: {exc}")
            continue
        if loaded[file].signatures != [SIGNATURE]:
            problems.append(f"{file}: signatures {loaded[file].signatures}, expected exactly {SIGNATURE!r}")
    _raise_all(problems)
    return f"every file has static shapes, one input, one output and the signature {SIGNATURE!r}"


def _load(model: bytes) -> _Loaded:
    # Here and not above: importing the binding takes 0.2 s, and the device side must import quickly.
    from ai_edge_litert.interpreter import Interpreter  # noqa: PLC0415

    interpreter = Interpreter(model_content=model, num_threads=1)
    inputs, outputs = interpreter.get_input_details(), interpreter.get_output_details()
    if len(inputs) != 1 or len(outputs) != 1:
        raise ContractError(f"{len(inputs)} inputs and {len(outputs)} outputs, expected one of each")
    for detail in (*inputs, *outputs):
        if (np.asarray(detail["shape_signature"]) < 1).any():
            raise ContractError(f"free shape {list(detail['shape_signature'])}, every axis must be fixed")
    interpreter.allocate_tensors()
    # No public call lists operators; the delegate shows as the operator DELEGATE, once per partition.
    operators = interpreter._get_ops_details()
    return _Loaded(
        interpreter=interpreter,
        input=spec_of_detail(inputs[0]),
        output=spec_of_detail(outputs[0]),
        signatures=list(interpreter.get_signature_list()),
        operators=Counter(op["op_name"] for op in operators),
        left_outside=_left_outside(operators),
    )


def _left_outside(operators: Sequence[Mapping[str, Any]]) -> Counter[str]:
    """The operators that no partition took over: those not met when walking back from each partition's outputs."""
    plain = [op for op in operators if op["op_name"] != "DELEGATE"]
    producer = {int(tensor): i for i, op in enumerate(plain) for tensor in op["outputs"]}
    taken: set[int] = set()
    for partition in operators:
        if partition["op_name"] != "DELEGATE":
            continue
        given, open_tensors = {int(t) for t in partition["inputs"]}, [int(t) for t in partition["outputs"]]
        while open_tensors:
            tensor = open_tensors.pop()
            index = producer.get(tensor)
            if index is not None and index not in taken and tensor not in given:
                taken.add(index)
                open_tensors.extend(int(t) for t in plain[index]["inputs"])
    return Counter(op["op_name"] for i, op in enumerate(plain) if i not in taken)


def _check_partitions(precision: str, loaded: dict[str, _Loaded]) -> str:
    split = {file: one for file, one in loaded.items() if one.operators["DELEGATE"] != 1}
    if not split:
        return "every file runs as one XNNPACK partition"
    listing = "; ".join(f"{file}: {_split_by(one)}" for file, one in split.items())
    if precision == "int8" and all(one.operators["DELEGATE"] for one in split.values()):
        return f"{listing}; XNNPACK has no kernel for these at this precision"
    raise ContractError(f"{listing}; expected one XNNPACK partition per file")


def _split_by(one: _Loaded) -> str:
    left = ", ".join(f"{count} {name}" if count > 1 else name for name, count in sorted(one.left_outside.items()))
    return f"{one.operators['DELEGATE']} partitions, split by {left or 'their layout'}"


def _check_operators(loaded: dict[str, _Loaded]) -> str:
    problems = []
    for file, one in loaded.items():
        bad = {op for op in one.operators if op in DYNAMIC_OPERATORS or op.startswith("Flex") or op == "CUSTOM"}
        problems.extend([f"{file}: {', '.join(sorted(bad))}"] if bad else [])
    _raise_all(problems)
    return "no flex or custom operators, none of a dynamic batch"


def _check_faces(bundle: Bundle, loaded: dict[str, _Loaded], *, at_boundary: bool) -> str:
    problems = []
    for face in faces_of(bundle.manifest):
        one = loaded[face.entry.file]
        found = one.input if face.end == "input" else one.output
        if face.at_boundary == at_boundary and not face.accepts(found):
            problems.append(f"{face.entry.file}: its {face.end} is {found}, but {face.where} is {face.spec}")
    _raise_all(problems)
    if at_boundary:
        return f"{len(bundle.manifest.boundaries)} boundaries: shape, dtype, scale and zero point agree in all files"
    spec_in, spec_out = bundle.manifest.input, bundle.manifest.output
    return f"takes {spec_in.dtype} {list(spec_in.shape)}, gives {spec_out.dtype} {list(spec_out.shape)}"


def _check_mix(bundle: Bundle, loaded: dict[str, _Loaded], mix: Mix) -> str:
    spec = bundle.manifest.input
    rng = np.random.default_rng(0)
    x = rng.random(spec.shape, np.float32) if spec.dtype == "float32" else rng.integers(0, 256, spec.shape, np.uint8)
    for entry in bundle.chain(mix):
        try:
            x = loaded[entry.file].run(x)
        except (ValueError, RuntimeError) as exc:
            raise ContractError(f"{mix}: {entry.file} does not run: {exc}") from exc
    if not np.isfinite(x).all():
        raise ContractError(f"{mix}: {int((~np.isfinite(x)).sum())} of {x.size} outputs are not finite")
    return f"{mix} runs through {len(bundle.chain(mix))} files with finite output"


def _check_path(bundle: Bundle, loaded: dict[str, _Loaded]) -> str:
    mixes = [entry.mix for entry in bundle.manifest.path]
    for mix in mixes:
        _check_mix(bundle, loaded, mix)
    return f"{' → '.join(mixes)}: each runs with finite output"


def _raise_all(problems: list[str]) -> None:
    if problems:
        raise ContractError("; ".join(problems))
