# SPDX-License-Identifier: GPL-3.0-or-later
"""Results as `gened evaluate` writes them, made up."""

from __future__ import annotations

from typing import Any

from gened.models.evaluation.run.evaluate import ROW_KEYS


def result(
    codec: str,
    *,
    rate: str = "1/24",
    channel: str = "awgn",
    snrs_db: tuple[float, ...] = (1.0, 7.0),
    meta: dict[str, Any] | None = None,
) -> dict[str, Any]:
    """One row per SNR; the PSNR is 20 dB above the SNR, with an interval of 1 dB on either side."""
    rows = []
    for snr_db in snrs_db:
        row: dict[str, Any] = dict.fromkeys(ROW_KEYS)
        row |= {"codec": codec, "editor": "none", "channel": channel, "rate": rate, "snr_db": snr_db, "n": 3}
        row |= {"psnr_db": 20 + snr_db, "psnr_db_ci95": [19 + snr_db, 21 + snr_db], "ms_ssim": 0.9}
        row["payload_symbols"] = 8192.0 if rate == "1/24" else 4096.0
        rows.append(row)
    return {"meta": {"resize": 256, **(meta or {})}, "rows": rows}


def data_set(name: str, pictures: int = 3, **others: Any) -> dict[str, Any]:
    """The part of `meta` on the pictures."""
    return {"data": {"name": name, "pictures": pictures, **others}}
