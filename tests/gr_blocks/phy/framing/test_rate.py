# SPDX-License-Identifier: GPL-3.0-or-later
"""Rates as text, numbers and fractions, and those that no header can carry."""

from __future__ import annotations

import re
from fractions import Fraction
from typing import Any

import pytest

from gened.errors import FrameError
from gened.gr_blocks.phy.framing.rate import parse_rate


@pytest.mark.parametrize(("text", "value"), [("1/24", (1, 24)), ("2/48", (1, 24)), (0.25, (1, 4)), ("5/96", (5, 96))])
def test_rates_are_read_and_reduced(text: Any, value: tuple[int, int]) -> None:
    rate = parse_rate(text)
    assert (rate.numerator, rate.denominator) == value


@pytest.mark.parametrize("text", ["", "fast", "1/0", "0", "-1/24", "3/2", "9/100", "1/513", float("nan"), float("inf")])
def test_rates_that_the_header_cannot_tell_are_refused(text: Any) -> None:
    with pytest.raises(FrameError, match="rate"):
        parse_rate(text)


@pytest.mark.parametrize("text", ["1/600", "1/" + "9" * 400, "0." + "3" * 400])
def test_a_fraction_is_never_replaced_by_another_and_long_texts_are_not_read(text: str) -> None:
    with pytest.raises(FrameError, match=re.escape(text[:20])):
        parse_rate(text)


def test_a_decimal_becomes_the_nearest_fraction_that_can_be_sent() -> None:
    assert parse_rate("0.05") == Fraction(1, 20) and parse_rate(0.0417) == Fraction(1, 24)
