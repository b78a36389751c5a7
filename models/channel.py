# SPDX-License-Identifier: GPL-3.0-or-later
"""A differentiable channel for analogue symbols, for training a joint source-channel code end to end.

    x -> encoder -> normalize_power -> SymbolChannel -> decoder -> x_hat
                                       gains, noise, erasures, perfect equalisation

`SymbolChannel` has the kinds of channel of `gened evaluate`, and given the same random numbers it returns the values of
`gr_blocks/phy/channel/symbol_channel.py`. The SNR is Es/N0 for symbols of mean power 1, which the encoder provides by
`normalize_power`; a picture whose symbols have another power has another SNR.

    symbols = normalize_power(encoder(x))                        # [B, k, 2], real and imaginary parts
    received = SymbolChannel("rayleigh-fast")(symbols, snr_db)   # snr_db: a number, or [B]
    x_hat = decoder(received.symbols, received.noise_var)
"""

from __future__ import annotations

from typing import NamedTuple, cast

import numpy as np
import torch
from torch import Tensor, nn

from gened.errors import ConfigError
from gened.gr_blocks.phy.channel.config import FADE_FLOOR, ChannelConfig, ChannelKind, full_name
from gened.gr_blocks.phy.coding.interleave import burst_members

MIN_POWER = 1e-8
"""Least mean power that `power_scale` divides by: a picture of zeros stays finite."""
Generator = torch.Generator | int | None
"""Source of random numbers: a generator, a seed, or None for PyTorch's own."""


class ChannelDraws(NamedTuple):
    """The random part of a channel; each tensor is [B, ...] like the symbols, or has 1 where all symbols share it."""

    gains: Tensor
    """Complex channel gains h, mean power 1."""
    noise: Tensor
    """Circular complex Gaussian noise of variance 1."""
    lost: Tensor
    """Lost symbols, bool."""


class ReceivedSymbols(NamedTuple):
    """Symbols as a decoder receives them, see `Received` in `gr_blocks/phy/types.py`."""

    symbols: Tensor
    """Equalised to unit gain, in the form in which they were sent; 0 where lost."""
    noise_var: Tensor
    """Whole complex noise variance of each symbol after equalisation, [B, ...] real; inf where lost."""


class SymbolChannel(nn.Module):
    """Fading, noise and erasures, with perfect equalisation. It has no parameters.

    Symbols are complex, [B, ...], or real with the real and imaginary parts in a last dimension of 2, [B, ..., 2]; each
    of the B entries is a frame of its own.

    Args:
        kind: Kind of channel, as in `gened evaluate --channel`: `awgn`; `rayleigh-fast`, a gain per symbol;
            `rayleigh-block` and `rician-block` (or `rician`), a gain per burst; `multipath` and `tdl-a` to `tdl-c`, the
            gain of a carrier per symbol.
        rician_k_db: Power of the direct path over that of the scattered paths, dB.
        delay_spread: RMS delay spread of `multipath` and `tdl-*`, samples.
        erasure: Probability that a symbol is lost; a number, or one per frame, [B].
        drop: Probability that a whole burst is lost.
        n_bursts: Number of bursts of a frame; framing assigns the symbols to them.

    Raises:
        ConfigError: An unknown kind, or a value out of range.
    """

    def __init__(
        self,
        kind: str = "awgn",
        *,
        rician_k_db: float = 6.0,
        delay_spread: float = 1.0,
        erasure: float | Tensor = 0.0,
        drop: float = 0.0,
        n_bursts: int = 1,
    ) -> None:
        super().__init__()
        rates = torch.as_tensor(erasure, dtype=torch.float32)
        if rates.numel() == 0 or not bool(((rates >= 0) & (rates <= 1)).all()):
            raise ConfigError("erasure is a probability from 0 to 1, a number or one per frame")
        if n_bursts < 1:
            raise ConfigError(f"{n_bursts} bursts; a frame has at least one")
        named = cast(ChannelKind, full_name(kind))  # checked by the record
        self.config = ChannelConfig(named, rician_k_db=rician_k_db, delay_spread=delay_spread, drop=drop)
        self.erasure, self.n_bursts = rates, n_bursts

    def forward(
        self,
        symbols: Tensor,
        snr_db: float | Tensor,
        *,
        generator: Generator = None,
        draws: ChannelDraws | None = None,
    ) -> ReceivedSymbols:
        """Send the symbols of a batch of frames.

        Args:
            symbols: [B, ...] complex or [B, ..., 2] real, mean power 1 per frame (`normalize_power`).
            snr_db: Es/N0, dB; a number, or one per frame, [B].
            generator: Source of the random numbers, see `draw`.
            draws: The random numbers themselves; None: drawn here.

        Raises:
            ConfigError: The shapes do not fit.
        """
        if draws is None:
            draws = self.draw(symbol_shape(symbols), generator=generator, device=symbols.device)
        return transmit(symbols, snr_db, draws)

    def draw(
        self, shape: torch.Size | tuple[int, ...], *, generator: Generator = None, device: torch.device | None = None
    ) -> ChannelDraws:
        """Draw gains, noise and losses for symbols of a shape.

        Args:
            shape: [B, ...], without the dimension of real and imaginary parts.
            generator: A generator draws on its own device; a seed draws on the CPU, so that the values are the same on
                every device; None: PyTorch's generator of `device`.
            device: Device of the result; None: that of the generator, or the CPU.

        Raises:
            ConfigError: The shape has no dimension beside B, or there is not one `erasure` per frame.
        """
        if len(shape) < 2:
            raise ConfigError(f"symbols of shape {list(shape)}; the first dimension counts frames: [B, k]")
        frames, n = shape[0], int(np.prod(shape[1:]))
        if isinstance(generator, int):
            generator = torch.Generator().manual_seed(generator)
        source = generator.device if generator is not None else device or torch.device("cpu")
        random = _Random(generator, source)
        gains = self._gains(frames, n, random)
        noise = random.normal(frames, n)
        lost = random.uniform(frames, n) < _per_frame(self.erasure, frames, 2).to(source)
        if self.config.drop > 0:
            lost = lost | (random.uniform(frames, self.n_bursts) < self.config.drop)[:, self._burst_of(n, source)]
        once = (frames, *[1] * (len(shape) - 1))
        parts = (part.reshape(shape if part.shape[1] == n else once) for part in (gains, noise, lost))
        return ChannelDraws(*(part.to(device or source) for part in parts))

    def _gains(self, frames: int, n: int, random: _Random) -> Tensor:
        """Channel gains, [B, n] complex, or [B, 1] where a frame has one."""
        kind = self.config.kind
        if kind == "awgn":
            return torch.ones(frames, 1, dtype=torch.complex64, device=random.device)
        if kind == "rayleigh-fast":
            return random.normal(frames, n)
        if kind in ("rayleigh-block", "rician-block"):
            per_burst = random.normal(frames, self.n_bursts)
            if kind == "rician-block":
                k = 10 ** (self.config.rician_k_db / 10)
                phase = 2 * torch.pi * random.uniform(frames, self.n_bursts)
                direct = torch.polar(torch.full_like(phase, (k / (k + 1)) ** 0.5), phase)
                per_burst = direct + per_burst * (1 / (k + 1)) ** 0.5
            return per_burst if self.n_bursts == 1 else per_burst[:, self._burst_of(n, random.device)]
        # Imported here, as it needs SciPy, which most trainings do without.
        from gened.gr_blocks.phy.channel.symbol_channel import draw_burst_gains

        rngs = [np.random.default_rng(seed) for seed in random.seeds(frames)]
        drawn = [draw_burst_gains(n, self.config, rng, n_bursts=self.n_bursts) for rng in rngs]
        return torch.from_numpy(np.stack(drawn)).to(random.device)

    def _burst_of(self, n: int, device: torch.device) -> Tensor:
        """Index of the burst that carries each symbol, [n] int64."""
        owner = np.zeros(n, np.int64)
        for index, members in enumerate(burst_members(n, self.n_bursts) if self.n_bursts > 1 else []):
            owner[members] = index
        return torch.from_numpy(owner).to(device)


class _Random:
    """Random tensors from one generator on one device."""

    def __init__(self, generator: torch.Generator | None, device: torch.device) -> None:
        self.device = device
        self._generator = generator

    def normal(self, *shape: int) -> Tensor:
        """Circular complex Gaussian values of variance 1."""
        return torch.randn(*shape, dtype=torch.complex64, device=self.device, generator=self._generator)

    def uniform(self, *shape: int) -> Tensor:
        """Values in [0, 1)."""
        return torch.rand(*shape, device=self.device, generator=self._generator)

    def seeds(self, n: int) -> list[int]:
        """Seeds for NumPy."""
        drawn = torch.randint(2**31 - 1, (n,), device=self.device, generator=self._generator)
        return [int(seed) for seed in drawn.tolist()]


def transmit(symbols: Tensor, snr_db: float | Tensor, draws: ChannelDraws) -> ReceivedSymbols:
    """Send symbols through a channel whose random numbers are given, and equalise them with perfect channel knowledge.

        y = h s + sqrt(N0) n,   s_hat = y / h = s + sqrt(N0) n conj(h) / |h|^2,   noise variance N0 / |h|^2

    The gradient flows to the symbols and, where it is a tensor that requires one, to the SNR.

    Args:
        symbols: [B, ...] complex or [B, ..., 2] real, mean power 1 per frame.
        snr_db: Es/N0 = -10 log10(N0), dB; a number, or one per frame, [B].
        draws: The random numbers; |h|^2 is at least `FADE_FLOOR`.

    Raises:
        ConfigError: The shapes do not fit.
    """
    sent, shape = as_complex(symbols), symbol_shape(symbols)
    try:
        torch.broadcast_shapes(shape, *(part.shape for part in draws))  # type: ignore[no-untyped-call]
    except RuntimeError as error:
        shapes = ", ".join(f"{name} {list(part.shape)}" for name, part in draws._asdict().items())
        raise ConfigError(f"symbols of shape {list(shape)} do not fit to {shapes}") from error
    n0 = 10 ** (-_per_frame(snr_db, shape[0], len(shape)).to(sent.real) / 10)
    gains, noise = draws.gains.to(sent), draws.noise.to(sent)
    power = (gains.real.square() + gains.imag.square()).clamp(min=FADE_FLOOR)
    received = sent + noise * (n0.sqrt() / power) * gains.conj()
    received = torch.where(draws.lost, torch.zeros_like(received), received)
    noise_var = torch.where(draws.lost, torch.inf, (n0 / power).expand(shape))
    return ReceivedSymbols(received if symbols.is_complex() else torch.view_as_real(received), noise_var)


def power_scale(symbols: Tensor, *, sent: Tensor | None = None, group: int = 1) -> Tensor:
    """Factor per frame that makes the mean power of its symbols 1, [B].

    Args:
        symbols: [B, ...] complex or [B, ..., 2] real.
        sent: Symbols that are transmitted, [B, ...] bool; None: all. Others count neither in the sum nor in the number.
        group: Number of consecutive frames with a common factor, such as crops of one picture.

    Raises:
        ConfigError: The shapes do not fit.
    """
    values, shape = as_complex(symbols), symbol_shape(symbols)
    if len(shape) < 2 or shape[0] % group or (sent is not None and sent.shape != shape):
        mask = "" if sent is None else f", a mask of {list(sent.shape)}"
        raise ConfigError(f"symbols of shape {list(shape)}{mask}, groups of {group} frames; symbols are [B, k]")
    power = values.real.square() + values.imag.square()
    counted = torch.ones_like(power) if sent is None else sent.to(power)
    groups = (shape[0] // group, -1)
    total, count = (power * counted).reshape(groups).sum(1), counted.reshape(groups).sum(1).clamp(min=1)
    return (total / count).clamp(min=MIN_POWER).rsqrt().repeat_interleave(group)


def normalize_power(symbols: Tensor, *, sent: Tensor | None = None, group: int = 1) -> Tensor:
    """Symbols with a mean power of 1 over those that are sent; the others become 0.

    Args:
        symbols: [B, ...] complex or [B, ..., 2] real.
        sent: See `power_scale`. The channel loses the others if `draws.lost` holds them.
        group: See `power_scale`.

    Returns:
        The form of `symbols`.

    Raises:
        ConfigError: The shapes do not fit.
    """
    dimensions = symbols.dim()
    scaled = symbols * _per_frame(power_scale(symbols, sent=sent, group=group), symbols.shape[0], dimensions)
    if sent is None:
        return scaled
    kept = sent if symbols.is_complex() else sent[..., None]
    return torch.where(kept, scaled, torch.zeros_like(scaled))


def symbol_shape(symbols: Tensor) -> torch.Size:
    """Shape of the symbols without the dimension of real and imaginary parts.

    Raises:
        ConfigError: Real numbers whose last dimension is not 2.
    """
    if symbols.is_complex():
        return symbols.shape
    if symbols.dim() < 2 or symbols.shape[-1] != 2:
        raise ConfigError(f"real symbols of shape {list(symbols.shape)}; the last dimension is 2: real, imaginary")
    return symbols.shape[:-1]


def as_complex(symbols: Tensor) -> Tensor:
    """Symbols [B, ...] as complex64, or as complex128 where they have double precision.

    Raises:
        ConfigError: See `symbol_shape`.
    """
    symbol_shape(symbols)
    if symbols.is_complex():
        return symbols
    real = symbols if symbols.dtype == torch.float64 else symbols.float()  # half precision has too few digits
    return torch.view_as_complex(real.contiguous())


def _per_frame(values: float | Tensor, frames: int, dimensions: int) -> Tensor:
    """A number, or one per frame, as a tensor that broadcasts against [B, ...].

    Raises:
        ConfigError: There is neither one value nor one per frame.
    """
    tensor = torch.as_tensor(values)
    if tensor.dim() > 1 or tensor.numel() not in (1, frames):
        raise ConfigError(f"{list(tensor.shape)} values for {frames} frames; give a number, or one per frame")
    return tensor.reshape(-1, *([1] * (dimensions - 1)))
