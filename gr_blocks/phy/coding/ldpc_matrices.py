# SPDX-License-Identifier: GPL-3.0-or-later
"""Parity check matrices of the LDPC codes of IEEE 802.16e.

References:
    IEEE Std 802.16e-2005, section 8.4.9.2.5: base matrices of rate 1/2, 2/3A and 3/4A, expansion by z = 24, 28 ... 96.
"""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, Literal

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    from scipy.sparse import csr_matrix

CodeRate = Literal["1/2", "2/3", "3/4"]
N_COLUMNS = 24
Z_LIST = tuple(range(24, 97, 4))

_HALF = """
-1 94 73 -1 -1 -1 -1 -1 55 83 -1 -1  7  0 -1 -1 -1 -1 -1 -1 -1 -1 -1 -1
-1 27 -1 -1 -1 22 79  9 -1 -1 -1 12 -1  0  0 -1 -1 -1 -1 -1 -1 -1 -1 -1
-1 -1 -1 24 22 81 -1 33 -1 -1 -1  0 -1 -1  0  0 -1 -1 -1 -1 -1 -1 -1 -1
61 -1 47 -1 -1 -1 -1 -1 65 25 -1 -1 -1 -1 -1  0  0 -1 -1 -1 -1 -1 -1 -1
-1 -1 39 -1 -1 -1 84 -1 -1 41 72 -1 -1 -1 -1 -1  0  0 -1 -1 -1 -1 -1 -1
-1 -1 -1 -1 46 40 -1 82 -1 -1 -1 79  0 -1 -1 -1 -1  0  0 -1 -1 -1 -1 -1
-1 -1 95 53 -1 -1 -1 -1 -1 14 18 -1 -1 -1 -1 -1 -1 -1  0  0 -1 -1 -1 -1
-1 11 73 -1 -1 -1  2 -1 -1 47 -1 -1 -1 -1 -1 -1 -1 -1 -1  0  0 -1 -1 -1
12 -1 -1 -1 83 24 -1 43 -1 -1 -1 51 -1 -1 -1 -1 -1 -1 -1 -1  0  0 -1 -1
-1 -1 -1 -1 -1 94 -1 59 -1 -1 70 72 -1 -1 -1 -1 -1 -1 -1 -1 -1  0  0 -1
-1 -1  7 65 -1 -1 -1 -1 39 49 -1 -1 -1 -1 -1 -1 -1 -1 -1 -1 -1 -1  0  0
43 -1 -1 -1 -1 66 -1 41 -1 -1 -1 26  7 -1 -1 -1 -1 -1 -1 -1 -1 -1 -1  0
"""
_TWO_THIRDS = """
 3  0 -1 -1  2  0 -1  3  7 -1  1  1 -1 -1 -1 -1  1  0 -1 -1 -1 -1 -1 -1
-1 -1  1 -1 36 -1 -1 34 10 -1 -1 18  2 -1  3  0 -1  0  0 -1 -1 -1 -1 -1
-1 -1 12  2 -1 15 -1 40 -1  3 -1 15 -1  2 13 -1 -1 -1  0  0 -1 -1 -1 -1
-1 -1 19 24 -1  3  0 -1  6 -1 17 -1 -1 -1  8 39 -1 -1 -1  0  0 -1 -1 -1
20 -1  6 -1 -1 10 29 -1 -1 28 -1 14 -1 38 -1 -1  0 -1 -1 -1  0  0 -1 -1
-1 -1 10 -1 28 20 -1 -1  8 -1 36 -1  9 -1 21 45 -1 -1 -1 -1 -1  0  0 -1
35 25 -1 37 -1 21 -1 -1  5 -1 -1  0 -1  4 20 -1 -1 -1 -1 -1 -1 -1  0  0
-1  6  6 -1 -1 -1  4 -1 14 30 -1  3 36 -1 14 -1  1 -1 -1 -1 -1 -1 -1  0
"""
_THREE_QUARTERS = """
 6 38  3 93 -1 -1 -1 30 70 -1 86 -1 37 38  4 11 -1 46 48  0 -1 -1 -1 -1
62 94 19 84 -1 92 78 -1 15 -1 -1 92 -1 45 24 32 30 -1 -1  0  0 -1 -1 -1
71 -1 55 -1 12 66 45 79 -1 78 -1 -1 10 -1 22 55 70 82 -1 -1  0  0 -1 -1
38 61 -1 66  9 73 47 64 -1 39 61 43 -1 -1 -1 -1 95 32  0 -1 -1  0  0 -1
-1 -1 -1 -1 32 52 55 80 95 22  6 51 24 90 44 20 -1 -1 -1 -1 -1 -1  0  0
-1 63 31 88 20 -1 -1 -1  6 40 56 16 71 53 -1 -1 27 26 48 -1 -1 -1 -1  0
"""
BASE: dict[str, npt.NDArray[np.int64]] = {
    rate: np.array(text.split(), dtype=np.int64).reshape(-1, N_COLUMNS)
    for rate, text in {"1/2": _HALF, "2/3": _TWO_THIRDS, "3/4": _THREE_QUARTERS}.items()
}


def shifts(code_rate: CodeRate, z: int) -> npt.NDArray[np.int64]:
    """Circulant shifts of the base matrix scaled to an expansion factor.

    Scaling by the standard: floor(p z / 96) for rates 1/2 and 3/4A, p mod z for 2/3A.

    Args:
        code_rate: Rate of the base matrix.
        z: Expansion factor, one of `Z_LIST`.

    Returns:
        [rows, 24] int64; -1 is the zero block.
    """
    base = BASE[code_rate]
    scaled = base % z if code_rate == "2/3" else base * z // 96
    return np.where(base < 0, -1, scaled)


@lru_cache(maxsize=64)
def parity_check_matrix(code_rate: CodeRate, z: int) -> csr_matrix:
    """Parity check matrix H, for benches and tests.

    Args:
        code_rate: Rate of the base matrix.
        z: Expansion factor, one of `Z_LIST`.

    Returns:
        [rows z, 24 z] sparse uint8. A block of shift s has its ones at (r, (r + s) mod z).
    """
    from scipy.sparse import csr_matrix

    blocks = shifts(code_rate, z)
    rows, columns = np.nonzero(blocks >= 0)
    inner = np.arange(z)
    row_index = (rows[:, None] * z + inner).ravel()
    column_index = (columns[:, None] * z + (inner + blocks[rows, columns][:, None]) % z).ravel()
    ones = np.ones(len(row_index), np.uint8)
    return csr_matrix((ones, (row_index, column_index)), shape=(blocks.shape[0] * z, N_COLUMNS * z))
