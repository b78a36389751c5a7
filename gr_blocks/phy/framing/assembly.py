# SPDX-License-Identifier: GPL-3.0-or-later
"""Assemble frames from received bursts: collect bursts, decode side information and text, undo the permutation."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np

from gened.gr_blocks.phy.coding import erasure_code
from gened.gr_blocks.phy.coding.interleave import FRAME_SEED, permutation
from gened.gr_blocks.phy.coding.modes import digital_decode, salvage
from gened.gr_blocks.phy.coding.requirements import prepare_decoder
from gened.gr_blocks.phy.equalizer.evm import digital_evm_db
from gened.gr_blocks.phy.framing.budget import side_symbols, text_symbols
from gened.gr_blocks.phy.framing.burst import ReceivedBurst
from gened.gr_blocks.phy.framing.header import Header
from gened.gr_blocks.phy.types import ComplexArray, FloatArray, PartialBytes, Received, ReceivedFrame

MAX_SIDE_BYTES = 65535
MAX_OPEN_FRAMES = 4
"""Most incomplete frames kept."""
MAX_OPEN_SYMBOLS = 2**23
"""Most analogue symbols kept for incomplete frames: two of the largest frames, 96 MiB."""
REMEMBERED_FRAMES = 64
"""Frames already returned that are remembered, so that late bursts and repetitions count as duplicates."""
CONSTELLATION_SYMBOLS = 4096
"""Most digital symbols of a frame kept for display."""
MIN_NOISE_VAR = 1e-12
"""Least noise variance of a received symbol; decoders divide by it."""

FrameKey = tuple[int, int]
"""Session and frame number."""


@dataclass
class AssemblerStats:
    """Counters of bursts and frames."""

    bursts: int = 0
    frames: int = 0
    incomplete_frames: int = 0
    duplicates: int = 0
    mismatched: int = 0
    """Bursts whose number of symbols, or whose description of the frame, does not agree with their header."""
    discarded_frames: int = 0
    """Frames discarded because too many were incomplete."""


class _BurstFigures(NamedTuple):
    """Estimates of a burst, kept after its symbols are stored in the frame."""

    snr_est_db: float
    cfo_norm: float
    sfo_ppm: float
    n_samples: int


@dataclass
class _OpenFrame:
    header: Header
    last_s: float
    """Time of the latest burst, s."""
    symbols: ComplexArray
    noise_var: FloatArray
    bursts: dict[int, _BurstFigures] = field(default_factory=dict)
    side: dict[int, bytes] = field(default_factory=dict)
    text: dict[int, bytes] = field(default_factory=dict)
    broken_text: dict[int, tuple[ComplexArray, FloatArray]] = field(default_factory=dict)
    """Symbols and noise variances of the data packets of the text whose CRC failed, by burst."""
    constellation: list[ComplexArray] = field(default_factory=list)


def _description(header: Header) -> tuple[object, ...]:
    """Header fields that all bursts of one frame have in common."""
    return (
        header.version, header.n_bursts, header.codec_id, header.size, header.rate, header.snr_design_db,
        header.side_mode, header.text_mode, header.n_symbols, header.side_len, header.text_len, header.side_byte,
    )  # fmt: skip


def _partial_text(frame: _OpenFrame) -> PartialBytes | None:
    """Certain bytes of a text of which too few packets are whole; the data packets are pieces of it (systematic
    code)."""
    header, plan = frame.header, frame.header.text_plan
    data, is_sure = bytearray(plan.k * plan.packet_len), np.zeros(plan.k * plan.packet_len, bool)
    for number in range(plan.k):
        where = slice(number * plan.packet_len, (number + 1) * plan.packet_len)
        if number in frame.text:
            data[where], is_sure[where] = frame.text[number], True
        elif number in frame.broken_text:
            found = salvage(*frame.broken_text[number], plan.packet_len, header.text_mode)
            data[where], is_sure[where] = found.data, found.is_sure
    is_sure = is_sure[: header.text_len]
    return PartialBytes(bytes(data[: header.text_len]), is_sure) if is_sure.any() else None


class FrameAssembler:
    """Collector of bursts, from any sender and in any order, that returns each frame once.

    A frame is returned when all its bursts have arrived, when a burst of a later frame of the same session arrives, or
    `timeout_s` after its latest burst. Missing symbols are marked as lost.

    Args:
        timeout_s: Seconds that a frame waits for its next burst, in the clock of `now_s`.

    Raises:
        NotReadyError: A package of the channel codes is missing.
    """

    def __init__(self, timeout_s: float = 2.0) -> None:
        prepare_decoder()
        self.timeout_s = timeout_s
        self.stats = AssemblerStats()
        self._open: OrderedDict[FrameKey, _OpenFrame] = OrderedDict()
        self._done: OrderedDict[FrameKey, tuple[object, ...]] = OrderedDict()

    @property
    def n_open(self) -> int:
        """Number of incomplete frames."""
        return len(self._open)

    def push(self, burst: ReceivedBurst, now_s: float = 0.0) -> list[ReceivedFrame]:
        """Add a burst.

        Args:
            burst: Demodulated burst.
            now_s: Current time, s, of a clock that does not go back.

        Returns:
            Frames that became complete or timed out, oldest first.
        """
        header = burst.header
        key = (header.session, header.frame)
        self.stats.bursts += 1
        over = self.poll(now_s)  # first, so that a late burst does not extend the life of its frame
        if len(burst.symbols) != header.n_elements or len(burst.noise_var) != header.n_elements:
            self.stats.mismatched += 1
            return over
        if self._done.get(key) == _description(header):
            self.stats.duplicates += 1
            return over
        earlier = [
            other for other in self._open if other[0] == key[0] and other != key and self._is_later(key[1], other[1])
        ]
        frames = over + [self._finish(other) for other in earlier]
        frame = self._open.get(key)
        if frame is not None and _description(frame.header) != _description(header):
            self.stats.mismatched += 1
            return frames
        if frame is None:
            frame = self._begin(key, header, now_s)
        if header.burst in frame.bursts:
            self.stats.duplicates += 1
        else:
            self._add(frame, burst)
            frame.last_s = now_s
        if len(frame.bursts) == header.n_bursts:
            frames.append(self._finish(key))
        return frames

    def poll(self, now_s: float) -> list[ReceivedFrame]:
        """Return frames that timed out.

        Args:
            now_s: Current time, s, of the clock of `push`.
        """
        late = [key for key, frame in self._open.items() if now_s - frame.last_s >= self.timeout_s]
        return [self._finish(key) for key in late]

    def flush(self) -> list[ReceivedFrame]:
        """Return all incomplete frames."""
        return [self._finish(key) for key in list(self._open)]

    @staticmethod
    def _is_later(number: int, other: int) -> bool:
        return 0 < (number - other) % 65536 < 32768

    def _begin(self, key: FrameKey, header: Header, now_s: float) -> _OpenFrame:
        while self._open and (
            len(self._open) >= MAX_OPEN_FRAMES
            or header.n_symbols + sum(frame.header.n_symbols for frame in self._open.values()) > MAX_OPEN_SYMBOLS
        ):
            self._open.popitem(last=False)
            self.stats.discarded_frames += 1
        empty = np.zeros(header.n_symbols, np.complex64)
        self._open[key] = _OpenFrame(header, now_s, empty, np.full(header.n_symbols, np.inf, np.float32))
        return self._open[key]

    @staticmethod
    def _add(frame: _OpenFrame, burst: ReceivedBurst) -> None:
        header = burst.header
        frame.bursts[header.burst] = _BurstFigures(burst.snr_est_db, burst.cfo_norm, burst.sfo_ppm, burst.n_samples)
        n_digital = header.n_side + header.n_text
        parts = (
            (frame.side, header.side_plan, header.side_mode, slice(0, header.n_side)),
            (frame.text, header.text_plan, header.text_mode, slice(header.n_side, n_digital)),
        )
        for found, packets, mode_name, where in parts:
            if header.burst < packets.m:
                packet = digital_decode(burst.symbols[where], burst.noise_var[where], packets.packet_len, mode_name)
                if packet is not None:
                    found[header.burst] = packet
                elif found is frame.text and header.burst < packets.k:
                    frame.broken_text[header.burst] = burst.symbols[where].copy(), burst.noise_var[where].copy()
        analog = slice(header.first_symbol, header.first_symbol + header.n_analog)
        values, noise_var = burst.symbols[n_digital:], burst.noise_var[n_digital:]
        good = np.isfinite(values) & np.isfinite(noise_var) & (noise_var >= 0)
        frame.symbols[analog] = np.where(good, values, 0)
        frame.noise_var[analog] = np.where(good, np.maximum(noise_var, MIN_NOISE_VAR), np.inf)
        room = CONSTELLATION_SYMBOLS - sum(map(len, frame.constellation))
        frame.constellation.append(burst.symbols[: min(n_digital, room)].copy())

    def _finish(self, key: FrameKey) -> ReceivedFrame:
        frame = self._open.pop(key)
        header = frame.header
        self._done[key] = _description(header)
        while len(self._done) > REMEMBERED_FRAMES:
            self._done.popitem(last=False)
        self.stats.frames += 1
        self.stats.incomplete_frames += len(frame.bursts) < header.n_bursts
        order = permutation(header.n_symbols, FRAME_SEED)
        symbols, noise_var = np.empty_like(frame.symbols), np.empty_like(frame.noise_var)
        symbols[order], noise_var[order] = frame.symbols, frame.noise_var
        if header.side_len == 1:
            side: bytes | None = bytes([header.side_byte])
        else:
            side = erasure_code.decode(frame.side, header.side_len, header.n_bursts)
        text = erasure_code.decode(frame.text, header.text_len, header.n_bursts)
        bursts = list(frame.bursts.values())
        snr = float(np.mean([10 ** (burst.snr_est_db / 10) for burst in bursts]))
        received = Received(symbols, noise_var, side, header.size, header.rate, header.snr_design_db)
        return ReceivedFrame(
            session=header.session, number=header.frame, codec_id=header.codec_id, received=received,
            text=text, has_text=header.text_len > 0,
            n_bursts=header.n_bursts, n_bursts_received=len(bursts), snr_est_db=float(10 * np.log10(max(snr, 1e-9))),
            cfo_est_norm=float(np.mean([burst.cfo_norm for burst in bursts])),
            sfo_est_ppm=float(np.mean([burst.sfo_ppm for burst in bursts])),
            on_air_samples=sum(burst.n_samples for burst in bursts),
            text_symbols=text_symbols(header.text_len, header.text_mode, header.n_bursts),
            side_symbols=side_symbols(header.side_len, header.side_mode, header.n_bursts),
            constellation=np.concatenate(frame.constellation),
            evm_db=digital_evm_db(header, dict(zip(frame.bursts, frame.constellation, strict=True)), side, text),
            partial_text=_partial_text(frame) if text is None else None,
        )  # fmt: skip
