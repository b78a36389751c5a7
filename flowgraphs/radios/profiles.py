# SPDX-License-Identifier: GPL-3.0-or-later
"""A radio profile: where samples come from or go to, as a record that needs no GNU Radio.

`registry` makes blocks of it; the profiles of real radios are made from the files of `gened.hw_config`, see
`radio_profile`.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np
import numpy.typing as npt

from gened.errors import ConfigError

if TYPE_CHECKING:
    from gened.hw_config.profile import HardwareProfile

DEFAULT_TX_ADDRESS = "tcp://127.0.0.1:5550"
_ADDRESS = re.compile(r"(tcp://[^\s/]+:\d{1,5}|ipc://\S+)")


@dataclass(frozen=True, kw_only=True)
class RadioProfile:
    """Where samples go to or come from.

    Raises:
        ConfigError: An unknown kind, or what the kind needs is missing or out of range.
    """

    kind: str = "zeromq"
    """`zeromq`, `tap` (the channel emulator's copy for observers), `recording` (SigMF), `file` (raw complex64) or
    `vector` (samples in memory); `iio`, `uhd` and `soapy` are radios."""
    sample_rate: float = 1e6
    """Hz."""
    address: str = DEFAULT_TX_ADDRESS
    """ZMQ endpoint of kind `zeromq`: the sink (PUSH) binds it, the source (PULL) connects to it. Of kind `tap`: where
    the channel emulator publishes (PUB)."""
    path: Path | None = None
    """File of kinds `file` and `recording`."""
    is_paced: bool = False
    """Whether a source of kind `recording`, `file` or `vector` plays no faster than the sample rate."""
    samples: npt.NDArray[np.complex64] | None = None
    """Samples of kind `vector` as a source."""
    center_freq: float = 0.0
    """Hz; for radios."""
    hardware: HardwareProfile | None = None
    """Contents of a radio's file; for kinds `iio`, `uhd` and `soapy`."""
    may_transmit: bool = False
    """Whether the user allowed this radio to transmit; otherwise the sink of a hardware radio refuses to be made."""

    def __post_init__(self) -> None:
        if not np.isfinite(self.sample_rate) or self.sample_rate <= 0:
            raise ConfigError(f"sample_rate is {self.sample_rate} Hz; give a positive number")
        if self.kind in ("zeromq", "tap") and not _ADDRESS.fullmatch(self.address):
            raise ConfigError(f"'{self.address}' is no ZMQ address; write it like {DEFAULT_TX_ADDRESS}")
        if self.kind in ("file", "recording") and self.path is None:
            raise ConfigError(f"a profile of kind '{self.kind}' needs a path")

    @property
    def is_clocked(self) -> bool:
        """Whether samples go to a radio with a clock of its own, without `gened air` and its control socket."""
        return self.hardware is not None and self.hardware.driver != "zeromq"


def radio_profile(hardware: HardwareProfile, side: Literal["tx", "rx"], *, may_transmit: bool = False) -> RadioProfile:
    """The profile of one side of a radio that a file describes.

    Args:
        hardware: See `gened.hw_config.profile.load_profile`.
        side: Its transmitting or its receiving side.
        may_transmit: Whether the user allowed it; see `RadioProfile`.
    """
    part = hardware.tx if side == "tx" else hardware.rx
    return RadioProfile(
        kind=hardware.driver, sample_rate=hardware.sample_rate, center_freq=part.center_freq or 0.0,
        address=hardware.tx_address if side == "tx" else hardware.rx_address,
        hardware=hardware, may_transmit=may_transmit,
    )  # fmt: skip


def recording_profile(path: Path) -> RadioProfile:
    """The profile of a recording in SigMF, with the rate and frequency of its metadata.

    Raises:
        RecordingError: It cannot be read, or its samples have changed; see `read_recording`.
    """
    from gened.gr_blocks.recording.reader import read_recording

    recording = read_recording(path)
    return RadioProfile(
        kind="recording", path=recording.path, sample_rate=recording.info.sample_rate,
        center_freq=recording.info.center_freq,
    )  # fmt: skip
