# SPDX-License-Identifier: GPL-3.0-or-later
"""Fuzz the receiver with mutated bursts: no exception, bounded memory, frames that agree with their headers.

    python -m gened.bench.fuzz --seconds 60 --seed 1
    python -m gened.bench.fuzz --seed 1 --only 4711    one stream again, through a receiver of its own

A stream consists of a few pieces, one after another or overlapping: complete, cut and repeated bursts, bursts with
random header bytes under a valid CRC, noise, tones, random bytes as floats. It is then distorted by jumps of carrier,
clock and level, by noise, and by samples that are not finite. One receiver processes all streams in random chunks.
"""

from __future__ import annotations

import argparse
import collections
import json
import sys
import time
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass, replace
from fractions import Fraction
from typing import Any, Literal, cast

import numpy as np

from gened.bench.link_costs import memory_mib
from gened.gr_blocks.phy.channel.noise import complex_noise
from gened.gr_blocks.phy.coding.interleave import qpsk_stream
from gened.gr_blocks.phy.coding.modes import MODES
from gened.gr_blocks.phy.equalizer.demodulator import Capture
from gened.gr_blocks.phy.framing.assembly import CONSTELLATION_SYMBOLS, MAX_OPEN_FRAMES
from gened.gr_blocks.phy.framing.budget import MAX_BURST_SYMBOLS, frame_symbols
from gened.gr_blocks.phy.framing.burst import BurstContent
from gened.gr_blocks.phy.framing.header import HEADER_BYTES, MAX_BURST_ELEMENTS, VERSIONS, Header
from gened.gr_blocks.phy.framing.planning import plan_bursts
from gened.gr_blocks.phy.framing.records import MAX_TEXT_BYTES
from gened.gr_blocks.phy.ofdm.modulator import modulate_burst
from gened.gr_blocks.phy.ofdm.waveform import WAVEFORM
from gened.gr_blocks.phy.receiver import Receiver
from gened.gr_blocks.phy.sync.detector import LEAD, LOOKAHEAD, TAIL
from gened.gr_blocks.phy.types import ComplexArray, Encoded, Frame, ImageSize, ReceivedFrame

MAX_CHUNK = 65536
MAX_BUFFERED = WAVEFORM.burst_len(MAX_BURST_ELEMENTS) + TAIL + LEAD + LOOKAHEAD + MAX_CHUNK
"""Most samples that a detector may hold: the longest burst, and the latest chunk."""
MAX_GROWTH_MIB = 256.0
"""Most growth of the memory. A forged header may open a frame of 4 million symbols: 48 MiB for each of two such frames,
twice that while one is returned, as much again for its permutation, and memory for sorting it."""
KEPT_HEADERS = 1024
SIZES = (ImageSize(256, 256), ImageSize(512, 640), ImageSize(768, 1152))
Rng = np.random.Generator


class FuzzError(AssertionError):
    """The receiver raised an exception, or returned an inconsistent result."""


@dataclass
class Tally:
    """Counters of a run."""

    seconds: float = 0.0
    streams: int = 0
    bursts: int = 0
    """Number of complete, cut or forged bursts in the streams."""
    samples: int = 0
    preambles: int = 0
    headers: int = 0
    bad_headers: int = 0
    frames: int = 0
    memory_before_mib: float | None = None
    memory_after_mib: float | None = None
    peak_memory_mib: float | None = None


# Results of a receiver


def _require(condition: bool, what: str) -> None:
    if not condition:
        raise FuzzError(what)


def check_frame(frame: ReceivedFrame) -> None:
    """Check that a frame is consistent.

    Raises:
        FuzzError: It is not; the message names the fault.
    """
    received, symbols, noise_var = frame.received, frame.received.symbols, frame.received.noise_var
    _require(len(symbols) == len(noise_var), f"{len(symbols)} symbols, {len(noise_var)} variances")
    _require(len(symbols) <= frame_symbols(received.size, received.rate), "more symbols than the rate allows")
    _require(bool(np.isfinite(symbols).all()), "a symbol is not finite")
    _require(bool((noise_var > 0).all()), "a variance is 0, negative or not a number")  # inf where lost
    _require(bool((symbols[np.isinf(noise_var)] == 0).all()), "a lost symbol is not 0")
    _require(1 <= frame.n_bursts_received <= frame.n_bursts <= 256, "counts of bursts")
    _require(len(frame.constellation) <= CONSTELLATION_SYMBOLS, "a long constellation")
    _require(frame.text is None or len(frame.text) <= MAX_TEXT_BYTES, "a long text")
    for name in ("snr_est_db", "cfo_est_norm", "sfo_est_ppm"):
        _require(bool(np.isfinite(getattr(frame, name))), f"{name} is {getattr(frame, name)}")


class _Watched(Receiver):
    """Receiver that keeps the headers that it has decoded."""

    def __init__(self) -> None:
        super().__init__()
        self.headers: collections.deque[Header] = collections.deque(maxlen=KEPT_HEADERS)

    def _frames(self, captures: list[Capture]) -> list[ReceivedFrame]:
        for capture in captures:
            self.headers.append(capture.header)
            _require(len(capture.samples) >= WAVEFORM.burst_len(capture.header.n_elements), "a capture without its end")
        return super()._frames(captures)

    def check(self, frames: Iterable[ReceivedFrame]) -> None:
        """Check that frames agree with headers, and that buffers are within their bounds."""
        for frame in frames:
            check_frame(frame)
            is_announced = any(_is_of(header, frame) for header in self.headers)
            _require(is_announced, f"frame {frame.number} of {frame.session} has lengths that no header announced")
        _require(len(self.detector._buffer) <= MAX_BUFFERED, f"{len(self.detector._buffer)} samples are kept")
        _require(self.assembler.n_open <= MAX_OPEN_FRAMES, f"{self.assembler.n_open} frames are open")


def _is_of(header: Header, frame: ReceivedFrame) -> bool:
    """Test whether a frame has the lengths of a header."""
    side, text = frame.received.side_info, frame.text
    return (
        (header.session, header.frame, header.n_symbols, header.n_bursts)
        == (frame.session, frame.number, len(frame.received.symbols), frame.n_bursts)
        and (side is None or len(side) == header.side_len)
        and (text is None or len(text) == header.text_len)
    )


# Pieces of a stream


@dataclass(frozen=True)
class _Forged:
    """Bytes in place of a header; the CRC is computed over them and holds."""

    data: bytes

    @property
    def version(self) -> int:
        return self.data[0] >> 4

    def pack(self) -> bytes:
        return self.data


def _content(rng: Rng) -> BurstContent:
    """Make one burst of a valid frame."""
    n_side = int(rng.choice([0, 1, 2, 60, 200]))
    symbols = complex_noise(rng, int(rng.choice([0, 1, 50, 170])), 1.0)
    text = rng.bytes(int(rng.choice([0, 1, 30, 200])))
    frame = Frame(
        int(rng.integers(4)), int(rng.integers(6)), 1, SIZES[rng.integers(len(SIZES))], Fraction(1, 24),
        float(rng.choice([-8, 4, 20])), Encoded(symbols, rng.bytes(n_side)), text, str(rng.choice(list(MODES))),
    )  # fmt: skip
    contents = plan_bursts(frame, version=int(rng.choice(VERSIONS)))
    return contents[rng.integers(len(contents))]


def _burst(rng: Rng) -> ComplexArray:
    return modulate_burst(_content(rng), reduces_papr=bool(rng.integers(2)))


def _cut(rng: Rng) -> ComplexArray:
    burst = _burst(rng)
    first, last = np.sort(rng.integers(0, len(burst), 2))
    return burst[first:last]


def _repeated(rng: Rng) -> ComplexArray:
    return np.tile(_burst(rng), int(rng.integers(2, 4)))


def _as_sent(data: bytes, n_elements: int, rng: Rng) -> ComplexArray:
    header = cast(Header, _Forged(data))
    return modulate_burst(BurstContent(header, qpsk_stream(n_elements, int(rng.integers(1 << 10)))), reduces_papr=False)


def _bytes_of(header: Header, rng: Rng) -> bytes:
    """Flip a few bits of a header; the version mostly stays."""
    bits = np.unpackbits(np.frombuffer(header.pack(), np.uint8))
    bits[rng.integers(0 if rng.random() < 0.1 else 4, len(bits), int(rng.integers(1, 6)))] ^= 1
    return np.packbits(bits).tobytes()


def _forged(rng: Rng) -> ComplexArray:
    """Make a burst with flipped header bits, extreme fields or random bytes, and as many symbols as the header says, or
    not."""
    kind = int(rng.integers(3))
    if kind == 0:
        data = _bytes_of(_content(rng).header, rng)
    elif kind == 1:
        data = _extreme(rng)
    else:
        data = bytes([int(rng.choice(VERSIONS)) << 4 | int(rng.integers(16))]) + rng.bytes(HEADER_BYTES - 1)
    header = Header.unpack(data)
    announced = header.n_elements if header is not None else 0
    # The longest bursts last 96,000 samples, so most of those that announce such a length end early.
    n_elements = announced if announced <= 3000 or rng.random() < 0.2 else int(rng.integers(3000))
    return _as_sent(data, n_elements, rng)


def _extreme(rng: Rng) -> bytes:
    """Make a header whose fields are at the ends of their ranges."""
    ends: Callable[..., int] = lambda *values: int(rng.choice(values))  # noqa: E731
    header = _content(rng).header
    n_bursts = ends(1, 2, 255, 256)
    header = replace(
        header, session=ends(0, 1, 65535), frame=ends(0, 1, 32768, 65535), burst=ends(0, n_bursts - 1, 255),
        n_bursts=n_bursts, codec_id=ends(0, 2**32 - 1), size=ImageSize(ends(1, 64, 4096), ends(1, 64, 4096)),
        rate=Fraction(ends(1, 8), ends(1, 24, 512)), n_symbols=ends(0, 1, 255, 16384, 16385, 2**22, 2**23 - 1),
        side_len=ends(0, 1, 2, 65535), text_len=ends(0, 1, 2047), side_byte=ends(0, 255),
        side_mode=str(rng.choice(list(MODES))), text_mode=str(rng.choice(list(MODES))),
    )  # fmt: skip
    if rng.random() < 0.7:  # within the bounds that a receiver accepts
        most = min(n_bursts * MAX_BURST_SYMBOLS, frame_symbols(header.size, header.rate))
        header = replace(
            header, burst=min(header.burst, n_bursts - 1), n_symbols=min(header.n_symbols, most),
            side_len=min(header.side_len, 1) if rng.random() < 0.7 else header.side_len,
        )  # fmt: skip
    return header.pack()


def _raw_bytes(rng: Rng) -> ComplexArray:
    """Random bit patterns as floats: denormal, huge, NaN and infinite ones among them."""
    return np.frombuffer(rng.bytes(8 * int(rng.integers(1, 4000))), np.complex64)


def _noise(rng: Rng) -> ComplexArray:
    return complex_noise(rng, int(rng.integers(1, 6000)), 10 ** rng.uniform(-30, 30))


def _tone(rng: Rng) -> ComplexArray:
    t = np.arange(int(rng.integers(1, 6000)))
    cycles = rng.uniform(-0.5, 0.5) * t + rng.uniform(-1e-5, 1e-5) * t**2
    return np.asarray(np.exp(2j * np.pi * cycles), np.complex64)


def _preambles(rng: Rng) -> ComplexArray:
    """Repeat the half of a preamble more or less often than twice."""
    return np.tile(WAVEFORM.preamble_half, int(rng.integers(1, 12)))


def _silence(rng: Rng) -> ComplexArray:
    return np.zeros(int(rng.integers(0, 3000)), np.complex64)


BURSTS = (_burst, _cut, _repeated, _forged)
PIECES = (*BURSTS, _burst, _forged, _raw_bytes, _noise, _tone, _preambles, _silence)


# Distortions of a stream


def _moved_carrier(samples: ComplexArray, rng: Rng) -> ComplexArray:
    """Apply a carrier offset that jumps at a random place."""
    at = int(rng.integers(len(samples)))
    steps = np.full(len(samples), rng.uniform(-0.13, 0.13))
    steps[at:] = rng.uniform(-0.13, 0.13) if rng.random() < 0.5 else steps[0]
    return np.asarray(samples * np.exp(2j * np.pi * np.cumsum(steps)), np.complex64)


def _moved_clock(samples: ComplexArray, rng: Rng) -> ComplexArray:
    """Apply a clock error, or remove or repeat samples."""
    if rng.random() < 0.5:
        rate = 1 + 10 ** rng.uniform(-6, -1.5) * float(rng.choice([-1, 1]))
        return np.asarray(samples[np.arange(0, len(samples) - 1, rate).astype(int)], np.complex64)
    at, n = int(rng.integers(len(samples))), int(rng.integers(1, 300))
    return np.concatenate([samples[:at], samples[at + n :] if rng.random() < 0.5 else samples[max(0, at - n) :]])


def _moved_level(samples: ComplexArray, rng: Rng) -> ComplexArray:
    gains = np.full(len(samples), np.float32(10 ** rng.uniform(-6, 4)))
    if rng.random() < 0.5:
        gains[int(rng.integers(len(samples))) :] *= np.float32(10 ** rng.uniform(-3, 3))
    return np.asarray(samples * gains, np.complex64)


def _with_noise(samples: ComplexArray, rng: Rng) -> ComplexArray:
    return samples + complex_noise(rng, len(samples), WAVEFORM.noise_var_per_sample(rng.uniform(-5, 40)))


def _with_no_numbers(samples: ComplexArray, rng: Rng) -> ComplexArray:
    result = samples.copy()
    values = np.array([np.nan, np.inf, -np.inf, complex(0, np.nan), 3e38, 1e30, 1e-40], np.complex64)
    n = int(rng.integers(1, 40))
    result[rng.integers(0, len(samples), n)] = rng.choice(values, n)
    return result


DISTORTIONS = (_moved_carrier, _moved_clock, _moved_level, _with_noise, _with_no_numbers)


def stream(rng: Rng) -> tuple[ComplexArray, int]:
    """Make one stream.

    Args:
        rng: Source of randomness.

    Returns:
        Samples, [n] complex64, and the number of pieces that are bursts of any kind.
    """
    n_bursts, joined = 0, np.zeros(0, np.complex64)
    for _ in range(int(rng.integers(1, 5))):
        make = PIECES[rng.integers(len(PIECES))]
        n_bursts += make in BURSTS
        piece = make(rng)
        overlap = int(rng.integers(min(len(joined), len(piece)) + 1)) if rng.random() < 0.3 else 0
        head, tail = joined[: len(joined) - overlap], joined[len(joined) - overlap :]
        joined = np.concatenate([head, tail + piece[:overlap], piece[overlap:]])
    for distort in DISTORTIONS:
        if len(joined) and rng.random() < 0.35:
            joined = distort(joined, rng)
    return joined.astype(np.complex64), n_bursts


def chunks(samples: ComplexArray, rng: Rng) -> Iterable[ComplexArray]:
    """Cut samples into chunks of random sizes, empty ones among them."""
    largest, at = int(10 ** rng.uniform(1.5, np.log10(MAX_CHUNK))), 0
    while at < len(samples):
        n = int(rng.integers(0, largest + 1))
        yield samples[at : at + n]
        at += n


class Fuzzer:
    """Fuzzer whose streams depend on the seed and the stream's number alone.

    Args:
        seed: Seed of all random numbers.
        is_strict: Whether arithmetic overflow counts as a failure, too.
    """

    def __init__(self, seed: int, *, is_strict: bool = False) -> None:
        self.tally = Tally()
        self._arithmetic: Literal["raise", "ignore"] = "raise" if is_strict else "ignore"
        self._seed = seed
        self._receiver = _Watched()

    def step(self, number: int) -> None:
        """Process one stream.

        Args:
            number: Number of the stream.

        Raises:
            FuzzError: The receiver raised an exception or returned an inconsistent result.
        """
        rng, receiver = np.random.default_rng([self._seed, number]), self._receiver
        frames: list[ReceivedFrame] = []
        with np.errstate(all="ignore"):  # streams hold what overflows, on purpose
            samples, n_bursts = stream(rng)
        try:
            with np.errstate(all=self._arithmetic, under="ignore"):
                for chunk in chunks(samples, rng):
                    frames += receiver.push(chunk)
                    receiver.check([])
                if rng.random() < 0.1:
                    frames += receiver.flush()
                receiver.check(frames)
        except Exception as exc:
            what = f"{type(exc).__name__}: {exc}"
            raise FuzzError(f"stream {number} of seed {self._seed}: {what}") from exc
        self.tally.streams += 1
        self.tally.bursts += n_bursts
        self.tally.samples += len(samples)
        self.tally.frames += len(frames)

    def run(self, seconds: float, first: int = 0, most: int | None = None) -> Tally:
        """Process streams until a time or a number of streams is reached.

        Raises:
            FuzzError: As `step`, or memory has grown by more than `MAX_GROWTH_MIB`.
        """
        began_s, number, tally = time.monotonic(), first, self.tally
        tally.memory_before_mib = memory_mib("VmRSS")
        while time.monotonic() - began_s < seconds and (most is None or number < first + most):
            self.step(number)
            number += 1
            grown = (memory_mib("VmRSS") or 0.0) - (tally.memory_before_mib or 0.0)
            _require(grown <= MAX_GROWTH_MIB, f"memory has grown by {grown:.0f} MiB at stream {number - 1}")
        stats = self._receiver.detector.stats
        tally.preambles, tally.headers, tally.bad_headers = stats.preambles, stats.headers, stats.bad_headers
        tally.memory_after_mib, tally.peak_memory_mib = memory_mib("VmRSS"), memory_mib()
        tally.seconds = round(time.monotonic() - began_s, 1)
        return tally


def main(argv: list[str] | None = None) -> int:
    """Run the command line; return 1 if a check failed."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--only", type=int, help="this stream alone, by its number")
    parser.add_argument("--strict", action="store_true", help="arithmetic that overflows is a failure too")
    parser.add_argument("--json", action="store_true", help="print the tally as JSON")
    options = parser.parse_args(argv)
    only: dict[str, Any] = {} if options.only is None else {"first": options.only, "most": 1}
    try:
        tally = Fuzzer(options.seed, is_strict=options.strict).run(options.seconds, **only)
    except FuzzError as error:
        print(f"fuzz: {error}", file=sys.stderr)
        return 1
    if options.json:
        print(json.dumps(asdict(tally) | {"seed": options.seed}, indent=1))
    else:
        print(
            f"{tally.streams} streams, {tally.bursts} bursts, {tally.samples / 1e6:.1f} Msamples: "
            f"{tally.headers} headers read, {tally.bad_headers} refused, {tally.frames} frames; "
            f"at most {tally.peak_memory_mib} MiB"
        )
    return 0


if __name__ == "__main__":
    sys.exit(main())
