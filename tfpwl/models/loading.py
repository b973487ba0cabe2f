"""Reading somebody else's Keras model safely: nothing in the file is executed."""

from __future__ import annotations

import zipfile
from pathlib import Path

import keras

from tfpwl.errors import ModelError
from tfpwl.models.calls import check_functional


def load_functional(path: Path) -> keras.Model:
    """Read a functional model from ``.keras`` or a legacy ``.h5``, in Keras' safe mode, without its training state.

    Raises:
        ModelError: there is no such file, it is no Keras model, it holds a ``Lambda`` (safe mode refuses its code) or a
            class that Keras does not have, or the model is subclassed.
    """
    if not path.is_file():
        raise ModelError(f"There is no file {path}; expected a model saved by Keras (.keras or .h5).")
    try:
        model = keras.saving.load_model(path, compile=False, safe_mode=True)
    except (ValueError, TypeError, OSError, KeyError, AttributeError, zipfile.BadZipFile) as exc:
        raise ModelError(_say(path, str(exc))) from exc
    return check_functional(model)


def _say(path: Path, reason: str) -> str:
    if "lambda" in reason.lower():
        return (
            f"{path} holds a Lambda layer: Python code that would run when the file is read, so Keras' safe loading "
            "refuses it. Write that layer with keras.layers or keras.ops and save the model again."
        )
    if "Could not locate class" in reason or "Unknown layer" in reason:
        return (
            f"{path} holds a class that Keras does not know: {_first_line(reason)}. Register it "
            "(keras.saving.register_keras_serializable), load the model yourself and use tfpwl from Python."
        )
    return f"{path} cannot be read as a Keras model: {_first_line(reason)}. Expected .keras, or a legacy .h5."


def _first_line(text: str) -> str:
    return text.strip().splitlines()[0].rstrip(".") if text.strip() else "no reason given"
