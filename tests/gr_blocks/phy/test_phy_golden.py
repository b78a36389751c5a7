# SPDX-License-Identifier: GPL-3.0-or-later
"""The wire is frozen: kept bursts decode to their frames, and the modulator makes the same samples."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from make_golden import STEPS, burst_samples, golden_frames

from gened.gr_blocks.phy.equalizer.demodulator import fft_symbols
from gened.gr_blocks.phy.ofdm.waveform import WAVEFORM
from gened.gr_blocks.phy.receiver import Receiver

FOLDER = Path(__file__).parent / "golden"
NAMES = sorted(path.stem for path in FOLDER.glob("*.npz"))


def load(name: str) -> tuple[list[np.ndarray], dict[str, np.ndarray]]:
    """Bursts as complex64, and everything else in the file."""
    with np.load(FOLDER / f"{name}.npz") as stored:
        arrays = {key: stored[key] for key in stored.files}
    bursts = [arrays.pop(key) for key in sorted(k for k in arrays if k.startswith("burst"))]
    return [(b.astype(np.float32) / STEPS).view(np.complex64) for b in bursts], arrays


def test_all_golden_bursts_are_there() -> None:
    assert sorted(golden_frames()) == NAMES


@pytest.mark.parametrize("name", NAMES)
def test_golden_burst_decodes_to_its_frame(name: str) -> None:
    bursts, expected = load(name)
    receiver, frames = Receiver(), []
    for burst in bursts:
        frames += receiver.push(np.concatenate([np.zeros(700), burst, np.zeros(700)]).astype(np.complex64))
    frames += receiver.flush()
    assert len(frames) == 1
    frame, received = frames[0], frames[0].received
    described = [
        frame.session,
        frame.number,
        frame.codec_id,
        *received.size,
        received.rate.numerator,
        received.rate.denominator,
    ]
    assert [*described, round(2 * received.snr_design_db)] == expected["description"].tolist()
    assert (frame.text or b"") == expected["text"].tobytes()
    assert (received.side_info or b"") == expected["side_info"].tobytes()
    alive = np.isfinite(received.noise_var)
    assert alive.all()
    error = np.abs(received.symbols - expected["symbols"]) ** 2
    limit = 10 ** (-0.6 + 0.1) if name.startswith("air") else 1e-4
    assert len(received.symbols) == len(expected["symbols"])
    assert error.mean() < limit if len(error) else True


@pytest.mark.parametrize("name", sorted(n for n, golden in golden_frames().items() if golden.config is None))
def test_modulator_still_makes_the_golden_samples(name: str) -> None:
    made = burst_samples(golden_frames()[name])
    for burst, kept in zip(made, load(name)[0], strict=False):
        assert len(burst) == len(kept)
        assert np.max(np.abs(burst - kept)) < 1.0 / STEPS


def test_the_versions_differ_in_the_payload_alone() -> None:
    """A burst of version 2 without its phases, with the header of version 1, is the burst of version 1."""
    first, second = (load(name)[0][0].reshape(-1, 1) for name in ("picture", "picture_v2"))
    head = WAVEFORM.preamble_len
    assert np.array_equal(first[:head], second[:head])
    grids = [fft_symbols(burst.ravel(), (len(burst) - head) // WAVEFORM.symbol_len) for burst in (first, second)]
    pilots = WAVEFORM.pilot_mask(len(grids[0]))
    assert np.abs(grids[0] - grids[1])[pilots].max() < 0.02
    ratio = grids[1] / grids[0]
    turns = np.angle(ratio[WAVEFORM.n_header_symbols :]) / (np.pi / 2)
    assert np.abs(turns - np.round(turns)).max() < 0.02
    assert set(np.round(turns).astype(int).ravel() % 4) == {0, 1, 2, 3}
