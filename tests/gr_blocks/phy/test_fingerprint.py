# SPDX-License-Identifier: GPL-3.0-or-later
"""The fingerprint of the waveform: equal for equal code, another one where transmitter or receiver differ."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest

from gened.gr_blocks.phy import fingerprint
from gened.gr_blocks.phy.fingerprint import CASES, LOST_DB, waveform_fingerprint


@pytest.fixture(autouse=True)
def anew() -> Iterator[None]:
    """Fingerprints are measured anew in each test, and those of changed code are forgotten."""
    waveform_fingerprint.cache_clear()
    yield
    waveform_fingerprint.cache_clear()


def test_it_is_reproducible_and_every_burst_is_received() -> None:
    first = dict(waveform_fingerprint())
    waveform_fingerprint.cache_clear()
    assert waveform_fingerprint() == first
    for name, channel in CASES.items():
        error_db = first[f"waveform: error, {name}"]
        assert error_db < LOST_DB - 3 and error_db > -channel.snr_db - 1
    assert first["waveform: PAPR, reduced"] < first["waveform: PAPR"] - 1


def test_another_transmitter_gives_another_fingerprint(monkeypatch: pytest.MonkeyPatch) -> None:
    before = dict(waveform_fingerprint())
    whole = fingerprint.modulate_frame
    monkeypatch.setattr(fingerprint, "modulate_frame", lambda frame, **_: whole(frame, reduces_papr=False))
    waveform_fingerprint.cache_clear()
    after = waveform_fingerprint()
    assert after["waveform: PAPR, reduced"] > before["waveform: PAPR, reduced"] + 1
    assert after["waveform: error, awgn, 4 dB"] != before["waveform: error, awgn, 4 dB"]


def test_a_receiver_that_misses_a_burst_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    class Deaf(fingerprint.Receiver):
        def push(self, samples: np.ndarray) -> list:
            return super().push(0 * samples)

    monkeypatch.setattr(fingerprint, "Receiver", Deaf)
    assert waveform_fingerprint()["waveform: error, awgn, 4 dB"] == LOST_DB
