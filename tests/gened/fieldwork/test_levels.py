# SPDX-License-Identifier: GPL-3.0-or-later
"""What a capture of known bursts tells, where all that there is to know was set; and which level is recommended."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from gened.fieldwork.levels import (
    LevelFigures,
    advice,
    clipped_fraction,
    dbfs,
    known_burst,
    known_frame,
    mean_power,
    measure,
    pair_offset,
    recommend,
    spread_of,
)
from gened.gr_blocks.phy.channel.config import ChannelConfig
from gened.gr_blocks.phy.channel.sample_channel import SampleChannel

RATE = 1e6
FRAME = known_frame(5, 77)


def capture(n_bursts: int, *, gain: float = 0.1, clip: bool = False, **channel: float) -> np.ndarray:
    """Samples of a receiver that heard so many bursts, each with silence around."""
    burst = known_burst(FRAME)
    sent = np.concatenate([np.concatenate([np.zeros(1500, np.complex64), burst]) for _ in range(n_bursts)])
    starts = [1500 + n * (1500 + len(burst)) for n in range(n_bursts)]
    config = ChannelConfig(**{"snr_db": 20.0, "seed": 3, **channel})
    heard = gain * SampleChannel(config, RATE).process(np.append(sent, np.zeros(2000, np.complex64)), starts)
    if clip:
        heard = np.clip(heard.real, -1, 1) + 1j * np.clip(heard.imag, -1, 1)
    return heard.astype(np.complex64)


def figures(samples: np.ndarray, n_sent: int = 4) -> LevelFigures:
    return measure(samples, FRAME, sample_rate=RATE, n_sent=n_sent, tx_gain_db=-40.0, backoff_db=12.0)


def test_the_known_payload_is_the_same_for_a_seed_and_of_mean_power_one() -> None:
    again = known_frame(5, 78)
    assert np.array_equal(FRAME.encoded.symbols, again.encoded.symbols)
    assert mean_power(FRAME.encoded.symbols) == pytest.approx(1, abs=0.05)
    assert mean_power(known_burst(FRAME)) == pytest.approx(1, abs=0.05)


@pytest.mark.parametrize("snr_db", [4.0, 20.0, 30.0])
def test_both_snrs_are_the_one_that_was_set(snr_db: float) -> None:
    level = figures(capture(4, snr_db=snr_db, freq_offset_hz=3210.0))
    assert (level.n_found, level.n_sent) == (4, 4)
    assert level.snr_est_db == pytest.approx(snr_db, abs=0.5)
    assert level.snr_evm_db == pytest.approx(snr_db, abs=0.5)


def test_carrier_and_clock_offset_are_found_with_their_signs() -> None:
    level = figures(capture(6, freq_offset_hz=-12345.0, sfo_ppm=20.0), n_sent=6)
    offset = pair_offset([level])
    assert offset is not None
    assert offset.cfo_hz.median == pytest.approx(-12345.0, abs=2.0)
    assert offset.cfo_hz.spread < 2.0 and offset.cfo_hz.n == 6
    assert offset.sfo_ppm.median == pytest.approx(20.0, abs=1.5)


def test_levels_are_counted_from_full_scale_and_over_the_bursts_alone() -> None:
    level = figures(capture(4, gain=0.1, snr_db=40.0))
    assert level.rx_dbfs == pytest.approx(-20.0, abs=0.2)  # with the gaps it would be half a decibel less
    assert -12 < level.peak_dbfs < -6
    assert level.clipped_fraction == 0


def test_a_receiver_that_clips_is_seen_by_its_samples_and_by_its_snr() -> None:
    level = figures(capture(4, gain=1.0, snr_db=40.0, clip=True))
    assert level.clipped_fraction > 0.05
    assert level.peak_dbfs == pytest.approx(0, abs=0.01)
    assert level.snr_evm_db is not None and level.snr_evm_db < 25


def test_bursts_of_somebody_else_do_not_count() -> None:
    level = measure(capture(3), known_frame(5, 78), sample_rate=RATE, n_sent=3, tx_gain_db=0.0, backoff_db=12.0)
    assert level.n_found == 0 and level.snr_est_db is None


def test_noise_alone_has_a_level_and_nothing_else() -> None:
    noise = capture(1, snr_db=0.0)[:1400]
    level = figures(noise)
    assert level.n_found == 0
    assert level.rx_dbfs == pytest.approx(dbfs(mean_power(noise)))
    assert pair_offset([level]) is None


def test_a_sample_is_clipped_when_either_part_is_at_full_scale() -> None:
    samples = np.array([0.5, 2047 / 2048, 1j, -1, 0.7 + 0.7j, 0.99], np.complex64)
    assert clipped_fraction(samples) == pytest.approx(3 / 6)


def test_the_spread_of_a_gaussian_is_its_standard_deviation(rng: np.random.Generator) -> None:
    spread = spread_of(list(rng.normal(50.0, 4.0, 20000)))
    assert spread.median == pytest.approx(50, abs=0.2) and spread.spread == pytest.approx(4, rel=0.03)


# Which level to take


def sweep(*rows: tuple[float, float | None, float]) -> list[LevelFigures]:
    """Levels of gain, SNR (None: nothing found) and clipped share."""
    plain = LevelFigures(
        tx_gain_db=0, backoff_db=12, n_sent=10, n_found=10, rx_dbfs=-20, peak_dbfs=-9, clipped_fraction=0
    )
    return [
        replace(plain, tx_gain_db=gain, snr_evm_db=snr, snr_est_db=snr, clipped_fraction=clip,
                n_found=0 if snr is None else 10, cfo_hz=() if snr is None else (gain,),
                sfo_ppm=() if snr is None else (0.0,))
        for gain, snr, clip in rows
    ]  # fmt: skip


def test_the_lowest_level_that_is_as_good_as_the_best_is_recommended() -> None:
    found = recommend(sweep((-60, None, 0), (-40, 10, 0), (-30, 19.5, 0), (-20, 20, 0), (-10, 18, 0)))
    assert found.level is not None and found.level.tx_gain_db == -30
    assert found.reason.endswith("more power brings no more")


def test_no_level_that_clips_is_recommended() -> None:
    found = recommend(sweep((-40, 10, 0), (-30, 20, 0), (-20, 30, 0.01)))
    assert found.level is not None and found.level.tx_gain_db == -30
    assert found.reason.endswith("above it the receiver clips")


def test_the_end_of_the_sweep_is_told_where_the_snr_still_rises() -> None:
    found = recommend(sweep((-40, 10, 0), (-30, 20, 0)))
    assert found.level is not None and found.level.tx_gain_db == -30 and "still rising" in found.reason


def test_where_nothing_was_heard_nothing_is_recommended_and_the_advice_says_what_to_look_at() -> None:
    levels = sweep((-40, None, 0))
    assert recommend(levels).level is None
    assert any("look at the cable" in line for line in advice(-60.0, levels, sample_rate=RATE))


def test_offsets_of_levels_that_are_hardly_heard_do_not_count_beside_good_ones() -> None:
    offset = pair_offset(sweep((-60, -1.0, 0), (-40, 10.0, 0), (-30, 20.0, 0)))
    assert offset is not None and offset.cfo_hz.median == -35 and offset.cfo_hz.n == 2
