"""``tiers.json``: written from real bundles, read back strictly."""

from __future__ import annotations

import copy
import hashlib
import json
import os
from pathlib import Path

import pytest

from tfpwl.bundle import RuntimeHints, pack, sign, update_manifest
from tfpwl.errors import BundleError, IntegrityError, SignatureError, TiersError
from tfpwl.runtime import ProgressiveModel, Tiers, open_tier, read_tiers
from tfpwl.runtime.footprint import loaded_bytes
from tfpwl.runtime.tiers import MAX_TIERS_BYTES, Requirements, describe_tier, write_tiers

DOCUMENT = json.loads((Path(__file__).parents[1] / "devices.json").read_text("utf-8"))["documents"]["defaults"]


@pytest.fixture
def tiers(tiny_bundle):
    """One tier, whose bundle lies where the file will say."""
    tier = describe_tier("low", tiny_bundle, tiny_bundle.root.name, requires=Requirements(abis=("x86_64",)))
    return Tiers("tiny", (tier,), ("low",), "low")


def test_a_tier_says_what_its_bundle_is(tiny_bundle):
    sides = RuntimeHints(threads=3, delegate="xnnpack")
    bundle = update_manifest(tiny_bundle, runtime=sides)
    tier = describe_tier("low", bundle, "bundles/low", requires=Requirements(ram_bytes=5, cores=2, free_bytes=7))
    on_disk = sum(path.stat().st_size for path in bundle.root.iterdir())
    assert tier.manifest_sha256 == hashlib.sha256((bundle.root / "manifest.json").read_bytes()).hexdigest()
    assert (tier.bytes.bundle, tier.bytes.student) == (on_disk, bundle.mix_bytes("SSS"))
    assert (tier.precision, tier.runtime) == ("fp32", sides)
    # Three threads need three cores, and the bundle its place.
    assert tier.requires == Requirements(ram_bytes=5, cores=3, free_bytes=on_disk)
    for side, mix in ((tier.resident_bytes.student, "SSS"), (tier.resident_bytes.teacher, "TTT")):
        assert side == sum(loaded_bytes(bundle.read(entry)) for entry in bundle.chain(mix))


def test_a_pack_takes_the_bytes_of_its_file_and_measured_memory_is_kept(tiny_bundle, tmp_path):
    packed = pack(tiny_bundle, tmp_path / "tiny.tfpwl")
    tier = describe_tier("low", packed, "tiny.tfpwl", requires=Requirements(), resident_bytes=(11, 22))
    assert tier.bytes.bundle == os.path.getsize(packed.root)
    assert (tier.resident_bytes.student, tier.resident_bytes.teacher) == (11, 22)
    assert open_tier(tmp_path, tier).is_packed


def test_what_was_written_is_read_back(tiers, tmp_path):
    write_tiers(tmp_path / "tiers.json", tiers)
    assert read_tiers(tmp_path / "tiers.json") == tiers
    assert read_tiers(tmp_path) == tiers
    with ProgressiveModel.open(open_tier(tmp_path, tiers["low"])) as model:
        assert model.mix == "SSS"


def test_equal_tiers_are_equal_bytes(tiers, tmp_path):
    for name in ("a.json", "b.json"):
        write_tiers(tmp_path / name, tiers)
    assert (tmp_path / "a.json").read_bytes() == (tmp_path / "b.json").read_bytes()


def test_a_tier_whose_bundle_was_changed_is_refused(tiers, tiny_bundle):
    update_manifest(tiny_bundle, name="another")
    with pytest.raises(TiersError, match="is another bundle than the tier 'low' names: its manifest has the sum"):
        open_tier(tiny_bundle.root.parent, tiers["low"])


def test_a_tiers_signature_can_be_demanded(tiers, tiny_bundle, signing_key):
    private, public = signing_key
    with pytest.raises(SignatureError):
        open_tier(tiny_bundle.root.parent, tiers["low"], public_key=public)
    # Signing leaves the manifest as it is, so the tier still names this bundle.
    sign(tiny_bundle, private)
    assert open_tier(tiny_bundle.root.parent, tiers["low"], public_key=public).is_signed


def test_a_bundle_that_lost_a_file_is_refused(tiers, tiny_bundle):
    (tiny_bundle.root / "g0.student.tflite").unlink()
    with pytest.raises(IntegrityError, match=r"g0\.student\.tflite"):
        open_tier(tiny_bundle.root.parent, tiers["low"])


def test_a_tier_that_is_not_there_is_named_with_those_that_are(tiers):
    with pytest.raises(TiersError, match="Received tier 'mid'; expected one of low"):
        tiers["mid"]


def test_a_broken_rule_is_told_before_a_byte_is_written(tiers, tmp_path):
    file = tmp_path / "tiers.json"
    write_tiers(file, tiers)
    before = file.read_bytes()
    with pytest.raises(TiersError, match=r"order: received \['low', 'mid'\]; expected each of low once"):
        write_tiers(file, Tiers("tiny", tiers.tiers, ("low", "mid")))
    with pytest.raises(TiersError, match="a value that JSON cannot hold"):
        write_tiers(file, Tiers(object(), tiers.tiers, ("low",)))
    assert file.read_bytes() == before
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith(".")] == []


def test_a_folder_that_is_missing_is_told(tiers, tmp_path):
    with pytest.raises(BundleError, match=r"Cannot write .*nowhere/tiers\.json.*No such file"):
        write_tiers(tmp_path / "nowhere" / "tiers.json", tiers)


@pytest.mark.parametrize("make", ["nothing", "folder", "link", "pipe"])
def test_what_is_no_plain_file_is_refused(tmp_path, make):
    file = tmp_path / "own.json"
    if make == "folder":
        (file / "tiers.json").mkdir(parents=True)
    elif make == "link":
        file.symlink_to(tmp_path / "elsewhere")
    elif make == "pipe":
        os.mkfifo(file)
    with pytest.raises(TiersError, match=r"(own|tiers)\.json: "):
        read_tiers(file)


def at(document, path, value):
    """The document with one value replaced; ``None`` as value of the path's last key deletes it."""
    changed = copy.deepcopy(document)
    place = changed
    for key in path[:-1]:
        place = place[key]
    place[path[-1]] = value
    return changed


TIER = ("tiers", 0)
BROKEN = [
    (("format",), "tfpwl-bundle", "format: received 'tfpwl-bundle'; expected one of tfpwl-tiers"),
    (("version",), 2, "version: received 2; this tfpwl reads 1. Update tfpwl or build again"),
    (("version",), "1", "version: received '1'; expected a whole number"),
    (("name",), "", "name: received ''; expected 1 to 1000 printable characters"),
    (("extra",), 1, "extra: unknown key; expected only fallback, format, name, order, tiers, version"),
    (("tiers",), [], "tiers: received 0 members; expected at least 1"),
    (("tiers",), {}, "tiers: received {}; expected a list"),
    (("order",), ["high", "mid"], r"order: received \['high', 'mid'\]; expected each of low, mid, high once"),
    (("order",), ["high", "mid", "low", "low"], "order: received"),
    (("order",), [1, 2, 3], r"order\[0\]: received 1; expected a string"),
    (("fallback",), "tiny", "fallback: received 'tiny'; expected null or one of low, mid, high"),
    ((*TIER, "name"), "mid", r"tiers\[1\].name: 'mid' stands twice"),
    ((*TIER, "name"), "../low", r"tiers\[0\].name: received '../low'; expected 1 to 32 lowercase letters"),
    ((*TIER, "bundle"), "bundles/MID", r"tiers\[1\].bundle: 'bundles/mid' stands twice"),
    ((*TIER, "manifest_sha256"), "A" * 64, r"tiers\[0\].manifest_sha256: .*expected 64 lowercase hexadecimal digits"),
    ((*TIER, "bytes", "student"), (3 << 20) + 1, r"tiers\[0\].bytes.student: received 3145729"),
    ((*TIER, "resident_bytes", "teacher"), 0, r"tiers\[0\].resident_bytes.teacher: received 0"),
    ((*TIER, "precision"), "int4", "expected one of fp32, fp16, int8, w8"),
    ((*TIER, "runtime", "threads"), 0, r"tiers\[0\].runtime.threads: received 0"),
    ((*TIER, "requires", "ram_bytes"), 1.0, r"tiers\[0\].requires.ram_bytes: received 1.0; expected a whole number"),
    ((*TIER, "requires", "low_ram_allowed"), 0, "low_ram_allowed: received 0; expected true or false"),
    ((*TIER, "requires", "abis"), ["x86"] * 2, "abis: received 2 ABIs; expected at most 16, each once"),
]


@pytest.mark.parametrize(("path", "value", "says"), BROKEN, ids=lambda value: str(value)[:40])
def test_a_broken_file_is_refused_at_its_place(path, value, says):
    with pytest.raises(TiersError, match=says):
        Tiers.from_json(json.dumps(at(DOCUMENT, path, value)))


@pytest.mark.parametrize(
    "bundle",
    ["..", "../low", "bundles/..", "/low", "/etc/low", "bundles//low", "bundles/low/", "a/b/c", ".low", "bundles/.low",
     "C:low", "bundles\\low", "low\n", "", "l" * 129],
)  # fmt: skip
def test_no_bundle_leads_out_of_the_folder(bundle):
    with pytest.raises(TiersError, match=r"^tiers\[0\].bundle: "):
        Tiers.from_json(json.dumps(at(DOCUMENT, (*TIER, "bundle"), bundle)))


@pytest.mark.parametrize("key", ["name", "order", "tiers"])
def test_a_key_that_is_missing_is_named(key):
    document = {name: value for name, value in DOCUMENT.items() if name != key}
    with pytest.raises(TiersError, match=f"^{key}: the key is missing"):
        Tiers.from_json(json.dumps(document))


def test_there_may_be_no_fallback():
    assert Tiers.from_json(json.dumps({**DOCUMENT, "fallback": None})).fallback is None
    assert Tiers.from_json(json.dumps({k: v for k, v in DOCUMENT.items() if k != "fallback"})).fallback is None


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (b"\xff", r"The file tiers\.json is not UTF-8 \(byte 0\); build the tiers again"),
        (b"{", r"The file tiers\.json is not valid JSON"),
        (b"[]", r"^the file tiers\.json: received \[\]; expected an object"),
        (b'{"name": 1, "name": 2}', r"The file tiers\.json has the key 'name' twice"),
        (b'{"name": NaN}', r"The file tiers\.json holds NaN"),
        (b" " * (MAX_TIERS_BYTES + 1), r"The file tiers\.json has 262145 bytes; at most 262144 are read"),
        (b"[" * 200_000, r"The file tiers\.json is not valid JSON"),
    ],
)
def test_text_that_is_no_tiers_file_is_refused(text, says):
    with pytest.raises(TiersError, match=says):
        Tiers.from_json(text)
