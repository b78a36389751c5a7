# SPDX-License-Identifier: GPL-3.0-or-later
"""What is drawn of a burst is what was done to it: parts, offsets, echoes, interference, the reason of a failure."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction
from typing import Any

import numpy as np
import pytest

from gened.gr_blocks.phy.channel.noise import complex_noise
from gened.gr_blocks.phy.coding.interleave import FRAME_SEED, permutation
from gened.gr_blocks.phy.equalizer.demodulator import Capture, demodulate
from gened.gr_blocks.phy.framing.header import VERSIONS
from gened.gr_blocks.phy.framing.planning import plan_bursts
from gened.gr_blocks.phy.framing.records import Records, pack_records
from gened.gr_blocks.phy.ofdm.modulator import modulate_burst
from gened.gr_blocks.phy.ofdm.waveform import WAVEFORM
from gened.gr_blocks.phy.types import ComplexArray, Encoded, Frame, ImageSize
from gened.inspect.anatomy import coherence, dissect, spectrum
from gened.inspect.anatomy_records import Anatomy, ChannelView
from gened.inspect.inspection_report import as_json, title_lines
from gened.inspect.specimen import Specimen, SpecimenFinder

RATE = 1e6
GAP = 2000
CAPTION = "a red bus before a grey house"
HEADER = slice(528 + 272, 528 + 816)


def burst(
    *, n_analog: int = 3000, side: bytes = bytes(range(30)), caption: str = CAPTION, version: int = 2
) -> ComplexArray:
    text = pack_records(Records(caption=caption)) if caption else b""
    symbols = complex_noise(np.random.default_rng(1), n_analog, 1.0)
    frame = Frame(7, 3, 9, ImageSize(256, 256), Fraction(1, 24), 10.0, Encoded(symbols, side), text, "qpsk-1/2")
    content = plan_bursts(frame, version=version)[0]
    return modulate_burst(content, reduces_papr=False)  # its error would count as noise


def arrived(samples: ComplexArray, *, snr_db: float = 15.0, cfo_norm: float = 0.0, seed: int = 2) -> ComplexArray:
    """A burst between gaps, with noise."""
    gap = np.zeros(GAP, np.complex64)
    stream = np.concatenate([gap, samples, gap])
    noise = complex_noise(np.random.default_rng(seed), len(stream), WAVEFORM.noise_var_per_sample(snr_db))
    return np.asarray(stream * np.exp(2j * np.pi * cfo_norm * np.arange(len(stream))) + noise, np.complex64)


def only(samples: ComplexArray) -> Specimen:
    finder = SpecimenFinder()
    (one,) = finder.push(samples) + finder.flush()
    return one


def laid_open(samples: ComplexArray, **settings: Any) -> Anatomy:
    return dissect(only(arrived(samples, **settings)), RATE)


def test_the_numbers_are_those_of_the_burst() -> None:
    found = laid_open(burst(), snr_db=12.0, cfo_norm=0.021)
    assert not found.fault
    assert found.header is not None and (found.header.frame, found.header.session) == (3, 7)
    assert found.caption == CAPTION
    assert found.cfo_norm == pytest.approx(0.021, abs=1e-6)
    assert found.snr_est_db == pytest.approx(12.0, abs=0.7)
    assert found.evm_db == pytest.approx(-12.0, abs=0.6)
    assert found.papr_db is not None and 7 < found.papr_db < 10
    assert [(one.name, one.crc_ok) for one in found.sections] == [
        ("header", True), ("side information", True), ("caption", True), ("picture", None),
    ]  # fmt: skip


def test_cells_are_the_receivers_own() -> None:
    specimen = only(arrived(burst()))
    assert isinstance(specimen.found, Capture)
    received, found = demodulate(specimen.found), dissect(specimen, RATE)
    cells = np.concatenate([one.symbols for one in found.sections[1:]])
    assert np.array_equal(cells, received.symbols)
    assert found.elements is not None and found.elements.grid.shape == found.elements.noise_var.shape


@pytest.mark.parametrize(
    ("settings", "names"),
    [
        ({}, ["preamble", "header", "side information", "caption", "picture", "padding"]),
        ({"caption": ""}, ["preamble", "header", "side information", "picture", "padding"]),
        ({"side": b"", "n_analog": 0}, ["preamble", "header", "caption", "padding"]),
        ({"side": b"", "n_analog": 194, "caption": ""}, ["preamble", "header", "picture"]),
    ],
)
def test_parts_follow_each_other_from_the_first_sample_to_the_last(settings: dict[str, Any], names: list[str]) -> None:
    sent = burst(**settings)
    found = laid_open(sent)
    assert [part.name for part in found.parts] == names
    assert [part.begin for part in found.parts] == [0, *(part.end for part in found.parts[:-1])]
    assert round(found.parts[-1].end) == len(sent) == len(found.burst)


def test_pilots_turn_by_what_the_detector_left_and_stand_still_behind_the_correction() -> None:
    specimen, left_norm = only(arrived(burst(), snr_db=25.0)), 2e-5
    assert isinstance(specimen.found, Capture)
    missed = replace(specimen.found, cfo_norm=specimen.found.cfo_norm - left_norm)
    found = dissect(replace(specimen, found=missed), RATE)
    assert found.pilots is not None
    slope, _ = np.polyfit(found.pilots.times, found.pilots.before_rad, 1)
    true_norm = left_norm - specimen.found.cfo_norm
    assert slope / (2 * np.pi) == pytest.approx(true_norm, abs=2e-7)
    assert np.abs(found.pilots.after_rad).max() < 0.1
    assert found.pilots.times[0] == pytest.approx(WAVEFORM.preamble_len + 12 + 128)  # middle of its window


def test_group_delay_of_a_pure_delay_is_that_delay() -> None:
    view = ChannelView(3 * np.exp(-2j * np.pi * WAVEFORM.carriers * 2.5 / WAVEFORM.n_fft))
    assert view.group_delay == pytest.approx(2.5)
    assert view.magnitude_db == pytest.approx(0, abs=1e-9)
    assert np.diff(view.phase_rad).max() < 0


def test_an_echo_is_seen_in_magnitude_and_delay() -> None:
    taps = np.zeros(7, np.complex64)
    taps[0], taps[6] = 0.8, 0.6j
    found = laid_open(np.convolve(burst(), taps).astype(np.complex64), snr_db=25.0)
    assert found.channel is not None
    true = np.exp(-2j * np.pi * np.outer(WAVEFORM.carriers, np.arange(7)) / WAVEFORM.n_fft) @ taps
    expected = ChannelView(true)
    shift = found.start - GAP
    assert found.channel.magnitude_db == pytest.approx(expected.magnitude_db, abs=0.8)
    delay = found.channel.group_delay[5:-5] + shift
    assert delay == pytest.approx(expected.group_delay[5:-5], abs=1.2)


def test_a_channel_that_moves_is_told_at_its_beginning_and_end() -> None:
    sent = burst(n_analog=8000)
    fading = np.exp(-1.5 * np.arange(len(sent)) / len(sent))
    view = laid_open((sent * fading).astype(np.complex64), snr_db=20.0).channel
    assert view is not None and view.ends_db is not None
    first_db, last_db = view.ends_db.mean(1)
    assert first_db - last_db == pytest.approx(20 * 1.5 * np.log10(np.e) * (1 - 800 / len(sent)), abs=1.0)
    still = laid_open(sent, snr_db=20.0).channel
    assert still is not None and still.ends_db is None


def test_interference_on_some_carriers_for_some_time_shows_where_it_was() -> None:
    sent = burst(n_analog=8000)
    n, first = 15 * WAVEFORM.symbol_len, WAVEFORM.preamble_len + 25 * WAVEFORM.symbol_len
    spoilt = sent.copy()
    jam = np.zeros((15, 204), np.complex64)
    jam[:, 140:160] = complex_noise(np.random.default_rng(4), 15 * 20, 1.0).reshape(15, 20)
    body = WAVEFORM.to_time(jam)
    spoilt[first : first + n] += np.concatenate([body[:, -WAVEFORM.cp_len :], body], axis=1).ravel()
    found = laid_open(spoilt, snr_db=20.0)
    assert found.elements is not None
    symbol, carrier = np.unravel_index(int(np.nanargmax(found.elements.error_var)), found.elements.error_var.shape)
    assert 25 <= symbol < 40 and 140 <= carrier < 160


def test_claimed_and_measured_noise_agree_on_a_clean_channel() -> None:
    found = laid_open(burst(), snr_db=8.0)
    assert found.elements is not None and found.elements.bias_db == pytest.approx(0, abs=0.4)


def with_a_wrong_header(samples: ComplexArray) -> ComplexArray:
    spoilt = samples.copy()
    spoilt[HEADER] = complex_noise(np.random.default_rng(3), HEADER.stop - HEADER.start, 1.0)
    return spoilt


def test_a_wrong_header_is_laid_open_as_far_as_the_header() -> None:
    found = laid_open(with_a_wrong_header(burst()), cfo_norm=-0.01)
    assert found.fault == "the header fails its checksum"
    assert found.header is None and found.caption is None
    assert [(one.name, one.crc_ok) for one in found.sections] == [("header", False)]
    assert found.elements is not None and found.elements.grid.shape == (3, 204)
    assert found.channel is not None and found.pilots is not None
    assert found.cfo_norm == pytest.approx(-0.01, abs=1e-4)


def test_another_format_version_is_named() -> None:
    sent = burst(version=3)
    assert laid_open(sent).fault == "the header is of another format version"


@pytest.mark.parametrize(
    ("n_left", "fault", "has_header"),
    [(660, "the samples end within the header", False), (2500, "the samples end within the burst", True)],
)
def test_a_burst_cut_off_says_where_the_samples_end(n_left: int, fault: str, has_header: bool) -> None:
    found = dissect(only(arrived(burst())[: GAP + n_left]), RATE)
    assert found.fault == fault
    assert (found.header is not None) is has_header


def test_lost_caption_is_measured_against_the_nearest_points() -> None:
    spoilt = burst()
    first = round(next(part.begin for part in laid_open(spoilt).parts if part.name == "caption"))
    spoilt[first + 100 : first + 800] = complex_noise(np.random.default_rng(5), 700, 1.0)
    section = laid_open(spoilt).section("caption")
    assert section is not None and section.crc_ok is False
    assert section.evm_db is not None and -6 < section.evm_db < 0
    assert len(section.points) == 4


@pytest.mark.parametrize(
    ("kind", "reason"),
    [
        ("noise", "nothing repeats after 256 samples"),
        ("silence", "nothing repeats after 256 samples"),
        ("tone", "what repeats is a single carrier"),
        ("other", "it is another signal"),
        ("short", "too few samples"),
    ],
)
def test_a_place_without_a_preamble_says_why(kind: str, reason: str) -> None:
    noise = complex_noise(np.random.default_rng(6), 3072, 1.0)
    samples = {
        "noise": noise, "silence": np.zeros(3072, np.complex64), "short": noise[:300],
        "tone": np.exp(2j * np.pi * 0.1 * np.arange(3072)).astype(np.complex64), "other": np.tile(noise[:256], 12),
    }[kind]  # fmt: skip
    found = dissect(Specimen(samples, 5000, None, 6000), RATE)
    assert reason in found.fault
    assert found.start == 6000 and found.channel is None and found.sections == ()


def test_coherence_peaks_behind_the_prefix_and_is_a_share() -> None:
    samples = arrived(burst(), snr_db=10.0, cfo_norm=0.05)
    share = coherence(samples, 0.05)
    assert int(np.argmax(share)) == GAP + WAVEFORM.cp_len
    assert share.min() >= 0 and share.max() <= 1


def test_spectrum_holds_the_power_and_shows_a_carrier_at_its_frequency() -> None:
    samples = complex_noise(np.random.default_rng(7), 60_000, 0.5)
    freqs, density = spectrum(samples, RATE)
    assert density.sum() * RATE / len(freqs) == pytest.approx(0.5, rel=0.05)
    tone = np.exp(2j * np.pi * 0.125 * np.arange(4096)).astype(np.complex64)
    assert freqs[int(np.argmax(spectrum(tone, RATE)[1]))] == pytest.approx(125e3)


@pytest.mark.parametrize("version", VERSIONS)
def test_both_format_versions_are_shown_without_their_phases(version: int) -> None:
    found = laid_open(burst(version=version))
    assert found.header is not None and found.header.version == version
    assert found.caption == CAPTION
    assert found.evm_db is not None and found.evm_db < -13
    picture, elements = found.section("picture"), found.elements
    assert picture is not None and elements is not None and elements.bias_db is not None
    sent = complex_noise(np.random.default_rng(1), 3000, 1.0)[permutation(3000, FRAME_SEED)]
    error = np.mean(np.abs(picture.symbols - sent) ** 2)
    assert 10 * np.log10(error) == pytest.approx(-15, abs=1)
    assert abs(elements.bias_db) < 1
    assert ("format version 1" in title_lines(found)[0]) is (version == 1)
    assert as_json(found)["header"]["version"] == version
