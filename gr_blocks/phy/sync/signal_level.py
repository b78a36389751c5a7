# SPDX-License-Identifier: GPL-3.0-or-later
"""Level of received samples: mean power, noise floor, fraction of loud time, strongest spectral line."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

FULL_SCALE = 0.998
"""Magnitude of I or Q from which a sample counts as clipped: 2047/2048 and 32767/32768 both lie above it."""
CHUNK_LEN = 256
"""Samples per power measurement: noise then scatters by 6 %, and bursts are much longer."""
LOUD = 4.0
"""Ratio of a chunk's power to the noise floor from which the chunk counts as loud: 6 dB."""
MIN_POWER = 1e-12
LOUD_SHARE = 0.002
"""Least fraction of loud time of a signal: 10 ms in 5 s, less than the burst of a small picture."""
LINE_DB = 10.0
"""Least level of a spectral line over the median carrier, dB. Noise, averaged over 16 spectra, gives 3 dB."""


@dataclass(frozen=True, kw_only=True)
class SignalLevel:
    """Level of some seconds of received samples; full scale is 0 dB."""

    mean_db: float
    """Mean power, dB of full scale."""
    floor_db: float
    """10 % quantile of the power, dB of full scale."""
    loud_share: float
    """Fraction of the time at 6 dB or more above the floor, in [0, 1]."""
    line_db: float
    """Level of the strongest carrier over the median one, dB, without the centre, where receivers leak."""
    line_hz: float
    """Frequency of the strongest carrier relative to the centre, Hz."""

    @property
    def has_signal(self) -> bool:
        """Whether the samples hold more than noise."""
        return self.loud_share >= LOUD_SHARE or self.line_db >= LINE_DB

    def __str__(self) -> str:
        text = f"{self.mean_db:.0f} dB of full scale on average"
        if self.line_db >= LINE_DB:
            return f"{text}, a line of {self.line_db:.0f} dB at {self.line_hz / 1e3:+.0f} kHz"
        return f"{text}, loud {100 * self.loud_share:.1f} % of the time"


def signal_level(powers: npt.NDArray[np.float32], piece: npt.NDArray[np.complex64], sample_rate: float) -> SignalLevel:
    """Compute the level from powers of chunks and a piece of the samples.

    Args:
        powers: Mean power of each chunk of `CHUNK_LEN` samples, [n].
        piece: Samples for the spectrum, [m] complex64, m a multiple of 256.
        sample_rate: Hz.
    """
    powers = np.nan_to_num(np.maximum(powers, MIN_POWER), nan=MIN_POWER, posinf=1.0)
    floor = float(np.percentile(powers, 10))
    line_db, line_hz = _strongest_line(piece, sample_rate)
    return SignalLevel(
        mean_db=_db(float(powers.mean())), floor_db=_db(floor), loud_share=float(np.mean(powers > LOUD * floor)),
        line_db=line_db, line_hz=line_hz,
    )  # fmt: skip


def _strongest_line(piece: npt.NDArray[np.complex64], sample_rate: float) -> tuple[float, float]:
    """Level of the strongest carrier over the median one, dB, and its frequency, Hz; the centre is left out."""
    if len(piece) < CHUNK_LEN:
        return 0.0, 0.0
    clean = np.where(np.isfinite(piece), piece, 0).reshape(-1, CHUNK_LEN) * np.hanning(CHUNK_LEN)
    power = np.mean(np.abs(np.fft.fft(clean, axis=1)) ** 2, axis=0)
    power[[0, 1, 2, -1, -2]] = 0  # the converter's offset, through the window
    at = int(np.argmax(power))
    median = max(float(np.median(power)), MIN_POWER)
    return max(0.0, _db(float(power[at]) / median)), float(np.fft.fftfreq(CHUNK_LEN)[at]) * sample_rate


def _db(power: float) -> float:
    return float(10 * np.log10(max(power, MIN_POWER)))
