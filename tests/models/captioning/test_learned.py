# SPDX-License-Identifier: GPL-3.0-or-later
"""The learned captioner: it names what the detector sees, also what its training never showed, and keeps its rules."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from gened.errors import CaptionerError, ConfigError
from gened.models.captioning import detector as detector_module
from gened.models.captioning import learned
from gened.models.captioning.detector import N_FEATURES, Detection, Detector, Look, MissingDetectorError
from gened.models.captioning.learned import LearnedCaptioner, Vocabulary, plural, read_weights, sentences
from gened.models.captioning.learned_network import SPECIAL
from gened.models.captioning.registry import load_captioner
from gened.models.captioning.scene import N_CLASSES, N_SCENE, Scene, scene_of
from gened.models.data.images import to_float
from gened.models.data.shards import encode, write_shard
from gened.models.training import captioner as training
from gened.models.training.captioner import Captioned, CaptionTraining, Example, with_objects

SEEN = {0: "person", 4: "aeroplane", 15: "cat", 16: "dog", 19: "cow", 23: "giraffe", 64: "mouse"}
CLASSES = [SEEN.get(number, f"class {number}") for number in range(N_CLASSES)]
ON_GRASS, ON_SAND = 3, 7
"""Which of the detector's features stands for what."""


def at(name: str, across: float = 0.5, side: float = 0.4, score: float = 0.9) -> Detection:
    half = side / 2
    return Detection(name, score, across - half, 0.5 - half, across + half, 0.5 + half)


def look(*objects: Detection, feature: int = ON_GRASS) -> Look:
    sureness = np.zeros(N_CLASSES, np.float32)
    for one in objects:
        sureness[CLASSES.index(one.name)] = one.score
    features = np.zeros(N_FEATURES, np.float32)
    features[feature] = 4
    return Look(list(objects), sureness, features)


def scene(*objects: Detection, feature: int = ON_GRASS) -> Scene:
    return scene_of(look(*objects, feature=feature), CLASSES)


def pictures() -> list[Captioned]:
    """Dogs, cats and cows, on grass and on sand."""
    found = []
    for name in ("dog", "cat", "cow"):
        for feature, ground in ((ON_GRASS, "grass"), (ON_SAND, "sand")):
            for side in (0.3, 0.5):
                seen = scene(at(name, side=side), feature=feature)
                human = f"A {name} standing in the {ground}."
                one = Example(seen, [with_objects(human, seen.names)])
                found.append(Captioned((human, human), one, one))
    return found


CONFIG = CaptionTraining(
    networks=2, epochs=120, batch=24, warm_up=5, learning_rate=5e-3, min_count=1, components=4, dropout=0.1,
    unknown_share=0.0, smoothing=0.0,
)  # fmt: skip


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("captioner")
    networks, vocabulary = training.train_all(pictures(), CLASSES, CONFIG)
    training.write(folder, networks, vocabulary, {})
    return folder


class FakeDetector(Detector):
    def __init__(self, device: str = "cpu") -> None:
        self.names = CLASSES

    def look(self, x: Any) -> Look:
        return look(at("giraffe"), feature=ON_SAND)


# Scenes


def test_people_are_in_the_numbers_and_not_among_the_names() -> None:
    one = scene(at("person", score=0.9), at("aeroplane", score=0.8), at("dog", side=0.2, score=0.7))
    assert one.names == ["airplane", "dog"]
    assert one.numbers.shape == (N_SCENE,)
    assert not np.array_equal(one.numbers, scene(at("aeroplane", score=0.8), at("dog", side=0.2, score=0.7)).numbers)
    assert one.objects[:, -1].tolist() == [1, 1, 0, 0]


def test_a_mirrored_object_stands_on_the_other_side() -> None:
    left, right = scene(at("dog", across=0.3)).objects[0], scene(at("dog", across=0.7)).objects[0]
    changed = np.flatnonzero(~np.isclose(left, right))
    assert len(changed) == 1 and left[changed] == pytest.approx(-right[changed])


def test_nothing_seen_is_a_scene_too() -> None:
    assert scene().names == [] and not scene().objects.any()


# Words


@pytest.mark.parametrize(
    ("caption", "expected"),
    [
        ("Two dogs chase a kitten.", ["two", "object0s", "chase", "a", "object1"]),
        ("A hot dog beside a man", ["a", "hot", "dog", "beside", "a", "man"]),
        ("puppy and puppy", ["object0", "and", "object0"]),
    ],
)
def test_words_of_seen_objects_become_their_places(caption: str, expected: list[str]) -> None:
    assert with_objects(caption, ["dog", "cat"]) == expected


def test_tokens_become_a_sentence_with_its_articles_and_plurals() -> None:
    vocabulary = Vocabulary([*SPECIAL, "a", "and"], {})
    first = len(vocabulary.words)
    assert vocabulary.text([4, first, 5, first + 3], ["airplane", "mouse"]) == "an airplane and mice"
    assert vocabulary.text([4, first + 2], ["airplane", "mouse"]) == "a mouse"


def test_every_class_has_a_plural() -> None:
    assert [plural(name) for name in ("bus", "bench", "dog", "knife")] == ["buses", "benches", "dogs", "knives"]


# Sentences


@pytest.mark.parametrize(
    ("seen", "expected"),
    [
        (scene(at("dog")), "a dog standing in the grass"),
        (scene(at("cat"), feature=ON_SAND), "a cat standing in the sand"),
        (scene(at("giraffe"), feature=ON_SAND), "a giraffe standing in the sand"),  # of which no caption told
    ],
)
def test_it_says_what_it_was_taught_of_objects_it_may_never_have_met(weights: Path, seen: Scene, expected: str) -> None:
    assert sentences(*read_weights(weights), seen)[0] == expected


def test_it_names_no_object_twice(weights: Path) -> None:
    for text in sentences(*read_weights(weights), scene(at("dog", 0.2), at("cat", 0.8, 0.3))):
        assert text.count("dog") <= 1 and text.count("cat") <= 1


def test_words_of_objects_that_are_not_seen_cost() -> None:
    vocabulary = Vocabulary([*SPECIAL, "grass", "dog"], {"dog": [16]})
    unseen, seen = vocabulary.doubts(scene().sureness), vocabulary.doubts(scene(at("dog")).sureness)
    assert unseen[5] == learned.DOUBT and not seen.any() and not unseen[:5].any()


def test_a_caption_keeps_to_its_bytes(weights: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(learned, "Detector", FakeDetector)
    captioner = load_captioner("learned", weights=str(weights))
    x = np.zeros((3, 32, 32), np.float32)
    assert captioner.describe(x) == "a giraffe standing in the sand"
    for max_bytes in (1, 10, 20):
        assert 0 < len(captioner.describe(x, max_bytes=max_bytes).encode()) <= max_bytes


# Training and weights


def test_the_parts_are_described_by_networks_that_did_not_see_them() -> None:
    quick = CaptionTraining(**{**vars(CONFIG), "networks": 1, "epochs": 1})
    scores = training.cross_validate(pictures(), CLASSES, quick, 2)
    assert set(scores) == {"cider", "bleu4", "named_rightly", "n_named", "distinct"}
    with pytest.raises(ConfigError, match="--folds 13: from 2 to 12"):
        training.cross_validate(pictures(), CLASSES, quick, 13)


def test_the_command_goes_from_shards_to_weights(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    picture = encode(np.zeros((20, 30, 3), np.uint8))
    said = json.dumps({"captions": ["a giraffe on the left of the sand", "one giraffe"]}).encode()
    members = [(f"{key}{suffix}", what) for key in "abcdef" for suffix, what in ((".png", picture), (".json", said))]
    write_shard(tmp_path / "some-000.tar", members)
    monkeypatch.setattr(training, "Detector", FakeDetector)
    folder = tmp_path / "weights"
    command = ["captioner", "--data", str(tmp_path), "--out", str(folder), "--networks", "1", "--epochs", "1"]
    monkeypatch.setattr(sys, "argv", command)
    assert training.main() == 0
    _, vocabulary = read_weights(folder)
    assert {"left", "right"} <= set(vocabulary.words)  # of the picture, and of its mirror image
    assert "giraffe" not in vocabulary.words
    assert json.loads((folder / "config.json").read_text())["training"]["captions"] == 12


def test_missing_and_foreign_weights_are_refused(weights: Path, tmp_path: Path) -> None:
    with pytest.raises(CaptionerError, match="cannot read the captioner's weights"):
        load_captioner("learned", weights=str(tmp_path))
    description = json.loads((weights / "config.json").read_text())
    description["words"].append("more")
    description["sizes"]["vocabulary"] += 1
    (tmp_path / "config.json").write_text(json.dumps(description))
    (tmp_path / "model.safetensors").write_bytes((weights / "model.safetensors").read_bytes())
    with pytest.raises(CaptionerError, match="cannot read the captioner's weights"):
        load_captioner("learned", weights=str(tmp_path))


def test_the_weights_of_the_package_see_a_bus() -> None:
    try:
        folder = detector_module.weights_folder()
    except MissingDetectorError as error:
        pytest.skip(str(error))
    x = to_float(np.asarray(Image.open(folder.parents[1] / "samples" / "bus.jpg").convert("RGB")))
    captioner = LearnedCaptioner()
    assert "bus" in captioner.describe(x)
    assert sum(path.stat().st_size for path in learned.WEIGHTS.iterdir()) < 3e6
