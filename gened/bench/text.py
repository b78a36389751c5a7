# SPDX-License-Identifier: GPL-3.0-or-later
"""Bench of the packing of texts: bytes and coded bits with and without it.

python -m gened.bench.text CAPTIONS.jsonl --mode qpsk-1/2
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from gened.errors import ConfigError, GenedError
from gened.gr_blocks.phy.coding.modes import mode, n_symbols
from gened.gr_blocks.phy.framing.records import packed_len


@dataclass(frozen=True)
class Saved:
    """Mean lengths over texts."""

    texts: int
    plain_bytes: float
    """Bytes in UTF-8, without the three of a record."""
    packed_bytes: float
    """Bytes packed, with the three of the record."""
    plain_coded_bits: float
    """Coded bits of the unpacked text with CRC, LDPC and repetition, in the chosen mode."""
    packed_coded_bits: float


def measure(texts: Iterable[str], mode_name: str) -> Saved:
    """Measure the lengths of texts in a mode.

    Raises:
        ConfigError: There is no text, or no such mode.
    """
    bits = mode(mode_name).bits_per_symbol
    rows = [
        (len(text.encode()), packed_len(text), *(bits * n_symbols(n, mode_name) for n in lengths))
        for text in texts
        for lengths in [(len(text.encode()) + 3, packed_len(text))]
    ]
    if not rows:
        raise ConfigError("no text to measure")
    return Saved(len(rows), *(round(float(value), 1) for value in np.mean(rows, axis=0)))


def read_texts(path: Path) -> list[str]:
    """Read the texts of a file of {"caption": text} or {"captions": [text, ...]} lines.

    Raises:
        ConfigError: The file cannot be read.
    """
    texts: list[str] = []
    try:
        for line in path.read_text().splitlines():
            entry = json.loads(line)
            texts += [entry["caption"]] if "caption" in entry else list(entry["captions"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ConfigError(f"{path}: {error}") from error
    return texts


def main(argv: list[str] | None = None) -> int:
    """Print the mean lengths as JSON."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("file", type=Path, help="JSON lines with captions")
    parser.add_argument("--mode", default="qpsk-1/2", help="digital mode (default qpsk-1/2)")
    options = parser.parse_args(argv)
    try:
        print(json.dumps(asdict(measure(read_texts(options.file), options.mode)), indent=1))
    except GenedError as error:
        print(f"text: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
