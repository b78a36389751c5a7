# SPDX-License-Identifier: GPL-3.0-or-later
"""Shared by the drivers: permission to transmit, errors of one line, and settings that are read back."""

from __future__ import annotations

import contextlib
import importlib
from collections.abc import Iterator, Mapping
from pathlib import PurePath
from typing import TYPE_CHECKING, Any

from gened.errors import ConfigError, GenedError, LinkError

if TYPE_CHECKING:
    from gened.flowgraphs.radios.profiles import RadioProfile
    from gened.hw_config.profile import HardwareProfile

SAMPLE_BYTES = 8  # complex64
RATE_TOLERANCE = 1e-5
"""Relative; a larger deviation would look like a clock offset of that size."""
FREQ_TOLERANCE_HZ = 1000.0
"""The receiver corrects far more; a radio that deviates by more has not accepted the setting."""


def hardware_of(profile: RadioProfile) -> HardwareProfile:
    """The hardware description in a profile.

    Raises:
        ConfigError: The profile has none.
    """
    if profile.hardware is None:
        raise ConfigError(f"a profile of kind '{profile.kind}' is made from a file in hw_config; see docs/radios.md")
    return profile.hardware


def require_transmit(profile: RadioProfile) -> HardwareProfile:
    """The hardware description of a radio that may transmit; every sink calls this before it opens the device.

    Raises:
        ConfigError: The option --transmit is missing, or the signal leaves the allowed bands.
    """
    hardware = hardware_of(profile)
    hardware.require_allowed_band()
    if hardware.is_hardware and not profile.may_transmit:
        gain = "its lowest gain" if hardware.tx.gain_db is None else f"{hardware.tx.gain_db:g} dB gain"
        raise ConfigError(
            f"{hardware.name}: would transmit at {profile.center_freq / 1e6:.10g} MHz with {gain}; nothing was sent; "
            "connect attenuators or a load, then add --transmit"
        )
    return hardware


def label_of(hardware: HardwareProfile, side: str) -> str:
    """Name of one side of a radio in messages: file and address."""
    address = hardware.tx_address if side == "tx" else hardware.rx_address
    return f"{PurePath(hardware.name).stem} at {address}"


@contextlib.contextmanager
def link_errors(where: str, advice: Mapping[str, str], otherwise: str) -> Iterator[None]:
    """Converts any exception of a driver into a LinkError of one line.

    Args:
        where: Name of the radio.
        advice: Remedies, by a part of the driver's text in lower case.
        otherwise: Remedy for all other errors.

    Raises:
        LinkError: The driver raised an exception; a `GenedError` passes unchanged.
    """
    try:
        yield
    except GenedError:
        raise
    except Exception as exc:  # drivers raise RuntimeError, ValueError, OSError, KeyError and bare Exception
        reason = " ".join(str(exc).replace("----->", ":").split()) or type(exc).__name__
        remedy = next((text for part, text in advice.items() if part in reason.lower()), otherwise)
        raise LinkError(f"{where}: {reason[:200]}; {remedy}") from exc


def require_driver(module: str, remedy: str) -> Any:
    """Imports a driver's Python module.

    Raises:
        LinkError: The module or a library that it needs is not installed.
    """
    try:
        return importlib.import_module(module)
    except Exception as exc:  # a missing shared library may be an OSError or an AttributeError
        reason = " ".join(str(exc).split())[:200]
        raise LinkError(f"{module} cannot be loaded ({reason}); {remedy}") from exc


def require_rate(where: str, asked: float, actual: float) -> None:
    """Compares the sample rate that a radio reports with the requested one.

    Raises:
        LinkError: They differ.
    """
    if abs(actual / asked - 1) > RATE_TOLERANCE:
        raise LinkError(
            f"{where}: it runs at {actual:.10g} samples/s, not at {asked:.10g}; set sample_rate to one that it can do"
        )


def require_freq(where: str, asked: float, actual: float) -> None:
    """Compares the centre frequency that a radio reports with the requested one.

    Raises:
        LinkError: They differ.
    """
    if abs(actual - asked) > FREQ_TOLERANCE_HZ:
        raise LinkError(
            f"{where}: it is tuned to {actual / 1e6:.10g} MHz, not to {asked / 1e6:.10g}; "
            "set a center_freq that it can reach"
        )


def require_gain(where: str, asked_db: float, actual_db: float, *, step_db: float) -> None:
    """Compares the gain that a radio reports with the requested one, to one step.

    Raises:
        LinkError: They differ.
    """
    if not abs(actual_db - asked_db) <= step_db * 1.01:
        raise LinkError(f"{where}: its gain is {actual_db:g} dB, not {asked_db:g}; set a gain_db that it can do")


def chosen_gain(key: str, asked_db: float | None, lowest_db: float, highest_db: float) -> float:
    """The gain to set: the requested one, or the lowest if none is requested.

    Raises:
        ConfigError: The radio does not support it.
    """
    if asked_db is None:
        return lowest_db
    if not lowest_db <= asked_db <= highest_db:
        raise ConfigError(f"{key} is {asked_db:g}; this radio takes {lowest_db:g} to {highest_db:g} dB")
    return asked_db


def require_choice(key: str, value: str, allowed: list[str]) -> None:
    """Checks that a radio has such a connector or source; an empty value leaves the choice to the radio.

    Raises:
        ConfigError: It has none of that name; the message lists those that it has.
    """
    if value and value not in allowed:
        raise ConfigError(f"{key} is '{value}'; this radio has {', '.join(allowed) or 'none'}")
