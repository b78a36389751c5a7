# SPDX-License-Identifier: GPL-3.0-or-later
"""The network of the learned captioner: word after word, each a word of its vocabulary or one of the picture's objects.

    numbers of the picture -> context -+-> first state
    word before -> embedding ----------+-> recurrent unit -> query -> likeness to each word and to each object

An object is two tokens behind the vocabulary, one for its singular and one for its plural; their embeddings come from
the object's numbers.

References:
    Vinyals et al., "Show and tell: a neural image caption generator", CVPR 2015.
    Lu et al., "Neural baby talk", CVPR 2018: words of the detector's objects as slots of a sentence.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn

from gened.models.captioning.detector import N_FEATURES
from gened.models.captioning.scene import N_OBJECT, N_SCENE

PAD, BEGIN, END, UNKNOWN = range(4)
SPECIAL = ("<pad>", "<begin>", "<end>", "<unknown>")
"""The first words of every vocabulary."""
FORMS = 2
NEVER = -1e4
"""Logarithm of a probability that is none."""


class Sizes(NamedTuple):
    """Of the network; stored with its weights."""

    vocabulary: int
    components: int = 64
    """Principal components of the detector's features."""
    embedding: int = 96
    context: int = 96
    state: int = 192


class CaptionNetwork(nn.Module):
    """Sentences from scenes.

    Args:
        sizes: Of its layers.
        dropout: Of embeddings, context and state, in training.
        scene_dropout: Of the scene's numbers, in training.
    """

    mean: Tensor
    projection: Tensor

    def __init__(self, sizes: Sizes, dropout: float = 0.4, scene_dropout: float = 0.3) -> None:
        super().__init__()
        self.sizes = sizes
        n_inputs = N_SCENE - N_FEATURES + sizes.components
        self.register_buffer("mean", torch.zeros(N_FEATURES))
        self.register_buffer("projection", torch.zeros(sizes.components, N_FEATURES))
        self.words = nn.Embedding(sizes.vocabulary, sizes.embedding)
        self.read_objects = nn.Linear(N_OBJECT, FORMS * sizes.embedding)
        self.to_context = nn.Linear(n_inputs, sizes.context)
        self.to_state = nn.Linear(sizes.context, sizes.state)
        self.recurrent = nn.GRU(sizes.embedding + sizes.context, sizes.state, batch_first=True)
        self.to_query = nn.Linear(sizes.state + sizes.context, sizes.embedding)
        self.word_bias = nn.Parameter(torch.zeros(sizes.vocabulary))
        self.name_objects = nn.Linear(N_OBJECT, FORMS * sizes.embedding)
        self.object_bias = nn.Linear(N_OBJECT, FORMS)
        self.dropout, self.scene_dropout = nn.Dropout(dropout), nn.Dropout(scene_dropout)

    def context(self, numbers: Tensor, noise: float = 0.0) -> Tensor:
        """[B, context] of the scenes' numbers [B, N_SCENE]; `noise` is the deviation of what training adds."""
        parts = (numbers[:, :N_FEATURES] - self.mean) @ self.projection.T
        inputs = torch.cat([parts, numbers[:, N_FEATURES:]], 1)
        if noise:
            inputs = inputs + noise * torch.randn_like(inputs)
        result: Tensor = self.dropout(torch.relu(self.to_context(self.scene_dropout(inputs))))
        return result

    def forward(
        self, tokens: Tensor, context: Tensor, objects: Tensor, state: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        """What may come after each token.

        Args:
            tokens: [B, T].
            context: [B, context].
            objects: [B, MAX_NAMED, N_OBJECT].
            state: [1, B, state] from the tokens before; None at the beginning.

        Returns:
            Logits [B, T, vocabulary + FORMS * MAX_NAMED], and the state after the last token.
        """
        everywhere = context[:, None].expand(-1, tokens.shape[1], -1)
        if state is None:
            state = torch.tanh(self.to_state(context))[None]
        found, state = self.recurrent(torch.cat([self.dropout(self._embedded(tokens, objects)), everywhere], -1), state)
        query = self.to_query(self.dropout(torch.cat([found, everywhere], -1)))
        of_words = query @ self.words.weight.T + self.word_bias
        of_objects = query @ self._by_form(self.name_objects(objects)).transpose(1, 2)
        of_objects = of_objects + self.object_bias(objects).flatten(1)[:, None]
        is_absent = (objects[..., -1] == 0).repeat_interleave(FORMS, 1)[:, None]
        return torch.cat([of_words, of_objects.masked_fill(is_absent, NEVER)], -1), state

    def _by_form(self, read: Tensor) -> Tensor:
        """[B, MAX_NAMED * FORMS, embedding], in the order of the tokens."""
        return read.reshape(len(read), -1, self.sizes.embedding)

    def _embedded(self, tokens: Tensor, objects: Tensor) -> Tensor:
        n_words = self.sizes.vocabulary
        table = self._by_form(self.read_objects(objects))
        places = (tokens - n_words).clamp(min=0)[..., None].expand(-1, -1, self.sizes.embedding)
        return torch.where(
            (tokens >= n_words)[..., None], table.gather(1, places), self.words(tokens.clamp(max=n_words - 1))
        )
