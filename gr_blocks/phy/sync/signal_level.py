# SPDX-License-Identifier: GPL-3.0-or-later
"""Level of received samples: mean power, noise floor, share of loud time, strongest spectral line."""

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
"""Of the time: 10 ms in 5 s, less than a small picture's burst."""
LINE_DB = 10.0
"""Strongest carrier over the median one. Noise, averaged over 16 spectra, gives 3 dB."""


@dataclass(frozen=True, kw_only=True)
class SignalLevel:
    """What some seconds of received samples look like; full scale is 0 dB."""

    mean_db: float
    floor_db: float
    """The tenth part of the time that is most quiet."""
    loud_share: float
    """Of the time: 6 dB or more above the floor."""
    line_db: float
    """The strongest carrier over the median one; the middle, where receivers leak, is left out."""
    line_hz: float
    """Where it lies, from the centre."""

    @property
    def has_signal(self) -> bool:
        """Whether there is more than noise."""
        return self.loud_share >= LOUD_SHARE or self.line_db >= LINE_DB

    def __str__(self) -> str:
        told = f"{self.mean_db:.0f} dB of full scale on average"
        if self.line_db >= LINE_DB:
            return f"{told}, a line of {self.line_db:.0f} dB at {self.line_hz / 1e3:+.0f} kHz"
        return f"{told}, loud {100 * self.loud_share:.1f} % of the time"


def signal_level(powers: npt.NDArray[np.float32], piece: npt.NDArray[np.complex64], sample_rate: float) -> SignalLevel:
    """The level that chunks of samples show.

    Args:
        powers: Mean power of each chunk, [n].
        piece: Samples for the spectrum, a multiple of 256.
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
    """Decibels of the strongest carrier over the median one, and its frequency; the three in the middle left out."""
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
