# SPDX-License-Identifier: GPL-3.0-or-later
"""Training runs, stops, goes on from its state as if it had not stopped, and says what is wrong with its input."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from gened.errors import ConfigError
from gened.models.channel import SymbolChannel
from gened.models.codecs.deepjscc.config import DeepJsccConfig
from gened.models.codecs.deepjscc.network import DeepJsccNetwork, water_filling
from gened.models.data.training_set import CropSampler, load_photographs
from gened.models.training import loop
from gened.models.training.codecs.deepjscc import run as deepjscc
from gened.models.training.codecs.deepjscc.config import DeepJsccTraining
from gened.models.training.codecs.deepjscc.linear import LinearCode, fit_linear_code
from gened.models.training.codecs.deepjscc.run import DeepJsccRun
from gened.models.training.run import CONFIG_FILE, WEIGHTS_FILE, RunOptions
from gened.models.training.schedule import read_config
from gened.models.training.trainings import train


def test_a_shard_gives_pictures_with_their_masks(shards: Path) -> None:
    photographs = load_photographs(shards, min_side=64)
    assert len(photographs) == 6
    assert [photo.mask is not None for photo in photographs] == [False, False, True, False, False, False]
    assert photographs[0].pixels.shape == (150, 170, 3)


def test_a_crop_is_a_function_of_seed_and_number(shards: Path) -> None:
    photographs = load_photographs(shards, min_side=64)
    first, second = (CropSampler(photographs, crop=64, seed=3) for _ in range(2))
    assert np.array_equal(first.batch(5, 3), second.batch(5, 3))
    assert not np.array_equal(first(5), first(6))
    assert not np.array_equal(first(5), CropSampler(photographs, crop=64, seed=4)(5))


def test_no_folder_and_small_pictures_are_named(tmp_path: Path, shards: Path) -> None:
    with pytest.raises(ConfigError, match="no folder"):
        load_photographs(tmp_path / "absent", min_side=64)
    with pytest.raises(ConfigError, match="6 pictures, none with a shorter side of 500"):
        load_photographs(shards, min_side=500)


def test_an_unknown_key_is_named(tmp_path: Path) -> None:
    path = tmp_path / "bad.toml"
    path.write_text("stepps = 4\n")
    with pytest.raises(ConfigError, match="unknown key 'stepps'"):
        read_config(path, DeepJsccTraining)


def test_a_run_that_was_cut_ends_with_the_same_weights(
    shards: Path, config: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole, cut = tmp_path / "whole", tmp_path / "cut"
    fitted: list[LinearCode] = []

    def fit_once(*arguments: Any, **options: Any) -> LinearCode:
        """The same for both runs; its principal components take most of the time."""
        fitted[:] = fitted or [fit_linear_code(*arguments, **options)]
        return fitted[0]

    monkeypatch.setattr(deepjscc, "fit_linear_code", fit_once)
    train(config, data=shards, out=whole, threads=1)
    train(config, data=shards, out=cut, threads=1, minutes=0)  # no time: only the initial state is saved
    state = torch.load(cut / loop.STATE_FILE, weights_only=True)
    assert state["step"] == 0
    run = DeepJsccRun(read_config(config, DeepJsccTraining), RunOptions(shards, cut, threads=1, resume=True))
    run.trainer.restore(cut)
    for step in range(2):
        run.trainer.apply(run.loss(run.step_data(step)))
    run.trainer.save(cut)
    train(config, data=shards, out=cut, threads=1, resume=True)
    one, two = (load_file(folder / WEIGHTS_FILE) for folder in (whole, cut))
    assert one.keys() == two.keys()
    for name, value in one.items():
        assert torch.equal(value, two[name]), name
    assert json.loads((cut / CONFIG_FILE).read_text())["training"]["steps"] == 4


def test_the_linear_code_is_computed_once_for_the_same_crops(
    shards: Path, config: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls: list[int] = []

    def fit(*arguments: Any, n_crops: int, **options: Any) -> LinearCode:
        calls.append(n_crops)
        return fit_linear_code(*arguments, n_crops=n_crops, **options)

    monkeypatch.setattr(deepjscc, "fit_linear_code", fit)
    for name in ("one", "two"):
        train(config, data=shards, out=tmp_path / name, threads=1, steps=1)
    assert calls == [24]
    one, two = (load_file(tmp_path / name / WEIGHTS_FILE) for name in ("one", "two"))
    assert all(torch.equal(value, two[name]) for name, value in one.items())
    config.write_text(config.read_text().replace("linear_crops = 24", "linear_crops = 25"))
    train(config, data=shards, out=tmp_path / "three", threads=1, steps=1)
    assert calls == [24, 25]


def test_weights_to_begin_from_that_are_absent_or_of_another_codec_are_one_line(
    shards: Path, config: Path, tmp_path: Path
) -> None:
    text = config.read_text()
    for name, words in (("nowhere", "cannot read nowhere/model.safetensors"), ("softcast", "no weights of deepjscc")):
        config.write_text(text + f'warm_start = "{name}"\n')
        with pytest.raises(ConfigError, match=words) as caught:
            train(config, data=shards, out=tmp_path / "out", threads=1)
        assert "\n" not in str(caught.value)


def test_resuming_nothing_is_an_error(shards: Path, config: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="nothing to resume"):
        train(config, data=shards, out=tmp_path / "none", resume=True)


def test_the_untrained_network_is_the_linear_code(shards: Path) -> None:
    """Without noise, with every coefficient powered, the picture is its own projection on the basis."""
    sampler = CropSampler(load_photographs(shards, min_side=64), crop=64, seed=1)
    linear = fit_linear_code(sampler, patch=32, n=256, n_crops=40)
    assert np.allclose(linear.basis @ linear.basis.T, np.eye(256), atol=1e-4)
    model = DeepJsccNetwork(DeepJsccConfig())
    with torch.no_grad():
        model.basis.copy_(torch.from_numpy(linear.basis))
        model.mean.copy_(torch.from_numpy(linear.mean))
        model.log_variance.copy_(torch.from_numpy(np.log(linear.variance)))
    x = torch.from_numpy(sampler.batch(100, 2)).float() / 255
    quiet = SymbolChannel().draw((2, 128, 2, 2))._replace(noise=torch.zeros(2, 128, 2, 2, dtype=torch.complex64))
    with torch.no_grad():
        x_hat = model(x, torch.full((2,), 40.0), quiet)
        patches = torch.nn.functional.pixel_unshuffle(x, 32) - model.mean[:, None, None]
        projected = torch.einsum("oi,oj,bjhw->bihw", model.basis, model.basis, patches) + model.mean[:, None, None]
    assert float((x_hat - torch.nn.functional.pixel_shuffle(projected, 32)).abs().max()) < 0.02


@pytest.mark.parametrize("snr_db", [-5.0, 1.0, 10.0, 30.0])
def test_water_filling_spends_the_power_and_favours_the_strong(snr_db: float) -> None:
    variances = torch.logspace(0, -4, 256)
    powers = water_filling(variances, torch.tensor([0.5 * 10 ** (-snr_db / 10)]))[0]
    assert float(powers.mean()) == pytest.approx(0.5, rel=1e-4)
    assert bool((powers >= 0).all())
    assert bool((powers.diff() <= 1e-6).all())


def test_every_configuration_key_is_told_with_its_default() -> None:
    page = (Path(__file__).resolve().parents[3] / "docs" / "training.md").read_text()
    rows = [line for line in page.splitlines() if line.startswith("| `") and line.count("|") == 4]
    told: dict[str, str] = {}
    for row in rows:
        keys, defaults = (cell.split(", ") for cell in row.split("|")[1:3])
        told |= dict(zip((key.strip(" `") for key in keys), (default.strip() for default in defaults), strict=False))
    for name, value in vars(DeepJsccTraining()).items():
        assert name in told, name
        expected = {"": "none"}.get(value, value) if isinstance(value, str) else value
        assert (told[name] if isinstance(value, str) else float(told[name])) == expected, name
