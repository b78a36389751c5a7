# SPDX-License-Identifier: GPL-3.0-or-later
"""The training of gened: its samples are what the air would give, both stages run, and what they write is a codec."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.numpy import load_file

from gened.gr_blocks.phy.errors import ConfigError
from gened.models.codecs.gened.codec import LINEAR, Gened
from gened.models.codecs.registry import load_codec
from gened.models.training import gened, loop
from gened.models.training.trainings import training_for

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    """A folder of pictures, each with a mask."""
    for name in ("images", "masks"):
        (tmp_path / "data" / name).mkdir(parents=True)
    for index in range(3):
        small = np.random.default_rng(index).integers(0, 256, (6, 7, 3), dtype=np.uint8)
        Image.fromarray(small).resize((112, 100), Image.Resampling.BICUBIC).save(
            tmp_path / "data" / "images" / f"{index}.png"
        )
        mask = np.zeros((100, 112), np.uint8)
        mask[20:80, 30:90] = 255
        Image.fromarray(mask).save(tmp_path / "data" / "masks" / f"{index}.png")
    return tmp_path / "data"


def configured(folder: Path, **values: object) -> Path:
    path = folder / "tiny.toml"
    settings = {"codec": "gened", "steps": 2, "batch": 2, "crop": 64, **values}
    lines = [f"{key} = {value!r}" for key, value in settings.items()]
    path.write_text("\n".join(lines) + "\n")
    return path


def test_a_sample_is_a_function_of_seed_and_number_and_holds_what_was_told(pictures: Path, tmp_path: Path) -> None:
    config = loop.read_config(configured(tmp_path, focus_share=1.0), gened.GenedTraining)
    run = gened.Run(config, data=pictures, saliency=None, out=tmp_path, device="cpu", threads=1)
    one, again = run.sender.sample(7), run.sender.sample(7)
    assert all(np.array_equal(a, b) for a, b in zip(one, again, strict=True))
    assert set(np.unique(one.sent)) <= {0.0, 1.0}
    assert one.weight.max() in (2.0, 4.0, 8.0) and one.weight.min() >= 1.0
    assert np.array_equal(one.weight > 1, one.sent == 1)
    error = np.abs(one.picture - one.x / np.float32(255)).mean()
    assert error < 0.2


def test_the_untrained_decoder_gives_the_linear_picture(pictures: Path, tmp_path: Path) -> None:
    config = loop.read_config(configured(tmp_path), gened.GenedTraining)
    run = gened.Run(config, data=pictures, saliency=None, out=tmp_path, device="cpu", threads=1)
    batch = run.step_data(0)
    found = run.networks["decoder"].eval()(gened.decoder_input(batch, torch.device("cpu")))
    assert torch.allclose(found.x_hat, batch.picture, atol=1e-6)


def test_both_stages_run_and_what_they_write_is_a_codec(pictures: Path, tmp_path: Path) -> None:
    first, second = tmp_path / "first", tmp_path / "second"
    config = configured(tmp_path)
    training_for(config)(config, data=pictures, out=first, threads=1)
    config = configured(tmp_path, stage="importance", warm_start=str(first), learning_rate=1e-2, warm_up=1)
    training_for(config)(config, data=pictures, out=second, threads=1)
    before, after = (load_file(folder / gened.WEIGHTS_FILE) for folder in (first, second))
    assert before.keys() == after.keys()
    changed = {key.partition(".")[0] for key in before if not np.array_equal(before[key], after[key])}
    assert changed == {"importance"}
    assert isinstance(load_codec(str(second)), Gened)


def test_a_run_that_was_cut_ends_with_the_same_weights(pictures: Path, tmp_path: Path) -> None:
    whole, cut = tmp_path / "whole", tmp_path / "cut"
    config = configured(tmp_path, steps=2, warm_up=1)
    gened.train(config, data=pictures, out=whole, threads=1)
    gened.train(config, data=pictures, out=cut, threads=1, minutes=0)
    assert torch.load(cut / loop.STATE_FILE, weights_only=True)["step"] == 0
    gened.train(config, data=pictures, out=cut, threads=1, resume=True)
    one, two = (load_file(folder / gened.WEIGHTS_FILE) for folder in (whole, cut))
    for name, value in one.items():
        assert np.allclose(value.astype(np.float32), two[name].astype(np.float32), atol=2e-3), name


def test_the_papers_match_loss_scores_the_foreground_only() -> None:
    logit, target = torch.tensor([[[[3.0, 3.0]]]]), torch.tensor([[[[1.0, 0.0]]]])
    assert float(gened.known_cross_entropy(logit, target, "paper")) == pytest.approx(np.log1p(np.exp(-3.0)), abs=1e-5)
    assert float(gened.known_cross_entropy(logit, target)) > 1.5
    assert float(gened.known_cross_entropy(logit, torch.full_like(target, -1.0))) == 0.0


def test_an_error_in_heavy_blocks_weighs_more() -> None:
    x = torch.zeros(1, 3, 16, 32)
    left = x.clone()
    left[..., :16] = 0.1
    weight = torch.tensor([[[[4.0, 1.0]]]])
    right = torch.flip(left, (3,))
    gap = gened.weighted_log_error(left, x, weight) - gened.weighted_log_error(right, x, weight)
    assert float(gap) == pytest.approx(np.log((0.01 * 0.8 + 2e-4) / (0.01 * 0.2 + 2e-4)), abs=1e-4)


def test_weights_that_are_none_and_unknown_codecs_are_named(pictures: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="nowhere"):
        gened.train(configured(tmp_path, warm_start="nowhere"), data=pictures, out=tmp_path / "out")
    with pytest.raises(ConfigError, match="known are deepjscc, gened"):
        training_for(configured(tmp_path, codec="jpeg"))
    with pytest.raises(ConfigError, match="crop = '64'; expected such as 256"):
        loop.read_config(configured(tmp_path, crop="64"), gened.GenedTraining)


def test_the_statistics_are_kept_as_they_were(pictures: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    gened.train(configured(tmp_path, steps=1), data=pictures, out=out, threads=1)
    statistics = load_file(ROOT / "models" / "weights" / "softcast" / "model.safetensors")
    written = load_file(out / gened.WEIGHTS_FILE)
    for name, value in statistics.items():
        assert np.array_equal(written[LINEAR + name], value), name
