# SPDX-License-Identifier: GPL-3.0-or-later
"""Phases of the payload: frozen, exact, and worth what they are for."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from gened.bench.link import random_frame
from gened.gr_blocks.phy.channel.config import ChannelConfig
from gened.gr_blocks.phy.channel.sample_channel import SampleChannel
from gened.gr_blocks.phy.framing.header import MAX_BURST_ELEMENTS, VERSIONS
from gened.gr_blocks.phy.framing.planning import plan_bursts
from gened.gr_blocks.phy.ofdm.modulator import burst_grid, modulate_burst
from gened.gr_blocks.phy.ofdm.papr_reduction import papr_db
from gened.gr_blocks.phy.ofdm.payload_phases import payload_phases
from gened.gr_blocks.phy.ofdm.waveform import WAVEFORM
from gened.gr_blocks.phy.receiver import Receiver
from gened.gr_blocks.phy.types import ComplexArray, Encoded, Frame

QUARTERS_SHA256 = "8b2b1793fb8e7f3026f4c6d429ef49a4aa267a0e3e09884c502e955d0ad27412"
N = 8192


def frame_of(symbols: ComplexArray, snr_db: float = 20.0) -> Frame:
    frame = random_frame(1, np.random.default_rng(1), snr_design_db=snr_db)
    power = np.mean(np.abs(symbols) ** 2)
    return replace(frame, encoded=Encoded((symbols / np.sqrt(power)).astype(np.complex64), b"\x05"))


def averages() -> ComplexArray:
    """Like the local averages of a picture: positive, smooth, real."""
    x, y = np.meshgrid(np.linspace(0, 1, 128), np.linspace(0, 1, 64))
    return np.asarray(0.5 + 0.3 * np.sin(5 * x + 3 * y) * np.cos(4 * y), np.complex64).ravel()


def gaussian_reals() -> ComplexArray:
    return np.random.default_rng(2).standard_normal(N).astype(np.complex64)


def constant() -> ComplexArray:
    return np.ones(N, np.complex64)


def snr_loss_db(frame: Frame, snr_db: float, version: int) -> float:
    """SNR that is set less the SNR of the received symbols; infinite if the frame is lost."""
    gap = np.zeros(1000, np.complex64)
    burst = modulate_burst(plan_bursts(frame, version=version)[0])
    receiver = Receiver()
    samples = SampleChannel(ChannelConfig(snr_db=snr_db, seed=3), 1e6).process(
        np.concatenate([gap, burst, gap]), [1000]
    )
    frames = [*receiver.push(samples), *receiver.flush()]
    if not frames:
        return float("inf")
    error = np.mean(np.abs(frames[0].received.symbols - frame.encoded.symbols) ** 2)
    return float(snr_db + 10 * np.log10(error))


def test_the_phases_are_those_of_the_frozen_wire() -> None:
    phases = payload_phases(MAX_BURST_ELEMENTS, 2)
    assert set(phases.tolist()) == {1, 1j, -1, -1j}
    quarters = (np.round(np.angle(phases) / (np.pi / 2)) % 4).astype(np.uint8)
    assert hashlib.sha256(quarters.tobytes()).hexdigest() == QUARTERS_SHA256
    assert np.array_equal(payload_phases(100, 2), phases[:100])
    assert np.array_equal(payload_phases(100, 1), np.ones(100))


def test_a_receiver_restores_every_bit_of_a_symbol() -> None:
    rng = np.random.default_rng(4)
    symbols = (rng.standard_normal(N) * 10.0 ** rng.integers(-30, 30, N)).astype(np.float32).view(np.complex64)
    phases = payload_phases(len(symbols), 2)
    assert np.array_equal(symbols * phases * np.conj(phases), symbols)


def test_the_phases_turn_the_payload_and_nothing_else() -> None:
    frame = random_frame(0, np.random.default_rng(1))
    plain, turned = (burst_grid(plan_bursts(frame, version=version)[0]) for version in VERSIONS)
    n_header, n = WAVEFORM.n_header_symbols, plan_bursts(frame)[0].header.n_elements
    is_payload = np.zeros(plain.shape, bool)
    index = np.flatnonzero(~WAVEFORM.pilot_mask(len(plain))[n_header:])[:n]
    is_payload[n_header:].flat[index] = True
    assert np.array_equal(turned[is_payload], plain[is_payload] * payload_phases(n, 2))
    is_other = ~is_payload
    is_other[:n_header] = False  # the header holds the version
    assert np.array_equal(turned[is_other], plain[is_other])


@pytest.mark.parametrize("symbols", [averages, gaussian_reals, constant])
def test_any_symbols_get_the_peaks_and_the_loss_of_gaussian_ones(symbols: Callable[[], ComplexArray]) -> None:
    frame = frame_of(symbols())
    burst = plan_bursts(frame)[0]
    assert papr_db(modulate_burst(burst, reduces_papr=False)) < 9.0
    assert papr_db(modulate_burst(burst)) < 7.6
    assert snr_loss_db(frame, 20.0, 2) < 0.8


def test_without_phases_a_common_one_costs_the_frame() -> None:
    """The fault that the phases mend, as version 1 still has it where the error is not bounded as well."""
    burst = plan_bursts(frame_of(constant()), version=1)[0]
    assert papr_db(modulate_burst(burst, reduces_papr=False)) > 18


def test_digital_symbols_of_equal_bytes_have_low_peaks_too() -> None:
    frame = replace(random_frame(0, np.random.default_rng(0), n_analog=0), text=bytes(2000), text_mode="qpsk-1/2")
    plain, turned = (
        papr_db(modulate_burst(plan_bursts(frame, version=version)[0], reduces_papr=False)) for version in VERSIONS
    )
    assert turned < 9.0 < plain


@pytest.mark.parametrize("version", VERSIONS)
def test_a_receiver_decodes_both_versions(version: int) -> None:
    frame = random_frame(4, np.random.default_rng(4), snr_design_db=10.0)
    gap = np.zeros(800, np.complex64)
    burst = modulate_burst(plan_bursts(frame, version=version)[0], reduces_papr=False)
    receiver = Receiver()
    (got,) = [*receiver.push(np.concatenate([gap, burst, gap])), *receiver.flush()]
    assert got.text == frame.text
    assert np.mean(np.abs(got.received.symbols - frame.encoded.symbols) ** 2) < 1e-4
