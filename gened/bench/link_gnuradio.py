# SPDX-License-Identifier: GPL-3.0-or-later
"""Compare GNU Radio's OFDM link, `digital.ofdm_tx` and `ofdm_rx`, with ours on the same channel.

Both send packets of 60 bytes, as they come by default: GNU Radio's in BPSK without a code and with CRC-32, ours in the
mode `bpsk-1/2`, which has a code, without analogue symbols. `snr_db` means the same for both, Es/N0 on an occupied
carrier of that waveform: mean power of a packet is 1, so noise has n_fft / n_occupied 10^(-snr_db / 10) a sample:
256/204 for ours, 64/52 (48 carriers and 4 pilots) for GNU Radio's. Its detector raises a flag from 90 % of correlation
on, which takes 12 to 13 dB and which `ofdm_rx` lets nobody set.

GNU Radio runs in a process of its own, started by `compare`: it is given the points as JSON and answers with JSON.
"""

from __future__ import annotations

import importlib.util
import json
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from gened.bench.link_frames import SAMPLE_RATE, TEXT_BYTES, random_frame
from gened.errors import LinkError
from gened.gr_blocks.phy.channel.config import ChannelConfig
from gened.gr_blocks.phy.channel.sample_channel import SampleChannel
from gened.gr_blocks.phy.framing.planning import plan_bursts
from gened.gr_blocks.phy.ofdm.modulator import modulate_burst
from gened.gr_blocks.phy.ofdm.waveform import WAVEFORM
from gened.gr_blocks.phy.receiver import Receiver
from gened.gr_blocks.phy.types import ComplexArray

N_FFT, PREFIX, N_CARRIERS = 64, 16, 52
"""FFT length and occupied carriers of GNU Radio's defaults: 48 data carriers and 4 pilots, as in IEEE 802.11a."""
SYMBOL_LEN = N_FFT + PREFIX
DETECTED_WITHIN = 3 * SYMBOL_LEN
"""Samples after the first of a packet in which a detection counts: two preamble symbols and one more."""
TX_TAG, RX_TAG, FRAME_TAG = "tx_packet", "rx_packet", "rx_frame"
"""Names of length tags, which must differ, or the receiver would use the sender's tags."""
GAP = (500, 1500)
PADDING = 6000
"""Samples after the last packet; without them the receiver waits for further samples, and the packet is lost."""
TIMEOUT_S = 600.0
OFFSETS_NORM = (0.0, 0.005, 0.02, 0.125)
"""Carrier offsets, cycles per sample. The subcarrier spacing of GNU Radio's default is 0.0156, ours 0.0039."""


@dataclass(frozen=True)
class Point:
    """One setting of the channel."""

    snr_db: float
    cfo_norm: float
    n_packets: int
    seed: int


@dataclass(frozen=True)
class Outcome:
    """Result at one point."""

    detection_rate: float
    packet_error_rate: float
    """Fraction of the packets sent."""


def is_available() -> bool:
    """Test whether GNU Radio is installed."""
    return importlib.util.find_spec("gnuradio") is not None


def compare(points: Sequence[Point]) -> list[dict[str, float | int]]:
    """Measure both links at each point.

    Raises:
        LinkError: GNU Radio's process failed or took too long.
    """
    theirs = _in_child(points)
    rows: list[dict[str, float | int]] = []
    for point, their in zip(points, theirs, strict=True):
        our = ours(point)
        rows.append({
            "snr_db": point.snr_db, "cfo_cps": point.cfo_norm, "packets": point.n_packets,
            "gened_detection_rate": our.detection_rate, "gened_packet_error_rate": our.packet_error_rate,
            "gnuradio_detection_rate": their.detection_rate, "gnuradio_packet_error_rate": their.packet_error_rate,
        })  # fmt: skip
    return rows


def _in_child(points: Sequence[Point]) -> list[Outcome]:
    command = [sys.executable, "-m", "gened.bench.link_gnuradio"]
    text = json.dumps([asdict(point) for point in points])
    try:
        done = subprocess.run(command, input=text, capture_output=True, text=True, timeout=TIMEOUT_S)
        return [Outcome(**entry) for entry in json.loads(done.stdout.splitlines()[-1])]
    except subprocess.TimeoutExpired as error:
        raise LinkError(f"GNU Radio's link was not done within {TIMEOUT_S:g} s; --no-gnuradio leaves it out") from error
    except (ValueError, IndexError, TypeError) as error:
        last = (done.stderr.strip().splitlines() or ["it said nothing"])[-1]
        raise LinkError(f"GNU Radio's link failed: {last}; --no-gnuradio leaves it out") from error


def _air(packets: Sequence[ComplexArray], point: Point, noise_ratio: float) -> tuple[ComplexArray, list[int]]:
    """Send packets with gaps through the channel.

    Args:
        packets: Samples per packet, mean power 1.
        point: Setting of the channel.
        noise_ratio: n_fft / n_occupied of the waveform.

    Returns:
        Received samples, [n] complex64, and the start of each packet.
    """
    rng = np.random.default_rng(point.seed)
    parts: list[ComplexArray] = []
    starts, at = [], 0
    for packet in packets:
        gap = int(rng.integers(*GAP))
        starts.append(at + gap)
        parts += [np.zeros(gap, np.complex64), packet]
        at += gap + len(packet)
    stream = np.concatenate([*parts, np.zeros(PADDING, np.complex64)])
    ours_db = point.snr_db + 10 * np.log10(WAVEFORM.n_fft / WAVEFORM.n_occupied / noise_ratio)
    config = ChannelConfig(snr_db=float(ours_db), freq_offset_hz=point.cfo_norm * SAMPLE_RATE, seed=point.seed)
    return SampleChannel(config, SAMPLE_RATE).process(stream), starts


def ours(point: Point) -> Outcome:
    """Modulate packets as captions of frames without a picture."""
    rng = np.random.default_rng(point.seed)
    frames = [random_frame(number, rng, n_analog=0) for number in range(point.n_packets)]
    received, _ = _air(
        [modulate_burst(plan_bursts(frame)[0]) for frame in frames], point, WAVEFORM.n_fft / WAVEFORM.n_occupied
    )
    receiver = Receiver()
    texts = {frame.number: frame.text for frame in [*receiver.push(received), *receiver.flush()]}
    n_right = sum(texts.get(frame.number) == frame.text for frame in frames)
    detected = min(1.0, receiver.detector.stats.preambles / point.n_packets)
    return Outcome(detected, 1 - n_right / point.n_packets)


def gnuradio_packets(payloads: Sequence[bytes]) -> list[ComplexArray]:
    """Modulate packets with `ofdm_tx`: samples per packet, complex64, mean power 1."""
    import pmt
    from gnuradio import blocks, digital, gr

    top, sink = gr.top_block(), blocks.vector_sink_c()
    tags = []
    for index, payload in enumerate(payloads):
        tag = gr.tag_t()
        tag.offset, tag.key, tag.value = index * TEXT_BYTES, pmt.intern(TX_TAG), pmt.from_long(len(payload))
        tags.append(tag)
    source = blocks.vector_source_b(list(b"".join(payloads)), False, 1, tags)
    top.connect(source, digital.ofdm_tx(packet_length_tag_key=TX_TAG), sink)
    top.run()
    samples = np.array(sink.data(), np.complex64)
    samples /= np.sqrt(np.mean(np.abs(samples) ** 2))
    return np.split(samples, len(payloads))


def gnuradio_outcome(point: Point) -> Outcome:
    """Send packets through GNU Radio's transmitter and receiver; a detection is a flag of its Schmidl and Cox block."""
    from gnuradio import blocks, digital, gr

    rng = np.random.default_rng(point.seed)
    payloads = [n.to_bytes(2, "big") + rng.bytes(TEXT_BYTES - 2) for n in range(point.n_packets)]
    received, starts = _air(gnuradio_packets(payloads), point, N_FFT / N_CARRIERS)
    top, sink, flags = gr.top_block(), blocks.vector_sink_b(), blocks.vector_sink_b()
    source = blocks.vector_source_c(received.tolist())
    detector = digital.ofdm_sync_sc_cfb(N_FFT, PREFIX)
    top.connect(source, digital.ofdm_rx(frame_length_tag_key=FRAME_TAG, packet_length_tag_key=RX_TAG), sink)
    top.connect(source, detector, blocks.null_sink(gr.sizeof_float))
    top.connect((detector, 1), flags)
    top.run()
    data = bytes(sink.data())
    whole = {data[at : at + TEXT_BYTES] for at in range(0, len(data), TEXT_BYTES)}
    raised = np.flatnonzero(np.array(flags.data()))
    n_detected = sum(bool(np.any((raised >= start) & (raised < start + DETECTED_WITHIN))) for start in starts)
    n_right = sum(payload in whole for payload in payloads)
    return Outcome(n_detected / point.n_packets, 1 - n_right / point.n_packets)


def main() -> int:
    """Read points as JSON from stdin; write their results as JSON to the last line of stdout."""
    points: list[dict[str, Any]] = json.load(sys.stdin)
    print(json.dumps([asdict(gnuradio_outcome(Point(**point))) for point in points]))
    return 0


if __name__ == "__main__":
    sys.exit(main())
