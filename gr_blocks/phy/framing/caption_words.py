# SPDX-License-Identifier: GPL-3.0-or-later
"""Dictionary 1 of the text packing: words and phrases of captions, the most frequent last, for DEFLATE.

The bytes are in `caption_words.bin`, which `python -m gened.models.training.studies.caption_dictionary` wrote. They are
part of the wire format and never change.
"""

from __future__ import annotations

from functools import lru_cache
from importlib import resources

from gened.errors import ConfigError
from gened.gr_blocks.phy.coding.crc import crc32

FILE = "caption_words.bin"
CRC = 0xF8EF31FE
"""CRC-32 of the file: with other words, captions would be read wrongly."""


@lru_cache(1)
def caption_words() -> bytes:
    """The dictionary as zlib's `zdict`, 32000 bytes of UTF-8.

    Raises:
        ConfigError: The file is missing or damaged.
    """
    try:
        words = resources.files(__package__).joinpath(FILE).read_bytes()
    except OSError as error:
        raise ConfigError(f"the dictionary of captions cannot be read ({error}); install gr-gened again") from error
    if crc32(words) != CRC:
        raise ConfigError(f"the dictionary of captions, {FILE}, is damaged; install gr-gened again")
    return words
