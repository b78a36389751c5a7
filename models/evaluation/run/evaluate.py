# SPDX-License-Identifier: GPL-3.0-or-later
"""Evaluation of a codec over a folder of pictures, through the channel model or through the whole waveform."""

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
from gened.models.evaluation.metrics.base import Figures
from gened.models.evaluation.metrics.metric_set import MetricSet
from gened.models.evaluation.metrics.pixel_metrics import bootstrap_interval
from gened.models.evaluation.metrics.registry import DEFAULT, FIGURES
from gened.models.evaluation.run.measure import MaskSource, Over, Score
from gened.models.evaluation.run.workers import EditorPlan, Plan, measure_here, measure_in_processes

ROW_KEYS = (
    "codec", "editor", "channel", "rate", "snr_db", "n", "n_pictures", "n_seeds", "analog_symbols", "side_symbols",
    "caption_symbols", "payload_symbols",
    *(key for figure in FIGURES.values() for key in (figure.key, f"{figure.key}_ci95")[: 1 + figure.has_interval]),
    "lpips", "lost_fraction", "encode_ms", "decode_ms", "editor_ms",
)  # fmt: skip
"""Keys of a row: how the pictures were sent, the figures of all registered metrics, losses and times."""
MASK_FIGURES = ("mask_iou", "mask_fmeasure")

TABLE_LINES = (
    ("psnr_db", FIGURES["psnr_db"].title, FIGURES["psnr_db"].pattern),
    ("low", "95 % from", ".2f"), ("high", "95 % to", ".2f"),
    *((figure.key, figure.title, figure.pattern) for figure in FIGURES.values() if figure.key != "psnr_db"),
    ("lost_fraction", "lost", ".1%"), ("payload_symbols", "symbols", ".0f"), ("encode_ms", "encode ms", ".0f"),
    ("decode_ms", "decode ms", ".0f"), ("editor_ms", "editor ms", ".0f"),
)  # fmt: skip
"""Key, name and format of each line of the table."""


def _mean(figures: Sequence[Figures], key: str, lost: Sequence[bool]) -> float | None:
    values = [each[key] for each in figures]
    if key in MASK_FIGURES and any(value is not None for value in values):
        # A lost picture carries no mask, so its overlap with the foreground is zero.
        values = [
            0.0 if is_lost and each["psnr_fg_db"] is not None else value
            for each, value, is_lost in zip(figures, values, lost, strict=True)
        ]
    known = [value for value in values if value is not None]
    if not known or (len(known) < len(values) and not FIGURES[key].is_partial):
        return None
    return round(float(np.mean(known)), FIGURES[key].digits)


def _row(
    codec: Codec, channel: str, rate: Fraction, snr_db: float, scores: list[list[Score]], editor: str | None = None
) -> dict[str, Any]:
    """The row of the received pictures, or of the edited ones if an editor is named; from scores [picture][seed]."""
    flat = [score for picture in scores for score in picture]
    analog, side, caption = (
        float(np.mean([getattr(score, name) for score in flat]))
        for name in ("analog_symbols", "side_symbols", "caption_symbols")
    )
    figures = [score.figures if editor is None else (score.edited or {})["figures"] for score in flat]
    n_pictures, n_seeds = len(scores), len(scores[0])
    row: dict[str, Any] = dict.fromkeys(ROW_KEYS)
    row.update({key: _mean(figures, key, [score.lost for score in flat]) for key in figures[0]})
    row.update(_kernel_distance(scores, editor))
    if editor is not None:
        times = [ms for score in flat if (ms := (score.edited or {})["editor_ms"]) is not None]
        row["editor_ms"] = round(float(np.median(times)), 1) if times else None
    psnrs_db = np.reshape([each["psnr_db"] or 0.0 for each in figures], (n_pictures, n_seeds))
    row.update(
        codec=codec.name, editor=editor or "none", channel=channel, rate=f"{rate}", snr_db=snr_db, n=len(flat),
        n_pictures=n_pictures, n_seeds=n_seeds,
        analog_symbols=round(analog, 1), side_symbols=round(side, 1), caption_symbols=round(caption, 1),
        payload_symbols=round(analog + side + caption, 1), psnr_db_ci95=_rounded(bootstrap_interval(psnrs_db), 3),
        lost_fraction=float(np.mean([score.lost for score in flat])),
        encode_ms=round(float(np.median([score.encode_ms for score in flat])), 1),
        decode_ms=round(float(np.median([score.decode_ms for score in flat])), 1),
    )  # fmt: skip
    return row


def _rounded(interval: tuple[float, float] | None, digits: int) -> list[float] | None:
    return None if interval is None else [round(end, digits) for end in interval]


def _kernel_distance(scores: list[list[Score]], editor: str | None) -> dict[str, Any]:
    """Kernel distance over all pictures with its interval; empty without features."""
    patches: list[list[tuple[str, str] | None]] = [
        [score.patches if editor is None else (score.edited or {})["patches"] for score in picture]
        for picture in scores
    ]
    known = [[pair for pair in picture if pair is not None] for picture in patches]
    if known != patches:
        return {}
    from gened.models.evaluation.metrics.kernel_distance import distance_interval, unpacked

    value, interval = distance_interval(
        [unpacked(picture[0][0]) for picture in known],
        [[unpacked(pair[1]) for pair in seed] for seed in zip(*known, strict=True)],
    )
    return {"kid": round(value, 5), "kid_ci95": _rounded(interval, 5)}


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
    """The metrics of a codec over a folder of pictures, one row per SNR.

    Args:
        codec: The codec.
        data: Folder of pictures, or one with `images/`, `masks/` (same stem, white = foreground) and `captions.jsonl`
            as far as they exist.
        encode: Settings of the encoder; their SNR and their seed are replaced.
        snrs_db: Es/N0 of the channel in dB, which the encoder receives as well.
        snr_error_db: SNR mismatch: added to the SNR that the encoder receives, in dB.
        channel: Everything else of the channel; its SNR is replaced.
        resize: Stretch each picture to a square of this side.
        over: Symbols through the channel model, or samples through the whole waveform.
        seeds: Noise seeds per picture. Intervals are over the pictures, after the mean over their seeds.
        limit: Number of pictures, from the first; None: all.
        mask: Importance that the encoder receives: none, the data's, or its own estimate.
        metrics: Names of `registry.METRICS`.
        clip: Folder or name of the CLIP for `clip_score`.
        cache: Folder in which scores are kept between runs; None: none are kept.
        workers: Number of processes among which the pictures are divided.
        batch: Pictures of one size that are encoded and decoded together; times are then divided by their number.
        codec_name: Name or folder of the codec, for the processes to load.
        device: PyTorch device of the codec in those processes.
        codec_options: Options of the codec's constructor, for the processes.
        progress: Called with pictures done and to do.
        editor: The editor of the received pictures; None: no editing.

    Returns:
        Rows with the keys `ROW_KEYS`, one per SNR; None where unknown. With an editor, each row of received pictures is
        followed by the row of the edited ones.

    Raises:
        GenedError: There are no pictures, a metric is not installed, or the codec does not support a setting.
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
    report = progress or (lambda _done, _total: None)
    if workers > 1:
        if codec_name is None:
            raise ConfigError("several workers need the codec by name, each loads its own")
        scores = measure_in_processes(codec_name, device, plan, workers, report)
    else:
        scores = measure_here(codec, plan, report)
    name = channel.kind if over == "channel" else f"{channel.kind} over loopback"
    rows = []
    for level, snr_db in enumerate(plan.snrs_db):
        at_level = [picture[level] for picture in scores]
        for edited_by in (None,) if editor is None else (None, editor.name):
            rows.append(_row(codec, name, encode.rate, snr_db, at_level, edited_by))
    return rows


def describe(
    data: Path, *, limit: int | None, metrics: Sequence[str], clip: str | None, **settings: Any
) -> dict[str, Any]:
    """The part of a result's `meta` on the data, the metrics with their libraries, and the settings."""
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
    """The rows as a table for a terminal: one column per SNR, one line per figure that any row has.

    The heading of a column of edited pictures holds the editor's name."""
    first = rows[0]
    seeds = f", {first['n_seeds']} noise seeds each" if first["n_seeds"] > 1 else ""
    result = Table(
        title=f"{first['codec']}, rate {first['rate']}, {first['channel']}, {first['n_pictures']} pictures{seeds}"
    )
    result.add_column("SNR dB")
    for row in rows:
        by = "" if row["editor"] == "none" else f" {row['editor']}"
        result.add_column(f"{row['snr_db']:g}{by}", justify="right", no_wrap=True)
    shown = [{**row, **dict(zip(("low", "high"), row["psnr_db_ci95"] or (None, None), strict=True))} for row in rows]
    for key, name, pattern in TABLE_LINES:
        if any(row[key] is not None for row in shown):
            result.add_row(name, *("-" if row[key] is None else f"{row[key]:{pattern}}" for row in shown))
    return result
