# SPDX-License-Identifier: GPL-3.0-or-later
"""The waveform's parameters: carriers, pilots, preamble.

All frequency-domain arrays hold the 204 occupied carriers, lowest first.

```text
| prefix 16 | half 256 | half 256 |  3 header symbols  |  payload symbols ... |      each symbol: prefix 16 + 256
```
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import Any

import numpy as np
import numpy.typing as npt
import scipy.fft

from gened.gr_blocks.phy.coding.interleave import hash_stream, qpsk_stream
from gened.gr_blocks.phy.types import ComplexArray

PILOT_SEED = 3
PADDING_SEED = 4
PREAMBLE_SEED = 17722
"""Stream of the preamble's QPSK values: the one of the streams 16384 .. 20479 whose half has the lowest peak (6.1 dB
over the mean, 4 times oversampled; `preamble_papr_db`). Frozen: it is on the wire."""


@dataclass(frozen=True)
class Waveform:
    """Parameters that sender and receiver share; everything else is in the header."""

    n_fft: int = 256
    cp_len: int = 16
    n_occupied: int = 204
    """Carriers -102 .. -1 and 1 .. 102: DC and the band edges stay free."""
    pilot_spacing: int = 20
    pilot_shift: int = 5
    """Carrier i (0 .. 203) of symbol t is a pilot when (i - 5 t) mod 20 = 0: every fifth over any four symbols."""
    n_header_symbols: int = 3

    @property
    def symbol_len(self) -> int:
        """Samples of an OFDM symbol with its prefix."""
        return self.n_fft + self.cp_len

    @property
    def preamble_len(self) -> int:
        """Samples of prefix and two halves."""
        return self.cp_len + 2 * self.n_fft

    @property
    def sample_scale(self) -> float:
        """Amplitude that gives samples of mean power 1 from cells of mean energy 1: sqrt(n_fft / n_occupied)."""
        return float(np.sqrt(self.n_fft / self.n_occupied))

    @cached_property
    def carriers(self) -> npt.NDArray[np.int64]:
        """Signed carrier numbers, [204]."""
        half = self.n_occupied // 2
        return np.concatenate([np.arange(-half, 0), np.arange(1, half + 1)])

    @cached_property
    def bins(self) -> npt.NDArray[np.int64]:
        """FFT bin of each occupied carrier, [204]."""
        return self.carriers % self.n_fft

    def pilot_mask(self, n_symbols: int) -> npt.NDArray[np.bool_]:
        """Where pilots stand, [n_symbols, 204]; symbol 0 is the first header symbol."""
        t, i = np.arange(n_symbols)[:, None], np.arange(self.n_occupied)
        result: npt.NDArray[np.bool_] = (i - self.pilot_shift * t) % self.pilot_spacing == 0
        return result

    def pilot_grid(self, n_symbols: int) -> ComplexArray:
        """Values that pilots take, [n_symbols, 204]; only those under `pilot_mask` are sent. Read-only."""
        return _pilot_values(n_symbols * self.n_occupied).reshape(n_symbols, self.n_occupied)

    @cached_property
    def n_header_elements(self) -> int:
        """Cells of the header symbols that are not pilots."""
        return int((~self.pilot_mask(self.n_header_symbols)).sum())

    def n_payload_symbols(self, n_elements: int) -> int:
        """OFDM symbols that hold `n_elements` payload symbols behind the header."""
        full, left = divmod(n_elements, int(self._round_elements[-1]))
        return 4 * full + (int(np.searchsorted(self._round_elements, left)) + 1 if left else 0)

    @cached_property
    def _round_elements(self) -> npt.NDArray[np.int64]:
        """Payload symbols in the first one to four symbols behind the header; then pilots stand as before."""
        result: npt.NDArray[np.int64] = (
            (~self.pilot_mask(self.n_header_symbols + 4)[self.n_header_symbols :]).sum(1).cumsum()
        )
        return result

    def burst_len(self, n_elements: int) -> int:
        """Samples of a burst with `n_elements` payload symbols."""
        return self.preamble_len + (self.n_header_symbols + self.n_payload_symbols(n_elements)) * self.symbol_len

    @cached_property
    def preamble_freq(self) -> ComplexArray:
        """What one half of the preamble carries, [204], unit energy."""
        return qpsk_stream(self.n_occupied, PREAMBLE_SEED)

    @cached_property
    def preamble_half(self) -> ComplexArray:
        """One half of the preamble, [256] complex64, mean power 1."""
        return np.asarray(self.to_time(self.preamble_freq[None])[0])

    def to_time(self, grid: npt.NDArray[np.complexfloating[Any, Any]]) -> ComplexArray:
        """Occupied carriers [n, 204] to samples without prefix [n, 256]; unit cells give unit mean power."""
        full = np.zeros((len(grid), self.n_fft), np.complex64)
        full[:, self.bins] = grid
        return np.asarray(scipy.fft.ifft(full, axis=1, norm="ortho") * np.float32(self.sample_scale), np.complex64)

    def to_freq(self, samples: npt.NDArray[np.complexfloating[Any, Any]]) -> ComplexArray:
        """The inverse: [n, 256] samples to [n, 204] cells."""
        full = scipy.fft.fft(samples, axis=1, norm="ortho")
        return np.asarray(full[:, self.bins] * np.float32(1 / self.sample_scale), np.complex64)

    def noise_var_per_sample(self, snr_db: float) -> float:
        """Complex noise variance of a sample at Es/N0 = `snr_db` on an occupied carrier, for bursts of mean power 1.

        A carrier's energy is n_fft / n_occupied times a sample's, and the orthonormal FFT leaves the noise as it is.
        This is the one place where an SNR becomes a noise level of samples.
        """
        return self.sample_scale**2 * 10 ** (-snr_db / 10)

    def element_noise_var(self, sample_noise_var: float) -> float:
        """Noise variance of a cell, given that of a sample."""
        return sample_noise_var / self.sample_scale**2


@lru_cache(maxsize=4)
def _pilot_values(n: int) -> ComplexArray:
    values = qpsk_stream(n, PILOT_SEED)
    values.setflags(write=False)
    return values


WAVEFORM = Waveform()


def preamble_papr_db(stream: int, *, oversampling: int = 4) -> float:
    """Peak to mean power of the preamble half that stream `stream` of QPSK values gives, in dB."""
    top = hash_stream(WAVEFORM.n_occupied, stream) >> np.uint64(62)
    values = np.exp(1j * (np.pi / 4 + np.pi / 2 * top.astype(np.float64)))
    full = np.zeros(oversampling * WAVEFORM.n_fft, complex)
    full[WAVEFORM.carriers % len(full)] = values
    power = np.abs(np.fft.ifft(full)) ** 2
    return float(10 * np.log10(power.max() / power.mean()))
