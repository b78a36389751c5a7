# SPDX-License-Identifier: GPL-3.0-or-later
"""Which levels a calibration sends: gain and back-off of each level."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from gened.errors import ConfigError
from gened.fieldwork.config import CalibrateConfig

if TYPE_CHECKING:
    from gened.flowgraphs.radios.radio_sink import GainRange

HIGHEST_BACKOFF_DB, LOWEST_BACKOFF_DB = 36.0, 0.0
MAX_LEVELS = 400


def plan_levels(config: CalibrateConfig, gains: GainRange) -> list[tuple[float, float]]:
    """Gain and back-off of each level in dB, weakest first.

    Raises:
        ConfigError: A limit that the radio cannot do, or none above the weakest level.
    """
    hardware = config.hardware
    own_db = gains.lowest_db if hardware.tx.gain_db is None else hardware.tx.gain_db
    highest_db = gains.highest_db if hardware.is_virtual and config.sweep == "gain" else own_db
    highest_db = highest_db if config.max_gain_db is None else config.max_gain_db
    lowest_db = gains.lowest_db if config.min_gain_db is None else config.min_gain_db
    for option, value in (("--max-gain", highest_db), ("--min-gain", lowest_db)):
        if not gains.lowest_db <= value <= gains.highest_db:
            raise ConfigError(
                f"{option} {value:g}: the transmitter takes {gains.lowest_db:g} to {gains.highest_db:g} dB"
            )
    if lowest_db > highest_db:
        raise ConfigError(
            f"the sweep would begin at {lowest_db:g} dB, over its limit of {highest_db:g}; see --max-gain"
        )
    if config.sweep == "backoff":
        steps = np.arange(HIGHEST_BACKOFF_DB, LOWEST_BACKOFF_DB - 1e-6, -config.step_db)
        return [(min(own_db, highest_db), float(backoff_db)) for backoff_db in steps]
    wanted = [*np.arange(lowest_db, highest_db - 1e-6, config.step_db), highest_db]
    steps_db = sorted({gains.nearest(float(gain_db)) for gain_db in wanted})
    if len(steps_db) > MAX_LEVELS:
        raise ConfigError(f"{len(steps_db)} levels; at most {MAX_LEVELS}: choose a larger --step")
    return [(gain_db, hardware.tx.backoff_db) for gain_db in steps_db]
