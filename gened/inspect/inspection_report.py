# SPDX-License-Identifier: GPL-3.0-or-later
"""Report of an inspection: the lines above the figure, and JSON."""

from __future__ import annotations

import math
from dataclasses import asdict
from typing import Any

import numpy as np
import numpy.typing as npt

from gened.gr_blocks.phy.framing.header import VERSION, Header
from gened.gr_blocks.phy.ofdm.waveform import WAVEFORM
from gened.inspect.anatomy_records import Anatomy

MAX_SHOWN = 80


def title_lines(anatomy: Anatomy, place: str = "") -> list[str]:
    """Lines above the figure: identity and figures of the burst, and its caption or its fault if there is one.

    Args:
        anatomy: Burst.
        place: Name of the source; empty for none.
    """
    lines = [_identity(anatomy, place), _numbers(anatomy)]
    if anatomy.fault:
        lines.append(anatomy.fault)
    elif anatomy.caption:
        lines.append(f"caption “{_shown(anatomy.caption)}”")
    return [line for line in lines if line]


def _shown(text: str) -> str:
    """Make a received text printable: one line of at most `MAX_SHOWN` characters without control characters."""
    line = "".join(letter if letter.isprintable() else "\N{REPLACEMENT CHARACTER}" for letter in " ".join(text.split()))
    return line if len(line) <= MAX_SHOWN else line[: MAX_SHOWN - 1] + "…"


def _identity(anatomy: Anatomy, place: str) -> str:
    where = f"sample {anatomy.start:,} ({anatomy.start / anatomy.sample_rate:.4f} s)"
    where = f"{_shown(place)}, {where}" if place else where
    header = anatomy.header
    if header is None:
        return where
    burst = f"frame {header.frame} of session {header.session:04x}, burst {header.burst + 1} of {header.n_bursts}"
    picture = f"{header.size.width}x{header.size.height} at rate {header.rate}, for {header.snr_design_db:g} dB"
    older = "" if header.version == VERSION else f", format version {header.version}"
    return f"{where}: {burst}, {picture}{older}"


def _numbers(anatomy: Anatomy) -> str:
    rate = anatomy.sample_rate
    figures = (
        ("SNR", anatomy.snr_est_db, ".1f", "dB"),
        ("carrier offset", None if anatomy.cfo_norm is None else anatomy.cfo_norm * rate, ",.1f", "Hz"),
        ("clock offset", anatomy.sfo_ppm, ".1f", "ppm"),
        (
            "EVM of the digital symbols" if not anatomy.fault else "EVM to the nearest points",
            anatomy.evm_db,
            ".1f",
            "dB",
        ),
        ("PAPR", anatomy.papr_db, ".1f", "dB"),
        ("length", 1e3 * len(anatomy.burst) / rate if anatomy.header and anatomy.parts else None, ".2f", "ms"),
    )
    return "   ".join(f"{name} {value:{pattern}} {unit}" for name, value, pattern, unit in figures if value is not None)


def as_json(anatomy: Anatomy) -> dict[str, Any]:
    """All values but the samples for JSON; unknown ones are None."""
    rate, channel, pilots, elements = anatomy.sample_rate, anatomy.channel, anatomy.pilots, anatomy.elements
    return {
        "start": anatomy.start,
        "time_s": anatomy.start / rate,
        "sample_rate": rate,
        "fault": anatomy.fault or None,
        "snr_est_db": _number(anatomy.snr_est_db),
        "cfo_detector_hz": None if anatomy.cfo_detector_norm is None else anatomy.cfo_detector_norm * rate,
        "cfo_est_hz": None if anatomy.cfo_norm is None else anatomy.cfo_norm * rate,
        "sfo_est_ppm": _number(anatomy.sfo_ppm),
        "evm_db": _number(anatomy.evm_db),
        "papr_db": _number(anatomy.papr_db),
        "noise_var_bias_db": None if elements is None else _number(elements.bias_db),
        "metric_peak": _number(anatomy.metric.max()) if len(anatomy.metric) else None,
        "coherence_peak": _number(anatomy.coherence.max()) if len(anatomy.coherence) else None,
        "caption": anatomy.caption,
        "header": None if anatomy.header is None else _header(anatomy.header),
        "parts": [asdict(part) for part in anatomy.parts],
        "sections": [
            {"name": one.name, "n_cells": len(one.symbols), "mode": one.mode, "crc_ok": one.crc_ok,
             "evm_db": _number(one.evm_db)}
            for one in anatomy.sections
        ],
        "channel": None if channel is None else {
            "carrier": WAVEFORM.carriers.tolist(), "magnitude_db": _numbers_of(channel.magnitude_db),
            "phase_rad": _numbers_of(channel.phase_rad), "group_delay": _numbers_of(channel.group_delay),
            "first_db": None if channel.ends_db is None else _numbers_of(channel.ends_db[0]),
            "last_db": None if channel.ends_db is None else _numbers_of(channel.ends_db[1]),
        },
        "pilots": None if pilots is None else {
            "sample": _numbers_of(pilots.times), "before_rad": _numbers_of(pilots.before_rad),
            "after_rad": _numbers_of(pilots.after_rad),
        },
    }  # fmt: skip


def _header(header: Header) -> dict[str, Any]:
    return asdict(header) | {
        "size": {"height": header.size.height, "width": header.size.width}, "rate": str(header.rate),
        "codec_id": f"{header.codec_id:08x}", "n_analog": header.n_analog, "n_side": header.n_side,
        "n_text": header.n_text, "n_cells": header.n_elements,
    }  # fmt: skip


def _number(value: float | None) -> float | None:
    return None if value is None or not math.isfinite(value) else float(value)


def _numbers_of(values: npt.NDArray[np.floating[Any]]) -> list[float | None]:
    return [_number(round(float(value), 6)) for value in values]
