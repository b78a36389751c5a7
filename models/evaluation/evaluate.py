# SPDX-License-Identifier: GPL-3.0-or-later
"""A codec over a folder of pictures, straight through the channel model or through the whole waveform."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
from PIL import Image
from rich.table import Table

from gened.gr_blocks.phy.budget import budget, n_bursts, side_symbols
from gened.gr_blocks.phy.channel import ChannelConfig, SampleChannel, apply_symbols
from gened.gr_blocks.phy.errors import ConfigError
from gened.gr_blocks.phy.header import quantize_snr_db
from gened.gr_blocks.phy.modes import n_symbols
from gened.gr_blocks.phy.modulator import modulate_frame
from gened.gr_blocks.phy.receiver import Receiver
from gened.gr_blocks.phy.types import Encoded, Frame, ImageSize, Received
from gened.models.codecs.base import Codec, Decoded, Picture
from gened.models.evaluation.metrics import bootstrap_interval, masked_psnr_db, mean_picture, ms_ssim, psnr_db

SUFFIXES = (".png", ".jpg", ".jpeg", ".webp", ".bmp", ".tif", ".tiff")
CAPTION_BYTES = 106
"""Where a data set has no captions, one of this length counts, as the 426 16-QAM symbols of the GenED-SC paper
imply."""
CAPTION_SYMBOLS = CAPTION_BYTES * 8 * 2 // 4 + 2
"""106 bytes at rate 1/2 in 16-QAM, and a padding symbol either side: the papers' 426."""
CAPTION_MODE = "16qam-1/2"
SAMPLE_RATE_HZ = 1e6
ROW_KEYS = (
    "codec", "editor", "channel", "rate", "snr_db", "n", "analog_symbols", "side_symbols", "caption_symbols",
    "payload_symbols", "psnr_db", "psnr_db_ci95", "ms_ssim", "psnr_fg_db", "psnr_bg_db", "mask_iou", "mask_fmeasure",
    "lpips", "st_lpips", "brisque", "kid", "clip_score", "lost_fraction", "encode_ms", "decode_ms", "editor_ms",
)  # fmt: skip

Over = Literal["channel", "loopback"]


@dataclass(frozen=True)
class _Score:
    """One picture at one SNR."""

    analog_symbols: int
    side_symbols: int
    caption_symbols: int
    psnr_db: float
    psnr_fg_db: float | None
    psnr_bg_db: float | None
    ms_ssim: float | None
    lost: bool
    encode_ms: float
    decode_ms: float


@dataclass(frozen=True)
class _Item:
    """One picture of a data set with what is known of it."""

    x: Picture
    mask: npt.NDArray[np.bool_] | None
    """[H, W], True on the foreground."""
    caption_symbols: int


def read_captions(data: Path) -> dict[str, str]:
    """First caption of each file of `captions.jsonl` by file name; none where there is no such file.

    Raises:
        ConfigError: A line is not {"file": ..., "captions": [...]}.
    """
    path = data / "captions.jsonl"
    captions: dict[str, str] = {}
    for number, line in enumerate(path.read_text().splitlines() if path.is_file() else [], 1):
        try:
            entry = json.loads(line)
            captions[Path(str(entry["file"])).name] = str(entry["captions"][0])
        except (ValueError, KeyError, IndexError, TypeError) as error:
            raise ConfigError(f'{path}, line {number}: expected {{"file": NAME, "captions": [TEXT, ...]}}') from error
    return captions


def read_mask(data: Path, stem: str, size: ImageSize) -> npt.NDArray[np.bool_] | None:
    """`masks/STEM.png` at the picture's size, True where it is white; None where there is none."""
    path = data / "masks" / f"{stem}.png"
    if not path.is_file():
        return None
    with Image.open(path) as file:
        mask = file.convert("L").resize((size.width, size.height), Image.Resampling.BILINEAR)
    return np.asarray(mask) >= 128


def _read_item(data: Path, path: Path, resize: int | None, captions: dict[str, str]) -> _Item:
    x = read_picture(path, resize)
    caption = captions.get(path.name)
    n_caption = CAPTION_SYMBOLS if caption is None else n_symbols(len(caption.encode()), CAPTION_MODE)
    return _Item(x, read_mask(data, path.stem, ImageSize(x.shape[1], x.shape[2])), n_caption)


def find_pictures(data: Path) -> list[Path]:
    """Pictures of a folder, or of its `images/`, sorted by name.

    Raises:
        ConfigError: No such folder, or no picture in it.
    """
    folder = data / "images" if (data / "images").is_dir() else data
    if not folder.is_dir():
        raise ConfigError(f"no folder {data}; give --data a folder of pictures")
    found = sorted(path for path in folder.iterdir() if path.suffix.lower() in SUFFIXES)
    if not found:
        raise ConfigError(f"no pictures in {folder}; looked for {', '.join(SUFFIXES)}")
    return found


def read_picture(path: Path, resize: int | None) -> Picture:
    """[3, H, W] in [0, 1]; stretched to a square of `resize` by Pillow's bicubic filter."""
    with Image.open(path) as file:
        picture = file.convert("RGB")
    if resize is not None:
        picture = picture.resize((resize, resize), Image.Resampling.BICUBIC)
    return np.ascontiguousarray(np.asarray(picture, np.float32).transpose(2, 0, 1) / 255)


def _through_channel(encoded: Encoded, frame: Frame, channel: ChannelConfig, seed: int) -> Received:
    rng = np.random.default_rng(seed)
    bursts = n_bursts(frame.size, frame.rate)
    symbols, noise_var = apply_symbols(encoded.symbols, channel, rng, n_bursts=bursts)
    return Received(symbols, noise_var, encoded.side_info, frame.size, frame.rate, frame.snr_design_db)


def _through_waveform(encoded: Encoded, frame: Frame, channel: ChannelConfig, seed: int) -> Received | None:
    """Real samples through the sample channel and the whole receiver; None when the frame is not found."""
    air = SampleChannel(replace(channel, seed=seed), SAMPLE_RATE_HZ)
    receiver = Receiver(SAMPLE_RATE_HZ)
    gap = np.zeros(1000, np.complex64)
    frames = []
    for burst in modulate_frame(frame):
        frames += receiver.push(air.process(np.concatenate([gap, burst, gap]), [len(gap)]))
    frames += receiver.flush()
    return frames[0].received if frames else None


def _score(
    codec: Codec,
    item: _Item,
    rate: Fraction,
    snr_db: float,
    channel: ChannelConfig,
    seed: int,
    over: Over,
    options: dict[str, Any],
) -> _Score:
    x = item.x
    size = ImageSize(x.shape[1], x.shape[2])
    design_db = quantize_snr_db(snr_db)
    begun = time.perf_counter()
    encoded = codec.encode(x, rate=rate, snr_db=design_db, seed=seed, **options)
    encode_ms = 1e3 * (time.perf_counter() - begun)
    frame = Frame(1, seed % 65536, codec.codec_id, size, rate, design_db, encoded)
    transmit = _through_channel if over == "channel" else _through_waveform
    received = transmit(encoded, frame, replace(channel, snr_db=snr_db), seed)
    begun = time.perf_counter()
    decoded: Decoded | None = codec.decode(received) if received is not None else None
    decode_ms = 1e3 * (time.perf_counter() - begun)
    lost = decoded is None or decoded.is_lost
    x_hat = mean_picture(x) if decoded is None or lost else decoded.x_hat
    allowed = budget(size, rate, design_db)
    side = side_symbols(len(encoded.side_info), allowed.side_mode, allowed.n_bursts)
    fg_db, bg_db = (
        (None, None)
        if item.mask is None
        else (masked_psnr_db(x, x_hat, item.mask), masked_psnr_db(x, x_hat, ~item.mask))
    )
    return _Score(
        len(encoded.symbols),
        side,
        item.caption_symbols,
        psnr_db(x, x_hat),
        fg_db,
        bg_db,
        ms_ssim(x, x_hat),
        lost,
        encode_ms,
        decode_ms,
    )


def _row(codec: Codec, channel: str, rate: Fraction, snr_db: float, scores: list[_Score]) -> dict[str, Any]:
    def mean(name: str) -> float | None:
        values = [getattr(score, name) for score in scores]
        return None if any(value is None for value in values) else float(np.mean(values))

    def rounded(name: str, digits: int) -> float | None:
        value = mean(name)
        return None if value is None else round(value, digits)

    analog, side, caption = (mean(name) or 0.0 for name in ("analog_symbols", "side_symbols", "caption_symbols"))
    low, high = bootstrap_interval([score.psnr_db for score in scores])
    row: dict[str, Any] = dict.fromkeys(ROW_KEYS)
    row.update(
        codec=codec.name, editor="none", channel=channel, rate=f"{rate}", snr_db=snr_db, n=len(scores),
        analog_symbols=round(analog, 1), side_symbols=round(side, 1), caption_symbols=round(caption, 1),
        payload_symbols=round(analog + side + caption, 1), psnr_db=round(mean("psnr_db") or 0.0, 3),
        psnr_db_ci95=[round(low, 3), round(high, 3)], psnr_fg_db=rounded("psnr_fg_db", 3),
        psnr_bg_db=rounded("psnr_bg_db", 3), ms_ssim=rounded("ms_ssim", 5),
        lost_fraction=float(np.mean([score.lost for score in scores])),
        encode_ms=round(float(np.median([s.encode_ms for s in scores])), 1),
        decode_ms=round(float(np.median([s.decode_ms for s in scores])), 1),
    )  # fmt: skip
    return row


def evaluate(
    codec: Codec,
    data: Path,
    *,
    rate: Fraction = Fraction(1, 24),
    snrs_db: Iterable[float] = (1.0, 4.0, 7.0, 10.0),
    channel: ChannelConfig | None = None,
    resize: int | None = None,
    over: Over = "channel",
    seeds: int = 1,
    limit: int | None = None,
    options: dict[str, Any] | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> list[dict[str, Any]]:
    """PSNR and MS-SSIM of a codec, a row an SNR.

    Args:
        codec: What is evaluated.
        data: Folder of pictures, or one with `images/`, `masks/` (same stem, white = foreground) and `captions.jsonl`
            as far as they exist.
        rate: (analogue + side symbols) / (3 H W).
        snrs_db: Es/N0, each also told to the encoder.
        channel: Everything else of the channel; its SNR is replaced.
        resize: Stretch each picture to a square of this side.
        over: Straight through the channel model, or through the whole waveform.
        seeds: Noise drawings a picture: seeds 0 .. seeds - 1.
        limit: So many pictures only.
        options: Further keywords of the codec's `encode`.
        progress: Called with pictures done and to do.

    Returns:
        Rows with the keys `ROW_KEYS`; None where unknown.

    Raises:
        GenedError: No pictures, or a codec that cannot do what is asked.
    """
    paths, captions = find_pictures(data)[:limit], read_captions(data)
    channel = channel or ChannelConfig()
    levels = list(snrs_db)
    scores: dict[float, list[_Score]] = {snr_db: [] for snr_db in levels}
    for done, path in enumerate(paths):
        item = _read_item(data, path, resize, captions)
        for snr_db in levels:
            for seed in range(seeds):
                scores[snr_db].append(
                    _score(codec, item, rate, snr_db, channel, 1000 * seed + done, over, options or {})
                )
        if progress is not None:
            progress(done + 1, len(paths))
    name = channel.kind if over == "channel" else f"{channel.kind} over loopback"
    return [_row(codec, name, rate, snr_db, scores[snr_db]) for snr_db in levels]


def table(rows: list[dict[str, Any]]) -> Table:
    """The rows for a terminal."""
    result = Table(
        title=f"{rows[0]['codec']}, rate {rows[0]['rate']}, {rows[0]['channel']}, {rows[0]['n']} pictures"
        if rows
        else "nothing"
    )
    for heading in ("SNR dB", "PSNR dB", "95 %", "MS-SSIM", "lost", "symbols", "encode ms", "decode ms"):
        result.add_column(heading, justify="right")
    for row in rows:
        similarity = "-" if row["ms_ssim"] is None else f"{row['ms_ssim']:.4f}"
        low, high = row["psnr_db_ci95"]
        result.add_row(
            f"{row['snr_db']:g}", f"{row['psnr_db']:.2f}", f"{low:.2f} to {high:.2f}", similarity,
            f"{100 * row['lost_fraction']:.1f} %", f"{row['payload_symbols']:.0f}", f"{row['encode_ms']:.0f}",
            f"{row['decode_ms']:.0f}",
        )  # fmt: skip
    return result
