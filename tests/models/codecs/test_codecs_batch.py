# SPDX-License-Identifier: GPL-3.0-or-later
"""Many pictures at once: the same as one after another."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest
from skimage import data as photographs

from gened.errors import CodecError
from gened.gr_blocks.phy.channel.config import ChannelConfig
from gened.gr_blocks.phy.channel.symbol_channel import apply_symbols
from gened.gr_blocks.phy.types import Encoded, ImageSize, Received
from gened.models.codecs.base import BatchedCodec, Codec, Decoded, Pictures, decode_batch, encode_batch, encode_picture
from gened.models.codecs.encode_options import EncodeOptions
from gened.models.codecs.gened import networks
from gened.models.codecs.registry import codec_names, load_codec

RATE = Fraction(1, 24)
OPTIONS = EncodeOptions(rate=RATE, snr_db=8.0)
SIZES = (ImageSize(64, 96), ImageSize(81, 70), ImageSize(64, 96))


def pictures(count: int, size: ImageSize) -> Pictures:
    """Different parts of one photograph, [count, 3, H, W]."""
    whole = np.asarray(photographs.astronaut(), np.float32).transpose(2, 0, 1) / 255
    starts = [(40 * i, 25 * i) for i in range(count)]
    return np.stack([whole[:, y : y + size.height, x : x + size.width] for y, x in starts])


def arrived(encoded: Encoded, size: ImageSize, seed: int) -> Received:
    symbols, noise_var = apply_symbols(encoded.symbols, ChannelConfig(snr_db=8.0), np.random.default_rng(seed))
    return Received(symbols, noise_var, encoded.side_info, size, RATE, 8.0)


def assert_alike(one: Decoded, two: Decoded) -> None:
    assert np.allclose(one.x_hat, two.x_hat, atol=2e-4)
    for a, b in ((one.mask, two.mask), (one.confidence, two.confidence)):
        assert (a is None) == (b is None)
        assert a is None or b is None or np.allclose(a, b, atol=2e-3)


@pytest.fixture(params=codec_names(), scope="module")
def codec(request: pytest.FixtureRequest) -> Codec:
    return load_codec(request.param)


def test_pictures_that_are_encoded_together_give_the_symbols_of_each_alone(codec: Codec) -> None:
    x = pictures(3, SIZES[0])
    together = encode_batch(codec, x, OPTIONS)
    for one, picture in zip(together, x, strict=True):
        alone = codec.encode(picture, rate=RATE, snr_db=8.0)
        assert one.side_info == alone.side_info
        assert one.symbols == pytest.approx(alone.symbols, abs=1e-3)


def test_frames_of_several_sizes_and_a_lost_one_are_decoded_together_as_alone(codec: Codec) -> None:
    frames = [
        arrived(codec.encode(pictures(1, size)[0], rate=RATE, snr_db=8.0), size, seed)
        for seed, size in enumerate(SIZES)
    ]
    frames.insert(1, replace(frames[0], side_info=None))
    together = decode_batch(codec, frames)
    assert len(together) == len(frames)
    for one, frame in zip(together, frames, strict=True):
        assert one.x_hat.shape == (3, *frame.size)
        assert one.is_lost == (frame.side_info is None)
        assert_alike(one, codec.decode(frame))


def test_no_frame_at_all_gives_no_picture(codec: Codec) -> None:
    assert decode_batch(codec, []) == []


def test_codecs_with_networks_have_batches_of_their_own() -> None:
    for name in ("deepjscc", "gened"):
        assert isinstance(load_codec(name), BatchedCodec)


def test_masks_reach_each_its_own_picture() -> None:
    codec = load_codec("gened")
    x, masks = pictures(2, SIZES[0]), np.zeros((2, *SIZES[0]), np.float32)
    masks[0, :, :48], masks[1, :, 48:] = 1, 1
    together = encode_batch(codec, x, OPTIONS, masks=masks)
    for one, picture, mask in zip(together, x, masks, strict=True):
        assert one.side_info == encode_picture(codec, picture, OPTIONS, mask=mask).side_info
    assert together[0].side_info != encode_batch(codec, x, OPTIONS, masks=masks[::-1])[0].side_info


def test_each_picture_is_refined_with_its_own_seed() -> None:
    codec = load_codec("gened")
    x = pictures(2, ImageSize(64, 64))
    together = encode_batch(codec, x, replace(OPTIONS, refine_steps=1), seeds=[5, 6])
    alone = encode_picture(codec, x[1], replace(OPTIONS, refine_steps=1, seed=6))
    assert together[1].symbols == pytest.approx(alone.symbols, abs=1e-3)
    assert together[1].symbols != pytest.approx(
        encode_picture(codec, x[1], replace(OPTIONS, refine_steps=1, seed=5)).symbols, abs=1e-6
    )


def test_what_a_codec_cannot_do_is_refused_for_all() -> None:
    with pytest.raises(CodecError, match="no mask"):
        encode_batch(load_codec("deepjscc"), pictures(1, SIZES[0]), OPTIONS, masks=np.ones((1, *SIZES[0])))


def test_more_frames_than_fit_go_in_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    codec = load_codec("gened")
    size = ImageSize(64, 64)
    frames = [arrived(codec.encode(x, rate=RATE, snr_db=8.0), size, i) for i, x in enumerate(pictures(5, size))]
    whole = decode_batch(codec, frames)
    monkeypatch.setattr(networks, "MAX_AT_ONCE", 2 * 64 * 64)
    for one, two in zip(whole, decode_batch(codec, frames), strict=True):
        assert_alike(one, two)
