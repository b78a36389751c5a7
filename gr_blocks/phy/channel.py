# SPDX-License-Identifier: GPL-3.0-or-later
"""The one channel: between symbols for `evaluate`, between samples for `air` and the virtual radio.

samples -> clip -> gain or taps of this burst -> sampling clock -> carrier offset, phase noise
        -> + noise -> IQ, DC -> converter
"""

from __future__ import annotations

import collections
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal, get_args

import numpy as np
import numpy.typing as npt

from gened.gr_blocks.phy.errors import ConfigError
from gened.gr_blocks.phy.fading import NOTHING, STRAIGHT, Fading, draw_fading
from gened.gr_blocks.phy.framing import burst_members
from gened.gr_blocks.phy.noise import complex_noise as complex_noise
from gened.gr_blocks.phy.resampler import ClockResampler
from gened.gr_blocks.phy.types import ComplexArray, FloatArray
from gened.gr_blocks.phy.waveform import WAVEFORM

ChannelKind = Literal["awgn", "rayleigh-block", "rayleigh-fast", "rician-block", "multipath", "tdl-a", "tdl-b", "tdl-c"]
KINDS: tuple[str, ...] = get_args(ChannelKind)
MEMORY = 80
"""Samples before a chunk that an impulse response may reach: `tdl-a` at the largest delay spread has 72 taps."""
STEP = 0.01
"""Under Doppler, impulse responses are worked out so many of its periods apart, and straight lines drawn between: they
miss by 65 dB less than the gain."""
MAX_STEP = 4096
MAX_TOLD = 65536
"""Numbers of dropped bursts that are kept for whoever asks."""
FADE_FLOOR = 1e-4
"""Smallest squared gain of a fade: 40 dB down a symbol is lost in any case, and divisions stay finite."""


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


def apply_symbols(
    symbols: ComplexArray, config: ChannelConfig, rng: np.random.Generator, *, n_bursts: int = 1
) -> tuple[ComplexArray, FloatArray]:
    """Symbols through the channel, equalised with perfect knowledge of it.

    Args:
        symbols: [k] complex64, mean power 1, in the order of `Encoded.symbols`.
        config: `multipath` and `tdl-*` give each symbol the gain of a carrier; clocks, carrier, Doppler and converter
            play no part here.
        rng: Where noise and gains come from.
        n_bursts: Bursts that the frame travels in. Each has gains of its own and is dropped or not by itself, with the
            symbols that framing puts into it.

    Returns:
        Received symbols at unit gain, [k] complex64 (0 where lost), and their noise variance,
        [k] float32 (inf where lost).
    """
    n = len(symbols)
    bursts: Sequence[slice | npt.NDArray[np.int64]] = [slice(None)] if n_bursts == 1 else burst_members(n, n_bursts)
    if config.kind == "rayleigh-fast":
        h = complex_noise(rng, n, 1.0)
    else:
        h = np.empty(n, np.complex64)
        for members in bursts:
            h[members] = _burst_gains(len(h[members]), config, rng)
    noise_var = 10 ** (-config.snr_db / 10)
    gain = np.maximum(np.abs(h) ** 2, FADE_FLOOR)
    received = symbols + complex_noise(rng, n, noise_var) * np.conj(h) / gain
    lost = rng.random(n) < config.erasure if config.erasure > 0 else np.zeros(n, bool)
    for members in bursts if config.drop > 0 else []:
        lost[members] |= rng.random() < config.drop
    return np.where(lost, 0, received).astype(np.complex64), np.where(lost, np.inf, noise_var / gain).astype(np.float32)


def _burst_gains(n: int, config: ChannelConfig, rng: np.random.Generator) -> ComplexArray:
    """The gains of one burst's n symbols, [n] complex64."""
    fading = draw_fading(replace(config, doppler_hz=0.0), rng)
    if fading.n_taps == 1:
        return np.full(n, fading.taps()[0], np.complex64)
    return np.asarray(np.resize(fading.response()[0], n)[rng.permutation(n)], np.complex64)


class SampleChannel:
    """A channel for a stream of samples, in chunks of any size, with carrier and clock running on from chunk to chunk.

    Bursts are told by their borders: gains are drawn, and bursts dropped, one by one. Noise is always there.

    Args:
        config: What it does.
        sample_rate: Hz.

    Raises:
        ConfigError: `rayleigh-fast`, which has one gain a symbol and no meaning for samples.
    """

    def __init__(self, config: ChannelConfig, sample_rate: float) -> None:
        if config.kind == "rayleigh-fast":
            raise ConfigError(
                "rayleigh-fast draws a gain for each symbol; between samples use rayleigh-block or multipath"
            )
        if not abs(config.freq_offset_hz) <= sample_rate / 2:
            raise ConfigError(
                f"a frequency offset of {config.freq_offset_hz:g} Hz; "
                f"at most half the sample rate of {sample_rate:g} Hz"
            )
        self.config = config
        self.sample_rate = sample_rate
        # A stream of its own for each, so that nothing drawn depends on where one chunk ends.
        streams = [np.random.default_rng(child) for child in np.random.SeedSequence(config.seed).spawn(3)]
        self._gain_rng, self._noise_rng, self._phase_rng = streams
        self.n_bursts = 0
        """Begun since the start."""
        self.dropped_bursts = 0
        self.dropped: collections.deque[int] = collections.deque(maxlen=MAX_TOLD)
        """Their numbers, counted from 0, the latest of them; to be taken out by whoever reads them."""
        self.fading: Fading = STRAIGHT
        """Of the burst that began last."""
        self._phase = 0.0
        self._resampler = ClockResampler(config.sfo_ppm, config.timing_offset)
        self._memory = np.zeros(MEMORY, np.complex64)
        self._age = 0  # samples since the burst began
        self._step = MAX_STEP if config.doppler_hz == 0 else _step(config.doppler_hz / sample_rate)

    def process(self, samples: ComplexArray, burst_starts: npt.ArrayLike = ()) -> ComplexArray:
        """The next chunk.

        Args:
            samples: [n] complex64, mean power 1 while a burst is on, 0 between bursts.
            burst_starts: Indices in this chunk at which a burst begins.

        Returns:
            What arrives, complex64; n samples, or a few more or less where the clocks differ.
        """
        if self.config.clip_db is not None:
            samples = self._clipped(samples, 10 ** (self.config.clip_db / 20))
        faded = self._faded(np.asarray(samples, np.complex64), np.asarray(burst_starts, np.int64))
        moved = self._resampler.process(faded)
        return self._front_end(moved)

    @staticmethod
    def _clipped(samples: ComplexArray, limit: float) -> ComplexArray:
        magnitude = np.maximum(np.abs(samples), 1e-12)
        return np.asarray(samples * np.minimum(1, limit / magnitude), np.complex64)

    def _faded(self, samples: ComplexArray, starts: npt.NDArray[np.int64]) -> ComplexArray:
        """Each burst through taps of its own; the tail of an impulse response runs into what follows."""
        result = np.empty_like(samples)
        borders = [0, *(int(start) for start in starts if 0 <= start < len(samples)), len(samples)]
        for index, (begin, end) in enumerate(zip(borders[:-1], borders[1:], strict=True)):
            if index > 0:
                self._next_burst()
            if end > begin:
                joined = np.concatenate([self._memory, samples[begin:end]])
                result[begin:end] = self._through_paths(joined[MEMORY - self.fading.n_taps + 1 :], end - begin)
                self._memory = joined[-MEMORY:]
                self._age += end - begin
        return result

    def _through_paths(self, joined: ComplexArray, n: int) -> ComplexArray:
        """The next n samples of this burst; `joined` begins so much earlier as the impulse response is long."""
        fading = self.fading
        if fading.is_still:
            taps = fading.taps()
            return np.asarray(joined * taps[0] if len(taps) == 1 else np.convolve(joined, taps, "valid"), np.complex64)
        result, at = np.empty(n, np.complex64), 0
        while at < n:
            offset = (self._age + at) % self._step
            count = min(n - at, self._step - offset)
            part, began = joined[at : at + count + fading.n_taps - 1], self._age + at - offset
            before, after = (np.convolve(part, fading.taps(time), "valid") for time in (began, began + self._step))
            result[at : at + count] = before + (after - before) * ((offset + np.arange(count)) / self._step)
            at += count
        return result

    def _next_burst(self) -> None:
        self.fading, self._age = draw_fading(self.config, self._gain_rng, self.sample_rate), 0
        if self.config.drop > 0 and self._gain_rng.random() < self.config.drop:
            self.fading = NOTHING
            self.dropped_bursts += 1
            self.dropped.append(self.n_bursts)
        self.n_bursts += 1

    def _front_end(self, samples: ComplexArray) -> ComplexArray:
        config, n = self.config, len(samples)
        if config.freq_offset_hz or config.linewidth_hz:
            samples = samples * self._carrier(n)
        samples = samples + complex_noise(self._noise_rng, n, WAVEFORM.noise_var_per_sample(config.snr_db))
        if config.iq_gain_db or config.iq_phase_deg:
            gain, skew = 10 ** (config.iq_gain_db / 20), np.deg2rad(config.iq_phase_deg)
            samples = samples.real * np.sqrt(gain) + 1j * (
                samples.imag * np.cos(skew) + samples.real * np.sin(skew)
            ) / np.sqrt(gain)
        if config.dc_offset:
            samples = samples + config.dc_offset
        if config.bits is not None:
            full_scale, steps = 10 ** (12 / 20), 2 ** (config.bits - 1)
            pairs = np.ascontiguousarray(samples, np.complex64).view(np.float32) * np.float32(steps / full_scale)
            samples = (np.clip(np.round(pairs), -steps, steps - 1) * np.float32(full_scale / steps)).view(np.complex64)
        return np.ascontiguousarray(samples, np.complex64)

    def _carrier(self, n: int) -> npt.NDArray[np.complex128]:
        step = 2 * np.pi * self.config.freq_offset_hz / self.sample_rate
        phase = self._phase + step * np.arange(n + 1)
        if self.config.linewidth_hz > 0:
            deviation = np.sqrt(2 * np.pi * self.config.linewidth_hz / self.sample_rate)
            phase[1:] += np.cumsum(deviation * self._phase_rng.standard_normal(n))
        self._phase = float(phase[-1] % (2 * np.pi))
        rotated: npt.NDArray[np.complex128] = np.exp(1j * phase[:-1])
        return rotated


def _step(doppler_cps: float) -> int:
    """Samples between two impulse responses that are worked out."""
    return int(np.clip(STEP / doppler_cps, 1, MAX_STEP))
