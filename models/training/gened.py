# SPDX-License-Identifier: GPL-3.0-or-later
"""Training of `gened`: the decoder behind the real linear code, or the transmitter's importance network.

    python -m gened.models.training --config models/training/configs/gened.toml --data ../shared/data/train \\
        --out runs/gened

    stage "decoder":    crop -> linear code, encoded and decoded as on the air (rate, SNR, focus, losses drawn) ->
                        decoder network -> logarithm of the weighted error, plus what the mask heads miss
    stage "importance": crop -> importance network -> what S and M miss of the masks

What the decoder sees in training is what it will see: each crop is sent as a picture of its own, with its class map,
its scale byte and its lost symbols. Masks made by hand are used where there are some, else a teacher's (`saliency.py`).
"""

from __future__ import annotations

import json
import time
import zlib
from dataclasses import asdict, dataclass, replace
from fractions import Fraction
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from PIL import Image
from safetensors import SafetensorError
from safetensors.numpy import load_file as load_arrays
from safetensors.numpy import save_file as save_arrays
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812

from gened.gr_blocks.phy.errors import ConfigError
from gened.gr_blocks.phy.types import ImageSize, Received
from gened.models.codecs.analog import statistics as stats
from gened.models.codecs.analog.blocks import BLOCK
from gened.models.codecs.analog.linear import LinearCoder, block_importance
from gened.models.codecs.gened.codec import LINEAR
from gened.models.codecs.gened.config import Branch, GenedConfig
from gened.models.codecs.gened.context_matching import ContextMatching, FrozenClip
from gened.models.codecs.gened.decoder import Corrected, DecoderInput, DecoderNetwork
from gened.models.codecs.gened.importance import Importance, ImportanceNetwork
from gened.models.training.loop import Schedule, Trainer, prepared, rank_and_size, read_config, run
from gened.models.training.pictures import CropSampler, Photograph, load_photographs

WEIGHTS_FILE, CONFIG_FILE, SAMPLES_FILE = "model.safetensors", "config.json", "samples.png"
FIRST_VALIDATION_CROP = 1 << 41
"""A number that training never reaches."""
N_VALIDATION, N_SAMPLES = 12, 6
VALIDATION_SNRS_DB = (1.0, 4.0, 7.0, 10.0)
HELD_OUT = 8
"""One photograph in so many with a mask made by hand is kept from the importance network, to see what it has learnt."""
ANY_OBJECT = "a photo of the main object"
"""What CLIP is asked for where a photograph has no caption."""
UNKNOWN = -1.0
"""In a target: nobody knows whether this is foreground."""


@dataclass(frozen=True)
class GenedTraining(Schedule):
    """All that a run depends on; saved with the weights."""

    codec: Literal["gened"] = "gened"
    stage: Literal["decoder", "importance"] = "decoder"
    statistics: str = "models/weights/softcast"
    """Folder with the linear code's statistics, where there is no `warm_start`."""
    crop: int = 256
    max_reduction: float = 2.5
    max_aspect: float = 1.5
    rates: tuple[str, ...] = ("1/48", "1/36", "1/24", "1/24", "1/12")
    """One of them is drawn for each crop."""
    snr_min_db: float = -3.0
    snr_max_db: float = 14.0
    high_snr_share: float = 0.1
    """Share of the crops whose SNR lies between `snr_max_db` and 22."""
    mismatch_share: float = 0.2
    """Share of the crops that arrive at another SNR than they were made for, by a deviation of 2 dB."""
    erasure_share: float = 0.15
    max_erasure: float = 0.2
    focus_share: float = 0.4
    """Share of the crops with a mask, at a weight of 2, 4 or 8."""
    focus: float = 4.0
    """Default weight of the codec that is written."""
    mask_loss: float = 0.02
    """Weight of the mask heads' cross-entropy against the logarithm of the error."""
    match_loss: Literal["full", "paper"] = "full"
    """"paper": eq. (21), which scores only what is foreground; it drifts to a mask of ones."""
    clip: str = ""
    """CLIP that teaches S, a repository or a folder for `transformers`; empty: masks and maps alone do."""
    foreground: Branch = "swin"
    background: Branch = "cbam"
    dual: bool = True


class Sample(NamedTuple):
    """One crop as it was sent and as it arrived, or a batch of them."""

    x: Any
    """[3, c, c] uint8."""
    picture: Any
    """[3, c, c] float32, the linear estimate."""
    error_std: Any
    """[1, c, c] float32."""
    classes: Any
    """[c/16, c/16] int64."""
    sent: Any
    """[1, c/16, c/16] float32, -1 where nothing was told."""
    weight: Any
    """[1, c/16, c/16] float32, of each block's error."""
    target: Any
    """[1, c/4, c/4] float32 share of foreground; -1 where unknown."""
    snr_db: Any
    rate: Any
    texts: Any = None
    """What is to be found, a text a crop; for CLIP."""


def pooled_target(mask: npt.NDArray[np.uint8] | None, crop: int) -> npt.NDArray[np.float32]:
    """Share of foreground at 1/4, [1, c/4, c/4]; -1 where there is no mask."""
    if mask is None:
        return np.full((1, crop // 4, crop // 4), UNKNOWN, np.float32)
    return np.asarray(mask.reshape(crop // 4, 4, crop // 4, 4).mean((1, 3))[None] / 255, np.float32)


class Sender:
    """Makes samples: crop, operating point and channel are functions of the crop's number."""

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
        soft = None if mask is None else mask.astype(np.float32) / np.float32(255)
        importance, weight_q = block_importance(soft, focus, size)
        encoded = self.coder.encode(picture, rate=rate, snr_db=snr_db, importance=importance, weight_q=weight_q)
        n = len(encoded.symbols)
        noise_var = np.float32(10 ** (-arriving_db / 10))
        noise = (rng.normal(size=n) + 1j * rng.normal(size=n)) * np.sqrt(noise_var / 2)
        variances = np.where(rng.random(n) < lost, np.float32(np.inf), noise_var)
        received = Received(
            (encoded.symbols + noise).astype(np.complex64), variances, encoded.side_info, size, rate, snr_db
        )
        estimate = self.coder.estimate(received)
        assert estimate is not None  # our own side information
        told = estimate.importance
        shape = (1, crop // BLOCK, crop // BLOCK)
        return Sample(
            x=x,
            picture=estimate.padded_picture(),
            error_std=estimate.error_std()[None],
            classes=estimate.classes,
            sent=(np.full(shape, -1) if told is None else told[None]).astype(np.float32),
            weight=(np.ones(shape) if told is None else 1 + (focus - 1) * told[None]).astype(np.float32),
            target=pooled_target(mask, crop),
            snr_db=np.float32(estimate.snr_db),
            rate=np.float32(rate),
        )


def collate(samples: list[Sample]) -> Sample:
    """A batch of tensors."""
    return Sample(*(torch.from_numpy(np.stack(values)) for values in zip(*(one[:-1] for one in samples), strict=True)))


def decoder_input(batch: Sample, device: torch.device) -> DecoderInput:
    """What the decoder is given."""

    def put(values: Tensor) -> Tensor:
        return values.to(device).contiguous(memory_format=torch.channels_last)

    return DecoderInput(
        put(batch.picture), put(batch.error_std), batch.classes.to(device), put(batch.sent),
        batch.snr_db.to(device), batch.rate.to(device),
    )  # fmt: skip


def weighted_log_error(x_hat: Tensor, x: Tensor, weight: Tensor) -> Tensor:
    """Mean over pictures of ln(weighted MSE + 2e-4): falls by 0.23 for each decibel of mean PSNR.

    Args:
        x_hat: [B, 3, H, W].
        x: Same shape.
        weight: Of each block, [B, 1, H/16, W/16].
    """
    error = F.avg_pool2d((x_hat - x).pow(2).mean(1, keepdim=True), BLOCK)
    mse = (error * weight).sum((1, 2, 3)) / weight.sum((1, 2, 3))
    return torch.log(mse + 2e-4).mean()


def known_cross_entropy(logit: Tensor, target: Tensor, kind: Literal["full", "paper"] = "full") -> Tensor:
    """Cross-entropy of a mask's logits against shares of foreground, over what is known; 0 where nothing is.

    Args:
        logit: [B, 1, h, w].
        target: [B, 1, H, W], pooled to [h, w]; -1 where unknown.
        kind: "paper": over foreground alone, eq. (21).
    """
    pooled = F.adaptive_avg_pool2d(target, (logit.shape[2], logit.shape[3]))
    known = (pooled >= 0).float()
    if kind == "paper":
        known = known * (pooled > 0.5).float()
    entropy = F.binary_cross_entropy_with_logits(logit.float(), pooled.clamp(0, 1), reduction="none")
    return (entropy * known).sum() / known.sum().clamp(min=1)


def soft_iou_loss(logit: Tensor, target: Tensor) -> Tensor:
    """1 - intersection over union of soft masks, mean over pictures whose mask is known."""
    pooled = F.adaptive_avg_pool2d(target, (logit.shape[2], logit.shape[3]))
    known = (pooled.amax((1, 2, 3)) >= 0).float()
    truth, found = pooled.clamp(0, 1), torch.sigmoid(logit.float())
    both, either = (truth * found).sum((1, 2, 3)), (truth + found - truth * found).sum((1, 2, 3))
    return ((1 - (both + 1) / (either + 1)) * known).sum() / known.sum().clamp(min=1)


def decoder_loss(found: Corrected, batch: Sample, config: GenedTraining, device: torch.device) -> Tensor:
    """Of the stage "decoder"."""
    x, target = batch.x.to(device).float() / 255, batch.target.to(device)
    loss = weighted_log_error(found.x_hat.float(), x, batch.weight.to(device))
    for logit in (found.score, found.importance.logit, found.mask_logit):
        loss = loss + config.mask_loss * known_cross_entropy(logit, target, config.match_loss)
    return loss


def load_start(config: GenedTraining) -> tuple[dict[str, npt.NDArray[Any]], dict[str, dict[str, Tensor]]]:
    """The statistics' tensors, and the networks' weights by network, empty where they begin anew.

    Raises:
        ConfigError: No such files.
    """
    folder = Path(config.warm_start or config.statistics)
    try:
        tensors = load_arrays(folder / WEIGHTS_FILE)
    except (OSError, SafetensorError) as error:
        raise ConfigError(f"cannot read {folder / WEIGHTS_FILE}, from which the training begins: {error}") from error
    networks: dict[str, dict[str, Tensor]] = {"decoder": {}, "importance": {}}
    linear = {}
    for key, value in tensors.items():
        part, _, rest = key.partition(".")
        if part in networks:
            networks[part][rest] = torch.from_numpy(value).float()
        else:
            linear[key.removeprefix(LINEAR)] = value
    return linear, networks


class TaughtImportance(nn.Module):
    """The importance network with the context matching that teaches it."""

    def __init__(self, network: nn.Module, matching: ContextMatching) -> None:
        super().__init__()
        self.network, self.matching = network, matching

    def forward(self, x: Tensor) -> tuple[Tensor, Importance]:
        """As the importance network alone."""
        result: tuple[Tensor, Importance] = self.network(x)
        return result


class Run:
    """One training: its data, its network, and what is written of it."""

    def __init__(
        self, config: GenedTraining, *, data: Path, saliency: Path | None, out: Path, device: str, threads: int
    ) -> None:
        self.config, self.out, self.device, self.threads = config, out, torch.device(device), threads
        self.rank, self.size = rank_and_size()
        if config.batch % self.size or config.crop % 32:
            raise ConfigError(
                f"batch {config.batch} must be a multiple of {self.size} processes, and crop {config.crop} of 32"
            )
        photographs = load_photographs(data, min_side=config.crop, saliency=saliency)
        self.held_out = [photo for photo in photographs if photo.mask is not None and _is_held_out(photo)]
        if config.stage == "importance":
            known = [photo for photo in photographs if photo.mask is not None or photo.saliency is not None]
            photographs = [photo for photo in known if photo.mask is None or not _is_held_out(photo)]
            if not photographs:
                raise ConfigError(f"{data} has no picture with a mask; give maps of a teacher with --saliency")
        self.n_photographs = len(photographs)
        sampler = CropSampler(
            photographs, crop=config.crop, seed=config.seed, max_reduction=config.max_reduction,
            max_aspect=config.max_aspect,
        )  # fmt: skip
        self.linear, start = load_start(config)
        statistics = stats.from_tensors(self.linear)
        self.network = GenedConfig(
            classes=statistics.n_map_classes, foreground=config.foreground, background=config.background,
            dual=config.dual,
        )  # fmt: skip
        torch.manual_seed(config.seed)
        self.networks: dict[str, nn.Module] = {
            "decoder": DecoderNetwork(self.network), "importance": ImportanceNetwork(self.network)
        }  # fmt: skip
        for name, weights in start.items():
            if weights:
                self.networks[name].load_state_dict(weights)
        self.sender = Sender(config, sampler, LinearCoder(statistics))
        self.clip = FrozenClip(config.clip, self.device) if config.clip and config.stage == "importance" else None
        model = self.networks[config.stage]
        if self.clip is not None:
            model = TaughtImportance(model, ContextMatching(self.clip.width))
        self.trainer = Trainer(config, model.train(), self.device)
        self.validation: dict[float, Sample] = {}

    def step_data(self, step: int) -> Sample:
        """This process's crops of a step."""
        each = self.config.batch // self.size
        first = step * self.config.batch + self.rank * each
        if self.config.stage == "importance":
            return self._masked_crops(self.sender.sampler, range(first, first + each))
        return collate([self.sender.sample(number) for number in range(first, first + each)])

    def _masked_crops(self, sampler: CropSampler, numbers: range) -> Sample:
        samples = []
        for number in numbers:
            pixels, mask = sampler.with_mask(number)
            samples.append((np.ascontiguousarray(pixels.transpose(2, 0, 1)), pooled_target(mask, self.config.crop)))
        x, target = (torch.from_numpy(np.stack(values)) for values in zip(*samples, strict=True))
        texts = [next(iter(sampler.captions(number)), ANY_OBJECT) for number in numbers]
        return Sample(x, None, None, None, None, None, target, None, None, texts)

    def loss(self, batch: Sample) -> Tensor:
        """Of one step."""
        torch.manual_seed(self.config.seed * 1_000_003 + self.trainer.step)  # Gumbel noise
        if self.config.stage == "importance":
            return self._importance_loss(batch)
        with torch.autocast(self.device.type, torch.bfloat16):
            found = self.trainer.model(decoder_input(batch, self.device))
        return decoder_loss(found, batch, self.config, self.device)

    def _importance_loss(self, batch: Sample) -> Tensor:
        """What S and M miss of the masks; with CLIP, what its S misses of them, and the head's S of CLIP's."""
        x = batch.x.to(self.device).float().div(255).contiguous(memory_format=torch.channels_last)
        target, kind = batch.target.to(self.device), self.config.match_loss
        with torch.autocast(self.device.type, torch.bfloat16):
            score, importance = self.trainer.model(x)
        loss = known_cross_entropy(importance.logit, target, kind) + soft_iou_loss(importance.logit, target)
        if self.clip is None:
            return loss + known_cross_entropy(score, target, kind) + soft_iou_loss(score, target)
        assert isinstance(self.trainer.model, TaughtImportance)
        taught = self.trainer.model.matching(*self.clip.see(x), self.clip.read(batch.texts))
        wanted = F.interpolate(torch.sigmoid(taught.detach()), score.shape[2:], mode="bilinear", align_corners=False)
        distilled = F.binary_cross_entropy_with_logits(score, wanted)
        return loss + known_cross_entropy(taught, target, kind) + distilled

    def keep(self) -> dict[str, float]:
        """Validates the averaged weights and writes them."""
        averaged = type(self.networks[self.config.stage])(self.network).to(self.device)
        averaged.load_state_dict(self._averaged_weights())
        averaged.eval()
        figures = self._see_decoder(averaged) if self.config.stage == "decoder" else self._see_importance(averaged)
        self._write(figures)
        return figures

    def _averaged_weights(self) -> dict[str, Tensor]:
        """Of the network that the codec is given; what only taught it is left behind."""
        if self.clip is None:
            return self.trainer.average
        prefix = "network."
        return {
            name.removeprefix(prefix): value for name, value in self.trainer.average.items() if name.startswith(prefix)
        }

    @torch.no_grad()
    def _see_decoder(self, decoder: nn.Module) -> dict[str, float]:
        figures, rows = {}, []
        for snr_db in VALIDATION_SNRS_DB:
            batch = self.validation.setdefault(snr_db, self.sender.validation(snr_db))
            x = batch.x.float() / 255
            with torch.autocast(self.device.type, torch.bfloat16):
                found = decoder(decoder_input(batch, self.device))
            x_hat = found.x_hat.float().cpu().clamp(0, 1)
            linear = batch.picture.clamp(0, 1)
            figures[f"psnr_db_at_{snr_db:g}"] = _psnr_db(x_hat, x)
            figures[f"linear_psnr_db_at_{snr_db:g}"] = _psnr_db(linear, x)
            rows += [x, linear, x_hat] if snr_db == VALIDATION_SNRS_DB[0] else [linear, x_hat]
        _write_sheet([row[:N_SAMPLES] for row in rows], self.out / SAMPLES_FILE)
        return figures

    @torch.no_grad()
    def _see_importance(self, network: nn.Module) -> dict[str, float]:
        if not self.held_out:
            return {}
        sampler = CropSampler(self.held_out, crop=self.config.crop, seed=0, max_reduction=4.0, max_aspect=1.5)
        batch = self._masked_crops(sampler, range(96))
        x = batch.x.to(self.device).float() / 255
        found = torch.cat([network(part)[1].logit for part in x.split(16)]).cpu()
        mask = F.interpolate(found, scale_factor=4, mode="bilinear", align_corners=False) > 0
        truth = batch.target > 0.5
        both, either = (mask & truth).flatten(1).sum(1), (mask | truth).flatten(1).sum(1)
        rows = [x.cpu(), *(F.interpolate(m.float(), scale_factor=4).expand(-1, 3, -1, -1) for m in (truth, mask))]
        _write_sheet([row[:N_SAMPLES] for row in rows], self.out / SAMPLES_FILE)
        return {"iou_held_out": round(float((both / either.clamp(min=1)).mean()), 4)}

    def _write(self, figures: dict[str, float]) -> None:
        """`model.safetensors`, networks in half precision, and `config.json` beside it."""
        tensors = {LINEAR + name: value for name, value in self.linear.items()}
        for part, network in self.networks.items():
            weights = self._averaged_weights() if part == self.config.stage else network.state_dict()
            for name, value in weights.items():
                tensors[f"{part}.{name}"] = np.ascontiguousarray(value.detach().cpu().to(torch.float16).numpy())
        target = self.out / WEIGHTS_FILE
        save_arrays(tensors, target.with_suffix(".part"))
        target.with_suffix(".part").replace(target)
        training = {
            "photographs": self.n_photographs, "steps_done": self.trainer.step, "seconds": round(self.trainer.seconds),
            "torch": torch.__version__, "validation": figures, **asdict(self.config),
        }  # fmt: skip
        description = {
            "codec": "gened", "network": self.network.to_json(), "focus": self.config.focus,
            "training": {self.config.stage: training} | self._earlier(),
        }  # fmt: skip
        (self.out / CONFIG_FILE).write_text(json.dumps(description, indent=1) + "\n")

    def _earlier(self) -> dict[str, Any]:
        """What the weights that this training began from tell of the other stage's."""
        try:
            training: dict[str, Any] = json.loads((Path(self.config.warm_start) / CONFIG_FILE).read_text())["training"]
        except (OSError, ValueError, KeyError):
            return {}
        return {stage: values for stage, values in training.items() if stage != self.config.stage}

    def go(self, *, deadline: float | None, resume: bool) -> None:
        """Trains to the end of the schedule or of the time."""
        if resume:
            self.trainer.restore(self.out)
        stream = prepared(self.step_data, self.trainer.step, threads=self.threads)
        run(self.trainer, self.loss, stream, self.out, deadline=deadline, keep=self.keep, say=_say)


def _is_held_out(photograph: Photograph) -> bool:
    return zlib.crc32(photograph.key.encode()) % HELD_OUT == 0


def _psnr_db(x_hat: Tensor, x: Tensor) -> float:
    mse = (x_hat - x).pow(2).flatten(1).mean(1)
    return round(float(-10 * torch.log10(mse).mean()), 3)


def _write_sheet(rows: list[Tensor], path: Path) -> None:
    grid = torch.cat([torch.cat(list(row), 2) for row in rows], 1)  # [3, rows c, columns c]
    Image.fromarray((grid * 255).round().byte().permute(1, 2, 0).numpy()).save(path)


def _say(line: str) -> None:
    print(line, flush=True)


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
        config_path: TOML, see `GenedTraining`.
        data: Folder of tar shards or of pictures.
        out: Folder for weights, state, log and sample pictures; made if absent.
        saliency: A teacher's maps for the shards.
        minutes: Wall-clock limit of this call; None: none.
        device: `cpu` or `cuda`.
        threads: PyTorch threads on a CPU, and threads that prepare crops.
        resume: Go on from the state in `out`.
        steps: Overrides the configured steps.

    Returns:
        The folder with the averaged weights.

    Raises:
        GenedError: Bad configuration, no pictures, or a loss that is not a number.
    """
    begun = time.monotonic()
    config = read_config(config_path, GenedTraining)
    if steps is not None:
        config = replace(config, steps=steps)
    out.mkdir(parents=True, exist_ok=True)
    torch.set_num_threads(threads)
    run_ = Run(config, data=data, saliency=saliency, out=out, device=device, threads=threads)
    _say(f"{run_.n_photographs} photographs, stage {config.stage}, prepared in {time.monotonic() - begun:.0f} s")
    run_.go(deadline=None if minutes is None else begun + 60 * minutes, resume=resume)
    return out
