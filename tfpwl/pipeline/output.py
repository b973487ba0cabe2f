"""What the answers of a bundle are, and the softmax that training took off."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import keras

from tfpwl.pairs import ModelPair

LOGITS, PROBABILITIES = "logits", "probabilities"


def end_in(pair: ModelPair, kind: str) -> ModelPair:
    """The pair as its files shall answer: with ``kind`` "probabilities", the last group of both sides gets a softmax.

    Weights are shared with ``pair``, whose groups end in logits and stay as they are.
    """
    if kind == LOGITS:
        return pair
    return replace(pair, student=_with_softmax(pair.student), teacher=_with_softmax(pair.teacher))


def _with_softmax(groups: Sequence[keras.Model]) -> tuple[keras.Model, ...]:
    *rest, last = groups
    inputs = keras.Input(last.input_shape[1:], name="input")
    return (*rest, keras.Model(inputs, keras.layers.Softmax(name="softmax")(last(inputs)), name=last.name))
