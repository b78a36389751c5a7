# SPDX-License-Identifier: GPL-3.0-or-later
"""Makes the recording of this lab: one photograph, sent three times with less and less power.

    python labs/01-first-picture/make_recording.py

Leaves `cup.png`, the photograph as it was sent, and `cup.sigmf-meta` with `cup.sigmf-data`. The photograph is "coffee"
of scikit-image: Rachel Michetti, 2013, released under CC0.
"""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import numpy as np
import skimage.data
from PIL import Image

from gened.gr_blocks.phy.channel.config import ChannelConfig
from gened.gr_blocks.phy.channel.sample_channel import SampleChannel
from gened.gr_blocks.phy.equalizer.demodulator import demodulate
from gened.gr_blocks.phy.framing.records import Records, pack_records
from gened.gr_blocks.phy.ofdm.modulator import modulate_frame
from gened.gr_blocks.phy.sync.detector import BurstDetector
from gened.gr_blocks.phy.types import ComplexArray, Frame, ImageSize
from gened.gr_blocks.recording.annotation import Annotation
from gened.gr_blocks.recording.metadata import RecordingInfo
from gened.gr_blocks.recording.writer import RecordingWriter
from gened.models.codecs.registry import load_codec

HERE = Path(__file__).parent
SIZE = ImageSize(160, 240)
RATE = Fraction(1, 12)
SAMPLE_RATE = 1e6
SNR_DB = 16.0
"""Of the first burst; the transmitter then lowers its power twice, the noise stays."""
STEP_DB = 6.0
DESIGN_SNR_DB = 4.0
"""What the sender codes for: the last burst is to be read too."""
N_FRAMES = 3
FREQ_OFFSET_HZ = 1250.0
"""Within half the distance of two carriers, so that the preamble's phase tells it without ambiguity."""
GAP = 6000
CAPTION = "a cup of coffee on a wooden table"
FULL_SCALE = 8.0


def photograph() -> Image.Image:
    """The photograph as it is sent."""
    return Image.fromarray(skimage.data.coffee()).resize((SIZE.width, SIZE.height), Image.Resampling.BICUBIC)


def bursts(picture: Image.Image) -> list[ComplexArray]:
    """One burst a frame, each with less power than the one before."""
    codec = load_codec("softcast")
    x = np.asarray(picture, np.float32).transpose(2, 0, 1) / 255
    text = pack_records(Records(caption=CAPTION))
    found = []
    for number in range(N_FRAMES):
        encoded = codec.encode(x, rate=RATE, snr_db=DESIGN_SNR_DB)
        frame = Frame(2013, number, codec.codec_id, SIZE, RATE, DESIGN_SNR_DB, encoded, text, "bpsk-1/2")
        (burst,) = modulate_frame(frame)
        found.append((10 ** (-STEP_DB * number / 20) * burst).astype(np.complex64))
    return found


def through_the_air(parts: list[ComplexArray]) -> ComplexArray:
    """The bursts with silence between, as a receiver hears them."""
    silence = np.zeros(GAP, np.complex64)
    sent = np.concatenate([silence, *(piece for part in parts for piece in (part, silence))])
    channel = ChannelConfig(snr_db=SNR_DB, freq_offset_hz=FREQ_OFFSET_HZ, sfo_ppm=2.0, seed=1)
    return SampleChannel(channel, SAMPLE_RATE).process(sent)


def annotations(samples: ComplexArray) -> list[Annotation]:
    """What the receiver finds."""
    detector = BurstDetector()
    found = []
    for capture in [*detector.push(samples), *detector.flush()]:
        burst = demodulate(capture)
        found.append(
            Annotation(
                start=burst.start,
                count=burst.n_samples,
                label=f"frame {burst.header.frame}",
                session=burst.header.session,
                frame=burst.header.frame,
                burst=0,
                n_bursts=1,
                snr_est_db=round(burst.snr_est_db, 2),
                cfo_est_hz=round(burst.cfo_norm * SAMPLE_RATE, 1),
                crc_ok=True,
                caption=CAPTION,
            )  # fmt: skip
        )
    return found


def main() -> None:
    """Writes the three files."""
    picture = photograph()
    picture.save(HERE / "cup.png", optimize=True)
    samples = through_the_air(bursts(picture))
    info = RecordingInfo(
        sample_rate=SAMPLE_RATE, hw="none: simulated", datatype="ci16_le", full_scale=FULL_SCALE,
        description="One photograph sent three times, with 6 dB less power each time. Photograph: 'coffee' of "
        "scikit-image, Rachel Michetti, CC0.",
    )  # fmt: skip
    writer = RecordingWriter(HERE / "cup.sigmf-meta", info, overwrites=True)
    writer.open()
    writer.write(samples)
    for annotation in annotations(samples):
        writer.annotate(annotation)
    writer.close()


if __name__ == "__main__":
    main()
