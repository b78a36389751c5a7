# SPDX-License-Identifier: GPL-3.0-or-later
"""Training of `gened`: the decoder behind the real linear code, or the transmitter's importance network.

    python -m gened.models.training --config models/training/configs/gened.toml --data ../shared/data/train \\
        --out runs/gened

    stage "decoder":    crop -> linear code, encoded and decoded as on the air (rate, SNR, focus, losses drawn) ->
                        decoder network -> logarithm of the weighted error, plus what the mask heads miss
    stage "importance": crop -> importance network -> what S and M miss of the masks
    stage "both":       crop -> encoder network, if any -> linear code with a slope, noise -> decoder network

What the decoder sees in training is what it will see: each crop is sent as a picture of its own, with its class map,
its scale byte and its lost symbols. Masks made by hand are used where there are some, else a teacher's (`saliency.py`).
"""

from __future__ import annotations

import json
import time
import zlib
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from safetensors import SafetensorError
from safetensors.numpy import load_file as load_arrays
from safetensors.numpy import save_file as save_arrays
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812

from gened.errors import ConfigError
from gened.models.codecs.analog import statistics as stats
from gened.models.codecs.analog.linear import LinearCoder
from gened.models.codecs.gened.codec import LINEAR
from gened.models.codecs.gened.config import GenedConfig
from gened.models.codecs.gened.context_matching import ContextMatching, FrozenClip
from gened.models.codecs.gened.decoder import Corrected, DecoderNetwork
from gened.models.codecs.gened.encoder import Change, EncoderInput, EncoderNetwork
from gened.models.codecs.gened.importance import Importance, ImportanceNetwork
from gened.models.codecs.gened.synthesis import Synthesis, gather
from gened.models.data.training_set import CropSampler, Photograph, load_photographs
from gened.models.training.codecs.gened_config import GenedTraining
from gened.models.training.codecs.gened_losses import Objective, known_cross_entropy, soft_iou_loss
from gened.models.training.codecs.gened_samples import (
    FIRST_VALIDATION_CROP,
    N_VALIDATION,
    Flight,
    Sample,
    Sender,
    collate,
    decoder_input,
    pooled_target,
)
from gened.models.training.loop import Trainer, prepared, rank_and_size, read_config, run
from gened.models.training.seeing import mean_psnr_db, say, write_sheet

WEIGHTS_FILE, CONFIG_FILE, SAMPLES_FILE = "model.safetensors", "config.json", "samples.png"
N_SAMPLES = 6
TRAINED = {"decoder": ("decoder",), "importance": ("importance",), "both": ("decoder", "encoder")}
BRANCHES = ("dual16", "dual8", "prediction", "routes8")
"""The decoder's parts that variants of the branches do not have in common."""
VALIDATION_SNRS_DB = (1.0, 4.0, 7.0, 10.0)
HELD_OUT = 8
"""One photograph in so many with a mask made by hand is kept from the importance network, to see what it has learnt."""
ANY_OBJECT = "a photo of the main object"
"""What CLIP is asked for where a photograph has no caption."""


def load_start(config: GenedTraining) -> tuple[dict[str, npt.NDArray[Any]], dict[str, dict[str, Tensor]]]:
    """The statistics' tensors, and the networks' weights by network, empty where they begin anew.

    Without a warm start, what this stage does not train itself is taken from the folder of the statistics all the same.

    Raises:
        ConfigError: No such files.
    """
    folder = Path(config.warm_start or config.statistics)
    try:
        tensors = load_arrays(folder / WEIGHTS_FILE)
    except (OSError, SafetensorError) as error:
        raise ConfigError(f"cannot read {folder / WEIGHTS_FILE}, from which the training begins: {error}") from error
    networks: dict[str, dict[str, Tensor]] = {"decoder": {}, "importance": {}, "encoder": {}}
    linear = {}
    for key, value in tensors.items():
        part, _, rest = key.partition(".")
        if part in networks:
            networks[part][rest] = torch.from_numpy(value).float()
        else:
            linear[key.removeprefix(LINEAR)] = value
    if not config.warm_start:
        for part in TRAINED[config.stage]:
            networks[part] = {}
    if config.trunk_only:
        networks["decoder"] = {k: v for k, v in networks["decoder"].items() if k.partition(".")[0] not in BRANCHES}
        networks["encoder"] = {}
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


class EndToEnd(nn.Module):
    """Encoder, where there is one, and decoder, with the channel between them."""

    def __init__(self, encoder: nn.Module | None, decoder: nn.Module, coder: LinearCoder) -> None:
        super().__init__()
        self.encoder, self.decoder, self.coder = encoder, decoder, coder

    def forward(self, flight: Flight, device: torch.device) -> tuple[Corrected, Change | None]:
        """A batch of crops to what the receiver makes of them."""
        given = decoder_input(flight.sample, device)
        change: Change | None = None
        if self.encoder is not None:
            found: Change = self.encoder(
                EncoderInput(given.picture, given.classes, given.sent_mask, given.snr_db, given.rate)
            )
            change = found
        with torch.autocast(device.type, enabled=False):
            pictures = [self._carried(flight, index, change, device) for index in range(len(flight.analyses))]
        picture = torch.cat(pictures).contiguous(memory_format=torch.channels_last)
        corrected: Corrected = self.decoder(given._replace(picture=picture))
        return corrected, change

    def _carried(self, flight: Flight, index: int, change: Change | None, device: torch.device) -> Tensor:
        """One crop's linear picture at the receiver."""
        analysis = flight.analyses[index]
        synthesis = Synthesis(self.coder, analysis, device)
        z = torch.from_numpy(analysis.z).to(device)
        if change is not None:
            z = z + gather(change.coefficients[index].flatten(1).T, analysis.layout)
        noise = torch.from_numpy(flight.noises[index]).to(device)
        return synthesis(synthesis.arrived(z, [noise], 10 ** (-analysis.snr_db / 10) / 2)[0])


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
        self.held_out = [photo for photo in photographs if photo.mask is not None and is_held_out(photo)]
        if config.stage == "importance":
            known = [photo for photo in photographs if photo.mask is not None or photo.saliency is not None]
            photographs = [photo for photo in known if photo.mask is None or not is_held_out(photo)]
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
            dual=config.dual, predicts=config.predicts, encoder=config.encoder,
        )  # fmt: skip
        torch.manual_seed(config.seed)
        self.networks: dict[str, nn.Module] = {
            "decoder": DecoderNetwork(self.network), "importance": ImportanceNetwork(self.network)
        }  # fmt: skip
        if config.encoder:
            self.networks["encoder"] = EncoderNetwork(self.network)
        for name, weights in start.items():
            if weights and name in self.networks:
                self._load(self.networks[name], weights)
        self.sender = Sender(config, sampler, LinearCoder(statistics))
        self.clip = FrozenClip(config.clip, self.device) if config.clip and config.stage == "importance" else None
        self.objective = None if config.stage == "importance" else Objective(config, self.device)
        self.trainer = Trainer(config, self._model().train(), self.device)
        self.validation: dict[float, Sample | Flight] = {}

    def _load(self, network: nn.Module, weights: dict[str, Tensor]) -> None:
        if self.config.trunk_only and network is self.networks["decoder"]:
            own = {key: value for key, value in network.state_dict().items() if key.partition(".")[0] in BRANCHES}
            weights = own | weights
        try:
            network.load_state_dict(weights)
        except RuntimeError as error:
            folder = self.config.warm_start or self.config.statistics
            reason = str(error).splitlines()[0]
            raise ConfigError(f"the weights in {folder} are not of the shape that is configured: {reason}") from error

    def _model(self) -> nn.Module:
        """What is trained."""
        if self.config.stage == "both":
            return EndToEnd(self.networks.get("encoder"), self.networks["decoder"], self.sender.coder)
        model = self.networks[self.config.stage]
        return model if self.clip is None else TaughtImportance(model, ContextMatching(self.clip.width))

    def step_data(self, step: int) -> Sample | Flight:
        """This process's crops of a step."""
        each = self.config.batch // self.size
        first = step * self.config.batch + self.rank * each
        numbers = range(first, first + each)
        if self.config.stage == "importance":
            return self._masked_crops(self.sender.sampler, numbers)
        if self.config.stage == "both":
            return self.sender.flight(numbers)
        return collate([self.sender.sample(number) for number in numbers])

    def _masked_crops(self, sampler: CropSampler, numbers: range) -> Sample:
        samples = []
        for number in numbers:
            pixels, mask = sampler.with_mask(number)
            samples.append((np.ascontiguousarray(pixels.transpose(2, 0, 1)), pooled_target(mask, self.config.crop)))
        x, target = (torch.from_numpy(np.stack(values)) for values in zip(*samples, strict=True))
        texts = [next(iter(sampler.captions(number)), ANY_OBJECT) for number in numbers]
        return Sample(x, None, None, None, None, None, target, None, None, texts)

    def loss(self, batch: Sample | Flight) -> Tensor:
        """Of one step."""
        torch.manual_seed(self.config.seed * 1_000_003 + self.trainer.step)  # Gumbel noise
        if self.objective is None:
            assert isinstance(batch, Sample)
            return self._importance_loss(batch)
        with torch.autocast(self.device.type, torch.bfloat16):
            found, change = self._decoded(self.trainer.model, batch)
        logits = [found.score, found.importance.logit, found.mask_logit]
        if change is not None:
            logits += [change.score, change.importance.logit]
        return self.objective(found.x_hat.float(), logits, batch if isinstance(batch, Sample) else batch.sample)

    def _decoded(self, model: nn.Module, batch: Sample | Flight) -> tuple[Corrected, Change | None]:
        if isinstance(batch, Flight):
            result: tuple[Corrected, Change | None] = model(batch, self.device)
            return result
        return model(decoder_input(batch, self.device)), None

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
        with torch.no_grad():
            kept = {name: value.clone() for name, value in self.trainer.model.state_dict().items()}
            self.trainer.model.load_state_dict(self.trainer.average)
            self.trainer.model.eval()
            figures = self._see_importance() if self.objective is None else self._see_decoder()
            self.trainer.model.load_state_dict(kept)
            self.trainer.model.train()
        self._write(figures)
        return figures

    def _averaged_weights(self) -> dict[str, dict[str, Tensor]]:
        """Of the networks that the codec is given, by name; what only taught them is left behind."""
        if self.clip is None and self.config.stage != "both":
            return {self.config.stage: self.trainer.average}
        prefixes = {"network.": "importance"} if self.clip is not None else {f"{n}.": n for n in self.networks}
        return {
            part: {
                name.removeprefix(prefix): value
                for name, value in self.trainer.average.items()
                if name.startswith(prefix)
            }
            for prefix, part in prefixes.items()
        }

    def _validation(self, snr_db: float) -> Sample | Flight:
        if snr_db not in self.validation:
            numbers = range(FIRST_VALIDATION_CROP, FIRST_VALIDATION_CROP + N_VALIDATION)
            is_flight = self.config.stage == "both"
            self.validation[snr_db] = (
                self.sender.flight(numbers, validation_snr_db=snr_db) if is_flight else self.sender.validation(snr_db)
            )
        return self.validation[snr_db]

    def _see_decoder(self) -> dict[str, float]:
        figures, rows = {}, []
        for snr_db in VALIDATION_SNRS_DB:
            batch = self._validation(snr_db)
            sample = batch if isinstance(batch, Sample) else batch.sample
            x = sample.x.float() / 255
            with torch.autocast(self.device.type, torch.bfloat16):
                found, _ = self._decoded(self.trainer.model, batch)
            x_hat = found.x_hat.float().cpu().clamp(0, 1)
            figures[f"psnr_db_at_{snr_db:g}"] = mean_psnr_db(x_hat, x)
            rows += [x, x_hat] if snr_db == VALIDATION_SNRS_DB[0] else [x_hat]
            if isinstance(batch, Sample):
                linear = sample.picture.clamp(0, 1)
                figures[f"linear_psnr_db_at_{snr_db:g}"] = mean_psnr_db(linear, x)
                rows.insert(-1, linear)
        write_sheet([row[:N_SAMPLES] for row in rows], self.out / SAMPLES_FILE)
        return figures

    def _see_importance(self) -> dict[str, float]:
        if not self.held_out:
            return {}
        sampler = CropSampler(self.held_out, crop=self.config.crop, seed=0, max_reduction=4.0, max_aspect=1.5)
        batch = self._masked_crops(sampler, range(96))
        x = batch.x.to(self.device).float() / 255
        found = torch.cat([self.trainer.model(part)[1].logit for part in x.split(16)]).cpu()
        mask = F.interpolate(found, scale_factor=4, mode="bilinear", align_corners=False) > 0
        truth = batch.target > 0.5
        both, either = (mask & truth).flatten(1).sum(1), (mask | truth).flatten(1).sum(1)
        rows = [x.cpu(), *(F.interpolate(m.float(), scale_factor=4).expand(-1, 3, -1, -1) for m in (truth, mask))]
        write_sheet([row[:N_SAMPLES] for row in rows], self.out / SAMPLES_FILE)
        return {"iou_held_out": round(float((both / either.clamp(min=1)).mean()), 4)}

    def _write(self, figures: dict[str, float]) -> None:
        """`model.safetensors`, networks in half precision, and `config.json` beside it."""
        tensors = {LINEAR + name: value for name, value in self.linear.items()}
        averaged = self._averaged_weights()
        for part, network in self.networks.items():
            weights = averaged.get(part) or network.state_dict()
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
        run(self.trainer, self.loss, stream, self.out, deadline=deadline, keep=self.keep, say=say)


def is_held_out(photograph: Photograph) -> bool:
    """Whether the importance network never sees this photograph."""
    return zlib.crc32(photograph.key.encode()) % HELD_OUT == 0


def train(
    config_path: Path | GenedTraining,
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
        config_path: TOML, see `GenedTraining`; or the configuration itself.
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
    config = config_path if isinstance(config_path, GenedTraining) else read_config(config_path, GenedTraining)
    if steps is not None:
        config = replace(config, steps=steps)
    out.mkdir(parents=True, exist_ok=True)
    torch.set_num_threads(threads)
    run_ = Run(config, data=data, saliency=saliency, out=out, device=device, threads=threads)
    say(f"{run_.n_photographs} photographs, stage {config.stage}, prepared in {time.monotonic() - begun:.0f} s")
    run_.go(deadline=None if minutes is None else begun + 60 * minutes, resume=resume)
    return out
