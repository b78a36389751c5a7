# SPDX-License-Identifier: GPL-3.0-or-later
"""Block: measures the level of a radio's samples and counts those at full scale.

It takes less than a hundredth of a core per Msample/s.
"""

from __future__ import annotations

import threading
from typing import Any

import numpy as np
import numpy.typing as npt
from gnuradio import gr

from gened.gr_blocks.phy.sync.signal_level import CHUNK_LEN, FULL_SCALE, SignalLevel, signal_level

N_TOGETHER = 4096
"""Fewest samples per call that the scheduler is asked for, so that the overhead of Python stays small."""
MAX_CHUNKS = 65536
"""Most chunk powers kept between two readings, 17 s at 1 Msample/s; beyond it the older half is dropped."""
N_SPECTRA = 16
"""Chunks of the latest samples that are kept for the spectrum."""


class signal_probe(gr.sync_block):  # noqa: N801 - blocks are lower-case, as in GNU Radio
    """Measures received samples, whose full scale is 1.

    Port: complex samples in. Any thread may read `level` and the counters while the flowgraph runs; the block has no
    thread of its own. Counters: `n_samples`, `n_full_scale`.

    Args:
        sample_rate: Hz.
    """

    def __init__(self, sample_rate: float) -> None:
        gr.sync_block.__init__(self, name="signal_probe", in_sig=[np.complex64], out_sig=None)
        self.set_output_multiple(N_TOGETHER)
        self.n_samples = 0
        """Samples measured since the block was made."""
        self.n_full_scale = 0
        """Samples among them with I or Q at the converter's full scale."""
        self._sample_rate = sample_rate
        self._powers: list[npt.NDArray[np.float32]] = []
        self._piece = np.zeros(0, np.complex64)
        self._lock = threading.Lock()

    def work(self, input_items: Any, output_items: Any) -> int:
        """Called by the scheduler; accepts everything."""
        samples = input_items[0]
        parts = samples.view(np.float32).reshape(-1, 2 * CHUNK_LEN)  # I and Q alternate; a multiple of 4096 samples
        with np.errstate(all="ignore"):  # a driver may deliver NaN
            powers = np.einsum("ij,ij->i", parts, parts) / np.float32(CHUNK_LEN)
            # A chunk with a sample at full scale has at least this mean power; the others need no test per sample.
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

    def stats(self) -> dict[str, int]:
        """Counters since the block was made."""
        return {"n_samples": self.n_samples, "n_full_scale": self.n_full_scale}

    def level(self) -> SignalLevel | None:
        """Level of the samples since the last call; None if there were none. Any thread may call it."""
        with self._lock:
            powers, self._powers = self._powers, []
            piece = self._piece
        if not powers:
            return None
        return signal_level(np.concatenate(powers), piece, self._sample_rate)
