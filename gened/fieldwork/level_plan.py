# SPDX-License-Identifier: GPL-3.0-or-later
"""Which levels a calibration sends: its configuration, and gain and back-off of each level."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np

from gened.errors import ConfigError

if TYPE_CHECKING:
    from gened.flowgraphs.radios.radio_sink import GainRange
    from gened.hw_config.profile import HardwareProfile

HIGHEST_BACKOFF_DB, LOWEST_BACKOFF_DB = 36.0, 0.0
MAX_LEVELS = 400
Sweep = Literal["gain", "backoff"]


@dataclass(frozen=True, kw_only=True)
class CalibrateConfig:
    """What is swept, and how far.

    Raises:
        ConfigError: A profile without a radio, or a number out of range.
    """

    hardware: HardwareProfile
    may_transmit: bool = False
    sweep: Sweep = "gain"
    """`gain`: the transmitter's, up; `backoff`: the distance to full scale, down, at the profile's gain."""
    step_db: float = 5.0
    min_gain_db: float | None = None
    """The weakest level; None: the lowest gain that the radio has."""
    max_gain_db: float | None = None
    """Never more; None: the profile's gain, or all there is for an emulated radio."""
    n_bursts: int = 20
    """Of each level."""
    seed: int = 0
    timeout_s: float = 10.0
    """How long the radio may give no sample."""

    def __post_init__(self) -> None:
        if self.hardware.driver == "zeromq":
            raise ConfigError(
                f"{self.hardware.name} is no radio; a level sweep needs one, such as --radio virtual-pluto"
            )
        if not 0.25 <= self.step_db <= 30:
            raise ConfigError(f"a step of {self.step_db:g} dB; from 0.25 to 30 is possible")
        if not 1 <= self.n_bursts <= 1000:
            raise ConfigError(f"{self.n_bursts} bursts a level; from 1 to 1000 are possible")
        if self.sweep not in ("gain", "backoff"):
            raise ConfigError(f"no sweep of '{self.sweep}'; there are gain and backoff")
        if self.sweep == "backoff" and self.min_gain_db is not None:
            raise ConfigError("a sweep of the back-off stays at one gain; leave --min-gain out")


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
