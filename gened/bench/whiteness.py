# SPDX-License-Identifier: GPL-3.0-or-later
"""PAPR and SNR loss by kind of analogue symbols, with and without means against symbols that are not white.

    python -m gened.bench.whiteness --data PICTURES [--limit 8] [--out FILE]

Each frame is sent as samples through white noise and the whole receiver; its loss is the set SNR less the SNR of the
received symbols. The means are what may be done to symbols between a codec and the resource grid:

    none      nothing, as in format version 1
    signs     pseudo-random signs
    quarters  pseudo-random powers of i, as in format version 2 (`ofdm.payload_phases`)
    uniform   pseudo-random phases, uniform in [0, 2 pi)
    spread    powers of i and a DFT over the whole frame: every element is a sum of all symbols

A spread frame has lower peaks where few symbols have most of the power. But its symbols share their noise, so a decoder
no longer knows which of them came over a faded carrier. `capacity_snr_db` shows that: the SNR at which white noise has
the mean capacity that the errors of the symbols leave, here over TDL-A with a delay spread of one sample.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from functools import lru_cache, partial
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import scipy.fft

from gened.bench.link_frames import N_ANALOG, SAMPLE_RATE, random_frame
from gened.gr_blocks.phy.channel.config import ChannelConfig
from gened.gr_blocks.phy.channel.noise import complex_noise
from gened.gr_blocks.phy.channel.sample_channel import SampleChannel
from gened.gr_blocks.phy.coding.interleave import hash_stream, qpsk_stream
from gened.gr_blocks.phy.framing.planning import plan_bursts
from gened.gr_blocks.phy.ofdm.modulator import modulate_burst
from gened.gr_blocks.phy.ofdm.papr_reduction import papr_db
from gened.gr_blocks.phy.ofdm.payload_phases import payload_phases
from gened.gr_blocks.phy.receiver import Receiver
from gened.gr_blocks.phy.types import ComplexArray, Encoded, FloatArray
from gened.models.codecs.registry import load_codec
from gened.models.data.evaluation_set import find_pictures, read_item
from gened.provenance import run_meta

RATE = Fraction(1, 24)
SIDE = 256
"""Pictures are stretched to this height and width, in pixels."""
BLOCK = 8
"""Height and width of a local average, in pixels."""
STRONG, WEAK_DB = 0.01, -50.0
"""Fraction of strong symbols, and power of the weak ones over theirs, of the kind `few-strong`."""
SPAN_DB = 40.0
"""Range of the power of the kind `decades`."""
GAP = 1000
SEED = 6
"""Stream of `hash_stream` for the means that are compared."""
CODECS = ("softcast", "gened", "deepjscc", "hevc-ldpc")
FADING = ChannelConfig(kind="tdl-a", snr_db=10.0, delay_spread=1.0)

Picture = npt.NDArray[np.float32]
Row = dict[str, Any]


def _unit_power(symbols: npt.NDArray[Any]) -> ComplexArray:
    return np.asarray(symbols / np.sqrt(np.mean(np.abs(symbols) ** 2)), np.complex64)


def _averages(x: Picture) -> Picture:
    """Means of the blocks of 8x8 pixels of a picture [3, 256, 256], one after another."""
    n = SIDE // BLOCK
    return np.asarray(x.reshape(3, n, BLOCK, n, BLOCK).mean((2, 4)).ravel(), np.float32)


def _few_strong(rng: np.random.Generator) -> ComplexArray:
    power = np.where(rng.random(N_ANALOG) < STRONG, 1.0, 10 ** (WEAK_DB / 10))
    return np.asarray(complex_noise(rng, N_ANALOG, 1.0) * np.sqrt(power), np.complex64)


def _decades(rng: np.random.Generator) -> ComplexArray:
    amplitude = 10 ** (-SPAN_DB / 20 * np.arange(N_ANALOG) / N_ANALOG)
    return np.asarray(complex_noise(rng, N_ANALOG, 1.0) * amplitude, np.complex64)


KINDS: dict[str, Callable[[Picture, np.random.Generator], npt.NDArray[Any]]] = {
    "gaussian": lambda x, rng: complex_noise(rng, N_ANALOG, 1.0),
    "real-gaussian": lambda x, rng: rng.standard_normal(N_ANALOG),
    "averages": lambda x, rng: _averages(x)[0::2] + 1j * _averages(x)[1::2],
    "real-averages": lambda x, rng: _averages(x),
    "centred-averages": lambda x, rng: _averages(x)[0::2] + 1j * _averages(x)[1::2] - (0.5 + 0.5j),
    "constant": lambda x, rng: np.ones(N_ANALOG),
    "few-strong": lambda x, rng: _few_strong(rng),
    "decades": lambda x, rng: _decades(rng),
}
"""Symbols that no codec of this project sends; a picture and a generator to symbols of any power."""


_codec = lru_cache(load_codec)


def symbols_of(kind: str, x: Picture, snr_db: float, rng: np.random.Generator) -> ComplexArray:
    """Symbols of mean power 1 of a kind of `KINDS`, or of a codec.

    Args:
        kind: Key of `KINDS`, or name of a codec.
        x: Picture, [3, 256, 256] float32 in [0, 1].
        snr_db: Es/N0 that a codec designs for, dB.
        rng: Source of random symbols.

    Raises:
        CodecError: There is no such codec.
    """
    if kind in KINDS:
        return _unit_power(KINDS[kind](x, rng))
    return np.asarray(_codec(kind).encode(x, rate=RATE, snr_db=snr_db).symbols)


@dataclass(frozen=True)
class Means:
    """What is done to the symbols of a frame, and undone at the receiver."""

    version: int
    """Format version of the bursts."""
    apply: Callable[[ComplexArray], ComplexArray]
    undo: Callable[[ComplexArray], ComplexArray]
    mixes: bool = False
    """Whether each element is a sum of all symbols, so that the errors of all symbols have one variance."""


def _factors(function: Callable[[int], ComplexArray]) -> Means:
    return Means(1, lambda s: s * function(len(s)), lambda s: s * np.conj(function(len(s))))


def _signs(n: int) -> ComplexArray:
    return np.asarray(np.sign(qpsk_stream(n, SEED).real), np.complex64)


def _uniform(n: int) -> ComplexArray:
    return np.asarray(np.exp(2j * np.pi * hash_stream(n, SEED).astype(np.float64) / 2.0**64), np.complex64)


def _spread(symbols: ComplexArray) -> ComplexArray:
    return np.asarray(scipy.fft.fft(symbols * payload_phases(len(symbols), 2), norm="ortho"), np.complex64)


def _gather(symbols: ComplexArray) -> ComplexArray:
    return np.asarray(scipy.fft.ifft(symbols, norm="ortho") * np.conj(payload_phases(len(symbols), 2)), np.complex64)


MEANS = {
    "none": Means(1, lambda s: s, lambda s: s),
    "signs": _factors(_signs),
    "quarters": Means(2, lambda s: s, lambda s: s),
    "uniform": _factors(_uniform),
    "spread": Means(1, _spread, _gather, mixes=True),
}


@dataclass(frozen=True)
class _Passed:
    """One frame that was sent."""

    papr_before_db: float
    papr_db: float
    snr_db: float | None
    """Signal over error of the received symbols; None if the frame was lost."""
    noise_var: FloatArray | None
    """Noise variance of each symbol as the receiver claims it."""


def _pass(symbols: ComplexArray, number: int, means: Means, design_db: float, channel: ChannelConfig) -> _Passed:
    frame = random_frame(number, np.random.default_rng(number), snr_design_db=design_db)
    content = plan_bursts(replace(frame, encoded=Encoded(means.apply(symbols), b"\x05")), version=means.version)[0]
    burst, plain = modulate_burst(content), modulate_burst(content, reduces_papr=False)
    gap = np.zeros(GAP, np.complex64)
    receiver = Receiver(SAMPLE_RATE)
    samples = SampleChannel(channel, SAMPLE_RATE).process(np.concatenate([gap, burst, gap]), [GAP])
    frames = [*receiver.push(samples), *receiver.flush()]
    peaks = papr_db(plain), papr_db(burst)
    if not frames:
        return _Passed(*peaks, None, None)
    got = means.undo(frames[0].received.symbols)
    gain = np.vdot(symbols, got) / np.vdot(symbols, symbols)
    error = float(np.mean(np.abs(got / gain - symbols) ** 2))
    noise_var = frames[0].received.noise_var
    if means.mixes:
        noise_var = np.full_like(noise_var, np.mean(noise_var))
    return _Passed(*peaks, float(-10 * np.log10(error)), noise_var)


def _capacity_snr_db(noise_var: FloatArray) -> float:
    bits = float(np.mean(np.log2(1 + 1 / noise_var.astype(np.float64))))
    return float(10 * np.log10(2**bits - 1))


def measure(kind: str, name: str, snr_db: float, pictures: Sequence[Picture]) -> Row:
    """Measure one kind of symbols under one means, one frame per picture.

    Args:
        kind: As for `symbols_of`.
        name: Key of `MEANS`.
        snr_db: Es/N0 of design and of the white noise, dB.
        pictures: [3, 256, 256] float32 in [0, 1] each.

    Returns:
        `symbols`, `means`, `snr_db`, `frames`, `lost` of white noise, PAPR without and with its reduction in dB, mean
        `snr_loss_db` over the frames that arrived, and `capacity_snr_db`: None where no frame arrived.
    """
    means, passed, faded = MEANS[name], [], []
    for number, x in enumerate(pictures):
        symbols = symbols_of(kind, x, snr_db, np.random.default_rng(number))
        through = partial(_pass, symbols, number, means, snr_db)
        passed.append(through(ChannelConfig(snr_db=snr_db, seed=number)))
        faded.append(through(replace(FADING, seed=number)))
    losses = [snr_db - one.snr_db for one in passed if one.snr_db is not None]
    capacities = [_capacity_snr_db(one.noise_var) for one in faded if one.noise_var is not None]
    return {
        "symbols": kind, "means": name, "snr_db": snr_db, "frames": len(pictures),
        "lost": len(pictures) - len(losses),
        "papr_before_db": float(np.mean([one.papr_before_db for one in passed])),
        "papr_db": float(np.mean([one.papr_db for one in passed])),
        "snr_loss_db": float(np.mean(losses)) if losses else None,
        "capacity_snr_db": float(np.mean(capacities)) if capacities else None,
    }  # fmt: skip


def table(rows: Sequence[Mapping[str, Any]]) -> str:
    """The rows as text."""
    columns = ("papr_before_db", "papr_db", "snr_loss_db", "capacity_snr_db")
    lines = [f"{'symbols':<18}{'means':<10}{'SNR':>5}{'lost':>6}{'PAPR':>8}{'reduced':>9}{'loss dB':>9}{'TDL-A':>8}"]
    for row in rows:
        values = ("-" if row[key] is None else f"{row[key]:.2f}" for key in columns)
        figures = "".join(f"{value:>{width}}" for value, width in zip(values, (8, 9, 9, 8), strict=True))
        lines.append(f"{row['symbols']:<18}{row['means']:<10}{row['snr_db']:>5g}{row['lost']:>6}{figures}")
    return "\n".join(lines)


def main(arguments: Sequence[str]) -> None:
    """The command."""
    parser = argparse.ArgumentParser(prog="python -m gened.bench.whiteness", description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--data", type=Path, required=True, help="folder of pictures")
    parser.add_argument("--limit", type=int, default=8, help="most pictures, one frame each")
    parser.add_argument("--symbols", default=",".join([*KINDS, *CODECS]), help="kinds of symbols and codecs")
    parser.add_argument("--means", default=",".join(MEANS), help="some of " + ", ".join(MEANS))
    parser.add_argument("--snr", default="10,20", help="Es/N0 values of design and noise, dB")
    parser.add_argument("--out", type=Path, help="write JSON to this file")
    chosen = parser.parse_args(arguments)
    names, snrs_db = chosen.means.split(","), [float(value) for value in chosen.snr.split(",")]
    if unknown := [name for name in names if name not in MEANS]:
        parser.error(f"no means '{unknown[0]}'; known are {', '.join(MEANS)}")
    pictures = [read_item(chosen.data, path, SIDE, {}).x for path in find_pictures(chosen.data)[: chosen.limit]]
    kinds = chosen.symbols.split(",")
    rows = [measure(kind, name, snr_db, pictures) for kind in kinds for name in names for snr_db in snrs_db]
    if chosen.out is not None:
        meta = run_meta(["gened.bench.whiteness", *arguments], seed=0)
        chosen.out.write_text(json.dumps({"meta": meta, "rows": rows}, indent=1, allow_nan=False) + "\n")
    print(table(rows))


if __name__ == "__main__":
    main(sys.argv[1:])
