# SPDX-License-Identifier: GPL-3.0-or-later
"""Dissect one burst: the signal of each stage of the receiver, as arrays.

The stages are the receiver's own (`detector.py`, `demodulator.py`); nothing here finds, corrects or equalises. A burst
whose header fails is laid open as far as the header, a place without a preamble as far as the detection metric.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.ndimage import gaussian_filter

from gened.gr_blocks.phy.coding import erasure_code
from gened.gr_blocks.phy.coding.interleave import qpsk_stream
from gened.gr_blocks.phy.coding.modes import digital_decode, digital_encode
from gened.gr_blocks.phy.coding.modulation import demodulate as demap
from gened.gr_blocks.phy.coding.modulation import modulate
from gened.gr_blocks.phy.equalizer.demodulator import Capture, demodulate, fft_symbols
from gened.gr_blocks.phy.framing.header import Header, HeaderFault, decode_header_or_fault, encode_header
from gened.gr_blocks.phy.framing.records import unpack_records
from gened.gr_blocks.phy.ofdm.papr_reduction import papr_db
from gened.gr_blocks.phy.ofdm.payload_phases import payload_phases
from gened.gr_blocks.phy.ofdm.resource_grid import symbol_times
from gened.gr_blocks.phy.ofdm.waveform import PADDING_SEED, WAVEFORM
from gened.gr_blocks.phy.sync.detector import CANDIDATE_THRESHOLD, Miss, equalize_header, is_tone, lag_metric
from gened.gr_blocks.phy.sync.estimators import MIN_VARIANCE, WINDOW_BACKOFF, derotate
from gened.gr_blocks.phy.types import ComplexArray
from gened.inspect.anatomy_records import (
    Anatomy,
    ChannelView,
    Complex,
    ElementView,
    Float,
    Part,
    PilotView,
    Section,
    bits_per_symbol,
)
from gened.inspect.specimen import Specimen

HEADER_END = WAVEFORM.preamble_len + WAVEFORM.n_header_symbols * WAVEFORM.symbol_len
ERROR_SIGMA = 8.0
"""Standard deviation of the Gaussian window, in OFDM symbols and in carriers, over which measured errors are averaged.
It holds about 40 pilots, so that the relative standard deviation of the average is a sixth."""
MIN_WEIGHT = 1e-3
"""Least weight of known symbols in the window of a resource element; one known symbol nearby has 2.5e-3."""
N_SPECTRUM = 512
"""Length of the FFT of `spectrum` in samples."""

FAULTS = {
    HeaderFault.CHECKSUM: "the header fails its checksum",
    HeaderFault.VERSION: "the header is of another format version",
    HeaderFault.CONTENT: "the header is whole, but says what no sender would",
    None: "the samples end within the burst",
}


def dissect(specimen: Specimen, sample_rate: float) -> Anatomy:
    """Dissect a burst.

    Args:
        specimen: Burst from `SpecimenFinder`, or a place of a recording.
        sample_rate: Hz; used for axes only.
    """
    samples, found = specimen.samples, specimen.found
    metric = lag_metric(samples)[0] if len(samples) >= 2 * WAVEFORM.n_fft else np.zeros(0)
    seen: dict[str, Any] = {
        "samples": samples, "first": specimen.first, "start": specimen.start, "sample_rate": sample_rate,
        "metric": metric, "coherence": np.zeros(0),
    }  # fmt: skip
    if found is None:
        return Anatomy(**seen, fault=_why_no_preamble(samples, metric))
    seen |= {"coherence": coherence(samples, found.cfo_norm), "cfo_detector_norm": found.cfo_norm}
    behind = samples[found.start - specimen.first :]
    seen |= _miss(found, behind) if isinstance(found, Miss) else _capture(found)
    own = behind[: round(seen["parts"][-1].end)]
    return Anatomy(**seen, papr_db=papr_db(own) if np.any(own) else None)


def coherence(samples: ComplexArray, cfo_norm: float) -> Float:
    """Coherence with the preamble: fraction of the energy of 512 samples that it explains, in [0, 1].

    Args:
        samples: [n] complex64, n >= 512.
        cfo_norm: Carrier offset to correct first, cycles per sample.

    Returns:
        [n - 511] float64; it peaks after the prefix of a preamble. Empty with fewer than 512 samples.
    """
    known = np.concatenate([WAVEFORM.preamble_half] * 2)
    if len(samples) < len(known):
        return np.zeros(0)
    power = np.abs(np.correlate(derotate(samples, cfo_norm), known, "valid")) ** 2
    energy = np.concatenate([np.zeros(1), np.cumsum(np.abs(samples) ** 2, dtype=np.float64)])
    window = energy[len(known) :] - energy[: -len(known)]
    floor = 1e-9 * max(float(window.max()), 1e-20)
    return np.asarray(power / (len(known) * np.maximum(window, floor)), np.float64)


def spectrum(samples: ComplexArray, sample_rate: float) -> tuple[Float, Float]:
    """Power spectral density by Welch's method: Hann windows of 512 samples with 50 % overlap.

    Args:
        samples: [n] complex64; fewer than 512 are padded with zeros.
        sample_rate: Hz.

    Returns:
        Frequencies in Hz, ascending, [512]; and density in 1/Hz relative to the power of full scale, [512].
    """
    window = np.hanning(N_SPECTRUM + 1)[:-1]
    filled = np.concatenate([samples, np.zeros(max(0, N_SPECTRUM - len(samples)), np.complex64)])
    starts = np.arange(0, len(filled) - N_SPECTRUM + 1, N_SPECTRUM // 2)
    power = np.zeros(N_SPECTRUM)
    for start in starts:
        power += np.abs(np.fft.fft(window * filled[start : start + N_SPECTRUM])) ** 2
    density = power / (len(starts) * sample_rate * np.sum(window**2))
    return np.fft.fftshift(np.fft.fftfreq(N_SPECTRUM, 1 / sample_rate)), np.fft.fftshift(density)


# No preamble


def _why_no_preamble(samples: ComplexArray, metric: Float) -> str:
    if len(metric) == 0:
        return "no preamble: too few samples"
    peak = int(np.argmax(metric))
    if metric[peak] <= CANDIDATE_THRESHOLD:
        reached = f"the metric reaches {metric[peak]:.2f}, a burst needs {CANDIDATE_THRESHOLD:g}"
        return f"no preamble: nothing repeats after {WAVEFORM.n_fft} samples ({reached})"
    if is_tone(samples[peak : peak + 2 * WAVEFORM.n_fft]):
        return "no preamble: what repeats is a single carrier"
    return f"no preamble: something repeats after {WAVEFORM.n_fft} samples, but it is another signal"


# A header that failed, or a burst that the end of the samples cuts off


def _miss(miss: Miss, behind: ComplexArray) -> dict[str, Any]:
    n_symbols = WAVEFORM.n_header_symbols
    is_cut = len(behind) < HEADER_END
    padded = np.concatenate([behind[:HEADER_END], np.zeros(max(0, HEADER_END - len(behind)), np.complex64)])
    found = equalize_header(padded, miss.cfo_norm)
    h, times = found.h, symbol_times(n_symbols)
    turn = np.exp(2j * np.pi * found.cfo_norm * times)[:, None]
    is_pilot = WAVEFORM.pilot_mask(n_symbols)
    read = decode_header_or_fault(found.symbols[~is_pilot], found.noise_var[~is_pilot])
    header = read if isinstance(read, Header) else None
    known = _known(n_symbols, header, {})
    return {
        "fault": "the samples end within the header" if is_cut and header is None else FAULTS[miss.fault],
        "parts": _head_parts(),
        "cfo_norm": miss.cfo_norm + found.cfo_norm,
        "snr_est_db": found.snr_est_db,
        "channel": _channel(h),
        "pilots": _pilots(found.symbols * turn * h, found.symbols * h, h),
        "elements": _element_view(found.symbols, found.noise_var, known),
        "header": header,
        "sections": (_header_section(found.symbols[~is_pilot], found.noise_var[~is_pilot], header),),
    }


# A burst that was read


def _capture(capture: Capture) -> dict[str, Any]:
    stages: dict[str, Any] = {}
    burst = demodulate(capture, stages.__setitem__)
    header, h, grid = capture.header, stages["h_hat"], stages["equalized"]
    n_symbols = len(grid)
    raw = fft_symbols(derotate(capture.samples, capture.cfo_norm), n_symbols)
    n_header, is_pilot = WAVEFORM.n_header_symbols, WAVEFORM.pilot_mask(n_symbols)
    head = ~is_pilot[:n_header]
    sections = [_header_section(grid[:n_header][head], stages["noise_var"][:n_header][head], header)]
    contents: dict[str, bytes] = {}
    for name, packets, mode_name, where in _digital(header):
        symbols, variance = burst.symbols[where], burst.noise_var[where]
        content = digital_decode(symbols, variance, packets.packet_len, mode_name)
        if content is not None:
            contents[name] = content
        sent = None if content is None else digital_encode(content, mode_name)
        sections.append(
            Section(name, symbols, mode_name, content is not None, _evm_db(symbols, variance, mode_name, sent))
        )
    if header.n_analog:
        sections.append(Section("picture", burst.symbols[header.n_side + header.n_text :]))
    return {
        "parts": _head_parts() + _payload_parts(header, n_symbols),
        "cfo_norm": burst.cfo_norm,
        "sfo_ppm": burst.sfo_ppm,
        "snr_est_db": burst.snr_est_db,
        "channel": _channel(burst.h_hat, None if np.array_equal(h[0], h[-1]) else h[[0, -1]]),
        "pilots": _pilots(raw, grid * h, h),
        "elements": _element_view(grid, stages["noise_var"], _known(n_symbols, header, contents)),
        "header": header,
        "sections": tuple(sections),
        "caption": _caption(header, contents.get("caption")),
    }


def _digital(header: Header) -> list[tuple[str, erasure_code.PacketPlan, str, slice]]:
    """Name, packets, mode and place in the payload of each digital part of this burst."""
    both = (
        ("side information", header.side_plan, header.side_mode, slice(0, header.n_side)),
        ("caption", header.text_plan, header.text_mode, slice(header.n_side, header.n_side + header.n_text)),
    )
    return [part for part in both if part[3].stop > part[3].start]


def _caption(header: Header, packet: bytes | None) -> str | None:
    if packet is None:
        return None
    text = erasure_code.decode({header.burst: packet}, header.text_len, header.n_bursts)
    return None if text is None else unpack_records(text).caption


def _head_parts() -> tuple[Part, ...]:
    return (Part("preamble", 0, WAVEFORM.preamble_len), Part("header", WAVEFORM.preamble_len, HEADER_END))


def _payload_parts(header: Header, n_symbols: int) -> tuple[Part, ...]:
    is_payload = ~WAVEFORM.pilot_mask(n_symbols)[WAVEFORM.n_header_symbols :]
    borders = np.concatenate([[0], is_payload.sum(1).cumsum()])
    lengths = (
        ("side information", header.n_side), ("caption", header.n_text), ("picture", header.n_analog),
        ("padding", int(borders[-1]) - header.n_elements),
    )  # fmt: skip
    parts, at = [], 0
    for name, n_elements in lengths:
        begin, end = (
            HEADER_END + WAVEFORM.symbol_len * float(np.interp(place, borders, np.arange(len(borders))))
            for place in (at, at + n_elements)
        )
        at += n_elements
        if n_elements:
            parts.append(Part(name, begin, end))
    return tuple(parts)


# Views of both


def _channel(h: Complex, h_ends: Complex | None = None) -> ChannelView:
    """Channel without the phase slope from the early start of the FFT windows."""
    early = np.exp(2j * np.pi * WAVEFORM.carriers * WINDOW_BACKOFF / WAVEFORM.n_fft)
    return ChannelView(np.asarray(h * early), None if h_ends is None else np.asarray(h_ends * early))


def _pilots(before: Complex, after: Complex, h: Complex) -> PilotView:
    """Common phase of the pilots before and after correction, from symbols that are not equalised, [n_symbols, 204]."""
    mask, values = WAVEFORM.pilot_mask(len(before)), WAVEFORM.pilot_grid(len(before))
    sent = np.where(mask, h * values, 0)
    phases = [np.angle(np.sum(symbols * np.conj(sent), axis=1)) for symbols in (before, after)]
    to_start = WAVEFORM.cp_len - WINDOW_BACKOFF + WAVEFORM.n_fft  # times count from the middle of the preamble
    return PilotView(symbol_times(len(before)) + to_start, np.unwrap(phases[0]), phases[1])


def _known(n_symbols: int, header: Header | None, contents: dict[str, bytes]) -> Complex:
    """Symbols known to have been sent, 0 elsewhere, [n_symbols, 204] complex."""
    is_pilot, n_header = WAVEFORM.pilot_mask(n_symbols), WAVEFORM.n_header_symbols
    known = np.where(is_pilot, WAVEFORM.pilot_grid(n_symbols), 0)
    if header is None:
        return known
    known[:n_header][~is_pilot[:n_header]] = encode_header(header, WAVEFORM.n_header_elements)
    payload = np.zeros(int((~is_pilot[n_header:]).sum()), np.complex64)
    phases = payload_phases(header.n_elements, header.version)
    for name, _, mode_name, where in _digital(header):
        if name in contents:
            payload[where] = digital_encode(contents[name], mode_name) * phases[where]
    n_padding = max(0, len(payload) - header.n_elements)
    payload[len(payload) - n_padding :] = qpsk_stream(n_padding, PADDING_SEED)
    known[n_header:][~is_pilot[n_header:]] = payload
    return known


def _element_view(grid: Complex, noise_var: Float, known: Complex) -> ElementView:
    is_known = (known != 0) & np.isfinite(noise_var)
    error = np.where(is_known, np.abs(grid - known) ** 2, 0).astype(np.float64)
    weight = gaussian_filter(is_known.astype(np.float64), ERROR_SIGMA, mode="constant")
    total = gaussian_filter(error, ERROR_SIGMA, mode="constant")
    has_any = weight > MIN_WEIGHT
    measured = np.where(has_any, total / np.where(has_any, weight, 1), np.nan)
    bias_db = None
    if is_known.any() and error[is_known].mean() > 0:
        bias_db = float(10 * np.log10(error[is_known].mean() / max(float(noise_var[is_known].mean()), MIN_VARIANCE)))
    return ElementView(grid, np.array(noise_var), measured, bias_db)


def _header_section(symbols: Complex, noise_var: Float, header: Header | None) -> Section:
    sent = None if header is None else encode_header(header, len(symbols))
    received = np.asarray(symbols, np.complex64)
    return Section("header", received, "qpsk", header is not None, _evm_db(received, noise_var, "qpsk", sent))


def _evm_db(
    symbols: ComplexArray, noise_var: npt.NDArray[np.floating[Any]], mode_name: str, sent: ComplexArray | None
) -> float | None:
    there = np.isfinite(noise_var)
    if not there.any():
        return None
    if sent is None:
        n_bits = bits_per_symbol(mode_name)
        sent = modulate((demap(symbols, noise_var, n_bits) > 0).astype(np.uint8), n_bits)
    error = np.mean(np.abs(symbols[there] - sent[there]) ** 2) / np.mean(np.abs(sent[there]) ** 2)
    return float(10 * np.log10(max(float(error), MIN_VARIANCE)))
