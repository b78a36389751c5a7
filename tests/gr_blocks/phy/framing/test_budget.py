# SPDX-License-Identifier: GPL-3.0-or-later
"""The one place that counts symbols."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest

from gened.errors import FrameError
from gened.gr_blocks.phy.coding.erasure_code import encode
from gened.gr_blocks.phy.coding.modes import MODES, digital_encode
from gened.gr_blocks.phy.framing.budget import (
    MAX_BURST_SYMBOLS,
    analog_budget,
    budget,
    frame_symbols,
    n_bursts,
    quantize_snr_db,
    side_symbols,
    text_symbols,
)
from gened.gr_blocks.phy.types import ImageSize

SMALL, LARGE = ImageSize(256, 256), ImageSize(3072, 4096)
RATE = Fraction(1, 24)


def test_the_papers_number_comes_out() -> None:
    assert budget(SMALL, RATE, 4.0).symbols == 8192
    assert frame_symbols(ImageSize(65, 67), Fraction(1, 96)) == 136  # 136.09


def test_bursts_hold_what_the_budget_allows() -> None:
    assert n_bursts(SMALL, RATE) == 1
    assert n_bursts(LARGE, RATE) == 96
    assert n_bursts(ImageSize(1, 1), Fraction(1, 96)) == 1
    for width in (512, 513, 1024, 1025):
        size = ImageSize(256, width)
        assert frame_symbols(size, Fraction(1, 12)) <= n_bursts(size, Fraction(1, 12)) * MAX_BURST_SYMBOLS


def test_a_frame_of_too_many_bursts_is_refused_with_the_remedy() -> None:
    with pytest.raises(FrameError, match="257 bursts.*lower the rate"):
        n_bursts(ImageSize(4096, 4096), Fraction(256 * MAX_BURST_SYMBOLS + 1, 3 * 4096 * 4096))


@pytest.mark.parametrize("count", [1, 2, 5, 96])
@pytest.mark.parametrize("n_bytes", [0, 1, 2, 64, 65, 500, 5000])
@pytest.mark.parametrize("name", MODES)
def test_side_and_text_cost_what_their_shares_cost(n_bytes: int, name: str, count: int) -> None:
    sent = sum(len(digital_encode(packet, name)) for packet in encode(bytes(n_bytes), count))
    assert text_symbols(n_bytes, name, count) == sent
    assert side_symbols(n_bytes, name, count) == (0 if n_bytes <= 1 else sent)


def test_side_mode_is_safer_than_a_texts_and_costs_two_one_or_a_half_symbol_a_bit() -> None:
    names = list(MODES)
    chosen = [names.index(budget(SMALL, RATE, snr).side_mode) for snr in np.arange(-8, 24, 0.25)]
    assert chosen == sorted(chosen)
    for snr_db in np.arange(0, 24, 0.25):
        entry = MODES[budget(SMALL, RATE, snr_db).side_mode]
        assert entry.min_snr_db <= quantize_snr_db(snr_db) - 1


def test_budget_counts_with_the_snr_that_the_header_tells() -> None:
    """Else an encoder told 0.7 dB and the framing, which reads 0.5, disagree on the side information's cost."""
    for snr_db in np.arange(-9, 25, 0.1):
        assert budget(SMALL, RATE, snr_db) == budget(SMALL, RATE, quantize_snr_db(snr_db))


def test_what_is_left_for_analogue_symbols_is_never_negative_and_exact() -> None:
    assert analog_budget(SMALL, RATE, 10.0, 1) == 8192
    side_mode = budget(SMALL, RATE, 10.0).side_mode
    assert analog_budget(SMALL, RATE, 10.0, 50) == 8192 - side_symbols(50, side_mode)
    assert analog_budget(ImageSize(64, 64), Fraction(1, 96), 0.0, 2000) == 0


def test_a_margin_takes_a_mode_for_a_lower_snr() -> None:
    plain, safe = budget(SMALL, RATE, 10.0), budget(SMALL, RATE, 10.0, 6.0)
    assert safe.side_mode == budget(SMALL, RATE, 4.0).side_mode != plain.side_mode
    assert safe.symbols == plain.symbols
