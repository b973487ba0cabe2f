"""Keys of artifacts: what a stage's artifact is made from, as one digest. An unchanged key, an unchanged artifact.

A key covers the content of the data, the stage's part of the configuration, the keys of the stages before it, the
versions of what computes, and the source of those parts of tfpwl that decide over the result.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import tfpwl
from tfpwl.config import PipelineConfig, digest
from tfpwl.pipeline.backend import keras_backend
from tfpwl.pipeline.stage_names import stages_of
from tfpwl.pipeline.teacher_file import describe_teacher
from tfpwl.versions import installed_version

_TRAINING_CODE = (
    "augment", "fused", "models", "pairs", "training",
    "pipeline/fitting", "pipeline/given_teacher", "pipeline/pairing", "pipeline/stages",
)  # fmt: skip


def stage_keys(config: PipelineConfig, data: str, collected: str | None = None) -> dict[str, str]:
    """The stages of a pipeline in their order, each with the key of its artifact, 64 hexadecimal digits.

    Args:
        config: the pipeline.
        data: digest of its data set.
        collected: digest of the data that ``finetune:`` adapts to, if it does.

    Raises:
        ModelError: the file of the teacher cannot be read.

    Example:
        >>> stage_keys(config, dataset.digest())["train"][:16]                     # doctest: +SKIP
        '3f0c0b5a54d3b5a1'
    """
    sections = config.model_dump(mode="json")
    keys = _of_training(config, sections, data)
    pair = keys["distill"]
    if config.prune is not None:
        code = _code("prune", "pipeline/pruning")
        pair = keys["prune"] = digest({"distill": pair, "prune": sections["prune"], "code": code})
    if config.finetune is not None:
        pair = keys["finetune"] = _of_finetuning(sections, pair, collected)
    keys |= _of_files(config, sections, pair)
    return {stage: keys[stage] for stage in stages_of(config)}


def _of_training(config: PipelineConfig, sections: Mapping[str, Any], data: str) -> dict[str, str]:
    """Keys of the stages from the teacher to the pair, those that the pipeline leaves out among them."""
    base = {
        "versions": _versions(),
        "code": _code(*_TRAINING_CODE),
        "data": data,
        "seed": sections["seed"],
        "augment": sections["data"]["augment"],
    }
    train = digest({**base, "teacher": describe_teacher(config)})
    condense = digest({"train": train, "student": sections["student"], "wave": sections["wave"], "code": _code("wave")})
    student = {"train": train, "student": sections["student"], "code": _code("distill", "mix")}
    if config.student.init != "fresh":
        student["start"] = condense
    if config.student.derive is not None:
        student["derive"] = _code("prune")
    student["distill"] = _distill_settings(sections)
    distill, baseline = (digest({**student, "method": method}) for method in (config.distill.method, "kd"))
    return {"train": train, "condense": condense, "distill": distill, "baseline": baseline}


def _of_finetuning(sections: Mapping[str, Any], pair: str, collected: str | None) -> str:
    settings = {key: value for key, value in sections["finetune"].items() if key != "data"}
    return digest(
        {
            "pair": pair,
            "data": collected,
            "finetune": settings,
            "distill": _distill_settings(sections),
            "code": _code("distill", "pipeline/finetuning", "pipeline/device_data"),
        }
    )


def _of_files(config: PipelineConfig, sections: Mapping[str, Any], pair: str) -> dict[str, str]:
    """Keys of the stages that make and measure files of the pair with the key ``pair``."""
    export = digest(
        {
            "distill": pair,
            "export": sections["export"]["batch"],
            "tensorflow": _version("tensorflow"),
            "code": _code("export", "xnnpack", "pipeline/output"),
        }
    )
    measured = {
        "export": export,
        "evaluate": {key: sections["evaluate"][key] for key in ("mixes", "limit")},
        "ai-edge-litert": _version("ai-edge-litert"),
        "code": _code("evaluate", "bundle", "runtime", "pipeline/bundling", "pipeline/measuring"),
    }
    quantize = digest(
        {
            **measured,
            "quantize": sections["quantize"],
            "litert-quantizer": _version("litert-quantizer"),
            "ladder": _code("quantize", "pipeline/ladder", "pipeline/quantizing"),
        }
    )
    evaluate = digest(measured if config.quantize is None else {**measured, "quantize": quantize})
    return {"export": export, "quantize": quantize, "evaluate": evaluate}


def outline_key(export: str, precisions: Sequence[str]) -> str:
    """Key of the outline of a trial (:mod:`tfpwl.pipeline.outline`) whose export has the key ``export``."""
    return digest(
        {
            "export": export,
            "precisions": list(precisions),
            "ai-edge-litert": _version("ai-edge-litert"),
            "litert-quantizer": _version("litert-quantizer"),
            "code": _code(
                "prune", "quantize", "evaluate", "bundle", "runtime",
                "pipeline/outline", "pipeline/pruning", "pipeline/limits", "pipeline/ladder", "pipeline/bundling",
            ),
        }
    )  # fmt: skip


def _distill_settings(sections: Mapping[str, Any]) -> dict[str, Any]:
    """What distillation depends on, but for its method, which the stages `distill` and `baseline` differ in."""
    return {key: value for key, value in sections["distill"].items() if key not in ("method", "baseline")}


def _versions() -> dict[str, str]:
    backend = keras_backend()
    return {"tfpwl": tfpwl.__version__, "keras": _version("keras"), "backend": backend, backend: _version(backend)}


def _version(package: str) -> str:
    return installed_version(package) or "none"


@cache
def _code(*parts: str) -> str:
    """SHA-256 of the source of modules and packages of tfpwl."""
    root, sha = Path(tfpwl.__file__).parent, hashlib.sha256()
    for part in parts:
        module = root / f"{part}.py"
        for path in [module] if module.exists() else sorted((root / part).rglob("*.py")):
            sha.update(path.relative_to(root).as_posix().encode() + b"\0" + path.read_bytes())
    return sha.hexdigest()
