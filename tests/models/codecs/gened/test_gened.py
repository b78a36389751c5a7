# SPDX-License-Identifier: GPL-3.0-or-later
"""gened part by part: layers, importance, branches, tiles; then the codec, with and without PyTorch."""

from __future__ import annotations

import subprocess
import sys
from fractions import Fraction
from functools import lru_cache
from itertools import pairwise

import numpy as np
import pytest
import torch
from PIL import Image

from gened.errors import CodecError
from gened.gr_blocks.phy.channel.config import ChannelConfig
from gened.gr_blocks.phy.channel.symbol_channel import apply_symbols
from gened.gr_blocks.phy.types import Encoded, ImageSize, Received
from gened.models.codecs.base import Picture
from gened.models.codecs.gened import networks
from gened.models.codecs.gened.branches import DeformablePatchAttention, DualBranch, warp
from gened.models.codecs.gened.codec import Gened
from gened.models.codecs.gened.config import GenedConfig
from gened.models.codecs.gened.importance import Importance, ImportanceNetwork, SemanticImportancePrediction
from gened.models.codecs.gened.layers import EMBEDDING, SwinBlock, Windows
from gened.models.codecs.gened.networks import ramp, spans

RATE = Fraction(1, 24)
SIZE = ImageSize(128, 160)


@pytest.fixture(autouse=True)
def seeded() -> None:
    torch.manual_seed(3)


@pytest.fixture(scope="module")
def codec() -> Gened:
    return Gened()


@lru_cache(maxsize=4)
def photograph(size: ImageSize = SIZE) -> Picture:
    from skimage import data

    part = Image.fromarray(data.astronaut()).resize((size.width, size.height), Image.Resampling.BICUBIC)
    return np.ascontiguousarray(np.asarray(part, np.float32).transpose(2, 0, 1) / 255)


def received(encoded: Encoded, size: ImageSize, snr_db: float, *, seed: int = 1, lost: float = 0.0) -> Received:
    rng = np.random.default_rng(seed)
    symbols, noise_var = apply_symbols(encoded.symbols, ChannelConfig(snr_db=snr_db), rng)
    noise_var = np.where(rng.random(len(noise_var)) < lost, np.float32(np.inf), noise_var)
    return Received(symbols, noise_var, encoded.side_info, size, RATE, snr_db)


def psnr_db(one: Picture, two: Picture) -> float:
    return float(-10 * np.log10(np.mean((one - two) ** 2)))


def importance_of(mask: torch.Tensor, width: int) -> Importance:
    n, _, rows, columns = mask.shape
    return Importance(
        mask, torch.zeros_like(mask), torch.zeros(n, 2, rows, columns), torch.ones(n, width, 1, 1),
        torch.ones(n, 1, rows, columns),
    )  # fmt: skip


class TestLayers:
    @pytest.mark.parametrize("shape", [(8, 8), (5, 11), (16, 9), (1, 1)])
    @pytest.mark.parametrize("shifted", [False, True])
    def test_windows_put_together_are_the_grid(self, shape: tuple[int, int], shifted: bool) -> None:
        x = torch.randn(2, 3, *shape)
        windows = Windows(*shape, 4, shifted=shifted)
        assert torch.equal(windows.join(windows.cut(x)), x)

    def test_attention_does_not_see_what_it_must_not(self) -> None:
        block = SwinBlock(32, 4, shifted=True)
        torch.nn.init.normal_(block.project.weight)
        x, embedding = torch.randn(1, 32, 8, 8), torch.zeros(1, EMBEDDING)
        keys = torch.ones(1, 1, 8, 8)
        keys[..., 3] = 0
        changed = x.clone()
        changed[..., 3] += 5
        one, two = block(x, embedding, keys), block(changed, embedding, keys)
        others = [0, 1, 2, 4, 5, 6, 7]
        assert torch.allclose(one[..., others], two[..., others], atol=1e-5)
        assert not torch.allclose(one[..., 2], block(changed, embedding)[..., 2], atol=1e-2)

    def test_windows_stay_apart_unless_they_are_shifted(self) -> None:
        block = SwinBlock(32, 4, shifted=False)
        torch.nn.init.normal_(block.project.weight)
        x, embedding = torch.randn(1, 32, 8, 8), torch.zeros(1, EMBEDDING)
        changed = x.clone()
        changed[..., :4, :4] += 1
        difference = (block(x, embedding) - block(changed, embedding)).abs().amax((0, 1))
        assert difference[:4, :4].min() > 0
        assert difference[4:].max() == 0
        assert difference[:, 4:].max() == 0


class TestImportance:
    def test_the_mask_is_hard_and_yet_has_a_slope(self) -> None:
        module = SemanticImportancePrediction(16).train()
        found = module(torch.randn(2, 16, 6, 6), torch.randn(2, 1, 6, 6))
        assert set(found.mask.unique().tolist()) <= {0.0, 1.0}
        found.mask.sum().backward()
        slope = next(module.mask.parameters()).grad
        assert slope is not None and slope.abs().sum() > 0

    def test_what_the_sender_told_takes_the_place_of_the_prediction(self) -> None:
        module = SemanticImportancePrediction(16).eval()
        v, score = torch.randn(1, 16, 4, 4), torch.randn(1, 1, 4, 4)
        sent = torch.full((1, 1, 4, 4), -1.0)
        sent[..., 0] = 1
        sent[..., 1] = 0
        alone, told = module(v, score).mask, module(v, score, sent).mask
        assert (told[..., 0] == 1).all() and (told[..., 1] == 0).all()
        assert torch.equal(told[..., 2:], alone[..., 2:])

    def test_score_and_mask_have_the_grids_that_they_promise(self) -> None:
        score, found = ImportanceNetwork(GenedConfig())(torch.rand(1, 3, 96, 64))
        assert score.shape == (1, 1, 12, 8)
        assert found.mask.shape == (1, 1, 6, 4)


class TestBranches:
    def test_displacement_by_whole_cells_reads_the_neighbour(self) -> None:
        v = torch.arange(12.0).reshape(1, 1, 3, 4)
        offsets = torch.zeros(1, 2, 3, 4)
        offsets[:, 0] = 1
        assert torch.allclose(warp(v, offsets)[0, 0, :, :3], v[0, 0, :, 1:], atol=1e-5)
        assert torch.allclose(warp(v, offsets)[0, 0, :, 3], v[0, 0, :, 3], atol=1e-5)

    def test_patch_attention_leaves_the_background_alone(self) -> None:
        attention = DeformablePatchAttention(16, 4)
        torch.nn.init.normal_(attention.project.weight)
        mask = torch.zeros(1, 1, 8, 8)
        mask[..., :3, :3] = 1
        result = attention(torch.randn(1, 16, 8, 8), importance_of(mask, 16))
        assert (result[..., 3:, :] == 0).all() and (result[..., 3:] == 0).all()
        assert result[..., :3, :3].abs().min() > 0

    def test_a_fresh_dual_branch_changes_nothing(self) -> None:
        v = torch.randn(1, 32, 8, 8)
        mask = (torch.rand(1, 1, 8, 8) > 0.5).float()
        ones = importance_of(mask, 32)
        assert torch.allclose(DualBranch(32, GenedConfig())(v, ones, torch.zeros(1, EMBEDDING)), v, atol=1e-5)

    @pytest.mark.parametrize(("value", "branch"), [(1.0, "foreground"), (0.0, "background")])
    def test_the_mask_decides_which_branch_a_place_is_of(self, value: float, branch: str) -> None:
        dual = DualBranch(32, GenedConfig())
        for parameter in getattr(dual, branch).parameters():
            torch.nn.init.normal_(parameter, std=0.1)
        v, embedding = torch.randn(1, 32, 8, 8), torch.randn(1, EMBEDDING)
        touched = importance_of(torch.full((1, 1, 8, 8), value), 32)
        untouched = importance_of(torch.full((1, 1, 8, 8), 1 - value), 32)
        assert not torch.allclose(dual(v, touched, embedding), v, atol=1e-2)
        assert torch.allclose(dual(v, untouched, embedding), v, atol=1e-5)


class TestTiles:
    @pytest.mark.parametrize(
        ("n", "tile", "overlap"), [(10, 64, 8), (64, 64, 8), (65, 64, 8), (200, 64, 8), (256, 64, 8)]
    )
    def test_parts_cover_the_side_and_overlap(self, n: int, tile: int, overlap: int) -> None:
        parts = spans(n, tile, overlap)
        assert parts[0].start == 0
        assert parts[-1].stop == n
        assert all(part.stop - part.start <= tile for part in parts)
        assert all(one.stop - two.start >= overlap for one, two in pairwise(parts))

    def test_ramps_rise_inside_and_not_at_the_border(self) -> None:
        first, second = ramp(slice(0, 64), 100), ramp(slice(36, 100), 100)
        assert first[0] == 1
        assert second[-1] == 1
        assert first[-1] < 0.01
        assert np.all(np.diff(second[: networks.OVERLAP]) > 0)

    def test_a_picture_in_tiles_is_the_picture_in_one(self, codec: Gened, monkeypatch: pytest.MonkeyPatch) -> None:
        size = ImageSize(256, 320)
        estimate = codec.linear.estimate(
            received(codec.encode(photograph(size), rate=RATE, snr_db=7.0, focus=1.0), size, 7.0)
        )
        assert estimate is not None
        assert codec.networks is not None
        whole, _ = codec.networks.correct([estimate], [RATE])[0]
        monkeypatch.setattr(networks, "TILE", 192)
        tiled, _ = codec.networks.correct([estimate], [RATE])[0]
        assert psnr_db(whole, tiled) > 45
        step = np.abs(np.diff(tiled - whole, axis=2)).mean((0, 1))  # a seam would be a column that stands out
        assert step.max() < 0.01


class TestCodec:
    def test_the_network_brings_more_than_the_linear_picture(self, codec: Gened) -> None:
        size = ImageSize(256, 256)
        x = photograph(size)
        numpy_codec = Gened(device="numpy")
        for snr_db in (1.0, 10.0):
            arrived = received(codec.encode(x, rate=RATE, snr_db=snr_db, focus=1.0), size, snr_db)
            assert psnr_db(x, codec.decode(arrived).x_hat) > psnr_db(x, numpy_codec.decode(arrived).x_hat) + 0.1

    @pytest.mark.parametrize(("snr_db", "expected_db"), [(1.0, 21.020), (10.0, 25.967)])
    def test_the_checkpoint_keeps_its_psnr(self, codec: Gened, snr_db: float, expected_db: float) -> None:
        x = photograph(ImageSize(192, 256))
        x_hat = codec.decode(received(codec.encode(x, snr_db=snr_db), ImageSize(192, 256), snr_db)).x_hat
        assert psnr_db(x, x_hat) == pytest.approx(expected_db, abs=0.02)

    def test_the_numpy_transmitter_sends_the_same_for_the_same_mask(self, codec: Gened) -> None:
        mask = np.zeros(tuple(SIZE), np.float32)
        mask[32:96, 48:128] = 1
        one, two = (
            end.encode(photograph(), rate=RATE, snr_db=7.0, mask=mask, focus=4.0)
            for end in (codec, Gened(device="numpy"))
        )
        assert np.array_equal(one.symbols, two.symbols)
        assert one.side_info == two.side_info

    def test_the_numpy_transmitter_loads_no_pytorch(self) -> None:
        program = (
            "import sys, numpy as np; from fractions import Fraction;"
            "from gened.models.codecs.registry import load_codec;"
            "codec = load_codec('gened', device='numpy');"
            "codec.encode(np.full((3, 64, 64), 0.5, np.float32), rate=Fraction(1, 24), snr_db=7.0);"
            "sys.exit('torch' in sys.modules)"
        )
        assert subprocess.run([sys.executable, "-c", program], check=False, timeout=240).returncode == 0

    def test_focus_moves_quality_to_where_the_mask_is(self, codec: Gened) -> None:
        size = ImageSize(256, 256)
        x = photograph(size)
        mask = np.zeros(tuple(size), np.float32)
        mask[32:160, 64:192] = 1
        inside = mask > 0
        errors = {}
        for focus in (1.0, 8.0):
            arrived = received(codec.encode(x, rate=RATE, snr_db=7.0, mask=mask, focus=focus), size, 7.0)
            square = ((codec.decode(arrived).x_hat - x) ** 2).mean(0)
            errors[focus] = square[inside].mean(), square[~inside].mean()
        assert errors[8.0][0] < 0.85 * errors[1.0][0]
        assert errors[8.0][1] > errors[1.0][1]

    def test_every_step_of_rate_and_snr_is_a_step_up(self, codec: Gened) -> None:
        size = ImageSize(192, 192)
        x = photograph(size)
        figures = np.zeros((4, 4))
        for i, rate in enumerate((Fraction(1, 48), Fraction(1, 36), Fraction(1, 24), Fraction(1, 12))):
            for j, snr_db in enumerate((-2.0, 4.0, 10.0, 20.0)):
                arrived = received(codec.encode(x, rate=rate, snr_db=snr_db, focus=1.0), size, snr_db)
                figures[i, j] = psnr_db(x, codec.decode(Received(**{**vars(arrived), "rate": rate})).x_hat)
        assert (np.diff(figures, axis=0) > 0).all()
        assert (np.diff(figures, axis=1) > 0).all()

    def test_a_tenth_of_the_symbols_lost_costs_little(self, codec: Gened) -> None:
        size = ImageSize(256, 256)
        x = photograph(size)
        encoded = codec.encode(x, rate=RATE, snr_db=7.0, focus=1.0)
        whole, torn = (psnr_db(x, codec.decode(received(encoded, size, 7.0, lost=lost)).x_hat) for lost in (0.0, 0.1))
        assert whole - torn < 1.0

    def test_what_it_cannot_do_is_said(self, codec: Gened) -> None:
        with pytest.raises(CodecError, match="rates from 1/96 to 1/12"):
            codec.encode(photograph(), rate=Fraction(1, 8), snr_db=7.0)
        with pytest.raises(CodecError, match="16x16 pixels, the picture 160x128"):
            codec.encode(photograph(), rate=RATE, snr_db=7.0, mask=np.ones((16, 16), np.float32))
