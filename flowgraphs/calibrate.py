# SPDX-License-Identifier: GPL-3.0-or-later
"""A level sweep between the two sides of a radio, or of a pair: what each transmit level is worth, and how they differ.

known burst, again and again -> radio_sink (weakest first) ~~~ air ~~~> source -> sample_catcher -> bench.levels

Both sides run in this process, as a USRP serves one process at a time. The transmitter is mute while the noise is
measured, and again when this ends, whatever ends it.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np

from gened.gr_blocks.bench.levels import (
    LevelFigures,
    PairOffset,
    Recommendation,
    advice,
    clipped_fraction,
    dbfs,
    mean_power,
    pair_offset,
    recommend,
)
from gened.gr_blocks.phy.errors import ConfigError

if TYPE_CHECKING:
    from gened.flowgraphs.radios.transmitting import GainRange
    from gened.hw_config.profile import HardwareProfile

SATURATED = 0.02
"""Share of clipped samples at which the sweep ends: stronger would tell nothing and may harm the receiver."""
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


@dataclass(frozen=True)
class Calibration:
    """What a sweep found."""

    hardware: HardwareProfile
    sweep: Sweep
    noise_dbfs: float
    """Mean power while the transmitter was mute; 0 is a carrier of amplitude 1."""
    noise_clipped_fraction: float
    levels: list[LevelFigures]
    """Weakest first."""
    offset: PairOffset | None
    """None where no burst was found."""
    recommendation: Recommendation
    ending: str
    """Why the sweep ended where it did."""
    advice: list[str]

    @property
    def cfo_ppm(self) -> float | None:
        """The carrier offset, of the receiver's frequency."""
        return None if self.offset is None else 1e6 * self.offset.cfo_hz.median / self.hardware.tuned_freq("rx")

    @property
    def correction_ppm(self) -> float | None:
        """What `rx.freq_correction_ppm` should be: what it was, and what was still found with it."""
        if self.offset is None or not self.hardware.rx.center_freq:
            return None
        before_ppm = self.hardware.rx.freq_correction_ppm
        return before_ppm + 1e6 * self.offset.cfo_hz.median / self.hardware.rx.center_freq

    def profile_values(self) -> dict[str, float]:
        """Keys of the profile and their values after this, such as {"rx.freq_correction_ppm": 1.98}.

        Raises:
            ConfigError: No burst was found, so that there is nothing to write.
        """
        correction_ppm, level = self.correction_ppm, self.recommendation.level
        if correction_ppm is None:
            raise ConfigError(f"{self.hardware.name}: no burst was found, so there is no correction to write")
        values = {"rx.freq_correction_ppm": round(correction_ppm, 4)}
        if level is not None:
            is_gain = self.sweep == "gain"
            values |= {"tx.gain_db": level.tx_gain_db} if is_gain else {"tx.backoff_db": level.backoff_db}
        return values


def run_calibrate(
    config: CalibrateConfig, *, stop: threading.Event, on_level: Callable[[LevelFigures | float], None] | None = None
) -> Calibration:
    """Sweeps the levels.

    Args:
        config: See there.
        stop: Ends it early; the result then has what was measured until then.
        on_level: Called with the noise floor in dBFS, then with each level when it is measured.

    Returns:
        The result; without offset where no burst was found.

    Raises:
        ConfigError: The radio may not transmit as it says, or a limit is out of its range.
        LinkError: It is not there, does not take its settings, or gives no samples.
    """
    from gened.flowgraphs.driver_output import drivers_to_stderr
    from gened.flowgraphs.level_bench import level_bench

    _require_permission(config)
    tell = on_level or (lambda _: None)
    with drivers_to_stderr(), level_bench(config) as bench:
        noise = bench.noise(stop)
        noise_dbfs = dbfs(mean_power(noise))
        tell(noise_dbfs)
        levels: list[LevelFigures] = []
        ending = "all levels were sent"
        for gain_db, backoff_db in bench.plan:
            level = bench.level(gain_db, backoff_db, stop)
            if level is None:
                ending = "interrupted"
                break
            levels.append(level)
            tell(level)
            if level.clipped_fraction > SATURATED:
                ending = f"the receiver clips {100 * level.clipped_fraction:.0f} % of the samples; no more was sent"
                break
    return Calibration(
        hardware=config.hardware, sweep=config.sweep, noise_dbfs=noise_dbfs,
        noise_clipped_fraction=clipped_fraction(noise), levels=levels, offset=pair_offset(levels),
        recommendation=recommend(levels), ending=ending,
        advice=advice(noise_dbfs, levels, sample_rate=config.hardware.sample_rate),
    )  # fmt: skip


def _require_permission(config: CalibrateConfig) -> None:
    """What every sink asks too, told here with the whole sweep in view; no device is opened before."""
    hardware = config.hardware
    hardware.require_allowed_band()
    if hardware.is_hardware and not config.may_transmit:
        highest_db = hardware.tx.gain_db if config.max_gain_db is None else config.max_gain_db
        gain = "its lowest gain" if highest_db is None else f"up to {highest_db:g} dB gain"
        raise ConfigError(
            f"{hardware.name}: would transmit at {(hardware.tx.center_freq or 0) / 1e6:.10g} MHz with {gain}; "
            "nothing was sent; connect attenuators, then add --transmit, and --max-gain DB for more than one level"
        )


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
