# SPDX-License-Identifier: GPL-3.0-or-later
"""Training of the learned captioner on the pictures of the shards that have captions.

    python -m gened.models.training.captioner --data ../shared/data/train --out runs/captioner --folds 3
    python -m gened.models.training.captioner --data ../shared/data/train --out runs/captioner

The detector is looked through once, at each picture and its mirror image; what is trained are sentences from scenes
(`captioning/scene.py`). In a caption, the word of an object that the detector saw becomes that object's token. With
`--folds` nothing is written: each part of the pictures is described by networks that were trained on the others, and
the scores are told, those of the nearest neighbour too.
"""

from __future__ import annotations

import argparse
import json
import re
import sys
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from PIL import Image
from safetensors.torch import save_file
from torch import Tensor
from torch.nn import functional as F  # noqa: N812

from gened.errors import ConfigError, GenedError
from gened.models.captioning.detector import N_FEATURES, Detector
from gened.models.captioning.learned import CONFIG_FILE, WEIGHTS_FILE, Vocabulary, plural, sentences
from gened.models.captioning.learned_network import (
    BEGIN,
    END,
    FORMS,
    PAD,
    SPECIAL,
    UNKNOWN,
    CaptionNetwork,
    Sizes,
)
from gened.models.captioning.scene import PERSON, WORDS, Scene, Vector, scene_of
from gened.models.data.images import to_float
from gened.models.data.shards import make_folder
from gened.models.evaluation.metrics.caption_scores import MEANT, SAID, bleu4, cider_d, named_rightly, words
from gened.models.evaluation.run.captions import captioned_pictures
from gened.models.training.seeing import say

SIDE = 256
"""Pictures are stretched to this side, as the link's are."""
MAX_TOKENS = 22
MAX_UNKNOWN = 2
"""A caption with more words that are not in the vocabulary is left out."""
COMPONENT_SCALE = 4.0
LEAST_DEVIATION = 1e-3
"""Of a component against the first; weaker ones are noise of the arithmetic."""
OBJECT = re.compile(r"object(\d)(s?)")
"""How an object stands in a caption between `words` and numbers."""
MIRRORED = {"left": "right", "right": "left"}


@dataclass(frozen=True)
class CaptionTraining:
    """All that a run depends on; saved with the weights."""

    networks: int = 3
    """Trained from other seeds; their answers are averaged."""
    epochs: int = 20
    batch: int = 96
    learning_rate: float = 2e-3
    weight_decay: float = 0.05
    warm_up: int = 30
    clip_norm: float = 1.0
    min_count: int = 3
    """Of a word in the captions."""
    components: int = 64
    unknown_share: float = 0.15
    """Of the words before, hidden from the network in training."""
    smoothing: float = 0.1
    """Of the labels, over the vocabulary."""
    noise: float = 0.1
    """Deviation of what is added to the context's inputs."""
    dropout: float = 0.4
    seed: int = 0


class Example(NamedTuple):
    """A picture or its mirror image."""

    scene: Scene
    captions: list[list[str]]
    """Words, and objects as `OBJECT`."""


class Captioned(NamedTuple):
    """A picture with what people said of it."""

    humans: tuple[str, ...]
    upright: Example
    mirrored: Example


def look_at_all(data: Path, device: str) -> tuple[list[Captioned], list[str]]:
    """Every captioned picture of the shards, and the names of the detector's classes.

    Raises:
        GenedError: No such pictures, or the detector's weights are not installed.
    """
    detector = Detector(device)
    found = []
    for pixels, humans in captioned_pictures(data):
        small = np.asarray(Image.fromarray(pixels).resize((SIDE, SIDE), Image.Resampling.BICUBIC))
        scenes = [
            scene_of(detector.look(to_float(np.ascontiguousarray(view))), detector.names)
            for view in (small, small[:, ::-1])
        ]
        captions = [[with_objects(human, scene.names) for human in humans] for scene in scenes]
        turned = [[MIRRORED.get(word, word) for word in caption] for caption in captions[1]]
        found.append(Captioned(humans, Example(scenes[0], captions[0]), Example(scenes[1], turned)))
        if len(found) % 50 == 0:
            say(f"{len(found)} pictures")
    return found, detector.names


PLURALS = {form for form in MEANT if any(form in (plural(other), f"{other}s") for other in MEANT if other != form)}


def with_objects(caption: str, names: Sequence[str]) -> list[str]:
    """The words of a caption; those that name an object in the picture become its token.

    Args:
        caption: By people.
        names: Of the objects.
    """

    def token(match: re.Match[str]) -> str:
        meant = MEANT[match.group()] - {PERSON}
        rank = next((rank for rank, name in enumerate(names) if name in meant), None)
        return match.group() if rank is None else f"object{rank}{'s' if match.group() in PLURALS else ''}"

    return words(SAID.sub(token, " ".join(caption.lower().split())))


def vocabulary_of(examples: Sequence[Example], min_count: int, classes: Sequence[str]) -> Vocabulary:
    """The words that occur often enough.

    Args:
        examples: To train on.
        min_count: In all of them.
        classes: Of the detector.
    """
    counts = Counter(
        word for one in examples for caption in one.captions for word in caption if not OBJECT.fullmatch(word)
    )
    kept = sorted(word for word, count in counts.items() if count >= min_count)
    index = {WORDS.get(name, name): number for number, name in enumerate(classes)}
    objects = {word: sorted(index[name] for name in MEANT[word] if name in index) for word in kept if word in MEANT}
    return Vocabulary([*SPECIAL, *kept], objects)


class Material(NamedTuple):
    """All captions of a training, a row each."""

    tokens: Tensor
    """[n, MAX_TOKENS + 2], BEGIN first, PAD behind END."""
    numbers: Tensor
    objects: Tensor


def material_of(examples: Sequence[Example], vocabulary: Vocabulary) -> Material:
    """The captions as numbers, without those of too many unknown words."""
    index = {word: number for number, word in enumerate(vocabulary.words)}

    def number(word: str) -> int:
        match = OBJECT.fullmatch(word)
        if match is None:
            return index.get(word, UNKNOWN)
        return len(index) + FORMS * int(match[1]) + bool(match[2])

    rows = [
        ([BEGIN, *said, END], one.scene)
        for one in examples
        for caption in one.captions
        if (said := [number(word) for word in caption][:MAX_TOKENS]).count(UNKNOWN) <= MAX_UNKNOWN
    ]
    if not rows:
        raise ConfigError("no caption is left to train on; are there too few?")
    tokens = torch.full((len(rows), MAX_TOKENS + 2), PAD)
    for at, (row, _) in enumerate(rows):
        tokens[at, : len(row)] = torch.tensor(row)
    numbers, objects = (torch.from_numpy(np.stack([row[1][part] for row in rows])) for part in (0, 1))
    return Material(tokens, numbers, objects)


def components_of(examples: Sequence[Example], count: int) -> tuple[Tensor, Tensor]:
    """Mean and the first principal components of the detector's features, scaled to a common deviation."""
    features = np.stack([one.scene.numbers[:N_FEATURES] for one in examples])
    mean: Vector = features.mean(0)
    _, deviations, axes = np.linalg.svd(features - mean, full_matrices=False)
    kept = min(count, int((deviations > LEAST_DEVIATION * deviations[0]).sum()))
    scale = deviations[:kept] / np.sqrt(len(features)) * np.sqrt(count) / COMPONENT_SCALE
    projection = np.zeros((count, N_FEATURES), np.float32)
    projection[:kept] = axes[:kept] / scale[:, None]
    return torch.from_numpy(mean), torch.from_numpy(projection)


def train_network(examples: Sequence[Example], vocabulary: Vocabulary, config: CaptionTraining) -> CaptionNetwork:
    """One network, from this configuration's seed."""
    torch.manual_seed(config.seed)
    network = CaptionNetwork(Sizes(len(vocabulary.words), config.components), config.dropout)
    mean, projection = components_of(examples, config.components)
    network.mean.copy_(mean)
    network.projection.copy_(projection)
    material = material_of(examples, vocabulary)
    decay = config.weight_decay
    optimizer = torch.optim.AdamW(network.parameters(), config.learning_rate, betas=(0.9, 0.98), weight_decay=decay)
    n_rows = len(material.tokens)
    steps = max(1, config.epochs * n_rows // 2 // config.batch)  # a picture and its mirror image are one
    for step in range(steps):
        rate = config.learning_rate * min(1, (step + 1) / config.warm_up) * 0.5 * (1 + np.cos(np.pi * step / steps))
        for group in optimizer.param_groups:
            group["lr"] = rate
        chosen = torch.randint(n_rows, (config.batch,))
        loss = loss_of(network, Material(*(part[chosen] for part in material)), config)
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(network.parameters(), config.clip_norm)
        optimizer.step()
    return network.eval()


def loss_of(network: CaptionNetwork, batch: Material, config: CaptionTraining) -> Tensor:
    """Mean cross-entropy of the known words, the labels smoothed over the vocabulary."""
    longest = int((batch.tokens != PAD).sum(1).max())
    before, after = batch.tokens[:, : longest - 1], batch.tokens[:, 1:longest]
    n_words = network.sizes.vocabulary
    is_hidden = (torch.rand(before.shape) < config.unknown_share) & (before >= len(SPECIAL)) & (before < n_words)
    hidden = before.masked_fill(is_hidden, UNKNOWN)
    logits, _ = network(hidden, network.context(batch.numbers, config.noise), batch.objects)
    logs = F.log_softmax(logits, -1)
    right = -logs.gather(-1, after[..., None])[..., 0]
    anything = -logs[..., :n_words].mean(-1)
    counts = (after != PAD) & (after != UNKNOWN)
    mixed = (1 - config.smoothing) * right + config.smoothing * anything
    return (mixed * counts).sum() / counts.sum()


def train_all(
    pictures: Sequence[Captioned], classes: Sequence[str], config: CaptionTraining
) -> tuple[list[CaptionNetwork], Vocabulary]:
    """All networks of a captioner."""
    examples = [one for picture in pictures for one in (picture.upright, picture.mirrored)]
    vocabulary = vocabulary_of(examples, 2 * config.min_count, classes)
    networks = []
    for number in range(config.networks):
        begun = time.monotonic()
        chosen = CaptionTraining(**{**asdict(config), "seed": config.seed + number})
        networks.append(train_network(examples, vocabulary, chosen))
        say(f"network {number + 1} of {config.networks}: {time.monotonic() - begun:.0f} s")
    return networks, vocabulary


def scores_of(captions: Sequence[str], humans: Sequence[tuple[str, ...]]) -> dict[str, float]:
    """What `evaluation/captions.py` tells too, without the model of sentences."""
    pairs = [named_rightly(caption, others) for caption, others in zip(captions, humans, strict=True)]
    n_right, n_named = (sum(part) for part in zip(*pairs, strict=True))
    return {
        "cider": round(float(np.mean(cider_d(captions, humans))), 4),
        "bleu4": round(bleu4(captions, humans), 4),
        "named_rightly": round(n_right / max(1, n_named), 4),
        "n_named": n_named,
        "distinct": len(set(captions)),
    }


def cross_validate(
    pictures: Sequence[Captioned], classes: Sequence[str], config: CaptionTraining, folds: int
) -> dict[str, float]:
    """Scores of captions by networks that never saw the picture.

    Raises:
        ConfigError: Fewer than two parts, or more than there are pictures.
    """
    if not 2 <= folds <= len(pictures):
        raise ConfigError(f"--folds {folds}: from 2 to {len(pictures)}, as many as there are pictures")
    fold = np.random.default_rng(config.seed).permutation(len(pictures)) % folds
    captions = [""] * len(pictures)
    for number in range(folds):
        known = [picture for picture, of in zip(pictures, fold, strict=True) if of != number]
        networks, vocabulary = train_all(known, classes, config)
        for index in np.flatnonzero(fold == number):
            captions[index] = sentences(networks, vocabulary, pictures[index].upright.scene)[0]
    return scores_of(captions, [picture.humans for picture in pictures])


def write(out: Path, networks: Sequence[CaptionNetwork], vocabulary: Vocabulary, training: dict[str, object]) -> None:
    """`model.safetensors` in half precision, and `config.json` beside it."""
    make_folder(out)
    tensors = {
        f"{number}.{name}": value.detach().to(torch.float16).contiguous()
        for number, network in enumerate(networks)
        for name, value in network.state_dict().items()
    }
    save_file(tensors, out / WEIGHTS_FILE)
    description = {
        "captioner": "learned", "networks": len(networks), "sizes": networks[0].sizes._asdict(),
        "training": training, "objects": vocabulary.objects, "words": vocabulary.words,
    }  # fmt: skip
    (out / CONFIG_FILE).write_text(json.dumps(description, ensure_ascii=False) + "\n")


def train_and_write(pictures: Sequence[Captioned], classes: Sequence[str], config: CaptionTraining, out: Path) -> None:
    """Trains on all pictures."""
    begun = time.monotonic()
    networks, vocabulary = train_all(pictures, classes, config)
    training = {
        "pictures": len(pictures), "captions": sum(len(picture.humans) for picture in pictures),
        "seconds": round(time.monotonic() - begun), "torch": torch.__version__, **asdict(config),
    }  # fmt: skip
    write(out, networks, vocabulary, training)


def main() -> int:
    """For `python -m`."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--data", type=Path, required=True, help="folder of tar shards with captions")
    parser.add_argument("--out", type=Path, required=True, help="folder for the weights")
    parser.add_argument("--folds", type=int, default=0, help="only tell the scores of so many parts in turn")
    parser.add_argument("--networks", type=int, default=CaptionTraining.networks)
    parser.add_argument("--epochs", type=int, default=CaptionTraining.epochs)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--threads", type=int, default=1)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    config = CaptionTraining(networks=options.networks, epochs=options.epochs, seed=options.seed)
    try:
        pictures, classes = look_at_all(options.data, "cpu")
        if options.folds:
            print(json.dumps(cross_validate(pictures, classes, config, options.folds)))
        else:
            train_and_write(pictures, classes, config, options.out)
    except GenedError as error:
        print(f"captioner: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
