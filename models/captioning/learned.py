# SPDX-License-Identifier: GPL-3.0-or-later
"""The learned captioner: sentences as people write them, by small networks on the detector's features.

    photograph -> detector -> scene -> networks, the mean of their logarithms -> beam search -> "a dog in the grass"

It was trained on a few hundred photographs: what it names of objects the detector saw, what these do and where is a
guess.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor
from torch.nn import functional as F  # noqa: N812

from gened import paths
from gened.errors import CaptionerError
from gened.models.captioning.base import MAX_BYTES, cut_to_bytes
from gened.models.captioning.detector import Detector
from gened.models.captioning.learned_network import (
    BEGIN,
    END,
    FORMS,
    NEVER,
    PAD,
    UNKNOWN,
    CaptionNetwork,
    Sizes,
)
from gened.models.captioning.scene import MAX_NAMED, Scene, Vector, scene_of
from gened.models.codecs.base import Map, Picture

WEIGHTS = paths.WEIGHTS / "captioner"
WEIGHTS_FILE, CONFIG_FILE = "model.safetensors", "config.json"
WIDTH = 3
"""Of the beam."""
MIN_WORDS, MAX_WORDS = 5, 18
LENGTH_POWER = 0.7
"""A sentence's logarithm of probability is divided by this power of its length."""
DOUBT = 2.0
"""Taken from that logarithm for the word of an object that the detector does not see at all."""
SURE = 0.3
"""From this sureness of the detector on, nothing is taken."""
IRREGULAR = {
    "mouse": "mice", "sheep": "sheep", "skis": "skis", "scissors": "scissors", "knife": "knives", "broccoli": "broccoli"
}  # fmt: skip


class Vocabulary(NamedTuple):
    """Words by their numbers, and what objects they name."""

    words: list[str]
    objects: Mapping[str, Sequence[int]]
    """Word to the detector's classes that it may mean."""

    def doubts(self, sureness: Vector) -> Tensor:
        """[vocabulary + FORMS * MAX_NAMED]: what is taken from each token's logarithm."""
        found = np.zeros(len(self.words) + FORMS * MAX_NAMED, np.float32)
        for number, word in enumerate(self.words):
            if classes := self.objects.get(word):
                found[number] = DOUBT * max(0.0, 1 - float(sureness[list(classes)].max()) / SURE)
        return torch.from_numpy(found)

    def text(self, tokens: Iterable[int], names: Sequence[str]) -> str:
        """The sentence of these tokens."""
        said = []
        for token in tokens:
            place, form = divmod(token - len(self.words), FORMS)
            said.append(self.words[token] if place < 0 else plural(names[place]) if form else names[place])
        return " ".join(_with_articles(said))


def plural(name: str) -> str:
    """Of the names of the detector's classes."""
    if name in IRREGULAR:
        return IRREGULAR[name]
    return f"{name}es" if name.endswith(("s", "sh", "ch", "x")) else f"{name}s"


def _with_articles(said: Sequence[str]) -> Iterator[str]:
    for word, following in zip(said, [*said[1:], ""], strict=True):
        if word in ("a", "an"):
            yield "an" if following[:1] in tuple("aeiou") and not following.startswith(("uni", "one")) else "a"
        else:
            yield word


class _Beam(NamedTuple):
    """A sentence so far."""

    score: float
    tokens: list[int]
    """From BEGIN on."""
    states: list[Tensor]
    """Of each network, [1, 1, state]; none at the beginning."""


class LearnedCaptioner:
    """Describes what is done, as far as it can guess.

    Args:
        device: Of PyTorch, for the detector; the small networks run on the CPU.
        weights: Folder of other weights.

    Raises:
        CaptionerError: No such weights, or weights of another network.
        MissingDetectorError: The detector's weights are not installed.
    """

    name = "learned"

    def __init__(self, device: str = "cpu", *, weights: str | Path | None = None) -> None:
        self.networks, self.vocabulary = read_weights(Path(weights or WEIGHTS))
        self.detector = Detector(device)

    def describe(self, x: Picture, *, max_bytes: int = MAX_BYTES, mask: Map | None = None) -> str:
        """Such as "a dog running in the grass"; the mask is not used."""
        scene = scene_of(self.detector.look(x), self.detector.names)
        texts = sentences(self.networks, self.vocabulary, scene)
        return next((text for text in texts if len(text.encode()) <= max_bytes), cut_to_bytes(texts[0], max_bytes))


def read_weights(folder: Path) -> tuple[list[CaptionNetwork], Vocabulary]:
    """Networks and words that `models/training/captioner.py` wrote.

    Raises:
        CaptionerError: There are none, or they do not fit each other.
    """
    try:
        description: dict[str, Any] = json.loads((folder / CONFIG_FILE).read_text())
        tensors = {name: value.float() for name, value in load_file(folder / WEIGHTS_FILE).items()}
        vocabulary = Vocabulary(list(description["words"]), description["objects"])
        sizes = Sizes(**description["sizes"])
        networks = [CaptionNetwork(sizes) for _ in range(int(description["networks"]))]
        for number, network in enumerate(networks):
            prefix = f"{number}."
            network.load_state_dict(
                {name.removeprefix(prefix): value for name, value in tensors.items() if name.startswith(prefix)}
            )
            network.eval().requires_grad_(False)
    except (OSError, SafetensorError, ValueError, KeyError, TypeError, AttributeError, RuntimeError) as error:
        raise CaptionerError(
            f"cannot read the captioner's weights in {folder}: {str(error).splitlines()[0]}"
        ) from error
    return networks, vocabulary


@torch.inference_mode()
def sentences(networks: Sequence[CaptionNetwork], vocabulary: Vocabulary, scene: Scene) -> list[str]:
    """What may be said of a scene, the best first; at least one sentence."""
    numbers, objects = torch.from_numpy(scene.numbers)[None], torch.from_numpy(scene.objects)[None]
    contexts = [network.context(numbers) for network in networks]
    doubts = vocabulary.doubts(scene.sureness)
    beams, done = [_Beam(0.0, [BEGIN], [])], list[_Beam]()
    for length in range(MAX_WORDS):
        logs, states = _following(networks, contexts, objects, beams)
        logs = logs - doubts
        for row, beam in zip(logs, beams, strict=True):
            row[_forbidden(beam.tokens, len(vocabulary.words), length)] = NEVER
        going, ended = _best(beams, logs, states)
        done += ended
        if len(done) >= 2 * WIDTH or not going:
            break
        beams = going
    done += [] if done else beams
    done.sort(key=lambda beam: -beam.score / (len(beam.tokens) - 1) ** LENGTH_POWER)
    return [vocabulary.text((token for token in beam.tokens[1:] if token != END), scene.names) for beam in done]


def _following(
    networks: Sequence[CaptionNetwork], contexts: Sequence[Tensor], objects: Tensor, beams: Sequence[_Beam]
) -> tuple[Tensor, list[Tensor]]:
    """Logarithms of what may follow each beam, [beams, tokens], and each network's states, [1, beams, state]."""
    last = torch.tensor([[beam.tokens[-1]] for beam in beams])
    logs, states = [], []
    for number, (network, context) in enumerate(zip(networks, contexts, strict=True)):
        before = torch.cat([beam.states[number] for beam in beams], 1) if beams[0].states else None
        found, after = network(last, context.expand(len(beams), -1), objects.expand(len(beams), -1, -1), before)
        logs.append(F.log_softmax(found[:, -1], -1))
        states.append(after)
    return torch.stack(logs).mean(0), states


def _forbidden(tokens: Sequence[int], n_words: int, length: int) -> list[int]:
    """What may not follow: an object again, a word twice running, a pair of words again, too early an end."""
    found = [PAD, BEGIN, UNKNOWN, tokens[-1]]
    if length < MIN_WORDS:
        found.append(END)
    for token in tokens:
        if token >= n_words:
            first = token - (token - n_words) % FORMS
            found += range(first, first + FORMS)
    pairs = zip(tokens[1:], tokens[2:], strict=False)
    return found + [after for before, after in pairs if before == tokens[-1]]


def _best(beams: Sequence[_Beam], logs: Tensor, states: Sequence[Tensor]) -> tuple[list[_Beam], list[_Beam]]:
    """The likeliest that go on, and those likelier than the last of them that end here."""
    top = logs.topk(WIDTH + 1)
    ways = [
        (beam.score + value, index, token)
        for index, beam in enumerate(beams)
        for value, token in zip(top.values[index].tolist(), top.indices[index].tolist(), strict=True)
        if value > NEVER / 2
    ]
    going: list[_Beam] = []
    ended: list[_Beam] = []
    for score, index, token in sorted(ways, key=lambda way: -way[0]):
        longer = _Beam(score, [*beams[index].tokens, token], [state[:, index : index + 1] for state in states])
        (ended if token == END else going).append(longer)
        if len(going) == WIDTH:
            break
    return going, ended
