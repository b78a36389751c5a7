# SPDX-License-Identifier: GPL-3.0-or-later
"""A light look at a radio's samples: how strong, how often at full scale. Under a hundredth of a core a Msample/s."""

from __future__ import annotations

import threading
from typing import Any

import numpy as np
import numpy.typing as npt
from gnuradio import gr

from gened.gr_blocks.phy.sync.signal_level import CHUNK_LEN, FULL_SCALE, SignalLevel, signal_level

N_TOGETHER = 4096
"""Samples that the scheduler is asked for at least: Python's share of a call stays small."""
MAX_CHUNKS = 65536
"""Powers that are kept between two readings; 17 s at 1 Msample/s, then the older half goes."""
N_SPECTRA = 16


class signal_probe(gr.sync_block):  # noqa: N801 - blocks are lower-case, as in GNU Radio
    """Measures received samples, full scale 1, and passes nothing on.

    Args:
        sample_rate: Hz.
    """

    def __init__(self, sample_rate: float) -> None:
        gr.sync_block.__init__(self, name="signal_probe", in_sig=[np.complex64], out_sig=None)
        self.set_output_multiple(N_TOGETHER)
        self.n_samples = 0
        self.n_full_scale = 0
        """Samples with I or Q at the converter's end."""
        self._sample_rate = sample_rate
        self._powers: list[npt.NDArray[np.float32]] = []
        self._piece = np.zeros(0, np.complex64)
        self._lock = threading.Lock()

    def work(self, input_items: Any, output_items: Any) -> int:
        """Called by the scheduler."""
        samples = input_items[0]
        parts = samples.view(np.float32).reshape(-1, 2 * CHUNK_LEN)  # I and Q in turn; a multiple of 4096 samples
        with np.errstate(all="ignore"):  # a driver may give what is no number
            powers = np.einsum("ij,ij->i", parts, parts) / np.float32(CHUNK_LEN)
            # A chunk with one sample at full scale has at least this mean power, so the others need no closer look.
            hot = parts[powers >= FULL_SCALE**2 / CHUNK_LEN]
            if len(hot):
                ends = (np.abs(hot) >= FULL_SCALE).reshape(-1, 2)
                self.n_full_scale += int(np.count_nonzero(ends[:, 0] | ends[:, 1]))
        self.n_samples += len(samples)
        with self._lock:
            self._powers.append(powers)
            if len(self._powers) * (N_TOGETHER // CHUNK_LEN) > MAX_CHUNKS:
                del self._powers[: len(self._powers) // 2]
            self._piece = samples[: N_SPECTRA * CHUNK_LEN].copy()
        return len(samples)

    def level(self) -> SignalLevel | None:
        """Of the samples since the last call; None where there were none. Any thread."""
        with self._lock:
            powers, self._powers = self._powers, []
            piece = self._piece
        if not powers:
            return None
        return signal_level(np.concatenate(powers), piece, self._sample_rate)
