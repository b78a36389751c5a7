# SPDX-License-Identifier: GPL-3.0-or-later
"""Training of `deepjscc`: one model for every SNR, on a CPU in bfloat16 or on a GPU.

    python -m gened.models.training --config models/training/configs/deepjscc.toml --data TRAIN --out runs/deepjscc

Four choices, each measured in trials of forty minutes on one core: the networks begin as zero corrections of the
analytic linear code; the loss is the mean logarithm of each crop's squared error, which is what a mean PSNR averages;
the first steps use one high SNR, the later ones all SNRs; the weights that are written are a moving average.
"""

from __future__ import annotations

from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from gened.errors import ConfigError
from gened.models.channel import ChannelDraws, SymbolChannel
from gened.models.codecs.deepjscc.config import DeepJsccConfig
from gened.models.codecs.deepjscc.network import DeepJsccNetwork
from gened.models.data.training_set import CropSampler
from gened.models.training.cache import Arrays, cached
from gened.models.training.codecs.deepjscc.config import DeepJsccTraining
from gened.models.training.codecs.deepjscc.linear import LinearCode, fit_linear_code
from gened.models.training.files import read_tensors, write_json, write_tensors
from gened.models.training.loop import Trainer
from gened.models.training.run import CONFIG_FILE, SAMPLES_FILE, WEIGHTS_FILE, Run, RunOptions, Training
from gened.models.training.schedule import weights_folder
from gened.models.training.validation import mean_psnr_db, write_sheet

N_VALIDATION, N_SAMPLES = 12, 6
VALIDATION_SIDE = 256
VALIDATION_SNRS_DB = (1.0, 4.0, 7.0, 10.0)
LINEAR_VERSION = 1
"""Counts the changes of `fit_linear_code` and of the crops, so that the cache does not return results of older ones."""
# Crops for the principal components and the validation have numbers that training never reaches.
FIRST_LINEAR_CROP = 1 << 40
FIRST_VALIDATION_CROP = 1 << 41


def channel_draw(config: DeepJsccTraining, step: int, shape: tuple[int, int, int, int]) -> tuple[Tensor, ChannelDraws]:
    """SNR and channel of the whole batch of one step, a function of seed and step alone.

    Args:
        config: Ranges and seed.
        step: Number of the step.
        shape: [B, 128, h, w], symbols per batch.

    Returns:
        SNR in dB [B]; noise and lost symbols.
    """
    generator = torch.Generator().manual_seed(config.seed * 1_000_003 + step)
    n = shape[0]
    snr_db = config.snr_min_db + (config.snr_max_db - config.snr_min_db) * torch.rand(n, generator=generator)
    if step < config.first_share * config.steps and not config.warm_start:
        snr_db = torch.full((n,), config.first_snr_db)
    fraction = (
        torch.rand(n, generator=generator)
        * config.max_erasure
        * (torch.rand(n, generator=generator) < config.erasure_share)
    )
    return snr_db, SymbolChannel(erasure=fraction).draw(shape, generator=generator)


def log_error(x_hat: Tensor, x: Tensor) -> Tensor:
    """Mean over pictures of ln(MSE + 2e-4), for x_hat and x of shape [B, 3, H, W] in [0, 1].

    It falls by 0.23 per decibel of mean PSNR; 2e-4 (37 dB) keeps nearly uniform crops from dominating.
    """
    return torch.log((x_hat - x).pow(2).flatten(1).mean(1) + 2e-4).mean()


class DeepJsccTrainer(Trainer):
    """A trainer whose linear code has a lower learning rate than the networks around it."""

    model: DeepJsccNetwork

    def parameter_groups(self) -> list[dict[str, Any]]:
        """The linear code apart from the networks."""
        linear = [self.model.basis, self.model.mean, self.model.log_variance]
        others = [p for p in self.model.parameters() if all(p is not q for q in linear)]
        return [
            {"params": others, "scale": 1.0, "weight_decay": self.schedule.weight_decay},
            {"params": linear, "scale": 0.05, "weight_decay": 0.0},  # an orthonormal basis has entries of 0.02
        ]


def save_weights(
    out: Path, network: DeepJsccConfig, weights: dict[str, Tensor], config: DeepJsccTraining, step: int, seconds: float
) -> None:
    """Write `model.safetensors` in half precision and `config.json` beside it."""
    half = {name: value.detach().to("cpu", torch.float16).contiguous() for name, value in weights.items()}
    write_tensors(out / WEIGHTS_FILE, half)
    training = {"steps": step, "seconds": round(seconds), "torch": torch.__version__, **asdict(config)}
    description = {"codec": "deepjscc", "network": network.to_json(), "training": training}
    write_json(out / CONFIG_FILE, description)


def new_model(config: DeepJsccTraining, options: RunOptions, sampler: CropSampler) -> DeepJsccNetwork:
    """A network that computes the analytic linear code, or one with the weights of `warm_start`.

    Raises:
        ConfigError: The weights have another shape.
    """
    torch.manual_seed(config.seed)
    model = DeepJsccNetwork(DeepJsccConfig())
    if config.warm_start:
        path = weights_folder(config.warm_start) / WEIGHTS_FILE
        try:
            model.load_state_dict(read_tensors(path))
        except RuntimeError as error:
            reason = str(error).splitlines()[0]
            raise ConfigError(f"{path} holds no weights of deepjscc: {reason}") from error
        return model
    linear = linear_code(config, options, sampler, model.config)
    with torch.no_grad():
        model.basis.copy_(torch.from_numpy(linear.basis))
        model.mean.copy_(torch.from_numpy(linear.mean))
        model.log_variance.copy_(torch.from_numpy(np.log(linear.variance)))
    return model


def linear_code(
    config: DeepJsccTraining, options: RunOptions, sampler: CropSampler, shape: DeepJsccConfig
) -> LinearCode:
    """The analytic linear code, from the cache where it was computed from the same crops before."""
    what = "computing the principal components of crops"

    def make() -> Arrays:
        code = fit_linear_code(
            sampler, patch=shape.patch, n=shape.reals_per_patch, n_crops=config.linear_crops, first=FIRST_LINEAR_CROP,
            report=partial(options.report, what),
        )  # fmt: skip
        return code._asdict()

    crops = ("crop", "seed", "max_reduction", "max_aspect", "linear_crops")
    key = {
        "version": LINEAR_VERSION, "data": options.fingerprints.get("data"), "patch": shape.patch,
        "n": shape.reals_per_patch, **{name: getattr(config, name) for name in crops},
    }  # fmt: skip
    return LinearCode(**(cached("deepjscc-linear", key, make) if key["data"] else make()))


class DeepJsccRun(Run):
    """One training of `deepjscc`."""

    def __init__(self, config: DeepJsccTraining, options: RunOptions) -> None:
        super().__init__(config, options)
        if config.batch % config.group or config.crop % DeepJsccConfig().patch:
            raise ConfigError(
                f"batch {config.batch} must be a multiple of group {config.group}, and crop {config.crop} of 32"
            )
        if config.batch % (self.size * config.group):
            raise ConfigError(
                f"batch {config.batch} must be a multiple of {self.size} processes times group {config.group}"
            )
        self.config = config
        photographs = self.read_photographs(min_side=config.crop)
        self.n_photographs = len(photographs)
        self.sampler = CropSampler(
            photographs, crop=config.crop, seed=config.seed, max_reduction=config.max_reduction,
            max_aspect=config.max_aspect,
        )  # fmt: skip
        wide = [photo for photo in photographs if min(photo.pixels.shape[:2]) >= VALIDATION_SIDE]
        held_out = CropSampler(wide, crop=VALIDATION_SIDE, seed=config.seed, max_reduction=1.5)
        self.held_out = torch.from_numpy(held_out.batch(FIRST_VALIDATION_CROP, N_VALIDATION)) if wide else None
        model = DeepJsccNetwork(DeepJsccConfig()) if options.resume else new_model(config, options, self.sampler)
        self.trainer: DeepJsccTrainer = DeepJsccTrainer(config, model, self.device)

    def summary(self) -> str:
        """Number of photographs and of steps."""
        return f"{self.n_photographs} photographs, {self.config.steps} steps"

    def step_data(self, step: int) -> Tensor:
        """This process's crops of a step, [B, 3, crop, crop] uint8."""
        numbers = self.numbers(step)
        return torch.from_numpy(self.sampler.batch(numbers.start, len(numbers)))

    def loss(self, batch: Tensor) -> Tensor:
        """The loss of the next step on these crops, [B, 3, crop, crop] uint8."""
        x = batch.to(self.device).float().div_(255).contiguous(memory_format=torch.channels_last)
        patches = self.config.crop // self.trainer.model.config.patch
        shape = (self.config.batch, self.trainer.model.config.reals_per_patch // 2, patches, patches)
        own = slice(self.rank * len(x), (self.rank + 1) * len(x))  # of the draw for the batch of all processes
        all_snr_db, all_draws = channel_draw(self.config, self.trainer.step, shape)
        snr_db = all_snr_db[own].to(self.device)
        draws = ChannelDraws(*(part[own].to(self.device) for part in all_draws))
        with torch.autocast(self.device.type, torch.bfloat16):
            x_hat = self.trainer.model(x, snr_db, draws, group=self.config.group)
        return log_error(x_hat.float(), x)

    def keep(self) -> dict[str, float]:
        """Validate the averaged weights and write them."""
        figures = {} if self.held_out is None else validate(self.trainer.averaged(), self.held_out, self.out)
        save_weights(
            self.out, self.trainer.model.config, self.trainer.averaged_weights(), self.config, self.trainer.step,
            self.trainer.seconds,
        )  # fmt: skip
        return figures


@torch.no_grad()
def validate(model: nn.Module, crops: Tensor, out: Path) -> dict[str, float]:
    """Mean PSNR at each of `VALIDATION_SNRS_DB`, each crop a picture of its own.

    Some of them are written to `samples.png` in `out`: the originals on top, then one row per SNR.

    Args:
        model: A `DeepJsccNetwork` in evaluation mode.
        crops: [B, 3, 256, 256] uint8, which training never draws.
        out: Folder.
    """
    assert isinstance(model, DeepJsccNetwork)
    device = model.basis.device
    x = crops.to(device).float() / 255
    patches = x.shape[-1] // model.config.patch
    shape = (len(x), model.config.reals_per_patch // 2, patches, patches)
    draws = SymbolChannel().draw(shape, generator=7, device=device)
    figures, rows = {}, [x]
    for snr_db in VALIDATION_SNRS_DB:
        with torch.autocast(device.type, torch.bfloat16):
            x_hat = model(x, torch.full((len(x),), snr_db, device=device), draws).float().clamp(0, 1)
        rows.append(x_hat)
        figures[f"psnr_db_at_{snr_db:g}"] = mean_psnr_db(x_hat, x)
    write_sheet([row[:N_SAMPLES] for row in rows], out / SAMPLES_FILE)
    return figures


TRAINING = Training(DeepJsccTraining, DeepJsccRun)
