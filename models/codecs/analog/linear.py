# SPDX-License-Identifier: GPL-3.0-or-later
"""The linear code of `softcast` and `gened`, from blocks to symbols and back; NumPy and SciPy only.

    blocks -> class map -> transform of the class -> plan: choice and powers of coefficients -> spread -> symbols

The receiver derives all of it from size, rate, design SNR and the class map, which is side information.

If the map would cost more than it gains, as in the smallest pictures, all blocks have the common class, and the side
information is one byte, the scale.
"""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction

import numpy as np
import numpy.typing as npt

from gened.errors import CodecError
from gened.gr_blocks.phy.coding.interleave import qpsk_stream
from gened.gr_blocks.phy.framing.budget import budget, frame_symbols, quantize_snr_db, side_symbols
from gened.gr_blocks.phy.types import Budget, Encoded, ImageSize, Received
from gened.models.codecs.analog.blocks import BLOCK, VALUES, grid_shape, merge, split
from gened.models.codecs.analog.choose import choose_classes
from gened.models.codecs.analog.class_map import IntMap, decode_maps, encode_maps
from gened.models.codecs.analog.estimate import lmmse
from gened.models.codecs.analog.plan import WEIGHT_UNIT, Group, Plan, make_plan
from gened.models.codecs.analog.spread import spread
from gened.models.codecs.analog.statistics import Statistics
from gened.models.codecs.base import Map, Picture
from gened.models.codecs.encode_options import MAX_SIDE_MARGIN_DB

MIN_RATE, MAX_RATE = Fraction(1, 96), Fraction(1, 12)
MAX_SIDE_LEN = (1 << 16) - 1
"""Largest length of side information in a header, bytes."""
MAP_ALWAYS_FROM = 4096
"""Number of blocks from which a map is always used: 1024x1024 pixels."""
SCALE_MIN_DB = -20.0
SCALE_STEP_DB = 0.2
"""Step of the scale byte, dB. The rounding, at most 1.2 % of the amplitude, is 39 dB below the signal."""
MAX_FOCUS = 15.0
FILLER_SEED = 103
UNWEIGHTED = round(1 / WEIGHT_UNIT)

Float32Array = npt.NDArray[np.float32]


@dataclass(frozen=True)
class Layout:
    """Common knowledge of both ends about a picture, given the side information."""

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
        """(group, blocks, first coefficient, one past the last) of each run of coefficients, in transmission order."""
        group, n_blocks = self.plan.extra
        runs = [(i, blocks, 0, int(self.plan.n_sent[i])) for i, blocks in enumerate(self.members)]
        if n_blocks:
            runs.append((group, self.members[group][:n_blocks], runs[group][3], runs[group][3] + 1))
        return [run for run in runs if len(run[1]) and run[3] > run[2]]

    def maps(self, shape: tuple[int, int]) -> tuple[IntMap, IntMap]:
        """Group and class of each block, both [rows, columns]."""
        group_of, classes = np.empty(shape, np.int64), np.empty(shape, np.int64)
        for i, members in enumerate(self.members):
            group_of.ravel()[members], classes.ravel()[members] = i, self.class_of[i]
        return group_of, classes

    def powers(self) -> Float32Array:
        """Power of each real dimension before the spreading, [n_reals]; 0 beyond the last coefficient."""
        parts = [np.tile(self.plan.power[i][begin:end], len(blocks)) for i, blocks, begin, end in self.slices()]
        joined = np.concatenate([*parts, np.zeros(self.n_reals)])[: self.n_reals]
        return np.asarray(joined, np.float32)


@dataclass(frozen=True)
class LinearEstimate:
    """Linear MMSE estimate of a picture from symbols and side information."""

    blocks: Float32Array
    """[rows * columns, 768], not clipped."""
    share: Float32Array
    """Share of each block's variance that the estimate explains, [rows * columns], in [0, 1]."""
    error_var: Float32Array
    """Expected squared error of each value of a block, by group, [groups, 768]."""
    group_of: IntMap
    """Group of each block, [rows, columns], an index into `error_var`."""
    classes: IntMap
    """Class of each block, [rows, columns]."""
    importance: IntMap | None
    """[rows, columns] of 0 and 1; None: not sent."""
    size: ImageSize
    snr_db: float
    """Received SNR, dB: the mean precision of the symbols, which is 0 for lost ones."""

    def picture(self) -> Picture:
        """[3, H, W], not clipped."""
        return merge(self.blocks, self.size)

    def padded_picture(self) -> Picture:
        """As `picture`, with whole blocks, [3, 16 rows, 16 columns]."""
        return merge(self.blocks, self._padded_size())

    def error_std(self) -> Float32Array:
        """Expected RMS error of each pixel over R, G and B, [16 rows, 16 columns]."""
        one_colour = self.error_var.reshape(len(self.error_var), 3, -1).mean(1)  # [groups, 256]
        blocks = np.tile(np.sqrt(one_colour)[self.group_of.ravel()], (1, 3))
        std: Float32Array = merge(blocks.astype(np.float32), self._padded_size())[0]
        return std

    def _padded_size(self) -> ImageSize:
        rows, columns = self.group_of.shape
        return ImageSize(rows * BLOCK, columns * BLOCK)


def block_importance(mask: Map | None, focus: float, size: ImageSize) -> tuple[IntMap | None, int]:
    """Importance of each block, [rows, columns], and the weight of the important ones in `WEIGHT_UNIT`.

    Args:
        mask: Importance of each pixel, [H, W]; a block is important where its mean is at least 1/2.
        focus: Weight of important blocks relative to the others, 1/16 to 15; 1: equal.
        size: Size of the picture, pixels.

    Returns:
        (None, 16) if the mask makes no difference.

    Raises:
        CodecError: A mask of another shape, or a focus out of range.
    """
    if mask is None:
        return None, UNWEIGHTED
    if mask.shape != tuple(size):
        raise CodecError(f"the mask has {mask.shape[1]}x{mask.shape[0]} pixels, the picture {size.width}x{size.height}")
    if not WEIGHT_UNIT <= focus <= MAX_FOCUS:
        raise CodecError(f"a focus of {focus:g}; from {WEIGHT_UNIT:g} to {MAX_FOCUS:g} is possible")
    weight_q = round(focus / WEIGHT_UNIT)
    shape = grid_shape(size)
    means = split(np.broadcast_to(np.nan_to_num(mask), (3, *mask.shape)).astype(np.float32)).mean(1).reshape(shape)
    important = (means >= 0.5).astype(np.int64)
    return (important, weight_q) if weight_q != UNWEIGHTED and important.any() else (None, UNWEIGHTED)


@dataclass(frozen=True)
class Analysis:
    """A picture at the sender before the modulation."""

    z: Float32Array
    """Coefficients to send, in units of their standard deviation, [n_reals]."""
    layout: Layout
    side: bytes
    """Side information after the scale byte."""
    size: ImageSize
    snr_db: float
    """Design SNR as quantised in the header, dB."""
    side_mode: str
    """Digital mode of the side information."""


class LinearCoder:
    """Both ends of the linear code.

    Args:
        statistics: Prior statistics of blocks.
    """

    def __init__(self, statistics: Statistics) -> None:
        self.statistics = statistics

    def analyse(
        self,
        x: Picture,
        *,
        rate: Fraction,
        snr_db: float,
        importance: IntMap | None = None,
        weight_q: int = UNWEIGHTED,
        side_margin_db: float = 0.0,
    ) -> Analysis:
        """Picture to plan and coefficients.

        Args:
            x: [3, H, W] float32 RGB in [0, 1].
            rate: From 1/96 to 1/12.
            snr_db: Es/N0 that the code is made for.
            importance: See `block_importance`.
            weight_q: Weight of the important blocks, in `WEIGHT_UNIT`.
            side_margin_db: Fade below `snr_db` that the side information survives, dB.

        Raises:
            CodecError: A rate or a margin out of range.
        """
        if not MIN_RATE <= rate <= MAX_RATE:
            raise CodecError(f"this codec does rates from {MIN_RATE} to {MAX_RATE}, not {rate}")
        if not 0 <= side_margin_db <= MAX_SIDE_MARGIN_DB:
            raise CodecError(f"a margin of {side_margin_db:g} dB; from 0 to {MAX_SIDE_MARGIN_DB:g} is possible")
        size = ImageSize(x.shape[1], x.shape[2])
        snr_db = quantize_snr_db(snr_db)
        allowed = budget(size, rate, snr_db, side_margin_db)
        blocks = split(np.nan_to_num(x, nan=0.5))
        candidates = self._candidates(blocks, size, allowed, snr_db, importance, weight_q)
        side, layout = candidates[0]
        if len(candidates) > 1:
            side, layout = min(candidates, key=lambda candidate: self._expected_error(blocks, candidate[1], snr_db))
        return Analysis(self._coefficients(blocks, layout), layout, side, size, snr_db, allowed.side_mode)

    def pack(self, analysis: Analysis) -> Encoded:
        """Coefficients to symbols."""
        values, scale_code = self._scaled(analysis.z, analysis.layout)
        reals = spread(values)
        symbols = (reals[0::2] + 1j * reals[1::2]).astype(np.complex64)
        return Encoded(symbols, bytes([scale_code]) + analysis.side, analysis.side_mode)

    def estimate(self, received: Received) -> LinearEstimate | None:
        """The linear estimate of a received frame; None without valid side information.

        Args:
            received: See `Received`. Symbols that are not finite count as lost.
        """
        size, side, snr_db = received.size, received.side_info, received.snr_design_db
        if not side or not MIN_RATE <= received.rate <= MAX_RATE or not np.isfinite(snr_db):
            return None
        snr_db = quantize_snr_db(snr_db)
        # By the header, because the symbols beside the side information depend on the sender's choice of its mode.
        n_symbols = min(len(received.symbols), frame_symbols(size, received.rate))
        layout = self._layout_of(side[1:], size, snr_db, n_symbols)
        reals, noise_var = _real_coordinates(received, layout.n_reals)
        powers = layout.powers()
        scale = 10 ** ((SCALE_MIN_DB + SCALE_STEP_DB * side[0]) / 20)
        z = lmmse(reals, noise_var, powers) / np.float32(scale)
        precision = float(np.mean(1 / noise_var)) if len(noise_var) else 0.0
        return self.synthesise(z, layout, size, precision)

    def synthesise(self, z: Float32Array, layout: Layout, size: ImageSize, precision: float) -> LinearEstimate:
        """Estimated coefficients to the estimate of the picture.

        Args:
            z: [n_reals].
            layout: Layout of the picture.
            size: Size of the picture, pixels.
            precision: Mean of 1 / noise variance over the real dimensions.
        """
        blocks, share, error_var = self._blocks(z, precision, layout)
        return LinearEstimate(
            blocks, share, error_var, *layout.maps(grid_shape(size)), layout.importance, size,
            snr_db=10 * float(np.log10(max(precision / 2, 1e-3))),
        )  # fmt: skip

    def mean_picture(self, size: ImageSize) -> Picture:
        """The mean colour of all photographs, [3, H, W], shown for lost frames."""
        mean = self.statistics.classes[-1].mean.reshape(3, -1).mean(1)
        return np.tile(mean[:, None, None], (1, size.height, size.width)).astype(np.float32)

    # Sender

    def _candidates(
        self,
        blocks: Float32Array,
        size: ImageSize,
        allowed: Budget,
        snr_db: float,
        importance: IntMap | None,
        weight_q: int,
    ) -> list[tuple[bytes, Layout]]:
        """Candidates of side information (after the scale byte) and layout: the common class, and a class map."""
        shape = grid_shape(size)
        found: list[tuple[bytes, Layout]] = []
        if importance is None and len(blocks) <= MAP_ALWAYS_FROM:  # importance is part of the map
            found.append((b"", self._layout_of(b"", size, snr_db, allowed.symbols)))

        def cost(n_bytes: int) -> int:
            return side_symbols(n_bytes, allowed.side_mode, allowed.n_bursts)

        typical = 2 + len(blocks) // 4
        classes = choose_classes(
            blocks, shape, self.statistics, snr_db=snr_db, symbols_per_bit=cost(typical) / (8 * typical),
            n_symbols=lambda n_bits: max(0, allowed.symbols - cost(2 + int(n_bits / 8))),
        )  # fmt: skip
        side = encode_maps(classes, self.statistics.frequencies, weight_q, importance) or b"\0"
        n_symbols = max(0, allowed.symbols - cost(1 + len(side)))
        if cost(1 + len(side)) <= allowed.symbols and len(side) < MAX_SIDE_LEN:
            found.append((side, self._layout(classes, importance, weight_q, snr_db, n_symbols)))
        if not found:
            found.append((b"", self._layout_of(b"", size, snr_db, allowed.symbols)))
        return found

    def _coefficients(self, blocks: Float32Array, layout: Layout) -> Float32Array:
        """Coefficients to send, in units of their standard deviation, [n_reals]."""
        result = np.zeros(layout.n_reals, np.float32)
        place = 0
        for i, members, begin, end in layout.slices():
            entry = self.statistics.classes[layout.class_of[i]]
            deviation = np.sqrt(entry.variance[begin:end]).astype(np.float32)
            values = (blocks[members] - entry.mean) @ (entry.basis[begin:end] / deviation[:, None]).T
            result[place : place + values.size] = values.ravel()
            place += values.size
        return result

    def _expected_error(self, blocks: Float32Array, layout: Layout, snr_db: float) -> float:
        """Expected squared error at the receiver, summed over the picture."""
        sigma2 = 10 ** (-snr_db / 10) / 2
        z = self._coefficients(blocks, layout)
        power = layout.powers()
        spent = float(np.vdot(power * z, z))
        noise = sigma2 * spent / max(layout.n_reals / 2, 1)  # relative to the planned powers, after the scale is undone
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
    def _scaled(z: Float32Array, layout: Layout) -> tuple[Float32Array, int]:
        """Values normalised to mean square 1/2, and the code of the factor."""
        values = z * np.sqrt(layout.powers())
        n = len(values)
        if n == 0:
            return values, 0
        largest = 10 ** ((SCALE_MIN_DB + 255 * SCALE_STEP_DB) / 20)
        rms = float(np.sqrt(np.mean(values.astype(np.float64) ** 2)))
        if rms * largest < np.sqrt(0.5):  # a picture equal to its class's mean still has to have power 1
            values = values + qpsk_stream(n, FILLER_SEED).real.astype(np.float32) * np.float32(1.01 / largest)
            rms = float(np.sqrt(np.mean(values.astype(np.float64) ** 2)))
        scale = np.sqrt(0.5) / rms
        code = int(np.clip(round((20 * np.log10(scale) - SCALE_MIN_DB) / SCALE_STEP_DB), 0, 255))
        return (values * scale).astype(np.float32), code

    # Both ends

    def _layout_of(self, side: bytes, size: ImageSize, snr_db: float, n_symbols: int) -> Layout:
        """The layout from the side information after the scale byte; empty: the common class for all blocks."""
        shape = grid_shape(size)
        if not side:
            common = np.full(shape, self.statistics.common, np.int64)
            return self._layout(common, None, UNWEIGHTED, snr_db, n_symbols)
        classes, weight_q, importance = decode_maps(side, shape, self.statistics.frequencies)
        return self._layout(classes, importance, weight_q, snr_db, n_symbols)

    def _layout(
        self, classes: IntMap, importance: IntMap | None, weight_q: int, snr_db: float, n_symbols: int
    ) -> Layout:
        n = len(self.statistics.classes)
        group_of = (classes if importance is None else classes + n * importance).ravel()
        present, first_in_order = np.unique(group_of), np.argsort(group_of, kind="stable")
        members = np.split(first_in_order, np.searchsorted(group_of[first_in_order], present[1:]))
        groups = [
            Group(self.statistics.classes[g % n].variance_q, weight_q if g >= n else UNWEIGHTED, len(blocks))
            for g, blocks in zip(present, members, strict=True)
        ]
        return Layout(
            make_plan(groups, n_symbols, snr_db), members, [int(g) % n for g in present], 2 * n_symbols, importance
        )

    # Receiver

    def _blocks(
        self, z: Float32Array, precision: float, layout: Layout
    ) -> tuple[Float32Array, Float32Array, Float32Array]:
        """Estimated blocks, [blocks, 768], the explained share of each block's variance, [blocks], and the expected
        squared error of each value by group, [groups, 768]."""
        n_blocks = sum(len(blocks) for blocks in layout.members)
        result = np.empty((n_blocks, VALUES), np.float32)
        share = np.zeros(n_blocks, np.float32)
        error_var = np.empty((len(layout.members), VALUES), np.float32)
        for i, members in enumerate(layout.members):
            entry = self.statistics.classes[layout.class_of[i]]
            result[members] = entry.mean
            left = entry.variance.copy()  # remaining variance of each coefficient
            signal = layout.plan.power[i][: int(layout.plan.n_sent[i])] * precision
            left[: len(signal)] /= 1 + signal
            rest = max(entry.total_variance - float(entry.variance.sum()), 0.0) / VALUES
            error_var[i] = left.astype(np.float32) @ entry.basis**2 + rest
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
        return result, share, error_var


def _real_coordinates(received: Received, n_reals: int) -> tuple[Float32Array, Float32Array]:
    """Real coordinates of the symbols and their noise variances, [n_reals]; 0 and inf for lost ones."""
    symbols, noise_var = np.zeros(n_reals // 2, np.complex64), np.full(n_reals // 2, np.inf, np.float32)
    count = min(len(symbols), len(received.symbols), len(received.noise_var))
    given, given_var = received.symbols[:count], received.noise_var[:count]
    good = np.isfinite(given) & np.isfinite(given_var) & (given_var >= 0)
    good &= np.abs(np.where(good, given, 0)) < 1e3
    symbols[:count] = np.where(good, given, 0)
    noise_var[:count] = np.where(good, np.clip(np.where(good, given_var, 1), 1e-6, 1e6), np.inf)
    return symbols.view(np.float32), np.repeat(noise_var / 2, 2)
