# SPDX-License-Identifier: GPL-3.0-or-later
"""Training runs, stops, goes on from its state as if it had not stopped, and says what is wrong with its input."""

from __future__ import annotations

import io
import json
import tarfile
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from gened.errors import ConfigError
from gened.models.codecs.deepjscc.network import DeepJsccConfig, DeepJsccNetwork, water_filling
from gened.models.data.training_set import CropSampler, load_photographs
from gened.models.training import loop
from gened.models.training.codecs import deepjscc
from gened.models.training.codecs.linear import fit_linear_code


def smooth_picture(seed: int, height: int = 150, width: int = 170) -> Image.Image:
    """Random colours, enlarged: something with the spectrum of a photograph's background."""
    small = np.random.default_rng(seed).integers(0, 256, (6, 7, 3), dtype=np.uint8)
    return Image.fromarray(small).resize((width, height), Image.Resampling.BICUBIC)


@pytest.fixture
def shards(tmp_path: Path) -> Path:
    """A tiny tar shard of six pictures, one of them with a mask."""
    folder = tmp_path / "shards"
    folder.mkdir()
    with tarfile.open(folder / "small-000.tar", "w") as shard:
        for index in range(6):
            members = {f"{index:03}.jpg": smooth_picture(index)}
            if index == 2:
                members[f"{index:03}.mask.png"] = Image.new("1", (170, 150), 1)
            for name, picture in members.items():
                buffer = io.BytesIO()
                picture.save(buffer, "PNG" if name.endswith("png") else "JPEG")
                info = tarfile.TarInfo(name)
                info.size = buffer.tell()
                buffer.seek(0)
                shard.addfile(info, buffer)
    return folder


@pytest.fixture
def config(tmp_path: Path) -> Path:
    path = tmp_path / "tiny.toml"
    path.write_text("steps = 4\nbatch = 2\ngroup = 2\ncrop = 64\nlinear_crops = 24\n")
    return path


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
        loop.read_config(path, deepjscc.TrainConfig)


def test_a_run_that_was_cut_ends_with_the_same_weights(shards: Path, config: Path, tmp_path: Path) -> None:
    whole, cut = tmp_path / "whole", tmp_path / "cut"
    deepjscc.train(config, data=shards, out=whole, threads=1)
    trainer_steps = 2
    deepjscc.train(config, data=shards, out=cut, threads=1, minutes=0)  # no time: only the beginning is saved
    state = torch.load(cut / loop.STATE_FILE, weights_only=True)
    assert state["step"] == 0
    photographs = load_photographs(shards, min_side=64)
    settings = loop.read_config(config, deepjscc.TrainConfig)
    trainer = deepjscc.DeepJsccTrainer(settings, DeepJsccNetwork(DeepJsccConfig()), torch.device("cpu"))
    trainer.restore(cut)
    sampler = CropSampler(photographs, crop=64, seed=1, max_reduction=2.5, max_aspect=1.5)
    for step in range(trainer_steps):
        trainer.apply(trainer.loss(torch.from_numpy(sampler.batch(2 * step, 2))))
    trainer.save(cut)
    deepjscc.train(config, data=shards, out=cut, threads=1, resume=True)
    one, two = (deepjscc.load_file(folder / deepjscc.WEIGHTS_FILE) for folder in (whole, cut))
    assert one.keys() == two.keys()
    for name, value in one.items():
        assert torch.allclose(value.float(), two[name].float(), atol=2e-3), name
    assert json.loads((cut / deepjscc.CONFIG_FILE).read_text())["training"]["steps"] == 4


def test_resuming_nothing_is_an_error(shards: Path, config: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="nothing to resume"):
        deepjscc.train(config, data=shards, out=tmp_path / "none", resume=True)


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
    zeros = torch.zeros(2, 256, 2, 2)
    with torch.no_grad():
        x_hat = model(x, torch.full((2,), 40.0), zeros.bool(), zeros)
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
    for name, value in vars(deepjscc.TrainConfig()).items():
        assert name in told, name
        expected = {"": "none"}.get(value, value) if isinstance(value, str) else value
        assert (told[name] if isinstance(value, str) else float(told[name])) == expected, name
