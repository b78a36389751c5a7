# SPDX-License-Identifier: GPL-3.0-or-later
"""Costs of the link: processor time, memory, overhead, PAPR."""

from __future__ import annotations

import time
from pathlib import Path

import numpy as np

from gened.bench.link_frames import SAMPLE_RATE, random_frame
from gened.bench.link_signals import CHUNK, pieces
from gened.gr_blocks.phy.channel.config import ChannelConfig
from gened.gr_blocks.phy.channel.noise import complex_noise
from gened.gr_blocks.phy.channel.sample_channel import SampleChannel
from gened.gr_blocks.phy.framing.planning import plan_bursts
from gened.gr_blocks.phy.ofdm.modulator import burst_grid, modulate_burst
from gened.gr_blocks.phy.ofdm.papr_reduction import papr_db
from gened.gr_blocks.phy.ofdm.waveform import WAVEFORM
from gened.gr_blocks.phy.receiver import Receiver
from gened.gr_blocks.phy.types import ComplexArray

N_BURSTS, N_PASSES = 40, 5
"""Number of bursts, one after another, and of repetitions, of which the median counts."""
SPEED_SNR_DB = 10.0
MOVING = ChannelConfig(kind="tdl-a", snr_db=SPEED_SNR_DB, delay_spread=1.0, doppler_hz=50.0, seed=1)
"""Time-varying channel."""


def receive_speed(samples: ComplexArray) -> tuple[float, int]:
    """Speed of a new receiver in million samples per second of processor time, and the number of frames received."""
    receiver, n_frames, began_s = Receiver(), 0, time.process_time()
    for first in range(0, len(samples), CHUNK):
        n_frames += len(receiver.push(samples[first : first + CHUNK]))
    n_frames += len(receiver.flush())
    return len(samples) / (time.process_time() - began_s) / 1e6, n_frames


def noise_speed(n_samples: int, seed: int) -> float:
    """Speed of a receiver with noise alone, million samples per second of processor time."""
    receiver, spent_s = Receiver(), 0.0
    for piece in pieces("noise", n_samples, seed):
        began_s = time.process_time()
        for first in range(0, len(piece), CHUNK):
            receiver.push(piece[first : first + CHUNK])
        spent_s += time.process_time() - began_s
    return n_samples / max(spent_s, 1e-9) / 1e6


def transmit_speed(n_frames: int, seed: int) -> float:
    """Speed of the transmitter (planning, coding, PAPR reduction), million samples per second of processor time."""
    rng, n_samples = np.random.default_rng(seed), 0
    frames = [random_frame(number, rng, snr_design_db=SPEED_SNR_DB) for number in range(n_frames + 1)]
    modulate_burst(plan_bursts(frames.pop())[0])  # tables that are made once
    began_s = time.process_time()
    for frame in frames:
        n_samples += sum(len(modulate_burst(content)) for content in plan_bursts(frame))
    return n_samples / (time.process_time() - began_s) / 1e6


def memory_mib(key: str = "VmHWM") -> float | None:
    """Memory of this process in MiB: VmHWM is its maximum, VmRSS its present size; None without /proc.

    `getrusage` would include the memory of the parent process.
    """
    try:
        lines = Path("/proc/self/status").read_text().splitlines()
    except OSError:
        return None
    return next((round(int(line.split()[1]) / 1024, 1) for line in lines if line.startswith(key + ":")), None)


def measure_speed(n_noise: int, seed: int) -> dict[str, float | int | None]:
    """Speeds on one core, and the memory, which is meaningful in a process of its own."""
    rng = np.random.default_rng(seed)
    before_mib = memory_mib("VmRSS")
    bursts = [modulate_burst(plan_bursts(random_frame(number, rng))[0]) for number in range(N_BURSTS)]
    stream = np.concatenate(bursts)
    noisy = stream + complex_noise(rng, len(stream), WAVEFORM.noise_var_per_sample(SPEED_SNR_DB))
    moving = SampleChannel(MOVING, SAMPLE_RATE).process(stream, np.arange(N_BURSTS) * len(bursts[0]))
    receive_speed(noisy)  # tables, and packages that are loaded when they are first needed
    passes = [receive_speed(noisy) for _ in range(N_PASSES)]
    n_frames = min(frames for _, frames in passes)
    burst_msps = float(np.median([rate for rate, _ in passes]))
    moving_msps = float(np.median([receive_speed(moving)[0] for _ in range(N_PASSES)]))
    transmit_msps = float(np.median([transmit_speed(N_BURSTS, seed) for _ in range(N_PASSES)]))
    return {
        "burst_msps": burst_msps, "burst_frames_sent": N_BURSTS, "burst_frames_received": n_frames,
        "moving_msps": moving_msps,
        "noise_msps": noise_speed(n_noise, seed), "transmit_msps": transmit_msps,
        "memory_before_mib": before_mib, "peak_memory_mib": memory_mib(),
    }  # fmt: skip


def peaks(seed: int, n_frames: int = 10) -> dict[str, float]:
    """Mean PAPR in dB of bursts for 10 and 20 dB, with and without PAPR reduction."""
    rng = np.random.default_rng(seed)
    found: dict[str, float] = {}
    for snr_db in (10.0, 20.0):
        contents = [plan_bursts(random_frame(i, rng, snr_design_db=snr_db))[0] for i in range(n_frames)]
        for name, reduces in (("before", False), ("after", True)):
            values = [papr_db(modulate_burst(content, reduces_papr=reduces)) for content in contents]
            found[f"papr_{name}_db_at_{snr_db:g}_db"] = float(np.mean(values))
    return found


def overhead(seed: int) -> dict[str, float]:
    """Overhead of a burst with 8192 analogue symbols: (preamble + header + pilots + padding) / payload, in resource
    elements.

    Null carriers and cyclic prefix are given apart, as fractions of all that is sent.
    """
    content = plan_bursts(random_frame(0, np.random.default_rng(seed)))[0]
    n_elements, grid = len(content.symbols), burst_grid(content)
    n_pilots = int(WAVEFORM.pilot_mask(len(grid))[WAVEFORM.n_header_symbols :].sum())
    n_header = WAVEFORM.n_header_symbols * WAVEFORM.n_occupied
    total = 2 * WAVEFORM.n_occupied + grid.size
    return {
        "overhead": total / n_elements - 1,
        "preamble": 2 * WAVEFORM.n_occupied / n_elements, "header": n_header / n_elements,
        "pilots": n_pilots / n_elements,
        "padding": (grid.size - n_header - n_pilots - n_elements) / n_elements,
        "null_carriers": 1 - WAVEFORM.n_occupied / WAVEFORM.n_fft,
        "cyclic_prefix": WAVEFORM.cp_len / WAVEFORM.symbol_len,
        "payload_symbols": n_elements, "on_air_samples": WAVEFORM.burst_len(n_elements),
    }  # fmt: skip
