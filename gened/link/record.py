# SPDX-License-Identifier: GPL-3.0-or-later
"""A recording's whole run: samples of a radio, of the air or of its tap into SigMF, with the bursts found in them."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import zmq

from gened import __version__
from gened.errors import ConfigError
from gened.gr_blocks.recording.metadata import RecordingInfo
from gened.gr_blocks.recording.writer import RecordingWriter
from gened.link.config import KeepConfig, RecordConfig
from gened.link.control import ControlSocket, Status
from gened.link.link_errors import NoFrameError

if TYPE_CHECKING:
    from gened.flowgraphs.radios.profiles import RadioProfile
    from gened.flowgraphs.recorder import Recorder
    from gened.gr_blocks.sample_recorder import sample_recorder

POLL_S = 0.05
DRAIN_S = 5.0
"""How long, at the end, what was found may take to be demodulated."""
BEHIND_END = 32768
"""Samples behind the last one kept, after which the detector has decided about a burst that ended there."""
AIR_FULL_SCALE = 16.0
"""Of `ci16_le` where no converter sets it: bursts of power 1 and their noise stay below, steps of 1/2048 are small."""


@dataclass(frozen=True, kw_only=True)
class Recorded:
    """What a run has left."""

    path: Path
    n_samples: int
    seconds: float
    n_bursts: int
    """Annotated."""
    n_frames: int
    """Of these frames, complete or given up."""
    n_clipped: int
    """Samples beyond what the datatype holds."""


def make_recorder(keep: KeepConfig, profile: RadioProfile) -> sample_recorder:
    """The block that keeps a profile's samples: `open` it before the flowgraph starts, `close` it behind its end.

    Raises:
        RecordingError: A recording of that name is there.
    """
    from gened.gr_blocks.sample_recorder import sample_recorder

    info = RecordingInfo(
        sample_rate=profile.sample_rate,
        center_freq=profile.center_freq,
        hw=f"gened air at {profile.address}"
        if profile.hardware is None
        else f"{profile.hardware.name}, driver {profile.kind}",
        description=keep.description,
        recorder=f"gr-gened {__version__}",
        datatype=keep.datatype,
        full_scale=1.0 if profile.is_clocked else AIR_FULL_SCALE,
    )
    n_samples = None if keep.seconds is None else max(1, round(keep.seconds * profile.sample_rate))
    return sample_recorder(RecordingWriter(keep.path, info, overwrites=keep.overwrites), n_samples)


def run_record(
    config: RecordConfig, *, stop: threading.Event, on_state: Callable[[dict[str, Any]], None] | None = None
) -> Recorded:
    """Records until one of the conditions of the configuration holds. Whatever ends it, the files are whole.

    Args:
        config: The recorder.
        stop: Ends the run.
        on_state: Called some times a second with `n_samples`, `n_bursts` and `n_frames`.

    Raises:
        NoFrameError: No sample came within the time limit.
        RecordingError: The files cannot be written.
        ConfigError: Air runs at another sample rate.
        LinkError: The radio is not there.
    """
    from gened.flowgraphs.recorder import Recorder

    recorder = make_recorder(config.keep, config.profile)
    flowgraph = Recorder(config.profile, recorder)
    recorder.open()  # not before the radio is there: an older recording of that name would be gone
    context: zmq.Context[Any] = zmq.Context()
    try:
        control = None if config.control is None else ControlSocket(context, zmq.SUB, config.control, binds=False)
        flowgraph.start()
        try:
            _listen(config, flowgraph, control, stop, on_state)
        finally:
            _end(flowgraph)
    except ConfigError:  # air runs at another rate than the metadata would say
        recorder.discard()
        raise
    finally:
        context.destroy(linger=0)
        recorder.close()
    return _recorded(config, recorder)


def _listen(
    config: RecordConfig,
    flowgraph: Recorder,
    control: ControlSocket | None,
    stop: threading.Event,
    on_state: Callable[[dict[str, Any]], None] | None,
) -> None:
    """Waits for the end, whichever comes first."""
    last_s, n_before = time.monotonic(), 0
    while not stop.wait(POLL_S) and not flowgraph.recorder.is_full:
        flowgraph.source.poll()
        for message in () if control is None else control.receive():
            if isinstance(message, Status):
                require_air_rate(message.sample_rate, config.profile.sample_rate)
        counts = flowgraph.recorder.stats()
        if on_state is not None:
            on_state({"n_samples": flowgraph.recorder.n_written, "n_bursts": 0, "n_frames": 0} | counts)
        if config.n_frames is not None and counts.get("n_frames", 0) >= config.n_frames:
            return
        n_now = flowgraph.n_samples_received
        if n_now != n_before:
            last_s, n_before = time.monotonic(), n_now
        if time.monotonic() - last_s > config.timeout_s:
            remedy = "is it still there?" if config.control is None else "is `gened air` running there?"
            raise NoFrameError(f"no samples from {config.profile.address} for {config.timeout_s:g} s; {remedy}")


def require_air_rate(air_rate: float, sample_rate: float) -> None:
    """Whether air runs at the rate that was asked for.

    Raises:
        ConfigError: It does not.
    """
    if abs(air_rate / sample_rate - 1) > 1e-3:
        raise ConfigError(
            f"air runs at {air_rate:g} samples/s, not at {sample_rate:g}; give --sample-rate {air_rate:g}"
        )


def _end(flowgraph: Recorder) -> None:
    """Waits until the kept samples are searched, as far as samples still come; then stops the flowgraph."""
    flowgraph.recorder.end()
    deadline_s = time.monotonic() + DRAIN_S
    end = flowgraph.recorder.n_written + BEHIND_END
    n_before = -1
    while n_before < flowgraph.n_searched < end and time.monotonic() < deadline_s:
        n_before = flowgraph.n_searched
        time.sleep(4 * POLL_S)  # air gives samples every few milliseconds; when none came, none will
    flowgraph.drain(max(0.0, deadline_s - time.monotonic()))
    flowgraph.stop()
    flowgraph.wait()


def _recorded(config: RecordConfig, recorder: sample_recorder) -> Recorded:
    annotations = recorder.annotations
    return Recorded(
        path=recorder.path,
        n_samples=recorder.n_written,
        seconds=recorder.n_written / config.profile.sample_rate,
        n_bursts=len(annotations),
        n_frames=len({(one.session, one.frame) for one in annotations if one.snr_est_db is not None}),
        n_clipped=recorder.n_clipped,
    )
