# SPDX-License-Identifier: GPL-3.0-or-later
"""Batches for the training of the embedded editor, drawn from a folder of pairs."""

from __future__ import annotations

import zlib
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.nn import functional as F  # noqa: N812

from gened.errors import ConfigError
from gened.models.editing.embedded_network import NOISE_MAPS, EditorInput
from gened.models.editing.words import word_tensors
from gened.models.training.editor.config import EditorTraining
from gened.models.training.editor.folder import MASK_SIDE, SIDE, Pairs

HELD_OUT = 16
"""One in this many photographs is excluded from the training, and used for validation."""
N_VALIDATION = 8


class Batch(NamedTuple):
    """Inputs of the network, and the original crops."""

    given: EditorInput
    x: Tensor
    """[B, 3, crop, crop] in [0, 1]."""
    mask: Tensor
    """[B, 1, crop, crop], whether or not the network receives it."""


class PairSampler:
    """Batches, drawn from the pairs by the numbers of their crops."""

    def __init__(self, pairs: Pairs, captions: dict[int, str], config: EditorTraining) -> None:
        self.pairs, self.captions, self.config = pairs, captions, config
        held = np.array([zlib.crc32(str(key).encode()) % HELD_OUT == 0 for key in pairs.key])
        self.training, self.held_out = np.flatnonzero(~held), np.flatnonzero(held)
        if not len(self.training):
            raise ConfigError("too few pairs: all are of photographs that are held out")

    def __call__(self, numbers: range) -> Batch:
        """Crops of these numbers; number n of a seed is always the same one."""
        rows: list[tuple[Any, ...]] = []
        config, size = self.config, self.config.crop
        for number in numbers:
            rng = np.random.default_rng([config.seed, number])
            index = int(self.training[rng.integers(len(self.training))])
            step = SIDE // MASK_SIDE
            left, top = (step * int(rng.integers((SIDE - size) // step + 1)) for _ in range(2))
            text = "" if rng.random() < config.no_text_share else self.captions.get(int(self.pairs.number[index]), "")
            snr_db = np.nan if rng.random() < config.no_snr_share else float(self.pairs.snr_db[index])
            shows_mask = rng.random() >= config.no_mask_share
            is_flipped = not text and rng.random() < 0.5  # words tell left from right
            rows.append((index, left, top, text, snr_db, shows_mask, is_flipped))
        return self._batch(rows, size, seed=numbers.start)

    def validation_indices(self, low_db: float, high_db: float) -> npt.NDArray[np.int64]:
        """Indices of the held-out pairs in a range of SNR that are used for validation."""
        snr_db = self.pairs.snr_db[self.held_out]
        return self.held_out[(snr_db >= low_db) & (snr_db < high_db)][:N_VALIDATION]

    def validation(self, chosen: npt.NDArray[np.int64]) -> Batch:
        """Whole pictures with their masks, SNRs and words."""
        rows = [
            (int(i), 0, 0, self.captions.get(int(self.pairs.number[i]), ""), float(self.pairs.snr_db[i]), True, False)
            for i in chosen
        ]
        return self._batch(rows, SIDE)

    def _batch(self, rows: list[tuple[Any, ...]], size: int, seed: int = 0) -> Batch:
        sent, received, masks = [], [], []
        known = []
        for index, left, top, _, _, shows_mask, is_flipped in rows:
            step = SIDE // MASK_SIDE
            turn = slice(None, None, -1 if is_flipped else 1)
            box = slice(top, top + size), slice(left, left + size)
            sent.append(self.pairs.sent[index][box][:, turn])
            received.append(self.pairs.received[index][box][:, turn])
            small = slice(top // step, (top + size) // step), slice(left // step, (left + size) // step)
            masks.append(self.pairs.mask[index][small][:, turn])
            known.append(float(shows_mask and self.pairs.mask[index].any()))
        x, x_hat = (torch.from_numpy(np.stack(part)).permute(0, 3, 1, 2).float().div(255) for part in (sent, received))
        mask = torch.from_numpy(np.stack(masks)).float().div(255)[:, None]
        mask = F.interpolate(mask, scale_factor=SIDE // MASK_SIDE, mode="bilinear", align_corners=False)
        knows_mask = torch.tensor(known)
        words, starts = word_tensors([row[3] for row in rows])
        snr_db = torch.tensor([row[4] for row in rows], dtype=torch.float32)
        generator = torch.Generator().manual_seed(self.config.seed * 1_000_003 + seed)
        noise = torch.randn(len(rows), NOISE_MAPS, size, size, generator=generator)
        given = EditorInput(x_hat, mask * knows_mask[:, None, None, None], knows_mask, snr_db, words, starts, noise)
        return Batch(given, x, mask)


def to_device(batch: Batch, device: torch.device) -> Batch:
    """The batch on a device, pictures with channels last."""

    def move(value: Tensor) -> Tensor:
        return value.to(device).contiguous(memory_format=torch.channels_last) if value.ndim == 4 else value.to(device)

    return Batch(EditorInput(*(move(value) for value in batch.given)), move(batch.x), move(batch.mask))
