# SPDX-License-Identifier: GPL-3.0-or-later
"""Write the dictionary of caption phrases for the text packing, `gr_blocks/phy/framing/caption_words.bin`.

    python -m gened.models.training.studies.caption_dictionary --data TRAIN --lines runs/pairs/captions.jsonl \\
        --out gr_blocks/phy/framing/caption_words.bin

The dictionary is part of the wire format: it never changes, and a further one is added under another number.
"""

from __future__ import annotations

import argparse
import json
import re
import sys
import zlib
from collections import Counter
from collections.abc import Iterable
from pathlib import Path

from gened.errors import ConfigError, GenedError
from gened.models.data.shards import JSON_SUFFIX, list_shards, read_captions, read_members

LONGEST = 4
"""Largest number of words in a phrase."""
MIN_COUNT, MIN_LEN = 3, 4
REFERENCE_COST = 2.2
"""Bytes that a reference to the dictionary costs."""


def phrases(texts: Iterable[str]) -> Counter[str]:
    """How often each run of one to four words occurs, spaces behind them included."""
    found: Counter[str] = Counter()
    for text in texts:
        words = [word for word in re.split(r"(?<=\s)", text) if word]
        for n in range(1, LONGEST + 1):
            found.update("".join(words[i : i + n]) for i in range(len(words) - n + 1))
    return found


def build(texts: Iterable[str], size: int) -> bytes:
    """Phrases by what they save, the best at the end, where a reference to them is shortest; at most `size` bytes."""
    worth = sorted(
        (
            (count * (len(phrase.encode()) - REFERENCE_COST), phrase)
            for phrase, count in phrases(texts).items()
            if count >= MIN_COUNT and len(phrase.encode()) >= MIN_LEN
        ),
        reverse=True,
    )
    result = ""
    for _, phrase in worth:
        if phrase not in result:
            if len((phrase + result).encode()) > size:
                break
            result = phrase + result
    return result.encode()


def read_texts(data: Path, lines: Path | None, share: int) -> list[str]:
    """Human captions of the shards, and every `share`-th of a file of {"caption": text} lines.

    Raises:
        ConfigError: No captions, or a damaged file.
    """
    texts: list[str] = []
    for shard in list_shards(data):
        for name, content in read_members(shard, lambda name: name.endswith(JSON_SUFFIX)):
            texts += read_captions(content, f"{shard}: {name}")
    if lines is not None:
        try:
            texts += [json.loads(line)["caption"] for line in lines.read_text().splitlines()][::share]
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise ConfigError(f"{lines}: {error}") from error
    if not texts:
        raise ConfigError(f"no captions in {data}")
    return texts


def main() -> int:
    """Run the command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--data", type=Path, required=True, help="folder of tar shards with captions")
    parser.add_argument("--lines", type=Path, help='file of {"caption": text} lines: what captioners say')
    parser.add_argument("--share", type=int, default=2, help="take one in so many of those lines")
    parser.add_argument("--size", type=int, default=32000, help="bytes; zlib looks back 32768 at most")
    parser.add_argument("--out", type=Path, required=True, help="file to write; must not exist")
    options = parser.parse_args()
    try:
        if options.out.exists():
            raise ConfigError(f"{options.out} exists; a dictionary that is on the wire is never made anew")
        words = build(read_texts(options.data, options.lines, options.share), options.size)
        options.out.write_bytes(words)
        print(f"{len(words)} bytes, CRC-32 0x{zlib.crc32(words):08X}")
    except GenedError as error:
        print(f"caption_dictionary: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
