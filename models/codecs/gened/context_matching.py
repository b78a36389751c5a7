# SPDX-License-Identifier: GPL-3.0-or-later
"""An optional teacher of the score map S by CLIP, eqs. (2) and (27) to (30) of arXiv:2606.04015; training only.

    picture -> CLIP's visual encoder -> g, e_v ------> e_context = [g; e_v] (27)
                                                     |
    text ----> CLIP's text encoder --> e_t -----> decoder (28) --> e_t + gamma delta (29) --> S = e~_t . e_v / tau (30)

The training key `clip` names a CLIP of the user, a repository or a folder for `transformers`; its weights are frozen.
The shipped weights were trained without CLIP: annotated masks and saliency maps taught the head that predicts S from
the picture (`importance.py`). No codec needs this module for encoding or decoding.
"""

from __future__ import annotations

from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812

from gened.errors import ConfigError

CLIP_MEAN = (0.48145466, 0.4578275, 0.40821073)  # of the published checkpoints' image processors
CLIP_STD = (0.26862954, 0.26130258, 0.27577711)
GAMMA = 1e-4
"""Initial gamma: CLIP's text embedding is almost unchanged."""
TEMPERATURE = 0.07
"""Initial tau, as in CLIP's training."""


class ContextMatching(nn.Module):
    """The trained parts: D_ctx, gamma and tau.

    Args:
        width: Dimension of CLIP's common space, C.
        heads: Heads of the cross-attention.
        layers: Layers of the decoder D_ctx.
    """

    def __init__(self, width: int, *, heads: int = 4, layers: int = 2) -> None:
        super().__init__()
        layer = nn.TransformerDecoderLayer(width, heads, 2 * width, dropout=0.0, batch_first=True, norm_first=True)
        self.decoder = nn.TransformerDecoder(layer, layers)
        self.gamma = nn.Parameter(torch.tensor(GAMMA))
        self.log_temperature = nn.Parameter(torch.tensor(TEMPERATURE).log())

    def forward(self, whole: Tensor, patches: Tensor, text: Tensor) -> Tensor:
        """The score map S, a logit, [B, 1, h, w].

        Args:
            whole: g, [B, C].
            patches: e_v, [B, C, h, w].
            text: e_t, [B, C].
        """
        flat = patches.flatten(2).transpose(1, 2)  # [B, h w, C]
        context = torch.cat([whole[:, None], flat], 1)  # eq. (27)
        change = self.decoder(text[:, None], context)[:, 0]  # eq. (28)
        refined = text + self.gamma * change  # eq. (29)
        # As in CLIP, both embeddings are normalised to length 1 before the product of eq. (30).
        product = torch.einsum("bc,bchw->bhw", F.normalize(refined, dim=1), F.normalize(patches, dim=1))
        return product[:, None] / self.log_temperature.exp()


class FrozenClip:
    """CLIP's embeddings of pictures and texts.

    Args:
        source: Repository or folder for `transformers`.
        device: PyTorch device.

    Raises:
        ConfigError: `transformers` is missing, or the source is not a CLIP model.
    """

    def __init__(self, source: str, device: torch.device) -> None:
        try:
            from transformers import AutoTokenizer, CLIPModel
        except ImportError as error:
            raise ConfigError("CLIP needs transformers: pip install 'gr-gened[clip]'") from error
        try:
            self.model = cast(Any, CLIPModel.from_pretrained(source)).eval().requires_grad_(False).to(device)
            self.tokenizer: Any = AutoTokenizer.from_pretrained(source)
        except (OSError, ValueError) as error:
            raise ConfigError(f"no CLIP at {source!r}: {str(error).splitlines()[0]}") from error
        self.device = device
        self.width = int(self.model.config.projection_dim)
        self.side = int(self.model.config.vision_config.image_size)

    @torch.no_grad()
    def see(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """g, [B, C], and e_v, [B, C, h, w], of pictures [B, 3, H, W] in [0, 1]."""
        mean, std = (torch.tensor(values, device=x.device)[:, None, None] for values in (CLIP_MEAN, CLIP_STD))
        size = (self.side, self.side)
        picture = (F.interpolate(x, size, mode="bicubic", antialias=True, align_corners=False) - mean) / std
        vision = self.model.vision_model
        tokens = vision.post_layernorm(vision(pixel_values=picture).last_hidden_state)
        embedded = self.model.visual_projection(tokens)  # [B, 1 + h w, C]
        side = round((embedded.shape[1] - 1) ** 0.5)
        return embedded[:, 0], embedded[:, 1:].transpose(1, 2).unflatten(2, (side, side))

    @torch.no_grad()
    def read(self, texts: list[str]) -> Tensor:
        """e_t, [B, C]."""
        tokens = self.tokenizer(texts, padding=True, truncation=True, return_tensors="pt").to(self.device)
        return cast(Tensor, self.model.text_projection(self.model.text_model(**tokens).pooler_output))
