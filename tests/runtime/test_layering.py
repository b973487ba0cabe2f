from __future__ import annotations

import json
import subprocess
import sys

import pytest

import tfpwl.bundle
import tfpwl.runtime

HEAVY = ("tensorflow", "keras", "tf_keras", "ai_edge_litert", "pydantic", "sklearn", "matplotlib", "ray", "rich")
SCRIPT = """
import importlib, json, sys, time
started = time.perf_counter()
importlib.import_module(sys.argv[1])
print(json.dumps([time.perf_counter() - started, [name for name in sys.argv[2:] if name in sys.modules]]))
"""


@pytest.mark.parametrize("module", ["tfpwl", "tfpwl.bundle", "tfpwl.runtime"])
def test_the_device_side_imports_nothing_heavy(module, record_property):
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, module, *HEAVY], capture_output=True, text=True, check=True, timeout=60
    )
    seconds, loaded = json.loads(done.stdout)
    # Recorded, not judged: a time on a shared machine says nothing about the code.
    record_property(f"import_{module}_s", seconds)
    print(f"import {module}: {seconds:.3f} s")
    assert loaded == []


def test_the_public_names_are_these():
    assert tfpwl.runtime.__all__ == [
        "Change",
        "DeviceFacts",
        "Engine",
        "ErrorCode",
        "Gpu",
        "InterpreterEngine",
        "LiteRtEngine",
        "LoadedGroup",
        "Priority",
        "ProgressiveModel",
        "Runner",
        "State",
        "Tier",
        "TierChoice",
        "Tiers",
        "make_engine",
        "open_tier",
        "read_tiers",
        "select_tier",
    ]
    assert sorted(tfpwl.bundle.__all__) == [
        "BoundaryEntry", "Bundle", "Check", "FileEntry", "GroupEntry", "InputSpec", "Manifest", "OutputSpec",
        "PathEntry", "Preprocess", "Producer", "PullProgress", "Quantization", "Requires", "RungEntry",
        "RuntimeHints", "TensorSpec", "pack", "pull", "sign", "unpack", "update_manifest", "verify", "write_bundle",
    ]  # fmt: skip


@pytest.mark.parametrize(("package", "forbidden"), [("tfpwl.bundle", "tfpwl.runtime"), ("tfpwl.errors", "tfpwl.mix")])
def test_imports_point_one_way(package, forbidden):
    code = f"import sys, {package}; sys.exit({forbidden!r} in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False, timeout=60).returncode == 0


def test_running_a_bundle_does_not_load_tensorflow(tiny_bundle):
    code = (
        "import sys\nfrom tfpwl.bundle import verify\nfrom tfpwl.runtime import ProgressiveModel\n"
        f"model = ProgressiveModel.open({str(tiny_bundle.root)!r})\nmodel.upgrade(background=False)\n"
        "model.predict(model.preprocess([[0.0] * 6] * 6))\nverify(model.bundle)\nmodel.close()\n"
        "sys.exit(bool({'tensorflow', 'keras'} & set(sys.modules)))\n"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False, timeout=60).returncode == 0
