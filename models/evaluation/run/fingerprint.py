# SPDX-License-Identifier: GPL-3.0-or-later
"""Fingerprint of an evaluation: figures of a codec, the metrics and the waveform on a fixed picture.

`meta.fingerprint` of a result records it, and `scripts/lib/stale_results.py` compares it with that of the present code.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from fractions import Fraction

import numpy as np
import scipy.ndimage

from gened.gr_blocks.phy.fingerprint import waveform_fingerprint
from gened.gr_blocks.phy.types import ImageSize
from gened.models.codecs.base import Codec
from gened.models.codecs.encode_options import EncodeOptions
from gened.models.data.evaluation_set import Item
from gened.models.evaluation.metrics.metric_set import MetricSet
from gened.models.evaluation.metrics.pixel_metrics import mean_picture, psnr_db
from gened.models.evaluation.run.check_codec import pattern
from gened.models.evaluation.run.measure import Over, Setting, send

SIZE = ImageSize(128, 144)
METRICS = ("psnr", "masks")
"""Metrics of our own. Those of libraries change with the versions that `meta` holds."""
SNRS_DB = (1.0, 10.0)
TOLERANCE = 0.02
"""Largest difference that is rounding: other processors and libraries change the last digits of dB and figures."""


def evaluation_fingerprint(codec: Codec, rate: Fraction, over: Over) -> dict[str, float] | None:
    """Figures that change when codec, channel, metrics or, over the waveform, modulator and receiver do.

    Args:
        codec: The codec.
        rate: Rate of the evaluation.
        over: Its way; only `loopback` depends on the waveform.

    Returns:
        Figures by name; None if the codec fails on this picture or rate, because a fingerprint must not end an
        evaluation.
    """
    foreground = np.zeros(tuple(SIZE), bool)
    foreground[:, : SIZE.width // 2] = True
    item = Item("pattern", pattern(SIZE), foreground, None)
    found: dict[str, float] = {}
    try:
        for snr_db in SNRS_DB:
            setting = Setting(EncodeOptions(rate=rate), snr_db=snr_db, mask="codec", seed=5)
            sent = send(codec, item, replace(setting, over="channel"))
            x_hat = mean_picture(item.x) if sent.decoded is None or sent.is_lost else sent.decoded.x_hat
            found[f"codec: PSNR, {snr_db:g} dB"] = round(psnr_db(item.x, x_hat), 3)
    except Exception:  # a codec of another package may raise anything
        return None
    blurred = scipy.ndimage.uniform_filter(item.x, (0, 5, 5)).astype(np.float32)
    figures = MetricSet(METRICS).figures(item, blurred, np.roll(foreground, 9, axis=1).astype(np.float32))
    found |= {f"metric: {key}": round(value, 3) for key, value in figures.items() if value is not None}
    return found | (waveform_fingerprint() if over == "loopback" else {})


def differences(recorded: Mapping[str, float], present: Mapping[str, float]) -> list[str]:
    """What differs by more than `TOLERANCE` between two fingerprints, one text per figure; empty if nothing does."""
    found = []
    for name in sorted({*recorded, *present}):
        before, now = recorded.get(name), present.get(name)
        if before is None or now is None:
            found.append(f"{name}: {'not recorded' if before is None else 'no longer measured'}")
        elif abs(before - now) > TOLERANCE:
            found.append(f"{name}: {before:g} -> {now:g}")
    return found
