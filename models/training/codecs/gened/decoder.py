# SPDX-License-Identifier: GPL-3.0-or-later
"""Stages "decoder" and "both" of the training of `gened`: the receiver's network, alone or with the encoder network."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from gened.models.codecs.gened.decoder import Corrected
from gened.models.codecs.gened.encoder import Change
from gened.models.training.codecs.gened.config import GenedTraining
from gened.models.training.codecs.gened.losses import Objective
from gened.models.training.codecs.gened.networks import EndToEnd
from gened.models.training.codecs.gened.samples import (
    FIRST_VALIDATION_CROP,
    N_VALIDATION,
    Flight,
    Sample,
    Sender,
    collate,
    decoder_input,
)
from gened.models.training.codecs.gened.stage import N_SAMPLES, GenedRun, split_networks
from gened.models.training.run import SAMPLES_FILE, RunOptions
from gened.models.training.validation import mean_psnr_db, write_sheet

VALIDATION_SNRS_DB = (1.0, 4.0, 7.0, 10.0)


class DecoderRun(GenedRun):
    """Stage "decoder"; the samples come from the real linear code, with quantised side information."""

    def __init__(self, config: GenedTraining, options: RunOptions) -> None:
        super().__init__(config, options)
        self.sender = Sender(config, self.sampler, self.coder)
        self.objective = Objective(config, self.device)
        self._validation: dict[float, Sample | Flight] = {}

    def step_data(self, step: int) -> Sample | Flight:
        """This process's crops of a step, sent and received."""
        return collate([self.sender.sample(number) for number in self.numbers(step)])

    def decode(self, model: nn.Module, batch: Sample | Flight) -> tuple[Corrected, Change | None]:
        """The networks' outputs."""
        assert isinstance(batch, Sample)
        return model(decoder_input(batch, self.device)), None

    def loss(self, batch: Sample | Flight) -> Tensor:
        """The objective of one step."""
        torch.manual_seed(self.config.seed * 1_000_003 + self.trainer.step)  # Gumbel noise
        with torch.autocast(self.device.type, torch.bfloat16):
            decoded, change = self.decode(self.trainer.model, batch)
        logits = [decoded.score, decoded.importance.logit, decoded.mask_logit]
        if change is not None:
            logits += [change.score, change.importance.logit]
        return self.objective(decoded.x_hat.float(), logits, batch if isinstance(batch, Sample) else batch.sample)

    def validation_batch(self, snr_db: float) -> Sample | Flight:
        """Crops that training never draws, at rate 1/24 and this SNR."""
        return self.sender.validation(snr_db)

    def validated(self) -> dict[str, float]:
        """Mean PSNR of the linear estimate and of the decoder at each of `VALIDATION_SNRS_DB`."""
        figures, rows = {}, []
        for snr_db in VALIDATION_SNRS_DB:
            if snr_db not in self._validation:
                self._validation[snr_db] = self.validation_batch(snr_db)
            batch = self._validation[snr_db]
            sample = batch if isinstance(batch, Sample) else batch.sample
            x = sample.x.float() / 255
            with torch.autocast(self.device.type, torch.bfloat16):
                decoded, _ = self.decode(self.trainer.averaged(), batch)
            x_hat = decoded.x_hat.float().cpu().clamp(0, 1)
            figures[f"psnr_db_at_{snr_db:g}"] = mean_psnr_db(x_hat, x)
            rows += [x, x_hat] if snr_db == VALIDATION_SNRS_DB[0] else [x_hat]
            if isinstance(batch, Sample):
                linear = sample.picture.clamp(0, 1)
                figures[f"linear_psnr_db_at_{snr_db:g}"] = mean_psnr_db(linear, x)
                rows.insert(-1, linear)
        write_sheet([row[:N_SAMPLES] for row in rows], self.out / SAMPLES_FILE)
        return figures


class EndToEndRun(DecoderRun):
    """Stage "both": encoder network, where there is one, and decoder network together."""

    def model(self) -> nn.Module:
        """Encoder, channel and decoder."""
        return EndToEnd(self.networks.get("encoder"), self.networks["decoder"], self.coder)

    def averaged_networks(self) -> dict[str, dict[str, Tensor]]:
        """Weights of encoder and decoder."""
        return split_networks(self.trainer.averaged_weights(), {"encoder.": "encoder", "decoder.": "decoder"})

    def step_data(self, step: int) -> Flight:
        """This process's crops of a step, with the noise of their channels."""
        return self.sender.flight(self.numbers(step))

    def decode(self, model: nn.Module, batch: Sample | Flight) -> tuple[Corrected, Change | None]:
        """The networks' outputs."""
        result: tuple[Corrected, Change | None] = model(batch, self.device)
        return result

    def validation_batch(self, snr_db: float) -> Flight:
        """Crops that training never draws, at rate 1/24 and this SNR."""
        numbers = range(FIRST_VALIDATION_CROP, FIRST_VALIDATION_CROP + N_VALIDATION)
        return self.sender.flight(numbers, validation_snr_db=snr_db)
