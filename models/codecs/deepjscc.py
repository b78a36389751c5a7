# SPDX-License-Identifier: GPL-3.0-or-later
"""`deepjscc`: the convolutional baseline of the papers, one set of weights for every SNR, rate 1/24.

A patch of 32x32 pixels gets 128 complex symbols, whatever it shows. One byte of side information tells the scale that
brought the picture to mean power 1; it rides in the header and costs no symbols.
"""

from __future__ import annotations

import json
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from gened.gr_blocks.phy.budget import analog_budget
from gened.gr_blocks.phy.errors import CodecError
from gened.gr_blocks.phy.types import Encoded, ImageSize, Received
from gened.models.codecs.base import Decoded, codec_id
from gened.models.codecs.deepjscc_network import DeepJsccConfig, DeepJsccNetwork

RATE = Fraction(1, 24)
SCALE_MIN_DB = -20.0
SCALE_STEP_DB = 0.25
"""The scale byte counts quarter decibels: its rounding, 1.5 % of the amplitude at most, lies 37 dB under the signal."""
UNKNOWN_SCALE_DB = 0.0
"""What the decoder assumes without side information: the training pictures' typical scale."""
WEIGHTS = Path(__file__).resolve().parents[1] / "weights" / "deepjscc"

FloatPicture = npt.NDArray[np.float32]


class DeepJscc:
    """The codec `deepjscc`; see the module's docstring.

    Args:
        folder: `model.safetensors` and `config.json`; default: the weights that ship with the package.
        device: PyTorch device.

    Raises:
        CodecError: No weights in the folder, or not those of this architecture; or the device "numpy".
    """

    name = "deepjscc"

    def __init__(self, folder: Path | str | None = None, *, device: str = "cpu") -> None:
        if device == "numpy":
            raise CodecError(f"{self.name} needs PyTorch at the transmitter; softcast and gened do without")
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
        self.device = torch.device(device)
        self.network.to(device=self.device, memory_format=torch.channels_last).eval()  # type: ignore[call-overload]
        self.patch = self.network.config.patch
        self.symbols_per_patch = self.network.config.reals_per_patch // 2

    def _padded(self, size: ImageSize) -> tuple[int, int]:
        return -(-size.height // self.patch), -(-size.width // self.patch)

    def _n_sent(self, size: ImageSize, snr_db: float) -> int:
        """Symbols sent: all, or as many as the budget holds where the padding of an odd size would exceed it."""
        rows, columns = self._padded(size)
        return min(rows * columns * self.symbols_per_patch, analog_budget(size, RATE, snr_db, 1))

    @torch.inference_mode()
    def encode(
        self,
        x: FloatPicture,
        *,
        rate: Fraction = RATE,
        snr_db: float,
        mask: FloatPicture | None = None,
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
        if rate != RATE:
            raise CodecError(f"deepjscc was trained for rate {RATE} only, not {rate}; softcast takes any rate")
        if side_margin_db:
            raise CodecError("deepjscc has one byte of side information, in the header: it takes no margin")
        if mask is not None or focus not in (None, 1, 1.0) or refine_steps:
            raise CodecError("deepjscc spends the same on every patch: it takes no mask, no focus and no refinement")
        size = ImageSize(x.shape[1], x.shape[2])
        rows, columns = self._padded(size)
        widths = ((0, 0), (0, rows * self.patch - size.height), (0, columns * self.patch - size.width))
        batch = torch.from_numpy(np.pad(x, widths, mode="edge"))[None].to(self.device)
        coded = self.network.encode(batch, torch.tensor([float(snr_db)], device=self.device))
        reals = (coded.reals * torch.exp(-coded.log_scale)[:, None, None, None])[0].double().cpu().numpy()
        # [256, h, w] -> [128, h w] complex, the most telling coefficients first: what an odd size cannot pay for is at
        # the end.
        pairs = reals.reshape(self.symbols_per_patch, 2, rows * columns)
        symbols = (pairs[:, 0] + 1j * pairs[:, 1]).ravel()[: self._n_sent(size, snr_db)]
        return self._normalized(symbols)

    @staticmethod
    def _normalized(symbols: npt.NDArray[np.complex128]) -> Encoded:
        floor = 10 ** (-(SCALE_MIN_DB + 255 * SCALE_STEP_DB) / 20)  # smallest deviation that the byte can tell
        rms = float(np.sqrt(np.mean(np.abs(symbols) ** 2)))
        if rms < floor:  # a picture that is the mean itself still has to fill the channel
            phases = np.exp(2j * np.pi * 0.6180339887 * np.arange(len(symbols)) ** 2)
            symbols = symbols + floor * phases
            rms = float(np.sqrt(np.mean(np.abs(symbols) ** 2)))
        code = int(np.clip(round((-20 * np.log10(rms) - SCALE_MIN_DB) / SCALE_STEP_DB), 0, 255))
        return Encoded(symbols=(symbols / rms).astype(np.complex64), side_info=bytes([code]))

    @torch.inference_mode()
    def decode(self, received: Received) -> Decoded:
        """Symbols to picture; never raises on bad symbols.

        Args:
            received: See `Received`. Values that are not numbers count as lost.
        """
        size = received.size
        rows, columns = self._padded(size)
        n = rows * columns * self.symbols_per_patch
        symbols, noise_var = np.zeros(n, np.complex64), np.full(n, np.inf, np.float32)
        count = min(n, len(received.symbols), len(received.noise_var))
        given, given_var = received.symbols[:count], received.noise_var[:count]
        good = np.isfinite(given) & np.isfinite(given_var) & (given_var >= 0) & (np.abs(given) < 1e3)
        symbols[:count] = np.where(good, given, 0)
        noise_var[:count] = np.where(good, np.clip(given_var, 1e-6, 1e6), np.inf)
        has_scale = received.side_info is not None and len(received.side_info) == 1
        scale_db = (
            SCALE_MIN_DB + SCALE_STEP_DB * received.side_info[0]
            if has_scale and received.side_info
            else UNKNOWN_SCALE_DB
        )
        pairs = np.stack([symbols.real, symbols.imag]).reshape(2, self.symbols_per_patch, rows, columns)
        reals = torch.from_numpy(np.ascontiguousarray(pairs.transpose(1, 0, 2, 3)).reshape(1, -1, rows, columns))
        half = torch.from_numpy(
            np.repeat(noise_var.reshape(self.symbols_per_patch, rows, columns) / 2, 2, axis=0)[None]
        )
        x_hat = self._picture(reals, half, received.snr_design_db, scale_db)[:, : size.height, : size.width]
        # Reliability of a patch: the share of its symbols' power that is not noise. Without the scale nothing is sure.
        share = np.where(np.isfinite(noise_var), 1 / (1 + noise_var), 0).reshape(-1, rows, columns).mean(0) * has_scale
        confidence = np.kron(share, np.ones((self.patch, self.patch)))[: size.height, : size.width].astype(np.float32)
        return Decoded(x_hat=x_hat, mask=None, confidence=confidence)

    def _picture(self, reals: Tensor, noise_var: Tensor, snr_db: float, scale_db: float) -> FloatPicture:
        snr = torch.tensor([float(np.clip(snr_db, -10, 30))], device=self.device)
        log_scale = torch.tensor([scale_db * np.log(10) / 20], dtype=torch.float32, device=self.device)
        x_hat = self.network.decode(reals.to(self.device), noise_var.to(self.device), snr, log_scale)[0]
        result: FloatPicture = torch.nan_to_num(x_hat, nan=0.5).clamp(0, 1).cpu().numpy()
        return result
