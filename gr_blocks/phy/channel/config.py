# SPDX-License-Identifier: GPL-3.0-or-later
"""Parameters of the channel: kind of fading, SNR, offsets, impairments of the radios."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np

from gened.errors import ConfigError

ChannelKind = Literal["awgn", "rayleigh-block", "rayleigh-fast", "rician-block", "multipath", "tdl-a", "tdl-b", "tdl-c"]
KINDS: tuple[str, ...] = get_args(ChannelKind)


@dataclass(frozen=True)
class ChannelConfig:
    """What a channel does.

    `snr_db` is Es/N0 on an occupied carrier, under fading its long-term mean.
    """

    kind: ChannelKind = "awgn"
    snr_db: float = 10.0
    freq_offset_hz: float = 0.0
    sfo_ppm: float = 0.0
    """Positive: the burst arrives with fewer samples than were sent."""
    timing_offset: float = 0.0
    """Samples, late is positive; may be fractional."""
    rician_k_db: float = 6.0
    """Direct path over scattered power (`rician-block`)."""
    delay_spread: float = 1.0
    """RMS delay spread in samples (`multipath`: exponential; `tdl-a`, `tdl-b`, `tdl-c`: as 3GPP TR 38.901 says)."""
    doppler_hz: float = 0.0
    """Largest Doppler shift: gains move within a burst, with Jakes' spectrum. A direct path stands still."""
    linewidth_hz: float = 0.0
    """Phase noise: a Wiener process of this 3 dB linewidth."""
    iq_gain_db: float = 0.0
    iq_phase_deg: float = 0.0
    dc_offset: float = 0.0
    """Relative to the burst's amplitude."""
    clip_db: float | None = None
    """Magnitudes are limited to so much over the burst's root mean square."""
    bits: int | None = None
    """Of the receiver's converter; full scale is 12 dB over the burst's root mean square."""
    drop: float = 0.0
    """Probability that a whole burst is lost."""
    erasure: float = 0.0
    """Share of symbols lost at random (symbol level only)."""
    seed: int = 0

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise ConfigError(f"channel {self.kind!r}; known are {', '.join(KINDS)}")
        for name in ("drop", "erasure"):
            if not 0 <= getattr(self, name) <= 1:
                raise ConfigError(f"{name} is {getattr(self, name)}; it is a probability from 0 to 1")
        for name in ("freq_offset_hz", "rician_k_db", "iq_gain_db", "iq_phase_deg", "dc_offset"):
            if not np.isfinite(getattr(self, name)):
                raise ConfigError(f"{name} is {getattr(self, name)}; give a finite number")
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
