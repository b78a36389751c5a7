# SPDX-License-Identifier: GPL-3.0-or-later
"""Evaluation of a codec over a folder of pictures, through the channel model or through the whole waveform."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path
from typing import Any, ParamSpec

import numpy as np
from rich.table import Table

from gened.errors import ConfigError, FrameError, GenedError, ImageError
from gened.gr_blocks.phy.channel.config import ChannelConfig
from gened.gr_blocks.phy.framing.budget import budget
from gened.models.codecs.base import Codec
from gened.models.codecs.encode_options import EncodeOptions
from gened.models.data.evaluation_set import check_item, data_hash, find_pictures, read_captions
from gened.models.data.folders import find_mask
from gened.models.evaluation.metrics.base import Figures
from gened.models.evaluation.metrics.metric_set import MetricSet
from gened.models.evaluation.metrics.pixel_metrics import MS_SSIM_MIN_SIDE, bootstrap_interval
from gened.models.evaluation.metrics.registry import DEFAULT, FIGURES, METRICS
from gened.models.evaluation.run.caption_link import Captions
from gened.models.evaluation.run.measure import MaskSource, Over, Score
from gened.models.evaluation.run.per_picture import Shown, entries
from gened.models.evaluation.run.workers import (
    EditorPlan,
    Failed,
    Plan,
    measure_here,
    measure_in_processes,
    noise_seed,
)

ROW_KEYS = (
    "codec", "editor", "channel", "rate", "snr_db", "n", "n_pictures", "n_seeds", "analog_symbols", "side_symbols",
    "caption_symbols", "payload_symbols",
    *(key for figure in FIGURES.values() for key in (figure.key, f"{figure.key}_ci95")[: 1 + figure.has_interval]),
    "lpips", "lost_fraction", "encode_ms", "decode_ms", "editor_ms", "n_known",
)  # fmt: skip
"""Keys of a row: how the pictures were sent, the figures of all registered metrics, losses, times, and
the number of values behind each figure."""
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
    return round(float(np.mean(known)), FIGURES[key].digits) if known else None


def _n_known(figures: Sequence[Figures], row: dict[str, Any], metrics: Sequence[str]) -> dict[str, int]:
    """Number of values behind each figure of the chosen metrics; a value is one noise seed of one picture."""
    keys = [key for name in METRICS if name in metrics for key in METRICS[name].keys]
    counts = {key: sum(each.get(key) is not None for each in figures) for key in keys}
    return counts | ({"kid": len(figures) if row["kid"] is not None else 0} if "kid" in counts else {})


def _row(
    codec: Codec, channel: str, rate: Fraction, snr_db: float, scores: list[list[Score]], metrics: Sequence[str],
    editor: str | None = None,
) -> dict[str, Any]:  # fmt: skip
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
    row["n_known"] = _n_known(figures, row, metrics)
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


@dataclass(frozen=True)
class LeftOut:
    """A picture that was left out."""

    picture: str
    """Name of the file."""
    reason: str


@dataclass(frozen=True)
class Evaluation:
    """The result of an evaluation."""

    rows: list[dict[str, Any]]
    """Means over the pictures, with the keys `ROW_KEYS`; see `evaluate`."""
    pictures: list[dict[str, Any]]
    """Values of each picture and noise seed, in the order of the rows; see `per_picture.entries`."""
    paths: tuple[Path, ...]
    """Pictures that were measured."""
    left_out: tuple[LeftOut, ...] = ()
    """Pictures that were left out with `skip_bad`."""


def _plan(data: Path, limit: int | None, encode: EncodeOptions, **others: Any) -> tuple[Plan, list[LeftOut]]:
    """What is measured, and the pictures that are left out for their headers."""
    plan = Plan(data=data, paths=tuple(find_pictures(data)[:limit]), encode=encode, **others)
    if encode.focus not in (None, 1) and plan.mask == "none":
        raise ConfigError("--mask none weighs all alike: leave --focus out, or let the codec know a mask")
    if plan.mask == "truth":
        missing = [path.name for path in plan.paths if find_mask(data, path) is None]
        if missing:
            raise ConfigError(
                f"--mask truth needs {data / 'masks'} with a mask for each picture; {missing[0]} has none"
                + (f", nor have {len(missing) - 1} others" if len(missing) > 1 else "")
            )
    left_out = []
    for path in plan.paths:
        try:
            _check(plan, path)
        except GenedError as error:
            if not plan.skip_bad:
                raise
            left_out.append(LeftOut(path.name, str(error)))
    names = {one.picture for one in left_out}
    good = tuple(path for path in plan.paths if path.name not in names)
    if not good:
        raise ImageError(f"no picture of {data} can be evaluated; {left_out[0].reason}")
    return replace(plan, paths=good), left_out


def _check(plan: Plan, path: Path) -> None:
    """Check by its header that a picture can be read and sent; raises an error that names it."""
    size = check_item(plan.data, path, plan.resize)
    try:
        budget(size, plan.encode.rate, 0.0)
    except FrameError as error:
        raise FrameError(f"{path}: {error}") from error


def run_evaluation(
    codec: Codec,
    data: Path,
    *,
    encode: EncodeOptions | None = None,
    snrs_db: Iterable[float] = (1.0, 4.0, 7.0, 10.0),
    channel: ChannelConfig | None = None,
    resize: int | None = None,
    over: Over = "channel",
    seeds: int = 1,
    base_seed: int = 0,
    limit: int | None = None,
    mask: MaskSource = "codec",
    snr_error_db: float = 0.0,
    metrics: Sequence[str] = DEFAULT,
    clip: str | None = None,
    cache: Path | None = None,
    workers: int = 1,
    threads: int | None = None,
    batch: int = 1,
    codec_name: str | None = None,
    device: str = "cpu",
    codec_options: Mapping[str, Any] | None = None,
    progress: Callable[[int, int], None] | None = None,
    editor: EditorPlan | None = None,
    skip_bad: bool = False,
    captions: Captions = "sent",
) -> Evaluation:
    """The metrics of a codec over a folder of pictures: one row per SNR, and the values of each picture.

    The headers of all pictures are read before the first one is encoded.

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
        base_seed: Decides the noise of all pictures; see `workers.noise_seed`.
        limit: Number of pictures, from the first; None: all.
        mask: Importance that the encoder receives: none, the data's, or its own estimate.
        metrics: Names of `registry.METRICS`.
        clip: Folder or name of the CLIP for `clip_score`.
        cache: Folder in which scores are kept between runs; None: none are kept.
        workers: Number of processes among which the pictures are divided.
        threads: Threads of PyTorch and BLAS in each of several processes; None: the cores, divided among them.
        batch: Pictures of one size that are encoded and decoded together; times are then divided by their number.
        codec_name: Name or folder of the codec, for the processes to load.
        device: PyTorch device of the codec in those processes.
        codec_options: Options of the codec's constructor, for the processes.
        progress: Called with pictures done and to do.
        editor: The editor of the received pictures; None: no editing.
        skip_bad: Leave out pictures that fail, and list them in the result, instead of ending with the first one.
        captions: Whether captions are sent and counted, see `caption_link.Captions`.

    Returns:
        Rows with the keys `ROW_KEYS`, one per SNR; None where unknown. With an editor, each row of received pictures is
        followed by the row of the edited ones.

    Raises:
        GenedError: There are no pictures, a picture fails, a metric is not installed, or the codec does not support a
            setting.
    """
    channel, encode = channel or ChannelConfig(), encode or EncodeOptions()
    if not math.isfinite(snr_error_db):
        raise ConfigError(f"an SNR error of {snr_error_db:g} dB; give a finite number")
    if channel.erasure and over != "channel":
        raise ConfigError("symbols can be lost one by one only straight through the channel; over loopback use --drop")
    plan, left_out = _plan(
        data, limit, encode, mask=mask, snrs_db=tuple(snrs_db), channel=channel, over=over, seeds=seeds, resize=resize,
        base_seed=base_seed, snr_error_db=snr_error_db, metrics=tuple(metrics), clip=clip, cache=cache, editor=editor,
        batch=batch, codec_options=codec_options or {}, skip_bad=skip_bad,
        captions=captions,
    )  # fmt: skip
    edited_name = None if editor is None else editor.backend()
    report = progress or (lambda _done, _total: None)
    if workers > 1:
        if codec_name is None:
            raise ConfigError("several workers need the codec by name, each loads its own")
        answers = measure_in_processes(codec_name, device, plan, workers, report, threads=threads)
    else:
        answers = measure_here(codec, plan, report)
    shown: list[Shown] = []
    for index, (path, answer) in enumerate(zip(plan.paths, answers, strict=True)):
        if isinstance(answer, Failed):
            left_out.append(LeftOut(path.name, answer.reason))
        else:
            shown.append(Shown(path.name, [noise_seed(base_seed, i, index) for i in range(seeds)], answer))
    if not shown:
        raise ImageError(f"no picture of {data} can be evaluated; {left_out[0].reason}")
    name = channel.kind if over == "channel" else f"{channel.kind} over loopback"
    rows: list[dict[str, Any]] = []
    pictures: list[dict[str, Any]] = []
    for level, snr_db in enumerate(plan.snrs_db):
        at_level = [one.scores[level] for one in shown]
        for edited_by in (None,) if edited_name is None else (None, edited_name):
            row = _row(codec, name, encode.rate, snr_db, at_level, plan.metrics, edited_by)
            rows.append(row)
            pictures += entries(row, shown, level, plan.metrics)
    names = {one.name for one in shown}
    return Evaluation(rows, pictures, tuple(path for path in plan.paths if path.name in names), tuple(left_out))


P = ParamSpec("P")


def _rows_of(run: Callable[P, Evaluation]) -> Callable[P, list[dict[str, Any]]]:
    @functools.wraps(run)
    def rows(*arguments: P.args, **settings: P.kwargs) -> list[dict[str, Any]]:
        return run(*arguments, **settings).rows

    return rows


evaluate = _rows_of(run_evaluation)
"""The rows of `run_evaluation`, with the same arguments."""


def describe(
    data: Path, *, limit: int | None, metrics: Sequence[str], clip: str | None, paths: Sequence[Path] | None = None,
    **settings: Any,
) -> dict[str, Any]:  # fmt: skip
    """The part of a result's `meta` on the data, the metrics with their libraries, and the settings.

    Args:
        data: The data set's folder.
        limit: Number of pictures, from the first; None: all.
        metrics: Names of `registry.METRICS`.
        clip: Folder or name of the CLIP for `clip_score`.
        paths: The pictures, in place of the first `limit` of the folder.
        **settings: Further entries.
    """
    return {
        "data": describe_data(data, find_pictures(data)[:limit] if paths is None else paths),
        "metrics": MetricSet(metrics, clip=clip).versions(),
        **settings,
    }


def describe_data(data: Path, paths: Sequence[Path]) -> dict[str, Any]:
    """Name, numbers and hash of the pictures of an evaluation."""
    captions = read_captions(data)
    return {
        "name": data.resolve().name,
        "pictures": len(paths),
        "masks": sum(find_mask(data, path) is not None for path in paths),
        "captions": sum(path.name in captions for path in paths),
        "sha256": data_hash(data, paths),
    }


def missing_values(rows: Sequence[dict[str, Any]]) -> list[str]:
    """One sentence per figure that not every picture has, although nothing but the picture can be the reason."""
    found = []
    for key, figure in FIGURES.items():
        counts = [(row["n_known"].get(key), row["n"]) for row in rows]
        least, n = min(((known, n) for known, n in counts if known is not None), default=(0, 0))
        if least < n and not figure.is_partial:
            why = f"; it needs {MS_SSIM_MIN_SIDE} pixels per side" if key == "ms_ssim" else ""
            found.append(f"{key}: {least} of {n} values are known{why}")
    return found


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
