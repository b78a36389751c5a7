# SPDX-License-Identifier: GPL-3.0-or-later
"""Stage "importance" of the training of `gened`: the network that finds what matters, at the transmitter."""

from __future__ import annotations

import zlib

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812

from gened.errors import ConfigError
from gened.models.codecs.gened.context_matching import ContextMatching, FrozenClip
from gened.models.data.training_set import CropSampler, Photograph
from gened.models.training.codecs.gened.config import GenedTraining
from gened.models.training.codecs.gened.losses import known_cross_entropy, soft_iou_loss
from gened.models.training.codecs.gened.networks import TaughtImportance
from gened.models.training.codecs.gened.samples import Sample, pooled_target
from gened.models.training.codecs.gened.stage import N_SAMPLES, GenedRun, split_networks
from gened.models.training.run import SAMPLES_FILE, RunOptions
from gened.models.training.validation import write_sheet

HELD_OUT = 8
"""One in this many photographs with a mask made by hand is excluded from the training, and used for validation."""
ANY_OBJECT = "a photo of the main object"
"""Text prompt for CLIP where a photograph has no caption."""


def is_held_out(photograph: Photograph) -> bool:
    """Whether a photograph is excluded from the training of the importance network."""
    return zlib.crc32(photograph.key.encode()) % HELD_OUT == 0


class ImportanceRun(GenedRun):
    """Stage "importance", supervised by masks, saliency maps and, if configured, by CLIP."""

    def __init__(self, config: GenedTraining, options: RunOptions) -> None:
        self.clip = FrozenClip(config.clip, torch.device(options.device)) if config.clip else None
        super().__init__(config, options)

    def training_photographs(self, photographs: list[Photograph]) -> list[Photograph]:
        """Photographs with a mask or a map, without those that are held out.

        Raises:
            ConfigError: There are none.
        """
        self.held_out = [photo for photo in photographs if photo.mask is not None and is_held_out(photo)]
        known = [photo for photo in photographs if photo.mask is not None or photo.saliency is not None]
        chosen = [photo for photo in known if photo.mask is None or not is_held_out(photo)]
        if not chosen:
            raise ConfigError(
                f"{self._options.data} has no picture with a mask; give maps of a teacher with --saliency"
            )
        return chosen

    def model(self) -> nn.Module:
        """The importance network; with CLIP, the context matching that supervises it as well."""
        network = self.networks["importance"]
        return network if self.clip is None else TaughtImportance(network, ContextMatching(self.clip.width))

    def averaged_networks(self) -> dict[str, dict[str, Tensor]]:
        """Weights of the importance network; those of the context matching are not kept."""
        if self.clip is None:
            return super().averaged_networks()
        return split_networks(self.trainer.averaged_weights(), {"network.": "importance"})

    def step_data(self, step: int) -> Sample:
        """This process's crops of a step, with their masks."""
        return self._masked_crops(self.sampler, self.numbers(step))

    def _masked_crops(self, sampler: CropSampler, numbers: range) -> Sample:
        samples = []
        for number in numbers:
            pixels, mask = sampler.with_mask(number)
            samples.append((np.ascontiguousarray(pixels.transpose(2, 0, 1)), pooled_target(mask, self.config.crop)))
        x, target = (torch.from_numpy(np.stack(values)) for values in zip(*samples, strict=True))
        texts = [next(iter(sampler.captions(number)), ANY_OBJECT) for number in numbers]
        return Sample(x, None, None, None, None, None, target, None, None, texts)

    def loss(self, batch: Sample) -> Tensor:
        """Cross-entropy and soft IoU of S and M against the masks.

        With CLIP, its score map is compared with the masks, and S is distilled from it.
        """
        torch.manual_seed(self.config.seed * 1_000_003 + self.trainer.step)  # Gumbel noise
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

    def validated(self) -> dict[str, float]:
        """Mean IoU of M with the masks of held-out photographs."""
        if not self.held_out:
            return {}
        sampler = CropSampler(self.held_out, crop=self.config.crop, seed=0, max_reduction=4.0, max_aspect=1.5)
        batch = self._masked_crops(sampler, range(96))
        x = batch.x.to(self.device).float() / 255
        model = self.trainer.averaged()
        logit = torch.cat([model(part)[1].logit for part in x.split(16)]).cpu()  # [96, 1, c/16, c/16]
        mask = F.interpolate(logit, scale_factor=4, mode="bilinear", align_corners=False) > 0
        truth = batch.target > 0.5
        both, either = (mask & truth).flatten(1).sum(1), (mask | truth).flatten(1).sum(1)
        rows = [x.cpu(), *(F.interpolate(m.float(), scale_factor=4).expand(-1, 3, -1, -1) for m in (truth, mask))]
        write_sheet([row[:N_SAMPLES] for row in rows], self.out / SAMPLES_FILE)
        return {"iou_held_out": round(float((both / either.clamp(min=1)).mean()), 4)}
