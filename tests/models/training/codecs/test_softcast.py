# SPDX-License-Identifier: GPL-3.0-or-later
"""Statistics of softcast: they are what theory says of the pictures, come out the same twice, and load."""

from __future__ import annotations

import hashlib
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from skimage import data

from gened.errors import ConfigError
from gened.gr_blocks.phy.types import ImageSize, Received
from gened.models.codecs.analog.class_map import count_contexts
from gened.models.codecs.analog.statistics import VARIANCE_UNIT
from gened.models.codecs.softcast.codec import SoftCast
from gened.models.data.training_set import Photograph
from gened.models.training.codecs import softcast as training
from gened.models.training.codecs.softcast import Moments, assign, fit_frequencies, main, reduced


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Parts of three photographs."""
    pictures = tmp_path / "pictures"
    pictures.mkdir()
    for name in ("astronaut", "coffee", "chelsea"):
        pixels = getattr(data, name)()
        Image.fromarray(pixels[:288, :300]).save(pictures / f"{name}.png")
    return pictures


def test_principal_components_diagonalise_what_they_were_fitted_to(rng: np.random.Generator) -> None:
    mixing = rng.standard_normal((5, 768)).astype(np.float32)
    blocks = (rng.standard_normal((4000, 5)) * [5, 4, 3, 2, 1]).astype(np.float32) @ np.linalg.qr(mixing.T)[0].T.astype(
        np.float32
    ) + 2
    moments = Moments()
    moments.add(blocks[:1000])
    moments.add(blocks[1000:])
    found = moments.block_class(8)
    coefficients = (blocks - found.mean) @ found.basis.T
    assert found.variance[:5] == pytest.approx([25, 16, 9, 4, 1], rel=0.1)
    assert coefficients.var(0)[:5] == pytest.approx(found.variance[:5], rel=0.01)
    assert found.variance[5:] == pytest.approx(VARIANCE_UNIT, abs=1e-4)
    assert found.total_variance == pytest.approx(found.variance[:5].sum(), rel=1e-3)


def test_frequencies_are_probabilities_that_lean_on_what_was_seen(rng: np.random.Generator) -> None:
    classes = np.repeat(np.arange(8), 10).reshape(8, 10)  # rows of one class: left tells all
    table = fit_frequencies(count_contexts(classes, 8))
    assert np.all(table.sum(-1) == 4096)
    assert table.min() >= 1
    assert table[3, 2, 2].argmax() == 3
    assert table[3, 2, 5].argmax() == 3  # never seen with this upper right neighbour
    assert fit_frequencies(np.zeros((9, 9, 9, 8), np.int64)) == pytest.approx(512, abs=1)


def test_a_picture_is_reduced_to_whole_blocks(rng: np.random.Generator) -> None:
    for _ in range(5):
        picture = reduced(Photograph("x", data.coffee(), None), rng)
        assert picture.size.height % 16 == picture.size.width % 16 == 0
        assert min(picture.size) >= training.MIN_SIDE
        assert len(picture.blocks) == picture.size.height * picture.size.width // 256


def test_a_small_run_gives_a_codec_and_twice_the_same(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    digests = set()
    for out in (tmp_path / "one", tmp_path / "two"):
        monkeypatch.setattr("sys.argv", ["softcast", "--data", str(folder), "--out", str(out), "--rounds", "1"])
        main()
        digests.add(hashlib.sha256((out / "model.safetensors").read_bytes()).hexdigest())
    assert len(digests) == 1
    assert "round 1" in capsys.readouterr().out
    codec, size = SoftCast(tmp_path / "one"), ImageSize(128, 128)
    x = np.ascontiguousarray(data.coffee()[100:228, 200:328].transpose(2, 0, 1), np.float32) / np.float32(255)
    encoded = codec.encode(x, rate=Fraction(1, 12), snr_db=20.0)
    noise_var = np.full(len(encoded.symbols), 1e-2, np.float32)
    decoded = codec.decode(Received(encoded.symbols, noise_var, encoded.side_info, size, Fraction(1, 12), 20.0))
    assert -10 * np.log10(np.mean((decoded.x_hat - x) ** 2)) > 20


def test_a_fit_that_is_interrupted_after_a_round_is_resumed_to_the_same_bytes(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    training.train(folder, tmp_path / "whole", rounds=2, seed=3)
    n_assigned = 0

    def interrupt_in_the_second_round(*arguments: Any, **options: Any) -> Any:
        nonlocal n_assigned
        n_assigned += 1
        if n_assigned == 5:  # of three pictures a round
            raise KeyboardInterrupt
        return assign(*arguments, **options)

    cut = tmp_path / "cut"
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(training, "assign", interrupt_in_the_second_round)
        training.train(folder, cut, rounds=2, seed=3)
    assert not (cut / "model.safetensors").exists()
    with pytest.raises(ConfigError, match="a training of softcast, 1 of 2 steps done; continue it with --resume"):
        training.train(folder, cut, rounds=2, seed=3)
    with pytest.raises(ConfigError, match="seed is 3 there and 4 here"):
        training.train(folder, cut, rounds=2, seed=4, resume=True)
    training.train(folder, cut, rounds=2, seed=3, resume=True)
    one, two = ((out / "model.safetensors").read_bytes() for out in (tmp_path / "whole", cut))
    assert one == two


def test_what_is_wrong_is_one_line(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: Any) -> None:
    for data_folder, out, words in (
        (tmp_path / "absent", tmp_path / "out", "no folder"), (folder, folder / "out", "lies within the pictures"),
    ):  # fmt: skip
        monkeypatch.setattr("sys.argv", ["softcast", "--data", str(data_folder), "--out", str(out)])
        assert main() == 1
        error = capfd.readouterr().err
        assert words in error and error.count("\n") == 1
