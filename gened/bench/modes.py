# SPDX-License-Identifier: GPL-3.0-or-later
"""Bench of the digital modes and the header: loss rates over Es/N0 in white noise, and the thresholds of `modes.MODES`.

    python -m gened.bench.modes --frames 5000 --json

The decoder receives the symbols with their true noise variance; the thresholds contain 1 dB for the loss of a real
receiver. Also measured: minimum-sum scaling, exact against max-log LLRs, and the speed of the decoder.
"""

from __future__ import annotations

import argparse
import json
import platform
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from fractions import Fraction

import numba
import numpy as np
import numpy.typing as npt

from gened.gr_blocks.phy.channel.noise import complex_noise
from gened.gr_blocks.phy.coding.interleave import permutation
from gened.gr_blocks.phy.coding.ldpc import MAX_ITERATIONS, LdpcCode
from gened.gr_blocks.phy.coding.ldpc_decoder import LdpcDecoder
from gened.gr_blocks.phy.coding.ldpc_matrices import shifts
from gened.gr_blocks.phy.coding.modes import INTERLEAVER_SEED, MODES, digital_decode, digital_encode
from gened.gr_blocks.phy.coding.modulation import demodulate, modulate
from gened.gr_blocks.phy.framing.header import Header, decode_header, encode_header
from gened.gr_blocks.phy.ofdm.waveform import WAVEFORM
from gened.gr_blocks.phy.types import ComplexArray, ImageSize

TEXT_BYTES = 60
SIDE_BYTES = (16, 64, 600)
"""Lengths of side information: of a small picture, one full packet, several blocks."""
TARGET = 1e-3
MARGIN_DB = 1.0
STEP_DB = 0.25
LLR_POINTS = (("16qam-1/2", 6.25), ("64qam-1/2", 10.5), ("16qam-3/4", 10.0), ("64qam-3/4", 15.25))
SCALING_SNR_DB = (-1.75, -1.5, -1.25)
ENOUGH_ERRORS = 50
"""Lost frames after which a point ends; its relative standard deviation is then 14 %."""

Trial = Callable[[float, np.random.Generator], bool]
"""Trial of one message at an Es/N0 in dB: whether it was lost."""


@dataclass(frozen=True)
class Point:
    """Loss rate at one SNR."""

    what: str
    snr_db: float
    fer: float
    n_frames: int


def noisy(
    symbols: ComplexArray, snr_db: float, rng: np.random.Generator
) -> tuple[ComplexArray, npt.NDArray[np.float64]]:
    """Add white noise to symbols.

    Args:
        symbols: [n] complex64.
        snr_db: Es/N0, dB.
        rng: Source of the noise.

    Returns:
        Noisy symbols, [n] complex64, and the noise variance of each, [n].
    """
    noise_var = 10 ** (-snr_db / 10)
    return symbols + complex_noise(rng, len(symbols), noise_var), np.full(len(symbols), noise_var)


def payload_trial(n_bytes: int, mode_name: str) -> Trial:
    """Make a trial of a random payload in a mode."""

    def lost(snr_db: float, rng: np.random.Generator) -> bool:
        payload = rng.bytes(n_bytes)
        return digital_decode(*noisy(digital_encode(payload, mode_name), snr_db, rng), n_bytes, mode_name) != payload

    return lost


def random_header(rng: np.random.Generator) -> Header:
    """Make a valid header with random fields."""
    return Header(
        session=int(rng.integers(65536)), frame=int(rng.integers(65536)), burst=0, n_bursts=1,
        codec_id=int(rng.integers(1 << 32)), size=ImageSize(256, 256), rate=Fraction(1, 24), snr_design_db=4.0,
        side_mode="bpsk-1/2", text_mode="qpsk-1/2", n_symbols=int(rng.integers(8193)), side_len=1,
        text_len=int(rng.integers(200)), side_byte=int(rng.integers(256)),
    )  # fmt: skip


def header_trial() -> Trial:
    """Make a trial of a random header on the resource elements of the waveform."""
    n_elements = int((~WAVEFORM.pilot_mask(WAVEFORM.n_header_symbols)).sum())

    def lost(snr_db: float, rng: np.random.Generator) -> bool:
        header = random_header(rng)
        return decode_header(*noisy(encode_header(header, n_elements), snr_db, rng)) != header

    return lost


def loss_rate(what: str, trial: Trial, snr_db: float, n_frames: int, seed: int) -> Point:
    """Run trials until enough frames are lost or all are sent."""
    rng = np.random.default_rng([seed, round(100 * snr_db) + 10000])
    n_lost = n_done = 0
    while n_done < n_frames and n_lost < ENOUGH_ERRORS:
        n_lost += trial(snr_db, rng)
        n_done += 1
    return Point(what, snr_db, n_lost / n_done, n_done)


def curve(what: str, trial: Trial, first_db: float, n_frames: int, seed: int) -> list[Point]:
    """Measure loss rates at multiples of 0.25 dB, from about `first_db` to the target."""
    first_db = STEP_DB * np.floor(first_db / STEP_DB)
    points = [loss_rate(what, trial, first_db, n_frames, seed)]
    while points[-1].fer > TARGET and len(points) < 60:
        points.append(loss_rate(what, trial, first_db + STEP_DB * len(points), n_frames, seed))
    return points


def holds_from_db(points: list[Point]) -> float:
    """SNR in dB at which a curve crosses the target, interpolated log-linearly between its last two points."""
    high, low = (np.log10(max(point.fer, 0.5 / point.n_frames)) for point in points[-2:])
    share = (high - np.log10(TARGET)) / (high - low)
    return round(float(points[-2].snr_db + share * (points[-1].snr_db - points[-2].snr_db)), 2)


def scaling_loss(scaling: float, snr_db: float, n_blocks: int, seed: int) -> float:
    """Block loss rate of n = 2304, rate 1/2, BPSK, with one scaling of the minimum-sum messages and no offset.

    Args:
        scaling: Factor for the magnitudes of messages.
        snr_db: Es/N0, dB.
        n_blocks: Number of blocks.
        seed: Seed of the noise.

    Returns:
        Fraction in [0, 1].
    """
    code = LdpcCode.for_payload(LdpcCode.max_info("1/2"))
    decoder = LdpcDecoder.from_base_matrix(
        shifts("1/2", code.z), code.z, scale=scaling, offset=0.0, max_iterations=MAX_ITERATIONS
    )
    rng, n_lost = np.random.default_rng(seed), 0
    for _ in range(n_blocks):
        # The zero codeword, sent as -1, stands for all: the code is linear and the channel symmetric.
        noise = np.sqrt(0.5 * 10 ** (-snr_db / 10)) * rng.standard_normal(code.n_coded)
        llr = 4 * 10 ** (snr_db / 10) * (-1 + noise)
        n_lost += bool((decoder.decode(llr.astype(np.float32), slice(0, 0))[0] > 0).any())
    return n_lost / n_blocks


def max_log_llr(symbols: ComplexArray, noise_var: float, bits_per_symbol: int) -> npt.NDArray[np.float64]:
    """Max-log LLRs, from the nearest points alone.

    Args:
        symbols: [n] complex64.
        noise_var: Whole complex noise variance.
        bits_per_symbol: 1, 2, 4, 6 or 8.

    Returns:
        [n bits_per_symbol] float64, positive means 1.
    """
    words = (np.arange(2**bits_per_symbol)[:, None] >> np.arange(bits_per_symbol)[::-1] & 1).astype(np.uint8)
    distance = np.abs(symbols[:, None] - modulate(words.ravel(), bits_per_symbol)) ** 2 / noise_var
    llr = [distance[:, bit == 0].min(1) - distance[:, bit == 1].min(1) for bit in words.T]
    return np.asarray(np.stack(llr, axis=1).ravel(), np.float64)


def llr_losses(name: str, snr_db: float, n_blocks: int, seed: int) -> dict[str, str | float]:
    """Block loss rates of the longest code of a mode with exact and with max-log LLRs of the same noise."""
    rng, mode = np.random.default_rng(seed), MODES[name]
    code = LdpcCode.for_payload(LdpcCode.max_info(mode.code_rate), mode.code_rate)
    noise_var, bits_per_symbol = 10 ** (-snr_db / 10), mode.bits_per_symbol
    bits = rng.integers(0, 2, (n_blocks, code.n_info), dtype=np.uint8)
    order = permutation(code.n_coded, INTERLEAVER_SEED)
    back = np.argsort(order)
    found: list[list[npt.NDArray[np.float64]]] = [[], []]
    for one in bits:
        received, variance = noisy(modulate(code.encode(one)[order], bits_per_symbol), snr_db, rng)
        found[0].append(demodulate(received, variance, bits_per_symbol)[back])
        found[1].append(max_log_llr(received, noise_var, bits_per_symbol)[back])
    exact, max_log = (
        float(np.mean([(code.decode(llr)[0] != one).any() for llr, one in zip(llrs, bits, strict=True)]))
        for llrs in found
    )
    return {"mode": name, "snr_db": snr_db, "fer_exact": exact, "fer_max_log": max_log}


def decoder_speed(ebno_db: float, n_blocks: int, seed: int) -> float:
    """Speed of the decoder in Mbit/s of information bits on one core, n = 2304, rate 1/2, at an Eb/N0 in dB."""
    rng, code = np.random.default_rng(seed), LdpcCode.for_payload(LdpcCode.max_info("1/2"))
    noise_var = 1 / (2 * 0.5 * 10 ** (ebno_db / 10))
    received = []
    for _ in range(n_blocks):
        coded = code.encode(rng.integers(0, 2, code.n_info, dtype=np.uint8))
        received.append(2 * (2.0 * coded - 1 + np.sqrt(noise_var) * rng.standard_normal(code.n_coded)) / noise_var)
    code.decode(received[0])  # compiles the decoder
    began_s = time.process_time()
    for llr in received:
        code.decode(llr)
    return code.n_info * n_blocks / (time.process_time() - began_s) / 1e6


def measure(n_frames: int, seed: int) -> dict[str, object]:
    """Run all measurements of this bench."""
    points, thresholds = [], {}
    for name, mode in MODES.items():
        found = curve(name, payload_trial(TEXT_BYTES, name), mode.min_snr_db - MARGIN_DB - 1.0, n_frames, seed)
        points += found
        thresholds[name] = {
            "holds_from_db": holds_from_db(found),
            "min_snr_db": round(holds_from_db(found) + MARGIN_DB, 1),
            "table": mode.min_snr_db,
        }
    header = curve("header", header_trial(), -5.5, n_frames, seed)
    sides = []
    for n_bytes in SIDE_BYTES:
        for name in ("bpsk-1/2x2", "bpsk-1/2", "qpsk-1/2"):
            trial = payload_trial(n_bytes, name)
            sides += curve(f"{n_bytes} bytes {name}", trial, MODES[name].min_snr_db - 2.0, n_frames, seed)
    scaling = {
        str(value): [scaling_loss(value, snr_db, n_frames // 5, seed) for snr_db in SCALING_SNR_DB]
        for value in (0.7, 0.75, 0.8, 0.85, 0.9, 1.0)
    }
    return {
        "thresholds": thresholds,
        "header_holds_from_db": holds_from_db(header),
        "rows": [asdict(point) for point in points + header + sides],
        "scaling_snr_db": SCALING_SNR_DB,
        "scaling_fer": scaling,
        "llr": [llr_losses(name, snr_db, n_frames // 5, seed) for name, snr_db in LLR_POINTS],
        "decoder_mbps": {str(ebno): decoder_speed(ebno, 200, seed) for ebno in (1.5, 2.0, 3.0, 5.0)},
    }


def main(argv: list[str] | None = None) -> int:
    """Print the curves and thresholds, or JSON."""
    parser = argparse.ArgumentParser(description="Loss rates of the digital modes and of the header over Es/N0")
    parser.add_argument("--frames", type=int, default=5000, help="most trials a point (default 5000)")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--json", action="store_true", help="machine-readable output")
    args = parser.parse_args(argv)
    meta = {
        "command": sys.argv,
        "seed": args.seed,
        "numpy": np.__version__,
        "numba": numba.__version__,
        "machine": platform.machine(),
    }
    result = {"meta": meta, **measure(args.frames, args.seed)}
    if args.json:
        sys.stdout.write(json.dumps(result, indent=1) + "\n")
        return 0
    rows = result.pop("rows")
    assert isinstance(rows, list)
    for row in rows:
        sys.stdout.write(f"{row['what']:>22}  {row['snr_db']:6.2f} dB  FER {row['fer']:.4f}  of {row['n_frames']}\n")
    for key, value in result.items():
        sys.stdout.write(f"{key}: {value}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
