# SPDX-License-Identifier: GPL-3.0-or-later
"""The embedded editor's training: its pairs are what the codecs decode, it goes on where it was cut off."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from two_processes import train_in_two

from gened.errors import ConfigError
from gened.models.data.training_set import CropSampler, load_photographs
from gened.models.editing.base import EditRequest
from gened.models.editing.registry import load_editor
from gened.models.training.editor import pairs as editor_pairs
from gened.models.training.editor import sampler as editor_sampler
from gened.models.training.editor.config import EditorTraining
from gened.models.training.editor.folder import read_captions, read_pairs
from gened.models.training.editor.run import TRAINING, EditorRun
from gened.models.training.files import read_tensors
from gened.models.training.loop import STATE_FILE
from gened.models.training.run import WEIGHTS_FILE, RunOptions
from gened.models.training.studies import choose_gain
from gened.models.training.trainings import train, training_for

needs_trunk = pytest.mark.skipif(
    importlib.util.find_spec("stlpips_pytorch") is None, reason="the losses' trunk is an extra: gr-gened[metrics]"
)


@pytest.fixture(scope="module")
def pairs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Twelve pairs of softcast, in two parts."""
    folder = tmp_path_factory.mktemp("pairs")
    for index in range(4):
        small = np.random.default_rng(index).integers(0, 256, (6, 7, 3), dtype=np.uint8)
        Image.fromarray(small).resize((300, 280), Image.Resampling.BICUBIC).save(folder / f"{index}.png")
    arguments = ["--data", str(folder), "--out", str(folder / "pairs"), "--count", "12", "--codecs", "softcast"]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(editor_pairs, "PART", 6)
        for share in ("0/2", "1/2"):
            assert editor_pairs.run(editor_pairs.parser().parse_args([*arguments, "--share", share])) == 1
        assert editor_pairs.run(editor_pairs.parser().parse_args(arguments)) == 0  # all are there
    return folder / "pairs"


def test_pairs_are_what_a_codec_makes_of_crops(pairs: Path) -> None:
    found = read_pairs(pairs)
    assert found.sent.shape == found.received.shape == (12, 256, 256, 3)
    np.testing.assert_array_equal(found.number, np.arange(12))
    assert set(found.codec) == {"softcast"} and set(found.rate) <= {"1/48", "1/36", "1/24", "1/12"}
    assert found.snr_db.min() >= -2 and found.snr_db.max() <= 15 and found.mask.max() == 0
    sampler = CropSampler(load_photographs(pairs.parent, min_side=256), crop=256, seed=16)
    np.testing.assert_array_equal(found.sent[5], sampler(5))
    error = (found.sent.astype(float) - found.received).std(axis=(1, 2, 3))
    assert (error > 0.3).all() and (error < 60).all()


def test_damaged_or_missing_pairs_are_one_line(tmp_path: Path, pairs: Path) -> None:
    with pytest.raises(ConfigError, match="editor.pairs makes them"):
        read_pairs(tmp_path)
    (tmp_path / "pairs-0000000.npz").write_bytes(b"PK nothing")
    with pytest.raises(ConfigError, match="is damaged"):
        read_pairs(tmp_path)
    for wrong in (["--share", "2/2"], ["--codecs", "softcast=-1"], ["--codecs", "softcast=x"]):
        arguments = ["--data", str(pairs.parent), "--out", str(tmp_path), *wrong]
        with pytest.raises(ConfigError):
            editor_pairs.run(editor_pairs.parser().parse_args(arguments))


def configured(**values: Any) -> EditorTraining:
    return EditorTraining(**{"steps": 3, "batch": 2, "crop": 64, "warm_up": 1, "adversarial_from": 1, **values})


def test_a_batch_is_a_function_of_its_numbers_and_words_forbid_turning_over(pairs: Path) -> None:
    captions = dict.fromkeys(range(12), "a cat, left")
    config = configured(no_text_share=0.0, no_snr_share=0.5)
    sampler = editor_sampler.PairSampler(read_pairs(pairs), captions, config)
    one, again = sampler(range(8)), sampler(range(8))
    for a, b in zip(one.given, again.given, strict=True):
        assert torch.equal(torch.nan_to_num(a), torch.nan_to_num(b))
    assert one.x.shape == (8, 3, 64, 64) and one.given.mask.max() == 0 and one.given.knows_mask.max() == 0
    assert 0 < int(torch.isnan(one.given.snr_db).sum()) < 8
    assert len(one.given.words) == 8 * 5  # three words and two pairs of them
    pairs_ = sampler.pairs
    held = {str(pairs_.key[i]) for i in sampler.held_out}
    assert held.isdisjoint(str(pairs_.key[i]) for i in sampler.training)


@needs_trunk
def test_a_training_goes_on_where_it_was_cut_off_and_its_weights_are_an_editor(
    pairs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(editor_sampler, "HELD_OUT", 7)
    monkeypatch.setattr(editor_sampler, "N_VALIDATION", 1)
    lines = [json.dumps({"number": n, "caption": "a grey wall"}) for n in range(6)]
    (pairs / "captions.jsonl").write_text("\n".join(lines))
    try:
        whole = train(configured(), data=pairs, out=tmp_path / "whole", threads=1)
        train(configured(), data=pairs, out=tmp_path / "parts", threads=1, steps=2)
        parts = train(configured(), data=pairs, out=tmp_path / "parts", threads=1, resume=True)
    finally:
        (pairs / "captions.jsonl").unlink()
    one, two = (read_tensors(folder / WEIGHTS_FILE) for folder in (whole, parts))
    assert all(torch.allclose(one[name], two[name], atol=2e-3) for name in one)
    description = json.loads((whole / "config.json").read_text())
    assert description["training"]["captions"] == 6 and description["training"]["steps_done"] == 3
    x = np.full((3, 64, 64), 0.5, np.float32)
    assert load_editor("embedded", weights=str(whole)).edit(EditRequest(x)).edited
    assert (whole / "samples.png").exists()


@needs_trunk
def test_editor_and_critic_train_in_two_processes(pairs: Path, tmp_path: Path) -> None:
    config = tmp_path / "editor.toml"
    config.write_text('codec = "editor"\nsteps = 3\nbatch = 2\ncrop = 64\nwarm_up = 1\nadversarial_from = 1\n')
    output = train_in_two(config, pairs, tmp_path / "out")
    assert '"step": 3' in output
    critic = torch.load(tmp_path / "out" / STATE_FILE, weights_only=True)["extras"]["critic"]
    begun = EditorRun(configured(), RunOptions(pairs, tmp_path, threads=1)).critic.state_dict()
    assert any(not torch.equal(value, critic[name]) for name, value in begun.items())


@needs_trunk
def test_the_critic_learns_what_a_photograph_looks_like(pairs: Path, tmp_path: Path) -> None:
    run = EditorRun(configured(batch=4), RunOptions(pairs, tmp_path, threads=1))
    batch = run.step_data(0)
    trunk = run.distance.trunk
    real, made = ((trunk.stages(x), x) for x in (batch.x, batch.given.x_hat))

    def gap() -> float:
        words = zip(run.critic(*real), run.critic(*made), strict=True)
        return float(sum((a.mean() - b.mean()).detach() for a, b in words))

    before = gap()
    for _ in range(15):
        run.teach_critic(real, made)
    assert gap() > before


def test_what_cannot_be_trained_is_one_line(pairs: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="crop"):
        EditorRun(configured(crop=60), RunOptions(pairs, tmp_path, threads=1))
    with pytest.raises(ConfigError, match="no --saliency"):
        train(configured(), data=pairs, out=tmp_path, saliency=tmp_path)
    path = tmp_path / "captions.jsonl"
    path.write_text('{"number": 3}\n')
    with pytest.raises(ConfigError, match="line 1"):
        read_captions(tmp_path)
    config = tmp_path / "editor.toml"
    config.write_text('codec = "editor"\n')
    assert training_for(config) is TRAINING


def test_the_gain_is_chosen_on_photographs_that_were_left_out(
    pairs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(ConfigError, match="left out"):
        choose_gain.write_held_out(pairs, tmp_path, 5)
    monkeypatch.setattr(choose_gain, "HELD_OUT", 1)
    choose_gain.write_held_out(pairs, tmp_path, 2)
    found = read_pairs(pairs)
    written = sorted(tmp_path.glob("*.png"))
    assert len(written) == 2
    for path in written:
        np.testing.assert_array_equal(np.asarray(Image.open(path)), found.sent[int(path.stem)])
