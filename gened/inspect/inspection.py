# SPDX-License-Identifier: GPL-3.0-or-later
"""Find and dissect one burst of a recording or of a radio, for `gened inspect`.

recording ---------------------.
source --> sample_queue ~~~~~~~~`--> SpecimenFinder --> dissect
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import zmq

from gened.errors import ConfigError, LinkError
from gened.gr_blocks.phy.sync.detector import DetectorStats
from gened.inspect.anatomy import dissect
from gened.inspect.anatomy_records import Anatomy
from gened.inspect.specimen import MARGIN, MAX_BURST_LEN, MISS_SPAN, Specimen, SpecimenFinder, cleaned

if TYPE_CHECKING:
    from gened.flowgraphs.radios.profiles import RadioProfile
    from gened.gr_blocks.recording.reader import Recording
    from gened.gr_blocks.sample_queue import sample_queue
    from gened.link.control import ControlSocket

CHUNK = 65536
POLL_S = 0.1
NEAR = 4096
"""Largest distance in samples from a requested place to a burst that is taken for the one meant."""


def inspect_recording(recording: Recording, *, number: int = 0, at: int | None = None) -> Anatomy:
    """Dissect a burst of a recording.

    Args:
        recording: Recording from `read_recording` or `read_raw`.
        number: Number of the burst, from 0; bursts whose header fails are counted.
        at: Sample within or near the burst, in place of `number`. Without a burst there, the place itself is shown.

    Raises:
        ConfigError: The recording ends before `at`.
        LinkError: The recording has no burst of this number.
    """
    specimen = _numbered(recording, number) if at is None else _placed(recording, at)
    return dissect(specimen, recording.info.sample_rate)


def _numbered(recording: Recording, number: int) -> Specimen:
    finder, n_before = SpecimenFinder(), 0
    for first in range(0, len(recording.samples), CHUNK):
        found = finder.push(recording.samples[first : first + CHUNK])
        if n_before + len(found) > number:
            return found[number - n_before]
        n_before += len(found)
    found = finder.flush()
    if n_before + len(found) > number:
        return found[number - n_before]
    n_found = n_before + len(found)
    if n_found:
        there = "one burst, number 0" if n_found == 1 else f"{n_found} bursts, 0 to {n_found - 1}"
        raise LinkError(f"no burst {number} in {recording.path.name}: it holds {there}")
    raise LinkError(
        f"no burst in {recording.path.name}: {_searched(finder.stats)}; "
        "is it of this waveform, at the sender's sample rate? --at SAMPLE draws a place without a burst"
    )


def _searched(stats: DetectorStats) -> str:
    tones = f", {stats.tones} of them single carriers" if stats.tones else ""
    return f"{stats.samples} samples with {stats.candidates} candidates{tones}, none of them a preamble"


def _placed(recording: Recording, at: int) -> Specimen:
    if not 0 <= at < len(recording.samples):
        raise ConfigError(f"sample {at} of {recording.path.name}: it has {len(recording.samples)}, counted from 0")
    first = max(0, at - MAX_BURST_LEN - MARGIN)
    finder = SpecimenFinder(first)
    samples = recording.samples[first : at + NEAR + MAX_BURST_LEN + MARGIN]
    near = [one for one in finder.push(samples) + finder.flush() if _distance(one, at) <= NEAR]
    if near:
        return min(near, key=lambda one: _distance(one, at))
    begin = max(0, at - MISS_SPAN // 2)
    return Specimen(cleaned(recording.samples[begin : at + MISS_SPAN // 2]), begin, None, at)


def _distance(specimen: Specimen, at: int) -> int:
    """Distance in samples from a place to a burst; 0 within it."""
    return max(specimen.start - at, at - specimen.end, 0)


@dataclass(frozen=True, kw_only=True)
class LiveConfig:
    """Source of the samples, and limits of the wait.

    Raises:
        ConfigError: A number out of range.
    """

    profile: RadioProfile
    """Receiving radio, or the socket of the channel emulator."""
    control: str | None = None
    """Address of the channel emulator's control socket; None for a radio."""
    number: int = 0
    """Number of bursts to skip first."""
    timeout_s: float = 10.0
    """Seconds without a complete burst after which the wait ends."""

    def __post_init__(self) -> None:
        if not 0 < self.timeout_s <= 86400 * 365:
            raise ConfigError(f"a time limit of {self.timeout_s:g} s; give a positive number")


def inspect_live(
    config: LiveConfig, *, stop: threading.Event, on_state: Callable[[dict[str, int]], None] | None = None
) -> Anatomy | None:
    """Receive and dissect the next burst.

    Args:
        config: Source and limits.
        stop: Ends the wait.
        on_state: Called several times per second with `n_samples` and `n_candidates`.

    Returns:
        The burst; None when `stop` was set first.

    Raises:
        NoFrameError: No burst, or no sample, arrived within the time limit.
        ConfigError: The channel emulator runs at another sample rate.
        LinkError: The radio cannot be opened.
    """
    from gnuradio import gr

    from gened.flowgraphs.radios.registry import make_source
    from gened.gr_blocks.sample_queue import sample_queue
    from gened.link.control import ControlSocket

    flowgraph, queue = gr.top_block("gened inspect", catch_exceptions=True), sample_queue()
    source = make_source(config.profile)  # held here: a flowgraph keeps no Python block alive
    flowgraph.connect(source, queue)
    context: zmq.Context[Any] = zmq.Context()
    try:
        control = None if config.control is None else ControlSocket(context, zmq.SUB, config.control, binds=False)
        flowgraph.start()
        try:
            poll = lambda: _poll(source.poll, control, config.profile.sample_rate)  # noqa: E731
            specimen = _next(config, queue, poll, stop, on_state)
        finally:
            flowgraph.stop()
            flowgraph.wait()
    finally:
        context.destroy(linger=0)
    return None if specimen is None else dissect(specimen, config.profile.sample_rate)


def _next(
    config: LiveConfig,
    queue: sample_queue,
    poll: Callable[[], None],
    stop: threading.Event,
    on_state: Callable[[dict[str, int]], None] | None,
) -> Specimen | None:
    finder, n_passed, last_s = SpecimenFinder(), 0, time.monotonic()
    while not stop.is_set():
        poll()
        samples, has_gap = queue.take(POLL_S)
        if has_gap:
            finder = SpecimenFinder()
        for first in range(0, len(samples), CHUNK):
            for specimen in finder.push(samples[first : first + CHUNK]):
                if n_passed == config.number:
                    return specimen
                n_passed, last_s = n_passed + 1, time.monotonic()
        if on_state is not None:
            on_state({"n_samples": queue.n_samples, "n_candidates": finder.stats.candidates})
        if time.monotonic() - last_s > config.timeout_s:
            raise _nothing(config, queue.n_samples, finder.stats)
    return None


def _nothing(config: LiveConfig, n_samples: int, stats: DetectorStats) -> LinkError:
    from gened.link.link_errors import NoFrameError

    if n_samples == 0:
        profile = config.profile
        place = profile.address if profile.hardware is None else profile.hardware.name
        remedy = "is it still there?" if config.control is None else "is `gened air` running there?"
        return NoFrameError(f"no samples from {place} for {config.timeout_s:g} s; {remedy}")
    return NoFrameError(f"no burst for {config.timeout_s:g} s: {_searched(stats)}; is anybody transmitting?")


def _poll(poll_source: Callable[[], None], control: ControlSocket | None, sample_rate: float) -> None:
    from gened.link.control import Status
    from gened.link.record import require_air_rate

    poll_source()
    for message in () if control is None else control.receive():
        if isinstance(message, Status):
            require_air_rate(message.sample_rate, sample_rate)
