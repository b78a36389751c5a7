# SPDX-License-Identifier: GPL-3.0-or-later
"""Conditions under which the link is measured, one per row of the table."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from gened.bench.link_frames import N_ANALOG
from gened.errors import ConfigError
from gened.gr_blocks.phy.channel.config import ChannelKind

Beside = Literal["", "burst", "narrow-band"]


@dataclass(frozen=True)
class Condition:
    """Channel of a condition. Offsets are drawn per frame, uniformly up to these limits, either way."""

    name: str
    kind: ChannelKind = "awgn"
    max_cfo_norm: float = 0.0
    max_sfo_ppm: float = 0.0
    linewidth_hz: float = 0.0
    channel: Mapping[str, Any] = field(default_factory=dict)
    """Further fields of `ChannelConfig`."""
    beside: Beside = ""
    """Interference: another burst, or narrow-band noise."""
    n_analog: int = N_ANALOG
    """Number of analogue symbols per frame."""


def _moved(name: str, kind: ChannelKind = "awgn", *, beside: Beside = "", **channel: Any) -> Condition:
    """Add carrier offsets of up to 12.5 % of the sample rate and clock errors of up to 20 ppm to a condition.

    Without them some faults would have no effect: a DC offset falls on the free carrier.
    """
    linewidth_hz = channel.pop("linewidth_hz", 0.0)
    return Condition(name, kind, 0.125, 20, linewidth_hz, channel, beside)


SHORT = 200
"""Number of analogue symbols where the number of frames matters and their noise does not, as for detection."""
PROFILES: tuple[tuple[str, ChannelKind], ...] = (("a", "tdl-a"), ("b", "tdl-b"), ("c", "tdl-c"))
SPREADS = (0.1, 0.3, 1.0, 1.5)
"""RMS delay spreads in samples; at 1.5 the last tap of TDL-A has a delay of 14.5 samples, and the prefix has 16."""
PLUTO: dict[str, Any] = {"iq_gain_db": 0.1, "iq_phase_deg": 0.5, "dc_offset": 0.02, "bits": 12}
"""Impairments of an AD936x with tracking loops on, worse than its data sheet: image at -43 dB, LO leakage at -34 dB."""

CONDITIONS = (
    Condition("awgn"),
    Condition("offsets-50ppm", max_cfo_norm=0.125, max_sfo_ppm=50),
    Condition("offsets-20ppm", max_cfo_norm=0.125, max_sfo_ppm=20),
    Condition("carrier", max_cfo_norm=0.125),
    Condition("clocks-20ppm", max_sfo_ppm=20),
    Condition("clocks-50ppm", max_sfo_ppm=50),
    Condition("short", max_cfo_norm=0.125, max_sfo_ppm=20, n_analog=SHORT),
    Condition("short-200ppm", max_cfo_norm=0.125, max_sfo_ppm=200, n_analog=SHORT),
    _moved("rayleigh", "rayleigh-block"),
    _moved("rician", "rician-block"),
    _moved("multipath", "multipath"),
    *(_moved(f"tdl-{letter}-{spread:g}", kind, delay_spread=spread)
      for letter, kind in PROFILES for spread in SPREADS),
    _moved("doppler-10", "rayleigh-block", doppler_hz=10.0),
    _moved("doppler-50", "rayleigh-block", doppler_hz=50.0),
    _moved("tdl-a-1-doppler-10", "tdl-a", delay_spread=1.0, doppler_hz=10.0),
    _moved("tdl-a-1-doppler-50", "tdl-a", delay_spread=1.0, doppler_hz=50.0),
    _moved("linewidth-10", linewidth_hz=10.0),
    _moved("linewidth-100", linewidth_hz=100.0),
    _moved("iq", iq_gain_db=0.3, iq_phase_deg=1.0),
    _moved("dc", dc_offset=0.05),
    Condition("pluto", max_cfo_norm=0.06, max_sfo_ppm=25, linewidth_hz=5.0, channel=PLUTO),
    _moved("12-bit", bits=12),
    _moved("8-bit", bits=8),
    _moved("clipping", clip_db=4.0),
    _moved("collision", beside="burst"),
    _moved("narrow-band", beside="narrow-band"),
)  # fmt: skip
"""`collision`: a second burst, 10 dB weaker, begins anywhere within the first. `narrow-band`: noise 1 % of the sample
rate wide, 10 dB weaker than the burst, anywhere in its band."""
BESIDE_DB = -10.0


def chosen(names: Iterable[str]) -> list[Condition]:
    """Select conditions by name, in the order of the table; "none" selects none.

    Raises:
        ConfigError: A name is unknown; the message lists the known ones.
    """
    wanted = set(names) - {"none"}
    known = [condition.name for condition in CONDITIONS]
    if unknown := sorted(wanted - set(known)):
        raise ConfigError(f"no condition '{unknown[0]}'; known are {', '.join(known)}")
    return [condition for condition in CONDITIONS if condition.name in wanted]
