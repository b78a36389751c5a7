# SPDX-License-Identifier: GPL-3.0-or-later
"""Tapped delay lines TDL-A, TDL-B and TDL-C of 3GPP, and filters for fractional delays.

References:
    3GPP TR 38.901, "Study on channel model for frequencies from 0.5 to 100 GHz", V16.1.0, tables 7.7.2-1 to 7.7.2-3
    (normalised delay, power in dB; every tap is Rayleigh), delays scaled as 7.7.3 says. Checked against the tables of
    NVIDIA's Sionna.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

# fmt: off
TABLES: dict[str, tuple[tuple[float, ...], tuple[float, ...]]] = {
    "tdl-a": (
        (0.0000, 0.3819, 0.4025, 0.5868, 0.4610, 0.5375, 0.6708, 0.5750, 0.7618, 1.5375, 1.8978, 2.2242,
         2.1718, 2.4942, 2.5119, 3.0582, 4.0810, 4.4579, 4.5695, 4.7966, 5.0066, 5.3043, 9.6586),
        (-13.4, 0.0, -2.2, -4.0, -6.0, -8.2, -9.9, -10.5, -7.5, -15.9, -6.6, -16.7,
         -12.4, -15.2, -10.8, -11.3, -12.7, -16.2, -18.3, -18.9, -16.6, -19.9, -29.7),
    ),
    "tdl-b": (
        (0.0000, 0.1072, 0.2155, 0.2095, 0.2870, 0.2986, 0.3752, 0.5055, 0.3681, 0.3697, 0.5700, 0.5283,
         1.1021, 1.2756, 1.5474, 1.7842, 2.0169, 2.8294, 3.0219, 3.6187, 4.1067, 4.2790, 4.7834),
        (0.0, -2.2, -4.0, -3.2, -9.8, -1.2, -3.4, -5.2, -7.6, -3.0, -8.9, -9.0,
         -4.8, -5.7, -7.5, -1.9, -7.6, -12.2, -9.8, -11.4, -14.9, -9.2, -11.3),
    ),
    "tdl-c": (
        (0.0000, 0.2099, 0.2219, 0.2329, 0.2176, 0.6366, 0.6448, 0.6560, 0.6584, 0.7935, 0.8213, 0.9336,
         1.2285, 1.3083, 2.1704, 2.7105, 4.2589, 4.6003, 5.4902, 5.6077, 6.3065, 6.6374, 7.0427, 8.6523),
        (-4.4, -1.2, -3.5, -5.2, -2.5, 0.0, -2.2, -3.9, -7.4, -7.1, -10.7, -11.1,
         -5.1, -6.8, -8.7, -13.2, -13.9, -13.9, -15.8, -17.1, -16.0, -15.7, -21.6, -22.8),
    ),
}
# fmt: on
"""Delays relative to the RMS delay spread, and powers in dB, by name."""
HALF_LEN = 16
"""Samples of a fractional-delay filter on either side; the common delay of all paths."""
_BETA = 8.0


class Paths(NamedTuple):
    """Power delay profile."""

    delays: npt.NDArray[np.float64]
    """Delays in samples, [n]."""
    powers: npt.NDArray[np.float64]
    """Mean powers, [n]; their sum is 1."""


def tdl_paths(name: str, delay_spread: float) -> Paths:
    """Power delay profile of a tapped delay line.

    Args:
        name: A key of `TABLES`.
        delay_spread: RMS delay spread in samples.
    """
    delays, powers_db = TABLES[name]
    powers = 10 ** (np.asarray(powers_db) / 10)
    return Paths(delay_spread * np.asarray(delays), powers / powers.sum())


def delay_filters(delays: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Fractional-delay filters: Kaiser-windowed sincs with a common delay of `HALF_LEN` samples.

    The error is below -70 dB over the occupied 80 % of the band and grows towards its edges.

    Args:
        delays: Samples, 0 or more, [n_paths].

    Returns:
        Impulse responses, [n_taps, n_paths]; column p delays by HALF_LEN + delays[p] samples.
    """
    n_taps = 2 * HALF_LEN + int(np.ceil(delays.max())) + 1
    distance = np.arange(n_taps)[:, None] - HALF_LEN - delays  # [n_taps, n_paths]
    inside = np.maximum(0, 1 - (distance / HALF_LEN) ** 2)
    window = np.where(inside > 0, np.i0(_BETA * np.sqrt(inside)) / np.i0(_BETA), 0)
    filters: npt.NDArray[np.float64] = np.sinc(distance) * window
    return filters
