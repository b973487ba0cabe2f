"""Mutated bundles against the runtime: ``python -m tests.fuzz.bundles --count 20000 [--seed 0] [--workers 2]``.

Each case takes a sound tiny bundle, damages its manifest, its files or both, opens it, asks, upgrades and asks again.
Every outcome must be one of: a typed error (:class:`TfpwlError`), or answers that are, bit for bit, those of the
mix that the model says it is in. A crash, a hang of 30 s, any other exception or another answer is a finding,
reported with the seed that makes it again (``--seed S --count 1``).

Not done: bytes changed *and* the manifest's sums changed with them. Such a file is what its maker said it is; the
runtime keeps damaged bytes from the engine, it does not make an engine safe against flatbuffers made to break it.
Whole sound files in other places with sums that fit (swapped, of another shape) are done.
"""

from __future__ import annotations

import argparse
import faulthandler
import hashlib
import itertools
import json
import logging
import multiprocessing
import os
import random
import shutil
import subprocess
import sys
import tempfile
import threading
import time
import traceback
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from tfpwl.bundle import Bundle, Preprocess, Producer, write_bundle
from tfpwl.errors import TfpwlError
from tfpwl.runtime import InterpreterEngine, ProgressiveModel, State

SCRIPT = Path(__file__).parent.parent / "tiny_files.py"
X = np.random.default_rng(0).random((1, 6, 6, 1), np.float32)
HANG_S = 30
CHUNK = 250

ODD_VALUES: tuple[Any, ...] = (
    None, True, False, 0, 1, -1, 2**31, 2**63, 2**64, 1e308, -0.0, 0.5, "", "S", "T" * 2000, "\x00", "..", "../x",
    "/etc/passwd", "a/b", "g0.teacher.tflite", "manifest.json", "é" * 70, "int8", "float32", [], {}, [1], [[[]]],
    [0, 0, 0], [1, 6, 6, 1], {"shape": [1]}, "0" * 64, "99.0.0",
)  # fmt: skip


class Sound:
    """A sound bundle's files, and what each of its mixes answers."""

    def __init__(self, files: dict[str, bytes], folder: Path) -> None:
        bundle = write_bundle(
            folder / "sound",
            files=files,
            name="fuzz",
            precision="fp32",
            producer=Producer("0.1.0", "2.21.0", "0" * 64),
            preprocess=Preprocess(1 / 16, (0.0,), (1.0,)),
            labels=["ant", "bee", "cat", "dog"],
        )
        self.contents = {path.name: path.read_bytes() for path in bundle.root.iterdir()}
        groups = {entry.file: InterpreterEngine().load(bundle.read(entry)) for entry in bundle.files()}
        self.answers: dict[str, bytes] = {}
        for letters in itertools.product("ST", repeat=bundle.manifest.num_groups):
            answer = X
            for entry in bundle.chain("".join(letters)):
                answer = groups[entry.file](answer)
            self.answers["".join(letters)] = answer.tobytes()


Mutation = Callable[[random.Random, Path], None]


def flip_bits(rng: random.Random, root: Path) -> None:
    path = _any_file(rng, root)
    data = bytearray(path.read_bytes())
    for _ in range(rng.choice((1, 1, 1, 8, 64))):
        data[rng.randrange(len(data))] ^= 1 << rng.randrange(8)
    path.write_bytes(data)


def truncate(rng: random.Random, root: Path) -> None:
    path = _any_file(rng, root)
    data = path.read_bytes()
    path.write_bytes(data[: rng.randrange(len(data))])


def lengthen(rng: random.Random, root: Path) -> None:
    path = _any_file(rng, root)
    path.write_bytes(path.read_bytes() + rng.randbytes(rng.choice((1, 16, 5000))))


def overwrite(rng: random.Random, root: Path) -> None:
    path = _any_file(rng, root)
    data = bytearray(path.read_bytes())
    start = rng.randrange(len(data))
    length = min(rng.choice((4, 64, 1000)), len(data) - start)
    data[start : start + length] = rng.randbytes(length)
    path.write_bytes(data)


def delete(rng: random.Random, root: Path) -> None:
    _any_file(rng, root).unlink()


def swap_files(rng: random.Random, root: Path) -> None:
    first, second = rng.sample(_model_files(root), 2)
    held = first.read_bytes()
    first.write_bytes(second.read_bytes())
    second.write_bytes(held)


def replace_by_something_else(rng: random.Random, root: Path) -> None:
    path = _any_file(rng, root)
    what = rng.choice(("link", "dangling", "folder", "pipe", "empty", "loop"))
    if what == "link":
        path.rename(path.with_suffix(".moved"))
        path.symlink_to(path.with_suffix(".moved").name)
        return
    path.unlink()
    if what in ("dangling", "loop"):
        path.symlink_to("nowhere" if what == "dangling" else path.name)
    elif what == "folder":
        path.mkdir()
    elif what == "pipe":
        os.mkfifo(path)
    else:
        path.touch()


def change_a_value(rng: random.Random, root: Path) -> None:
    """Another value somewhere in the manifest's JSON."""
    tree = _read_manifest(root)
    for _ in range(rng.choice((1, 1, 2, 5))):
        parent, key = rng.choice(list(_places(tree)))
        old = parent[key]
        if isinstance(old, (int, float)) and not isinstance(old, bool) and rng.random() < 0.5:
            parent[key] = rng.choice((old + 1, old - 1, -old, old * 2, float(old)))
        elif isinstance(old, str) and old and rng.random() < 0.5:
            i = rng.randrange(len(old))
            parent[key] = old[:i] + rng.choice("0aST./\\\n\u2028") + old[i + 1 :]
        else:
            parent[key] = rng.choice(ODD_VALUES)
    _write_manifest(root, tree)


def drop_or_add_keys(rng: random.Random, root: Path) -> None:
    tree = _read_manifest(root)
    parent, key = rng.choice(list(_places(tree)))
    what = rng.choice(("drop", "add", "copy"))
    if what == "drop":
        del parent[key]
    elif what == "copy" or isinstance(parent, list):
        other, where = rng.choice(list(_places(tree)))
        parent[key] = json.loads(json.dumps(other[where]))
    else:
        parent[rng.choice(("extra", "file", "sha256", "__proto__"))] = rng.choice(ODD_VALUES)
    _write_manifest(root, tree)


def change_the_text(rng: random.Random, root: Path) -> None:
    """The manifest's text, not its values: duplicate keys, depth, encodings, size."""
    path = root / "manifest.json"
    if not path.is_file():
        return
    text = path.read_text()
    what = rng.choice(("duplicate", "deep", "bom", "latin", "nan", "large", "digits", "spaces", "none", "cut"))
    if what == "duplicate":
        line = rng.choice([line for line in text.splitlines() if '": ' in line])
        text = text.replace(line, f"{line.rstrip(',').rstrip('{[')}{'null' if line[-1] in '{[' else ''},\n{line}", 1)
    elif what == "deep":
        text = "[" * rng.choice((100, 100_000)) + text
    elif what == "nan":
        text = text.replace("0", "NaN", 1)
    elif what == "digits":
        text = text.replace('"bytes": ', '"bytes": ' + "9" * rng.choice((30, 5000)), 1)
    elif what == "large":
        text += " " * (1 << 20)
    elif what == "spaces":
        text = text.replace("\n", "\n \t\r\n")
    elif what == "none":
        text = rng.choice(("", "null", "[]", "{}", "0", '"', "{", "\x00"))
    elif what == "cut":
        text = text[: rng.randrange(len(text))]
    data = text.encode("utf-8", "surrogatepass")
    path.write_bytes(b"\xef\xbb\xbf" + data if what == "bom" else data + b"\xff" if what == "latin" else data)


def swap_entries(rng: random.Random, root: Path) -> None:
    """Sound files in each other's places, with sums that fit."""
    tree = _read_manifest(root)
    places = [(parent, key) for parent, key in _places(tree) if isinstance(parent[key], dict) and "file" in parent[key]]
    (a, i), (b, j) = rng.sample(places, 2)
    a[i], b[j] = b[j], a[i]
    _write_manifest(root, tree)


def put_a_sound_file_elsewhere(rng: random.Random, root: Path) -> None:
    """One file's bytes under another one's name, with size and sum in the manifest."""
    source, target = rng.sample(_model_files(root), 2)
    data = source.read_bytes()
    target.write_bytes(data)
    tree = _read_manifest(root)
    for parent, key in _places(tree):
        entry = parent[key]
        if isinstance(entry, dict) and entry.get("file") == target.name:
            entry.update(bytes=len(data), sha256=hashlib.sha256(data).hexdigest())
    _write_manifest(root, tree)


def change_a_boundary(rng: random.Random, root: Path) -> None:
    """Another shape, type or scale at a boundary than the files have."""
    tree = _read_manifest(root)
    side = rng.choice(tree["boundaries"])[rng.choice(("student", "teacher"))]
    if rng.random() < 0.5:
        side.update(dtype=rng.choice(("int8", "uint8")), scale=rng.choice((0.5, 1e-9, 1e9)), zero_point=0)
    else:
        side["shape"][rng.randrange(4)] += rng.choice((-1, 1, 100))
    _write_manifest(root, tree)


# Made in the middle of a run, after the bundle was opened: the folder of a model that is running is damaged.
LATE: tuple[Mutation, ...] = (flip_bits, truncate, lengthen, overwrite, delete, swap_files, replace_by_something_else)
EARLY: tuple[Mutation, ...] = (
    *LATE, change_a_value, change_a_value, change_a_value, drop_or_add_keys, change_the_text, swap_entries,
    put_a_sound_file_elsewhere, change_a_boundary,
)  # fmt: skip


def _any_file(rng: random.Random, root: Path) -> Path:
    """A plain file of the bundle that has something in it."""
    return rng.choice([path for path in sorted(root.iterdir()) if path.is_file() and path.stat().st_size])


def _model_files(root: Path) -> list[Path]:
    return [path for path in sorted(root.glob("*.tflite")) if path.is_file()]


def _places(tree: Any) -> Iterator[tuple[Any, Any]]:
    """Every value of a JSON document, as its container and key."""
    items: Iterable[tuple[Any, Any]] = tree.items() if isinstance(tree, dict) else enumerate(tree)
    for key, value in items:
        yield tree, key
        if isinstance(value, (dict, list)):
            yield from _places(value)


def _read_manifest(root: Path) -> Any:
    path = root / "manifest.json"
    if not path.is_file():
        # A pipe, after another mutation: reading it would wait for ever.
        raise OSError(f"{path} is no plain file")
    return json.loads(path.read_text())


def _write_manifest(root: Path, tree: Any) -> None:
    (root / "manifest.json").write_text(json.dumps(tree, indent=1, sort_keys=True))


class WrongAnswer(Exception):
    """An answer that is not the one of the mix."""


def run_case(seed: int, sound: Sound, root: Path) -> str:
    """Damage the bundle at ``root`` (restored first), and use it.

    Returns:
        How it ended: ``opened … complete``, ``refused: ErrorName`` and so on.

    Raises:
        WrongAnswer: an answer was not the one of the mix.
        Exception: whatever the runtime raised that is no TfpwlError.
    """
    rng = random.Random(seed)
    _restore(sound, root)
    late = rng.random() < 0.2
    try:
        if not late:
            for _ in range(rng.choice((1, 1, 1, 2, 3))):
                _mutate(rng, root, EARLY)
        with ProgressiveModel.open(root) as model:
            check_answer(model, sound)
            if late:
                _mutate(rng, root, LATE)
            return use(model, sound)
    except TfpwlError as exc:
        return f"refused: {type(exc).__name__}"


def use(model: ProgressiveModel, sound: Sound) -> str:
    try:
        model.upgrade(background=False)
        ended = "complete"
    except TfpwlError as exc:
        ended = f"stopped: {type(exc).__name__}"
        if model.state is not State.FAILED or model.last_error is not exc:
            raise WrongAnswer(f"failed with {exc}, state {model.state}, last_error {model.last_error}") from exc
    check_answer(model, sound)
    return f"opened, {ended}"


def check_answer(model: ProgressiveModel, sound: Sound) -> None:
    answer = model.predict(np.ascontiguousarray(X.reshape(model.bundle.manifest.input.shape)))
    if answer.tobytes() != sound.answers.get(model.mix):
        raise WrongAnswer(f"mix {model.mix} answered {answer.tolist()}")


def _mutate(rng: random.Random, root: Path, mutations: tuple[Mutation, ...]) -> None:
    try:
        rng.choice(mutations)(rng, root)
    except (IndexError, KeyError, ValueError, TypeError, AttributeError, OSError, RecursionError):
        # The second mutation of a case may find nothing left to damage.
        return


def _restore(sound: Sound, root: Path) -> None:
    for path in list(root.iterdir()) if root.exists() else []:
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        elif path.name not in sound.contents or path.is_symlink() or not path.is_file():
            path.unlink()
    root.mkdir(exist_ok=True)
    for name, data in sound.contents.items():
        path = root / name
        if not path.is_file() or path.read_bytes() != data:
            path.write_bytes(data)


def _work(seeds: range, sound: Sound, folder: str, results: Any) -> None:
    """One process: its cases one by one; the parent learns each seed before it runs."""
    logging.disable(logging.CRITICAL)
    os.dup2(os.open(os.devnull, os.O_WRONLY), 2)
    outcomes: Counter[str] = Counter()
    root = Path(folder) / f"case-{os.getpid()}"
    for seed in seeds:
        results.put(("runs", os.getpid(), seed))
        faulthandler.dump_traceback_later(HANG_S, exit=True)
        try:
            outcomes[run_case(seed, sound, root)] += 1
        except Exception:
            results.put(("finding", seed, traceback.format_exc()))
            outcomes["FINDING"] += 1
        faulthandler.cancel_dump_traceback_later()
    if threading.active_count() > 1:
        # The queue's own feeder thread is one.
        names = {thread.name for thread in threading.enumerate()}
        if any(name.startswith("tfpwl") for name in names):
            results.put(("finding", seeds[-1], f"threads left: {names}"))
    results.put(("done", os.getpid(), dict(outcomes)))


def run(count: int, seed: int, workers: int, sound: Sound, folder: Path) -> tuple[Counter[str], list[str]]:
    """Run ``count`` cases in ``workers`` processes at a time.

    Returns:
        How the cases ended, and the findings.
    """
    context = multiprocessing.get_context("spawn")
    results = context.Queue()
    todo = [range(start, min(start + CHUNK, seed + count)) for start in range(seed, seed + count, CHUNK)][::-1]
    running: dict[int, Any] = {}
    current: dict[int, int] = {}
    outcomes: Counter[str] = Counter()
    findings: list[str] = []
    while todo or running:
        while todo and len(running) < workers:
            process = context.Process(target=_work, args=(todo.pop(), sound, str(folder), results))
            process.start()
            running[process.pid] = process
        _collect(results, current, outcomes, findings)
        for pid, process in list(running.items()):
            if process.exitcode is not None:
                _collect(results, current, outcomes, findings)
                if process.exitcode:
                    findings.append(f"seed {current.get(pid)}: the process ended with {process.exitcode}")
                del running[pid]
    return outcomes, findings


def _collect(results: Any, current: dict[int, int], outcomes: Counter[str], findings: list[str]) -> None:
    deadline = time.monotonic() + 0.2
    while time.monotonic() < deadline:
        while not results.empty():
            what, number, more = results.get()
            if what == "runs":
                current[number] = more
            elif what == "done":
                outcomes.update(more)
            else:
                findings.append(f"seed {number}:\n{more}")
        time.sleep(0.02)


def tiny_files(folder: Path) -> dict[str, bytes]:
    """The files that the tests use, converted by TensorFlow in a process of its own."""
    folder.mkdir()
    subprocess.run([sys.executable, str(SCRIPT), str(folder)], check=True, capture_output=True)
    found = {path.name.removesuffix(".tflite"): path.read_bytes() for path in sorted(folder.glob("*.tflite"))}
    return {stem: data for stem, data in found.items() if stem[0] in "gb" and stem[1].isdigit()}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=20_000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--workers", type=int, default=os.cpu_count() or 1)
    arguments = parser.parse_args()
    started = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="tfpwl-fuzz-") as name:
        folder = Path(name)
        sound = Sound(tiny_files(folder / "files"), folder)
        Bundle.open(folder / "sound")
        outcomes, findings = run(arguments.count, arguments.seed, arguments.workers, sound, folder)
    for outcome, number in sorted(outcomes.items(), key=lambda item: -item[1]):
        print(f"{number:7d}  {outcome}")
    print(f"{sum(outcomes.values())} of {arguments.count} cases in {time.monotonic() - started:.0f} s")
    print("\n".join(findings) if findings else "no findings")
    return 1 if findings or sum(outcomes.values()) != arguments.count else 0


if __name__ == "__main__":
    sys.exit(main())
