# SPDX-License-Identifier: GPL-3.0-or-later
"""Figures of a link from a capture of known bursts: level, clipping, SNR, carrier and clock offset.

known_frame -> sender ~~~ air ~~~> samples -> measure -> LevelFigures, one a transmit level -> pair_offset, recommend

Full scale is 1 in I and in Q. 0 dBFS is the power of a carrier of amplitude 1; a sample counts as clipped when its I or
its Q is within two thousandths of full scale. A converter that runs faster than its samples may clip unseen before its
filters: then the SNR against the known symbols falls while the level rises.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any

import numpy as np
import numpy.typing as npt

from gened.gr_blocks.phy.channel.noise import complex_noise
from gened.gr_blocks.phy.equalizer.demodulator import Capture, demodulate
from gened.gr_blocks.phy.framing.planning import plan_bursts
from gened.gr_blocks.phy.ofdm.modulator import modulate_burst
from gened.gr_blocks.phy.sync.detector import BurstDetector
from gened.gr_blocks.phy.types import ComplexArray, Encoded, Frame, ImageSize

N_SYMBOLS = 8192
"""Of the known frame: a picture of 256x256 at 1/24, 13 ms at 1 Msample/s."""
CLIPPED = 0.998
"""Of full scale: the last step of a 12-bit converter is 0.9995."""
RELIABLE_DB = 3.0
"""SNR from which on a level's offsets count for the pair."""
MIN_POWER = 1e-15
"""-150 dBFS: a converter that gives zeros."""


@dataclass(frozen=True, kw_only=True)
class LevelFigures:
    """One transmit level. Figures of bursts are medians over those found, None where there were none."""

    tx_gain_db: float
    backoff_db: float
    n_sent: int
    """Bursts that were sent wholly within the capture."""
    n_found: int
    rx_dbfs: float
    """Mean power of the bursts, of all samples where no burst was found."""
    peak_dbfs: float
    """Largest magnitude of I or Q; 0 is full scale."""
    clipped_fraction: float
    """Share of the samples that are at full scale; of the bursts' alone where some were found."""
    tx_clipped_fraction: float = 0.0
    """Share of the samples that the transmitter cut to full scale."""
    snr_est_db: float | None = None
    """As the receiver estimates it."""
    snr_evm_db: float | None = None
    """Against the known symbols: -20 log10(EVM)."""
    cfo_hz: tuple[float, ...] = field(default=(), repr=False)
    """Of each burst."""
    sfo_ppm: tuple[float, ...] = field(default=(), repr=False)


@dataclass(frozen=True)
class Spread:
    """Median of several measurements, and how far they lie apart."""

    median: float
    spread: float
    """Half the distance from the 16th to the 84th percentile: one standard deviation of a Gaussian."""
    n: int


@dataclass(frozen=True)
class PairOffset:
    """How sender and receiver differ, over all levels that were received well."""

    cfo_hz: Spread
    """Positive: the sender's carrier is higher than the receiver's tuning."""
    sfo_ppm: Spread
    """Positive: bursts arrive with fewer samples than were sent."""


@dataclass(frozen=True)
class Recommendation:
    """Which level to transmit at, and why."""

    level: LevelFigures | None
    reason: str


def known_frame(seed: int, session: int) -> Frame:
    """A frame of one burst with Gaussian analogue symbols of mean power 1, the same for a seed; no text.

    Args:
        seed: Of the symbols.
        session: 16-bit number by which the receiver distinguishes these bursts from others.
    """
    symbols = complex_noise(np.random.default_rng(seed), N_SYMBOLS, 1.0)
    return Frame(session, 0, 1, ImageSize(256, 256), Fraction(1, 24), 10.0, Encoded(symbols, b"\x00"))


def known_burst(frame: Frame) -> ComplexArray:
    """The samples of a known frame, mean power 1; with all their peaks, as lowering them costs SNR of its own."""
    return modulate_burst(plan_bursts(frame)[0], reduces_papr=False)


def dbfs(power: float) -> float:
    """A power relative to that of a carrier of amplitude 1."""
    return float(10 * np.log10(max(power, MIN_POWER)))


def mean_power(samples: ComplexArray) -> float:
    """Of [n] complex64; 0 for none."""
    return float(np.vdot(samples, samples).real) / max(1, len(samples))


def clipped_fraction(samples: ComplexArray) -> float:
    """Share of the samples whose I or Q is at full scale."""
    is_clipped = (np.abs(samples.real) >= CLIPPED) | (np.abs(samples.imag) >= CLIPPED)
    return float(np.mean(is_clipped)) if len(samples) else 0.0


def measure(
    samples: ComplexArray, frame: Frame, *, sample_rate: float, n_sent: int, tx_gain_db: float, backoff_db: float,
    tx_clipped_fraction: float = 0.0,
) -> LevelFigures:  # fmt: skip
    """The figures of one level.

    Args:
        samples: [n] complex64 as received, full scale 1, with at least `n_sent` whole bursts in them.
        frame: What was sent over and over, of `known_frame`.
        sample_rate: Hz.
        n_sent: Number of bursts that are evaluated; further ones are left out.
        tx_gain_db: Of the transmitter, for the record.
        backoff_db: The same.
        tx_clipped_fraction: The same.
    """
    content = plan_bursts(frame)[0]
    detector = BurstDetector()
    captures = [c for c in [*detector.push(samples), *detector.flush()] if c.header == content.header][:n_sent]
    bursts = [demodulate(capture) for capture in captures]
    parts = [_on_air(capture, samples, burst.n_samples) for capture, burst in zip(captures, bursts, strict=True)]
    shown = np.concatenate(parts) if parts else samples
    return LevelFigures(
        tx_gain_db=tx_gain_db, backoff_db=backoff_db, n_sent=n_sent, n_found=len(bursts),
        rx_dbfs=dbfs(mean_power(shown)),
        peak_dbfs=2 * dbfs(float(np.abs(shown.view(np.float32)).max(initial=0.0))),
        clipped_fraction=clipped_fraction(shown), tx_clipped_fraction=tx_clipped_fraction,
        snr_est_db=_median([burst.snr_est_db for burst in bursts]),
        snr_evm_db=_median([_snr_evm_db(burst.symbols, content.symbols) for burst in bursts]),
        cfo_hz=tuple(burst.cfo_norm * sample_rate for burst in bursts),
        sfo_ppm=tuple(burst.sfo_ppm for burst in bursts),
    )  # fmt: skip


def _on_air(capture: Capture, samples: ComplexArray, n_samples: int) -> ComplexArray:
    """A burst's samples as they were received."""
    return samples[max(0, capture.start) : capture.start + n_samples]


def _snr_evm_db(received: npt.NDArray[Any], sent: ComplexArray) -> float:
    error = float(np.mean(np.abs(received - sent) ** 2))
    return float(10 * np.log10(mean_power(sent) / max(error, 1e-12)))


def _median(values: list[float]) -> float | None:
    return float(np.median(values)) if values else None


def spread_of(values: list[float]) -> Spread:
    """Median and spread of one or more values."""
    low, median, high = np.percentile(values, (16, 50, 84))
    return Spread(float(median), float(high - low) / 2, len(values))


def pair_offset(levels: list[LevelFigures]) -> PairOffset | None:
    """Carrier and clock offset over the bursts of all levels with a usable SNR; None where there is none."""
    good = [level for level in levels if (level.snr_est_db or -np.inf) >= RELIABLE_DB and not _is_clipped(level)]
    good = good or [level for level in levels if level.n_found]
    cfo_hz, sfo_ppm = ([value for level in good for value in getattr(level, key)] for key in ("cfo_hz", "sfo_ppm"))
    return PairOffset(spread_of(cfo_hz), spread_of(sfo_ppm)) if cfo_hz else None


# Which level to take

FOUND_SHARE = 0.9
CLIPPED_SHARE = 1e-3
"""At the receiver: what so much clipping adds lies 42 dB under a Gaussian burst, which is then at -8 dBFS."""
WITHIN_DB = 1.0
"""A level whose SNR is so near the best is as good, and radiates less."""


def _is_clipped(level: LevelFigures) -> bool:
    return level.clipped_fraction > CLIPPED_SHARE


def recommend(levels: list[LevelFigures]) -> Recommendation:
    """The lowest level that is as good as the best.

    Args:
        levels: In the order in which they were sent, weakest first.
    """
    received = [level for level in levels if level.n_found >= max(1, FOUND_SHARE * level.n_sent)]
    if not received:
        return Recommendation(None, "no level was received well enough; see the advice")
    usable = [level for level in received if not _is_clipped(level)]
    if not usable:
        return Recommendation(
            received[0], "the weakest that was heard; even it clips: lower rx.gain_db or add attenuation"
        )
    best_db = max(level.snr_evm_db or -np.inf for level in usable)
    chosen = next(level for level in usable if (level.snr_evm_db or -np.inf) >= best_db - WITHIN_DB)
    text = f"{chosen.snr_evm_db:.1f} dB SNR, within {WITHIN_DB:g} dB of the best that is not clipped"
    if chosen is levels[-1]:
        return Recommendation(chosen, f"{text}; the highest that was tried, and the SNR was still rising")
    above = levels[levels.index(chosen) + 1]
    if _is_clipped(above):
        return Recommendation(chosen, f"{text}; above it the receiver clips")
    return Recommendation(chosen, f"{text}; more power brings no more")


# Advice

STRONG_DBFS, WEAK_DBFS = -9.0, -40.0
FOREIGN_DBFS = -20.0


def advice(noise_dbfs: float, levels: list[LevelFigures], *, sample_rate: float) -> list[str]:
    """What the figures suggest besides the transmit level, a sentence each.

    Args:
        noise_dbfs: Received while the transmitter was mute.
        levels: Weakest first.
        sample_rate: Hz.
    """
    found = [level for level in levels if level.n_found]
    hints = []
    if noise_dbfs > FOREIGN_DBFS:
        hints.append(
            f"{noise_dbfs:.0f} dBFS are received with the transmitter mute: lower rx.gain_db, or somebody else sends"
        )
    if not found:
        hints.append(
            "no burst was found at any level: look at the cable and at both addresses, raise --max-gain or rx.gain_db "
            "step by step, and mind that carriers may differ by up to 12.5 % of the sample rate"
        )
        return hints
    chosen = recommend(levels).level or found[-1]
    if chosen.rx_dbfs > STRONG_DBFS:
        hints.append(f"at the recommended level {chosen.rx_dbfs:.0f} dBFS arrive: lower rx.gain_db by a few dB")
    elif chosen.rx_dbfs < WEAK_DBFS:
        n_db = 10 * int((STRONG_DBFS - 9 - chosen.rx_dbfs) / 10)
        hints.append(
            f"at the recommended level only {chosen.rx_dbfs:.0f} dBFS arrive: rx.gain_db can go up by {n_db} dB"
        )
    reach_hz = 0.125 * sample_rate
    if any(abs(value) > 0.8 * reach_hz for level in found for value in level.cfo_hz):
        hints.append(f"the carriers differ by nearly all that the receiver can follow, {reach_hz:.0f} Hz: correct it")
    return hints
