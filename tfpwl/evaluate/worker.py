"""A process that scores slices: reads requests from its standard input, writes answers to its standard output.

It imports numpy, ai-edge-litert and the device side of tfpwl, never TensorFlow. It is started as a command of its
own (:mod:`tfpwl.evaluate.pool`), not by ``multiprocessing``, which would run the user's main script again.
"""

from __future__ import annotations

import os
import pickle
import sys
from typing import IO, Any

from tfpwl.bundle import Bundle
from tfpwl.errors import TfpwlError
from tfpwl.evaluate.scorer import Scorer


def main() -> None:
    """Answer requests ``(x, y)`` until the input ends; the first request is ``(folder, mixes, raw)``.

    An answer is ``("ready", None)``, ``("counts", list)`` or ``("error", exception)``.
    """
    requests = sys.stdin.buffer
    # What a library prints must not get between the answers: those have a descriptor of their own.
    with os.fdopen(os.dup(sys.stdout.fileno()), "wb") as answers:
        os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
        try:
            serve(requests, answers)
        except TfpwlError as exc:
            _send(answers, "error", exc)


def serve(requests: IO[bytes], answers: IO[bytes]) -> None:
    """Answer every request of a stream."""
    folder, mixes, raw = pickle.load(requests)
    scorer = Scorer(Bundle.open(folder), mixes, raw=raw)
    _send(answers, "ready", None)
    while True:
        try:
            x, y = pickle.load(requests)
        except EOFError:
            return
        _send(answers, "counts", scorer.count(x, y))


def _send(answers: IO[bytes], what: str, value: Any) -> None:
    pickle.dump((what, value), answers, protocol=pickle.HIGHEST_PROTOCOL)
    answers.flush()
