# SPDX-License-Identifier: GPL-3.0-or-later
"""`deepjscc`: the convolutional baseline of the papers, one set of weights for all SNRs, rate 1/24.

A patch of 32x32 pixels always gets 128 complex symbols. One byte of side information holds the scale that normalised
the picture to mean power 1; it is part of the header and costs no symbols.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from gened import paths
from gened.errors import CodecError
from gened.gr_blocks.phy.framing.budget import analog_budget
from gened.gr_blocks.phy.types import Encoded, ImageSize, Received
from gened.models.codecs.base import Decoded, Map, Maps, Picture, Pictures, codec_id
from gened.models.codecs.deepjscc.config import DeepJsccConfig
from gened.models.codecs.deepjscc.network import DeepJsccNetwork
from gened.models.devices import torch_device

RATE = Fraction(1, 24)
SCALE_MIN_DB = -20.0
SCALE_STEP_DB = 0.25
"""Step of the scale byte, dB. The rounding, at most 1.5 % of the amplitude, is 37 dB below the signal."""
UNKNOWN_SCALE_DB = 0.0
"""Scale without side information, dB: the typical one of the training pictures."""
WEIGHTS = paths.WEIGHTS / "deepjscc"

NO_IMPORTANCE = "deepjscc spends the same on every patch: it takes no mask, no focus and no refinement"
AT_ONCE = 64
"""Largest batch of the decoder, frames."""


class _Arrived(NamedTuple):
    """The contents of a received frame."""

    reals: npt.NDArray[np.float32]
    """[symbols per patch, 2, patches]."""
    noise_var: npt.NDArray[np.float32]
    """[symbols]; inf for lost ones."""
    scale_db: float
    has_scale: bool


class DeepJscc:
    """The codec `deepjscc`; see the module's docstring.

    Args:
        folder: `model.safetensors` and `config.json`; default: the weights that ship with the package.
        device: PyTorch device.

    Raises:
        CodecError: No weights in the folder, or not those of this architecture; the device "numpy", or no such device.
    """

    name = "deepjscc"

    def __init__(self, folder: Path | str | None = None, *, device: str = "cpu") -> None:
        if device == "numpy":
            raise CodecError(f"{self.name} needs PyTorch at the transmitter; softcast and gened do without")
        self.device = torch_device(device, CodecError)
        folder = Path(folder) if folder is not None else WEIGHTS
        try:
            description: dict[str, Any] = json.loads((folder / "config.json").read_text())
            weights_bytes = (folder / "model.safetensors").read_bytes()
            weights = load_file(folder / "model.safetensors")
            self.network = DeepJsccNetwork(DeepJsccConfig.from_json(description["network"]))
            self.network.load_state_dict({name: value.float() for name, value in weights.items()})
        except FileNotFoundError as error:
            raise CodecError(f"no deepjscc weights in {folder}: {Path(error.filename).name} is missing") from error
        except (OSError, ValueError, KeyError, TypeError, RuntimeError, SafetensorError) as error:
            reason = str(error).splitlines()[0]
            raise CodecError(f"the weights in {folder} are not those of deepjscc: {reason}") from error
        self.codec_id = codec_id(self.name, description["network"], weights_bytes)
        self.network.to(device=self.device, memory_format=torch.channels_last).eval()  # type: ignore[call-overload]
        self.patch = self.network.config.patch
        self.symbols_per_patch = self.network.config.reals_per_patch // 2

    def _padded(self, size: ImageSize) -> tuple[int, int]:
        return -(-size.height // self.patch), -(-size.width // self.patch)

    def _n_sent(self, size: ImageSize, snr_db: float) -> int:
        """Number of symbols: all, or the budget where the padding to whole patches would exceed it."""
        rows, columns = self._padded(size)
        return min(rows * columns * self.symbols_per_patch, analog_budget(size, RATE, snr_db, 1))

    def encode(
        self,
        x: Picture,
        *,
        rate: Fraction = RATE,
        snr_db: float,
        mask: Map | None = None,
        focus: float | None = None,
        refine_steps: int = 0,
        seed: int = 0,
        side_margin_db: float = 0.0,
    ) -> Encoded:
        """Picture to symbols.

        Args:
            x: [3, H, W] float32 RGB in [0, 1].
            rate: 1/24, the only one of this codec.
            snr_db: SNR that the code is made for.
            mask: Not of this codec: None.
            focus: Not of this codec: None or 1.
            refine_steps: Not of this codec: 0.
            seed: Unused; the code is deterministic.
            side_margin_db: Not of this codec: 0.

        Raises:
            CodecError: Another rate, or an option that this codec does not have.
        """
        if mask is not None:
            raise CodecError(NO_IMPORTANCE)
        return self.encode_batch(
            x[None], rate=rate, snr_db=snr_db, focus=focus, refine_steps=refine_steps, side_margin_db=side_margin_db
        )[0]

    @torch.inference_mode()
    def encode_batch(
        self,
        x: Pictures,
        *,
        rate: Fraction = RATE,
        snr_db: float,
        masks: Maps | None = None,
        focus: float | None = None,
        refine_steps: int = 0,
        seeds: Sequence[int] = (),
        side_margin_db: float = 0.0,
    ) -> list[Encoded]:
        """As `encode`, of pictures of one size, [B, 3, H, W], at once."""
        if rate != RATE:
            raise CodecError(f"deepjscc was trained for rate {RATE} only, not {rate}; softcast takes any rate")
        if side_margin_db:
            raise CodecError("deepjscc has one byte of side information, in the header: it takes no margin")
        if masks is not None or focus not in (None, 1, 1.0) or refine_steps:
            raise CodecError(NO_IMPORTANCE)
        size = ImageSize(x.shape[2], x.shape[3])
        rows, columns = self._padded(size)
        widths = ((0, 0), (0, 0), (0, rows * self.patch - size.height), (0, columns * self.patch - size.width))
        batch = torch.from_numpy(np.pad(x, widths, mode="edge")).to(self.device)
        coded = self.network.encode(batch, torch.full((len(x),), float(snr_db), device=self.device))
        reals = (coded.reals * torch.exp(-coded.log_scale)[:, None, None, None]).double().cpu().numpy()
        # [B, 256, h, w] -> [B, 128, h w] complex, by falling variance: the budget cuts the weakest.
        pairs = reals.reshape(len(x), self.symbols_per_patch, 2, rows * columns)
        symbols = (pairs[:, :, 0] + 1j * pairs[:, :, 1]).reshape(len(x), -1)[:, : self._n_sent(size, snr_db)]
        return [self._normalized(one) for one in symbols]

    @staticmethod
    def _normalized(symbols: npt.NDArray[np.complex128]) -> Encoded:
        if not len(symbols):  # the budget of a few pixels
            return Encoded(np.zeros(0, np.complex64), b"\0")
        floor = 10 ** (-(SCALE_MIN_DB + 255 * SCALE_STEP_DB) / 20)  # smallest RMS value that the byte can represent
        rms = float(np.sqrt(np.mean(np.abs(symbols) ** 2)))
        if rms < floor:  # a picture equal to the mean still has to have power 1
            phases = np.exp(2j * np.pi * 0.6180339887 * np.arange(len(symbols)) ** 2)
            symbols = symbols + floor * phases
            rms = float(np.sqrt(np.mean(np.abs(symbols) ** 2)))
        code = int(np.clip(round((-20 * np.log10(rms) - SCALE_MIN_DB) / SCALE_STEP_DB), 0, 255))
        return Encoded(symbols=(symbols / rms).astype(np.complex64), side_info=bytes([code]))

    def decode(self, received: Received) -> Decoded:
        """Symbols to picture; never raises on bad symbols.

        Args:
            received: See `Received`. Values that are not numbers count as lost.
        """
        return self.decode_batch([received])[0]

    @torch.inference_mode()
    def decode_batch(self, received: Sequence[Received]) -> list[Decoded]:
        """As `decode`, of frames of any sizes; those of one size go through the network together."""
        sizes: dict[ImageSize, list[int]] = {}
        for index, one in enumerate(received):
            sizes.setdefault(one.size, []).append(index)
        found: dict[int, Decoded] = {}
        for members in sizes.values():
            for first in range(0, len(members), AT_ONCE):
                chosen = members[first : first + AT_ONCE]
                found.update(zip(chosen, self._decode([received[i] for i in chosen]), strict=True))
        return [found[index] for index in range(len(received))]

    def _decode(self, received: list[Received]) -> list[Decoded]:
        """Of frames of one size."""
        size = received[0].size
        rows, columns = self._padded(size)
        arrived = [self._arrived(one, rows * columns * self.symbols_per_patch) for one in received]
        reals, noise_var = (np.stack(part) for part in zip(*((a.reals, a.noise_var) for a in arrived), strict=True))
        shape = (len(received), -1, rows, columns)
        x_hat = self._pictures(
            torch.from_numpy(reals.reshape(shape)),
            torch.from_numpy(np.repeat(noise_var.reshape(shape) / 2, 2, axis=1)),
            [one.snr_design_db for one in received],
            [a.scale_db for a in arrived],
        )
        return [
            Decoded(
                picture[:, : size.height, : size.width], None,
                self._confidence(a.noise_var.reshape(-1, rows, columns), size, has_scale=a.has_scale),
            )
            for picture, a in zip(x_hat, arrived, strict=True)
        ]  # fmt: skip

    def _arrived(self, received: Received, n: int) -> _Arrived:
        """What a frame brought, lost where it is no number."""
        symbols, noise_var = received.usable(n)
        side = received.side_info
        scale_db = UNKNOWN_SCALE_DB if side is None or len(side) != 1 else SCALE_MIN_DB + SCALE_STEP_DB * side[0]
        pairs = np.stack([symbols.real, symbols.imag]).reshape(2, self.symbols_per_patch, -1)
        reals = np.ascontiguousarray(pairs.transpose(1, 0, 2))  # [128, 2, h w]: the order of the network's channels
        return _Arrived(reals, noise_var, scale_db, has_scale=side is not None and len(side) == 1)

    def _confidence(self, noise_var: npt.NDArray[np.float32], size: ImageSize, *, has_scale: bool) -> Map:
        """Reliability of a patch: the share of its symbols' power that is not noise. Without the scale none is sure."""
        share = np.where(np.isfinite(noise_var), 1 / (1 + noise_var), 0).mean(0) * has_scale
        return np.kron(share, np.ones((self.patch, self.patch)))[: size.height, : size.width].astype(np.float32)

    def _pictures(
        self, reals: Tensor, noise_var: Tensor, snr_db: list[float], scale_db: list[float]
    ) -> npt.NDArray[np.float32]:
        snr = torch.tensor(np.clip(snr_db, -10, 30), dtype=torch.float32, device=self.device)
        log_scale = torch.tensor(scale_db, dtype=torch.float64).mul(np.log(10) / 20).float().to(self.device)
        x_hat = self.network.decode(reals.to(self.device), noise_var.to(self.device), snr, log_scale)
        result: npt.NDArray[np.float32] = torch.nan_to_num(x_hat, nan=0.5).clamp(0, 1).cpu().numpy()
        return result
