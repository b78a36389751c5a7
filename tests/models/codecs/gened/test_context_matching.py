# SPDX-License-Identifier: GPL-3.0-or-later
"""CLIP as the teacher of S: eqs. (27) to (30) by hand, and a whole training step with a tiny CLIP."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from gened.errors import ConfigError
from gened.models.codecs.gened.context_matching import TEMPERATURE, ContextMatching, FrozenClip
from gened.models.training.run import WEIGHTS_FILE
from gened.models.training.trainings import train

WORDS = ("a", "photo", "of", "the", "main", "object")


def test_with_gamma_zero_the_score_is_clips_own_similarity() -> None:
    torch.manual_seed(1)
    matching = ContextMatching(16).eval()
    with torch.no_grad():
        matching.gamma.zero_()
    whole, patches, text = torch.randn(2, 16), torch.randn(2, 16, 3, 4), torch.randn(2, 16)
    score = matching(whole, patches, text)
    assert score.shape == (2, 1, 3, 4)
    cosine = torch.nn.functional.cosine_similarity(text[:, :, None, None], patches, dim=1)
    assert torch.allclose(score[:, 0], cosine / TEMPERATURE, atol=1e-4)


def test_the_context_refines_the_text_and_gamma_and_temperature_learn() -> None:
    torch.manual_seed(1)
    matching = ContextMatching(16)
    with torch.no_grad():
        matching.gamma.fill_(1.0)
    patches, text = torch.randn(1, 16, 3, 4), torch.randn(1, 16)
    one = matching(torch.randn(1, 16), patches, text)
    two = matching(torch.randn(1, 16), patches, text)
    assert not torch.allclose(one, two, atol=1e-3)
    one.square().sum().backward()
    for parameter in (matching.gamma, matching.log_temperature):
        assert parameter.grad is not None and float(parameter.grad.abs()) > 0


def tiny_clip(folder: Path) -> Path:
    transformers = pytest.importorskip(
        "transformers", reason="CLIP is for training alone, with pip install transformers"
    )
    tokens = {word: i for i, word in enumerate(("<|startoftext|>", "<|endoftext|>", *(f"{w}</w>" for w in WORDS)))}
    letters = {letter: len(tokens) + i for i, letter in enumerate("abcdefghijklmnopqrstuvwxyz")}
    tokenizer = transformers.CLIPTokenizer(vocab=tokens | letters, merges=[])
    config = transformers.CLIPConfig(
        text_config={
            "vocab_size": 64, "hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 1,
            "num_attention_heads": 2, "max_position_embeddings": 32, "eos_token_id": 1, "bos_token_id": 0,
        },
        vision_config={
            "hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2,
            "image_size": 32, "patch_size": 8,
        },
        projection_dim=16,
    )  # fmt: skip
    transformers.CLIPModel(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def test_a_tiny_clip_teaches_the_importance_network(tmp_path: Path) -> None:
    clip = tiny_clip(tmp_path / "clip")
    for name in ("images", "masks"):
        (tmp_path / "data" / name).mkdir(parents=True)
    pixels = np.random.default_rng(1).integers(0, 256, (80, 80, 3), dtype=np.uint8)
    for index in range(3):
        Image.fromarray(pixels).save(tmp_path / "data" / "images" / f"{index}.png")
        Image.fromarray(np.pad(np.full((40, 40), 255, np.uint8), 20)).save(tmp_path / "data" / "masks" / f"{index}.png")
    path = tmp_path / "clip.toml"
    path.write_text(f'codec = "gened"\nstage = "importance"\nclip = "{clip}"\nsteps = 2\nbatch = 2\ncrop = 64\n')
    out = train(path, data=tmp_path / "data", out=tmp_path / "out", threads=1)
    assert (out / WEIGHTS_FILE).exists()


def test_where_there_is_no_clip_is_said(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="CLIP"):
        FrozenClip(str(tmp_path), torch.device("cpu"))
