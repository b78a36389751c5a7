# SPDX-License-Identifier: GPL-3.0-or-later
"""Crops before and after the channel, for the training of `gened`."""

from __future__ import annotations

from fractions import Fraction
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from gened.gr_blocks.phy.channel.config import ChannelConfig
from gened.gr_blocks.phy.channel.noise import complex_noise
from gened.gr_blocks.phy.channel.symbol_channel import apply_symbols
from gened.gr_blocks.phy.types import ImageSize, Received
from gened.models.codecs.analog.blocks import BLOCK
from gened.models.codecs.analog.linear import Analysis, LinearCoder, LinearEstimate, block_importance
from gened.models.codecs.base import Map, Picture
from gened.models.codecs.gened.decoder import DecoderInput
from gened.models.data.training_set import CropSampler
from gened.models.training.codecs.gened.config import GenedTraining

FIRST_VALIDATION_CROP = 1 << 41
"""A number that training never reaches."""
N_VALIDATION = 12
UNKNOWN = -1.0
"""Value of a target where the mask is not known."""


class Sample(NamedTuple):
    """One crop before and after the channel, or a batch of them."""

    x: Any
    """[3, c, c] uint8."""
    picture: Any
    """[3, c, c] float32, the linear estimate."""
    error_std: Any
    """[1, c, c] float32."""
    classes: Any
    """[c/16, c/16] int64."""
    sent: Any
    """[1, c/16, c/16] float32, importance that was sent; -1 where none was."""
    weight: Any
    """[1, c/16, c/16] float32, of each block's error."""
    target: Any
    """[1, c/4, c/4] float32 share of foreground; -1 where unknown."""
    snr_db: Any
    rate: Any
    texts: Any = None
    """Text prompt per crop, for CLIP."""


def pooled_target(mask: npt.NDArray[np.uint8] | None, crop: int) -> npt.NDArray[np.float32]:
    """Share of foreground at 1/4, [1, c/4, c/4]; -1 where there is no mask."""
    if mask is None:
        return np.full((1, crop // 4, crop // 4), UNKNOWN, np.float32)
    return np.asarray(mask.reshape(crop // 4, 4, crop // 4, 4).mean((1, 3))[None] / 255, np.float32)


class Flight(NamedTuple):
    """Crops for the differentiable channel: the encoder network may still change their coefficients."""

    sample: Sample
    """A batch; `picture` is what is sent, and no estimate."""
    analyses: list[Analysis]
    noises: list[npt.NDArray[np.float32]]
    """Noise of the channel per crop, each [n_reals]."""


class Sender:
    """Sends crops; crop, operating point and channel are functions of the crop's number and the seed."""

    def __init__(self, config: GenedTraining, sampler: CropSampler, coder: LinearCoder) -> None:
        self.config, self.sampler, self.coder = config, sampler, coder

    def sample(self, number: int) -> Sample:
        """Crop `number` through the linear code."""
        config = self.config
        rng = np.random.default_rng([config.seed, number, 1])
        rate = Fraction(config.rates[rng.integers(len(config.rates))])
        snr_db = rng.uniform(config.snr_min_db, config.snr_max_db)
        if rng.random() < config.high_snr_share:
            snr_db = rng.uniform(config.snr_max_db, 22.0)
        arriving_db = snr_db + (2.0 * rng.normal() if rng.random() < config.mismatch_share else 0.0)
        lost = rng.uniform(0, config.max_erasure) if rng.random() < config.erasure_share else 0.0
        focus = float(rng.choice([2.0, 4.0, 8.0])) if rng.random() < config.focus_share else 1.0
        pixels, mask = self.sampler.with_mask(number)
        return self._sent(pixels, mask, rng, rate=rate, snr_db=snr_db, arriving_db=arriving_db, lost=lost, focus=focus)

    def validation(self, snr_db: float) -> Sample:
        """A batch of crops that training never draws, at rate 1/24."""
        samples = []
        for number in range(FIRST_VALIDATION_CROP, FIRST_VALIDATION_CROP + N_VALIDATION):
            pixels, mask = self.sampler.with_mask(number)
            rng = np.random.default_rng([7, number])
            samples.append(
                self._sent(
                    pixels, mask, rng, rate=Fraction(1, 24), snr_db=snr_db, arriving_db=snr_db, lost=0.0, focus=1.0
                )
            )
        return collate(samples)

    def flight(self, numbers: range, *, validation_snr_db: float | None = None) -> Flight:
        """Crops without losses, at the SNR they are made for; with an SNR given, unweighted and at rate 1/24."""
        samples, analyses, noises = [], [], []
        for number in numbers:
            analysis, sample = self._analysed(number, validation_snr_db)
            rng = np.random.default_rng([self.config.seed, number, 2])
            noises.append(complex_noise(rng, len(analysis.z) // 2, 10 ** (-analysis.snr_db / 10)).view(np.float32))
            samples.append(sample)
            analyses.append(analysis)
        return Flight(collate(samples), analyses, noises)

    def _analysed(self, number: int, validation_snr_db: float | None) -> tuple[Analysis, Sample]:
        config = self.config
        rng = np.random.default_rng([config.seed, number, 1])
        rate = Fraction(config.rates[rng.integers(len(config.rates))])
        snr_db = float(rng.uniform(config.snr_min_db, config.snr_max_db))
        focus = float(rng.choice([2.0, 4.0, 8.0])) if rng.random() < config.focus_share else 1.0
        if validation_snr_db is not None:
            rate, snr_db, focus = Fraction(1, 24), validation_snr_db, 1.0
        pixels, mask = self.sampler.with_mask(number)
        size = ImageSize(config.crop, config.crop)
        x = np.ascontiguousarray(pixels.transpose(2, 0, 1))
        picture = x.astype(np.float32) / np.float32(255)
        importance, weight_q = block_importance(_soft(mask), focus, size)
        analysis = self.coder.analyse(picture, rate=rate, snr_db=snr_db, importance=importance, weight_q=weight_q)
        sigma2 = _sigma2(analysis.snr_db)
        still = self.coder.synthesise(np.zeros_like(analysis.z), analysis.layout, size, 1 / sigma2)
        return analysis, self._sample(x, picture, still, mask, focus, rate)

    def _sent(
        self,
        pixels: npt.NDArray[np.uint8],
        mask: npt.NDArray[np.uint8] | None,
        rng: np.random.Generator,
        *,
        rate: Fraction,
        snr_db: float,
        arriving_db: float,
        lost: float,
        focus: float,
    ) -> Sample:
        crop = self.config.crop
        size = ImageSize(crop, crop)
        x = np.ascontiguousarray(pixels.transpose(2, 0, 1))
        picture = x.astype(np.float32) / np.float32(255)
        importance, weight_q = block_importance(_soft(mask), focus, size)
        analysis = self.coder.analyse(picture, rate=rate, snr_db=snr_db, importance=importance, weight_q=weight_q)
        encoded = self.coder.pack(analysis)
        symbols, noise_var = apply_symbols(encoded.symbols, ChannelConfig(snr_db=arriving_db, erasure=lost), rng)
        estimate = self.coder.estimate(Received(symbols, noise_var, encoded.side_info, size, rate, snr_db))
        assert estimate is not None  # the side information is intact
        return self._sample(x, estimate.padded_picture(), estimate, mask, focus, rate)

    def _sample(
        self,
        x: npt.NDArray[np.uint8],
        picture: Picture,
        estimate: LinearEstimate,
        mask: npt.NDArray[np.uint8] | None,
        focus: float,
        rate: Fraction,
    ) -> Sample:
        sent, crop = estimate.importance, self.config.crop
        shape = (1, crop // BLOCK, crop // BLOCK)
        return Sample(
            x=x,
            picture=picture,
            error_std=estimate.error_std()[None],
            classes=estimate.classes,
            sent=(np.full(shape, -1) if sent is None else sent[None]).astype(np.float32),
            weight=(np.ones(shape) if sent is None else 1 + (focus - 1) * sent[None]).astype(np.float32),
            target=pooled_target(mask, crop),
            snr_db=np.float32(estimate.snr_db),
            rate=np.float32(rate),
        )


def _soft(mask: npt.NDArray[np.uint8] | None) -> Map | None:
    return None if mask is None else mask.astype(np.float32) / np.float32(255)


def _sigma2(snr_db: float) -> float:
    """Noise variance of a real dimension."""
    return float(10 ** (-snr_db / 10) / 2)


def collate(samples: list[Sample]) -> Sample:
    """A batch of tensors."""
    return Sample(*(torch.from_numpy(np.stack(values)) for values in zip(*(one[:-1] for one in samples), strict=True)))


def decoder_input(batch: Sample, device: torch.device) -> DecoderInput:
    """The inputs of the decoder network, on a device."""

    def put(values: Tensor) -> Tensor:
        return values.to(device).contiguous(memory_format=torch.channels_last)

    return DecoderInput(
        put(batch.picture), put(batch.error_std), batch.classes.to(device), put(batch.sent),
        batch.snr_db.to(device), batch.rate.to(device),
    )  # fmt: skip
