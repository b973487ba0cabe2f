"""Which tier a device takes. The Android library has the same rule; both are tested on ``tests/devices.json``."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from tfpwl.errors import NoTierError
from tfpwl.runtime.device import DeviceFacts
from tfpwl.runtime.tiers import Requirements, Tier, Tiers

_MIB = 1 << 20
# A device that cannot run a bundle's code or store it cannot take it as a fallback, either.
_HARD = ("abi", "storage")


@dataclass(frozen=True, slots=True)
class Unmet:
    """A demand that a device does not meet: ``what`` is ``abi``, ``storage``, ``ram``, ``low_ram``, ``cores`` or
    ``performance_class``; ``text`` says it in words."""

    what: str
    text: str


@dataclass(frozen=True, slots=True)
class PassedOver:
    """A tier that was not taken, and every demand of it that the device does not meet."""

    name: str
    unmet: tuple[Unmet, ...]

    def __str__(self) -> str:
        return f"{self.name} {', '.join(unmet.text for unmet in self.unmet)}"


@dataclass(frozen=True, slots=True)
class TierChoice:
    """The tier that a device takes, whether only as the fallback, and the better tiers with why they were not taken."""

    tier: Tier
    is_fallback: bool
    passed_over: tuple[PassedOver, ...]

    @property
    def reason(self) -> str:
        """Why this tier, in a sentence.

        Example:
            >>> choice.reason                                                        # doctest: +SKIP
            'mid: its demands are met; high needs performance class 33, the device has 0'
        """
        why = "the fallback, as no tier's demands are met" if self.is_fallback else "its demands are met"
        return "; ".join([f"{self.tier.name}: {why}", *map(str, self.passed_over)])


def select_tier(tiers: Tiers, device: DeviceFacts | None = None) -> TierChoice:
    """The first tier, from the best one on, whose demands the device meets; otherwise the fallback.

    The fallback's demands on memory, cores and class are waived; those on the ABI and on free storage are not.

    Args:
        tiers: what a build wrote, see :func:`tfpwl.runtime.read_tiers`.
        device: its facts; this machine's by default.

    Raises:
        NoTierError: no tier fits, with the reason for each.

    Example:
        >>> choice = select_tier(read_tiers("runs/digits_tiers"))                    # doctest: +SKIP
        >>> choice.tier.name, choice.tier.bundle                                     # doctest: +SKIP
        ('mid', 'bundles/mid')
    """
    device = DeviceFacts.of_this_machine() if device is None else device
    passed_over: list[PassedOver] = []
    for name in tiers.order:
        tier = tiers[name]
        unmet = tuple(_unmet(tier.requires, device))
        if not unmet:
            return TierChoice(tier, False, tuple(passed_over))
        passed_over.append(PassedOver(name, unmet))
    for passed in passed_over:
        if passed.name == tiers.fallback and not any(unmet.what in _HARD for unmet in passed.unmet):
            return TierChoice(tiers[passed.name], True, tuple(passed_over))
    reasons = "; ".join(map(str, passed_over))
    raise NoTierError(f"No tier of {tiers.name!r} fits this device: {reasons}.")


def _unmet(requires: Requirements, device: DeviceFacts) -> Iterator[Unmet]:
    if requires.abis and not set(requires.abis) & set(device.abis):
        has = ", ".join(device.abis) or "none"
        yield Unmet("abi", f"is made for {', '.join(requires.abis)}, the device has {has}")
    if device.free_bytes < requires.free_bytes:
        yield Unmet("storage", _too_small(requires.free_bytes, "free storage", device.free_bytes))
    if device.ram_bytes < requires.ram_bytes:
        yield Unmet("ram", _too_small(requires.ram_bytes, "memory", device.ram_bytes))
    if device.low_ram and not requires.low_ram_allowed:
        yield Unmet("low_ram", "is not for devices with the low-RAM flag")
    if device.cores < requires.cores:
        yield Unmet("cores", f"needs {requires.cores} cores, the device has {device.cores}")
    if device.performance_class is not None and device.performance_class < requires.performance_class:
        wanted = f"needs performance class {requires.performance_class}"
        yield Unmet("performance_class", f"{wanted}, the device has {device.performance_class}")


def _too_small(wanted: int, what: str, found: int) -> str:
    # Rounded away from each other, so that the two numbers differ even where a byte is missing.
    return f"needs {-(-wanted // _MIB)} MiB of {what}, the device has {found // _MIB}"
