# SPDX-License-Identifier: GPL-3.0-or-later
"""Makes the golden bursts: samples as they were on the wire of each format version, and the frame that must come out.

    python tests/support/make_golden.py tests/gr_blocks/phy/golden

They are made once and kept for ever: a file that exists stays as it is. A change that they do not survive raises the
format version and adds bursts of its own. The names of version 1 have no suffix. Samples are stored as int16 pairs,
2^12 to the unit: 66 dB under the burst's power.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import numpy as np

from gened.gr_blocks.phy.channel.config import ChannelConfig
from gened.gr_blocks.phy.channel.sample_channel import SampleChannel
from gened.gr_blocks.phy.coding.interleave import qpsk_stream
from gened.gr_blocks.phy.ofdm.modulator import modulate_frame
from gened.gr_blocks.phy.types import Encoded, Frame, ImageSize

STEPS = 4096


@dataclass(frozen=True)
class Golden:
    """One golden frame."""

    frame: Frame
    version: int
    config: ChannelConfig | None = None
    """Channel that its bursts went through; None for the clean samples."""


def golden_frames() -> dict[str, Golden]:
    """Golden frames by the names of their files."""
    side = bytes(range(40))
    long_side = bytes(i * 7 % 256 for i in range(150))
    picture = Frame(
        0xBEEF,
        513,
        0xC0DEC0DE,
        ImageSize(64, 96),
        Fraction(1, 24),
        4.0,
        Encoded(qpsk_stream(400, 900), side),
        b"a caption",
        "qpsk-1/2",
    )
    text = Frame(
        1,
        65535,
        0,
        ImageSize(1, 1),
        Fraction(1, 96),
        0.0,
        Encoded(qpsk_stream(0, 0), b""),
        b"words alone",
        "bpsk-1/2x2",
    )
    one_byte = Frame(
        7, 0, 5, ImageSize(300, 400), Fraction(1, 24), 10.0, Encoded(qpsk_stream(300, 901), b"\x2a"), b"", "16qam-1/2"
    )
    split = Frame(
        9,
        3,
        1,
        ImageSize(512, 512),
        Fraction(1, 24),
        10.0,
        Encoded(qpsk_stream(1200, 902), long_side),
        b"shared out",
        "16qam-1/2",
    )
    air = ChannelConfig(snr_db=6.0, freq_offset_hz=-101_000.0, sfo_ppm=40.0, timing_offset=0.6, seed=4)
    level = Frame(
        11, 8, 3, ImageSize(64, 96), Fraction(1, 24), 20.0, Encoded(np.ones(400, np.complex64), bytes(80)), bytes(60),
        "64qam-3/4",
    )  # fmt: skip
    frames = {"picture": picture, "text": text, "one_byte": one_byte, "split": split}
    golden = {name: Golden(frame, 1) for name, frame in frames.items()} | {"air": Golden(picture, 1, air)}
    golden |= {f"{name}_v2": Golden(frame, 2) for name, frame in frames.items()}
    return golden | {"air_v2": Golden(picture, 2, air), "level_v2": Golden(level, 2)}


def burst_samples(golden: Golden) -> list[np.ndarray]:
    """The bursts of a frame: as sent, or with room around them through a channel at 1 Msample/s."""
    config = golden.config
    # The format without what may be done about its peaks.
    bursts = modulate_frame(golden.frame, reduces_papr=False, version=golden.version)
    if config is None:
        return list(bursts)
    gap = np.zeros(400, np.complex64)
    return [SampleChannel(config, 1e6).process(np.concatenate([gap, burst, gap]), [400]) for burst in bursts]


def main(folder: Path) -> None:
    """Write one .npz per frame that has none."""
    for name, golden in golden_frames().items():
        path = folder / f"{name}.npz"
        if path.exists():
            continue  # golden bursts are never made anew
        frame = golden.frame
        bursts = burst_samples(golden)[:2]  # of a split frame the first two: enough to restore what is shared out
        arrays = {f"burst{i}": np.round(b.view(np.float32) * STEPS).astype(np.int16) for i, b in enumerate(bursts)}
        encoded = frame.encoded
        np.savez_compressed(
            path, **arrays, symbols=encoded.symbols,
            side_info=np.frombuffer(encoded.side_info, np.uint8),
            text=np.frombuffer(frame.text, np.uint8),
            description=np.array(
                [
                    frame.session, frame.number, frame.codec_id, *frame.size,
                    frame.rate.numerator, frame.rate.denominator, round(2 * frame.snr_design_db),
                ]
            ),
        )  # fmt: skip


if __name__ == "__main__":
    main(Path(sys.argv[1]))
