# SPDX-License-Identifier: GPL-3.0-or-later
"""A photograph as one HEVC intra slice of at most a given number of bytes, by x265 through PyAV.

The payload is the quantiser (1 byte) and the slice without its NAL header. The receiver generates the video, sequence
and picture parameter sets from size and quantiser with the same x265; the codec's number in the header of a burst
depends on its version.

References:
    ITU-T H.265, "High efficiency video coding".
"""

from __future__ import annotations

from fractions import Fraction
from functools import lru_cache
from typing import NamedTuple

import av
import numpy as np
import numpy.typing as npt
from av.error import FFmpegError
from av.video.reformatter import Interpolation
from PIL import Image

UInt8Array = npt.NDArray[np.uint8]
MAX_QP = 51
START_CODE = b"\0\0\0\1"
SLICE_HEADER = bytes.fromhex("2801")
"""NAL header of an IDR picture without leading ones (type 20), ITU-T H.265 table 7-1: constant, hence not sent."""
PARAMETER_SET_TYPES = (32, 33, 34)
X265_PARAMETERS = (
    "log-level=none:keyint=1:info=0:pools=none:frame-threads=1:no-wpp=1:no-hash=1:repeat-headers=1:"
    "psy-rd=0:psy-rdoq=0:aq-mode=0"  # as `tune=psnr`, because the codec is compared by PSNR
)
SCALES = (1, 2, 4, 8)
"""Reduction factors; below about 0.05 bits per pixel half the size has a higher PSNR."""
MIN_SIDE = 32
REDUCE_FROM_QP = 38


class Still(NamedTuple):
    """A compressed photograph."""

    data: bytes
    scale_code: int
    """Index into `SCALES`."""


def version() -> str:
    """Version and parameters that both ends must share, for the codec's number."""
    return f"av {av.__version__}, {X265_PARAMETERS}"


def _nal_units(stream: bytes) -> list[bytes]:
    return [unit.strip(b"\0") if i == 0 else unit for i, unit in enumerate(stream.split(b"\0\0\1"))][1:]


def _encode(frame: av.VideoFrame, qp: int, rdoq_level: int) -> list[bytes]:
    context = av.CodecContext.create("libx265", "w")
    assert isinstance(context, av.VideoCodecContext)
    context.width, context.height, context.pix_fmt = frame.width, frame.height, "yuv420p"
    context.time_base = Fraction(1, 1)
    context.framerate = Fraction(1, 1)
    context.options = {"preset": "slow", "x265-params": f"{X265_PARAMETERS}:rdoq-level={rdoq_level}:qp={qp}"}
    packets = [*context.encode(frame), *context.encode(None)]
    # A zero byte before a start code belongs to the start code.
    return [
        unit[:-1] if unit[-1:] == b"\0" else unit for unit in _nal_units(b"".join(bytes(packet) for packet in packets))
    ]


def _unit_type(unit: bytes) -> int:
    return unit[0] >> 1 & 63


@lru_cache(maxsize=256)
def _parameter_sets(width: int, height: int, qp: int) -> bytes:
    """Parameter sets that x265 writes for this size and quantiser, with start codes."""
    grey = np.full((height, width, 3), 128, np.uint8)
    units = _encode(_to_frame(grey), qp, 0)
    return b"".join(START_CODE + unit for unit in units if _unit_type(unit) in PARAMETER_SET_TYPES)


def _to_frame(pixels: UInt8Array) -> av.VideoFrame:
    frame = av.VideoFrame.from_ndarray(pixels, format="rgb24")
    frame = frame.reformat(format="yuv420p", interpolation=Interpolation.BICUBIC)
    frame.pts = 0
    return frame


def _coded_size(height: int, width: int, scale_code: int) -> tuple[int, int]:
    """Reduced height and width, even because of 4:2:0."""
    reduced = (-(-side // SCALES[scale_code]) for side in (height, width))
    coded_height, coded_width = (side + side % 2 for side in reduced)
    return coded_height, coded_width


def _reduced(pixels: UInt8Array, scale_code: int) -> UInt8Array:
    height, width = pixels.shape[:2]
    coded_height, coded_width = _coded_size(height, width, scale_code)
    if scale_code == 0:
        return np.pad(pixels, ((0, coded_height - height), (0, coded_width - width), (0, 0)), mode="edge")
    return np.asarray(Image.fromarray(pixels).resize((coded_width, coded_height), Image.Resampling.LANCZOS))


def _squared_error(still: Still, pixels: UInt8Array) -> float:
    restored = decompress(still, pixels.shape[0], pixels.shape[1])
    return np.inf if restored is None else float(np.mean((restored.astype(np.float32) - pixels) ** 2))


def _payload(units: list[bytes], qp: int) -> bytes:
    slices = [unit for unit in units if _unit_type(unit) < 32]
    assert len(slices) == 1 and slices[0][:2] == SLICE_HEADER, "x265 wrote something else than one IDR slice"
    return bytes([qp]) + slices[0][2:]


def _fit(pixels: UInt8Array, n_bytes: int, scale_code: int) -> tuple[Still, int] | None:
    """The slice of the finest quantiser that fits, and that quantiser; None if the coarsest does not fit."""
    frame = _to_frame(_reduced(pixels, scale_code))
    finest, coarsest = -1, MAX_QP + 1  # the former does not fit, the latter does or is untried
    best: Still | None = None
    qp = 37
    while coarsest - finest > 1:
        data = _payload(_encode(frame, qp, 2), qp)
        if len(data) <= n_bytes:
            coarsest, best = qp, Still(data, scale_code)
        else:
            finest = qp
        step = round(6.5 * np.log2(len(data) / n_bytes))  # the size halves about every 6.5 steps
        qp = min(max(qp + step, finest + 1), coarsest - 1)
    if best is None:
        return None
    # Half a step finer, if that fits: the same quantiser with less zeroing of coefficients.
    data = _payload(_encode(frame, coarsest, 1), coarsest)
    finer = Still(data, scale_code)
    if len(data) <= n_bytes and _squared_error(finer, pixels) < _squared_error(best, pixels):
        best = finer
    return best, coarsest


def compress(pixels: UInt8Array, n_bytes: int) -> Still | None:
    """The compressed picture of least squared error that fits.

    Args:
        pixels: [H, W, 3] uint8 RGB.
        n_bytes: Largest length of `Still.data`.

    Returns:
        None if nothing fits.
    """
    best: tuple[float, Still] | None = None
    for scale_code, scale in enumerate(SCALES):
        if n_bytes < 2 or (scale > 1 and min(pixels.shape[:2]) // scale < MIN_SIDE):
            break
        fitted = _fit(pixels, n_bytes, scale_code)
        if fitted is None:
            continue
        still, qp = fitted
        error = _squared_error(still, pixels)
        if best is not None and error >= best[0]:
            break
        best = (error, still)
        if qp < REDUCE_FROM_QP:
            break
    return best[1] if best else None


def decompress(still: Still, height: int, width: int) -> UInt8Array | None:
    """The photograph, [height, width, 3] uint8 RGB; None if the data are malformed."""
    if not still.data or still.data[0] > MAX_QP or not 0 <= still.scale_code < len(SCALES):
        return None
    coded_height, coded_width = _coded_size(height, width, still.scale_code)
    try:
        stream = _parameter_sets(coded_width, coded_height, still.data[0]) + START_CODE + SLICE_HEADER + still.data[1:]
        decoder = av.CodecContext.create("hevc", "r")
        assert isinstance(decoder, av.VideoCodecContext)
        frames = [*decoder.decode(av.Packet(stream)), *decoder.decode(None)]
    except (FFmpegError, ValueError):
        return None
    if len(frames) != 1 or (frames[0].height, frames[0].width) != (coded_height, coded_width):
        return None
    pixels = frames[0].reformat(format="rgb24", interpolation=Interpolation.BICUBIC).to_ndarray()
    if still.scale_code == 0:
        return np.ascontiguousarray(pixels[:height, :width])
    return np.asarray(Image.fromarray(pixels).resize((width, height), Image.Resampling.BICUBIC))
