# SPDX-License-Identifier: GPL-3.0-or-later
"""Speed and loss rate of LDPC decoders on the same blocks: ours, the `ldpc` package's, scikit-commpy's, GNU Radio's.

The channel is BPSK in real white noise. Each code is measured at the Es/N0 at which our decoder loses one block in a
hundred. Times are processor times of one core. GNU Radio's decoder, `fec.ldpc_decoder`, runs in a flowgraph in a
process of its own. Which bits of a word it returns is not documented, so their positions are determined with blocks
without noise. With the true sigma of the noise as parameter it corrects almost nothing, since its soft values are a
quarter of 2 y / sigma^2. It is therefore given sigma / 2, and is then as strong as commpy's decoder.
"""

from __future__ import annotations

import importlib.util
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from gened.errors import LinkError
from gened.gr_blocks.phy.coding.ldpc import LdpcCode
from gened.gr_blocks.phy.coding.ldpc_matrices import CodeRate, parity_check_matrix

Float = npt.NDArray[np.float64]
Bits = npt.NDArray[np.uint8]

CODES: tuple[tuple[CodeRate, int], ...] = (("1/2", 96), ("1/2", 24), ("3/4", 96), ("3/4", 24))
"""Rate and expansion factor: the longest and the shortest, n = 2304 and 576."""
TARGET = 0.01
N_COMMPY, N_SLOW = 20, 2
"""Number of blocks for commpy's sum-product decoder, and for its minimum-sum, which takes a second per block."""
N_LEARN = 48
"""Blocks without noise that identify the bits which GNU Radio returns: the values of 2304 positions differ in so
many."""
ITERATIONS = 40
LDPC_SCALING = 0.8
"""Scaling of the minimum-sum messages of the `ldpc` package, its best of 0.7 to 1.0."""
TIMEOUT_S = 600.0


@dataclass(frozen=True)
class Speed:
    """Result of one decoder for one code."""

    code_rate: str
    n_coded: int
    es_n0_db: float
    """Energy per coded bit over noise density, dB."""
    decoder: str
    frames: int
    fer: float
    kbps: float
    """Information bits per second of one core's time, in 1000."""


@dataclass(frozen=True)
class Frames:
    """Blocks of one code."""

    code: LdpcCode
    bits: Bits
    """Codewords as sent, [n_frames, 24 z]."""
    llr: Float
    """LLRs as received, [n_frames, 24 z]; positive means 1."""


def frames_of(code_rate: CodeRate, z: int, es_n0_db: float, n_frames: int, seed: int) -> Frames:
    """Random blocks of an unshortened code; the same arguments give the same blocks.

    Args:
        code_rate: Rate of the code.
        z: Expansion factor.
        es_n0_db: Energy per coded bit over noise density, dB.
        n_frames: Number of blocks.
        seed: Seed of bits and noise.
    """
    code = LdpcCode(code_rate, z, LdpcCode.max_info(code_rate, z))
    rng = np.random.default_rng([seed, z, code.n_info])
    coded = np.stack([code.encode(rng.integers(0, 2, code.n_info, dtype=np.uint8)) for _ in range(n_frames)])
    noise_var = 0.5 * 10 ** (-es_n0_db / 10)  # of a real dimension
    received = 2.0 * coded - 1 + np.sqrt(noise_var) * rng.standard_normal(coded.shape)
    return Frames(code, coded, 2 * received / noise_var)


def target_snr_db(code_rate: CodeRate, z: int, n_frames: int, seed: int) -> float:
    """Es/N0 in dB at which our decoder loses 1 % of the blocks, interpolated log-linearly between points 0.25 dB
    apart."""
    snr_db, before = (-2.0 if code_rate == "1/2" else 0.5), 1.0
    while True:
        frames = frames_of(code_rate, z, snr_db, n_frames, seed)
        fer = max(_ours(frames)[1], 0.5 / n_frames)
        if fer <= TARGET:
            share = (np.log(before) - np.log(TARGET)) / max(np.log(before) - np.log(fer), 1e-9)
            return float(round(snr_db - 0.25 * (1 - share), 2))
        snr_db, before = snr_db + 0.25, fer


def _timed(frames: Frames, decode: Callable[[Float], Bits]) -> tuple[float, float]:
    """Seconds of processor time, and the fraction of blocks decoded wrongly."""
    began_s = time.process_time()
    found = decode(frames.llr)
    seconds = time.process_time() - began_s
    n_info = frames.code.n_info
    return seconds, float(np.mean((found[:, :n_info] != frames.bits[:, :n_info]).any(axis=1)))


def _ours(frames: Frames) -> tuple[float, float]:
    return _timed(frames, lambda llr: np.stack([frames.code.decode(one)[0] for one in llr]))


def _ldpc_package(frames: Frames) -> tuple[float, float]:
    """Serial minimum-sum of the `ldpc` package. It corrects the hard decisions by their syndrome."""
    from ldpc.bp_decoder import BpDecoder

    matrix = parity_check_matrix(frames.code.code_rate, frames.code.z)
    decoder = BpDecoder(
        matrix, error_rate=0.1, max_iter=ITERATIONS, bp_method="minimum_sum", ms_scaling_factor=LDPC_SCALING,
        schedule="serial", input_vector_type="syndrome",
    )  # fmt: skip

    def decode(llr: Float) -> Bits:
        words = []
        for one in llr:
            hard = (one > 0).astype(np.uint8)
            decoder.update_channel_probs(np.maximum(1 / (1 + np.exp(np.minimum(np.abs(one), 50))), 1e-7))
            words.append(hard ^ decoder.decode((matrix @ hard % 2).astype(np.uint8)))
        return np.asarray(np.stack(words), np.uint8)

    return _timed(frames, decode)


def _commpy(frames: Frames, algorithm: str) -> tuple[float, float]:
    """Decoder of scikit-commpy, whose LLRs are positive for 0."""
    from commpy.channelcoding.ldpc import ldpc_bp_decode

    matrix = parity_check_matrix(frames.code.code_rate, frames.code.z)
    design = {"n_vnodes": matrix.shape[1], "n_cnodes": matrix.shape[0], "parity_check_matrix": matrix.tocsr()}

    def decode(llr: Float) -> Bits:
        words: Bits = np.stack([ldpc_bp_decode(-one, design, algorithm, ITERATIONS)[0] for one in llr]).astype(np.uint8)
        return words

    return _timed(frames, decode)


def speeds(code_rate: CodeRate, z: int, n_frames: int, seed: int, *, has_gnuradio: bool) -> list[Speed]:
    """Measure all decoders that are installed, for one code.

    Args:
        code_rate: Rate of the code.
        z: Expansion factor.
        n_frames: Number of blocks; slow decoders get fewer.
        seed: Seed of bits and noise.
        has_gnuradio: Whether to measure GNU Radio's decoder, too.

    Raises:
        LinkError: GNU Radio's process failed or took too long.
    """
    es_n0_db = target_snr_db(code_rate, z, max(n_frames, 1000), seed)
    frames = frames_of(code_rate, z, es_n0_db, n_frames, seed)
    n_info, n_coded = frames.code.n_info, frames.code.n_coded
    frames.code.decode(frames.llr[0])  # compiles the decoder

    def row(name: str, found: tuple[float, float], count: int) -> Speed:
        return Speed(code_rate, n_coded, es_n0_db, name, count, found[1], count * n_info / found[0] / 1e3)

    rows = [row("gened", _ours(frames), n_frames)]
    if importlib.util.find_spec("ldpc") is not None:
        rows.append(row("ldpc, serial minimum-sum", _ldpc_package(frames), n_frames))
    if importlib.util.find_spec("commpy") is not None:
        for name, algorithm, count in (("sum-product", "SPA", N_COMMPY), ("minimum-sum", "MSA", N_SLOW)):
            few = Frames(frames.code, frames.bits[:count], frames.llr[:count])
            rows.append(row(f"commpy, {name}", _commpy(few, algorithm), len(few.llr)))
    if has_gnuradio:
        found = _in_child({"code_rate": code_rate, "z": z, "es_n0_db": es_n0_db, "n_frames": n_frames, "seed": seed})
        rows.append(row("GNU Radio, fec.ldpc_decoder", found, n_frames))
    return rows


# GNU Radio


def alist(code_rate: CodeRate, z: int) -> str:
    """Parity check matrix in MacKay's alist format: sizes, weights, then the positions of the ones, counted from 1."""
    matrix = parity_check_matrix(code_rate, z)
    columns, rows = matrix.tocsc(), matrix.tocsr()
    lists = [np.split(m.indices, m.indptr[1:-1]) for m in (columns, rows)]
    lines = [f"{matrix.shape[1]} {matrix.shape[0]}", f"{max(map(len, lists[0]))} {max(map(len, lists[1]))}"]
    lines += [" ".join(str(len(one)) for one in places) for places in lists]
    for places in lists:
        longest = max(map(len, places))
        lines += [" ".join(map(str, [*(np.sort(one) + 1), *[0] * (longest - len(one))])) for one in places]
    return "\n".join(lines) + "\n"


def _in_child(setting: dict[str, Any]) -> tuple[float, float]:
    command = [sys.executable, "-m", "gened.bench.ldpc_speed"]
    try:
        done = subprocess.run(command, input=json.dumps(setting), capture_output=True, text=True, timeout=TIMEOUT_S)
        seconds, fer = json.loads(done.stdout.splitlines()[-1])
    except subprocess.TimeoutExpired as error:
        raise LinkError(f"GNU Radio was not done within {TIMEOUT_S:g} s; --no-gnuradio leaves it out") from error
    except (ValueError, IndexError, TypeError) as error:
        last = (done.stderr.strip().splitlines() or ["no message"])[-1]
        raise LinkError(f"GNU Radio's decoder failed: {last}; --no-gnuradio leaves it out") from error
    return float(seconds), float(fer)


def gnuradio_outcome(code_rate: CodeRate, z: int, es_n0_db: float, n_frames: int, seed: int) -> tuple[float, float]:
    """Run GNU Radio's decoder; to be called in a process that does nothing else, since processor time is measured.

    Args:
        code_rate: Rate of the code.
        z: Expansion factor.
        es_n0_db: Energy per coded bit over noise density, dB.
        n_frames: Number of blocks.
        seed: Seed of bits and noise, as for `frames_of`.

    Returns:
        Seconds of processor time, and the fraction of blocks decoded wrongly.

    Raises:
        LinkError: The decoder returned bits that are not those of its input.
    """
    noisy = frames_of(code_rate, z, es_n0_db, n_frames, seed)
    clean = frames_of(code_rate, z, 10.0, N_LEARN, seed + 1)
    sigma = float(np.sqrt(0.5 * 10 ** (-es_n0_db / 10)))
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "code.alist"
        path.write_text(alist(code_rate, z))
        learnt = _decode_in_flowgraph(path, 2.0 * clean.bits - 1, sigma)[0]
        found, seconds = _decode_in_flowgraph(path, noisy.llr * sigma**2 / 2, sigma)
    places = {column.tobytes(): place for place, column in enumerate(clean.bits.T.copy())}
    try:
        order = [places[column.tobytes()] for column in learnt.T.copy()]
    except KeyError as error:
        raise LinkError("GNU Radio's decoder returns bits that are not those of its input") from error
    return seconds, float(np.mean((found != noisy.bits[:, order]).any(axis=1)))


def _decode_in_flowgraph(path: Path, values: Float, sigma: float) -> tuple[Bits, float]:
    """Decode received values (about +1 for 1), [n, 24 z]; the bits returned, [n, ...], and seconds of processor
    time."""
    from gnuradio import blocks, fec, gr

    decoder = fec.ldpc_decoder.make(str(path), sigma / 2, ITERATIONS)
    top, sink = gr.top_block(), blocks.vector_sink_b()
    source = blocks.vector_source_f(values.astype(np.float32).ravel().tolist())
    top.connect(source, fec.decoder(decoder, gr.sizeof_float, gr.sizeof_char), sink)
    began_s = time.process_time()
    top.run()
    seconds = time.process_time() - began_s
    return np.array(sink.data(), np.uint8).reshape(len(values), -1), seconds


def main() -> int:
    """Read the arguments of `gnuradio_outcome` as JSON from stdin; write its result as JSON to stdout."""
    print(json.dumps(gnuradio_outcome(**json.load(sys.stdin))))
    return 0


if __name__ == "__main__":
    sys.exit(main())
