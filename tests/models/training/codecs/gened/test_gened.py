# SPDX-License-Identifier: GPL-3.0-or-later
"""The training of gened: its samples are what the air would give, both stages run, and what they write is a codec."""

from __future__ import annotations

import importlib.util
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.numpy import load_file

from gened.errors import ConfigError
from gened.gr_blocks.phy.types import Received
from gened.models.codecs.gened.codec import LINEAR, Gened
from gened.models.codecs.registry import load_codec
from gened.models.training import loop
from gened.models.training.codecs.gened import losses, weights
from gened.models.training.codecs.gened.config import GenedTraining
from gened.models.training.codecs.gened.decoder import DecoderRun
from gened.models.training.codecs.gened.run import make_run
from gened.models.training.codecs.gened.samples import decoder_input
from gened.models.training.run import WEIGHTS_FILE, RunOptions
from gened.models.training.schedule import read_config
from gened.models.training.studies import ablations, choose_focus
from gened.models.training.trainings import train, training_for

ROOT = Path(__file__).resolve().parents[5]


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
    text = "".join(f"{key} = {value!r}\n" for key, value in settings.items())
    path.write_text(text.replace("True\n", "true\n").replace("False\n", "false\n"))
    return path


def test_a_sample_is_a_function_of_seed_and_number_and_holds_what_was_told(pictures: Path, tmp_path: Path) -> None:
    config = read_config(configured(tmp_path, focus_share=1.0), GenedTraining)
    run = make_run(config, RunOptions(pictures, tmp_path, threads=1))
    assert isinstance(run, DecoderRun)
    one, again = run.sender.sample(7), run.sender.sample(7)
    assert all(np.array_equal(a, b) for a, b in zip(one, again, strict=True))
    assert set(np.unique(one.sent)) <= {0.0, 1.0}
    assert one.weight.max() in (2.0, 4.0, 8.0) and one.weight.min() >= 1.0
    assert np.array_equal(one.weight > 1, one.sent == 1)
    error = np.abs(one.picture - one.x / np.float32(255)).mean()
    assert error < 0.2


def test_the_untrained_decoder_gives_the_linear_picture(pictures: Path, tmp_path: Path) -> None:
    config = read_config(configured(tmp_path), GenedTraining)
    run = make_run(config, RunOptions(pictures, tmp_path, threads=1))
    batch = run.step_data(0)
    found = run.networks["decoder"].eval()(decoder_input(batch, torch.device("cpu")))
    assert torch.allclose(found.x_hat, batch.picture, atol=1e-6)


def test_both_stages_run_and_what_they_write_is_a_codec(pictures: Path, tmp_path: Path) -> None:
    first, second = tmp_path / "first", tmp_path / "second"
    config = configured(tmp_path)
    train(config, data=pictures, out=first, threads=1)
    config = configured(tmp_path, stage="importance", warm_start=str(first), learning_rate=1e-2, warm_up=1)
    train(config, data=pictures, out=second, threads=1)
    before, after = (load_file(folder / WEIGHTS_FILE) for folder in (first, second))
    assert before.keys() == after.keys()
    changed = {key.partition(".")[0] for key in before if not np.array_equal(before[key], after[key])}
    assert changed == {"importance"}
    assert isinstance(load_codec(str(second)), Gened)


def test_encoder_and_decoder_train_together_and_what_they_write_is_a_codec(pictures: Path, tmp_path: Path) -> None:
    config = configured(tmp_path, stage="both", encoder=True, learning_rate=1e-2, warm_up=1, focus_share=1.0)
    train(config, data=pictures, out=tmp_path / "both", threads=1)
    codec = load_codec(str(tmp_path / "both"))
    assert isinstance(codec, Gened) and codec.networks is not None and codec.networks.encoder is not None
    assert float(codec.networks.encoder.out.weight.abs().max()) > 0
    assert float(codec.networks.decoder.out.weight.abs().max()) > 0
    x = np.random.default_rng(0).random((3, 70, 90), dtype=np.float32)
    encoded = codec.encode(x, snr_db=10.0)
    codec.networks.encoder = None
    plain = codec.encode(x, snr_db=10.0)
    assert encoded.symbols.shape == plain.symbols.shape and encoded.side_info[1:] == plain.side_info[1:]
    assert not np.allclose(encoded.symbols, plain.symbols, atol=1e-3)


def test_the_channel_with_a_slope_is_the_channel(pictures: Path, tmp_path: Path) -> None:
    """What training carries is what symbols carry: linear code, noise and estimate, to a rounded scale."""
    config = read_config(configured(tmp_path, stage="both"), GenedTraining)
    run = make_run(config, RunOptions(pictures, tmp_path, threads=1))
    assert isinstance(run, DecoderRun)
    flight = run.sender.flight(range(2), validation_snr_db=7.0)
    still = flight._replace(noises=[0 * noise for noise in flight.noises])
    found, change = run.trainer.model.eval()(still, torch.device("cpu"))
    assert change is None
    for index, analysis in enumerate(flight.analyses):
        encoded = run.sender.coder.pack(analysis)
        noise_var = np.full(len(encoded.symbols), 10**-0.7, np.float32)
        received = Received(encoded.symbols, noise_var, encoded.side_info, analysis.size, Fraction(1, 24), 7.0)
        estimate = run.sender.coder.estimate(received)
        assert estimate is not None
        assert np.allclose(found.x_hat[index].detach().numpy(), estimate.picture(), atol=6e-3)
        assert np.allclose(flight.sample.error_std[index, 0].numpy(), estimate.error_std(), rtol=0.01)


def test_the_small_variants_train_and_are_not_trained_twice(
    pictures: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tiny = {"crop": 64, "batch": 1, "lambda_background": 0.0}
    monkeypatch.setattr(ablations, "SMALL", {**ablations.SMALL, **tiny})
    monkeypatch.setattr(ablations, "METRICS", ("psnr", "masks"))
    out = tmp_path / "table.json"
    options = ["--data", str(pictures), "--eval", str(pictures), "--work", str(tmp_path / "work"), "--out", str(out)]
    options += ["--steps", "1", "--only", "no-importance", "ours-no-encoder", "--limit", "1", "--threads", "1"]
    found = ablations.run(ablations.parser().parse_args(options))
    assert [row["variant"] for row in found["rows"]] == ["no-importance"] * 2 + ["ours-no-encoder"] * 2
    assert all(row["psnr_fg_db"] is not None for row in found["rows"])
    monkeypatch.setattr(ablations, "train", None)
    assert ablations.run(ablations.parser().parse_args(options))["rows"][0]["n"] == 1


@pytest.mark.parametrize("variant", ablations.VARIANTS, ids=lambda variant: variant.name)
def test_every_variant_takes_a_step(variant: ablations.Variant, pictures: Path, tmp_path: Path) -> None:
    if importlib.util.find_spec("stlpips_pytorch") is None:
        pytest.skip("the contextual loss needs the trunk in stlpips-pytorch")
    config = ablations.configured(variant, {"crop": 64, "batch": 1, "steps": 1})
    run = make_run(config, RunOptions(pictures, tmp_path, threads=1))
    loss = run.loss(run.step_data(0))
    loss.backward()  # type: ignore[no-untyped-call]
    assert torch.isfinite(loss)
    assert float(run.trainer.model.decoder.out.weight.grad.abs().max()) > 0


def test_a_run_that_was_cut_ends_with_the_same_weights(pictures: Path, tmp_path: Path) -> None:
    whole, cut = tmp_path / "whole", tmp_path / "cut"
    config = configured(tmp_path, steps=2, warm_up=1)
    train(config, data=pictures, out=whole, threads=1)
    train(config, data=pictures, out=cut, threads=1, minutes=0)
    assert torch.load(cut / loop.STATE_FILE, weights_only=True)["step"] == 0
    train(config, data=pictures, out=cut, threads=1, resume=True)
    one, two = (load_file(folder / WEIGHTS_FILE) for folder in (whole, cut))
    for name, value in one.items():
        assert np.array_equal(value, two[name]), name


def test_the_papers_match_loss_scores_the_foreground_only() -> None:
    logit, target = torch.tensor([[[[3.0, 3.0]]]]), torch.tensor([[[[1.0, 0.0]]]])
    assert float(losses.known_cross_entropy(logit, target, "paper")) == pytest.approx(np.log1p(np.exp(-3.0)), abs=1e-5)
    assert float(losses.known_cross_entropy(logit, target)) > 1.5
    assert float(losses.known_cross_entropy(logit, torch.full_like(target, -1.0))) == 0.0


def test_an_error_in_heavy_blocks_weighs_more() -> None:
    x = torch.zeros(1, 3, 16, 32)
    left = x.clone()
    left[..., :16] = 0.1
    weight = torch.tensor([[[[4.0, 1.0]]]])
    right = torch.flip(left, (3,))
    gap = losses.weighted_log_error(left, x, weight) - losses.weighted_log_error(right, x, weight)
    assert float(gap) == pytest.approx(np.log((0.01 * 0.8 + 2e-4) / (0.01 * 0.2 + 2e-4)), abs=1e-4)


def test_the_papers_losses_are_its_equations() -> None:
    rng = np.random.default_rng(5)
    x, x_hat = (rng.random((1, 3, 16, 16), dtype=np.float32) for _ in range(2))
    mask = np.zeros((1, 1, 16, 16), np.float32)
    mask[..., :8, :4] = 1
    t = torch.from_numpy
    expected = (255**2 * ((x_hat - x) ** 2).sum(1) * mask[:, 0]).sum() / mask.sum()
    assert float(losses.foreground_loss(t(x_hat), t(x), t(mask))) == pytest.approx(expected, rel=1e-5)

    received, original = (rng.normal(size=(1, 5, 4, 4)).astype(np.float32) for _ in range(2))
    r, o = received.reshape(5, 16), original.reshape(5, 16)
    cosine = (r / np.linalg.norm(r, axis=0)).T @ (o / np.linalg.norm(o, axis=0))
    softened = np.exp(cosine / 0.5)
    cx = -np.log(np.diag(softened) / softened.sum(1)).reshape(1, 4, 4)
    assert np.allclose(losses.contextual(t(received), t(original), 0.5).numpy(), cx, atol=1e-5)
    small = 1 - mask[0, 0].reshape(4, 4, 4, 4).mean((1, 3)).round()
    lost = float(losses.background_loss(t(received), t(original), t(mask), 0.5))
    assert lost == pytest.approx(float((cx[0] * small).sum() / small.sum()), rel=1e-4)


def test_weights_of_another_shape_are_named(pictures: Path, tmp_path: Path) -> None:
    config = configured(tmp_path, warm_start=str(ROOT / "models" / "weights" / "gened"), dual=False)
    with pytest.raises(ConfigError, match="not of the shape that is configured"):
        train(config, data=pictures, out=tmp_path / "out")


def test_weights_that_are_none_and_unknown_codecs_are_named(pictures: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="nowhere"):
        train(configured(tmp_path, warm_start="nowhere"), data=pictures, out=tmp_path / "out")
    with pytest.raises(ConfigError, match="known are deepjscc, editor, gened"):
        training_for(configured(tmp_path, codec="jpeg"))
    with pytest.raises(ConfigError, match="crop = '64'; expected such as 256"):
        read_config(configured(tmp_path, crop="64"), GenedTraining)


def test_the_statistics_are_kept_as_they_were(pictures: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    train(configured(tmp_path, steps=1), data=pictures, out=out, threads=1)
    statistics = load_file(ROOT / "models" / "weights" / "softcast" / "model.safetensors")
    written = load_file(out / WEIGHTS_FILE)
    for name, value in statistics.items():
        assert np.array_equal(written[LINEAR + name], value), name


def test_the_default_focus_is_the_heaviest_that_costs_little(
    pictures: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lines = [choose_focus.Figures(*line) for line in ((1, 27.0, 26.0, 0.5), (2, 26.9, 26.5, 0.5), (4, 26.5, 26.9, 0.5))]
    assert choose_focus.choose(lines).focus == 2
    folder = tmp_path / "codec"
    train(configured(tmp_path, steps=1), data=pictures, out=folder, threads=1)
    monkeypatch.setattr(choose_focus, "FOCUSES", (1.0, 2.0))
    monkeypatch.setattr(choose_focus, "SNRS_DB", (10.0,))
    monkeypatch.setattr(choose_focus, "MAX_COST_DB", 100.0)
    monkeypatch.setattr(choose_focus, "is_held_out", lambda _: True)
    before = load_codec(str(folder)).codec_id
    options = ["--data", str(pictures), "--codec", str(folder), "--limit", "1", "--write"]
    assert choose_focus.run(choose_focus.parser().parse_args(options)).focus == 2
    codec = load_codec(str(folder))
    assert isinstance(codec, Gened) and codec.focus == 2 and codec.codec_id == before


def test_variants_of_the_branches_begin_from_the_same_trunk(pictures: Path, tmp_path: Path) -> None:
    starts = [
        make_run(
            ablations.configured(variant, {"crop": 64, "batch": 1}), RunOptions(pictures, tmp_path, threads=1)
        ).networks["decoder"].state_dict()
        for variant in ablations.VARIANTS if variant.name in ("paper", "cbam")
    ]  # fmt: skip
    warm, _ = starts
    shipped = weights.load_start(ablations.configured(ablations.VARIANTS[0], {}))[1]["decoder"]
    assert shipped and not any(name.startswith(weights.BRANCHES) for name in shipped)
    for start in starts:
        assert all(torch.equal(start[name], shipped[name]) for name in shipped)
    assert any(name.startswith(weights.BRANCHES) for name in warm)
