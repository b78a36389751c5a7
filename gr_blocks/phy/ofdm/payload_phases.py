# SPDX-License-Identifier: GPL-3.0-or-later
"""Fixed pseudo-random phases of the payload symbols, from format version 2 on.

```text
payload symbol k of a burst -- times i^q[k] --> resource element ~~~ equalised -- times i^-q[k] --> payload symbol k
```

Symbols with a common phase, such as the local averages of a picture, add up to one peak per OFDM symbol, which PAPR
reduction clips. After multiplication by pseudo-random powers of i they have no mean and no preferred axis, so that a
burst has the peaks of Gaussian symbols. A power of i only exchanges and negates real and imaginary parts, so that the
receiver restores every bit of a symbol. Noise variances stay as they are.

`python -m gened.bench.whiteness` compares other means.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np

from gened.gr_blocks.phy.coding.interleave import hash_stream
from gened.gr_blocks.phy.framing.header import MAX_BURST_ELEMENTS
from gened.gr_blocks.phy.types import ComplexArray

PHASE_SEED = 5
"""Stream of `hash_stream` with the phases: its two most significant bits are q. Part of the wire format."""
_POWERS = np.array([1, 1j, -1, -1j], np.complex64)


@lru_cache(maxsize=1)
def _all_phases() -> ComplexArray:
    phases = _POWERS[(hash_stream(MAX_BURST_ELEMENTS, PHASE_SEED) >> np.uint64(62)).astype(np.intp)]
    phases.setflags(write=False)
    return phases


def payload_phases(n_elements: int, version: int) -> ComplexArray:
    """Phase factors of the payload symbols of a burst.

    Args:
        n_elements: Number of payload symbols, at most `MAX_BURST_ELEMENTS`.
        version: Format version of the burst.

    Returns:
        [n_elements] complex64: powers of i, all of them 1 in version 1.
    """
    return np.ones(n_elements, np.complex64) if version == 1 else _all_phases()[:n_elements]
