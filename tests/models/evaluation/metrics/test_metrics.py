# SPDX-License-Identifier: GPL-3.0-or-later
"""Metrics by numbers that can be checked by hand, and networks by the packages that they come from."""

from __future__ import annotations

import importlib
import io
import json
import pickle
import sys
import types
from contextlib import redirect_stdout
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from PIL import Image
from skimage import data

from gened.errors import ConfigError
from gened.models.data.evaluation_set import Item
from gened.models.evaluation.metrics.metric_set import MetricSet, parse_metrics
from gened.models.evaluation.metrics.pixel_metrics import (
    bootstrap_interval,
    mask_fmeasure,
    mask_iou,
    masked_psnr_db,
    ms_ssim,
    package_version,
    psnr_db,
)
from gened.models.evaluation.metrics.registry import DEFAULT, FIGURES, METRICS

needs_st_lpips = pytest.mark.skipif(
    package_version("stlpips-pytorch") is None, reason="stlpips-pytorch, which holds the weights, is not installed"
)
needs_brisque = pytest.mark.skipif(
    package_version("brisque") is None, reason="brisque, which holds the model, is not installed"
)
needs_clip = pytest.mark.skipif(
    package_version("transformers") is None, reason="transformers, an extra for CLIP and editors, is not installed"
)


def photograph(name: str, width: int, height: int) -> npt.NDArray[np.float32]:
    pixels = Image.fromarray(getattr(data, name)()).resize((width, height), Image.Resampling.BICUBIC)
    return np.ascontiguousarray(np.asarray(pixels, np.float32).transpose(2, 0, 1) / 255)


def noisy(x: npt.NDArray[np.float32], deviation: float) -> npt.NDArray[np.float32]:
    return np.clip(x + np.random.default_rng(0).normal(0, deviation, x.shape), 0, 1).astype(np.float32)


# The cheap ones


def test_psnr_is_over_all_channels_after_rounding() -> None:
    x = np.zeros((3, 4, 4), np.float32)
    y = x.copy()
    y[0] = 3 / 255  # a third of the values is three steps off: mean squared error 3 steps
    assert psnr_db(x, y) == pytest.approx(10 * np.log10(255**2 / 3), abs=1e-3)
    assert psnr_db(x, y + 0.4 / 255) == psnr_db(x, y)
    assert psnr_db(x, x) == 100


def test_psnr_under_a_mask_sees_only_the_mask() -> None:
    x = np.zeros((3, 4, 4), np.float32)
    y = x.copy()
    y[:, :2] = 1
    mask = np.zeros((4, 4), bool)
    mask[:2] = True
    assert masked_psnr_db(x, y, mask) == 0
    assert masked_psnr_db(x, y, ~mask) == 100
    assert masked_psnr_db(x, y, np.zeros((4, 4), bool)) is None


def test_masks_are_compared_by_their_areas() -> None:
    truth = np.zeros((4, 4), bool)
    truth[:2] = True  # eight pixels, of which six are found, and two that are not true
    found = np.zeros((4, 4), np.float32)
    found[0], found[1, :2], found[2, :2] = 0.5, 1, 0.9
    found[3] = 0.49
    assert mask_iou(truth, found) == pytest.approx(6 / 10)
    assert mask_fmeasure(truth, found) == pytest.approx(1.3 * 0.75 * 0.75 / (0.3 * 0.75 + 0.75))
    assert mask_iou(truth, truth.astype(np.float32)) == mask_fmeasure(truth, truth.astype(np.float32)) == 1
    nothing = np.zeros((4, 4), np.float32)
    assert mask_iou(truth, nothing) == mask_fmeasure(truth, nothing) == 0
    assert mask_iou(nothing > 1, found) is None and mask_fmeasure(nothing > 1, found) is None


def test_precision_counts_more_than_recall() -> None:
    truth = np.zeros((10, 10), bool)
    truth[:, :5] = True
    half, double = np.zeros((10, 10), np.float32), np.ones((10, 10), np.float32)
    half[:5, :5] = 1  # precision 1, recall 1/2; the other way round with `double`
    few, many = mask_fmeasure(truth, half), mask_fmeasure(truth, double)
    assert few is not None and many is not None and few > many + 0.2


def test_ms_ssim_is_one_for_equals_and_less_for_noise() -> None:
    x = (data.astronaut()[:192, :192].transpose(2, 0, 1) / 255).astype(np.float32)
    assert ms_ssim(x, x) == pytest.approx(1, abs=1e-6)
    found = ms_ssim(x, noisy(x, 0.1))
    assert found is not None and 0.5 < found < 0.99
    assert ms_ssim(x[:, :160], x[:, :160]) is None


def test_the_interval_holds_the_mean_and_narrows_with_more_pictures() -> None:
    values = np.random.default_rng(0).normal(25, 3, 400)
    interval = bootstrap_interval(values)
    assert interval is not None
    low, high = interval
    assert low < values.mean() < high
    assert high - low == pytest.approx(2 * 1.96 * 3 / np.sqrt(400), rel=0.2)
    assert bootstrap_interval(values) == (low, high)


def test_more_noise_seeds_are_not_more_pictures() -> None:
    pictures = np.random.default_rng(0).normal(25, 3, 8)
    alone = bootstrap_interval(pictures)
    assert alone is not None and alone[1] - alone[0] > 2
    assert bootstrap_interval(np.repeat(pictures[:, None], 16, axis=1)) == pytest.approx(alone)
    assert bootstrap_interval(np.ones((1, 16))) is None and bootstrap_interval([25.0]) is None


# ST-LPIPS


def package_distance(monkeypatch: pytest.MonkeyPatch, trunk: str) -> Any:
    """The package's own metric, with stand-ins for what it imports and does not use on this path."""
    import torch

    for name in ("IPython", "torchsummary", "torchvision", "torchvision.models"):
        stand_in = types.ModuleType(name)
        stand_in.__dict__.update(embed=None, summary=None, models=None)
        monkeypatch.setitem(sys.modules, name, stand_in)
    original_load = torch.load
    monkeypatch.setattr(
        torch, "load", lambda *args, **options: original_load(*args, **{**options, "weights_only": True})
    )
    before = set(sys.modules)
    with redirect_stdout(io.StringIO()):
        package = importlib.import_module("stlpips_pytorch.stlpips")
        theirs = package.LPIPS(net=trunk, variant="shift_tolerant", verbose=False)
    for name in set(sys.modules) - before:
        monkeypatch.delitem(sys.modules, name)
    return theirs


@needs_st_lpips
def test_the_vgg_trunk_is_the_packages(monkeypatch: pytest.MonkeyPatch) -> None:
    import torch

    from gened.models.trunks import Vgg16Features

    theirs, ours = package_distance(monkeypatch, "vgg"), Vgg16Features()
    x = torch.from_numpy(photograph("astronaut", 72, 64))[None]
    with torch.no_grad():
        expected = theirs.net(theirs.scaling_layer(2 * x - 1))[3]
        found = ours(x)
    assert torch.allclose(found, expected, atol=1e-4)
    assert float(expected.amax()) > 0.1
    assert not any(parameter.requires_grad for parameter in ours.parameters())


@needs_st_lpips
def test_st_lpips_is_what_the_package_computes(monkeypatch: pytest.MonkeyPatch) -> None:
    import torch

    from gened.models.evaluation.metrics.st_lpips import StLpips

    theirs = package_distance(monkeypatch, "alex")
    ours = StLpips()
    for width, height in ((96, 96), (81, 70)):
        x = photograph("astronaut", width, height)
        y = np.round(noisy(x, 0.1) * 255).astype(np.float32) / 255
        with torch.no_grad():
            expected = float(theirs(2 * torch.from_numpy(x)[None] - 1, 2 * torch.from_numpy(y)[None] - 1))
        assert ours(x, y) == pytest.approx(expected, abs=1e-5)
        assert expected > 0.1


@needs_st_lpips
def test_st_lpips_grows_with_the_noise_and_hardly_with_a_shift() -> None:
    from gened.models.evaluation.metrics.st_lpips import StLpips

    metric = StLpips()
    x = photograph("chelsea", 128, 128)
    shifted = np.roll(x, 1, 2)
    assert metric(x, x) == 0
    assert metric(x, shifted) < metric(x, noisy(x, 0.03)) < metric(x, noisy(x, 0.2))
    assert psnr_db(x, shifted) < psnr_db(x, noisy(x, 0.03))


# BRISQUE


@needs_brisque
@pytest.mark.parametrize(
    ("name", "size", "expected"),
    # By the package brisque 0.2.0 with OpenCV 4.11.0 and libsvm 3.37, on these very pixels.
    [("astronaut", (256, 256), 20.2466), ("chelsea", (451, 300), 2.8708), ("astronaut", (97, 81), 12.9700)],
)
def test_brisque_is_what_the_package_computes(name: str, size: tuple[int, int], expected: float) -> None:
    from gened.models.evaluation.metrics.brisque import Brisque

    assert Brisque()(photograph(name, *size)) == pytest.approx(expected, abs=2e-3)


@needs_brisque
def test_brisque_dislikes_noise_and_has_no_opinion_of_a_grey_field() -> None:
    from gened.models.evaluation.metrics.brisque import Brisque

    metric = Brisque()
    x = photograph("astronaut", 128, 128)
    clean, bad = metric(x), metric(noisy(x, 0.2))
    assert clean is not None and bad is not None and bad > clean + 20
    assert metric(np.full((3, 64, 64), 0.4, np.float32)) is None


def test_a_table_of_numbers_cannot_run_code(tmp_path: Path) -> None:
    from gened.models.evaluation.metrics.brisque import load_model

    (tmp_path / "normalize.pickle").write_bytes(pickle.dumps({"min_": [print]}))
    (tmp_path / "svm.txt").write_text("SV\n")
    with pytest.raises(pickle.UnpicklingError, match="print"):
        load_model(tmp_path)


# CLIP


def make_tiny_clip(folder: Path) -> None:
    """A CLIP of a few thousand random weights that reads letters."""
    import torch
    from transformers import CLIPConfig, CLIPModel, CLIPTokenizer
    from transformers.utils import logging

    logging.disable_progress_bar()
    torch.manual_seed(1)
    letters = "abcdefghijklmnopqrstuvwxyz"
    tokens = [*letters, *(f"{letter}</w>" for letter in letters), "<|startoftext|>", "<|endoftext|>"]
    vocabulary = {token: number for number, token in enumerate(tokens)}
    CLIPTokenizer(vocab=vocabulary, merges=[]).save_pretrained(folder)
    shape = {"hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2}
    text = {"vocab_size": len(tokens), "max_position_embeddings": 16, "bos_token_id": 52, "eos_token_id": 53, **shape}
    vision = {"image_size": 32, "patch_size": 8, **shape}
    CLIPModel(CLIPConfig(text_config=text, vision_config=vision, projection_dim=8)).save_pretrained(folder)


@needs_clip
def test_clip_score_is_the_cosine_that_the_model_itself_gives(tmp_path: Path) -> None:
    import torch
    from transformers import AutoTokenizer, CLIPModel

    from gened.models.evaluation.metrics.clip_score import DEVIATION, MEAN, ClipScore

    make_tiny_clip(tmp_path)
    metric = ClipScore(str(tmp_path))
    model, tokenizer = CLIPModel.from_pretrained(tmp_path), AutoTokenizer.from_pretrained(tmp_path)
    x = photograph("coffee", 32, 32)  # the model's own size, so that nothing is resized
    pixels = (torch.from_numpy(x) - torch.tensor(MEAN)[:, None, None]) / torch.tensor(DEVIATION)[:, None, None]
    scores = []
    for caption in ("a cup", "two dogs", "red", "zebra"):
        tokens = tokenizer(caption, return_tensors="pt")
        with torch.no_grad():
            logit = model(input_ids=tokens["input_ids"], pixel_values=pixels[None]).logits_per_image
        expected = max(0.0, float((100 * logit / model.logit_scale.exp()).detach()))
        scores.append(metric(x, caption))
        assert scores[-1] == pytest.approx(expected, abs=1e-2)
    assert max(scores) > 0
    assert 0 <= metric(photograph("coffee", 90, 70), "a cup " * 50) <= 100


@needs_clip
def test_a_clip_that_does_not_exist_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no CLIP can be loaded from"):
        MetricSet(clip=str(tmp_path))


# The set


def test_metrics_go_by_names_and_an_unknown_one_lists_the_known() -> None:
    assert parse_metrics("brisque, ms_ssim") == ("psnr", "ms_ssim", "brisque")
    assert parse_metrics("all") == tuple(name for name in METRICS if name not in ("clip_score", "kid", "recognition"))
    with pytest.raises(ConfigError, match=f"'sharpness'; known are {', '.join(METRICS)}"):
        parse_metrics("psnr,sharpness")
    with pytest.raises(ConfigError, match="known are"):
        parse_metrics(" ,")
    with pytest.raises(ConfigError, match="--clip"):
        MetricSet(["clip_score"])


def test_what_is_missing_is_named_with_the_remedy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda _name: None)
    for name in ("st_lpips", "brisque"):
        with pytest.raises(ConfigError, match="pip install --no-deps"):
            MetricSet([name])


def test_each_metric_says_its_library_and_what_was_not_asked_for_is_null() -> None:
    metrics = MetricSet(DEFAULT)
    versions = metrics.versions()
    assert str(versions["ms_ssim"]).startswith("pytorch-msssim 1")
    assert versions["psnr_db"] and versions["mask_iou"]
    assert versions["st_lpips"] is versions["kid"] is versions["lpips"] is None
    x = photograph("astronaut", 64, 64)
    item = Item("a.png", x, x[0] > 0.5, None)
    figures = metrics.figures(item, noisy(x, 0.1), None)
    assert tuple(figures) == tuple(FIGURES)
    assert figures["mask_iou"] is None and figures["st_lpips"] is None and figures["psnr_fg_db"] is not None
    json.dumps(figures, allow_nan=False)
