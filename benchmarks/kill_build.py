"""Kill a build with SIGKILL again and again, and see that what it ends with is what an undisturbed build gives.

    python benchmarks/kill_build.py pipelines/digits_resnet.yaml --kills 20

A moment is a progress report of the build or something that it does to its folder (a file opened, renamed, removed), so
that kills fall between the two halves of whatever is written, too. The build is killed at a moment drawn from
the seed, started again, killed again; when it comes to its end, another one begins, until all kills are spent. Every
bundle that comes out must equal the undisturbed one byte for byte, but for the measured latencies in its manifest.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import random
import shutil
import signal
import sys
import tempfile
from pathlib import Path

# Before anything that imports TensorFlow, in this process and those it starts.
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")


class Moments:
    """Counts what a build does, and ends the process at the moment ``last``; a reporter and an audit hook."""

    def __init__(self, folder: Path, last: int | None, log: Path) -> None:
        self._folder, self._last, self._log, self._count = str(folder), last, log, 0
        sys.addaudithook(self._audit)

    def _pass(self, what: str) -> None:
        self._count += 1
        if self._count == self._last:
            self._log.write_text(what)
            os.kill(os.getpid(), signal.SIGKILL)

    def _audit(self, event: str, args: tuple[object, ...]) -> None:
        if event in ("open", "os.rename", "os.remove", "os.mkdir", "shutil.rmtree") and self._folder in str(args[0]):
            self._pass(f"{event} {Path(str(args[0])).name}")

    def started(self, stage: str) -> None:
        self._pass(f"{stage} starts")

    def waiting(self, stage: str, holder: str) -> None:
        raise AssertionError(f"{holder} holds {stage}, and nobody else builds here")

    def advanced(self, stage: str, done: int, total: int, metrics: object) -> None:
        self._pass(f"{stage} {done}/{total}")

    def finished(self, stage: str, seconds: float, summary: str, *, cached: bool) -> None:
        self._pass(f"{stage} is finished")


def build_in_process(pipeline: Path, folder: Path, last: int | None, log: Path) -> None:
    """The child: build until the moment ``last``, or to the end; the log says how far it came."""
    from tfpwl.config import load_config
    from tfpwl.pipeline import build

    moments = Moments(folder, last, log)
    build(load_config(pipeline), folder, reporter=moments)
    log.write_text(str(moments._count))


def contents(bundle: Path) -> dict[str, bytes]:
    """Every file of a bundle; of the manifest what was not measured with a clock."""
    files = {path.name: path.read_bytes() for path in sorted(bundle.iterdir())}
    manifest = json.loads(files["manifest.json"])
    for entry in manifest["path"]:
        entry.pop("latency_ms", None)
    for rung in manifest.get("quantization", {}).get("rungs", []):
        rung.pop("latency_ms", None)
    manifest.get("quantization", {}).pop("reason", None)
    files["manifest.json"] = json.dumps(manifest, sort_keys=True).encode()
    return files


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("pipeline", type=Path)
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--output", type=Path, help="Folder to work in. [a temporary one]")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="tfpwl-kill-") as temporary:
        return _run(options.pipeline, options.kills, options.seed, options.output or Path(temporary))


def _run(pipeline: Path, kills: int, seed: int, work: Path) -> int:
    draw, log = random.Random(seed), work / "moment"
    work.mkdir(parents=True, exist_ok=True)
    if _build(pipeline, work / "undisturbed", None, log):
        return 2
    wanted, moments = contents(work / "undisturbed" / "bundle"), int(log.read_text())
    print(f"undisturbed: {moments} moments", flush=True)
    done = compared = wrong = 0
    while done < kills or (work / "killed").exists():
        # Spread over the build, and far enough apart to come to its end.
        last = draw.randint(1, max(2, 2 * moments // kills)) if done < kills else None
        code = _build(pipeline, work / "killed", last, log)
        if code == -signal.SIGKILL:
            done += 1
            print(f"kill {done}: {log.read_text()}", flush=True)
        elif code:
            return 2
        else:
            compared += 1
            wrong += contents(work / "killed" / "bundle") != wanted
            left = [path.name for path in (work / "killed").rglob("*") if path.name.endswith((".partial", ".old"))]
            wrong += bool(left)
            shutil.rmtree(work / "killed")
    print(f"{done} kills, {compared} bundles compared, {wrong} differ")
    return 1 if wrong else 0


def _build(pipeline: Path, folder: Path, last: int | None, log: Path) -> int | None:
    context = multiprocessing.get_context("forkserver")
    child = context.Process(target=build_in_process, args=(pipeline, folder, last, log))
    child.start()
    child.join()
    return child.exitcode


if __name__ == "__main__":
    # Children are forked from a process that has imported TensorFlow and run nothing: seconds less for each of them.
    multiprocessing.set_forkserver_preload(["tfpwl.pipeline.stages", "tfpwl.pipeline"])
    sys.exit(main())
