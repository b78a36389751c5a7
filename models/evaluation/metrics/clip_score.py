# SPDX-License-Identifier: GPL-3.0-or-later
"""CLIP score: how well a received picture agrees with its caption, by a CLIP that the user names.

100 max(cos, 0) between the embeddings of picture and caption, the convention of torchmetrics. No weights come with this
project and no package carries them: name a folder, or a model of the Hugging Face hub (fetched by transformers, kept in
its cache). Weights must be safetensors, and no code of theirs is run.

References:
    Radford et al., "Learning transferable visual models from natural language supervision", ICML 2021.
    Hessel et al., "CLIPScore: a reference-free evaluation metric for image captioning", EMNLP 2021.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from PIL import Image

from gened.errors import ConfigError
from gened.models.codecs.base import Map, Picture
from gened.models.data.evaluation_set import Item
from gened.models.data.images import to_uint8
from gened.models.evaluation.metrics.base import Figures, Metric, Resources
from gened.models.evaluation.metrics.pixel_metrics import package_version

MEAN, DEVIATION = (0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711)
"""Mean and standard deviation of CLIP's training pictures, as its authors state them."""


class ClipScore:
    """The metric.

    Args:
        name: A folder with model and tokenizer, or a name on the hub.

    Raises:
        ConfigError: transformers is not installed, or there is no CLIP of that name.
    """

    def __init__(self, name: str) -> None:
        if package_version("transformers") is None:
            raise ConfigError("clip_score needs transformers: pip install 'gr-gened[clip]'")
        from transformers import AutoTokenizer, CLIPModel
        from transformers.utils import logging

        cast(Any, logging).disable_progress_bar()  # ours is the only one on the terminal
        try:
            # Any: the library's own types say less than the two calls below need.
            self._model: Any = cast(Any, CLIPModel).from_pretrained(name, use_safetensors=True).eval()
            self._tokenizer: Any = AutoTokenizer.from_pretrained(name)
        except (OSError, ValueError, KeyError, RuntimeError, ImportError) as error:
            reason = " ".join(str(error).split())[:200]
            raise ConfigError(f"no CLIP can be loaded from '{name}': {reason}") from error
        self._side = int(self._model.config.vision_config.image_size)
        self._max_tokens = int(self._model.config.text_config.max_position_embeddings)
        self._said: tuple[str, torch.Tensor] | None = None
        where = Path(name).name if Path(name).is_dir() else name
        self.version = f"{package_version('transformers')}, CLIP {where}, 100 max(cos, 0)"

    def __call__(self, x_hat: Picture, caption: str) -> float:
        """Score of a picture [3, H, W] in [0, 1]; the caption is cut to what the model reads."""
        with torch.no_grad():
            if self._said is None or self._said[0] != caption:
                self._said = (caption, self._text(caption))
            seen = self._model.get_image_features(pixel_values=self._pixels(x_hat))
            cosine = torch.cosine_similarity(_pooled(seen), self._said[1])
        return float(100 * cosine.clamp(min=0))

    def _text(self, caption: str) -> torch.Tensor:
        tokens = self._tokenizer(caption, truncation=True, max_length=self._max_tokens, return_tensors="pt")
        return _pooled(
            self._model.get_text_features(input_ids=tokens["input_ids"], attention_mask=tokens["attention_mask"])
        )

    def _pixels(self, x: Picture) -> torch.Tensor:
        """[1, 3, side, side]: the shorter side bicubic to the model's, the middle, normalised."""
        picture = Image.fromarray(to_uint8(x))
        scale = self._side / min(picture.size)
        width, height = (max(self._side, int(scale * length)) for length in picture.size)
        picture = picture.resize((width, height), Image.Resampling.BICUBIC)
        left, top = (width - self._side) // 2, (height - self._side) // 2
        picture = picture.crop((left, top, left + self._side, top + self._side))
        pixels = (np.asarray(picture, np.float32) / 255 - np.array(MEAN, np.float32)) / np.array(DEVIATION, np.float32)
        return torch.from_numpy(np.ascontiguousarray(pixels.transpose(2, 0, 1)))[None]


def _pooled(found: Any) -> torch.Tensor:
    """The embedding [1, d]: newer versions of transformers wrap it in their output record."""
    result: torch.Tensor = found if isinstance(found, torch.Tensor) else found.pooler_output
    return result


class ClipScoreMetric(Metric):
    """The registered metric."""

    def __init__(self, resources: Resources) -> None:
        super().__init__(resources)
        assert resources.clip is not None
        self._score = ClipScore(resources.clip)
        self.version = self._score.version

    def figures(self, item: Item, x_hat: Picture, mask: Map | None) -> Figures:
        """`clip_score`; nothing of a picture without a caption."""
        return {} if item.caption is None else {"clip_score": self._score(x_hat, item.caption)}
