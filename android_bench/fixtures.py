"""Writes what the Java tests read: ``python android_bench/fixtures.py FOLDER``.

The bundles are those of Python's tests (``tests/tiny_files.py``), the broken ones come from the same table
(``tests/broken_bundles.json``), and the answers are those of Python's runtime. Nothing of it is in git::

    bundles/fp32  bundles/fp32.tfpwl    signed; fp32.apk holds the pack as an uncompressed asset
    bundles/int8  bundles/int8.tfpwl
    rivals/teacher.tflite  student.tflite   the fp32 bundle's sides in one piece
    corpus/NAME                         one broken bundle per row of corpus.json
    answers.json                        inputs, and the answers of every mix of each bundle
    mutations.json                      manifests changed at random, and whether Python takes them
    tier_mutations.json                 the same for tiers.json
    tiers.json                          one tier: bundles/fp32
    devices.json                        tests/devices.json, and the reason that Python gives for each device's tier
    fixtures.json                       public keys, where the packs lie in fp32.apk, the LiteRT library

Needs TensorFlow and takes about half a minute.
"""

from __future__ import annotations

import itertools
import json
import os
import random
import re
import shutil
import struct
import subprocess
import sys
import tempfile
import zlib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import ai_edge_litert
import click
import numpy as np
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ed25519
from numpy.typing import NDArray

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "tests"))

from broken_bundles import KEY_SEEDS, TABLE, cases, make  # noqa: E402

from tfpwl import __version__  # noqa: E402
from tfpwl.bundle import Bundle, Manifest, Preprocess, Producer, pack, sign, write_bundle  # noqa: E402
from tfpwl.bundle.version import installed_tflite_level  # noqa: E402
from tfpwl.errors import ManifestError, NoTierError, TfpwlError, TiersError  # noqa: E402
from tfpwl.mix import all_mixes  # noqa: E402
from tfpwl.quantize import calibrate, quantize_files  # noqa: E402
from tfpwl.runtime import DeviceFacts, ProgressiveModel, Tiers, select_tier  # noqa: E402
from tfpwl.runtime.tiers import Requirements, describe_tier, write_tiers  # noqa: E402

DEVICES = ROOT / "tests" / "devices.json"
LABELS = ("ant", "bee", "cat", "dog")
NUM_INPUTS = 4
NUM_MUTATIONS = 600
SPARE_TOKENS = (
    "0", "-0", "1", "1.0", "1e0", "1E+2", "-1", "01", "1.", ".1", "1e", "1e400", "-1e400", "5e-324", "1e-400",
    "9223372036854775807", "9223372036854775808", "2147483647", "2147483648", "true", "false", "null", "NaN",
    "Infinity", "-Infinity", '""', '"S"', '"TTT"', '"int8"', '"fp16"', '"a\\u00e9\\/"', '"\\ud83d\\ude00"', '"\\ude00"',
    '"\u00e9"', '"\t"', '"\\t"', "[]", "{}", "[1]", "[1,6,6,1]", ",", ":", "]", "}", " ", "\n", "\f", "\ufeff",
)  # fmt: skip
# The last ones are no printable characters, or take four bytes.
SPARE_LETTERS = (
    "0", "9", ".", "-", "e", "_", " ", '"', "\\", "/", "\0", "\x7f", "\x85", "\u00ad", "\u2028", "\U0001f600",
)  # fmt: skip
# An APK keeps uncompressed assets at multiples of 4 (zipalign); this one is no multiple of 8, let alone of a page.
ASSET_OFFSET = 4 * 337


@click.command(help=__doc__)
@click.argument("folder", type=click.Path(path_type=Path))
def main(folder: Path) -> None:
    folder = folder.resolve()
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder.parent) as name:
        work = Path(name)
        files = convert(work / "files")
        write_fixtures(work, files)
        shutil.rmtree(work / "files")
        shutil.rmtree(folder, ignore_errors=True)
        work.rename(folder)
        work.mkdir()  # for the context manager to delete


def convert(folder: Path) -> dict[str, bytes]:
    """The .tflite files of Python's tests, by stem."""
    folder.mkdir()
    subprocess.run([sys.executable, ROOT / "tests" / "tiny_files.py", folder], check=True, capture_output=True)
    return {path.name.removesuffix(".tflite"): path.read_bytes() for path in sorted(folder.glob("*.tflite"))}


def write_fixtures(folder: Path, converted: Mapping[str, bytes]) -> None:
    files = {stem: data for stem, data in converted.items() if re.fullmatch(r"[gb][0-9]+\..*", stem)}
    keys = {name: make_key(folder, name, seed) for name, seed in KEY_SEEDS.items()}
    rng = np.random.default_rng(0)
    inputs = rng.normal(size=(NUM_INPUTS, 1, 6, 6, 1)).astype(np.float32)
    bundles, rivals = folder / "bundles", folder / "rivals"
    bundles.mkdir()
    rivals.mkdir()
    for side in ("student", "teacher"):
        (rivals / f"{side}.tflite").write_bytes(converted[f"whole.{side}"])
    answers = {}
    for precision in ("fp32", "int8"):
        bundle = write_bundle(
            bundles / precision,
            files=files if precision == "fp32" else to_int8(files),
            name="tiny",
            precision=precision,
            producer=Producer(__version__, "2.21.0", "0" * 64),
            preprocess=Preprocess(1 / 16, (0.0,), (1.0,)),
            labels=LABELS,
        )
        sign(bundle, folder / "right.pem")
        pack(bundle.root, bundles / f"{precision}.tfpwl")
        answers[precision] = all_answers(bundle, inputs)
    asset = write_apk(bundles / "fp32.apk", (bundles / "fp32.tfpwl").read_bytes())
    write_corpus(folder, bundles / "fp32", files)
    manifest = (bundles / "fp32" / "manifest.json").read_text("utf-8")
    write_json(folder / "mutations.json", mutations(manifest, Manifest.from_json, ManifestError))
    write_tier_fixtures(folder)
    raw = rng.uniform(0, 16, size=36).astype(np.float32)
    with ProgressiveModel.open(bundles / "fp32") as model:
        preprocessed = model.preprocess(raw.reshape(1, 6, 6, 1))
    write_json(
        folder / "answers.json",
        {
            "inputs": [as_list(x) for x in inputs],
            "answers": answers,
            "raw": as_list(raw),
            "preprocessed": as_list(preprocessed),
        },
    )
    write_json(
        folder / "fixtures.json",
        {
            "keys": keys,
            "asset": asset,
            "litert_library": str(Path(ai_edge_litert.__file__).with_name("libLiteRt.so")),
            "tflite_level": installed_tflite_level(),
        },
    )


def make_key(folder: Path, name: str, seed: int) -> dict[str, str]:
    """Write the private key; the public one in hexadecimal and as PEM."""
    key = ed25519.Ed25519PrivateKey.from_private_bytes(bytes([seed]) * 32)
    (folder / f"{name}.pem").write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    public = key.public_key()
    pem = public.public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    return {"raw": public.public_bytes_raw().hex(), "pem": pem.decode()}


def to_int8(files: Mapping[str, bytes]) -> dict[str, bytes]:
    images = np.random.default_rng(1).normal(size=(64, 6, 6, 1)).astype(np.float32)
    return quantize_files(files, "int8", calibrate(files, images))


def all_answers(bundle: Bundle, inputs: NDArray[np.float32]) -> dict[str, list[list[float]]]:
    """The answers of every mix, those off the path among them."""
    found: dict[str, list[list[float]]] = {}
    for mix in all_mixes(bundle.manifest.num_groups):
        order = sorted(range(len(mix)), key=lambda group: mix[group] != "T")
        with ProgressiveModel.open(bundle) as model:
            model.upgrade(order, mix, background=False)
            found[mix] = [as_list(model.predict(x)) for x in inputs]
    return found


def write_corpus(folder: Path, good: Path, files: Mapping[str, bytes]) -> None:
    teacher = files["g1.teacher"]
    spare = {**files, "junk": b"no flatbuffer at all" * 10, "half": teacher[: len(teacher) // 2]}
    (folder / "corpus").mkdir()
    for case in cases():
        make(case, good, folder / "corpus" / case["name"], folder / "right.pem", spare)
    shutil.copy(TABLE, folder / "corpus.json")


def write_tier_fixtures(folder: Path) -> None:
    bundle = Bundle.open(folder / "bundles" / "fp32")
    tier = describe_tier("low", bundle, "bundles/fp32", requires=Requirements())
    write_tiers(folder / "tiers.json", Tiers("tiny", (tier,), ("low",), "low"))
    table = json.loads(DEVICES.read_text("utf-8"))
    text = json.dumps(table["documents"]["defaults"], indent=1)
    write_json(folder / "tier_mutations.json", mutations(text, Tiers.from_json, TiersError))
    for row in table["devices"]:
        tiers = Tiers.from_json(json.dumps(table["documents"][row["tiers"]]))
        try:
            row["reason"] = select_tier(tiers, DeviceFacts.from_json(json.dumps(row["device"]))).reason
        except NoTierError as exc:
            row["reason"] = str(exc)
    # As text, which is what the library parses.
    table["documents"] = {name: json.dumps(document) for name, document in table["documents"].items()}
    write_json(folder / "devices.json", table)


def mutations(text: str, parse: Callable[[bytes], object], refused: type[TfpwlError]) -> list[dict[str, Any]]:
    """Documents with one or two places changed at random, as hexadecimal; ``accepted`` is what Python's parser says.

    The table has the breaks that somebody thought of; here the two parsers have to agree on the others, too.
    """
    rng = random.Random(5)
    tokens = re.findall(r'"[^"]*"|[-+.\w]+|\s+|[^\s]', text)
    found = []
    for _ in range(NUM_MUTATIONS):
        changed = list(tokens)
        for _ in range(rng.choice((1, 1, 2))):
            at = rng.randrange(len(changed))
            match rng.randrange(5):
                case 0:
                    del changed[at]
                case 1:
                    changed.insert(at, rng.choice(changed))
                case 2:
                    other = rng.randrange(len(changed))
                    changed[at], changed[other] = changed[other], changed[at]
                case 3:
                    changed[at] = rng.choice(SPARE_TOKENS)
                case 4:
                    where = rng.randrange(len(changed[at]) + 1)
                    changed[at] = changed[at][:where] + rng.choice(SPARE_LETTERS) + changed[at][where:]
        data = "".join(changed).encode("utf-8", "surrogatepass")
        try:
            parse(data)
            accepted = True
        except refused:
            accepted = False
        found.append({"text": data.hex(), "accepted": accepted})
    return found


def write_apk(path: Path, pack_bytes: bytes) -> dict[str, int]:
    """A zip that holds the pack as an APK holds an uncompressed asset; where the pack begins and how long it is.

    Written by hand, because Python's zipfile cannot place a member.
    """
    name, crc, size = b"assets/fp32.tfpwl", zlib.crc32(pack_bytes), len(pack_bytes)
    head = struct.Struct("<4s5H3I2H").size + len(name)
    padding = ASSET_OFFSET - head
    fixed = (10, 0, 0, 0, 33, crc, size, size, len(name))
    local = struct.pack("<4s5H3I2H", b"PK\x03\x04", *fixed, padding) + name + bytes(padding)
    central = struct.pack("<4s6H3I5H2I", b"PK\x01\x02", 10, *fixed, 0, 0, 0, 0, 0, 0) + name
    end = struct.pack("<4s4H2IH", b"PK\x05\x06", 0, 0, 1, 1, len(central), len(local) + size, 0)
    path.write_bytes(local + pack_bytes + central + end)
    return {"offset": len(local), "length": size}


def as_list(x: NDArray[Any]) -> list[float]:
    """Row by row; JSON's doubles hold float32 to the bit."""
    return [float(value) for value in itertools.chain(x.ravel())]


def write_json(path: Path, value: object) -> None:
    path.write_text(json.dumps(value), "utf-8")


if __name__ == "__main__":
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    main()
