# SPDX-License-Identifier: GPL-3.0-or-later
"""Training of the embedded editor, on pairs that `editor_pairs.py` made.

    python -m gened.models.training --config models/training/configs/editor.toml --data runs/pairs --out runs/editor

    pair -> crop of 128 -> editor network, told SNR, mask and words -> absolute error + distance of VGG16's features
                                                                      + what a critic on the same features says

`captions.jsonl` in the folder of the pairs, a line {"number": n, "caption": text} a crop, gives the words
(`editor_captions.py` makes it); a pair without one is shown without words.
"""

from __future__ import annotations

import json
import time
import zlib
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor
from torch.nn import functional as F  # noqa: N812

from gened.errors import ConfigError
from gened.models.editing.embedded_network import NOISE_MAPS, EditorInput, EditorNetwork
from gened.models.editing.words import word_tensors
from gened.models.training.editor.config import EditorTraining
from gened.models.training.editor.losses import Critic, PerceptualDistance, critic_loss, maker_loss, pixel_loss
from gened.models.training.editor.pairs import MASK_SIDE, SIDE, Pairs, read_pairs
from gened.models.training.loop import Trainer, average_gradients, prepared, rank_and_size, read_config, run
from gened.models.training.seeing import mean_psnr_db, say, write_sheet

WEIGHTS_FILE, CONFIG_FILE, SAMPLES_FILE = "model.safetensors", "config.json", "samples.png"
HELD_OUT = 16
"""One photograph in so many is kept from the training, to see what was learnt."""
N_VALIDATION, N_SAMPLES = 8, 6
CAPTIONS_FILE = "captions.jsonl"


class Batch(NamedTuple):
    """Crops as the network sees them, and what was sent."""

    given: EditorInput
    x: Tensor
    """[B, 3, crop, crop] in [0, 1]."""
    mask: Tensor
    """[B, 1, crop, crop]: known or not to the network."""


def read_captions(folder: Path) -> dict[int, str]:
    """Caption by number of the crop; empty without the file.

    Raises:
        ConfigError: The file is damaged.
    """
    path = folder / CAPTIONS_FILE
    if not path.exists():
        return {}
    found = {}
    for line_number, line in enumerate(path.read_text().splitlines(), 1):
        try:
            value = json.loads(line)
            found[int(value["number"])] = str(value["caption"])
        except (ValueError, KeyError, TypeError) as error:
            raise ConfigError(f"{path}, line {line_number}: {error}") from error
    return found


class PairSampler:
    """Batches drawn from the pairs by the number of a step."""

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
        """Which held-out pairs of these SNRs are looked at."""
        snr_db = self.pairs.snr_db[self.held_out]
        return self.held_out[(snr_db >= low_db) & (snr_db < high_db)][:N_VALIDATION]

    def validation(self, chosen: npt.NDArray[np.int64]) -> Batch:
        """Whole pictures with all that is known of them."""
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
    """The same there, pictures with channels last."""

    def move(value: Tensor) -> Tensor:
        return value.to(device).contiguous(memory_format=torch.channels_last) if value.ndim == 4 else value.to(device)

    return Batch(EditorInput(*(move(value) for value in batch.given)), move(batch.x), move(batch.mask))


class Run:
    """One training: its pairs, editor, critic, and what is written of them."""

    def __init__(self, config: EditorTraining, *, data: Path, out: Path, device: str, threads: int) -> None:
        self.config, self.out, self.device, self.threads = config, out, torch.device(device), threads
        self.rank, self.size = rank_and_size()
        if config.batch % self.size or config.crop % 16 or not 16 <= config.crop <= SIDE:
            raise ConfigError(
                f"batch {config.batch} must be a multiple of {self.size} processes, and crop {config.crop} "
                f"a multiple of 16, at most {SIDE}"
            )
        pairs = read_pairs(data)
        captions = read_captions(data)
        self.n_pairs, self.n_captions = len(pairs.number), sum(int(n) in captions for n in pairs.number)
        self.sampler = PairSampler(pairs, captions, config)
        torch.manual_seed(config.seed)
        network = EditorNetwork()
        if config.warm_start:
            _warm(network, load_weights(Path(config.warm_start)))
        self.distance = PerceptualDistance().to(self.device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.critic = Critic().to(self.device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.critic_optimizer = torch.optim.Adam(
            self.critic.parameters(), lr=config.discriminator_rate, betas=(0.5, 0.99)
        )
        self.trainer = Trainer(config, network.train(), self.device)
        self.trainer.extras = {"critic": self.critic, "critic_optimizer": self.critic_optimizer}

    def step_data(self, step: int) -> Batch:
        """This process's crops of a step."""
        each = self.config.batch // self.size
        first = step * self.config.batch + self.rank * each
        return self.sampler(range(first, first + each))

    def loss(self, batch: Batch) -> Tensor:
        """Of one step; the critic learns in passing."""
        config, batch = self.config, to_device(batch, self.device)
        trunk = self.distance.trunk
        with torch.autocast(self.device.type, torch.bfloat16):
            edited = self.trainer.model(batch.given)
            with torch.no_grad():
                real = trunk.stages(batch.x)
            made = trunk.stages(edited)
            distance = self.distance(made, real).mean()
            self._teach_critic((real, batch.x), ([stage.detach() for stage in made], edited.detach()))
            strength = config.adversarial_weight if self.trainer.step >= config.adversarial_from else 0.0
            total = config.perceptual_weight * distance
            if strength:
                self.critic.requires_grad_(False)
                total = total + strength * maker_loss(self.critic(made, edited))
                self.critic.requires_grad_(True)
        pixels = pixel_loss(edited.float(), batch.x, batch.mask, config.foreground_weight)
        result: Tensor = total + config.pixel_weight * pixels
        return result

    def _teach_critic(self, real: tuple[list[Tensor], Tensor], made: tuple[list[Tensor], Tensor]) -> None:
        """One step of the critic, from stages and pixels of both kinds."""
        loss = critic_loss(self.critic(*real), self.critic(*made))
        self.critic_optimizer.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        average_gradients(self.critic)
        self.critic_optimizer.step()

    def keep(self) -> dict[str, float]:
        """Validates the averaged weights and writes them."""
        model = self.trainer.model
        kept = {name: value.clone() for name, value in model.state_dict().items()}
        model.load_state_dict(self.trainer.average)
        model.eval()
        with torch.no_grad():
            figures = self._see()
        model.load_state_dict(kept)
        model.train()
        self._write(figures)
        return figures

    def _see(self) -> dict[str, float]:
        """Held-out pictures before and after: PSNR, and the training's own distance."""
        figures, rows = {}, []
        for low_db, high_db in ((-2.0, 4.0), (4.0, 10.0), (10.0, 16.0)):
            chosen = self.sampler.validation_indices(low_db, high_db)
            if not len(chosen):
                continue
            batch = to_device(self.sampler.validation(chosen), self.device)
            edited = torch.cat([self._edited(batch.given, i) for i in range(len(batch.x))]).clamp(0, 1)
            name = f"{low_db:g}..{high_db:g}"
            for key, pictures in (("before", batch.given.x_hat), ("after", edited)):
                figures[f"psnr_db_{key}_{name}"] = mean_psnr_db(pictures, batch.x)
                figures[f"distance_{key}_{name}"] = self._mean_distance(pictures, batch.x)
            rows += [batch.x[:N_SAMPLES], batch.given.x_hat[:N_SAMPLES], edited[:N_SAMPLES]]
        if rows:
            write_sheet(rows, self.out / SAMPLES_FILE)
        return figures

    def _edited(self, given: EditorInput, index: int) -> Tensor:
        one = slice(index, index + 1)
        starts = [*given.word_starts.tolist(), len(given.words)]
        words = given.words[starts[index] : starts[index + 1]]
        single = EditorInput(
            given.x_hat[one], given.mask[one], given.knows_mask[one], given.snr_db[one], words,
            torch.zeros(1, dtype=torch.int64, device=words.device), given.noise[one],
        )  # fmt: skip
        with torch.autocast(self.device.type, torch.bfloat16):
            result: Tensor = self.trainer.model(single)
        return result.float()

    def _mean_distance(self, x_hat: Tensor, x: Tensor) -> float:
        with torch.autocast(self.device.type, torch.bfloat16):
            parts = [
                self.distance(self.distance.trunk.stages(a[None]), self.distance.trunk.stages(b[None]))
                for a, b in zip(x_hat, x, strict=True)
            ]
        return round(float(torch.cat(parts).mean()), 4)

    def _write(self, figures: dict[str, float]) -> None:
        """`model.safetensors` in half precision, and `config.json` beside it."""
        tensors = {
            name: value.detach().cpu().to(torch.float16).contiguous() for name, value in self.trainer.average.items()
        }
        target = self.out / WEIGHTS_FILE
        save_file(tensors, target.with_suffix(".part"))
        target.with_suffix(".part").replace(target)
        training = {
            "pairs": self.n_pairs, "captions": self.n_captions, "steps_done": self.trainer.step,
            "seconds": round(self.trainer.seconds), "torch": torch.__version__, "validation": figures,
            **asdict(self.config),
        }  # fmt: skip
        (self.out / CONFIG_FILE).write_text(json.dumps({"editor": "embedded", "training": training}, indent=1) + "\n")

    def go(self, *, deadline: float | None, resume: bool) -> None:
        """Trains to the end of the schedule or of the time."""
        if resume:
            self.trainer.restore(self.out)
        stream = prepared(self.step_data, self.trainer.step, threads=self.threads)
        run(self.trainer, self.loss, stream, self.out, deadline=deadline, keep=self.keep, say=say)


def load_weights(folder: Path) -> dict[str, Tensor]:
    """The network's weights from a folder, in single precision.

    Raises:
        ConfigError: There are none.
    """
    try:
        return {name: value.float() for name, value in load_file(folder / WEIGHTS_FILE).items()}
    except (OSError, SafetensorError) as error:
        raise ConfigError(f"cannot read {folder / WEIGHTS_FILE}: {error}") from error


def _warm(network: EditorNetwork, weights: dict[str, Tensor]) -> None:
    """Takes the weights that fit; layers of another shape begin anew."""
    own = network.state_dict()
    fitting = {name: value for name, value in weights.items() if name in own and own[name].shape == value.shape}
    say(f"{len(fitting)} of {len(own)} tensors are taken over")
    network.load_state_dict(own | fitting)


def train(
    config_path: Path | EditorTraining,
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
        config_path: TOML, see `EditorTraining`; or the configuration itself.
        data: Folder of pairs.
        out: Folder for weights, state, log and sample pictures; made if absent.
        saliency: Of no use here; the pairs hold the masks.
        minutes: Wall-clock limit of this call; None: none.
        device: `cpu` or `cuda`.
        threads: PyTorch threads on a CPU, and threads that prepare crops.
        resume: Go on from the state in `out`.
        steps: Overrides the configured steps.

    Returns:
        The folder with the averaged weights.

    Raises:
        GenedError: Bad configuration, no pairs, or a loss that is not a number.
    """
    begun = time.monotonic()
    config = config_path if isinstance(config_path, EditorTraining) else read_config(config_path, EditorTraining)
    if saliency is not None:
        raise ConfigError("the editor's training takes no --saliency: the pairs hold the masks")
    if steps is not None:
        config = replace(config, steps=steps)
    out.mkdir(parents=True, exist_ok=True)
    torch.set_num_threads(threads)
    run_ = Run(config, data=data, out=out, device=device, threads=threads)
    say(f"{run_.n_pairs} pairs, {run_.n_captions} captions, prepared in {time.monotonic() - begun:.0f} s")
    run_.go(deadline=None if minutes is None else begun + 60 * minutes, resume=resume)
    return out
