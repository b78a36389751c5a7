# SPDX-License-Identifier: GPL-3.0-or-later
"""EVM of the digital part: the noise that was added, as far as one knows what was sent."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest

from gened.gr_blocks.phy.channel.noise import complex_noise
from gened.gr_blocks.phy.equalizer.evm import digital_evm_db
from gened.gr_blocks.phy.framing.assembly import FrameAssembler
from gened.gr_blocks.phy.framing.burst import ReceivedBurst
from gened.gr_blocks.phy.framing.planning import plan_bursts
from gened.gr_blocks.phy.types import ComplexArray, Encoded, Frame, ImageSize

SIDE, TEXT = bytes(range(180)), b"what was said beside the picture, at some length " * 8
FRAME = Frame(
    3, 9, 1, ImageSize(512, 512), Fraction(1, 24), 10.0,
    Encoded(complex_noise(np.random.default_rng(1), 400, 1.0), SIDE), TEXT, "qpsk-1/2",
)  # fmt: skip


def noisy_symbols(snr_db: float) -> dict[int, ComplexArray]:
    """Cells of each burst, analogue ones behind the digital."""
    rng = np.random.default_rng(2)
    return {
        content.header.burst: content.symbols + complex_noise(rng, len(content.symbols), 10 ** (-snr_db / 10))
        for content in plan_bursts(FRAME)
    }


HEADER = plan_bursts(FRAME)[0].header


@pytest.mark.parametrize("snr_db", [-3.0, 3.0, 10.0, 25.0])
def test_against_what_was_sent_it_is_the_noise(snr_db: float) -> None:
    assert digital_evm_db(HEADER, noisy_symbols(snr_db), SIDE, TEXT) == pytest.approx(-snr_db, abs=0.2)


def test_against_the_nearest_points_it_is_the_noise_where_that_is_small() -> None:
    assert digital_evm_db(HEADER, noisy_symbols(15.0), None, None) == pytest.approx(-15.0, abs=0.2)
    assert digital_evm_db(HEADER, noisy_symbols(0.0), None, None) < -2.0  # too good, as the page says


def test_lost_cells_do_not_count() -> None:
    cells = noisy_symbols(10.0)
    cells[0][:50], cells[0][50:60], cells[1][3] = 0, np.nan, np.inf
    assert digital_evm_db(HEADER, cells, SIDE, TEXT) == pytest.approx(-10.0, abs=0.2)


def test_without_digital_cells_there_is_none() -> None:
    empty = replace(HEADER, side_len=1, text_len=0)
    assert np.isnan(digital_evm_db(empty, {0: np.ones(5, np.complex64)}, b"\x05", b""))
    assert np.isnan(digital_evm_db(HEADER, {}, SIDE, TEXT))


@pytest.mark.parametrize("lost", [None, 0, 1])
def test_a_frame_tells_it_whatever_has_come(lost: int | None) -> None:
    assembler, frames = FrameAssembler(), []
    cells = noisy_symbols(12.0)
    for content in reversed(plan_bursts(FRAME)):
        number = content.header.burst
        if number != lost:
            noise_var = np.full(len(cells[number]), 10**-1.2, np.float32)
            frames += assembler.push(ReceivedBurst(content.header, cells[number], noise_var, snr_est_db=12.0))
    (frame,) = frames + assembler.flush()
    assert frame.evm_db == pytest.approx(-12.0, abs=0.3)
