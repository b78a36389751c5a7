# SPDX-License-Identifier: GPL-3.0-or-later
"""Parameters of the waveform: carriers, pilots, preamble, and the FFT between grid and samples.

All frequency-domain arrays hold the 204 occupied carriers in ascending order of frequency.

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
"""Stream of `qpsk_stream` with the pilot symbols. Part of the wire format."""
PADDING_SEED = 4
"""Stream of `qpsk_stream` with the symbols that fill the last OFDM symbol. Part of the wire format."""
PREAMBLE_SEED = 17722
"""Stream of `qpsk_stream` with the preamble's symbols: the one of streams 16384 to 20479 whose half has the lowest peak
(6.1 dB over the mean, 4 times oversampled; `preamble_papr_db`). Part of the wire format."""


@dataclass(frozen=True)
class Waveform:
    """Parameters that sender and receiver have in common; all others are in the header."""

    n_fft: int = 256
    """Length of the FFT in samples."""
    cp_len: int = 16
    """Length of the cyclic prefix in samples."""
    n_occupied: int = 204
    """Number of occupied carriers, -102 to -1 and 1 to 102; DC and the band edges are free."""
    pilot_spacing: int = 20
    """Distance of pilots within an OFDM symbol, in carriers."""
    pilot_shift: int = 5
    """Shift of the pilots from one OFDM symbol to the next. Carrier i (0 to 203) of symbol t is a pilot when
    (i - 5 t) mod 20 = 0, so that every fifth carrier has a pilot in any four OFDM symbols."""
    n_header_symbols: int = 3
    """OFDM symbols of the header."""

    @property
    def symbol_len(self) -> int:
        """Length of an OFDM symbol with its cyclic prefix in samples."""
        return self.n_fft + self.cp_len

    @property
    def preamble_len(self) -> int:
        """Length of the preamble (prefix and two equal halves) in samples."""
        return self.cp_len + 2 * self.n_fft

    @property
    def sample_scale(self) -> float:
        """Amplitude factor sqrt(n_fft / n_occupied): symbols of mean energy 1 give samples of mean power 1."""
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
        """Positions of the pilots, [n_symbols, 204] bool; OFDM symbol 0 is the first of the header."""
        t, i = np.arange(n_symbols)[:, None], np.arange(self.n_occupied)
        result: npt.NDArray[np.bool_] = (i - self.pilot_shift * t) % self.pilot_spacing == 0
        return result

    def pilot_grid(self, n_symbols: int) -> ComplexArray:
        """Pilot symbols, [n_symbols, 204] complex64, read-only; only those under `pilot_mask` are sent."""
        return _pilot_values(n_symbols * self.n_occupied).reshape(n_symbols, self.n_occupied)

    @cached_property
    def n_header_elements(self) -> int:
        """Number of resource elements in the header's OFDM symbols without the pilots."""
        return int((~self.pilot_mask(self.n_header_symbols)).sum())

    def n_payload_symbols(self, n_elements: int) -> int:
        """Number of OFDM symbols that hold `n_elements` payload symbols."""
        full, left = divmod(n_elements, int(self._round_elements[-1]))
        return 4 * full + (int(np.searchsorted(self._round_elements, left)) + 1 if left else 0)

    @cached_property
    def _round_elements(self) -> npt.NDArray[np.int64]:
        """Payload symbols in the first 1, 2, 3, 4 OFDM symbols after the header, [4]; then the pilots repeat."""
        result: npt.NDArray[np.int64] = (
            (~self.pilot_mask(self.n_header_symbols + 4)[self.n_header_symbols :]).sum(1).cumsum()
        )
        return result

    def burst_len(self, n_elements: int) -> int:
        """Length in samples of a burst with `n_elements` payload symbols."""
        return self.preamble_len + (self.n_header_symbols + self.n_payload_symbols(n_elements)) * self.symbol_len

    @cached_property
    def preamble_freq(self) -> ComplexArray:
        """Preamble symbols, [204] complex64, unit energy."""
        return qpsk_stream(self.n_occupied, PREAMBLE_SEED)

    @cached_property
    def preamble_half(self) -> ComplexArray:
        """One half of the preamble, [256] complex64, mean power 1."""
        return np.asarray(self.to_time(self.preamble_freq[None])[0])

    def to_time(self, grid: npt.NDArray[np.complexfloating[Any, Any]]) -> ComplexArray:
        """Inverse FFT of OFDM symbols.

        Args:
            grid: Occupied carriers, [n, 204] complex.

        Returns:
            Samples without prefix, [n, 256] complex64; mean power 1 if the symbols have mean energy 1.
        """
        full = np.zeros((len(grid), self.n_fft), np.complex64)
        full[:, self.bins] = grid
        return np.asarray(scipy.fft.ifft(full, axis=1, norm="ortho") * np.float32(self.sample_scale), np.complex64)

    def to_freq(self, samples: npt.NDArray[np.complexfloating[Any, Any]]) -> ComplexArray:
        """FFT of OFDM symbols, the inverse of `to_time`.

        Args:
            samples: Samples without prefix, [n, 256] complex.

        Returns:
            Occupied carriers, [n, 204] complex64.
        """
        full = scipy.fft.fft(samples, axis=1, norm="ortho")
        return np.asarray(full[:, self.bins] * np.float32(1 / self.sample_scale), np.complex64)

    def noise_var_per_sample(self, snr_db: float) -> float:
        """Whole complex noise variance of a sample, for bursts of mean power 1.

        An occupied carrier has n_fft / n_occupied times the energy of a sample, and the orthonormal FFT does not change
        the noise. This is the only function that converts an SNR to a noise variance of samples.

        Args:
            snr_db: Es/N0 on an occupied carrier, dB.
        """
        return self.sample_scale**2 * 10 ** (-snr_db / 10)

    def element_noise_var(self, sample_noise_var: float) -> float:
        """Noise variance of a resource element for a given noise variance of a sample."""
        return sample_noise_var / self.sample_scale**2


@lru_cache(maxsize=4)
def _pilot_values(n: int) -> ComplexArray:
    values = qpsk_stream(n, PILOT_SEED)
    values.setflags(write=False)
    return values


WAVEFORM = Waveform()


def preamble_papr_db(stream: int, *, oversampling: int = 4) -> float:
    """Peak to average power ratio of the preamble half made from a stream of `qpsk_stream`, dB.

    Args:
        stream: Number of the stream.
        oversampling: Samples per sample of the waveform.
    """
    top = hash_stream(WAVEFORM.n_occupied, stream) >> np.uint64(62)
    values = np.exp(1j * (np.pi / 4 + np.pi / 2 * top.astype(np.float64)))
    full = np.zeros(oversampling * WAVEFORM.n_fft, complex)
    full[WAVEFORM.carriers % len(full)] = values
    power = np.abs(np.fft.ifft(full)) ** 2
    return float(10 * np.log10(power.max() / power.mean()))
