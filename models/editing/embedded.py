# SPDX-License-Identifier: GPL-3.0-or-later
"""The editor of this package: one step of a network of 10 MB, conditioned on SNR, mask and caption.

`gain` in `config.json` is the share of the network's change at strength 1: a number, or pairs of SNR and number with
linear interpolation. A gain below 1 stays closer to the received picture (`training/studies/choose_gain.py`).
"""

from __future__ import annotations

import json
import time
import zlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from gened import paths
from gened.errors import EditorError
from gened.models.devices import torch_device
from gened.models.editing.base import Edited, EditRequest, blended
from gened.models.editing.embedded_network import MULTIPLE, NOISE_MAPS, EditorInput, EditorNetwork
from gened.models.editing.tiles import in_tiles
from gened.models.editing.words import word_tensors

WEIGHTS = paths.WEIGHTS / "editor"
WEIGHTS_FILE, CONFIG_FILE = "model.safetensors", "config.json"
TILE, OVERLAP = 640, 96


class Gain:
    """Share of the network's change at strength 1, as a function of the SNR.

    Args:
        value: A number, or [[SNR in dB, number], ...] with rising SNRs.

    Raises:
        ValueError: Neither, or a number outside 0 to 1.
    """

    def __init__(self, value: object) -> None:
        pairs = value if isinstance(value, list) else [[0.0, value]]
        knots = np.array(pairs, np.float64)
        if knots.ndim != 2 or knots.shape[1] != 2 or not len(knots) or not np.isfinite(knots).all():
            raise ValueError("gain is a number, or pairs of SNR and number")
        self._snrs_db, self._gains = knots.T
        if (np.diff(self._snrs_db) <= 0).any() or self._gains.min() < 0 or self._gains.max() > 1:
            raise ValueError("gains are from 0 to 1, their SNRs rise")

    def __call__(self, snr_db: float | None) -> float:
        """The gain at an SNR in dB; without an SNR the mean of all gains."""
        if snr_db is None:
            return float(self._gains.mean())
        return float(np.interp(snr_db, self._snrs_db, self._gains))

    def __str__(self) -> str:
        return ", ".join(f"{gain:g} at {snr_db:g} dB" for snr_db, gain in zip(self._snrs_db, self._gains, strict=True))


class EmbeddedEditor:
    """The editor `embedded`, the default.

    Args:
        device: PyTorch device.
        weights: Folder of other weights for this network.

    Raises:
        EditorError: No such weights, weights of another network, or no such device.
    """

    name = "embedded"

    def __init__(self, *, device: str = "cpu", weights: str | Path | None = None) -> None:
        self._device = torch_device(device, EditorError)
        folder = Path(weights or WEIGHTS)
        network = EditorNetwork()
        try:
            network.load_state_dict({key: value.float() for key, value in load_file(folder / WEIGHTS_FILE).items()})
            description = json.loads((folder / CONFIG_FILE).read_text())
            self._gain = Gain(description.get("gain", 1.0))
            self._network = network.eval().requires_grad_(False).to(self._device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        except (OSError, SafetensorError, ValueError, TypeError, AttributeError) as error:
            raise EditorError(f"cannot read the editor's weights in {folder}: {error}") from error
        except RuntimeError as error:
            raise EditorError(f"the embedded editor cannot run: {str(error).splitlines()[0]}") from error
        weights_crc = zlib.crc32((folder / WEIGHTS_FILE).read_bytes())
        self.version = f"embedded, weights {weights_crc:08x}, gain {self._gain}"
        self.max_batch = 1 if self._device.type == "cpu" else 8

    def edit(self, request: EditRequest) -> Edited:
        """Edit a picture of any size; equal seeds give equal texture."""
        return self.edit_batch([request])[0]

    def edit_batch(self, requests: Sequence[EditRequest]) -> list[Edited]:
        """Edit pictures of one size."""
        begun = time.perf_counter()
        height, width = requests[0].x_hat.shape[1:]
        if len(requests) > 1 and max(height, width) <= TILE:
            edited = list(self._through([self._stacked(request) for request in requests], requests))
        else:
            edited = [self._tiled(request) for request in requests]
        seconds = (time.perf_counter() - begun) / len(requests)
        return [
            Edited(
                blended(request.x_hat, picture, self._gain(request.snr_est_db) * request.strength), seconds, self.name
            )
            for request, picture in zip(requests, edited, strict=True)
        ]

    @staticmethod
    def _stacked(request: EditRequest) -> npt.NDArray[np.float32]:
        """Picture, mask and noise, [4 + NOISE_MAPS, H, W]; the mask is zero if unknown."""
        size = request.x_hat.shape[1:]
        mask = np.zeros(size, np.float32) if request.mask is None else request.mask
        noise = np.random.default_rng(request.seed).standard_normal((NOISE_MAPS, *size), np.float32)
        return np.concatenate([request.x_hat, mask[None].astype(np.float32), noise])

    def _tiled(self, request: EditRequest) -> npt.NDArray[np.float32]:
        return in_tiles(
            self._stacked(request), lambda part: self._through([part], [request])[0], tile=TILE, overlap=OVERLAP
        )

    def _through(
        self, parts: Sequence[npt.NDArray[np.float32]], requests: Sequence[EditRequest]
    ) -> npt.NDArray[np.float32]:
        """[B, 3, h, w] of parts [4 + NOISE_MAPS, h, w] of any size, padded by reflection."""
        height, width = parts[0].shape[1:]
        x = torch.from_numpy(np.stack(parts)).to(self._device)
        x = _padded(x, -height % MULTIPLE, -width % MULTIPLE).contiguous(memory_format=torch.channels_last)
        words, starts = word_tensors([request.text for request in requests])
        snr_db = [np.nan if request.snr_est_db is None else request.snr_est_db for request in requests]
        knows_mask = [float(request.mask is not None and bool(request.mask.any())) for request in requests]
        given = EditorInput(
            x[:, :3], x[:, 3:4], torch.tensor(knows_mask, device=self._device),
            torch.tensor(snr_db, dtype=torch.float32, device=self._device), words.to(self._device),
            starts.to(self._device), x[:, 4:],
        )  # fmt: skip
        try:
            with torch.inference_mode():
                edited = self._network(given)[:, :, :height, :width]
        except RuntimeError as error:  # out of memory, above all
            raise EditorError(f"the editor failed: {str(error).splitlines()[0]}") from error
        result: npt.NDArray[np.float32] = edited.float().cpu().numpy()
        return result


def _padded(x: Tensor, bottom: int, right: int) -> Tensor:
    """Padded by reflection at the lower and right borders."""
    if not bottom and not right:
        return x
    return torch.nn.functional.pad(x, (0, right, 0, bottom), mode="reflect")
