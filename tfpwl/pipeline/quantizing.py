"""The stage ``quantize`` of a pipeline: its ladder, and what the ladder may try where int8 misses the gate."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tfpwl.config import PipelineConfig, QuantizeConfig
from tfpwl.data import Dataset
from tfpwl.evaluate import default_mixes
from tfpwl.mix import path, prefix_order
from tfpwl.pipeline.ladder import Ladder, OnProgress, Rebuilt, Remedy, WriteBundle, read_files
from tfpwl.pipeline.store import CHECKPOINT


def quantize(
    config: PipelineConfig,
    section: QuantizeConfig,
    data: Dataset,
    pair: Path,
    export: Path,
    *,
    kind: str,
    work: Path,
    write: WriteBundle,
    on_progress: OnProgress,
) -> dict[str, Any]:
    """Climb the ladder of ``quantize:``; leaves a folder of files per rung.

    Args:
        config: the pipeline.
        section: its ``quantize:``.
        data: its data set.
        pair: the artifact that the files were made of.
        export: artifact of the stage ``export``.
        kind: what the files answer with, ``logits`` or ``probabilities``.
        work: folder to write into.
        write: writes a bundle for measuring.
        on_progress: called with images or steps done, in all, metrics.

    Returns:
        The stage's metrics; see :meth:`tfpwl.pipeline.ladder.Ladder.run`.
    """
    files = read_files(export)
    order = prefix_order(sum(stem.endswith(".student") for stem in files))
    ladder = Ladder(
        config=section, data=data, files=files, path=path(order),
        mixes=path(order) if config.evaluate.mixes == "path" else default_mixes(order), work=work, write=write,
        seed=config.seed, limit=config.evaluate.limit, workers=config.evaluate.workers, on_progress=on_progress,
    )  # fmt: skip
    return ladder.run(_remedies(config, data, pair, ladder, kind))


def _remedies(config: PipelineConfig, data: Dataset, pair: Path, ladder: Ladder, kind: str) -> list[Remedy]:
    """Equalization costs seconds and no accuracy; training comes after it, on what it gave."""
    balanced = ladder.folder_of("equalized")

    def balance(work: Path) -> Rebuilt:
        from tfpwl.pipeline.stages import equalized  # noqa: PLC0415 - imports Keras

        return equalized(config, data, pair, ladder.path, work, kind=kind)

    def train(work: Path) -> Rebuilt:
        from tfpwl.pipeline.stages import tuned  # noqa: PLC0415 - imports Keras

        return tuned(
            config, data, balanced if balanced.is_dir() else pair, ladder.path, work, kind=kind,
            checkpoint=ladder.work / CHECKPOINT, on_progress=ladder.on_progress,
        )  # fmt: skip

    first = Remedy("equalized", balance)
    return [first] if ladder.config.qat is None else [first, Remedy("qat", train)]
