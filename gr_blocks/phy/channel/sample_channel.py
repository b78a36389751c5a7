# SPDX-License-Identifier: GPL-3.0-or-later
"""Channel emulation of a stream of samples, for the channel emulator and the virtual radio.

samples -> clipping -> fading of this burst -> sampling clock -> carrier offset, phase noise
        -> + noise -> IQ imbalance, DC offset -> converter
"""

from __future__ import annotations

import collections

import numpy as np
import numpy.typing as npt

from gened.errors import ConfigError
from gened.gr_blocks.phy.channel.config import ChannelConfig
from gened.gr_blocks.phy.channel.fading import NO_SIGNAL, UNIT_GAIN, Fading, draw_fading
from gened.gr_blocks.phy.channel.noise import complex_noise
from gened.gr_blocks.phy.channel.resampler import ClockResampler
from gened.gr_blocks.phy.ofdm.waveform import WAVEFORM
from gened.gr_blocks.phy.types import ComplexArray

MEMORY = 80
"""Samples kept from before a chunk for the impulse response: `tdl-a` at the largest delay spread has 72 taps."""
STEP = 0.01
"""Distance of the times at which a time-varying impulse response is computed, in periods of the largest Doppler shift.
Between them it is interpolated linearly, with an error of -65 dB."""
MAX_STEP = 4096
"""Largest distance of these times in samples."""
MAX_DROPPED_NUMBERS = 65536
"""Most numbers of dropped bursts that are kept."""


class SampleChannel:
    """Channel for a stream of samples in chunks of any size; carrier and clock run on from chunk to chunk.

    Each burst gets gains of its own and may be dropped. Noise is added all the time.

    Args:
        config: Parameters of the channel.
        sample_rate: Hz.

    Raises:
        ConfigError: The kind is `rayleigh-fast`, which has one gain per analogue symbol and is not defined for samples,
            or the frequency offset is above half the sample rate.
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
        # Separate streams, so that no random number depends on the borders of the chunks.
        streams = [np.random.default_rng(child) for child in np.random.SeedSequence(config.seed).spawn(3)]
        self._gain_rng, self._noise_rng, self._phase_rng = streams
        self.n_bursts = 0
        """Number of bursts begun."""
        self.dropped_bursts = 0
        """Number of bursts dropped."""
        self.dropped: collections.deque[int] = collections.deque(maxlen=MAX_DROPPED_NUMBERS)
        """Numbers of the latest dropped bursts, counted from 0; readers remove what they have read."""
        self.fading: Fading = UNIT_GAIN
        """Fading of the latest burst."""
        self._phase = 0.0
        self._resampler = ClockResampler(config.sfo_ppm, config.timing_offset)
        self._memory = np.zeros(MEMORY, np.complex64)
        self._age = 0  # samples since the burst began
        self._step = MAX_STEP if config.doppler_hz == 0 else _step(config.doppler_hz / sample_rate)

    def process(self, samples: ComplexArray, burst_starts: npt.ArrayLike = ()) -> ComplexArray:
        """Process the next chunk.

        Args:
            samples: [n] complex64, mean power 1 during a burst, 0 between bursts.
            burst_starts: Indices in this chunk at which bursts begin, [n_starts].

        Returns:
            Received samples, complex64; n of them, or a few more or less with a clock error.
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
        """Apply the fading of each burst; the tail of an impulse response extends into the samples after the burst."""
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
        """Fade the next n samples of this burst; `joined` has the n_taps - 1 samples before them, too."""
        fading = self.fading
        if fading.is_time_invariant:
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
            self.fading = NO_SIGNAL
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


def _step(doppler_norm: float) -> int:
    """Distance in samples of the times at which a time-varying impulse response is computed."""
    return int(np.clip(STEP / doppler_norm, 1, MAX_STEP))
