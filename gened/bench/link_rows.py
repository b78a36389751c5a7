# SPDX-License-Identifier: GPL-3.0-or-later
"""Measure one row: frames through one condition at one SNR.

Es is the mean energy of an occupied carrier at the receiver in a burst: the SNR that is set, times the mean of |H|^2
over the carriers and OFDM symbols of the burst.

    snr_loss_db         that SNR less the SNR of the equalised symbols, from their mean squared error
    snr_loss_symbol_db  mean of error |H|^2 over N0, which weights each symbol by its noise: the loss against a receiver
                        with perfect channel knowledge. In a flat, time-invariant channel both are equal

In a selective channel `snr_loss_db` includes a loss that no receiver can avoid: a carrier at a tenth of the power has
ten times the noise after equalisation, and dominates the mean. Decoders receive the noise variance of each symbol, so
for them the second loss counts.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import scipy.fft

from gened.bench.link_conditions import BESIDE_DB, Condition
from gened.bench.link_frames import SAMPLE_RATE, random_frame
from gened.gr_blocks.phy.channel.config import ChannelConfig
from gened.gr_blocks.phy.channel.noise import complex_noise
from gened.gr_blocks.phy.channel.sample_channel import SampleChannel
from gened.gr_blocks.phy.coding.interleave import burst_members
from gened.gr_blocks.phy.framing.burst import BurstContent
from gened.gr_blocks.phy.framing.header import quantize_snr_db
from gened.gr_blocks.phy.framing.planning import plan_bursts
from gened.gr_blocks.phy.ofdm.modulator import modulate_burst
from gened.gr_blocks.phy.ofdm.waveform import WAVEFORM
from gened.gr_blocks.phy.receiver import Receiver
from gened.gr_blocks.phy.types import ComplexArray, Frame, ReceivedFrame

Float = npt.NDArray[np.float64]
TAIL = 2000
MIN_ERROR = 1e-12


@dataclass(frozen=True)
class Row:
    """Result of one condition at one SNR; None without received frames."""

    condition: str
    snr_db: float
    frames: int
    snr_loss_db: float | None
    snr_loss_p95_db: float | None
    snr_loss_symbol_db: float | None
    detection_rate: float
    """Fraction of the frames whose preamble was detected."""
    header_error_rate: float
    """Fraction of the detected frames whose header failed."""
    caption_error_rate: float
    """Fraction of the frames with a decoded header whose caption failed."""
    noise_var_bias_db: float | None
    """Ratio of the mean estimated noise variance to the mean squared error of a frame, dB."""
    noise_var_quartiles_db: list[float] | None
    """The same per quartile of the estimated noise variance, from the least to the largest, dB."""
    snr_est_bias_db: float | None
    snr_est_rms_db: float | None
    cfo_error_rms_hz: float | None
    sfo_error_rms_ppm: float | None


@dataclass(frozen=True)
class _Sent:
    """A frame with its received samples and the channel."""

    frame: Frame
    content: BurstContent
    config: ChannelConfig
    received: ComplexArray
    power: Float
    """Squared gain |H|^2 of each resource element, [n_symbols, 204]."""


@dataclass(frozen=True)
class Figures:
    """Measurements of one received frame."""

    loss_db: float
    loss_symbol_db: float
    bias_db: float
    quartiles_db: Float
    snr_error_db: float
    cfo_error_hz: float
    sfo_error_ppm: float


def measure(condition: Condition, snr_db: float, n_frames: int, seed: int) -> Row:
    """Generate frames, each with its own offsets, timing, fading and noise."""
    rng = np.random.default_rng(seed)
    found: list[Figures] = []
    n_preambles = n_headers = n_captions = 0
    for number in range(n_frames):
        sent, receiver = _on_air(condition, snr_db, number, rng), Receiver()
        frames = [*receiver.push(sent.received), *receiver.flush()]
        ours = [frame for frame in frames if frame.session == sent.frame.session]
        n_preambles += receiver.detector.stats.preambles > 0
        n_headers += len(ours) > 0
        if ours:
            n_captions += ours[0].text == sent.frame.text
            found.append(_figures(sent, ours[0]))
    return _row(condition.name, snr_db, n_frames, (n_preambles, n_headers, n_captions), found)


def _on_air(condition: Condition, snr_db: float, number: int, rng: np.random.Generator) -> _Sent:
    frame = random_frame(number, rng, n_analog=condition.n_analog, snr_design_db=quantize_snr_db(snr_db))
    cfo_hz = condition.max_cfo_norm * SAMPLE_RATE * rng.uniform(-1, 1)
    config = ChannelConfig(
        kind=condition.kind, snr_db=snr_db, freq_offset_hz=cfo_hz, linewidth_hz=condition.linewidth_hz,
        sfo_ppm=condition.max_sfo_ppm * rng.uniform(-1, 1),
        timing_offset=rng.uniform(0, 1),
        seed=int(rng.integers(1 << 30)),
        **condition.channel,
    )  # fmt: skip
    lead = int(rng.integers(300, 3000))
    content = plan_bursts(frame)[0]
    burst = modulate_burst(content)
    stream = np.concatenate([np.zeros(lead), burst, np.zeros(TAIL)]).astype(np.complex64)
    if condition.beside:
        stream = stream + _beside(condition, len(stream), lead, len(burst), rng)
    channel = SampleChannel(config, SAMPLE_RATE)
    received = channel.process(stream, [lead])
    n_symbols = (len(burst) - WAVEFORM.preamble_len) // WAVEFORM.symbol_len
    moments = WAVEFORM.preamble_len + WAVEFORM.symbol_len * (np.arange(n_symbols) + 0.5)
    response = channel.fading.response((0.0,) if channel.fading.is_time_invariant else moments)
    return _Sent(frame, content, config, received, np.broadcast_to(np.abs(response) ** 2, (n_symbols, 204)))


def _beside(condition: Condition, n: int, lead: int, n_burst: int, rng: np.random.Generator) -> ComplexArray:
    """Interference, [n] complex64, at `BESIDE_DB` relative to the burst."""
    amplitude = 10 ** (BESIDE_DB / 20)
    if condition.beside == "narrow-band":
        spectrum = scipy.fft.fft(complex_noise(rng, n, 1.0))
        freqs = scipy.fft.fftfreq(n)
        spectrum[np.abs(freqs - rng.uniform(-0.39, 0.39)) > 0.005] = 0
        noise = scipy.fft.ifft(spectrum)
        return np.asarray(noise * (amplitude / np.sqrt(np.mean(np.abs(noise) ** 2))), np.complex64)
    other = modulate_burst(plan_bursts(random_frame(0, rng, session=8))[0])
    result, start = np.zeros(n, np.complex64), lead + int(rng.integers(0, n_burst))
    count = min(n - start, len(other))
    result[start : start + count] = amplitude * other[:count]
    return result


def _limit(sent: _Sent) -> Float:
    """Noise variance of each analogue symbol with perfect channel knowledge, in the order of the frame, [n_symbols]."""
    payload = ~WAVEFORM.pilot_mask(len(sent.power))
    payload[: WAVEFORM.n_header_symbols] = False
    n_analog = len(sent.frame.encoded.symbols)
    power = sent.power[payload][: len(sent.content.symbols)][len(sent.content.symbols) - n_analog :]
    result = np.empty(n_analog)
    result[burst_members(n_analog, 1)[0]] = 10 ** (-sent.config.snr_db / 10) / np.maximum(power, 1e-9)
    return result


def _db(ratio: float) -> float:
    return float(10 * np.log10(max(ratio, MIN_ERROR)))


def _figures(sent: _Sent, got: ReceivedFrame) -> Figures:
    reference, received = sent.frame.encoded.symbols, got.received.symbols
    limit, noise_var = _limit(sent), got.received.noise_var.astype(np.float64)
    snr_db = sent.config.snr_db + _db(float(np.mean(sent.power)))
    gain = np.vdot(reference, received) / np.vdot(reference, reference)
    best = np.vdot(reference, received / limit) / np.vdot(reference, reference / limit)
    loss = float(np.mean(np.abs(received / gain - reference) ** 2))
    loss_symbol = float(np.mean(np.abs(received / best - reference) ** 2 / limit))
    usable = np.flatnonzero(np.isfinite(noise_var))
    error, claimed = np.abs(received - reference)[usable] ** 2, noise_var[usable]
    quarters = np.array_split(np.argsort(claimed, kind="stable"), 4)
    return Figures(
        loss_db=snr_db + _db(loss), loss_symbol_db=_db(loss_symbol),
        bias_db=_db(float(np.mean(claimed) / max(np.mean(error), MIN_ERROR))),
        quartiles_db=np.array([_db(float(claimed[q].mean() / max(error[q].mean(), MIN_ERROR))) for q in quarters]),
        snr_error_db=got.snr_est_db - snr_db,
        cfo_error_hz=got.cfo_est_norm * SAMPLE_RATE - sent.config.freq_offset_hz,
        sfo_error_ppm=got.sfo_est_ppm - sent.config.sfo_ppm,
    )  # fmt: skip


def _row(name: str, snr_db: float, n: int, counts: tuple[int, int, int], found: list[Figures]) -> Row:
    n_preambles, n_headers, n_captions = counts
    rates = (n_preambles / n, 1 - n_headers / max(n_preambles, 1), 1 - n_captions / max(n_headers, 1))
    if not found:
        return Row(name, snr_db, n, None, None, None, *rates, None, None, None, None, None, None)
    losses = [each.loss_db for each in found]
    return Row(
        name, snr_db, n, float(np.mean(losses)), float(np.percentile(losses, 95)),
        float(np.mean([each.loss_symbol_db for each in found])), *rates,
        float(np.mean([each.bias_db for each in found])),
        [float(value) for value in np.mean([each.quartiles_db for each in found], axis=0)],
        float(np.mean([each.snr_error_db for each in found])), _rms([each.snr_error_db for each in found]),
        _rms([each.cfo_error_hz for each in found]), _rms([each.sfo_error_ppm for each in found]),
    )  # fmt: skip


def _rms(values: list[float]) -> float:
    return float(np.sqrt(np.mean(np.square(values))))
