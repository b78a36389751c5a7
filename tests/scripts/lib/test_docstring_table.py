# SPDX-License-Identifier: GPL-3.0-or-later
"""The table of docstrings counts what is there and what is missing, each only where the question applies."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

TABLE = Path(__file__).resolve().parents[3] / "scripts" / "lib" / "docstring_table.py"
MODULE = '''
"""A module."""
from dataclasses import dataclass
import numpy as np

@dataclass
class Record:
    """A record."""
    level: float
    """Level in dB."""
    snr_db: float
    other: int

def bare(a: np.ndarray, b: float):
    pass

def whole(a: np.ndarray, b: float) -> tuple[int, int]:
    """Something.

    Args:
        a: [n] samples.
        b: Hz.

    Returns:
        Two numbers.
    """

def _private(a: np.ndarray, b: float):
    pass
'''


def test_each_column_counts_only_what_it_asks_for(tmp_path: Path) -> None:
    (tmp_path / "one.py").write_text(MODULE)
    subprocess.run(["git", "init", "-q"], cwd=tmp_path, check=True)
    subprocess.run(["git", "add", "."], cwd=tmp_path, check=True)
    done = subprocess.run([sys.executable, str(TABLE), "."], cwd=tmp_path, capture_output=True, text=True, check=True)
    heading, row = done.stdout.splitlines()
    assert heading.split() == ["folder", "docstring", "Args", "Returns", "shape", "unit", "attributes"]
    found = [word for word in row.split() if "/" in word]
    # docstring: module, class, two functions; a record's three fields, one of them without note or unit
    assert found == ["3/4", "1/2", "1/1", "1/2", "1/2", "2/3"]
