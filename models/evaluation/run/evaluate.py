# SPDX-License-Identifier: GPL-3.0-or-later
"""A codec over a folder of pictures, straight through the channel model or through the whole waveform."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
from rich.table import Table

from gened.errors import ConfigError
from gened.gr_blocks.phy.channel.config import ChannelConfig
from gened.models.codecs.base import Codec
from gened.models.codecs.encode_options import EncodeOptions
from gened.models.data.evaluation_set import find_pictures, read_captions
from gened.models.data.folders import find_mask
from gened.models.evaluation.metrics.metric_set import DEFAULT, METRICS, Figures, MetricSet
from gened.models.evaluation.metrics.pixel_metrics import bootstrap_interval
from gened.models.evaluation.run.measure import MaskSource, Over, Score
from gened.models.evaluation.run.workers import EditorPlan, Plan, measure_here, measure_in_processes

ROW_KEYS = (
    "codec", "editor", "channel", "rate", "snr_db", "n", "analog_symbols", "side_symbols", "caption_symbols",
    "payload_symbols", "psnr_db", "psnr_db_ci95", "ms_ssim", "psnr_fg_db", "psnr_bg_db", "mask_iou", "mask_fmeasure",
    "lpips", "st_lpips", "brisque", "kid", "kid_ci95", "clip_score", "class_agreement", "detector_f1",
    "lost_fraction", "encode_ms", "decode_ms", "editor_ms",
)  # fmt: skip
DIGITS = {"psnr_db": 3, "psnr_fg_db": 3, "psnr_bg_db": 3, "brisque": 3, "clip_score": 3}
"""Decimals of a figure; 5 of all others."""
WHERE_KNOWN = (*METRICS["masks"], "clip_score", "detector_f1")
"""Means over the pictures that have a mask, a caption, or objects. Any other figure that one picture lacks is unknown
for all: a mean over other pictures than its neighbour's would mislead."""
MASK_FIGURES = ("mask_iou", "mask_fmeasure")

TABLE_LINES = (
    ("psnr_db", "PSNR dB", ".2f"), ("low", "95 % from", ".2f"), ("high", "95 % to", ".2f"),
    ("ms_ssim", "MS-SSIM", ".4f"),
    ("psnr_fg_db", "PSNR dB, foreground", ".2f"), ("psnr_bg_db", "PSNR dB, background", ".2f"),
    ("mask_iou", "mask IoU", ".3f"), ("mask_fmeasure", "mask F-measure", ".3f"), ("st_lpips", "ST-LPIPS", ".3f"),
    ("brisque", "BRISQUE", ".1f"), ("kid", "kernel distance", ".3f"), ("class_agreement", "same class", ".1%"),
    ("detector_f1", "same objects, F1", ".3f"), ("clip_score", "CLIP score", ".1f"), ("lost_fraction", "lost", ".1%"),
    ("payload_symbols", "symbols", ".0f"), ("encode_ms", "encode ms", ".0f"), ("decode_ms", "decode ms", ".0f"),
    ("editor_ms", "editor ms", ".0f"),
)  # fmt: skip
"""Key, name and pattern of each line of the table."""


def _mean(figures: Sequence[Figures], key: str, lost: Sequence[bool]) -> float | None:
    values = [each[key] for each in figures]
    if key in MASK_FIGURES and any(value is not None for value in values):
        # A lost picture brought no mask: nothing of the foreground was found.
        values = [
            0.0 if is_lost and each["psnr_fg_db"] is not None else value
            for each, value, is_lost in zip(figures, values, lost, strict=True)
        ]
    known = [value for value in values if value is not None]
    if not known or (len(known) < len(values) and key not in WHERE_KNOWN):
        return None
    return round(float(np.mean(known)), DIGITS.get(key, 5))


def _row(
    codec: Codec, channel: str, rate: Fraction, snr_db: float, scores: list[Score], editor: str | None = None
) -> dict[str, Any]:
    """Of the received pictures, or of what the editor made of them."""
    analog, side, caption = (
        float(np.mean([getattr(score, name) for score in scores]))
        for name in ("analog_symbols", "side_symbols", "caption_symbols")
    )
    figures = [score.figures if editor is None else (score.edited or {})["figures"] for score in scores]
    patches = [score.patches if editor is None else (score.edited or {})["patches"] for score in scores]
    low, high = bootstrap_interval([each["psnr_db"] or 0.0 for each in figures])
    row: dict[str, Any] = dict.fromkeys(ROW_KEYS)
    row.update({key: _mean(figures, key, [score.lost for score in scores]) for key in figures[0]})
    row.update(_kernel_distance(patches))
    if editor is not None:
        times = [ms for score in scores if (ms := (score.edited or {})["editor_ms"]) is not None]
        row["editor_ms"] = round(float(np.median(times)), 1) if times else None
    row.update(
        codec=codec.name, editor=editor or "none", channel=channel, rate=f"{rate}", snr_db=snr_db, n=len(scores),
        analog_symbols=round(analog, 1), side_symbols=round(side, 1), caption_symbols=round(caption, 1),
        payload_symbols=round(analog + side + caption, 1), psnr_db_ci95=[round(low, 3), round(high, 3)],
        lost_fraction=float(np.mean([score.lost for score in scores])),
        encode_ms=round(float(np.median([score.encode_ms for score in scores])), 1),
        decode_ms=round(float(np.median([score.decode_ms for score in scores])), 1),
    )  # fmt: skip
    return row


def _kernel_distance(patches: Sequence[Sequence[str] | None]) -> dict[str, Any]:
    """Over all pictures; nothing where the features were not asked for."""
    known = [pair for pair in patches if pair is not None]
    if not known:
        return {}
    from gened.models.evaluation.metrics.kernel_distance import distance_interval, unpacked

    value, low, high = distance_interval([unpacked(a) for a, _ in known], [unpacked(b) for _, b in known])
    return {"kid": round(value, 5), "kid_ci95": [round(low, 5), round(high, 5)]}


def _plan(data: Path, limit: int | None, encode: EncodeOptions, mask: MaskSource, **others: Any) -> Plan:
    if encode.focus not in (None, 1) and mask == "none":
        raise ConfigError("--mask none weighs all alike: leave --focus out, or let the codec know a mask")
    paths = tuple(find_pictures(data)[:limit])
    if mask == "truth":
        missing = [path.name for path in paths if find_mask(data, path) is None]
        if missing:
            raise ConfigError(
                f"--mask truth needs {data / 'masks'} with a mask for each picture; {missing[0]} has none"
                + (f", nor have {len(missing) - 1} others" if len(missing) > 1 else "")
            )
    return Plan(data=data, paths=paths, mask=mask, encode=encode, **others)


def evaluate(
    codec: Codec,
    data: Path,
    *,
    encode: EncodeOptions | None = None,
    snrs_db: Iterable[float] = (1.0, 4.0, 7.0, 10.0),
    channel: ChannelConfig | None = None,
    resize: int | None = None,
    over: Over = "channel",
    seeds: int = 1,
    limit: int | None = None,
    mask: MaskSource = "codec",
    snr_error_db: float = 0.0,
    metrics: Sequence[str] = DEFAULT,
    clip: str | None = None,
    cache: Path | None = None,
    workers: int = 1,
    batch: int = 1,
    codec_name: str | None = None,
    device: str = "cpu",
    codec_options: Mapping[str, Any] | None = None,
    progress: Callable[[int, int], None] | None = None,
    editor: EditorPlan | None = None,
) -> list[dict[str, Any]]:
    """The metrics of a codec over a folder of pictures, a row an SNR.

    Args:
        codec: What is evaluated.
        data: Folder of pictures, or one with `images/`, `masks/` (same stem, white = foreground) and `captions.jsonl`
            as far as they exist.
        encode: Settings of the encoder; their SNR and their seed are replaced.
        snrs_db: Es/N0, each also passed to the encoder.
        snr_error_db: SNR mismatch: added to the SNR that the encoder receives, in dB.
        channel: Everything else of the channel; its SNR is replaced.
        resize: Stretch each picture to a square of this side.
        over: Straight through the channel model, or through the whole waveform.
        seeds: Noise drawings a picture.
        limit: So many pictures only.
        mask: Importance that the encoder receives: none, the data's, or its own estimate.
        metrics: Names of `metric_set.METRICS`.
        clip: Folder or name of the CLIP for `clip_score`.
        cache: Folder for what was measured already; None: nothing is kept.
        workers: Processes that share the pictures.
        batch: Pictures of one size that are encoded and decoded together; the times are then a picture's share.
        codec_name: Name or folder of the codec, for the processes to load.
        device: PyTorch device on which they do.
        codec_options: Options of the codec's constructor, for the processes.
        progress: Called with pictures done and to do.
        editor: Who edits what was received; None: nobody.

    Returns:
        Rows with the keys `ROW_KEYS`, an SNR each; None where unknown. With an editor a row of the received pictures
        comes before each row of what became of them.

    Raises:
        GenedError: No pictures, a metric that cannot be had, or a codec that cannot do what is asked.
    """
    channel, encode = channel or ChannelConfig(), encode or EncodeOptions()
    plan = _plan(
        data, limit, encode, mask, snrs_db=tuple(snrs_db), channel=channel, over=over, seeds=seeds, resize=resize,
        snr_error_db=snr_error_db, metrics=tuple(metrics), clip=clip, cache=cache, editor=editor, batch=batch,
        codec_options=codec_options or {},
    )  # fmt: skip
    if not math.isfinite(snr_error_db):
        raise ConfigError(f"an SNR error of {snr_error_db:g} dB; give a finite number")
    if channel.erasure and over != "channel":
        raise ConfigError("symbols can be lost one by one only straight through the channel; over loopback use --drop")
    told = progress or (lambda _done, _total: None)
    if workers > 1:
        if codec_name is None:
            raise ConfigError("several workers need the codec by name, each loads its own")
        scores = measure_in_processes(codec_name, device, plan, workers, told)
    else:
        scores = measure_here(codec, plan, told)
    name = channel.kind if over == "channel" else f"{channel.kind} over loopback"
    rows = []
    for level, snr_db in enumerate(plan.snrs_db):
        at_level = [score for picture in scores for score in picture[level]]
        for edited_by in (None,) if editor is None else (None, editor.name):
            rows.append(_row(codec, name, encode.rate, snr_db, at_level, edited_by))
    return rows


def describe(
    data: Path, *, limit: int | None, metrics: Sequence[str], clip: str | None, **settings: Any
) -> dict[str, Any]:
    """For the result's `meta`: the data, the metrics with their libraries, and how they were asked for."""
    paths, captions = find_pictures(data)[:limit], read_captions(data)
    return {
        "data": {
            "name": data.resolve().name,
            "pictures": len(paths),
            "masks": sum(find_mask(data, path) is not None for path in paths),
            "captions": sum(path.name in captions for path in paths),
        },
        "metrics": MetricSet(metrics, clip=clip).versions(),
        **settings,
    }


def table(rows: list[dict[str, Any]]) -> Table:
    """For a terminal: a column an SNR, a line a figure; figures that no row has get no line.

    Columns of edited pictures have the editor's name in their heading."""
    first = rows[0]
    result = Table(title=f"{first['codec']}, rate {first['rate']}, {first['channel']}, {first['n']} pictures")
    result.add_column("SNR dB")
    for row in rows:
        by = "" if row["editor"] == "none" else f" {row['editor']}"
        result.add_column(f"{row['snr_db']:g}{by}", justify="right", no_wrap=True)
    shown = [{**row, "low": row["psnr_db_ci95"][0], "high": row["psnr_db_ci95"][1]} for row in rows]
    for key, name, pattern in TABLE_LINES:
        if any(row[key] is not None for row in shown):
            result.add_row(name, *("-" if row[key] is None else f"{row[key]:{pattern}}" for row in shown))
    return result
