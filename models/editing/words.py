# SPDX-License-Identifier: GPL-3.0-or-later
"""Captions as numbers, for the embedded editor: hashed words and pairs of words, in any language."""

from __future__ import annotations

import itertools
import re
import zlib
from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor

VOCABULARY = 3072
"""Rows of the embedding table; the last one is for an empty caption."""
NOTHING = VOCABULARY - 1
MAX_TOKENS = 64

_WORD = re.compile(r"\w+")


def tokens(text: str) -> list[int]:
    """Numbers of the words and of the pairs of neighbours, at most 64; `[NOTHING]` for an empty text.

    Args:
        text: A caption of any length; case is ignored.
    """
    words = _WORD.findall(text.casefold())
    grams = words + [f"{a} {b}" for a, b in itertools.pairwise(words)]
    return [zlib.crc32(gram.encode(errors="replace")) % NOTHING for gram in grams][:MAX_TOKENS] or [NOTHING]


def word_tensors(texts: Sequence[str]) -> tuple[Tensor, Tensor]:
    """Numbers of all words of all texts one behind the other, and where each text begins: [n] and [B] int64."""
    import torch

    numbers = [tokens(text) for text in texts]
    starts = list(itertools.accumulate(map(len, numbers), initial=0))[:-1]
    return torch.tensor([number for each in numbers for number in each]), torch.tensor(starts)
