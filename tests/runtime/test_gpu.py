"""LiteRT's GPU accelerator on a real driver: SwiftShader, Vulkan on the CPU, which comes with Chromium.

Each test runs in a process of its own: a Vulkan driver is chosen once per process.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from tfpwl.bundle import RuntimeHints, TensorSpec, update_manifest
from tfpwl.errors import EngineError
from tfpwl.runtime import Gpu, LiteRtEngine, make_engine
from tfpwl.runtime.litert_engine import answers_alike, compare_answers

DRIVERS = [Path(folder, "vk_swiftshader_icd.json") for folder in ("/usr/lib/chromium", "/opt/google/chrome")]
DRIVER = next((str(file) for file in DRIVERS if file.is_file()), None)
needs_driver = pytest.mark.skipif(DRIVER is None, reason="There is no SwiftShader here: apt-get install chromium")
linux_only = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="the driver is chosen as on Linux")


def run(script, *arguments, driver):
    """What the script prints as its last line, with this driver's description as the only one."""
    libraries = os.pathsep.join(filter(None, (os.path.dirname(driver), os.environ.get("LD_LIBRARY_PATH"))))
    env = {**os.environ, "VK_ICD_FILENAMES": driver, "VK_DRIVER_FILES": driver, "LD_LIBRARY_PATH": libraries}
    done = subprocess.run(
        [sys.executable, *script, *map(str, arguments)],
        capture_output=True,
        text=True,
        check=False,
        env=env,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return json.loads(done.stdout.splitlines()[-1])


ALL_MIXES = """
import json, sys
import numpy as np
from tfpwl.runtime import ProgressiveModel
x = np.random.default_rng(0).random((1, 6, 6, 1), np.float32)
answers = {"litert": [], "litert-gpu": []}
for engine, found in answers.items():
    with ProgressiveModel.open(sys.argv[1], engine=engine) as model:
        for mix in ("SSS", "TSS", "TTS", "TTT"):
            model.upgrade(until=mix, background=False)
            found.append(model.predict(x))
cpu, gpu = (np.array(answers[engine]) for engine in ("litert", "litert-gpu"))
print(json.dumps([model.mix, float(np.abs(cpu - gpu).max()), float(np.ptp(cpu))]))
"""


@needs_driver
def test_every_mix_of_an_upgrade_answers_on_the_gpu_as_on_the_cpu(tiny_bundle):
    mix, difference, span = run(["-c", ALL_MIXES], tiny_bundle.root, driver=DRIVER)
    assert mix == "TTT"
    # float32 on both, in another order of the sums.
    assert difference < 1e-5 * span


@needs_driver
def test_threads_that_ask_the_gpu_during_upgrades_get_right_answers(tiny_bundle):
    subject = {"name": "bundle", "path": str(tiny_bundle.root), "engine": "litert-gpu", "is_bundle": True}
    task = {"task": "crowd", "subject": subject, "num_threads": 4, "upgrades": 3}
    text = json.dumps({**task, "shape": [1, 6, 6, 1], "dtype": "float32"})
    found = run(["-m", "tfpwl.bench.worker"], text, driver=DRIVER)
    assert found["asked"] > 0
    assert (found["lost"], found["wrong"]) == (0, 0)


LOAD = """
import json, sys
from pathlib import Path
import numpy as np
from tfpwl.errors import EngineError
from tfpwl.runtime import LiteRtEngine
model = Path(sys.argv[1]).read_bytes()
x = np.linspace(-1, 1, 36, dtype=np.float32).reshape(1, 6, 6, 1)
group = LiteRtEngine(gpu="if_present").load(model)
same = bool((group(x) == LiteRtEngine().load(model)(x)).all())
try:
    LiteRtEngine(gpu="always").load(model)
    print(json.dumps([same, None]))
except EngineError as exc:
    print(json.dumps([same, str(exc)]))
"""


@linux_only
def test_without_a_gpu_files_run_on_the_cpu_or_tell_why_not(tiny_bundle):
    same, message = run(["-c", LOAD], tiny_bundle.root / "g0.student.tflite", driver="/nowhere/none.json")
    assert same
    assert message is not None
    assert "it does not run on the GPU: LiteRtCreateCompiledModel: " in message
    assert message.endswith("The engine 'litert' takes the CPU.")


OPEN = """
import json, logging, sys
seen = []
handler = logging.Handler()
handler.emit = lambda record: seen.append(record.getMessage())
logging.basicConfig(level=logging.INFO, handlers=[handler])
from tfpwl.runtime import ProgressiveModel
with ProgressiveModel.open(sys.argv[1]) as model:
    print(json.dumps([model.mix, seen]))
"""


@linux_only
@pytest.mark.parametrize(("delegate", "tried"), [("gpu", 3), ("xnnpack", 0)])
def test_a_bundle_may_ask_for_the_gpu_and_opens_without_one(tiny_bundle, delegate, tried):
    update_manifest(tiny_bundle, runtime=RuntimeHints(1, delegate))
    mix, seen = run(["-c", OPEN], tiny_bundle.root, driver="/nowhere/none.json")
    assert mix == "SSS"
    assert len([line for line in seen if "runs on the CPU: " in line]) == tried


class Off:
    """A group that answers with the right numbers times a factor."""

    def __init__(self, right, factor):
        self.right, self.factor = right, factor
        self.input, self.output = right.input, right.output

    def __call__(self, x):
        return self.right(x) * self.factor


@pytest.mark.parametrize(
    ("factor", "alike"),
    # On both sides of 1 % of the range; the smallest answer of a ReLU is 0.
    [(1.0, True), (1.009, True), (1.011, False), (0.989, False), (0.0, False), (float("nan"), False)],
)
def test_an_answer_that_differs_is_a_fault_and_one_that_is_rounded_is_not(tiny_files, factor, alike):
    right = LiteRtEngine().load(tiny_files["g0.student"])
    difference, span = compare_answers(Off(right, factor), right)
    assert answers_alike(right, difference, span) is alike
    # float32 keeps five digits of a hundredth.
    assert difference == pytest.approx(abs(factor - 1) * span, rel=1e-4, nan_ok=True)


def test_a_single_number_is_measured_by_its_size():
    class One:
        input, output = TensorSpec((1, 1), "float32"), TensorSpec((1, 1), "float32")

        def __init__(self, answer):
            self.answer = answer

        def __call__(self, x):
            return np.full((1, 1), self.answer, np.float32)

    assert compare_answers(One(2.0), One(-2.0)) == (4.0, 2.0)
    assert answers_alike(One(0), *compare_answers(One(2.01), One(2.0)))
    assert not answers_alike(One(0), *compare_answers(One(2.03), One(2.0)))


def test_a_step_of_rounding_is_none_however_small_the_range():
    class Int8:
        output = TensorSpec((1, 2), "int8", 0.1, 0)

    assert answers_alike(Int8, 1.0, 3.0)
    assert not answers_alike(Int8, 2.0, 3.0)
    assert answers_alike(Int8, 2.0, 255.0)
    assert not answers_alike(Int8, 3.0, 255.0)


def test_names_tell_what_runs_where():
    assert [LiteRtEngine(gpu=gpu).name for gpu in Gpu] == ["litert", "litert-gpu", "litert-gpu"]
    assert make_engine("litert-gpu").name == "litert-gpu"
    assert make_engine(gpu="if_present").name == "litert-gpu"
    with pytest.raises(EngineError, match="expected one of litert, interpreter, litert-gpu"):
        make_engine("gpu")
