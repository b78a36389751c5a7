# SPDX-License-Identifier: GPL-3.0-or-later
"""Training of the embedded editor, on the pairs that `pairs.py` writes.

    python -m gened.models.training --config models/training/configs/editor.toml --data runs/pairs --out runs/editor

    pair -> crop of 128 -> editor network, given SNR, mask and words -> absolute error + distance of VGG16's features
                                                                        + adversarial loss of a critic on them

A pair without a caption in `captions.jsonl` (written by `captions.py`) is given to the network without words.
"""

from __future__ import annotations

from dataclasses import asdict
from functools import partial

import torch
from torch import Tensor

from gened.errors import ConfigError
from gened.models.editing.embedded_network import EditorInput, EditorNetwork
from gened.models.training.editor.config import EditorTraining
from gened.models.training.editor.folder import SIDE, read_captions, read_pairs
from gened.models.training.editor.losses import Critic, PerceptualDistance, critic_loss, maker_loss, pixel_loss
from gened.models.training.editor.sampler import Batch, PairSampler, to_device
from gened.models.training.files import read_tensors, write_json, write_tensors
from gened.models.training.loop import Trainer
from gened.models.training.processes import data_parallel, rank_and_size
from gened.models.training.run import CONFIG_FILE, SAMPLES_FILE, WEIGHTS_FILE, Run, RunOptions, Training
from gened.models.training.schedule import weights_folder
from gened.models.training.validation import mean_psnr_db, write_sheet

N_SAMPLES = 6
VALIDATION_RANGES_DB = ((-2.0, 4.0), (4.0, 10.0), (10.0, 16.0))
"""Ranges of the channel's SNR whose pairs are validated together."""

Looks = tuple[list[Tensor], Tensor]
"""A batch of pictures as the critic takes it: the stages of the frozen trunk, and the pictures [B, 3, H, W]."""


class EditorRun(Run):
    """One training of the editor network and its critic."""

    def __init__(self, config: EditorTraining, options: RunOptions) -> None:
        super().__init__(config, options)
        self.config = config
        if options.saliency is not None:
            raise ConfigError("the editor's training takes no --saliency: the pairs hold the masks")
        if config.batch % self.size or config.crop % 16 or not 16 <= config.crop <= SIDE:
            raise ConfigError(
                f"batch {config.batch} must be a multiple of {self.size} processes, and crop {config.crop} "
                f"a multiple of 16, at most {SIDE}"
            )
        pairs = read_pairs(options.data, report=partial(options.report, "reading parts of pairs"))
        captions = read_captions(options.data)
        self.n_pairs, self.n_captions = len(pairs.number), sum(int(n) in captions for n in pairs.number)
        self.sampler = PairSampler(pairs, captions, config)
        torch.manual_seed(config.seed)
        network = EditorNetwork()
        if config.warm_start:
            _warm(network, read_tensors(weights_folder(config.warm_start) / WEIGHTS_FILE))
        self.distance = PerceptualDistance().to(self.device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.critic = Critic().to(self.device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.critic_optimizer = torch.optim.Adam(
            self.critic.parameters(), lr=config.discriminator_rate, betas=(0.5, 0.99)
        )
        self.critic_loss = data_parallel(self.critic, self._critic_loss)
        self.trainer = Trainer(config, network.train(), self.device)
        self.trainer.extras = {"critic": self.critic, "critic_optimizer": self.critic_optimizer}

    def summary(self) -> str:
        """Numbers of pairs, captions and steps."""
        return f"{self.n_pairs} pairs, {self.n_captions} captions, {self.config.steps} steps"

    def step_data(self, step: int) -> Batch:
        """This process's crops of a step."""
        return self.sampler(self.numbers(step))

    def loss(self, batch: Batch) -> Tensor:
        """The editor's loss of one step; the critic takes a step of its own on the same pictures."""
        config, batch = self.config, to_device(batch, self.device)
        trunk = self.distance.trunk
        with torch.autocast(self.device.type, torch.bfloat16):
            edited = self.trainer.model(batch.given)
            with torch.no_grad():
                real = trunk.stages(batch.x)
            made = trunk.stages(edited)
            distance = self.distance(made, real).mean()
            self.teach_critic((real, batch.x), ([stage.detach() for stage in made], edited.detach()))
            strength = config.adversarial_weight if self.trainer.step >= config.adversarial_from else 0.0
            total = config.perceptual_weight * distance
            if strength:
                self.critic.requires_grad_(False)
                total = total + strength * maker_loss(self.critic(made, edited))
                self.critic.requires_grad_(True)
        pixels = pixel_loss(edited.float(), batch.x, batch.mask, config.foreground_weight)
        result: Tensor = total + config.pixel_weight * pixels
        return result

    def _critic_loss(self, real: Looks, made: Looks) -> Tensor:
        return critic_loss(self.critic(*real), self.critic(*made))

    def teach_critic(self, real: Looks, made: Looks) -> None:
        """One optimiser step of the critic, on original and on edited pictures."""
        loss = self.critic_loss(real, made)
        self.critic_optimizer.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        self.critic_optimizer.step()

    def keep(self) -> dict[str, float]:
        """Validate the averaged weights and write them."""
        with torch.no_grad():
            figures = self.validated()
        self._write(figures)
        return figures

    def validated(self) -> dict[str, float]:
        """PSNR in dB and perceptual distance of held-out pictures before and after editing, by range of SNR."""
        figures, rows = {}, []
        for low_db, high_db in VALIDATION_RANGES_DB:
            chosen = self.sampler.validation_indices(low_db, high_db)
            if not len(chosen):
                continue
            batch = to_device(self.sampler.validation(chosen), self.device)
            edited = torch.cat([self._edited(batch.given, i) for i in range(len(batch.x))]).clamp(0, 1)
            name = f"{low_db:g}..{high_db:g}"
            original = [self._stages(x) for x in batch.x]
            for key, pictures in (("before", batch.given.x_hat), ("after", edited)):
                figures[f"psnr_db_{key}_{name}"] = mean_psnr_db(pictures, batch.x)
                parts = [self.distance(self._stages(a), b) for a, b in zip(pictures, original, strict=True)]
                figures[f"distance_{key}_{name}"] = round(float(torch.cat(parts).mean()), 4)
            rows += [batch.x[:N_SAMPLES], batch.given.x_hat[:N_SAMPLES], edited[:N_SAMPLES]]
        if rows:
            write_sheet(rows, self.out / SAMPLES_FILE)
        return figures

    def _edited(self, given: EditorInput, index: int) -> Tensor:
        """One picture of a batch, edited with the averaged weights, [1, 3, H, W]."""
        one = slice(index, index + 1)
        starts = [*given.word_starts.tolist(), len(given.words)]
        words = given.words[starts[index] : starts[index + 1]]
        single = EditorInput(
            given.x_hat[one], given.mask[one], given.knows_mask[one], given.snr_db[one], words,
            torch.zeros(1, dtype=torch.int64, device=words.device), given.noise[one],
        )  # fmt: skip
        with torch.autocast(self.device.type, torch.bfloat16):
            result: Tensor = self.trainer.averaged()(single)
        return result.float()

    def _stages(self, x: Tensor) -> list[Tensor]:
        """The trunk's stages of one picture [3, H, W]."""
        with torch.autocast(self.device.type, torch.bfloat16):
            result: list[Tensor] = self.distance.trunk.stages(x[None])
        return result

    def _write(self, figures: dict[str, float]) -> None:
        """`model.safetensors` in half precision, and `config.json` beside it."""
        tensors = {
            name: value.detach().cpu().to(torch.float16).contiguous()
            for name, value in self.trainer.averaged_weights().items()
        }
        write_tensors(self.out / WEIGHTS_FILE, tensors)
        training = {
            "pairs": self.n_pairs, "captions": self.n_captions, "steps_done": self.trainer.step,
            "seconds": round(self.trainer.seconds), "torch": torch.__version__, "validation": figures,
            **asdict(self.config),
        }  # fmt: skip
        write_json(self.out / CONFIG_FILE, {"editor": "embedded", "training": training})


def _warm(network: EditorNetwork, weights: dict[str, Tensor]) -> None:
    """Load the weights whose shapes fit; layers of another shape keep their random ones."""
    own = network.state_dict()
    fitting = {name: value for name, value in weights.items() if name in own and own[name].shape == value.shape}
    if rank_and_size()[0] == 0:
        print(f"{len(fitting)} of {len(own)} tensors come from the warm start", flush=True)
    network.load_state_dict(own | fitting)


TRAINING = Training(EditorTraining, EditorRun)
