"""Whether the TFLite runtime works on this machine, tried on a real file in a process of its own."""

from __future__ import annotations

import base64
import subprocess
import sys
import zlib

# Dense(1) with weights and bias of 1 on two numbers, exported by TensorFlow 2.21: 1040 bytes.
PROBE_FILE = (
    "eNptU01rE1EUvSZjO61DLDhIwSBduBAXY1IVRAolxAiBpi1tcCWMo/PSDp1MZPKm6/4EFy5cuPAHuHEjLoorVyLi0kV/g/gDxPHcN3fGGH3k"
    "8N6c3Hvu13tNIho+2Lrl0ho1aZVcWiEHnE0WzgSO6CXwA/h8jugMOK0T4Uc4wprXsvFin2V8OeK3AVwEpio9jpIDP1SjIIu18bOA53me1+Vs"
    "A5NMP8u03yLRZv7Trzy3RPNIpcHU1yqZTlK2qQG3xe4MWgtyvgR0d7Yf9vb2+zvb/qA37NzvDDuIUeTIsc7P2I6jxE+zREdj5R+rdBpNEloE"
    "/w34CrwHXgEvAC1+T/Iir8dVD7iGRqXP3DXDLhiuzI1MLWWfLVNX/83Hg8Peh7c1qckyXkTr3nrbQze+SCzWbHt3vBb9WTb6813+L/RPNudj"
    "2hV/snkX9hsAz2Ww1d9b604S1KxV6Jmeu8a2UWXIOg3hm1JvCByK9jiIknJepa9rcnXogvhKf2xHzqeIz/Z1Qelfk728WyQxfsod3JXvG6iX"
    "TVZEj7nrHB/8Fez7OtBqlMW7QaojjWmqsBvEsd++16piMNI5nbroPAK/in2UJU/ZPYDrzRDXTmHvhCHNaLyb06iJxmvJ5b8ag0APsrjKpWYq"
    "vWx6TtL1Yi2CLdrjSn/ZvmVqtkzdV/99X/7sO0HJf8Up36xj5lN0mOeyVMRZ+g2O76Dy"
)
_SCRIPT = """
import sys
import numpy as np
from ai_edge_litert.interpreter import Interpreter
interpreter = Interpreter(model_content=sys.stdin.buffer.read(), num_threads=1)
interpreter.allocate_tensors()
interpreter.set_tensor(interpreter.get_input_details()[0]["index"], np.array([[1.0, 2.0]], np.float32))
interpreter.invoke()
answer = float(interpreter.get_tensor(interpreter.get_output_details()[0]["index"])[0, 0])
delegated = sum(op["op_name"] == "DELEGATE" for op in interpreter._get_ops_details())
print(answer, delegated)
"""
# A file that asks for the GPU takes its place there or fails, so that an answer is one of the GPU.
_GPU_SCRIPT = """
import sys
import numpy as np
from tfpwl.errors import EngineError
from tfpwl.runtime import LiteRtEngine
try:
    group = LiteRtEngine(gpu="always").load(sys.stdin.buffer.read())
except EngineError as exc:
    sys.exit(" ".join(str(exc).split()))
print(float(group(np.array([[1.0, 2.0]], np.float32))[0, 0]), 1)
"""
_ANSWER = 4.0


def probe_runtime(timeout_s: float = 60.0) -> tuple[bool, str]:
    """Load and run a tiny .tflite file in a child process, which a broken build of the runtime may crash.

    Returns:
        Whether it worked, and one line on what happened.
    """
    delegated, problem = _run(_SCRIPT, timeout_s)
    return not problem, problem or f"ran a tiny file {'with' if delegated else 'without'} XNNPACK"


def probe_gpu(timeout_s: float = 60.0) -> tuple[bool, str]:
    """The same on the GPU, if LiteRT finds one: a driver may crash a process, too."""
    _, problem = _run(_GPU_SCRIPT, timeout_s)
    return not problem, problem or "LiteRT ran a tiny file"


def _run(script: str, timeout_s: float) -> tuple[int, str]:
    """How many parts of the file a delegate took, and what went wrong, which is empty if nothing did."""
    model = zlib.decompress(base64.b64decode(PROBE_FILE))
    try:
        done = subprocess.run(
            [sys.executable, "-c", script], input=model, capture_output=True, timeout=timeout_s, check=False
        )
    except subprocess.TimeoutExpired:
        return 0, f"a tiny file has not been run within {timeout_s:g} s"
    except OSError as exc:
        return 0, f"a tiny file could not be run: {exc}"
    if done.returncode < 0:
        return 0, f"a tiny file crashed the runtime (signal {-done.returncode}); is this build made for this CPU?"
    if done.returncode > 0:
        words = done.stderr.decode(errors="replace").strip().splitlines() or ["no message"]
        return 0, f"a tiny file could not be run: {words[-1]}"
    answer, delegated = done.stdout.splitlines()[-1].split()  # drivers may say something before
    if float(answer) != _ANSWER:
        return 0, f"a tiny file gave {float(answer)}; expected {_ANSWER}"
    return int(delegated), ""
