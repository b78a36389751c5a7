# SPDX-License-Identifier: GPL-3.0-or-later
"""The checks of this lab: each compares an answer with what the receiver itself finds, within a tolerance.

Reading this file is allowed. It says what is compared, not how to get there.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from gened.gr_blocks.phy.sync.detector import lag_metric
from gened.gr_blocks.recording.reader import read_recording

RECORDING = read_recording(Path(__file__).parent / "cup.sigmf-meta")
SAMPLES = np.asarray(RECORDING.samples)
SAMPLE_RATE = RECORDING.info.sample_rate
STARTS = [burst.start for burst in RECORDING.annotations]
N_FFT, CP_LEN, PREAMBLE_LEN, SYMBOL_LEN = 256, 16, 528, 272


class UnsolvedError(Exception):
    """A task that is not done yet, or not right yet. The notebook shows one line of it and no traceback."""

    def _render_traceback_(self) -> list[str]:
        return [f"☐ {self}"]


def _array(task: str, value: Any, shape: tuple[int, ...]) -> Any:
    """The answer as an array of that shape."""
    if value is None or value is ...:
        raise UnsolvedError(
            f"{task} is not solved yet: write your lines where it says YOUR CODE, and run that cell again."
        )
    found = np.asarray(value)
    if found.shape != shape:
        raise UnsolvedError(f"{task}: the result has the shape {list(found.shape)}; expected is {list(shape)}.")
    if not np.all(np.isfinite(found)):
        raise UnsolvedError(f"{task}: the result holds infinities or NaN; is there a division by zero?")
    return found


def _close(task: str, found: Any, expected: Any, tolerance: float, hint: str) -> None:
    error = float(np.max(np.abs(found - expected)))
    if error > tolerance:
        raise UnsolvedError(f"{task}: off by {error:.3g}, allowed is {tolerance:.3g}. {hint}")


def _done(task: str, text: str) -> None:
    print(f"☑ {task}: {text}")


def power(smoothed_power: Callable[[Any, int], Any]) -> None:
    """Task 1: [n - width + 1] mean powers of `width` samples each."""
    task = "Task 1"
    found = _array(task, smoothed_power(SAMPLES[:8000], 64), (8000 - 63,))
    squared = np.abs(SAMPLES[:8000]) ** 2
    expected = np.convolve(squared.astype(np.float64), np.full(64, 1 / 64), "valid")
    _close(task, found, expected, 1e-4, "Square the magnitude first, then average over the window.")
    _done(task, "the envelope is right.")


def metric(schmidl_cox: Callable[[Any], Any]) -> None:
    """Task 2: |P| / E, at every sample at which both windows fit."""
    task = "Task 2"
    part = SAMPLES[5000:9000]
    found = _array(task, schmidl_cox(part), (len(part) - 2 * N_FFT + 1,))
    expected = lag_metric(part)[0]
    _close(task, found, expected, 0.01, "Is one of the factors conjugated? Is E the mean energy of the two windows?")
    _done(task, "the metric is right.")


def starts(found: Sequence[int]) -> None:
    """Task 3: where the three bursts begin, to less than a cyclic prefix."""
    task = "Task 3"
    values = np.sort(_array(task, found, (len(STARTS),)))
    _close(task, values, np.array(STARTS), CP_LEN + 8, "Look at the plot of the metric around each peak.")
    _done(task, "all three bursts are found.")


def offset(estimate_offset_hz: Callable[[Any], Any]) -> None:
    """Task 4: the carrier offset from the two halves of a preamble, for each burst."""
    task = "Task 4"
    for burst in RECORDING.annotations:
        halves = SAMPLES[burst.start + CP_LEN : burst.start + PREAMBLE_LEN]
        found = _array(task, estimate_offset_hz(halves), ())
        _close(task, found, burst.cfo_est_hz, 60.0, "Mind the sign: conjugate the first half.")
    _done(task, f"about {RECORDING.annotations[0].cfo_est_hz:.0f} Hz.")


def correction(correct_offset: Callable[[Any, float], Any]) -> None:
    """Task 5: a tone of 1000 Hz must become a constant."""
    task = "Task 5"
    tone = np.exp(2j * np.pi * 1000 * np.arange(5000) / SAMPLE_RATE)
    found = _array(task, correct_offset(tone, 1000.0), (5000,))
    _close(task, found, np.full(5000, found[0]), 0.01, "A tone at that frequency must stand still afterwards.")
    _done(task, "the tone stands still.")


def equalizer(equalize: Callable[[Any, Any], Any]) -> None:
    """Task 6: cells behind a known channel must come out as they went in."""
    task = "Task 6"
    rng = np.random.default_rng(1)
    h = rng.normal(size=204) + 1j * rng.normal(size=204)
    cells = np.exp(0.5j * np.pi * rng.integers(0, 4, (3, 204)))
    found = _array(task, equalize(cells * h, h), (3, 204))
    _close(task, found, cells, 1e-6, "Each carrier has its own gain h.")
    _done(task, "the channel is undone.")


def snr(estimate_snr_db: Callable[[Any], Any], halves_of: Callable[[int], Any]) -> None:
    """Task 7: the SNR from the two halves of a preamble, [2, 204] cells, within 1.5 dB."""
    task = "Task 7"
    for burst in RECORDING.annotations:
        found = _array(task, estimate_snr_db(halves_of(burst.start)), ())
        _close(task, found, burst.snr_est_db, 1.5, "The halves carry the same signal and different noise.")
    _done(task, "SNR measured; the receiver, which knows more cells, agrees within 1.5 dB.")


def psnr(psnr_db: Callable[[Any, Any], Any]) -> None:
    """Task 8: PSNR of 8-bit pictures; peak 255, mean over all pixels and colours."""
    task = "Task 8"
    dark, light = np.full((4, 6, 3), 100, np.uint8), np.full((4, 6, 3), 120, np.uint8)
    hint = "Is it 10 log10(255^2 / MSE)? And uint8 holds no number below 0 or above 255: make it float first."
    for pair in ((light, dark), (dark, light)):
        _close(task, _array(task, psnr_db(*pair), ()), 22.11, 0.01, hint)
    _done(task, "PSNR is right.")


def curve(snrs_db: Sequence[float], psnrs_db: Sequence[float]) -> None:
    """Task 9: more SNR, a better picture; no step of more than 2.5 dB PSNR for each dB of SNR."""
    task = "Task 9"
    if len(snrs_db) < 3:
        raise UnsolvedError(f"{task}: give three values of the SNR at least.")
    values = _array(task, psnrs_db, (len(snrs_db),))
    order = np.argsort(snrs_db)
    slope = np.diff(values[order]) / np.diff(np.asarray(snrs_db, float)[order])
    if np.any(slope < -0.1) or np.any(slope > 2.5) or not 10 < values.min() <= values.max() < 45:
        told = np.round(values, 1).tolist()
        raise UnsolvedError(f"{task}: these figures cannot be: {told} dB. Is each picture its own run's?")
    _done(task, "a curve without a cliff.")
