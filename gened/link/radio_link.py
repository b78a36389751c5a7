# SPDX-License-Identifier: GPL-3.0-or-later
"""A radio between the transmitter and receiver of a loopback: a real one, or a virtual Pluto of this program.

transmit ---driver---> radio ~~~cable or antennas~~~> radio ---driver---> receive
transmit ---driver---> virtual Pluto, one process, its air set like `gened air` ---driver---> receive
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from gened.errors import ConfigError
from gened.flowgraphs.radios.common import require_transmit
from gened.flowgraphs.radios.profiles import RadioProfile, radio_profile
from gened.gr_blocks.phy.channel.config import ChannelConfig
from gened.hw_config.profile import LOWEST_PLUTO_GAIN_DB, HardwareProfile, load_profile
from gened.virtual_pluto.air import AirConfig, burst_snr_db
from gened.virtual_pluto.server import ServerConfig

if TYPE_CHECKING:
    from collections.abc import Mapping

LOCALHOST = "127.0.0.1"


@dataclass(frozen=True, kw_only=True)
class RadioLink:
    """Both sides of a radio, and the settings of the channel between them."""

    tx: RadioProfile
    rx: RadioProfile
    pluto: ServerConfig | None = None
    """The virtual Pluto to start; None: the radio exists."""
    snr_set_db: float | None = None
    """Es/N0 of the bursts, dB; None where it is not set, as on a real radio."""
    cfo_set_hz: float | None = None

    @property
    def sample_rate(self) -> float:
        """Samples/s of both sides."""
        return self.rx.sample_rate


def radio_link(hardware: HardwareProfile, *, may_transmit: bool) -> RadioLink:
    """The link over a radio that exists.

    Args:
        hardware: Its file.
        may_transmit: Whether the user said so.

    Raises:
        ConfigError: It may not transmit as it says, or one device would be opened twice; nothing was opened.
    """
    if hardware.driver != "iio" and hardware.tx_address == hardware.rx_address:
        raise ConfigError(
            f"{hardware.name}: transmitter and receiver are two processes, and this driver opens a device for one; "
            "name two devices: --set tx.address=... --set rx.address=..."
        )
    tx = radio_profile(hardware, "tx", may_transmit=may_transmit)
    require_transmit(tx)
    return RadioLink(tx=tx, rx=radio_profile(hardware, "rx"))


def virtual_link(name: str, overrides: Mapping[str, str], channel: ChannelConfig, port: int) -> RadioLink:
    """The link over a virtual Pluto, or a pair of them, that the loopback starts for itself.

    Args:
        name: Of the profile; see `load_profile`.
        overrides: What the command line sets in it. The addresses become ours; two different ones make a pair.
        channel: Between the antennas; its SNR is that of bursts at the usual level.
        port: A free one of this machine; the second of a pair has the next.

    Raises:
        ConfigError: The profile has a mistake, or keys that no virtual Pluto has.
    """
    asked = load_profile(name, overrides)
    is_pair = asked.tx_address != asked.rx_address
    ours = {"address": f"ip:{LOCALHOST}:{port}"}
    if is_pair:
        ours |= {"tx.address": f"ip:{LOCALHOST}:{port}", "rx.address": f"ip:{LOCALHOST}:{port + 1}"}
    hardware = load_profile(name, {**overrides, **ours})
    hardware.require_allowed_band()  # as a real one would, before anything starts
    gain_db = LOWEST_PLUTO_GAIN_DB if hardware.tx.gain_db is None else hardware.tx.gain_db
    carriers_hz = [round(hardware.tuned_freq(side)) for side in ("tx", "rx")]
    return RadioLink(
        tx=radio_profile(hardware, "tx"),
        rx=radio_profile(hardware, "rx"),
        pluto=ServerConfig(host=LOCALHOST, port=port, is_pair=is_pair, air=AirConfig(channel=channel)),
        snr_set_db=burst_snr_db(channel.snr_db, gain_db=gain_db, backoff_db=hardware.tx.backoff_db),
        cfo_set_hz=channel.freq_offset_hz + carriers_hz[0] - carriers_hz[1],
    )
