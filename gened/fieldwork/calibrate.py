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
from typing import TYPE_CHECKING

from gened.errors import ConfigError
from gened.fieldwork.config import CalibrateConfig, Sweep
from gened.fieldwork.levels import (
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

if TYPE_CHECKING:
    from gened.hw_config.profile import HardwareProfile

SATURATED = 0.02
"""Share of clipped samples at which the sweep ends: a stronger signal adds no information and may harm the receiver."""


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
        config: The sweep.
        stop: Ends it early; the result then has what was measured until then.
        on_level: Called with the noise floor in dBFS, then with each level when it is measured.

    Returns:
        The result; without offset where no burst was found.

    Raises:
        ConfigError: The radio may not transmit as it says, or a limit is out of its range.
        LinkError: It is not there, does not take its settings, or gives no samples.
    """
    from gened.fieldwork.level_bench import level_bench
    from gened.monitor.driver_output import drivers_to_stderr

    _require_permission(config)
    report = on_level or (lambda _: None)
    with drivers_to_stderr(), level_bench(config) as bench:
        noise = bench.noise(stop)
        noise_dbfs = dbfs(mean_power(noise))
        report(noise_dbfs)
        levels: list[LevelFigures] = []
        ending = "all levels were sent"
        for gain_db, backoff_db in bench.plan:
            level = bench.level(gain_db, backoff_db, stop)
            if level is None:
                ending = "interrupted"
                break
            levels.append(level)
            report(level)
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
    """Checks the permission to transmit before any device is opened; every sink checks it again."""
    hardware = config.hardware
    hardware.require_allowed_band()
    if hardware.is_hardware and not config.may_transmit:
        highest_db = hardware.tx.gain_db if config.max_gain_db is None else config.max_gain_db
        gain = "its lowest gain" if highest_db is None else f"up to {highest_db:g} dB gain"
        raise ConfigError(
            f"{hardware.name}: would transmit at {(hardware.tx.center_freq or 0) / 1e6:.10g} MHz with {gain}; "
            "nothing was sent; connect attenuators, then add --transmit, and --max-gain DB for more than one level"
        )
