# SPDX-License-Identifier: GPL-3.0-or-later
"""Parameters of the channel emulator: kind of fading, SNR, offsets, impairments of the radios."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from typing import Annotated, Any, Literal, get_args

from gened.errors import ConfigError
from gened.option_fields import Option, option_fields

ChannelKind = Literal["awgn", "rayleigh-block", "rayleigh-fast", "rician-block", "multipath", "tdl-a", "tdl-b", "tdl-c"]
KINDS: tuple[str, ...] = get_args(ChannelKind)
OTHER_NAMES = {"rician": "rician-block"}
"""Usual names of a channel of which there is one kind only."""
FADE_FLOOR = 1e-4
"""Least squared gain of a symbol that is equalised: one 40 dB below the mean is lost in any case, and divisions stay
finite."""


def full_name(kind: str) -> str:
    """The kind that a usual name stands for; any other word as it is."""
    return OTHER_NAMES.get(kind, kind)


@dataclass(frozen=True)
class ChannelConfig:
    """Parameters of a channel, checked at construction."""

    kind: Annotated[ChannelKind, Option("--channel", metavar="KIND", parse=full_name, choices=KINDS)] = "awgn"
    """Kind of channel; rayleigh-fast draws a gain per symbol, so it exists between symbols only."""
    snr_db: Annotated[float, Option("--snr")] = 10.0
    """Es/N0 on an occupied carrier, dB; under fading its long-term mean."""
    freq_offset_hz: Annotated[float, Option("--freq-offset")] = 0.0
    """Carrier frequency offset, Hz; up to 12.5 % of the sample rate."""
    sfo_ppm: Annotated[float, Option("--sfo-ppm")] = 0.0
    """Sampling clock offset, ppm; positive: the burst arrives with fewer samples than were sent."""
    timing_offset: float = 0.0
    """Delay of the stream in samples, 0 or more; may be fractional."""
    rician_k_db: float = 6.0
    """Power of the direct path over that of the scattered paths, dB (`rician-block`)."""
    delay_spread: float = 1.0
    """RMS delay spread in samples, in (0, 4]; the profile is exponential for `multipath`, that of 3GPP TR 38.901 for
    `tdl-a`, `tdl-b` and `tdl-c`."""
    doppler_hz: float = 0.0
    """Largest Doppler shift, Hz: gains vary within a burst, with Jakes' spectrum. A direct path does not."""
    linewidth_hz: float = 0.0
    """3 dB linewidth of the phase noise, Hz; the phase is a Wiener process."""
    iq_gain_db: float = 0.0
    """Gain of I over that of Q, dB."""
    iq_phase_deg: float = 0.0
    """Phase error between I and Q, degrees."""
    dc_offset: float = 0.0
    """DC offset relative to the RMS amplitude of a burst."""
    clip_db: float | None = None
    """Limit of the magnitudes over the RMS amplitude of a burst, dB; None does not clip."""
    bits: int | None = None
    """Resolution of the receiver's converter, bits; full scale is 12 dB over the RMS amplitude. None: no converter."""
    drop: Annotated[float, Option("--drop")] = 0.0
    """Probability that a whole burst is lost."""
    erasure: Annotated[float, Option("--erasure")] = 0.0
    """Fraction of the symbols that is lost at random (between symbols only)."""
    seed: Annotated[int, Option("--seed", min=0, max=2**31 - 1)] = 0
    """Seed of noise, fading and everything else that is drawn at random."""

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise ConfigError(f"channel {self.kind!r}; known are {', '.join(KINDS)}")
        for name in (
            "snr_db", "sfo_ppm", "drop", "erasure", "freq_offset_hz", "rician_k_db", "iq_gain_db", "iq_phase_deg",
            "dc_offset",
        ):  # fmt: skip
            if not math.isfinite(getattr(self, name)):
                raise ConfigError(f"{name} is {getattr(self, name)}; give a finite number")
        for name in ("drop", "erasure"):
            if not 0 <= getattr(self, name) <= 1:
                raise ConfigError(f"{name} is {getattr(self, name)}; it is a probability from 0 to 1")
        for name, limit in (("timing_offset", 1e6), ("linewidth_hz", 1e9)):
            if not 0 <= getattr(self, name) <= limit:
                raise ConfigError(f"{name} is {getattr(self, name)}; from 0 to {limit:g} is possible")
        self._check_doppler()
        if not -40 <= self.snr_db <= 100:
            raise ConfigError(f"an SNR of {self.snr_db:g} dB; from -40 to 100 is possible")
        if not 0 < self.delay_spread <= 4:
            raise ConfigError(
                f"a delay spread of {self.delay_spread:g} samples; more than 0 and at most 4 fit the cyclic prefix"
            )
        if self.bits is not None and not 2 <= self.bits <= 24:
            raise ConfigError(f"a converter of {self.bits} bits; from 2 to 24 is possible")
        if not abs(self.sfo_ppm) <= 1000:
            raise ConfigError(f"a clock error of {self.sfo_ppm:g} ppm; at most 1000 either way")

    def _check_doppler(self) -> None:
        if not 0 <= self.doppler_hz <= 1e6:
            raise ConfigError(f"a Doppler shift of {self.doppler_hz:g} Hz; from 0 to 1e6 is possible")
        if self.doppler_hz > 0 and self.kind in ("awgn", "rayleigh-fast"):
            raise ConfigError(f"{self.kind} has no fading that a Doppler shift could move; use rayleigh-block or tdl-a")


IMPAIRMENTS = tuple(
    one.name
    for one in fields(ChannelConfig)
    if one.name not in {declared.name for declared in option_fields(ChannelConfig)}
)
"""Fields without an option of their own: what `--impair` may name."""


def impaired(config: ChannelConfig, texts: Sequence[str]) -> ChannelConfig:
    """The channel with impairments given as NAME=VALUE.

    Raises:
        ConfigError: An unknown impairment, or a value that is malformed, not finite or out of range.
    """
    values: dict[str, Any] = {}
    for text in texts:
        name, _, value = text.partition("=")
        if name not in IMPAIRMENTS:
            raise ConfigError(f"impairment '{name}'; known are {', '.join(IMPAIRMENTS)}")
        try:
            values[name] = int(value) if name == "bits" else float(value)
        except ValueError as error:
            raise ConfigError(f"'{text}' is not an impairment; write it like linewidth_hz=100") from error
        if not abs(values[name]) < math.inf:
            raise ConfigError(f"{name} is {values[name]}; give a finite number")
    return replace(config, **values)
