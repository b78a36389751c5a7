# SPDX-License-Identifier: GPL-3.0-or-later
"""What configures a calibration and a survey; the fields are the options of the commands. Loads without NumPy."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from gened.errors import ConfigError
from gened.option_fields import Option

if TYPE_CHECKING:
    from gened.hw_config.profile import HardwareProfile
    from gened.link.config import LoopbackConfig, ReceiveConfig

Sweep = Literal["gain", "backoff"]


@dataclass(frozen=True, kw_only=True)
class CalibrateConfig:
    """A level sweep: what is swept, and how far.

    Raises:
        ConfigError: A profile without a radio, or a number out of range.
    """

    hardware: HardwareProfile
    """Profile of the radio."""
    may_transmit: Annotated[bool, Option("--transmit")] = False
    """A hardware radio may transmit: attenuators or a load are connected, the law allows it."""
    sweep: Annotated[Sweep, Option("--sweep")] = "gain"
    """Swept quantity: gain, or backoff: the distance to full scale, at the profile's gain."""
    step_db: Annotated[float, Option("--step", metavar="DB", min=0.25, max=30)] = 5.0
    """Step from level to level, dB."""
    min_gain_db: Annotated[
        float | None, Option("--min-gain", metavar="DB", shown_default="the lowest that the radio has")
    ] = None
    """Gain of the weakest level, dB."""
    max_gain_db: Annotated[
        float | None,
        Option("--max-gain", metavar="DB", shown_default="the profile's tx.gain_db; all that an emulated radio has"),
    ] = None
    """Largest transmit gain, dB."""
    n_bursts: Annotated[int, Option("--bursts", min=1, max=1000)] = 20
    """Number of bursts per level."""
    seed: Annotated[int, Option("--seed", min=0, max=2**31 - 1)] = 0
    """Seed of everything that is drawn at random."""
    timeout_s: Annotated[float, Option("--timeout", min=0.1)] = 10.0
    """Give up when the radio has given no sample for so long, s."""

    def __post_init__(self) -> None:
        if self.hardware.driver == "zeromq":
            raise ConfigError(
                f"{self.hardware.name} is no radio; a level sweep needs one, such as --radio virtual-pluto"
            )
        if not 0.25 <= self.step_db <= 30:
            raise ConfigError(f"a step of {self.step_db:g} dB; from 0.25 to 30 is possible")
        if not 1 <= self.n_bursts <= 1000:
            raise ConfigError(f"{self.n_bursts} bursts per level; from 1 to 1000 are possible")
        if self.sweep not in ("gain", "backoff"):
            raise ConfigError(f"no sweep of '{self.sweep}'; there are gain and backoff")
        if self.sweep == "backoff" and self.min_gain_db is not None:
            raise ConfigError("a sweep of the back-off stays at one gain; leave --min-gain out")


@dataclass(frozen=True, kw_only=True)
class SurveyConfig:
    """A survey: the frames of another sender, or frames that it sends itself.

    Raises:
        ConfigError: Not exactly one of `receive` and `link`, or no folder for the pictures.
    """

    receive: ReceiveConfig | None = None
    """Receives the frames of another sender; needs `out`."""
    link: LoopbackConfig | None = None
    """Sends the frames itself, over air or a radio."""
    references: Annotated[tuple[Path, ...], Option("--reference", metavar="PHOTO")] = ()
    """A photograph that the other sender sends, in turn by frame number: the reference of the PSNR; repeatable."""
    max_side: Annotated[int | None, Option("--max-side", min=64, max=4096, shown_default="refuse those over 4096")] = (
        None
    )
    """Reduce larger photographs to this side, pixels."""

    def __post_init__(self) -> None:
        if (self.receive is None) == (self.link is None):
            raise ConfigError("a survey either listens or sends itself")
        if self.receive is not None and self.receive.out is None:
            raise ConfigError("a survey needs a folder for the pictures; see --out")

    @property
    def out(self) -> Path:
        """Folder of pictures and report."""
        out = self.link.out if self.link is not None else self.receive.out if self.receive is not None else None
        assert out is not None  # checked when it was made
        return out
