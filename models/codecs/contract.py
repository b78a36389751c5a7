# SPDX-License-Identifier: GPL-3.0-or-later
"""The rules that every codec keeps, checked after each encoding and decoding.

`base.encode_picture` and `base.encode_batch` check what comes from `encode`, `base.decode_picture` and
`base.decode_batch` what comes from `decode`. Every path goes through them: evaluation over the channel model and over
the waveform, single pictures and batches, and the worker of a running link. So a codec cannot gain decibels by power or
symbols that its rate does not show. `gened check --codec` (`check_codec`) tries the rest of the contract.
"""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import numpy as np
import numpy.typing as npt

from gened.errors import CodecError
from gened.gr_blocks.phy.coding.modes import MODES
from gened.gr_blocks.phy.framing.budget import budget, side_symbols
from gened.gr_blocks.phy.framing.planning import MAX_SIDE_BYTES
from gened.gr_blocks.phy.types import Encoded, ImageSize

POWER_TOLERANCE = 0.01
"""Largest deviation of the mean power of a frame's symbols from 1: 0.04 dB."""
MAX_LEVELS = 32
"""Most distinct values of real and imaginary parts that count as a constellation: 1024-QAM has 32."""
STANDARD_ERRORS = 5.0
"""Further deviation of a constellation's mean power, in standard errors. A frame of coded bits does not have each point
equally often; chance exceeds five standard errors in less than one frame in a million."""
MASK_TOLERANCE = 1e-3
"""Excess over 1 that is rounding in a mask or in a confidence."""


def check_encoded(
    encoded: Encoded, *, codec: str, size: ImageSize, rate: Fraction, snr_db: float, picture: str = ""
) -> Encoded:
    """The encoded picture itself, if it keeps the rules.

    The symbols are a finite vector of complex64 of mean power 1 within `POWER_TOLERANCE`. The symbols of a
    constellation may deviate by chance, see `power_tolerance`. Analogue and side symbols together stay within
    `budget(size, rate, snr_db)`; side information has at most 65,535 bytes and a registered mode.

    Args:
        encoded: The result of `encode`.
        codec: Name of the codec, for the message.
        size: Size of the picture, pixels.
        rate: The rate that was asked for.
        snr_db: Design SNR, dB.
        picture: Name of the picture, for the message; empty if it has none.

    Raises:
        CodecError: It breaks a rule; the line names codec, picture, value and limit.
    """
    fault = encoded_fault(encoded, size, rate, snr_db)
    if fault:
        raise CodecError(f"{_subject(codec, picture)}: {fault}")
    return encoded


def check_decoded(decoded: Any, *, codec: str, size: ImageSize, picture: str = "") -> None:
    """Check a decoded picture: [3, H, W] float32 in [0, 1]; mask and confidence [H, W] in [0, 1], or None.

    Args:
        decoded: The result of `decode`.
        codec: Name of the codec, for the message.
        size: Size of the picture that was sent, pixels.
        picture: Name of the picture, for the message; empty if it has none.

    Raises:
        CodecError: It breaks a rule; the line names codec, picture, value and limit.
    """
    fault = decoded_fault(decoded, size)
    if fault:
        raise CodecError(f"{_subject(codec, picture)}: {fault}")


def encoded_fault(encoded: Any, size: ImageSize, rate: Fraction, snr_db: float) -> str:
    """The rule that the result of `encode` breaks, with value and limit; empty if it keeps all."""
    if not isinstance(encoded, Encoded):
        return f"encode returned {_kind(encoded)}, not Encoded"
    return (
        symbols_fault(encoded.symbols)
        or side_fault(encoded)
        or budget_fault(encoded, size, rate, snr_db)
        or power_fault(encoded.symbols)
    )


def symbols_fault(symbols: Any) -> str:
    """The fault of symbols that are not a finite vector of complex64; empty if they are."""
    if not isinstance(symbols, np.ndarray) or symbols.dtype != np.complex64 or symbols.ndim != 1:
        return f"the symbols are {_kind(symbols)}, not a vector of complex64"
    n_bad = int(np.count_nonzero(~np.isfinite(symbols)))
    return f"{n_bad} of {len(symbols)} symbols are not finite" if n_bad else ""


def side_fault(encoded: Encoded) -> str:
    """The fault of side information that no frame can carry; empty if one can."""
    side: Any = encoded.side_info
    side_mode: Any = encoded.side_mode
    if not isinstance(side, bytes):
        return f"the side information is {_kind(side)}, not bytes"
    if side_mode is not None and side_mode not in MODES:
        return f"there is no mode {side_mode!r} for the side information; there are {', '.join(MODES)}"
    if len(side) > MAX_SIDE_BYTES:
        return f"{len(side)} bytes of side information; a frame carries {MAX_SIDE_BYTES}"
    return ""


def budget_fault(encoded: Encoded, size: ImageSize, rate: Fraction, snr_db: float) -> str:
    """The fault of a frame that takes more symbols than its rate has; empty within the budget."""
    allowed = budget(size, rate, snr_db)
    n_side = side_symbols(len(encoded.side_info), encoded.side_mode or allowed.side_mode, allowed.n_bursts)
    if len(encoded.symbols) + n_side <= allowed.symbols:
        return ""
    return (
        f"{len(encoded.symbols)} analogue and {n_side} side symbols; "
        f"rate {rate} of {size.width}x{size.height} pixels allows {allowed.symbols}"
    )


def power_fault(symbols: npt.NDArray[np.complex64]) -> str:
    """The fault of symbols whose mean power is not 1; empty if it is, or if there are no symbols."""
    if not len(symbols):
        return ""
    power = mean_power(symbols)
    if abs(power - 1) <= POWER_TOLERANCE or abs(power - 1) <= power_tolerance(symbols):
        return ""
    decibels = f" ({10 * np.log10(power):+.2f} dB)" if power > 0 else ""
    return f"the mean power of the symbols is {power:.4g}{decibels}, not 1 within {POWER_TOLERANCE:.0%}"


def mean_power(symbols: npt.NDArray[np.complex64]) -> float:
    """Mean of the squared magnitudes, in double precision, as the squares of complex64 lose digits in large frames."""
    parts = symbols.view(np.float32).astype(np.float64)
    return float(np.vdot(parts, parts)) / len(symbols)


def power_tolerance(symbols: npt.NDArray[np.complex64]) -> float:
    """Largest deviation of the mean power from 1: `POWER_TOLERANCE`, and more for a constellation.

    Symbols whose real and imaginary parts take at most `MAX_LEVELS` values, and fewer values than there are symbols,
    are those of a constellation. Its points have mean power 1, but a frame of n symbols deviates by chance, so that
    `STANDARD_ERRORS` standard errors of the mean are added: none for PSK, 0.03 for 8192 symbols of 16-QAM.

    Args:
        symbols: [n] complex64, n > 0.
    """
    parts = np.round(symbols.view(np.float32).astype(np.float64), 4)
    if len(np.unique(parts)) > min(MAX_LEVELS, len(symbols)):
        return POWER_TOLERANCE
    powers = np.abs(symbols.astype(np.complex128)) ** 2
    return POWER_TOLERANCE + STANDARD_ERRORS * float(powers.std()) / float(np.sqrt(len(symbols)))


def decoded_fault(decoded: Any, size: ImageSize) -> str:
    """The rule that the result of `decode` breaks; empty if it keeps all."""
    x_hat = getattr(decoded, "x_hat", None)
    if x_hat is None:
        return f"decode returned {_kind(decoded)}, not Decoded"
    if not isinstance(x_hat, np.ndarray) or x_hat.dtype != np.float32 or x_hat.shape != (3, *size):
        return f"decode returned {_kind(x_hat)} as the picture, not [3, {size.height}, {size.width}] of float32"
    if not np.isfinite(x_hat).all() or x_hat.min() < 0 or x_hat.max() > 1:
        return f"decode returned a picture with values from {x_hat.min():g} to {x_hat.max():g}, not within 0 to 1"
    for name in ("mask", "confidence"):
        values = getattr(decoded, name)
        if values is None:
            continue
        if not isinstance(values, np.ndarray) or values.shape != tuple(size):
            return f"decode returned {_kind(values)} as {name}, not [{size.height}, {size.width}]"
        if not np.isfinite(values).all() or values.min() < 0 or values.max() > 1 + MASK_TOLERANCE:
            return f"decode returned a {name} with values from {values.min():g} to {values.max():g}, not within 0 to 1"
    return ""


def _subject(codec: str, picture: str) -> str:
    return f"codec {codec}, {picture}" if picture else f"codec {codec}"


def _kind(value: Any) -> str:
    """Type of a value for a message; for an array, shape and type of its entries."""
    if isinstance(value, np.ndarray):
        return f"{list(value.shape)} of {value.dtype}"
    return f"a {type(value).__name__}"
