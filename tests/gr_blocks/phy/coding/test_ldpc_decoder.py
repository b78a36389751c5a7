# SPDX-License-Identifier: GPL-3.0-or-later
"""The kernel of the LDPC decoder: one check by hand, a word by hand, and where its machine code may be kept."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from gened.gr_blocks.phy.coding.ldpc_decoder import LdpcDecoder, compile_kernel

ONE_CHECK = np.array([[0, 0, 0, 0]])


def test_one_check_adds_the_scaled_least_magnitude_and_the_sign_of_the_others() -> None:
    """After one iteration, in LLRs that are positive for 1: the product of signs is that of the negated values."""
    decoder = LdpcDecoder.from_base_matrix(ONE_CHECK, 1, scale=0.5, offset=0.25, max_iterations=1)
    llr = np.array([-3.0, 2.0, 5.0, 4.0], np.float32)  # bits 0 1 1 1: the check fails
    posterior, converged = decoder.decode(llr, slice(0, 0))
    assert not converged
    # least 2, second 3: messages 0.5 * 2 - 0.25 and, to the second bit, 0.5 * 3 - 0.25
    assert np.allclose(posterior, [-3 + 0.75, 2 - 1.25, 5 - 0.75, 4 - 0.75])


def test_the_least_certain_bit_of_a_failing_check_is_flipped() -> None:
    decoder = LdpcDecoder.from_base_matrix(ONE_CHECK, 1, scale=1.0, offset=0.0, max_iterations=5)
    posterior, converged = decoder.decode(np.array([-3.0, 1.0, 5.0, 4.0], np.float32), slice(0, 0))
    assert converged and (posterior > 0).tolist() == [False, False, True, True]


def test_filler_bits_are_zero_whatever_was_received() -> None:
    decoder = LdpcDecoder.from_base_matrix(ONE_CHECK, 1, scale=1.0, offset=0.0, max_iterations=5)
    posterior, converged = decoder.decode(np.array([9.0, 0.0, 5.0, 4.0], np.float32), slice(0, 1))
    assert converged and (posterior > 0).tolist() == [False, False, True, True]


@pytest.mark.parametrize("shift", [0, 1, 2])
def test_a_circulant_joins_row_r_with_column_r_plus_its_shift(shift: int) -> None:
    decoder = LdpcDecoder.from_base_matrix(np.array([[0, shift]]), 3, scale=1.0, offset=0.0, max_iterations=1)
    llr = np.array([5.0, -5.0, -5.0, 0.0, 0.0, 0.0], np.float32)
    posterior, _ = decoder.decode(llr, slice(0, 0))
    assert (posterior[3:] > 0).tolist() == [place == shift % 3 for place in range(3)]


def test_it_compiles_where_no_folder_can_be_written(tmp_path: Path) -> None:
    """A service without a home: Numba finds no folder for its cache and refuses to decorate."""
    compile_kernel()
    code = """
import numba.core.caching
def refuses(self, *arguments):
    raise RuntimeError("cannot cache function: no locator available")
numba.core.caching.FunctionCache.__init__ = refuses
import numpy as np
from gened.gr_blocks.phy.coding.ldpc_decoder import LdpcDecoder
decoder = LdpcDecoder.from_base_matrix(np.array([[0, 0]]), 1, scale=1.0, offset=0.0, max_iterations=1)
print(decoder.decode(np.array([2.0, 3.0], np.float32), slice(0, 0))[1])
"""
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, timeout=240)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == "True"
