# SPDX-License-Identifier: GPL-3.0-or-later
"""`softcast`: the classical analogue scheme, NumPy and SciPy alone, any rate from 1/96 to 1/12 and any SNR.

    blocks -> class map -> transform of the class -> plan: which coefficients, what power -> spread -> symbols
    (all of it follows from size, rate, design SNR and the class map, which travels as side information)

Where the map would cost more than it brings, as in the smallest pictures, all blocks share one class; then one byte,
the scale, is all the side information there is.

References:
    Jakubczak and Katabi, "A cross-layer design for scalable mobile video", ACM MobiCom 2011 (SoftCast).
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from safetensors import SafetensorError
from safetensors.numpy import load as load_tensors

from gened.gr_blocks.phy.budget import analog_budget, budget, side_symbols
from gened.gr_blocks.phy.errors import CodecError
from gened.gr_blocks.phy.header import quantize_snr_db
from gened.gr_blocks.phy.interleave import qpsk_stream
from gened.gr_blocks.phy.types import Encoded, ImageSize, Received
from gened.models.codecs.analog import statistics as stats
from gened.models.codecs.analog.blocks import grid_shape, merge, split, to_pixels
from gened.models.codecs.analog.choose import choose_classes
from gened.models.codecs.analog.class_map import IntMap, decode_maps, encode_maps
from gened.models.codecs.analog.estimate import lmmse
from gened.models.codecs.analog.plan import WEIGHT_UNIT, Group, Plan, make_plan
from gened.models.codecs.analog.spread import spread
from gened.models.codecs.base import Decoded, Map, Picture, codec_id

MIN_RATE, MAX_RATE = Fraction(1, 96), Fraction(1, 12)
MAX_SIDE_LEN = (1 << 16) - 1
"""Bytes of side information that a header can tell."""
MAP_ALWAYS_FROM = 4096
"""Blocks from which a map always pays: 1024x1024 pixels."""
SCALE_MIN_DB = -20.0
SCALE_STEP_DB = 0.2
"""The scale byte counts fifths of a decibel: its rounding, 0.7 % of the amplitude, lies 43 dB under the signal."""
DEFAULT_FOCUS = 4.0
FILLER_SEED = 103
WEIGHTS = Path(__file__).resolve().parents[1] / "weights" / "softcast"
_UNWEIGHTED = round(1 / WEIGHT_UNIT)

Float32Array = npt.NDArray[np.float32]


@dataclass(frozen=True)
class _Layout:
    """What both ends know of a picture once the side information is there."""

    plan: Plan
    members: list[npt.NDArray[np.int64]]
    """Blocks of each group, in raster order."""
    class_of: list[int]
    """Class of each group."""
    n_reals: int
    """Real dimensions: twice the symbols."""
    importance: IntMap | None
    """[rows, columns] of 0 and 1."""

    def slices(self) -> list[tuple[int, npt.NDArray[np.int64], int, int]]:
        """(group, blocks, first coefficient, one past the last) of each run of coefficients, in wire order."""
        group, n_blocks = self.plan.extra
        runs = [(i, blocks, 0, int(self.plan.n_sent[i])) for i, blocks in enumerate(self.members)]
        if n_blocks:
            runs.append((group, self.members[group][:n_blocks], runs[group][3], runs[group][3] + 1))
        return [run for run in runs if len(run[1]) and run[3] > run[2]]

    def powers(self) -> Float32Array:
        """Power of each real dimension before the spreading, [n_reals]; 0 behind the last coefficient."""
        parts = [np.tile(self.plan.power[i][begin:end], len(blocks)) for i, blocks, begin, end in self.slices()]
        joined = np.concatenate([*parts, np.zeros(self.n_reals)])[: self.n_reals]
        return np.asarray(joined, np.float32)


class SoftCast:
    """The codec `softcast`; see the module's docstring.

    Args:
        folder: `model.safetensors` and `config.json`; default: the statistics that ship with the package.
        device: Unused; there is no network.

    Raises:
        CodecError: No statistics in the folder, or not those of this codec.
    """

    name = "softcast"

    def __init__(self, folder: Path | str | None = None, *, device: str = "cpu") -> None:
        folder = Path(folder) if folder is not None else WEIGHTS
        try:
            description: dict[str, Any] = json.loads((folder / "config.json").read_text())
            weights = (folder / "model.safetensors").read_bytes()
            self.statistics = stats.from_tensors(load_tensors(weights))
            self.codec_id = codec_id(self.name, description["statistics"], weights)
        except FileNotFoundError as error:
            raise CodecError(f"no softcast statistics in {folder}: {Path(error.filename).name} is missing") from error
        except (OSError, ValueError, KeyError, TypeError, SafetensorError) as error:
            raise CodecError(
                f"the statistics in {folder} are not those of softcast: {str(error).splitlines()[0]}"
            ) from error

    def encode(
        self,
        x: Picture,
        *,
        rate: Fraction = Fraction(1, 24),
        snr_db: float,
        mask: Map | None = None,
        focus: float | None = None,
        refine_steps: int = 0,
        seed: int = 0,
    ) -> Encoded:
        """Picture to symbols.

        Args:
            x: [3, H, W] float32 RGB in [0, 1].
            rate: From 1/96 to 1/12.
            snr_db: Es/N0 that the code is made for.
            mask: Importance of each pixel, [H, W]; a block is important where its mean is at least 1/2.
            focus: Weight of important blocks against the others, 1/16 to 15; 4 unless told. Nothing without a mask.
            refine_steps: Not of this codec: 0.
            seed: Unused; the code is deterministic.

        Raises:
            CodecError: A rate or a focus out of range, a refinement, or a mask of another shape.
        """
        if not MIN_RATE <= rate <= MAX_RATE:
            raise CodecError(f"softcast does rates from {MIN_RATE} to {MAX_RATE}, not {rate}")
        if refine_steps:
            raise CodecError("softcast has nothing to refine: give no refinement steps")
        size = ImageSize(x.shape[1], x.shape[2])
        snr_db = quantize_snr_db(snr_db)
        importance, weight_q = self._importance(mask, focus, size)
        blocks = split(np.nan_to_num(x, nan=0.5))
        candidates = self._candidates(blocks, size, rate, snr_db, importance, weight_q)
        side, layout = candidates[0]
        if len(candidates) > 1:
            side, layout = min(candidates, key=lambda candidate: self._expected_error(blocks, candidate[1], snr_db))
        values, scale_code = self._scaled(self._coefficients(blocks, layout), layout)
        reals = spread(values)
        return Encoded(
            symbols=(reals[0::2] + 1j * reals[1::2]).astype(np.complex64), side_info=bytes([scale_code]) + side
        )

    def decode(self, received: Received) -> Decoded:
        """Symbols to picture; never raises on bad symbols.

        Args:
            received: See `Received`. Values that are not numbers count as lost. Without side information nobody knows
                which coefficients the symbols are: the answer is the mean of all photographs, with confidence 0.
        """
        size, side, snr_db = received.size, received.side_info, received.snr_design_db
        if not side or not MIN_RATE <= received.rate <= MAX_RATE or not np.isfinite(snr_db):
            return self._lost(size)
        snr_db = quantize_snr_db(snr_db)
        layout = self._layout_of(side[1:], size, snr_db, analog_budget(size, received.rate, snr_db, len(side)))
        reals, noise_var = _real_coordinates(received, layout.n_reals)
        powers = layout.powers()
        scale = 10 ** ((SCALE_MIN_DB + SCALE_STEP_DB * side[0]) / 20)
        z = lmmse(reals, noise_var, powers) / np.float32(scale)
        blocks, share = self._blocks(z, powers, float(np.mean(1 / noise_var)) if len(noise_var) else 0.0, layout)
        x_hat = np.clip(merge(blocks, size), 0, 1)
        mask = None if layout.importance is None else to_pixels(layout.importance.ravel(), size)
        return Decoded(x_hat, mask, to_pixels(share, size))

    # Sender

    @staticmethod
    def _importance(mask: Map | None, focus: float | None, size: ImageSize) -> tuple[IntMap | None, int]:
        """Importance of each block (None: it makes no difference); weight of the important ones in `WEIGHT_UNIT`."""
        if mask is None:
            return None, _UNWEIGHTED
        if mask.shape != tuple(size):
            raise CodecError(
                f"the mask has {mask.shape[1]}x{mask.shape[0]} pixels, the picture {size.width}x{size.height}"
            )
        focus = DEFAULT_FOCUS if focus is None else focus
        if not WEIGHT_UNIT <= focus <= 15:
            raise CodecError(f"a focus of {focus:g}; from {WEIGHT_UNIT:g} to 15 is possible")
        weight_q = round(focus / WEIGHT_UNIT)
        shape = grid_shape(size)
        means = split(np.broadcast_to(np.nan_to_num(mask), (3, *mask.shape)).astype(np.float32)).mean(1).reshape(shape)
        important = (means >= 0.5).astype(np.int64)
        return (important, weight_q) if weight_q != _UNWEIGHTED and important.any() else (None, _UNWEIGHTED)

    def _candidates(
        self,
        blocks: Float32Array,
        size: ImageSize,
        rate: Fraction,
        snr_db: float,
        importance: IntMap | None,
        weight_q: int,
    ) -> list[tuple[bytes, _Layout]]:
        """Side information behind the scale, and layout: of one class for all, and of a class map."""
        allowed = budget(size, rate, snr_db)
        shape = grid_shape(size)
        found: list[tuple[bytes, _Layout]] = []
        if importance is None and len(blocks) <= MAP_ALWAYS_FROM:  # who asks for importance needs a map of it
            layout = self._layout_of(b"", size, snr_db, analog_budget(size, rate, snr_db, 1))
            found.append((b"", layout))

        def cost(n_bytes: int) -> int:
            return side_symbols(n_bytes, allowed.side_mode, allowed.n_bursts)

        typical = 2 + len(blocks) // 4
        classes = choose_classes(
            blocks, shape, self.statistics, snr_db=snr_db, symbols_per_bit=cost(typical) / (8 * typical),
            n_symbols=lambda n_bits: max(0, allowed.symbols - cost(2 + int(n_bits / 8))),
        )  # fmt: skip
        side = encode_maps(classes, self.statistics.frequencies, weight_q, importance) or b"\0"
        n_symbols = analog_budget(size, rate, snr_db, 1 + len(side))
        if cost(1 + len(side)) <= allowed.symbols and len(side) < MAX_SIDE_LEN:
            found.append((side, self._layout(classes, importance, weight_q, snr_db, n_symbols)))
        if not found:
            common = self._layout_of(b"", size, snr_db, analog_budget(size, rate, snr_db, 1))
            found.append((b"", common))
        return found

    def _coefficients(self, blocks: Float32Array, layout: _Layout) -> Float32Array:
        """Coefficients that are sent, in units of their deviation, [n_reals]."""
        result = np.zeros(layout.n_reals, np.float32)
        place = 0
        for i, members, begin, end in layout.slices():
            entry = self.statistics.classes[layout.class_of[i]]
            deviation = np.sqrt(entry.variance[begin:end]).astype(np.float32)
            values = (blocks[members] - entry.mean) @ (entry.basis[begin:end] / deviation[:, None]).T
            result[place : place + values.size] = values.ravel()
            place += values.size
        return result

    def _expected_error(self, blocks: Float32Array, layout: _Layout, snr_db: float) -> float:
        """Squared error that the receiver will be left with, summed over the picture."""
        sigma2 = 10 ** (-snr_db / 10) / 2
        z = self._coefficients(blocks, layout)
        power = layout.powers()
        spent = float(np.vdot(power * z, z))
        noise = sigma2 * spent / max(layout.n_reals / 2, 1)  # against the powers as planned, when the scale is undone
        kept = power / (power + sigma2)
        variance = np.concatenate(
            [
                np.tile(self.statistics.classes[layout.class_of[i]].variance[b:e], len(m))
                for i, m, b, e in layout.slices()
            ]
            or [np.zeros(0)]
        )
        n = len(variance)
        z, kept, power = z[:n], kept[:n], power[:n]
        total = 0.0
        for i, members in enumerate(layout.members):
            centred = blocks[members] - self.statistics.classes[layout.class_of[i]].mean
            total += float(np.vdot(centred, centred))
        sent = power > 0
        error = variance[sent] * (((1 - kept[sent]) ** 2 - 1) * z[sent] ** 2 + kept[sent] ** 2 * noise / power[sent])
        return total + float(error.sum())

    @staticmethod
    def _scaled(z: Float32Array, layout: _Layout) -> tuple[Float32Array, int]:
        """Values of mean square 1/2, and the code of the factor that made them so."""
        values = z * np.sqrt(layout.powers())
        n = len(values)
        if n == 0:
            return values, 0
        largest = 10 ** ((SCALE_MIN_DB + 255 * SCALE_STEP_DB) / 20)
        rms = float(np.sqrt(np.mean(values.astype(np.float64) ** 2)))
        if rms * largest < np.sqrt(0.5):  # a picture that is its class's mean still has to fill the channel
            values = values + qpsk_stream(n, FILLER_SEED).real.astype(np.float32) * np.float32(1.01 / largest)
            rms = float(np.sqrt(np.mean(values.astype(np.float64) ** 2)))
        scale = np.sqrt(0.5) / rms
        code = int(np.clip(round((20 * np.log10(scale) - SCALE_MIN_DB) / SCALE_STEP_DB), 0, 255))
        return (values * scale).astype(np.float32), code

    # Both ends

    def _layout_of(self, side: bytes, size: ImageSize, snr_db: float, n_symbols: int) -> _Layout:
        """The layout that side information (behind the scale byte) tells; none: one class for all blocks."""
        shape = grid_shape(size)
        if not side:
            common = np.full(shape, self.statistics.common, np.int64)
            return self._layout(common, None, _UNWEIGHTED, snr_db, n_symbols)
        classes, weight_q, importance = decode_maps(side, shape, self.statistics.frequencies)
        return self._layout(classes, importance, weight_q, snr_db, n_symbols)

    def _layout(
        self, classes: IntMap, importance: IntMap | None, weight_q: int, snr_db: float, n_symbols: int
    ) -> _Layout:
        n = len(self.statistics.classes)
        group_of = (classes if importance is None else classes + n * importance).ravel()
        present, first_in_order = np.unique(group_of), np.argsort(group_of, kind="stable")
        members = np.split(first_in_order, np.searchsorted(group_of[first_in_order], present[1:]))
        groups = [
            Group(self.statistics.classes[g % n].variance_q, weight_q if g >= n else _UNWEIGHTED, len(blocks))
            for g, blocks in zip(present, members, strict=True)
        ]
        return _Layout(
            make_plan(groups, n_symbols, snr_db), members, [int(g) % n for g in present], 2 * n_symbols, importance
        )

    # Receiver

    def _lost(self, size: ImageSize) -> Decoded:
        rows, columns = grid_shape(size)
        mean = np.tile(
            self.statistics.classes[-1].mean.reshape(3, -1).mean(1)[:, None, None], (1, size.height, size.width)
        )
        return Decoded(mean.astype(np.float32), None, np.zeros(tuple(size), np.float32))

    def _blocks(
        self, z: Float32Array, powers: Float32Array, precision: float, layout: _Layout
    ) -> tuple[Float32Array, Float32Array]:
        """Blocks of the picture, and how much of each one's variance is known, [blocks] in [0, 1]."""
        n_blocks = sum(len(blocks) for blocks in layout.members)
        result = np.empty((n_blocks, self.statistics.classes[0].basis.shape[1]), np.float32)
        share = np.zeros(n_blocks, np.float32)
        for i, members in enumerate(layout.members):
            result[members] = self.statistics.classes[layout.class_of[i]].mean
        place = 0
        for i, members, begin, end in layout.slices():
            entry = self.statistics.classes[layout.class_of[i]]
            n = len(members) * (end - begin)
            part = z[place : place + n].reshape(len(members), -1)
            deviation = np.sqrt(entry.variance[begin:end]).astype(np.float32)
            result[members] += part @ (entry.basis[begin:end] * deviation[:, None])
            signal = layout.plan.power[i][begin:end] * precision
            share[members] += np.float32(
                np.sum(entry.variance[begin:end] * signal / (1 + signal)) / entry.total_variance
            )
            place += n
        return result, share


def _real_coordinates(received: Received, n_reals: int) -> tuple[Float32Array, Float32Array]:
    """Real coordinates of the symbols and the noise variance of each, [n_reals]; 0 and inf for what is lost."""
    symbols, noise_var = np.zeros(n_reals // 2, np.complex64), np.full(n_reals // 2, np.inf, np.float32)
    count = min(len(symbols), len(received.symbols), len(received.noise_var))
    given, given_var = received.symbols[:count], received.noise_var[:count]
    good = np.isfinite(given) & np.isfinite(given_var) & (given_var >= 0)
    good &= np.abs(np.where(good, given, 0)) < 1e3
    symbols[:count] = np.where(good, given, 0)
    noise_var[:count] = np.where(good, np.clip(np.where(good, given_var, 1), 1e-6, 1e6), np.inf)
    return symbols.view(np.float32), np.repeat(noise_var / 2, 2)
