# SPDX-License-Identifier: GPL-3.0-or-later
"""The channel between virtual Plutos, paced by a clock: each receives the other; a single one receives itself.

transmit samples, 12 bits -> gain -> clock of the receiver -> difference of the carriers, channel, noise -> gain
                          -> receive samples, 12 bits

Levels. A burst at the usual level has its root mean square `BACKOFF_DB` under full scale. At the attenuation a Pluto
starts with (10 dB) it has power 1 in the air, and there the noise of `snr_db` is added, as `phy.waveform` defines it;
each dB of attenuation more is a dB of SNR less. At a receive gain of 40 dB it arrives `BACKOFF_DB` under full scale
again. The receive gain raises signal and noise alike: it changes the level, not the SNR, until the converter clips or
its steps show.
"""

from __future__ import annotations

import logging
import threading
import time
from dataclasses import dataclass, field, replace

import numpy as np
import numpy.typing as npt

from gened.errors import ConfigError
from gened.gr_blocks.phy.channel.config import ChannelConfig
from gened.gr_blocks.phy.channel.resampler import ClockResampler
from gened.gr_blocks.phy.channel.sample_channel import SampleChannel
from gened.gr_blocks.phy.types import ComplexArray
from gened.virtual_pluto.buffers import BurstFinder, Pairs
from gened.virtual_pluto.radio import Pluto
from gened.virtual_pluto.tree import BOOT_RX_GAIN_DB, BOOT_TX_GAIN_DB

log = logging.getLogger(__name__)

BACKOFF_DB = 12.0
"""Of a burst's root mean square under full scale, at both converters; its peaks need about 11."""
TRANSMIT_FULL_SCALE = 32768
RECEIVE_FULL_SCALE = 2048
CHUNK_S = 0.008
"""Of samples that are made at once."""
MAX_CHUNK = 65536
LATE_S = 0.5
"""So far behind its clock, the air gives up catching up: the machine was busy, or the rate is beyond it."""
CATCH_UP = 0.25
"""Behind its clock, a step follows the last after this part of its time, so that clients can follow too."""
IDLE_S = 0.05


@dataclass(frozen=True, kw_only=True)
class AirConfig:
    """What happens between the Plutos.

    Raises:
        ConfigError: A value out of range.
    """

    channel: ChannelConfig = field(default_factory=lambda: ChannelConfig(snr_db=30.0))
    """Its frequency offset comes on top of the difference of the carriers."""
    freq_offset_ppm: float = 0.0
    """Frequency by which a receiver sees its sender too high, from the offset of their crystals."""

    def __post_init__(self) -> None:
        if not abs(self.freq_offset_ppm) <= 200:
            raise ConfigError(f"a carrier error of {self.freq_offset_ppm:g} ppm; at most 200 either way")
        SampleChannel(self.channel, 1e9)  # rayleigh-fast is refused here


def burst_snr_db(snr_db: float, *, gain_db: float, backoff_db: float) -> float:
    """Es/N0 at which a burst arrives, dB.

    Args:
        snr_db: What the air is set to.
        gain_db: Of the transmitter, an attenuation: 0 or less.
        backoff_db: From the burst's mean power to full scale.
    """
    return snr_db + (gain_db - BOOT_TX_GAIN_DB) - (backoff_db - BACKOFF_DB)


class Link:
    """From one transmitter to one receiver.

    Args:
        sender: Whose samples they are.
        receiver: Where they arrive.
        config: What happens to them.
        extra_ppm: Of the carrier, on top of the crystals.
    """

    def __init__(self, sender: Pluto, receiver: Pluto, config: ChannelConfig, extra_ppm: float = 0.0) -> None:
        self.sender = sender
        self.receiver = receiver
        self._base = config
        self._extra_ppm = extra_ppm
        self.channel = SampleChannel(replace(config, freq_offset_hz=0.0), receiver.rates.receive)
        self._finder = BurstFinder()
        self._changer: RateChanger | None = None

    @property
    def freq_offset_hz(self) -> float:
        """By which the sender's carrier is higher than the receiver's."""
        sent_hz, received_hz = self.sender.transmit_carrier_hz, self.receiver.receive_carrier_hz
        return sent_hz * (1 + 1e-6 * self._extra_ppm) - received_hz + self._base.freq_offset_hz

    def carry(self, pairs: Pairs | None, n_sent: int, n_received: int) -> None:
        """One step of time.

        Args:
            pairs: What the sender's converter has, [n_sent, 2], or None for silence.
            n_sent: Samples at the sender's rate.
            n_received: Samples at the rate of the receiver.
        """
        receiver = self.receiver
        if not receiver.receivers:  # no receiver is open
            self._finder.silence(n_sent)
            return
        if not receiver.is_on:
            return
        if receiver.is_looped:
            return  # `step` gives it its own samples
        rate_in, rate_out = self.sender.rates.transmit, receiver.rates.receive
        samples, starts = self._sent(pairs, n_sent)
        if rate_in != rate_out:
            samples, starts = self._at_rate(samples, starts, rate_in, rate_out, n_received, pairs is None)
        offset_hz = self.freq_offset_hz
        if not receiver.is_hearing or abs(offset_hz) > rate_out / 2:  # beyond the receiver's band
            samples, offset_hz = np.zeros_like(samples), 0.0
        self.channel.sample_rate = rate_out
        if offset_hz != self.channel.config.freq_offset_hz:
            self.channel.config = replace(self.channel.config, freq_offset_hz=offset_hz)
        received = self.channel.process(samples, starts)
        if len(received):
            receiver.received_power = float(np.vdot(received, received).real) / len(received)
        receiver.give(to_pairs(received, receiver.receive_gain_db))

    def _sent(self, pairs: Pairs | None, n_sent: int) -> tuple[ComplexArray, npt.NDArray[np.int64]]:
        """Samples as they leave the antenna, of power 1 when all is at its usual level; and where bursts begin."""
        sender = self.sender
        if pairs is None or not sender.is_radiating:
            self._finder.silence(n_sent)
            return np.zeros(n_sent, np.complex64), np.zeros(0, np.int64)
        starts = self._finder.starts(pairs)
        return from_pairs(pairs, sender.transmit_gain_db), starts

    def _at_rate(
        self, samples: ComplexArray, starts: npt.NDArray[np.int64], rate_in: float, rate_out: float, n_received: int,
        is_silent: bool,
    ) -> tuple[ComplexArray, npt.NDArray[np.int64]]:  # fmt: skip
        if self._changer is None or self._changer.rates != (rate_in, rate_out):
            self._changer = RateChanger(rate_in, rate_out)
        if is_silent and self._changer.is_empty:
            return np.zeros(n_received, np.complex64), starts
        changed = self._changer.process(samples)
        self._changer.is_empty = is_silent
        return changed, np.minimum(np.asarray(starts * (rate_out / rate_in), np.int64), max(0, len(changed) - 1))


class RateChanger:
    """Samples at one rate to samples at another, without what the lower rate cannot hold.

    Args:
        rate_in: Hz.
        rate_out: Hz.
    """

    def __init__(self, rate_in: float, rate_out: float) -> None:
        self.rates = (rate_in, rate_out)
        step = rate_in / rate_out
        self.is_empty = True
        """Whether only silence is left in it."""
        self._resampler = ClockResampler(sfo_ppm=1e6 * (step - 1))
        n_half = int(np.ceil(24 * step)) if step > 1 else 0
        t = np.arange(-n_half, n_half + 1)
        # A windowed sinc that ends at 90 % of the lower band, its transition inside the band.
        taps = np.sinc(0.9 * t / max(step, 1)) * np.blackman(len(t) + 2)[1:-1]
        self._taps = np.asarray(taps / taps.sum(), np.float32)
        self._memory = np.zeros(len(t) - 1, np.complex64)

    def process(self, samples: ComplexArray) -> ComplexArray:
        """The next chunk; about as many times more or less as the rates say."""
        if len(self._taps) > 1:
            joined = np.concatenate([self._memory, samples])
            self._memory = joined[len(samples) :]
            samples = np.asarray(np.convolve(joined, self._taps, "valid"), np.complex64)
        return self._resampler.process(samples)


def from_pairs(pairs: Pairs, gain_db: float) -> ComplexArray:
    """Transmit samples [n, 2] as [n] complex64 in the air: power 1 at the usual level and attenuation."""
    scale = 10 ** ((BACKOFF_DB + gain_db - BOOT_TX_GAIN_DB) / 20) / TRANSMIT_FULL_SCALE
    values = pairs.astype(np.float32) * np.float32(scale)
    return values.view(np.complex64)[:, 0]


def to_pairs(samples: ComplexArray, gain_db: float) -> Pairs:
    """What the receiver's 12-bit converter makes of [n] complex64 in the air: [n, 2], -2048 .. 2047."""
    scale = RECEIVE_FULL_SCALE * 10 ** ((gain_db - BOOT_RX_GAIN_DB - BACKOFF_DB) / 20)
    values = np.ascontiguousarray(samples).view(np.float32) * np.float32(scale)
    limits = (-RECEIVE_FULL_SCALE, RECEIVE_FULL_SCALE - 1)
    return np.asarray(np.clip(np.round(values), *limits), np.int16).reshape(-1, 2)


class Air:
    """The clock: step by step, from all transmitters to all receivers.

    Args:
        config: What happens in between.
        n_plutos: 1: it receives itself, as over a cable; 2: each receives the other and not itself.
    """

    def __init__(self, config: AirConfig, n_plutos: int = 1) -> None:
        if n_plutos not in (1, 2):
            raise ConfigError(f"{n_plutos} Plutos; 1 or 2 can share the air")
        self.config = config
        self._wake = threading.Event()
        wake = self._wake.set
        self.plutos = [Pluto(f"virtual-{index}", on_activity=wake) for index in range(n_plutos)]
        self.links = []
        for index, sender in enumerate(self.plutos):
            receiver = self.plutos[(index + 1) % n_plutos]
            drawn = np.random.SeedSequence((config.channel.seed, index)).generate_state(1)[0]
            seed = config.channel.seed if index == 0 else int(drawn)
            channel = replace(config.channel, seed=seed)
            self.links.append(Link(sender, receiver, channel, config.freq_offset_ppm))
        self.stalls = 0
        """Times that it fell so far behind its clock that it gave up catching up."""
        self.steps = 0
        self.busy_s = 0.0
        """Seconds that all steps together took."""
        self._fractions = [[0.0, 0.0] for _ in self.plutos]

    def run(self, stop: threading.Event) -> None:
        """Until `stop` is set."""
        due_s = time.monotonic()
        while not stop.is_set():
            if not any(pluto.is_streaming for pluto in self.plutos):
                self._wake.wait(IDLE_S)
                self._wake.clear()
                due_s = time.monotonic()
                continue
            begun_s = time.monotonic()
            duration_s = self.step_s
            try:
                self.step(duration_s)
            except Exception:  # an error of ours must not leave clients waiting for samples for ever
                log.exception("a step of the air failed")
            due_s += duration_s
            now_s = time.monotonic()
            self.busy_s += now_s - begun_s
            if now_s - due_s > LATE_S:
                self.stalls += 1
                due_s = now_s
            pause_s = max(due_s - now_s, CATCH_UP * duration_s - (now_s - begun_s))
            time.sleep(max(pause_s, 0.0))

    @property
    def step_s(self) -> float:
        """Seconds of the next step."""
        fastest = max(max(pluto.rates.receive, pluto.rates.transmit) for pluto in self.plutos if pluto.is_streaming)
        return min(CHUNK_S, MAX_CHUNK / fastest)

    def step(self, duration_s: float) -> None:
        """So much time passes for all."""
        self.steps += 1
        counts = [self._due(index, duration_s) for index in range(len(self.plutos))]
        for index, link in enumerate(self.links):
            sender, n_sent = link.sender, counts[index][1]
            n_received = counts[self.plutos.index(link.receiver)][0]
            pairs = sender.take(n_sent)
            sender.radiated_power = _power(pairs, sender)
            if sender.is_looped and sender.is_on:
                sender.give(np.zeros((n_sent, 2), np.int16) if pairs is None else pairs >> 4)
            link.carry(pairs, n_sent, n_received)

    def _due(self, index: int, duration_s: float) -> tuple[int, int]:
        """Whole samples, received and transmitted; what is left over is kept for the next step."""
        rates, counts = self.plutos[index].rates, []
        for side, rate in enumerate((rates.receive, rates.transmit)):
            exact = self._fractions[index][side] + rate * duration_s
            counts.append(int(exact))
            self._fractions[index][side] = exact - int(exact)
        return counts[0], counts[1]


def _power(pairs: Pairs | None, sender: Pluto) -> float:
    """Mean of what leaves the antenna; 1 is a burst at the usual level."""
    if pairs is None or not sender.is_radiating:
        return 0.0
    samples = from_pairs(pairs, sender.transmit_gain_db)
    return float(np.vdot(samples, samples).real) / len(samples)
