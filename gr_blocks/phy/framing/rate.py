# SPDX-License-Identifier: GPL-3.0-or-later
"""Rates that a header can carry: fractions of small numerator and denominator."""

from __future__ import annotations

from fractions import Fraction

from gened.errors import FrameError

MAX_NUMERATOR = 8
MAX_DENOMINATOR = 512
"""The header has three bits for the numerator and nine for the denominator."""
MAX_TEXT = 32
"""Characters of a rate; a long decimal would take long to reduce."""


def parse_rate(rate: Fraction | str | float) -> Fraction:
    """A rate that a header can carry, from "1/24", a Fraction or a number.

    Args:
        rate: A decimal number becomes the nearest fraction that can be sent; a fraction is taken as it is.

    Raises:
        FrameError: Not a rate between 0 and 1 with a numerator up to 8 and a denominator up to 512.
    """
    if isinstance(rate, str) and len(rate) > MAX_TEXT:
        raise FrameError(f"'{rate[:MAX_TEXT]}...' is not a rate; write it like 1/24")
    try:
        is_decimal = isinstance(rate, float) or (isinstance(rate, str) and "/" not in rate)
        value = Fraction(rate).limit_denominator(MAX_DENOMINATOR) if is_decimal else Fraction(rate)
    except (ValueError, ZeroDivisionError, TypeError, OverflowError) as error:
        raise FrameError(f"'{rate}' is not a rate; write it like 1/24") from error
    if not 0 < value <= 1 or value.numerator > MAX_NUMERATOR or value.denominator > MAX_DENOMINATOR:
        raise FrameError(
            f"rate {value} cannot be sent; rates are fractions up to 1 with a numerator up to {MAX_NUMERATOR} "
            f"and a denominator up to {MAX_DENOMINATOR}"
        )
    return value
