# SPDX-License-Identifier: GPL-3.0-or-later
"""One contract, every codec of the registry: a new codec gets these tests by its name alone."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction
from functools import lru_cache
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from gened.errors import CodecError
from gened.gr_blocks.phy.channel.config import ChannelConfig
from gened.gr_blocks.phy.channel.symbol_channel import apply_symbols
from gened.gr_blocks.phy.framing.budget import budget, side_symbols
from gened.gr_blocks.phy.types import Encoded, ImageSize, Received
from gened.models.codecs.base import Codec, Decoded, Picture, encode_picture
from gened.models.codecs.encode_options import EncodeOptions
from gened.models.codecs.registry import codec_names, load_codec

RATE = Fraction(1, 24)  # the one that every codec has
SIZES = [ImageSize(64, 64), ImageSize(65, 97), ImageSize(127, 64), ImageSize(200, 131)]


@pytest.fixture(scope="session")
def codec_of(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Codec]:
    """Codecs by name; one whose weights are not trained yet is tried with its untrained network."""
    codecs: dict[str, Codec] = {}
    for name in codec_names():
        weights = Path(__file__).resolve().parents[3] / "models" / "weights" / name / "model.safetensors"
        if name == "deepjscc" and not weights.exists():
            codecs[name] = load_codec(str(_untrained_deepjscc(tmp_path_factory.mktemp("deepjscc"))))
        else:
            codecs[name] = load_codec(name)
    return codecs


def _untrained_deepjscc(folder: Path) -> Path:
    from gened.models.codecs.deepjscc.config import DeepJsccConfig
    from gened.models.codecs.deepjscc.network import DeepJsccNetwork
    from gened.models.training.codecs.deepjscc.config import DeepJsccTraining
    from gened.models.training.codecs.deepjscc.run import save_weights

    config = DeepJsccConfig()
    save_weights(folder, config, dict(DeepJsccNetwork(config).state_dict()), DeepJsccTraining(), 0, 0.0)
    return folder


@lru_cache(maxsize=16)
def photograph(size: ImageSize) -> Picture:
    """A part of a real photograph, [3, H, W]."""
    from skimage import data

    part = Image.fromarray(data.astronaut()).resize((size.width, size.height), Image.Resampling.BICUBIC)
    x = np.ascontiguousarray(np.asarray(part, np.float32).transpose(2, 0, 1) / 255)
    x.setflags(write=False)
    return x


def sent(encoded: Encoded, size: ImageSize, snr_db: float, *, noise_db: float = 60.0) -> Received:
    symbols, noise_var = apply_symbols(encoded.symbols, ChannelConfig(snr_db=noise_db), np.random.default_rng(1))
    return Received(symbols, noise_var, encoded.side_info, size, RATE, snr_db)


def assert_is_picture(decoded: Decoded, size: ImageSize) -> None:
    assert decoded.x_hat.shape == (3, *size)
    assert decoded.x_hat.dtype == np.float32
    assert np.isfinite(decoded.x_hat).all()
    assert decoded.x_hat.min() >= 0
    assert decoded.x_hat.max() <= 1
    for values in (decoded.mask, decoded.confidence):
        assert values is None or (
            values.shape == tuple(size) and np.isfinite(values).all() and values.min() >= 0 and values.max() <= 1.001
        )


def psnr_db(one: Picture, two: Picture) -> float:
    return float(-10 * np.log10(np.mean((one - two) ** 2)))


@pytest.mark.parametrize("name", codec_names())
class TestCodecContract:
    """What `Codec` promises."""

    @pytest.fixture
    def codec(self, name: str, codec_of: dict[str, Codec]) -> Codec:
        return codec_of[name]

    @pytest.mark.parametrize("size", SIZES, ids=str)
    @pytest.mark.parametrize("snr_db", [-3.0, 1.0, 10.0])
    def test_it_spends_what_it_may_at_unit_power(self, codec: Codec, size: ImageSize, snr_db: float) -> None:
        encoded = codec.encode(photograph(size), rate=RATE, snr_db=snr_db)
        allowed = budget(size, RATE, snr_db)
        spent = len(encoded.symbols) + side_symbols(len(encoded.side_info), allowed.side_mode, allowed.n_bursts)
        assert spent <= allowed.symbols
        assert encoded.symbols.dtype == np.complex64
        if len(encoded.symbols):  # a few hundred symbols of a constellation are not quite its mean
            tolerance = 1e-3 if name_is_analog(codec) else 0.15
            assert np.mean(np.abs(encoded.symbols) ** 2) == pytest.approx(1, rel=tolerance)

    @pytest.mark.parametrize("size", SIZES, ids=str)
    def test_any_size_comes_back_as_the_picture_that_it_was(self, codec: Codec, size: ImageSize) -> None:
        x = photograph(size)
        decoded = codec.decode(sent(codec.encode(x, rate=RATE, snr_db=20.0), size, 20.0))
        assert_is_picture(decoded, size)
        if codec.name != "deepjscc":  # it may be untrained here
            assert not decoded.is_lost
            assert psnr_db(x, decoded.x_hat) > psnr_db(x, np.full_like(x, x.mean())) + 3

    def test_the_same_picture_gives_the_same_symbols_and_the_same_symbols_the_same_picture(self, codec: Codec) -> None:
        size = SIZES[1]
        one, two = (codec.encode(photograph(size), rate=RATE, snr_db=7.0) for _ in range(2))
        assert np.array_equal(one.symbols, two.symbols)
        assert one.side_info == two.side_info
        received = sent(one, size, 7.0)
        assert np.array_equal(codec.decode(received).x_hat, codec.decode(received).x_hat)

    def test_the_callers_arrays_are_left_alone(self, codec: Codec) -> None:
        x = photograph(SIZES[0]).copy()
        encoded = codec.encode(x, rate=RATE, snr_db=7.0)
        assert np.array_equal(x, photograph(SIZES[0]))
        received = sent(encoded, SIZES[0], 7.0)
        copies = received.symbols.copy(), received.noise_var.copy()
        codec.decode(received)
        assert np.array_equal(received.symbols, copies[0])
        assert np.array_equal(received.noise_var, copies[1])

    def test_without_side_information_the_picture_is_flagged(self, codec: Codec) -> None:
        received = sent(codec.encode(photograph(SIZES[3]), rate=RATE, snr_db=10.0), SIZES[3], 10.0)
        decoded = codec.decode(replace(received, side_info=None))
        assert_is_picture(decoded, SIZES[3])
        assert decoded.is_lost

    @pytest.mark.parametrize("side_info", [b"", b"\0", b"\xff", b"\xff" * 7, bytes(range(256)) * 8], ids=len)
    def test_any_side_information_gives_a_picture(self, codec: Codec, side_info: bytes) -> None:
        received = sent(codec.encode(photograph(SIZES[1]), rate=RATE, snr_db=4.0), SIZES[1], 4.0)
        assert_is_picture(codec.decode(replace(received, side_info=side_info)), SIZES[1])

    @pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf, 1e30, complex(np.nan, 1), 0])
    def test_values_that_are_no_symbols_do_no_harm(self, codec: Codec, value: complex) -> None:
        received = sent(codec.encode(photograph(SIZES[0]), rate=RATE, snr_db=10.0), SIZES[0], 10.0)
        symbols = received.symbols.copy()
        symbols[::5] = value
        assert_is_picture(codec.decode(replace(received, symbols=symbols)), SIZES[0])
        assert_is_picture(codec.decode(replace(received, symbols=np.full_like(symbols, value))), SIZES[0])

    @pytest.mark.parametrize("value", [np.nan, np.inf, 0.0, -1.0, 1e-30, 1e30])
    def test_values_that_are_no_variances_do_no_harm(self, codec: Codec, value: float) -> None:
        received = sent(codec.encode(photograph(SIZES[0]), rate=RATE, snr_db=10.0), SIZES[0], 10.0)
        noise_var = received.noise_var.copy()
        noise_var[1::3] = value
        assert_is_picture(codec.decode(replace(received, noise_var=noise_var)), SIZES[0])
        assert_is_picture(codec.decode(replace(received, noise_var=np.full_like(noise_var, value))), SIZES[0])

    @pytest.mark.parametrize("count", [0, 1, 100, 5000])
    def test_too_few_or_too_many_symbols_give_a_picture(self, codec: Codec, count: int) -> None:
        received = sent(codec.encode(photograph(SIZES[0]), rate=RATE, snr_db=10.0), SIZES[0], 10.0)
        symbols, noise_var = np.resize(received.symbols, count), np.resize(received.noise_var, count)
        assert_is_picture(codec.decode(replace(received, symbols=symbols, noise_var=noise_var)), SIZES[0])

    @pytest.mark.parametrize("rate", [Fraction(8, 1), Fraction(1, 512)])
    def test_a_forged_header_gives_a_picture(self, codec: Codec, rate: Fraction) -> None:
        received = sent(codec.encode(photograph(SIZES[0]), rate=RATE, snr_db=10.0), SIZES[0], 10.0)
        assert_is_picture(codec.decode(replace(received, rate=rate, snr_design_db=23.5)), SIZES[0])
        assert_is_picture(codec.decode(replace(received, size=ImageSize(1, 1))), ImageSize(1, 1))

    def test_without_pytorch_it_encodes_or_says_which_codecs_do(self, codec: Codec, name: str) -> None:
        try:
            without = load_codec(name, device="numpy")
        except CodecError as error:
            assert "softcast" in str(error)
            return
        encoded = without.encode(photograph(SIZES[0]), rate=RATE, snr_db=7.0)
        assert without.codec_id == codec.codec_id
        assert np.mean(np.abs(encoded.symbols) ** 2) == pytest.approx(1, rel=0.15)

    def test_what_it_cannot_do_of_importance_is_refused_and_not_left_out(self, codec: Codec) -> None:
        mask = np.zeros(tuple(SIZES[0]), np.float32)
        mask[:, :32] = 1
        plain = codec.encode(photograph(SIZES[0]), rate=RATE, snr_db=7.0)
        try:
            options = EncodeOptions(rate=RATE, snr_db=7.0, focus=8.0)
            encoded = encode_picture(codec, photograph(SIZES[0]), options, mask=mask)
        except CodecError as error:
            assert codec.name in str(error)
            return
        assert not np.array_equal(encoded.symbols, plain.symbols)

    def test_the_number_fits_the_header(self, codec: Codec) -> None:
        assert 0 <= codec.codec_id < 1 << 32


def name_is_analog(codec: Codec) -> bool:
    return codec.name != "hevc-ldpc"


def test_no_two_codecs_share_a_number(codec_of: dict[str, Codec]) -> None:
    assert len({codec.codec_id for codec in codec_of.values()}) == len(codec_of)
