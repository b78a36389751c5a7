# SPDX-License-Identifier: GPL-3.0-or-later
"""Training of `deepjscc`: one model for every SNR, on a CPU in bf16 or on a GPU, cut off at any minute and resumed.

    python -m gened.models.training --config models/training/configs/deepjscc.toml \\
        --data ../shared/data/train --out runs/deepjscc

What it does, and why (each measured in trials of forty minutes on one core): the networks begin as zero corrections of
the analytic linear code; the loss is the mean logarithm of each crop's squared error, which is what PSNR averages; the
first steps see one high SNR only, later ones all of them; the weights that are kept are an exponential moving average.
"""

from __future__ import annotations

import json
import time
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from PIL import Image
from safetensors.torch import load_file, save_file
from torch import Tensor

from gened.errors import ConfigError
from gened.models.codecs.deepjscc.network import DeepJsccConfig, DeepJsccNetwork
from gened.models.data.training_set import CropSampler, load_photographs
from gened.models.training.codecs.linear import fit_linear_code
from gened.models.training.loop import Schedule, Trainer, prepared, rank_and_size, read_config, run

WEIGHTS_FILE = "model.safetensors"
CONFIG_FILE = "config.json"
SAMPLES_FILE = "samples.png"
N_SAMPLES = 6
# Crops for the principal components and the validation come from numbers that training never reaches.
FIRST_LINEAR_CROP = 1 << 40
FIRST_VALIDATION_CROP = 1 << 41


@dataclass(frozen=True)
class TrainConfig(Schedule):
    """All that a run depends on; saved with the weights."""

    codec: Literal["deepjscc"] = "deepjscc"
    batch: int = 16
    crop: int = 128
    group: int = 4
    """Consecutive crops that share one power normalisation, as the patches of one picture do."""
    snr_min_db: float = -3.0
    snr_max_db: float = 14.0
    first_share: float = 0.05
    """Share of the steps that see `first_snr_db` only."""
    first_snr_db: float = 10.0
    erasure_share: float = 0.15
    """Share of the crops that lose some symbols."""
    max_erasure: float = 0.2
    linear_crops: int = 24000
    max_reduction: float = 2.5
    max_aspect: float = 1.5


def channel_draw(config: TrainConfig, step: int, shape: tuple[int, int, int, int]) -> tuple[Tensor, Tensor, Tensor]:
    """SNR [B], lost symbols (bool) and standard normal noise [B, 256, h, w] of one step: a function of seed and step
    alone."""
    generator = torch.Generator().manual_seed(config.seed * 1_000_003 + step)
    n, channels, height, width = shape
    snr_db = config.snr_min_db + (config.snr_max_db - config.snr_min_db) * torch.rand(n, generator=generator)
    if step < config.first_share * config.steps and not config.warm_start:
        snr_db = torch.full((n,), config.first_snr_db)
    fraction = (
        torch.rand(n, generator=generator)
        * config.max_erasure
        * (torch.rand(n, generator=generator) < config.erasure_share)
    )
    # A symbol is two reals, channels 2 i and 2 i + 1: they are lost together.
    lost = torch.rand(n, channels // 2, height, width, generator=generator) < fraction[:, None, None, None]
    noise = torch.randn(shape, generator=generator)
    return snr_db, lost.repeat_interleave(2, dim=1), noise


def log_error(x_hat: Tensor, x: Tensor) -> Tensor:
    """Mean over pictures of ln(MSE + 2e-4): falls by 0.23 for each decibel of mean PSNR; 2e-4 keeps flat skies from
    ruling."""
    return torch.log((x_hat - x).pow(2).flatten(1).mean(1) + 2e-4).mean()


class DeepJsccTrainer(Trainer):
    """The linear code learns more slowly than the networks around it."""

    model: DeepJsccNetwork

    def parameter_groups(self) -> list[dict[str, Any]]:
        """The linear code apart."""
        linear = [self.model.basis, self.model.mean, self.model.log_variance]
        others = [p for p in self.model.parameters() if all(p is not q for q in linear)]
        return [
            {"params": others, "scale": 1.0, "weight_decay": self.schedule.weight_decay},
            {"params": linear, "scale": 0.05, "weight_decay": 0.0},  # an orthonormal basis has entries of 0.02
        ]

    def loss(self, crops: Tensor) -> Tensor:
        """Of the next step, on these crops."""
        config = self.schedule
        assert isinstance(config, TrainConfig)
        x = crops.to(self.device).float().div_(255).contiguous(memory_format=torch.channels_last)
        patches = config.crop // self.model.config.patch
        shape = (len(x), self.model.config.reals_per_patch, patches, patches)
        snr_db, lost, noise = (value.to(self.device) for value in channel_draw(config, self.step, shape))
        with torch.autocast(self.device.type, torch.bfloat16):
            x_hat = self.model(x, snr_db, lost, noise, group=config.group)
        return log_error(x_hat.float(), x)


def save_weights(
    out: Path, network: DeepJsccConfig, weights: dict[str, Tensor], config: TrainConfig, step: int, seconds: float
) -> None:
    """`model.safetensors` in half precision and `config.json` beside it."""
    half = {name: value.detach().to("cpu", torch.float16).contiguous() for name, value in weights.items()}
    save_file(half, out / (WEIGHTS_FILE + ".part"))
    (out / (WEIGHTS_FILE + ".part")).replace(out / WEIGHTS_FILE)
    training = {"steps": step, "seconds": round(seconds), "torch": torch.__version__, **asdict(config)}
    description = {"codec": "deepjscc", "network": network.to_json(), "training": training}
    (out / CONFIG_FILE).write_text(json.dumps(description, indent=1) + "\n")


def new_model(config: TrainConfig, sampler: CropSampler) -> DeepJsccNetwork:
    """The analytic linear code, or the weights of `warm_start`."""
    torch.manual_seed(config.seed)
    model = DeepJsccNetwork(DeepJsccConfig())
    if config.warm_start:
        weights = load_file(Path(config.warm_start) / WEIGHTS_FILE)
        model.load_state_dict({name: value.float() for name, value in weights.items()})
        return model
    shape = model.config
    linear = fit_linear_code(
        sampler, patch=shape.patch, n=shape.reals_per_patch, n_crops=config.linear_crops, first=FIRST_LINEAR_CROP
    )
    with torch.no_grad():
        model.basis.copy_(torch.from_numpy(linear.basis))
        model.mean.copy_(torch.from_numpy(linear.mean))
        model.log_variance.copy_(torch.from_numpy(np.log(linear.variance)))
    return model


@torch.no_grad()
def validate(
    trainer: DeepJsccTrainer, crops: Tensor, out: Path, snrs_db: tuple[float, ...] = (1.0, 4.0, 7.0, 10.0)
) -> dict[str, float]:
    """PSNR of the averaged weights on 256x256 crops that training never draws, each crop a picture of its own.

    Some of them are written to `samples.png` in `out`: originals on top, then a row an SNR.
    """
    model = DeepJsccNetwork(trainer.model.config).to(trainer.device)
    model.load_state_dict(trainer.average)
    model.eval()
    x = crops.to(trainer.device).float() / 255
    patches = x.shape[-1] // model.config.patch
    noise = torch.randn(
        len(x), model.config.reals_per_patch, patches, patches, generator=torch.Generator().manual_seed(7)
    ).to(trainer.device)
    lost = torch.zeros_like(noise, dtype=torch.bool)
    result, rows = {}, [x[:N_SAMPLES]]
    for snr_db in snrs_db:
        with torch.autocast(trainer.device.type, torch.bfloat16):
            x_hat = model(x, torch.full((len(x),), snr_db, device=trainer.device), lost, noise)
        mse = (x_hat.float().clamp(0, 1) - x).pow(2).flatten(1).mean(1)
        rows.append(x_hat[:N_SAMPLES].float().clamp(0, 1))
        result[f"psnr_db_at_{snr_db:g}"] = round(float(-10 * torch.log10(mse).mean()), 3)
    grid = torch.cat([torch.cat(list(row), 2) for row in rows], 1)  # [3, rows 256, columns 256]
    Image.fromarray((grid * 255).round().byte().permute(1, 2, 0).cpu().numpy()).save(out / SAMPLES_FILE)
    return result


def train(
    config_path: Path,
    *,
    data: Path,
    out: Path,
    saliency: Path | None = None,
    minutes: float | None = None,
    device: str = "cpu",
    threads: int = 2,
    resume: bool = False,
    steps: int | None = None,
) -> Path:
    """Train until the configured steps are done or the minutes are over.

    Args:
        config_path: TOML, see `TrainConfig`.
        data: Folder of tar shards or of pictures.
        out: Folder for weights, state, log and sample pictures; made if absent.
        saliency: Unused; every patch is worth the same to this codec.
        minutes: Wall-clock limit of this call; None: none.
        device: `cpu` or `cuda`.
        threads: PyTorch threads on a CPU.
        resume: Go on from the state in `out`.
        steps: Overrides the configured steps.

    Returns:
        The folder with the averaged weights.

    Raises:
        GenedError: Bad configuration, no pictures, or a loss that is not a number.
    """
    begun = time.monotonic()
    config = read_config(config_path, TrainConfig)
    if steps is not None:
        config = replace(config, steps=steps)
    if config.batch % config.group or config.crop % DeepJsccConfig().patch:
        raise ConfigError(
            f"batch {config.batch} must be a multiple of group {config.group}, and crop {config.crop} of 32"
        )
    rank, size = rank_and_size()
    if config.batch % (size * config.group):
        raise ConfigError(f"batch {config.batch} must be a multiple of {size} processes times group {config.group}")
    out.mkdir(parents=True, exist_ok=True)
    torch.set_num_threads(threads)
    photographs = load_photographs(data, min_side=config.crop)
    augment = {"max_reduction": config.max_reduction, "max_aspect": config.max_aspect}
    sampler = CropSampler(photographs, crop=config.crop, seed=config.seed, **augment)
    wide = CropSampler(
        [p for p in photographs if min(p.pixels.shape[:2]) >= 256], crop=256, seed=config.seed, max_reduction=1.5
    )
    held_out = torch.from_numpy(wide.batch(FIRST_VALIDATION_CROP, 12)) if wide.photographs else None
    model = DeepJsccNetwork(DeepJsccConfig()) if resume else new_model(config, sampler)
    trainer = DeepJsccTrainer(config, model, torch.device(device))
    if resume:
        trainer.restore(out)
    print(
        f"{len(photographs)} photographs, step {trainer.step} of {config.steps}, "
        f"prepared in {time.monotonic() - begun:.0f} s",
        flush=True,
    )

    def crops(step: int) -> Tensor:
        each = config.batch // size
        return torch.from_numpy(sampler.batch(step * config.batch + rank * each, each))

    def keep() -> dict[str, float]:
        figures = {} if held_out is None else validate(trainer, held_out, out)
        save_weights(out, model.config, trainer.average, config, trainer.step, trainer.seconds)
        return figures

    run(
        trainer, trainer.loss, prepared(crops, trainer.step, threads=threads), out,
        deadline=None if minutes is None else begun + 60 * minutes, keep=keep,
    )  # fmt: skip
    return out
