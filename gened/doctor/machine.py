# SPDX-License-Identifier: GPL-3.0-or-later
"""What the machine can do, and how its buffers are set: cores, clock, network, USB, a Pluto's buffers."""

from __future__ import annotations

import os
import time
from pathlib import Path

import numpy as np

from gened.doctor.findings import Finding, Level, Visit, check
from gened.provenance import machine_load

GOVERNORS = "sys/devices/system/cpu"
SOCKET_BUFFERS = ("rmem_max", "wmem_max")
SOCKET_BYTES = {"rmem_max": 50_000_000, "wmem_max": 1_000_000}
"""What UHD asks the kernel for, of an N210 with the buffers in its profile."""
USB_MIB = 64
"""UHD's frames and libusb's together stay far below at 1 Msample/s; the kernel's default is 16."""
MIN_CORES = 2
SPEED_SAMPLES = 262_144
MARGIN = 1.5
"""By which the receiver should be faster than the samples: bursts cost more than the noise that is tried here."""
MIN_BUFFER_S, MAX_BUFFER_S = 0.004, 0.25
"""Of one buffer: below it a network's delay shows, above it pictures wait."""
MIN_HELD_S = 0.1
"""Of all buffers: a desktop does something else for so long now and then."""


@check("Machine")
def processor(visit: Visit) -> list[Finding]:
    """Cores, load and the processor's clock."""
    n_cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    load = machine_load() or 0.0  # Windows counts none
    text = f"{n_cores} core{'' if n_cores == 1 else 's'}, load {load:.1f}"
    level: Level = "ok"
    step = ""
    if n_cores < MIN_CORES:
        level, step = "note", "receiver, decoder and radio share one core: lower sample_rate if samples are lost"
    elif load > n_cores:
        level, step = "note", "close other programs before samples count; `top` shows them"
    return [Finding(subject="processor", level=level, text=text, next_step=step), *governors(Path("/"))]


def governors(root: Path) -> list[Finding]:
    """The clock's governor; nothing where the machine has none to choose, as inside most virtual ones.

    Args:
        root: In place of /.
    """
    files = sorted((root / GOVERNORS).glob("cpu[0-9]*/cpufreq/scaling_governor"))
    names = sorted({name for file in files if (name := _read(file))})
    if not names:
        return []
    if names == ["performance"]:
        return [Finding(subject="clock", level="ok", text="governor performance")]
    return [
        Finding(subject="clock", level="note", text=f"governor {', '.join(names)}: cores slow down between bursts",
                next_step="if samples are lost: sudo cpupower frequency-set -g performance")
    ]  # fmt: skip


@check("Machine")
def socket_buffers(visit: Visit) -> list[Finding]:
    """The kernel's limits for network buffers, where a USRP hangs on Ethernet."""
    is_ethernet = visit.driver == "uhd" and visit.hardware is not None and "addr=" in visit.hardware.rx_address
    return network_limits(Path("/")) if is_ethernet else []


def network_limits(root: Path) -> list[Finding]:
    """One finding for both directions.

    Args:
        root: In place of /.
    """
    values = {name: int(_read(root / "proc/sys/net/core" / name) or 0) for name in SOCKET_BUFFERS}
    low = [name for name in SOCKET_BUFFERS if values[name] < SOCKET_BYTES[name]]
    text = ", ".join(f"{name} {values[name] / 1e6:.3g} MB" for name in SOCKET_BUFFERS)
    step = "sudo sysctl -w " + " ".join(f"net.core.{name}={SOCKET_BYTES[name]}" for name in low)
    return [
        Finding(subject="network buffers", level="note" if low else "ok", text=text, next_step=step if low else "",
                facts=values)
    ]  # fmt: skip


@check("Machine")
def usb_memory(visit: Visit) -> list[Finding]:
    """The kernel's memory for USB transfers, where a radio hangs on USB."""
    address = "" if visit.hardware is None else visit.hardware.rx_address
    on_usb = visit.driver == "soapy" or (visit.driver == "uhd" and "type=b2" in address)
    return usb_limit(Path("/")) if on_usb else []


def usb_limit(root: Path) -> list[Finding]:
    """One finding; nothing where there is no USB.

    Args:
        root: In place of /.
    """
    file = root / "sys/module/usbcore/parameters/usbfs_memory_mb"
    text = _read(file)
    if not text.isdecimal():
        return []
    is_low = 0 < int(text) < USB_MIB  # 0 is no limit
    step = "above some 10 Msample/s: echo 1000 | sudo tee /sys/module/usbcore/parameters/usbfs_memory_mb"
    return [
        Finding(subject="USB memory", level="note" if is_low else "ok", text=f"{text} MiB for all transfers",
                next_step=step if is_low else "")
    ]  # fmt: skip


@check("Machine")
def priority(visit: Visit) -> list[Finding]:
    """Whether UHD may run its threads first."""
    if visit.driver != "uhd":
        return []
    try:
        import resource
    except ImportError:  # Windows has no such limit
        return []
    highest = resource.getrlimit(resource.RLIMIT_RTPRIO)[1]
    if highest == resource.RLIM_INFINITY or highest > 0:
        return [Finding(subject="priority", level="ok", text="UHD may run its threads in real time")]
    step = "if samples are lost: @usrp - rtprio 99 in /etc/security/limits.d/uhd.conf, and you in the group usrp"
    return [Finding(subject="priority", level="note", text="UHD may not run its threads in real time", next_step=step)]


@check("Machine")
def pluto_buffers(visit: Visit) -> list[Finding]:
    """How long a Pluto's buffers are."""
    hardware = visit.hardware
    if hardware is None or hardware.driver != "iio":
        return []
    try:
        from gened.flowgraphs.radios.iio import BUFFER_LEN, N_RECEIVED, N_SENT
    except ImportError:  # GNU Radio is missing, which another finding says
        return []
    return [
        buffer_advice(side, part.buffer_len or BUFFER_LEN, part.n_buffers or count, hardware.sample_rate)
        for side, part, count in (("rx", hardware.rx, N_RECEIVED), ("tx", hardware.tx, N_SENT))
    ]


def buffer_advice(side: str, buffer_len: int, n_buffers: int, sample_rate: float) -> Finding:
    """What so many buffers of so many samples mean for delay and losses."""
    buffer_s = buffer_len / sample_rate
    text = (
        f"{side}.buffer_len {buffer_len} at {sample_rate / 1e6:g} Msample/s: {1e3 * buffer_s:.3g} ms a buffer, "
        f"{n_buffers * buffer_s:.2g} s in {n_buffers}"
    )
    fitting = 2 ** round(float(np.log2(0.03 * sample_rate)))
    step = f"--set {side}.buffer_len={fitting} is about 30 ms"
    if buffer_s < MIN_BUFFER_S:
        return Finding(subject="buffers", level="note", text=f"{text}; so short that samples get lost", next_step=step)
    if n_buffers * buffer_s < MIN_HELD_S:
        step = f"--set {side}.n_buffers={int(np.ceil(2 * MIN_HELD_S / buffer_s))}"
        return Finding(subject="buffers", level="note", text=f"{text}; a busy machine is late by more", next_step=step)
    if buffer_s > MAX_BUFFER_S:
        return Finding(subject="buffers", level="note", text=f"{text}; so long that pictures wait", next_step=step)
    return Finding(subject="buffers", level="ok", text=text)


@check("Machine", is_alone=True)
def receiver_speed(visit: Visit) -> list[Finding]:
    """Samples per second in which this machine can search for bursts, against the rate of the radio."""
    from gened.gr_blocks.phy.sync.detector import BurstDetector

    noise = np.random.default_rng(1).standard_normal(2 * SPEED_SAMPLES).astype(np.float32).view(np.complex64)
    detector = BurstDetector()
    detector.push(noise[:8192])  # what is made once
    begin_s = time.perf_counter()
    for start in range(8192, SPEED_SAMPLES, 8192):
        detector.push(noise[start : start + 8192])
    speed = (SPEED_SAMPLES - 8192) / (time.perf_counter() - begin_s)
    return [speed_finding(speed, 1e6 if visit.hardware is None else visit.hardware.sample_rate)]


def speed_finding(speed: float, sample_rate: float) -> Finding:
    """Whether a search of `speed` samples a second keeps up with a radio."""
    text = f"can look through {speed / 1e6:.2g} Msample/s of noise; {sample_rate / 1e6:g} are to come"
    facts = {"samples_per_s": speed}
    if speed >= MARGIN * sample_rate:
        return Finding(subject="receiver", level="ok", text=text, facts=facts)
    step = f"close other programs, or --set sample_rate={max(1e5, speed / MARGIN):.2g} where the radio can do it"
    level: Level = "note" if speed >= sample_rate else "problem"
    return Finding(subject="receiver", level=level, text=text, next_step=step, facts=facts)


def _read(file: Path) -> str:
    try:
        return file.read_text().strip()
    except OSError:
        return ""
