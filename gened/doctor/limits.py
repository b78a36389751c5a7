# SPDX-License-Identifier: GPL-3.0-or-later
"""What a radio says that it can do, and whether a profile asks for more. Plain values: they cross a process."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from gened.doctor.findings import Finding
from gened.hw_config.profile import HardwareProfile, RxSide, TxSide

Ranges = list[tuple[float, float]]
"""Lowest and highest value of each range; empty where the radio reports none."""
ROOM_PPM = 25.0
"""By which two plain crystals may differ: the receiver's filter should let the shifted signal through."""


@dataclass(frozen=True, kw_only=True)
class SideLimits:
    """Of one direction."""

    sample_rate: Ranges
    center_freq: Ranges
    gain_db: Ranges
    bandwidth: Ranges
    antennas: list[str]

    def plain(self) -> dict[str, Any]:
        """For JSON."""
        return asdict(self)

    @staticmethod
    def from_plain(values: dict[str, Any]) -> SideLimits:
        """Back from JSON."""
        ranges = {
            name: [(float(low), float(high)) for low, high in values[name]]
            for name in ("sample_rate", "center_freq", "gain_db", "bandwidth")
        }
        return SideLimits(antennas=[str(name) for name in values["antennas"]], **ranges)


def compare(hardware: HardwareProfile, side: str, limits: SideLimits) -> list[Finding]:
    """A finding for each value of one side that the radio cannot do, or one that says that it fits.

    Args:
        hardware: The profile.
        side: `rx` or `tx`.
        limits: Limits that the radio reports for that side.
    """
    part: RxSide | TxSide = hardware.rx if side == "rx" else hardware.tx
    asked: list[tuple[str, float | None, Ranges, float, str]] = [
        ("sample_rate", hardware.sample_rate, limits.sample_rate, 1e6, "Msample/s"),
        (f"{side}.center_freq", part.center_freq, limits.center_freq, 1e6, "MHz"),
        (f"{side}.gain_db", part.gain_db, limits.gain_db, 1.0, "dB"),
        (f"{side}.bandwidth", part.bandwidth, limits.bandwidth, 1e6, "MHz"),
    ]
    found = [
        _outside(side, key, value, ranges, scale, unit)
        for key, value, ranges, scale, unit in asked
        if value is not None and ranges and not any(low <= value <= high for low, high in ranges)
    ]
    if part.antenna and limits.antennas and part.antenna not in limits.antennas:
        found.append(
            Finding(
                subject=f"profile, {side}", level="problem", next_step=f"--set {side}.antenna={limits.antennas[0]}",
                text=f"{side}.antenna is {part.antenna}; this radio has {', '.join(limits.antennas)}",
            )
        )  # fmt: skip
    if found:
        return found
    shown = "; ".join(
        f"{key.rpartition('.')[2]} {value / scale:.6g} of {_shown(ranges, scale)} {unit}"
        for key, value, ranges, scale, unit in asked
        if value is not None and ranges
    )
    return [Finding(subject=f"profile, {side}", level="ok", text=shown or "the radio tells no limits")]


def _outside(side: str, key: str, value: float, ranges: Ranges, scale: float, unit: str) -> Finding:
    nearest = min((edge for both in ranges for edge in both), key=lambda edge: abs(edge - value))
    number = f"{nearest:.0f}" if scale > 1 else f"{nearest:g}"
    return Finding(
        subject=f"profile, {side}", level="problem",
        text=f"{key} is {value / scale:.6g} {unit}; this radio takes {_shown(ranges, scale)} {unit}",
        next_step=f"--set {key}={number} is the nearest, or correct the profile",
    )  # fmt: skip


def _shown(ranges: Ranges, scale: float) -> str:
    parts = [
        f"{low / scale:.6g}" if low == high else f"{low / scale:.6g} to {high / scale:.6g}" for low, high in ranges
    ]
    return ", ".join(parts if len(parts) <= 6 else [*parts[:3], "...", parts[-1]])


def filters(hardware: HardwareProfile) -> list[Finding]:
    """Whether the analogue filters let the signal through, also where the carriers differ."""
    found = []
    signal_hz = hardware.occupied_bandwidth
    for side, part in (("rx", hardware.rx), ("tx", hardware.tx)):
        if part.bandwidth is not None and part.bandwidth < signal_hz:
            text = f"{side}.bandwidth {part.bandwidth / 1e6:g} MHz cuts a signal that is {signal_hz / 1e6:.3g} MHz wide"
            step = f"--set {side}.bandwidth={hardware.sample_rate:.0f}"
            found.append(Finding(subject="filters", level="problem", text=text, next_step=step))
    bandwidth, center_freq = hardware.rx.bandwidth, hardware.rx.center_freq
    if not found and bandwidth is not None and center_freq:
        room_hz = (bandwidth - signal_hz) / 2
        ppm = 1e6 * room_hz / center_freq
        text = f"rx.bandwidth leaves {room_hz / 1e3:.0f} kHz for carriers that differ, {ppm:.0f} ppm"
        step = "" if ppm >= ROOM_PPM else f"--set rx.bandwidth={signal_hz + 2e-6 * ROOM_PPM * center_freq:.0f}"
        found.append(Finding(subject="filters", level="ok" if ppm >= ROOM_PPM else "note", text=text, next_step=step))
    return found
