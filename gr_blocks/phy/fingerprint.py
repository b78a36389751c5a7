# SPDX-License-Identifier: GPL-3.0-or-later
"""Fingerprint of the waveform: figures of a few fixed bursts, which change when transmitter, channel or receiver do.

A result records the fingerprint of the code that measured it. Another fingerprint later means that the result would
change; a renamed function or a moved file leaves it as it is, and so does another machine, up to rounding.
"""

from __future__ import annotations

import functools
from fractions import Fraction

import numpy as np

from gened.gr_blocks.phy.channel.config import ChannelConfig
from gened.gr_blocks.phy.channel.noise import complex_noise
from gened.gr_blocks.phy.channel.sample_channel import SampleChannel
from gened.gr_blocks.phy.ofdm.modulator import modulate_frame
from gened.gr_blocks.phy.ofdm.papr_reduction import papr_db
from gened.gr_blocks.phy.receiver import Receiver
from gened.gr_blocks.phy.types import Encoded, Frame, ImageSize

SAMPLE_RATE_HZ = 1e6
N_SYMBOLS = 2000
LOST_DB = 0.0
"""Error of a frame that is not received: that of symbols estimated as 0."""
CASES = {
    "awgn, 4 dB": ChannelConfig(snr_db=4.0, freq_offset_hz=20e3, sfo_ppm=10.0, seed=1),
    "multipath, 10 dB": ChannelConfig("multipath", snr_db=10.0, freq_offset_hz=-5e3, seed=2),
    "tdl-a with Doppler, 20 dB": ChannelConfig("tdl-a", snr_db=20.0, doppler_hz=50.0, seed=3),
    "rayleigh-block, 20 dB": ChannelConfig("rayleigh-block", snr_db=20.0, seed=4),
}
"""Channels by name; each is one burst."""


@functools.cache
def waveform_fingerprint() -> dict[str, float]:
    """PAPR of a burst with and without reduction, and the error of received symbols over each of `CASES`, dB.

    Takes half a second on an idle core, once per process.
    """
    found: dict[str, float] = {}
    for is_reduced, name in ((False, "waveform: PAPR"), (True, "waveform: PAPR, reduced")):
        found[name] = round(papr_db(modulate_frame(_frame(10.0), reduces_papr=is_reduced)[0]), 3)
    for name, channel in CASES.items():
        found[f"waveform: error, {name}"] = round(_error_db(channel), 3)
    return found


def _frame(snr_db: float) -> Frame:
    rng = np.random.default_rng(7)
    symbols = complex_noise(rng, N_SYMBOLS, 1.0)
    encoded = Encoded(symbols, rng.bytes(40))
    return Frame(7, 1, 1, ImageSize(256, 256), Fraction(1, 24), snr_db, encoded, rng.bytes(60), "qpsk-1/2")


def _error_db(channel: ChannelConfig) -> float:
    """Mean squared error of the received analogue symbols over their power, dB."""
    frame, silence = _frame(channel.snr_db), np.zeros(1000, np.complex64)
    air, receiver = SampleChannel(channel, SAMPLE_RATE_HZ), Receiver(SAMPLE_RATE_HZ)
    frames = []
    for burst in modulate_frame(frame):
        frames += receiver.push(air.process(np.concatenate([silence, burst, silence]), [len(silence)]))
    frames += receiver.flush()
    if len(frames) != 1 or len(frames[0].received.symbols) != N_SYMBOLS:
        return LOST_DB
    error = frames[0].received.symbols - frame.encoded.symbols
    return float(10 * np.log10(np.mean(np.abs(error) ** 2) / np.mean(np.abs(frame.encoded.symbols) ** 2)))
