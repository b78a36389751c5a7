# SPDX-License-Identifier: GPL-3.0-or-later
"""Makes the hard recordings: short ones in SigMF of bursts that are easily lost, and the frames that must come out.

    python tests/support/make_hard.py tests/gr_blocks/phy/recordings [NAME...]

They are made once and kept; it refuses to overwrite. `expected.json` says of each which frames a receiver must give,
and how far their symbols may be from those that were sent: by 1.5 dB more than when the recording was made.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import scipy.fft

from gened.gr_blocks.phy.channel.config import ChannelConfig
from gened.gr_blocks.phy.channel.noise import complex_noise
from gened.gr_blocks.phy.channel.sample_channel import SampleChannel
from gened.gr_blocks.phy.coding.interleave import qpsk_stream
from gened.gr_blocks.phy.framing.planning import plan_bursts
from gened.gr_blocks.phy.framing.records import Records, pack_records
from gened.gr_blocks.phy.ofdm.modulator import modulate_burst
from gened.gr_blocks.phy.ofdm.waveform import WAVEFORM
from gened.gr_blocks.phy.receiver import Receiver
from gened.gr_blocks.phy.types import Encoded, Frame, ImageSize, ReceivedFrame
from gened.gr_blocks.recording.annotation import Annotation
from gened.gr_blocks.recording.metadata import RecordingInfo
from gened.gr_blocks.recording.writer import RecordingWriter

SAMPLE_RATE = 1e6
FULL_SCALE = 16.0
MARGIN_DB = 1.5
GAP = 700
"""Silence before, between and behind bursts where nothing else is said."""
SIZES = {1: ImageSize(256, 256), 3: ImageSize(512, 640)}
"""Pictures that travel in so many bursts."""


def gaussian_like(n: int, seed: int) -> np.ndarray:
    """Analogue symbols, [n] complex64 of mean power 1: sums of four QPSK symbols, the same on every machine."""
    return np.asarray(sum(qpsk_stream(n, 1000 + 4 * seed + i) for i in range(4)) / 2, np.complex64)


def frame(number: int, session: int = 7, *, n: int = 300, n_bursts: int = 1, text_mode: str = "qpsk-1/2") -> Frame:
    """A frame whose caption names it."""
    text = pack_records(Records(caption=f"frame {number} of {session}"))
    encoded = Encoded(gaussian_like(n, number), b"\x05")
    return Frame(session, number, 0xC0DEC0DE, SIZES[n_bursts], Fraction(1, 24), 4.0, encoded, text, text_mode)


@dataclass(frozen=True)
class Placed:
    """One burst of a frame on the air."""

    frame: Frame
    start: int
    burst: int = 0
    gain_db: float = 0.0

    @property
    def samples(self) -> np.ndarray:
        """As sent, without what may be done about its peaks."""
        content = plan_bursts(self.frame)[self.burst]
        return modulate_burst(content, reduces_papr=False) * np.float32(10 ** (self.gain_db / 20))


@dataclass(frozen=True)
class Case:
    """What is on the air, and which frames must come out."""

    description: str
    channel: ChannelConfig
    placed: Sequence[Placed]
    expected: Sequence[Frame]
    tail: int = GAP
    """Samples behind the last burst that are recorded."""
    beside: Callable[[int], np.ndarray] = field(default=lambda n: np.zeros(n, np.complex64))
    """What else is on the air, [n]."""

    def samples(self) -> np.ndarray:
        """[n] complex64, as a receiver hears them."""
        bursts = [(one.start, one.samples) for one in self.placed]
        end = max(start + len(burst) for start, burst in bursts)
        stream = np.zeros(end + GAP, np.complex64)
        for start, burst in bursts:
            stream[start : start + len(burst)] += burst
        stream += self.beside(len(stream))
        heard = SampleChannel(self.channel, SAMPLE_RATE).process(stream, sorted(start for start, _ in bursts))
        return heard[: end + self.tail]


def tone_before(n: int) -> np.ndarray:
    """A carrier of somebody else, 6 dB over a burst, that ends where the burst begins."""
    t = np.arange(n)
    return np.where(t < 3000, 2 * np.exp(2j * np.pi * 0.0613 * t), 0).astype(np.complex64)


def narrow_band(n: int) -> np.ndarray:
    """Noise 1 % of the sample rate wide, 10 dB weaker than a burst."""
    spectrum = scipy.fft.fft(complex_noise(np.random.default_rng(5), n, 1.0))
    spectrum[np.abs(scipy.fft.fftfreq(n) - 0.117) > 0.005] = 0
    noise = scipy.fft.ifft(spectrum)
    return np.asarray(noise * np.sqrt(0.1 / np.mean(np.abs(noise) ** 2)), np.complex64)


def one(
    number: int, description: str, *, snr_db: float, n: int = 300, text_mode: str = "qpsk-1/2", **more: Any
) -> Case:
    """A single burst; what else is said goes to the channel."""
    sent = frame(number, n=n, text_mode=text_mode)
    beside = {"beside": more.pop("beside")} if "beside" in more else {}
    start = more.pop("start", GAP)
    channel = ChannelConfig(**{"snr_db": snr_db, "seed": number, **more})
    return Case(description, channel, [Placed(sent, start)], [sent], **beside)


def one_after_another(frames: Sequence[tuple[Frame, int]], *, gap: int, first: int = GAP) -> list[Placed]:
    """Bursts (frame, burst) with so many samples between."""
    placed, at = [], first
    for sent, burst in frames:
        placed.append(Placed(sent, at, burst))
        at += len(placed[-1].samples) + gap
    return placed


def cases() -> dict[str, Case]:
    """By name."""
    noisy = ChannelConfig(snr_db=8.0, freq_offset_hz=-1300.0, timing_offset=0.4, seed=40)
    pair = [frame(20), frame(21)]
    collided, weaker = frame(22, n=500), frame(23, session=8)
    cut, stronger = frame(24), frame(25, session=8)
    under, louder = frame(30, n=1500), frame(31, session=8)
    edges = [frame(26), frame(27)]
    large = frame(28, n=600, n_bursts=3)
    restarted = [frame(29, session=7), frame(29, session=9)]
    length = len(Placed(edges[0], 0).samples)
    return {
        "weak": one(1, "Es/N0 of -2 dB", snr_db=-2.0, seed=2, text_mode="bpsk-1/2x2", freq_offset_hz=4321.0),
        "carrier-above": one(2, "carrier +12.5 % of the sample rate away", snr_db=4.0, freq_offset_hz=125e3),
        "carrier-below": one(3, "carrier -12.5 % of the sample rate away", snr_db=4.0, freq_offset_hz=-125e3),
        "clock": one(4, "clocks 200 ppm apart", snr_db=10.0, n=1500, sfo_ppm=200.0, freq_offset_hz=3e3),
        "long-echoes": one(5, "TDL-A at an RMS delay spread of 1.5 samples", snr_db=14.0, kind="tdl-a",
                           delay_spread=1.5),
        "fade": one(6, "Rayleigh, 12 dB below its mean", snr_db=16.0, seed=137, kind="rayleigh-block",
                    text_mode="bpsk-1/2"),
        "doppler": one(7, "Rayleigh that moves with a Doppler spread of 50 Hz", snr_db=14.0, n=1500,
                       kind="rayleigh-block", doppler_hz=50.0),
        "narrow-band": one(8, "noise 1 % of the sample rate wide, 10 dB weaker", snr_db=10.0, beside=narrow_band),
        "phase-noise": one(9, "oscillators with a linewidth of 100 Hz", snr_db=12.0, n=1000, linewidth_hz=100.0),
        "front-end": one(10, "clipping at 4 dB, DC and IQ imbalance", snr_db=12.0, clip_db=4.0, dc_offset=0.05,
                         iq_gain_db=0.3, iq_phase_deg=1.0, freq_offset_hz=-7e3, bits=8),
        "tone-before": one(11, "a carrier of somebody else, 6 dB stronger, until the burst begins", snr_db=8.0,
                           beside=tone_before, start=3000),
        "back-to-back": Case("two bursts without a gap", noisy, one_after_another([(f, 0) for f in pair], gap=0), pair),
        "collision": Case("a burst 10 dB weaker begins within its payload", noisy,
                          [Placed(collided, GAP), Placed(weaker, GAP + 2100, gain_db=-10.0)], [collided]),
        "cut-off": Case("a burst that a stronger one of another sender cuts off within its header", noisy,
                        [Placed(cut, GAP), Placed(stronger, GAP + 700, gain_db=10.0)], [stronger]),
        "louder": Case("a stronger burst of another sender begins within its payload", noisy,
                       [Placed(under, GAP), Placed(louder, GAP + 2400, gain_db=10.0)], [under, louder]),
        "edges": Case("a burst from the first sample on, and one to the last", noisy,
                      [Placed(edges[0], 0), Placed(edges[1], length + GAP)], edges, tail=0),
        "out-of-order": Case("the third and then the first of three bursts, the second missing", noisy,
                             one_after_another([(large, 2), (large, 0)], gap=GAP), [large]),
        "restarted": Case("a sender that began again: the same frame number in another session", noisy,
                          one_after_another([(f, 0) for f in restarted], gap=GAP), restarted),
    }  # fmt: skip


def error_db(sent: Frame, got: ReceivedFrame) -> float:
    """Mean squared error of the best linear estimate that the symbols and their variances allow, dB.

    A lost symbol is estimated as 0; a variance that is not true costs too.
    """
    weight = 1 / (1 + got.received.noise_var)
    error = sent.encoded.symbols - weight * got.received.symbols
    return float(10 * np.log10(np.mean(np.abs(error) ** 2)))


def expectation(sent: Frame, got: ReceivedFrame) -> dict[str, Any]:
    """What `expected.json` says of a frame."""
    return {
        "session": got.session, "frame": got.number, "n_bursts": got.n_bursts,
        "n_bursts_received": got.n_bursts_received, "crc_ok": got.text is not None,
        "caption": f"frame {sent.number} of {sent.session}" if got.text is not None else None,
        "max_error_db": round(error_db(sent, got) + MARGIN_DB, 2),
    }  # fmt: skip


def write(folder: Path, name: str, case: Case) -> list[dict[str, Any]]:
    """One recording; returns what must come out of it."""
    info = RecordingInfo(
        sample_rate=SAMPLE_RATE, hw="none: simulated", datatype="ci16_le", full_scale=FULL_SCALE,
        description=f"{case.description}; {case.channel.snr_db:g} dB",
    )  # fmt: skip
    writer = RecordingWriter(folder / f"{name}.sigmf-meta", info)
    writer.open()
    samples = case.samples()
    writer.write(samples)
    for placed in case.placed:
        header = plan_bursts(placed.frame)[placed.burst].header
        writer.annotate(
            Annotation(
                start=placed.start, count=min(WAVEFORM.burst_len(header.n_elements), len(samples) - placed.start),
                label=f"frame {header.frame}, burst {header.burst}", session=header.session, frame=header.frame,
                burst=header.burst, n_bursts=header.n_bursts, cfo_est_hz=case.channel.freq_offset_hz,
            )
        )  # fmt: skip
    writer.close()
    receiver = Receiver(SAMPLE_RATE)
    got = {(one.session, one.number): one for one in receiver.push(samples) + receiver.flush()}
    return [expectation(sent, got[sent.session, sent.number]) for sent in case.expected]


def main(folder: Path, names: Sequence[str]) -> None:
    """Writes those that are named, or all."""
    path = folder / "expected.json"
    expected = json.loads(path.read_text()) if path.is_file() else {}
    for name, case in cases().items():
        if names and name not in names:
            continue
        if name in expected:
            sys.exit(f"{name} is there; recordings are kept, give a new one a new name")
        expected[name] = write(folder, name, case)
    path.write_text(json.dumps(expected, indent=1) + "\n")


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2:])
