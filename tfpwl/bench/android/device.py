"""What a phone is (model, processor, memory, storage) and how warm it is."""

from __future__ import annotations

import re
from dataclasses import dataclass

from tfpwl.bench.android.adb import Phone

# Zones of the processor; others (charger, modem, battery) move for reasons of their own.
_PROCESSOR_ZONE = re.compile(r"cpu|soc|tsens|skin|^ap|mtktsAP|big|little|mid", re.IGNORECASE)
_ASK_FACTS = "getprop; echo ==; cat /proc/meminfo; echo ==; cat /proc/cpuinfo; echo ==; df -k /data/local/tmp; true"
_ASK_ZONES = (
    'for z in /sys/class/thermal/thermal_zone*; do echo "$(cat $z/type) $(cat $z/temp)"; done 2>/dev/null; '
    "echo ==; dumpsys battery 2>/dev/null; true"
)


@dataclass(frozen=True, slots=True)
class PhoneFacts:
    """A phone as it describes itself; None or empty where it does not say.

    Attributes:
        serial: as adb names it.
        abis: the instruction sets of its programs, its own first.
        api: Android's API level.
        soc: the processor's name.
        memory_bytes, free_bytes: all of its memory, and what is free where programs are pushed.
    """

    serial: str
    model: str
    manufacturer: str
    soc: str
    abis: tuple[str, ...]
    api: int | None
    memory_bytes: int | None
    free_bytes: int | None


def read_facts(phone: Phone) -> PhoneFacts:
    """Ask a phone what it is.

    Raises:
        DeviceError: it is not to be reached.

    Example:
        >>> read_facts(phone).abis                                           # doctest: +SKIP
        ('arm64-v8a', 'armeabi-v7a')
    """
    parts = re.split("^==$", phone.read(_ASK_FACTS), flags=re.MULTILINE)
    props = dict(re.findall(r"^\[(.*?)\]: \[(.*?)\]$", parts[0], re.MULTILINE))
    memory = re.search(r"^MemTotal:\s*(\d+) kB", parts[1], re.MULTILINE)
    hardware = re.search(r"^Hardware\s*: (.+)$", parts[2], re.MULTILINE)
    free = re.search(r"\s\d+\s+\d+\s+(\d+)\s+\d+%\s", parts[3])
    abis = props.get("ro.product.cpu.abilist") or props.get("ro.product.cpu.abi", "")
    soc = props.get("ro.soc.model") or (hardware[1] if hardware else "") or props.get("ro.board.platform", "")
    return PhoneFacts(
        serial=phone.serial,
        model=props.get("ro.product.model", ""),
        manufacturer=props.get("ro.product.manufacturer", ""),
        soc=soc,
        abis=tuple(filter(None, abis.split(","))),
        api=_number(props.get("ro.build.version.sdk", "")),
        memory_bytes=int(memory[1]) * 1024 if memory else None,
        free_bytes=int(free[1]) * 1024 if free else None,
    )


def read_temperature(phone: Phone) -> float | None:
    """The warmest zone of the processor in °C; the battery where the zones are hidden; None where nothing is told.

    Raises:
        DeviceError: the phone is not to be reached.
    """
    zones, _, battery = phone.read(_ASK_ZONES).partition("==\n")
    found = re.findall(r"^(\S+) (-?\d+)$", zones, re.MULTILINE)
    # Thousandths of a degree, on some phones whole degrees; a zone that is switched off says -40000 or 0.
    warm = [_celsius(int(value)) for name, value in found if _PROCESSOR_ZONE.search(name)]
    warm = [value for value in warm if 0 < value < 150]
    if warm:
        return max(warm)
    tenths = re.search(r"^\s*temperature: (\d+)$", battery, re.MULTILINE)
    return int(tenths[1]) / 10 if tenths else None


def _celsius(value: int) -> float:
    return value / 1000 if abs(value) >= 1000 else float(value)


def _number(text: str) -> int | None:
    return int(text) if text.isdecimal() else None
