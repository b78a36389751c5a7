# SPDX-License-Identifier: GPL-3.0-or-later
"""Frame error rates of the digital modes over Es/N0: through the whole receiver, and with perfect synchronisation.

    direct      symbols + noise ------------------------------------------------------------> LLRs -> LDPC -> CRC
    peaks-kept  symbols -> burst with a picture's symbols -------------> carrier, timing, noise -> Receiver -> CRC
    receiver    symbols -> burst with a picture's symbols -> PAPR reduction -> carrier, timing, noise -> Receiver -> CRC

The second path differs from the first by the loss of synchronisation and equalisation, the third from the second by
that of the PAPR reduction, which saves an amplifier more than 1 dB.

Es is the mean energy of an occupied carrier, pilots included, N0 the noise density: `snr_db` of the channel. Symbols of
a text have unit energy by their constellation, so the symbols of a picture are scaled to a mean power of exactly 1.
Otherwise the text would have more or less than its part of the power. The direct path adds noise of variance
10^(-snr_db / 10) to the symbols. A burst whose header is not decoded counts as neither lost nor received, since headers
have a code of their own.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from gened.bench.link_frames import SAMPLE_RATE, TEXT_BYTES, random_frame
from gened.gr_blocks.phy.channel.config import ChannelConfig
from gened.gr_blocks.phy.channel.noise import complex_noise
from gened.gr_blocks.phy.channel.sample_channel import SampleChannel
from gened.gr_blocks.phy.coding.modes import MODES, digital_decode, digital_encode
from gened.gr_blocks.phy.framing.header import quantize_snr_db
from gened.gr_blocks.phy.framing.planning import plan_bursts
from gened.gr_blocks.phy.ofdm.modulator import modulate_burst
from gened.gr_blocks.phy.receiver import Receiver

Path = Literal["direct", "peaks-kept", "receiver"]
STEP_DB = 0.25
BEFORE_DB = 2.25
"""Distance in dB of the start of a curve below the threshold of its mode, where about half of the frames are lost."""
MAX_POINTS = 16
TARGETS = (0.1, 0.01)
ENOUGH_LOSSES = 100
"""Lost texts after which a point ends; its relative standard deviation is then 10 %."""
FIRST = 50
"""Bursts after which a point ends if fewer than a tenth of the headers were decoded, as below -3 dB."""
MAX_CFO_NORM = 0.125
LEAD, TAIL = (300, 1000), 800
"""Samples of noise before and after a burst."""


@dataclass(frozen=True)
class Point:
    """One point of one curve."""

    mode: str
    path: Path
    snr_db: float
    frames: int
    """Number of bursts sent."""
    headers: int
    """Number of headers decoded; all of them on the direct path."""
    lost: int
    """Number of texts lost in bursts whose header was decoded."""

    @property
    def fer(self) -> float | None:
        """Fraction of texts lost in [0, 1]; None without headers."""
        return self.lost / self.headers if self.headers else None


Trial = Callable[[str, float, int, np.random.Generator], bool | None]
"""Trial of one frame: mode, Es/N0 in dB, number of analogue symbols and random generator, to whether its text was lost,
or None without a header."""


def direct_trial(mode_name: str, snr_db: float, n_analog: int, rng: np.random.Generator) -> bool | None:
    """Trial with symbols and noise alone; analogue symbols have no effect."""
    text, noise_var = rng.bytes(TEXT_BYTES), 10 ** (-snr_db / 10)
    cells = digital_encode(text, mode_name)
    noisy = cells + complex_noise(rng, len(cells), noise_var)
    return digital_decode(noisy, np.full(len(cells), noise_var), TEXT_BYTES, mode_name) != text


def receiver_trial(mode_name: str, snr_db: float, n_analog: int, rng: np.random.Generator) -> bool | None:
    """Trial of a burst through the whole receiver, with a carrier offset of up to 12.5 % and any time of arrival."""
    return _through_receiver(mode_name, snr_db, n_analog, rng, reduces_papr=True)


def kept_trial(mode_name: str, snr_db: float, n_analog: int, rng: np.random.Generator) -> bool | None:
    """As `receiver_trial`, but without PAPR reduction."""
    return _through_receiver(mode_name, snr_db, n_analog, rng, reduces_papr=False)


def _through_receiver(
    mode_name: str, snr_db: float, n_analog: int, rng: np.random.Generator, *, reduces_papr: bool
) -> bool | None:
    frame = random_frame(0, rng, mode_name, n_analog, snr_design_db=quantize_snr_db(snr_db))
    symbols = frame.encoded.symbols / np.sqrt(np.mean(np.abs(frame.encoded.symbols) ** 2)) if n_analog else []
    frame = replace(frame, encoded=replace(frame.encoded, symbols=np.asarray(symbols, np.complex64)))
    burst = modulate_burst(plan_bursts(frame)[0], reduces_papr=reduces_papr)
    lead = int(rng.integers(*LEAD))
    stream = np.concatenate([np.zeros(lead), burst, np.zeros(TAIL)]).astype(np.complex64)
    config = ChannelConfig(
        snr_db=snr_db, freq_offset_hz=MAX_CFO_NORM * SAMPLE_RATE * rng.uniform(-1, 1), timing_offset=rng.uniform(0, 1),
        seed=int(rng.integers(1 << 30)),
    )  # fmt: skip
    receiver = Receiver()
    received = SampleChannel(config, SAMPLE_RATE).process(stream, [lead])
    frames = [one for one in [*receiver.push(received), *receiver.flush()] if one.session == frame.session]
    return frames[0].text != frame.text if frames else None


TRIALS: dict[Path, Trial] = {"direct": direct_trial, "peaks-kept": kept_trial, "receiver": receiver_trial}


def measure_point(mode_name: str, path: Path, snr_db: float, n_frames: int, n_analog: int, seed: int) -> Point:
    """Run trials until enough texts are lost or enough headers are decoded."""
    rng = np.random.default_rng([seed, MODES[mode_name].number, round(100 * snr_db) + 10000, list(TRIALS).index(path)])
    n_sent = n_headers = n_lost = 0
    while n_headers < n_frames and n_lost < ENOUGH_LOSSES and (n_sent < FIRST or 10 * n_headers > n_sent):
        was_lost = TRIALS[path](mode_name, snr_db, n_analog, rng)
        n_sent += 1
        n_headers += was_lost is not None
        n_lost += was_lost is True
    return Point(mode_name, path, snr_db, n_sent, n_headers, n_lost)


def measure_curve(mode_name: str, path: Path, n_frames: int, n_analog: int, seed: int) -> list[Point]:
    """Measure points at multiples of 0.25 dB, from a loss above the largest target to one below the smallest."""
    first_db = float(STEP_DB * np.floor((MODES[mode_name].min_snr_db - BEFORE_DB) / STEP_DB))
    points = [measure_point(mode_name, path, first_db, n_frames, n_analog, seed)]
    while len(points) < MAX_POINTS:
        first, last = points[0], points[-1]
        if first.fer is not None and first.fer <= max(TARGETS):
            points.insert(0, measure_point(mode_name, path, first.snr_db - STEP_DB, n_frames, n_analog, seed))
        elif last.fer is None or last.fer >= min(TARGETS):
            points.append(measure_point(mode_name, path, last.snr_db + STEP_DB, n_frames, n_analog, seed))
        else:
            break
    return points


def crossing_db(points: Sequence[Point], target: float) -> float | None:
    """SNR in dB at which a curve reaches a target, interpolated log-linearly between points; None if it does not."""
    known = [(one.snr_db, max(one.fer, 0.5 / one.headers)) for one in points if one.fer is not None]
    for (low_db, high), (high_db, low) in zip(known, known[1:], strict=False):
        if high >= target > low:
            share = (np.log(high) - np.log(target)) / (np.log(high) - np.log(low))
            return float(low_db + share * (high_db - low_db))
    return None


def distances(points: Sequence[Point]) -> list[dict[str, str | float | None]]:
    """SNR at which each path reaches each target, dB, and its loss against the direct path, dB, per mode."""
    rows: list[dict[str, str | float | None]] = []
    for mode_name in dict.fromkeys(one.mode for one in points):
        curves = {path: [one for one in points if (one.mode, one.path) == (mode_name, path)] for path in TRIALS}
        for target in TARGETS:
            direct_db, kept_db, receiver_db = (crossing_db(curve, target) for curve in curves.values())
            rows.append({
                "mode": mode_name, "fer": target,
                "direct_db": direct_db, "peaks_kept_db": kept_db, "receiver_db": receiver_db,
                "synchronisation_loss_db": _difference(kept_db, direct_db),
                "loss_db": _difference(receiver_db, direct_db),
            })  # fmt: skip
    return rows


def _difference(value_db: float | None, from_db: float | None) -> float | None:
    return None if value_db is None or from_db is None else value_db - from_db
