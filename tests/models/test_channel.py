# SPDX-License-Identifier: GPL-3.0-or-later
"""The differentiable channel equals the NumPy channel, is reproducible, and has the right gradients."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

from gened.errors import ConfigError
from gened.gr_blocks.phy.channel.config import KINDS, ChannelConfig
from gened.gr_blocks.phy.channel.symbol_channel import apply_symbols, draw_symbols
from gened.models.channel import ChannelDraws, SymbolChannel, normalize_power, power_scale, transmit

EVERY_KIND = pytest.mark.parametrize("kind", KINDS)


def random_symbols(*shape: int, dtype: torch.dtype = torch.complex64, seed: int = 1) -> Tensor:
    return torch.randn(*shape, dtype=dtype, generator=torch.Generator().manual_seed(seed))


@EVERY_KIND
def test_with_the_draws_of_numpy_the_values_are_those_of_numpy(kind: str) -> None:
    config = ChannelConfig(kind, snr_db=4.0, erasure=0.1, drop=0.3)
    symbols = random_symbols(1, 3000)
    expected, expected_var = apply_symbols(symbols[0].numpy(), config, np.random.default_rng(3), n_bursts=4)
    draws = draw_symbols(3000, config, np.random.default_rng(3), n_bursts=4)
    given = [draws.gains, draws.noise * np.float32(10 ** (4.0 / 20)), draws.lost]
    received = transmit(symbols, 4.0, ChannelDraws(*(torch.from_numpy(part)[None] for part in given)))
    np.testing.assert_allclose(received.symbols[0].numpy(), expected, rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(received.noise_var[0].numpy(), expected_var, rtol=1e-5)
    assert 0 < draws.lost.mean() < 1


@EVERY_KIND
def test_the_statistics_are_those_of_numpy(kind: str) -> None:
    """Distribution of the noise variance, noise relative to it, and losses, over 400 frames of 64 symbols."""
    frames, n = 400, 64
    config = ChannelConfig(kind, snr_db=6.0, erasure=0.2)
    symbols = random_symbols(frames, n)
    rng = np.random.default_rng(5)
    arrays = [apply_symbols(one.numpy(), config, rng) for one in symbols]
    received = SymbolChannel(kind, erasure=0.2)(symbols, 6.0, generator=7)
    ours, theirs = received.noise_var.numpy(), np.stack([noise_var for _, noise_var in arrays])
    assert np.isinf(ours).mean() == pytest.approx(np.isinf(theirs).mean(), abs=0.02)
    quantiles = (0.05, 0.25, 0.5, 0.75, 0.95)
    ours_db, theirs_db = (10 * np.log10(values[np.isfinite(values)]) for values in (ours, theirs))
    # Fading per frame has 400 independent gains; the quantile of 5 % of Rayleigh fading then has a spread of 1 dB.
    np.testing.assert_allclose(np.quantile(ours_db, quantiles), np.quantile(theirs_db, quantiles), atol=1.5)
    kept = np.isfinite(ours)
    error = (received.symbols - symbols).numpy()[kept] / np.sqrt(ours[kept])
    assert np.mean(np.abs(error) ** 2) == pytest.approx(1.0, abs=0.03)
    assert abs(np.mean(error**2)) < 0.03  # circular
    assert (received.symbols.numpy()[~kept] == 0).all()


def test_fading_has_the_gains_that_its_name_says() -> None:
    def gains(kind: str, **options: float) -> Tensor:
        return SymbolChannel(kind, **options).draw((4000, 8), generator=2).gains

    fast = gains("rayleigh-fast")
    assert fast.shape == (4000, 8) and len(set(fast[0].tolist())) == 8
    for kind in ("rayleigh-block", "rician-block", "rician"):
        block = gains(kind)
        assert block.shape == (4000, 1)
        assert block.abs().square().mean() == pytest.approx(1.0, abs=0.05)
    # Rician: the fourth moment tells K, E|h|^4 = ((K + 1)^2 + 2 K + 1) / (K + 1)^2.
    for k_db, k in ((0.0, 1.0), (10.0, 10.0)):
        fourth = gains("rician", rician_k_db=k_db).abs().pow(4).mean()
        assert fourth == pytest.approx(((k + 1) ** 2 + 2 * k + 1) / (k + 1) ** 2, rel=0.08)


@pytest.mark.parametrize("kind", ["rayleigh-block", "rician-block"])
def test_each_burst_of_a_frame_has_a_gain_of_its_own_on_the_symbols_that_framing_gives_it(kind: str) -> None:
    from gened.gr_blocks.phy.coding.interleave import burst_members

    draws = SymbolChannel(kind, n_bursts=3, drop=0.5).draw((40, 90), generator=4)
    for members in (list(part) for part in burst_members(90, 3)):
        assert (draws.gains[:, members] == draws.gains[:, members[:1]]).all()
        assert (draws.lost[:, members] == draws.lost[:, members[:1]]).all()
    assert len(set(draws.gains[0].tolist())) == 3
    assert draws.lost.float().mean() == pytest.approx(0.5, abs=0.15)


def test_each_frame_has_its_snr_and_its_erasures() -> None:
    snr_db = torch.tensor([0.0, 10.0, 20.0])
    symbols = random_symbols(3, 4, 5000)
    received = SymbolChannel(erasure=torch.tensor([0.0, 0.5, 1.0]))(symbols, snr_db, generator=1)
    lost = torch.isinf(received.noise_var).float().mean((1, 2))
    assert lost.tolist() == pytest.approx([0.0, 0.5, 1.0], abs=0.02)
    assert received.noise_var[0].unique().tolist() == pytest.approx([1.0])
    kept = torch.isfinite(received.noise_var[1])
    error = (received.symbols - symbols)[1][kept].abs().square().mean()
    assert error == pytest.approx(0.1, rel=0.05)


def test_pairs_of_reals_give_what_complex_symbols_give() -> None:
    symbols = random_symbols(2, 6, 5)
    channel = SymbolChannel("rayleigh-fast", erasure=0.2)
    one = channel(symbols, 3.0, generator=9)
    other = channel(torch.view_as_real(symbols), 3.0, generator=9)
    assert other.symbols.shape == (2, 6, 5, 2) and other.noise_var.shape == (2, 6, 5)
    torch.testing.assert_close(torch.view_as_complex(other.symbols), one.symbols, rtol=0, atol=0)
    torch.testing.assert_close(other.noise_var, one.noise_var, rtol=0, atol=0)
    half = channel(torch.view_as_real(symbols).bfloat16(), 3.0, generator=9)
    assert half.symbols.dtype == torch.float32


def test_a_seed_and_a_generator_of_that_seed_draw_alike_and_other_seeds_otherwise() -> None:
    for kind in KINDS:
        channel, symbols = SymbolChannel(kind, erasure=0.1), random_symbols(2, 300)
        first = channel(symbols, 5.0, generator=11)
        second = channel(symbols, 5.0, generator=torch.Generator().manual_seed(11))
        assert torch.equal(first.symbols, second.symbols) and torch.equal(first.noise_var, second.noise_var)
        assert not torch.equal(first.symbols, channel(symbols, 5.0, generator=12).symbols)
    torch.manual_seed(3)
    free = channel(symbols, 5.0).symbols
    torch.manual_seed(3)
    assert torch.equal(free, channel(symbols, 5.0).symbols)


@pytest.mark.parametrize("kind", ["awgn", "rayleigh-fast", "rayleigh-block", "rician-block"])
@pytest.mark.parametrize("form", ["complex", "real"])
def test_gradients_of_normalisation_and_channel_are_right(kind: str, form: str) -> None:
    channel = SymbolChannel(kind, erasure=0.3)
    draws = channel.draw((2, 6), generator=3)
    symbols = random_symbols(2, 6, dtype=torch.complex128)
    symbols = (symbols if form == "complex" else torch.view_as_real(symbols)).detach().requires_grad_(True)
    snr_db = torch.tensor([1.0, 7.0], dtype=torch.float64, requires_grad=True)
    sent = torch.arange(6).expand(2, 6) < 4

    def received(symbols: Tensor, snr_db: Tensor) -> tuple[Tensor, Tensor]:
        result = channel(normalize_power(symbols, sent=sent), snr_db, draws=draws)
        return result.symbols, torch.where(draws.lost, 0.0, result.noise_var)

    assert draws.lost.any() and not draws.lost.all()
    assert torch.autograd.gradcheck(received, (symbols, snr_db))


def test_a_lost_symbol_has_no_gradient_and_the_others_have_one() -> None:
    symbols = torch.ones(1, 100, 2, requires_grad=True)
    received = SymbolChannel(erasure=0.5)(symbols, 10.0, generator=1)
    received.symbols.sum().backward()
    lost = torch.isinf(received.noise_var)
    assert torch.equal(symbols.grad, torch.where(lost, 0.0, 1.0)[..., None].expand(1, 100, 2))


def test_power_counts_what_is_sent() -> None:
    symbols = 3 * random_symbols(4, 50)
    power = normalize_power(symbols).abs().square().mean(1)
    assert power.tolist() == pytest.approx([1.0] * 4)
    sent = torch.arange(50).expand(4, 50) < torch.tensor([[1], [10], [50], [0]])
    normal = normalize_power(symbols, sent=sent)
    assert (normal[~sent] == 0).all()
    for row, kept in zip(normal[:3], sent[:3], strict=True):
        assert row[kept].abs().square().mean() == pytest.approx(1.0)
    pairs = torch.view_as_real(symbols)
    torch.testing.assert_close(torch.view_as_complex(normalize_power(pairs, sent=sent)), normal)
    assert torch.isfinite(normalize_power(torch.zeros(2, 5, 2))).all()


def test_frames_of_a_group_share_their_factor() -> None:
    symbols = random_symbols(4, 50) * torch.tensor([1.0, 2.0, 3.0, 4.0])[:, None]
    scale = power_scale(symbols, group=2)
    assert scale[0] == scale[1] != scale[2] == scale[3]
    power = normalize_power(symbols, group=2).abs().square().reshape(2, -1).mean(1)
    assert power.tolist() == pytest.approx([1.0, 1.0])


def test_wrong_values_are_refused_in_one_line() -> None:
    symbols = random_symbols(2, 10)
    for call, text in [
        (lambda: SymbolChannel("rayleigh"), "channel 'rayleigh'; known are awgn"),
        (lambda: SymbolChannel(erasure=1.5), "erasure is a probability"),
        (lambda: SymbolChannel(drop=-1), "drop is -1"),
        (lambda: SymbolChannel(n_bursts=0), "0 bursts"),
        (lambda: SymbolChannel()(symbols[0], 5.0), r"shape \[10\]; the first dimension counts frames"),
        (lambda: SymbolChannel()(torch.ones(2, 3), 5.0), r"real symbols of shape \[2, 3\]"),
        (lambda: SymbolChannel()(symbols, torch.ones(3)), r"\[3\] values for 2 frames"),
        (lambda: SymbolChannel(erasure=torch.zeros(3))(symbols, 5.0), r"\[3\] values for 2 frames"),
        (lambda: SymbolChannel()(symbols, 5.0, draws=SymbolChannel().draw((2, 9))), r"do not fit to gains \[2, 1\]"),
        (lambda: normalize_power(symbols, group=3), "groups of 3 frames"),
        (lambda: normalize_power(symbols, sent=torch.ones(2, 9, dtype=torch.bool)), r"a mask of \[2, 9\]"),
    ]:
        with pytest.raises(ConfigError, match=text) as caught:
            call()
        assert "\n" not in str(caught.value)
