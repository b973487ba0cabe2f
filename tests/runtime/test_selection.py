"""Which tier a device takes: the table of devices that the Android library is tested on, too."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tfpwl.errors import DataError, NoTierError
from tfpwl.runtime import DeviceFacts, Tiers, select_tier
from tfpwl.runtime.tiers import DEFAULT_REQUIREMENTS

TABLE = json.loads((Path(__file__).parents[1] / "devices.json").read_text("utf-8"))
ALL_TIERS = {name: Tiers.from_json(json.dumps(document)) for name, document in TABLE["documents"].items()}
DEFAULTS = ALL_TIERS["defaults"]
PHONE = DeviceFacts(ram_bytes=8 << 30, cores=8, abis=("arm64-v8a",), free_bytes=1 << 30, performance_class=33)


@pytest.mark.parametrize("row", TABLE["devices"], ids=lambda row: row["name"])
def test_a_device_takes_the_tier_of_the_table(row):
    tiers, device = ALL_TIERS[row["tiers"]], DeviceFacts.from_json(json.dumps(row["device"]))
    if row["tier"] is None:
        with pytest.raises(NoTierError) as caught:
            select_tier(tiers, device)
        assert all(f"{name} " in str(caught.value) for name in row["unmet"])
        assert caught.value.exit_code == 1
        return
    choice = select_tier(tiers, device)
    found = {passed.name: [unmet.what for unmet in passed.unmet] for passed in choice.passed_over}
    assert (choice.tier.name, choice.is_fallback, found) == (row["tier"], row["fallback"], row["unmet"])


def test_the_table_has_devices_on_both_sides_of_every_limit():
    rows = TABLE["devices"]
    assert len(rows) >= 25
    assert {row["tier"] for row in rows} == {"low", "mid", "high", None}
    every = {what for row in rows for unmet in row["unmet"].values() for what in unmet}
    assert every == {"abi", "storage", "ram", "low_ram", "cores", "performance_class"}


def test_the_tables_demands_are_the_default_ones():
    for tier in DEFAULTS.tiers:
        default = DEFAULT_REQUIREMENTS[tier.name]
        assert replace(tier.requires, cores=1, free_bytes=0) == default


def test_the_reason_names_every_better_tier_and_all_that_it_asks():
    device = replace(PHONE, ram_bytes=(7 << 30) - 1, performance_class=31)
    assert select_tier(DEFAULTS, device).reason == (
        "mid: its demands are met; high needs 7168 MiB of memory, the device has 7167, "
        "needs performance class 33, the device has 31"
    )


def test_the_reason_of_a_fallback_says_so():
    tiers = ALL_TIERS["low asks for 2 GiB"]
    reason = select_tier(tiers, replace(PHONE, ram_bytes=1 << 30, cores=1, performance_class=33)).reason
    assert reason.startswith("low: the fallback, as no tier's demands are met; high needs 7168 MiB of memory")
    assert reason.endswith("low needs 2048 MiB of memory, the device has 1024, needs 4 cores, the device has 1")


def test_where_nothing_fits_every_tier_has_its_reason():
    device = replace(PHONE, abis=("mips",), free_bytes=0)
    with pytest.raises(NoTierError) as caught:
        select_tier(ALL_TIERS["arm only, no fallback"], device)
    assert str(caught.value) == (
        "No tier of 'photos' fits this device: "
        "high is made for arm64-v8a, the device has mips, needs 40 MiB of free storage, the device has 0; "
        "mid is made for arm64-v8a, armeabi-v7a, the device has mips, needs 12 MiB of free storage, the device has 0; "
        "low is made for arm64-v8a, armeabi-v7a, the device has mips, needs 3 MiB of free storage, the device has 0."
    )


devices = st.builds(
    DeviceFacts,
    ram_bytes=st.integers(0, 16 << 30),
    cores=st.integers(1, 16),
    abis=st.lists(st.sampled_from(["arm64-v8a", "armeabi-v7a", "x86"]), unique=True).map(tuple),
    free_bytes=st.integers(0, 60 << 20),
    low_ram=st.booleans(),
    performance_class=st.none() | st.integers(0, 35),
)


def rank(tiers: Tiers, device: DeviceFacts) -> int:
    """0 for no tier, then the worse the lower."""
    try:
        return len(tiers.order) - tiers.order.index(select_tier(tiers, device).tier.name)
    except NoTierError:
        return 0


@given(devices, st.sampled_from(sorted(ALL_TIERS)), st.integers(0, 8 << 30), st.integers(0, 8), st.integers(0, 1 << 26))
def test_a_better_device_never_gets_a_worse_tier(device, name, ram, cores, free):
    better = replace(
        device, ram_bytes=device.ram_bytes + ram, cores=device.cores + cores, free_bytes=device.free_bytes + free,
        low_ram=False,
    )  # fmt: skip
    assert rank(ALL_TIERS[name], better) >= rank(ALL_TIERS[name], device)


@given(devices, st.sampled_from(sorted(ALL_TIERS)))
def test_what_is_taken_runs_and_fits(device, name):
    try:
        requires = select_tier(ALL_TIERS[name], device).tier.requires
    except NoTierError:
        return
    assert device.free_bytes >= requires.free_bytes
    assert not requires.abis or set(requires.abis) & set(device.abis)


def test_this_machine_takes_a_tier(tmp_path):
    device = DeviceFacts.of_this_machine(tmp_path)
    # Whatever this machine is: it runs a test suite, so it has a processor, memory and room for 3 MB.
    assert device.ram_bytes > 1 << 28
    assert device.abis[0]
    assert select_tier(DEFAULTS, device).tier.name in DEFAULTS.order


def test_facts_of_a_folder_that_is_missing_are_refused(tmp_path):
    with pytest.raises(DataError, match=r"free storage at .*nowhere cannot be told: No such file"):
        DeviceFacts.of_this_machine(tmp_path / "nowhere")


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"ram_bytes": -1}, "ram_bytes: received -1; expected a whole number from 0"),
        ({"cores": 0}, "cores: received 0"),
        ({"abis": "arm64-v8a"}, "abis: received 'arm64-v8a'; expected a list"),
        ({"abis": ["x86", "x86"]}, "abis: received 2 ABIs; expected at most 16, each once"),
        ({"abis": ["a b"]}, r"abis\[0\]: received 'a b'; expected an ABI such as 'arm64-v8a'"),
        ({"low_ram": 1}, "low_ram: received 1; expected true or false"),
        ({"performance_class": "33"}, "performance_class: received '33'; expected a whole number"),
        ({"gpu": True}, "gpu: unknown key"),
    ],
)
def test_broken_facts_are_refused(change, says):
    facts = {"ram_bytes": 1, "cores": 1, "abis": ["x86"], "free_bytes": 1, **change}
    with pytest.raises(DataError, match=says):
        DeviceFacts.from_json(json.dumps(facts))
    assert DeviceFacts.from_json('{"ram_bytes": 1, "cores": 1, "abis": [], "free_bytes": 1}') == DeviceFacts(
        1, 1, (), 1
    )
