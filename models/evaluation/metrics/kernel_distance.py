# SPDX-License-Identifier: GPL-3.0-or-later
"""Kernel distance between the patches of original and of received pictures, a measure of naturalness of a set.

The squared maximum mean discrepancy with the kernel (x.y / d + 1)^3, unbiased, as KID, on features of
EfficientNet-Lite0 for patches of 64 pixels enlarged to 128. KID proper is defined on InceptionV3 and whole pictures:
the two cannot be compared.

References:
    Binkowski et al., "Demystifying MMD GANs", ICLR 2018.
"""

from __future__ import annotations

import base64
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import torch
from torch.nn import functional as F  # noqa: N812

from gened.models.codecs.base import Map, Picture
from gened.models.data.evaluation_set import Item
from gened.models.evaluation.metrics.base import Figures, Metric, Resources
from gened.models.evaluation.metrics.classifier import Classifier
from gened.models.evaluation.metrics.pixel_metrics import rounded

PATCH, ENLARGED = 64, 128
N_BOOTSTRAP = 200

Features = npt.NDArray[np.float32]
"""[n, d], one row per patch."""


def patches(x: Picture) -> npt.NDArray[np.float32]:
    """The picture in patches [n, 3, 64, 64] that do not overlap, from its upper left corner."""
    rows, columns = x.shape[1] // PATCH, x.shape[2] // PATCH
    cut = x[:, : rows * PATCH, : columns * PATCH].reshape(3, rows, PATCH, columns, PATCH)
    return np.ascontiguousarray(cut.transpose(1, 3, 0, 2, 4).reshape(-1, 3, PATCH, PATCH))


class PatchFeatures:
    """Features of a picture's patches, as text that a JSON file can hold."""

    def __init__(self, classifier: Classifier) -> None:
        self._classifier = classifier
        self.version = f"own, {PATCH}-pixel patches, kernel of degree 3 on {classifier.version} (no InceptionV3)"
        self._original: tuple[Picture, str] | None = None

    def __call__(self, x: Picture) -> str:
        """Features of a picture [3, H, W] in [0, 1], after rounding to 8 bits."""
        batch = torch.from_numpy(patches(rounded(x)))
        large = F.interpolate(batch, (ENLARGED, ENLARGED), mode="bicubic", align_corners=False).clamp(0, 1)
        found = torch.cat([self._classifier.features(part) for part in torch.split(large, 16)])
        return packed(found.numpy())

    def of_original(self, x: Picture) -> str:
        """As `__call__`, with the result of the last picture cached."""
        if self._original is None or self._original[0] is not x:
            self._original = (x, self(x))
        return self._original[1]


def packed(features: Features) -> str:
    """Features in half precision, as base 64."""
    return base64.b64encode(features.astype("<f2").tobytes()).decode()


def unpacked(text: str, width: int = 1280) -> Features:
    """The inverse of `packed`."""
    return np.frombuffer(base64.b64decode(text), "<f2").reshape(-1, width).astype(np.float32)


def kernel_distance(one: Features, two: Features) -> float:
    """Squared discrepancy of two sets of features; about 0 where both are of one kind, and then below 0 at times."""
    n, m = len(one), len(two)
    if n < 2 or m < 2:
        return float("nan")
    return _distance(*_kernels(one, two))


def _kernels(one: Features, two: Features) -> tuple[npt.NDArray[np.float64], ...]:
    a, b = one.astype(np.float64), two.astype(np.float64)
    width = a.shape[1]

    def kernel(x: npt.NDArray[np.float64], y: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        return np.asarray((x @ y.T / width + 1) ** 3)

    return kernel(a, a), kernel(b, b), kernel(a, b)


def _distance(aa: npt.NDArray[np.float64], bb: npt.NDArray[np.float64], ab: npt.NDArray[np.float64]) -> float:
    n, m = len(aa), len(bb)
    within_a = (aa.sum() - np.trace(aa)) / (n * (n - 1))
    within_b = (bb.sum() - np.trace(bb)) / (m * (m - 1))
    return float(within_a + within_b - 2 * ab.mean())


def distance_interval(
    originals: Sequence[Features], received: Sequence[Sequence[Features]]
) -> tuple[float, tuple[float, float] | None]:
    """Distance over all patches, and the 95 % interval of a bootstrap over pictures.

    A picture that is drawn twice would meet itself; such pairs of equal patches are left out of the means.

    Args:
        originals: Features of each picture's patches.
        received: The same of the received pictures, one sequence per noise seed, in the same order.

    Returns:
        The mean of the distances of the seeds, and its interval, for which the pictures are drawn once for all seeds;
        None for fewer than two pictures.
    """
    sizes = np.array([len(features) for features in originals])
    kernels = [_kernels(np.concatenate(list(originals)), np.concatenate(list(each))) for each in received]
    distance = float(np.mean([_distance(*each) for each in kernels]))
    if len(sizes) < 2:
        return distance, None
    # Sums over the patches of each pair of pictures: what a drawing of pictures needs, however often it is drawn. A
    # distance is linear in them, so the mean over the seeds is taken here.
    sums = [np.mean([_by_picture(each[i], sizes) for each in kernels], axis=0) for i in range(3)]
    own = [np.mean([np.add.reduceat(np.diag(each[i]), _firsts(sizes)) for each in kernels], axis=0) for i in range(2)]
    rng = np.random.default_rng(0)
    found = []
    for _ in range(N_BOOTSTRAP):
        times = np.bincount(rng.integers(len(sizes), size=len(sizes)), minlength=len(sizes)).astype(np.float64)
        n = times @ sizes
        n_pairs = n * n - (times * times) @ sizes
        squares = times * times  # a patch meets itself so often
        within = [(times @ s @ times - squares @ o) / n_pairs for s, o in zip(sums[:2], own, strict=True)]
        found.append(float(within[0] + within[1] - 2 * (times @ sums[2] @ times) / (n * n)))
    low, high = np.percentile(found, [2.5, 97.5])
    return distance, (float(low), float(high))


def _firsts(sizes: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    return np.concatenate([[0], np.cumsum(sizes)])[:-1]


def _by_picture(kernel: npt.NDArray[np.float64], sizes: npt.NDArray[np.int64]) -> npt.NDArray[np.float64]:
    """[pictures, pictures] sums over [patches, patches]."""
    firsts = _firsts(sizes)
    return np.asarray(np.add.reduceat(np.add.reduceat(kernel, firsts, axis=0), firsts, axis=1))


class KernelDistance(Metric):
    """The registered metric, of the whole set: each picture gives features, `distance_interval` compares them."""

    def __init__(self, resources: Resources) -> None:
        super().__init__(resources)
        self._features = PatchFeatures(resources.classifier)
        self.version = self._features.version

    def figures(self, item: Item, x_hat: Picture, mask: Map | None) -> Figures:
        """Nothing: one picture has no distance of its own."""
        return {}

    def patches(self, item: Item, x_hat: Picture) -> tuple[str, str]:
        """Packed features of the patches of original and received picture."""
        return self._features.of_original(item.x), self._features(x_hat)
