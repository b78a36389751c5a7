# SPDX-License-Identifier: GPL-3.0-or-later
"""Training of `deepjscc`: one model for every SNR, on a CPU in bf16 or on a GPU, cut off at any minute and resumed.

    python -m gened.models.training.deepjscc --config models/training/configs/deepjscc.toml \\
        --data ../shared/data/train --out runs/deepjscc

What it does, and why (each measured in trials of forty minutes on one core): the networks begin as zero corrections of
the analytic linear code; the loss is the mean logarithm of each crop's squared error, which is what PSNR averages; the
first steps see one high SNR only, later ones all of them; the weights that are kept are an exponential moving average.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import sys
import time
import tomllib
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from PIL import Image
from safetensors.torch import load_file, save_file
from torch import Tensor

from gened.gr_blocks.phy.errors import CodecError, ConfigError, GenedError
from gened.models.codecs.deepjscc_network import DeepJsccConfig, DeepJsccNetwork
from gened.models.training.linear import fit_linear_code
from gened.models.training.pictures import CropSampler, load_photographs

STATE_FILE = "state.pt"
LOG_FILE = "log.jsonl"
WEIGHTS_FILE = "model.safetensors"
CONFIG_FILE = "config.json"
SAMPLES_FILE = "samples.png"
N_SAMPLES = 6
# Crops for the principal components and the validation come from numbers that training never reaches.
FIRST_LINEAR_CROP = 1 << 40
FIRST_VALIDATION_CROP = 1 << 41


@dataclass(frozen=True)
class TrainConfig:
    """All that a run depends on; saved with the weights."""

    steps: int = 12000
    batch: int = 16
    crop: int = 128
    group: int = 4
    """Consecutive crops that share one power normalisation, as the patches of one picture do."""
    learning_rate: float = 4e-4
    final_learning_rate: float = 1e-5
    weight_decay: float = 0.01
    clip_norm: float = 0.5
    ema_decay: float = 0.999
    snr_min_db: float = -3.0
    snr_max_db: float = 14.0
    first_share: float = 0.05
    """Share of the steps that see `first_snr_db` only."""
    first_snr_db: float = 10.0
    hold_share: float = 0.4
    """Share of the steps before the learning rate begins to fall (a cosine)."""
    erasure_share: float = 0.15
    """Share of the crops that lose some symbols."""
    max_erasure: float = 0.2
    linear_crops: int = 24000
    max_reduction: float = 2.5
    max_aspect: float = 1.5
    seed: int = 1
    save_every_s: float = 300.0
    warm_start: str = ""
    """Folder of weights to begin from; empty: the analytic code."""


def load_config(path: Path) -> TrainConfig:
    """A TOML file that states only what differs from the defaults.

    Raises:
        ConfigError: No such file, not TOML, or an unknown key.
    """
    try:
        values = tomllib.loads(path.read_text())
    except (OSError, tomllib.TOMLDecodeError) as error:
        raise ConfigError(f"cannot read the training configuration {path}: {error}") from error
    known = {field.name for field in fields(TrainConfig)}
    unknown = sorted(set(values) - known)
    if unknown:
        raise ConfigError(f"{path}: unknown key {unknown[0]!r}; known are {', '.join(sorted(known))}")
    return TrainConfig(**values)


def learning_rate(config: TrainConfig, step: int) -> float:
    """Warm-up over 200 steps, constant, then a cosine down to `final_learning_rate`."""
    progress = step / config.steps
    if progress <= config.hold_share:
        return config.learning_rate * min(1.0, (step + 1) / 200)
    fall = min(1.0, (progress - config.hold_share) / (1 - config.hold_share))
    return config.final_learning_rate + 0.5 * (config.learning_rate - config.final_learning_rate) * (
        1 + math.cos(math.pi * fall)
    )


def batches(sampler: CropSampler, config: TrainConfig, first_step: int) -> Iterator[Tensor]:
    """uint8 batches [B, 3, crop, crop] from `first_step` on, prepared three ahead by one thread a core."""
    with ThreadPoolExecutor(max(1, min(8, os.cpu_count() or 1))) as pool:

        def submit(step: int) -> Future[npt.NDArray[np.uint8]]:
            return pool.submit(sampler.batch, step * config.batch, config.batch)

        ahead = [submit(first_step + i) for i in range(8)]
        step = first_step + len(ahead)
        while True:
            yield torch.from_numpy(ahead.pop(0).result())
            ahead.append(submit(step))
            step += 1


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


class Trainer:
    """Model, optimiser and moving average, saved and restored together."""

    def __init__(self, config: TrainConfig, model: DeepJsccNetwork, device: torch.device) -> None:
        self.config = config
        self.device = device
        self.model = model.to(device=device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.ema = {name: value.detach().clone() for name, value in model.state_dict().items()}
        linear = [model.basis, model.mean, model.log_variance]
        others = [p for p in model.parameters() if all(p is not q for q in linear)]
        self.optimizer = torch.optim.AdamW(
            [
                {"params": others, "scale": 1.0, "weight_decay": config.weight_decay},
                {"params": linear, "scale": 0.05, "weight_decay": 0.0},  # an orthonormal basis has entries of 0.02
            ],
            lr=config.learning_rate,
            betas=(0.9, 0.98),
        )
        self.step = 0
        self.seconds = 0.0

    def train_step(self, crops: Tensor) -> float:
        """One step; the loss of it.

        Raises:
            CodecError: The loss is not a number; the state before the step is untouched on disk.
        """
        config = self.config
        for group in self.optimizer.param_groups:
            group["lr"] = learning_rate(config, self.step) * group["scale"]
        x = crops.to(self.device).float().div_(255).contiguous(memory_format=torch.channels_last)
        patches = config.crop // self.model.config.patch
        shape = (len(x), self.model.config.reals_per_patch, patches, patches)
        snr_db, lost, noise = (value.to(self.device) for value in channel_draw(config, self.step, shape))
        with torch.autocast(self.device.type, torch.bfloat16):
            x_hat = self.model(x, snr_db, lost, noise, group=config.group)
        loss = log_error(x_hat.float(), x)
        if not torch.isfinite(loss):
            raise CodecError(
                f"the loss is not a number at step {self.step}; the last good state is kept: "
                "lower learning_rate and resume"
            )
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(self.model.parameters(), config.clip_norm)
        self.optimizer.step()
        self.step += 1
        decay = min(config.ema_decay, (1 + self.step) / (10 + self.step))
        with torch.no_grad():
            for name, value in self.model.state_dict().items():
                self.ema[name].lerp_(value, 1 - decay) if value.is_floating_point() else self.ema[name].copy_(value)
        return float(loss.detach())

    def save(self, out: Path) -> None:
        """State for `--resume`, and the averaged weights in half precision; each file appears whole or not at all."""
        state = {
            "step": self.step, "seconds": self.seconds, "config": asdict(self.config),
            "network": self.model.config.to_json(), "model": self.model.state_dict(), "ema": self.ema,
            "optimizer": self.optimizer.state_dict(),
        }  # fmt: skip
        torch.save(state, out / (STATE_FILE + ".part"))
        (out / (STATE_FILE + ".part")).replace(out / STATE_FILE)
        save_weights(out, self.model.config, self.ema, self.config, self.step, self.seconds)

    def restore(self, path: Path) -> None:
        """Go on from a state file."""
        state: dict[str, Any] = torch.load(path, map_location=self.device, weights_only=True)
        self.model.load_state_dict(state["model"])
        self.optimizer.load_state_dict(state["optimizer"])
        for name, value in state["ema"].items():
            self.ema[name].copy_(value)
        self.step, self.seconds = int(state["step"]), float(state["seconds"])


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
    trainer: Trainer, crops: Tensor, out: Path, snrs_db: tuple[float, ...] = (1.0, 4.0, 7.0, 10.0)
) -> dict[str, float]:
    """PSNR of the averaged weights on 256x256 crops that training never draws, each crop a picture of its own.

    Some of them are written to `samples.png` in `out`: originals on top, then a row an SNR.
    """
    model = DeepJsccNetwork(trainer.model.config).to(trainer.device)
    model.load_state_dict(trainer.ema)
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
    config = load_config(config_path)
    if steps is not None:
        config = replace(config, steps=steps)
    if config.batch % config.group or config.crop % DeepJsccConfig().patch:
        raise ConfigError(
            f"batch {config.batch} must be a multiple of group {config.group}, and crop {config.crop} of 32"
        )
    out.mkdir(parents=True, exist_ok=True)
    torch.set_num_threads(threads)
    if resume and not (out / STATE_FILE).exists():
        raise ConfigError(f"nothing to resume: {out / STATE_FILE} does not exist; start without --resume")
    photographs = load_photographs(data, min_side=config.crop)
    augment = {"max_reduction": config.max_reduction, "max_aspect": config.max_aspect}
    sampler = CropSampler(photographs, crop=config.crop, seed=config.seed, **augment)
    wide = CropSampler(
        [p for p in photographs if min(p.pixels.shape[:2]) >= 256], crop=256, seed=config.seed, max_reduction=1.5
    )
    held_out = torch.from_numpy(wide.batch(FIRST_VALIDATION_CROP, 12)) if wide.photographs else None
    model = DeepJsccNetwork(DeepJsccConfig()) if resume else new_model(config, sampler)
    trainer = Trainer(config, model, torch.device(device))
    if resume:
        trainer.restore(out / STATE_FILE)
    print(
        f"{len(photographs)} photographs, step {trainer.step} of {config.steps}, "
        f"prepared in {time.monotonic() - begun:.0f} s",
        flush=True,
    )
    _run(trainer, sampler, held_out, out, None if minutes is None else begun + 60 * minutes)
    return out


def _run(trainer: Trainer, sampler: CropSampler, held_out: Tensor | None, out: Path, deadline: float | None) -> None:
    """The loop: steps, a log line now and then, a state every few minutes."""
    config = trainer.config
    last_save = last = time.monotonic()
    losses: list[float] = []
    stream = batches(sampler, config, trainer.step)
    while trainer.step < config.steps and (deadline is None or time.monotonic() < deadline):
        losses.append(trainer.train_step(next(stream)))
        now = time.monotonic()
        trainer.seconds += now - last
        last = now
        finished = trainer.step == config.steps or (deadline is not None and now >= deadline)
        if trainer.step % 100 == 0 or finished:
            record: dict[str, Any] = {
                "step": trainer.step,
                "seconds": round(trainer.seconds, 1),
                "loss": round(sum(losses) / len(losses), 4),
                "learning_rate": learning_rate(config, trainer.step),
            }
            losses.clear()
            if finished or now - last_save > config.save_every_s:
                if held_out is not None:
                    record |= validate(trainer, held_out, out)
                trainer.save(out)
                last_save = time.monotonic()
            with (out / LOG_FILE).open("a") as log:
                log.write(json.dumps(record) + "\n")
            print(record, flush=True)
            last = time.monotonic()
    trainer.save(out)


def main() -> int:
    """The same from a checkout without installing: `python -m gened.models.training.deepjscc`."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--config", type=Path, required=True)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--minutes", type=float)
    parser.add_argument("--steps", type=int)
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--resume", action="store_true")
    options = parser.parse_args()
    try:
        train(
            options.config, data=options.data, out=options.out, minutes=options.minutes, device=options.device,
            threads=options.threads, resume=options.resume, steps=options.steps,
        )  # fmt: skip
    except GenedError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
