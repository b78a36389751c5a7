# SPDX-License-Identifier: GPL-3.0-or-later
"""How well the receiver does: SNR lost, bursts found, headers and captions read, samples a second.

python -m gened.gr_blocks.bench.link --frames 100 --snr -2,0,4,10,20 --noise-samples 10000000 --json
"""

from __future__ import annotations

import argparse
import json
import platform
import sys
import time
from dataclasses import asdict, dataclass
from fractions import Fraction

import numpy as np
import scipy

from gened.gr_blocks.phy.channel import ChannelConfig, ChannelKind, SampleChannel, complex_noise
from gened.gr_blocks.phy.crest import papr_db
from gened.gr_blocks.phy.framing import plan_bursts
from gened.gr_blocks.phy.header import quantize_snr_db
from gened.gr_blocks.phy.modulator import burst_grid, modulate_burst
from gened.gr_blocks.phy.receiver import Receiver
from gened.gr_blocks.phy.types import ComplexArray, Encoded, Frame, ImageSize
from gened.gr_blocks.phy.waveform import WAVEFORM

SAMPLE_RATE = 1e6
N_ANALOG = 8192
CHUNK = 65536


@dataclass(frozen=True)
class Condition:
    """One row of the table; offsets are drawn uniformly up to these, either way."""

    name: str
    kind: ChannelKind = "awgn"
    max_cfo_cps: float = 0.0
    max_sfo_ppm: float = 0.0
    linewidth_hz: float = 0.0


CONDITIONS = (
    Condition("awgn"),
    Condition("awgn, 12.5 %, 50 ppm", max_cfo_cps=0.125, max_sfo_ppm=50),
    Condition("multipath, 12.5 %, 50 ppm", "multipath", max_cfo_cps=0.125, max_sfo_ppm=50),
    Condition("linewidth 100 Hz", linewidth_hz=100),
)


@dataclass(frozen=True)
class Row:
    """A condition at an SNR; None where nothing was received."""

    condition: str
    snr_db: float
    frames: int
    snr_loss_db: float | None
    snr_loss_p95_db: float | None
    detection_rate: float
    header_error_rate: float
    caption_error_rate: float
    noise_var_bias_db: float | None
    snr_est_bias_db: float | None
    cfo_error_rms_hz: float | None


def random_frame(
    number: int,
    rng: np.random.Generator,
    text_mode: str = "bpsk-1/2",
    n_analog: int = N_ANALOG,
    *,
    snr_design_db: float = 4.0,
) -> Frame:
    """A frame with Gaussian analogue symbols of mean power 1 and 60 bytes of text."""
    symbols = complex_noise(rng, n_analog, 1.0)
    text = rng.integers(0, 256, 60, np.uint8).tobytes()
    return Frame(
        7, number % 65536, 1, ImageSize(256, 256), Fraction(1, 24), snr_design_db, Encoded(symbols, b"\x05"), text,
        text_mode,
    )  # fmt: skip


def measure(condition: Condition, snr_db: float, n_frames: int, seed: int) -> Row:
    """Frames one by one, each with its own offsets, timing and noise."""
    rng = np.random.default_rng(seed)
    losses, biases, snr_errors, cfo_errors = [], [], [], []
    n_preambles = n_headers = n_captions = 0
    for number in range(n_frames):
        frame = random_frame(number, rng, snr_design_db=quantize_snr_db(snr_db))
        cfo_hz = condition.max_cfo_cps * SAMPLE_RATE * rng.uniform(-1, 1)
        config = ChannelConfig(
            kind=condition.kind, snr_db=snr_db, freq_offset_hz=cfo_hz, linewidth_hz=condition.linewidth_hz,
            sfo_ppm=condition.max_sfo_ppm * rng.uniform(-1, 1),
            timing_offset=rng.uniform(0, 1),
            seed=int(rng.integers(1 << 30)),
        )  # fmt: skip
        lead = int(rng.integers(300, 3000))
        sent = np.concatenate([np.zeros(lead), modulate_burst(plan_bursts(frame)[0]), np.zeros(2000)]).astype(
            np.complex64
        )
        channel, receiver = SampleChannel(config, SAMPLE_RATE), Receiver()
        frames = [*receiver.push(channel.process(sent, [lead])), *receiver.flush()]
        n_preambles += receiver.detector.stats.preambles > 0
        n_headers += len(frames) > 0
        if not frames:
            continue
        got, reference = frames[0], frame.encoded.symbols
        n_captions += got.text == frame.text
        received = got.received.symbols
        gain = np.vdot(reference, received) / np.vdot(reference, reference)
        error = float(np.mean(np.abs(received / gain - reference) ** 2))
        true_snr_db = snr_db + 10 * np.log10(channel.burst_gains[0])
        losses.append(true_snr_db + 10 * np.log10(error))
        plain = np.abs(received - reference) ** 2
        usable = np.isfinite(got.received.noise_var)
        biases.append(10 * np.log10(np.mean(got.received.noise_var[usable]) / np.mean(plain[usable])))
        snr_errors.append(got.snr_est_db - true_snr_db)
        cfo_errors.append(got.cfo_est_cps * SAMPLE_RATE - cfo_hz)
    return Row(
        condition.name, snr_db, n_frames, _mean(losses), float(np.percentile(losses, 95)) if losses else None,
        n_preambles / n_frames, 1 - n_headers / max(n_preambles, 1), 1 - n_captions / max(n_headers, 1),
        _mean(biases), _mean(snr_errors), float(np.sqrt(np.mean(np.square(cfo_errors)))) if cfo_errors else None,
    )  # fmt: skip


def _mean(values: list[float]) -> float | None:
    return float(np.mean(values)) if values else None


def receive_speed(samples: ComplexArray) -> tuple[float, int]:
    """Million samples a second of processor time through a new receiver, and the frames that came out."""
    receiver, n_frames, began_s = Receiver(), 0, time.process_time()
    for first in range(0, len(samples), CHUNK):
        n_frames += len(receiver.push(samples[first : first + CHUNK]))
    n_frames += len(receiver.flush())
    return len(samples) / (time.process_time() - began_s) / 1e6, n_frames


def noise_run(n_samples: int, seed: int) -> tuple[float, int]:
    """Speed and frames of a long run of noise alone, made a million samples at a time."""
    rng, receiver, n_frames, spent_s = np.random.default_rng(seed), Receiver(), 0, 0.0
    for first in range(0, n_samples, 1_000_000):
        noise = complex_noise(rng, min(1_000_000, n_samples - first), 1.0)
        began_s = time.process_time()
        for part in range(0, len(noise), CHUNK):
            n_frames += len(receiver.push(noise[part : part + CHUNK]))
        spent_s += time.process_time() - began_s
    return n_samples / max(spent_s, 1e-9) / 1e6, n_frames + len(receiver.flush())


def measure_speed(n_noise: int, seed: int) -> dict[str, float | int]:
    """Million samples a second on noise and on bursts back to back at 10 dB."""
    rng = np.random.default_rng(seed)
    stream = np.concatenate([modulate_burst(plan_bursts(random_frame(number, rng))[0]) for number in range(40)])
    noisy = stream + complex_noise(rng, len(stream), WAVEFORM.noise_var_per_sample(10.0))
    burst_rate, n_frames = receive_speed(noisy)
    noise_rate, n_false = noise_run(n_noise, seed)
    return {
        "burst_msps": burst_rate, "burst_frames_sent": 40, "burst_frames_received": n_frames,
        "noise_msps": noise_rate, "noise_samples": n_noise, "noise_frames": n_false,
    }  # fmt: skip


def peaks(seed: int, n_frames: int = 10) -> dict[str, float]:
    """Mean PAPR of bursts for 10 and 20 dB, and of the same as they would be if nothing were done about it."""
    rng = np.random.default_rng(seed)
    found: dict[str, float] = {}
    for snr_db in (10.0, 20.0):
        contents = [plan_bursts(random_frame(i, rng, snr_design_db=snr_db))[0] for i in range(n_frames)]
        for name, reduces in (("as sent", True), ("untouched", False)):
            values = [papr_db(modulate_burst(content, reduces_crest=reduces)) for content in contents]
            found[f"papr_db, {snr_db:g} dB, {name}"] = float(np.mean(values))
    return found


def overhead(seed: int) -> dict[str, float]:
    """(preamble + header + pilots) / payload in carriers x symbols, 8192 of them analogue."""
    content = plan_bursts(random_frame(0, np.random.default_rng(seed)))[0]
    n_cells = len(content.symbols)
    total = 2 * WAVEFORM.n_occupied + burst_grid(content).size
    return {"overhead": total / n_cells - 1, "payload_symbols": n_cells, "on_air_samples": WAVEFORM.burst_len(n_cells)}


def main(argv: list[str] | None = None) -> int:
    """Print the table, or JSON."""
    parser = argparse.ArgumentParser(description="SNR loss, detection and speed of the receiver")
    parser.add_argument("--frames", type=int, default=50, help="frames a row (default 50)")
    parser.add_argument("--snr", default="-2,0,4,10,20", help="dB, separated by commas (default -2,0,4,10,20)")
    parser.add_argument(
        "--noise-samples", type=int, default=2_000_000, help="length of the noise run (default 2000000)"
    )
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--json", action="store_true", help="machine-readable output")
    args = parser.parse_args(argv)
    rows = [measure(c, float(snr), args.frames, args.seed) for c in CONDITIONS for snr in args.snr.split(",")]
    meta = {
        "command": sys.argv,
        "seed": args.seed,
        "numpy": np.__version__,
        "scipy": scipy.__version__,
        "machine": platform.machine(),
    }
    table = [asdict(row) for row in rows]
    speed, cost, crest = measure_speed(args.noise_samples, args.seed), overhead(args.seed), peaks(args.seed)
    if args.json:
        print(json.dumps({"meta": meta, "rows": table, "speed": speed, "overhead": cost, "peaks": crest}, indent=1))
        return 0
    for entry in table:
        print("  ".join(f"{k} {v:.3g}" if isinstance(v, float) else f"{k} {v}" for k, v in entry.items()))
    print(speed, cost, crest, sep="\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
