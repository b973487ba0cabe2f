"""The losses of Progressive Weight Loading as pure functions of tensors, on any Keras backend.

Notation of arXiv 2509.22319: ``x`` input, ``y`` label, ``s_i``/``t_i`` student/teacher feature at
boundary ``i``, ``E_i``/``D_i`` encoder/decoder, ``z_s``/``z_t``/``z_m`` logits of the student, the teacher and a
mix, ``T`` temperature. Every function returns a scalar: the mean over the batch.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from keras import ops

Tensor = Any  # a tensor of whichever backend Keras runs on
_SMALLEST_RMS = 1e-3  # features below this root mean square have no direction worth a gradient


def hard_loss(z_s: Tensor, y: Tensor, *, label_smoothing: float = 0.0) -> Tensor:
    """Cross-entropy ``CE(z_s, y)`` (the unweighted ``L_hard``).

    Args:
        z_s: logits, ``(batch, classes)``.
        y: class indices, ``(batch,)``.
        label_smoothing: share of the target spread evenly over all classes.
    """
    log_p = ops.log_softmax(z_s, axis=-1)
    picked = ops.take_along_axis(log_p, ops.expand_dims(ops.cast(y, "int32"), -1), axis=-1)
    loss = -ops.mean(picked)
    if label_smoothing:
        loss = (1.0 - label_smoothing) * loss - label_smoothing * ops.mean(log_p)
    return loss


def soft_loss(z_t: Tensor, z: Tensor, *, temperature: float) -> Tensor:
    """``T² · KL(softmax(z_t / T) ‖ softmax(z / T))`` (``L_soft`` with ``z = z_s``, ``L_cross`` with ``z = z_m``).

    Args:
        z_t: the teacher's logits, ``(batch, classes)``.
        z: the other logits, ``(batch, classes)``.
        temperature: ``T``; the factor T² keeps the gradient's size when T changes.
    """
    log_t = ops.log_softmax(z_t / temperature, axis=-1)
    log_z = ops.log_softmax(z / temperature, axis=-1)
    divergence = ops.sum(ops.exp(log_t) * (log_t - log_z), axis=-1)
    return temperature**2 * ops.mean(divergence)


def feature_distance(a: Tensor, b: Tensor) -> Tensor:
    """``d(a, b) = MSE(a, b) + mean(1 - cos(flatten a, flatten b))``.

    Args:
        a: features, ``(batch, …)``.
        b: features of the same shape.
    """
    size = 1
    for length in a.shape[1:]:
        size *= length
    a, b = ops.reshape(a, (-1, size)), ops.reshape(b, (-1, size))
    apart = a - b
    gap = ops.sum(apart * apart, axis=-1)
    # The gradient of a cosine grows with 1 / |a|: one dead feature (an image whose channels are all 0 behind a
    # ReLU, and what a converter makes of it) would throw the weights out by a factor of a million.
    floor = size * _SMALLEST_RMS**2
    norm_a, norm_b = ops.sqrt(ops.sum(a * a, axis=-1) + floor), ops.sqrt(ops.sum(b * b, axis=-1) + floor)
    # |a|² + |b|² - 2ab and 1 - cos lose every digit in float32 once a and b agree in four. 1 - cos from the gap, by
    # 2ab = |a|² + |b|² - |a-b|², loses none.
    turned = (floor + 0.5 * (gap - (norm_a - norm_b) ** 2)) / (norm_a * norm_b)
    return ops.mean(gap) / size + ops.mean(turned)


def sync_loss(s: Sequence[Tensor], t: Sequence[Tensor], encoded: Sequence[Tensor], decoded: Sequence[Tensor]) -> Tensor:
    """``L_sync = mean_i d(s_i, E_i(t_i)) + d(t_i, D_i(s_i))``, given ``E_i(t_i)`` and ``D_i(s_i)`` as they are."""
    terms = []
    for s_i, t_i, e_i, d_i in zip(s, t, encoded, decoded, strict=True):
        if e_i is t_i and d_i is s_i:  # equal widths, no converters: both distances are the same one
            terms.append(2.0 * feature_distance(s_i, t_i))
        else:
            terms.append(feature_distance(s_i, e_i) + feature_distance(t_i, d_i))
    return sum(terms) / len(terms)


def recon_loss(
    s: Sequence[Tensor], t: Sequence[Tensor], s_again: Sequence[Tensor], t_again: Sequence[Tensor]
) -> Tensor:
    """``L_recon = mean_i d(t_i, D_i(E_i(t_i))) + d(s_i, E_i(D_i(s_i)))``; ``t_again[i]`` is ``D_i(E_i(t_i))``."""
    terms = [
        feature_distance(t_i, ta_i) + feature_distance(s_i, sa_i)
        for s_i, t_i, sa_i, ta_i in zip(s, t, s_again, t_again, strict=True)
    ]
    return sum(terms) / len(terms)
