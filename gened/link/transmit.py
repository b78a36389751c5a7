# SPDX-License-Identifier: GPL-3.0-or-later
"""The run of a transmitter: photographs through the flowgraph, and the position of each burst to the channel emulator.

photographs -> Transmitter (GNU Radio, or NumPy alone) -> samples 5550
                    `-> burst_announcer -> control 5552

With a radio the samples go to it, without channel emulator and control: the run ends when the last burst has left.
"""

from __future__ import annotations

import collections
import threading
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from gened.errors import CodecError, LinkError
from gened.flowgraphs.radios.radio_events import EventReporter
from gened.gr_blocks.pdu.facts import SentFacts
from gened.link.config import TransmitConfig
from gened.link.control import require_free
from gened.link.describing import Describer
from gened.link.events import Ended, Notice, OnEvent, Ready, send
from gened.link.photographs import Photographs
from gened.models.serving.worker import JobResult
from gened.monitor.causes import CAUSES, SAID_ONCE
from gened.monitor.link_monitor import named_faults

if TYPE_CHECKING:
    from gened.flowgraphs.transmitter import Transmitter
    from gened.link.ends import TransmitterEnd
    from gened.link.sender_control import SenderControl

POLL_S = 0.1
READY_POLL_S = 0.02
N_HOPELESS = 3
"""Number of frames, none of which could be encoded, after which the others are not tried: a thousand of them, one every
ten seconds, would take hours to fail alike."""


class _Outbox:
    """Facts of the frames that have left or failed, filled by the threads of the flowgraph."""

    def __init__(self, on_event: OnEvent | None) -> None:
        self.frames: list[SentFacts] = []
        self.on_event = on_event
        self.faults = EventReporter(
            "transmitter", lambda line: send(on_event, Notice(line)), table=CAUSES, once=SAID_ONCE
        )
        """Counts and names the faults of codec and captioner."""

    @property
    def is_hopeless(self) -> bool:
        """Whether encoding has failed often enough, and never worked."""
        return len(self.frames) >= N_HOPELESS and self.error is not None

    @property
    def error(self) -> str | None:
        """The first error where every frame has one."""
        errors = [facts.error for facts in self.frames if facts.error is not None]
        return errors[0] if errors and len(errors) == len(self.frames) else None

    def report(self, facts: SentFacts) -> None:
        if facts.error is not None:
            self.faults.report("encoder fails", 1, facts.error)
        self.frames.append(facts)
        send(self.on_event, facts)

    def not_described(self, reason: str) -> None:
        """Takes the reason why a photograph has no caption."""
        self.faults.report("captioner fails", 1, reason)


@dataclass(frozen=True)
class _Run:
    """What the parts of a run share."""

    config: TransmitConfig
    photographs: Photographs
    outbox: _Outbox
    stop: threading.Event
    permits: threading.Semaphore | None
    describer: Describer | None


def run_transmit(
    config: TransmitConfig,
    *,
    stop: threading.Event,
    on_event: OnEvent | None = None,
    permits: threading.Semaphore | None = None,
) -> list[SentFacts]:
    """Sends the photographs and ends when the channel emulator or the radio has emitted the last sample.

    Args:
        config: The transmitter.
        stop: Ends the run early.
        on_event: Called with `Ready` when the channel emulator has answered or the radio runs, with the `SentFacts` of
            each frame when it has left, with a `Notice` for each fault, and with `Ended`; any thread.
        permits: One is taken before each frame, so that a supervisor can hold the sender back; None: no such limit.

    Returns:
        Facts of each frame, in the order in which they left; `error` where it was not sent.

    Raises:
        ImageError: A photograph or the mask cannot be used; nothing was sent.
        ConfigError: The mask or a box does not fit a photograph; nothing was sent.
        PortInUseError: Another program listens at one of the addresses.
        ConfigError, LinkError: The radio is absent, may not transmit as configured, or does not take its settings.
        CodecError: The codec cannot be made, or no frame could be encoded.
        CaptionerError: The captioner cannot be constructed; nothing was sent.
        LinkError: The channel emulator did not answer, or took no more samples, within the time limit.
    """
    photographs, outbox = Photographs(config), _Outbox(on_event)
    describer = None
    if config.describe is not None and not config.captions:
        describer = Describer(config.describe, outbox.not_described)
    run = _Run(config, photographs, outbox, stop, permits, describer)
    try:
        with named_faults("semantic_encoder"):
            if config.radio is None:
                _send_to_air(run)
            else:
                _send_to_radio(run)
    finally:
        if describer is not None:
            describer.close()
    if outbox.error is not None:
        raise CodecError(f"{config.photos[(outbox.frames[0].photo or 0) % len(config.photos)].name}: {outbox.error}")
    return outbox.frames


def _transmitter(config: TransmitConfig, outbox: _Outbox) -> Transmitter:
    from gened.flowgraphs.radios.profiles import RadioProfile
    from gened.flowgraphs.transmitter import Transmitter

    profile = config.radio or RadioProfile(address=config.address, sample_rate=config.sample_rate)
    side = None if profile.hardware is None else profile.hardware.tx
    return Transmitter(
        profile,
        codec=config.codec, options=config.encode, codec_options=config.codec_options, station=config.station,
        caption_mode=config.caption_mode, session=config.session, device=config.device,
        gap_len=max(config.gap_len, 0 if side is None else side.gap_len),
        is_continuous=side is not None and side.is_continuous, on_report=outbox.report,
    )  # fmt: skip


def _send_to_radio(run: _Run) -> None:
    """Sends over a radio, which is mute again when this ends, for whatever reason."""
    from gened.monitor.link_monitor import TransmitterMonitor, watching

    outbox = run.outbox
    transmitter = _transmitter(run.config, outbox)
    sink = transmitter.sink
    monitor = TransmitterMonitor(transmitter, lambda line: send(outbox.on_event, Notice(line)))
    try:
        _require_codec(run, transmitter)
        sink.arm()
        transmitter.start()
        send(outbox.on_event, Ready())
        with watching(monitor):
            _send_all(run, transmitter)
            _drain(run, transmitter)
        run.stop.wait(sink.tail_s)  # until the last sample has left the driver's buffers
    finally:
        sink.mute()
        transmitter.stop()
        transmitter.wait()
        send(outbox.on_event, Ended(monitor.counts() | outbox.faults.counts()))


def _send_to_air(run: _Run) -> None:
    """Sends to the channel emulator."""
    config = run.config
    for address in (config.address, config.control):
        require_free(address)
    from gened.link.sender_control import SenderControl, require_ready

    control = SenderControl(config.control, config.sample_rate)
    try:
        transmitter = _announcing(config, run.outbox, control)
        _require_codec(run, transmitter)
        if require_ready(control, config.timeout_s, run.stop):
            transmitter.start()
            try:
                send(run.outbox.on_event, Ready())
                _send_all(run, transmitter)
                _drain(run, transmitter)
                _finish(run, transmitter, control)
            finally:
                transmitter.stop()
                transmitter.wait()
                if transmitter.n_bad_symbols:
                    run.outbox.faults.report("bad symbols", transmitter.n_bad_symbols)
    finally:
        control.close()
        send(run.outbox.on_event, Ended(run.outbox.faults.counts()))


def _require_codec(run: _Run, transmitter: TransmitterEnd) -> None:
    """Waits until the encoder's process has made the codec.

    Raises:
        CodecError: It cannot be made, with these options above all.
    """
    worker = transmitter.encoder.worker
    results: collections.deque[JobResult] = collections.deque()
    worker.submit("ready", results.append)
    while not results:
        if run.stop.wait(READY_POLL_S):
            return
    if (error := results[0].error) is not None:
        worker.close()
        raise CodecError(error)


def _announcing(config: TransmitConfig, outbox: _Outbox, control: SenderControl) -> TransmitterEnd:
    """The flowgraph, or the NumPy chain, which announces each burst."""
    if config.without_gnuradio:
        from gened.link.numpy_transmitter import NumpyTransmitter

        return NumpyTransmitter(config, on_report=outbox.report, announce=control.announce)
    from gened.gr_blocks.burst_announcer import burst_announcer

    transmitter = _transmitter(config, outbox)
    # A flowgraph does not keep its Python blocks alive: this attribute does.
    transmitter.announcer = burst_announcer(control.announce)
    transmitter.connect(transmitter.modulator, transmitter.announcer)
    return transmitter


def _send_all(run: _Run, transmitter: TransmitterEnd) -> None:
    """Passes each picture to the flowgraph when it is due, a permit is there, and the flowgraph has room."""
    config, stop, permits = run.config, run.stop, run.permits
    due_s = time.monotonic()
    for number in range(config.n_frames_in_all):
        frame = run.photographs.frame(number, run.describer)
        while permits is not None and not stop.is_set() and not permits.acquire(timeout=POLL_S):
            pass
        stop.wait(max(0.0, due_s - time.monotonic()))
        watch = _Watch(transmitter, config.timeout_s)
        while not stop.is_set() and not transmitter.send(frame.image, frame.meta, mask=frame.mask, timeout_s=POLL_S):
            watch.check()
        if stop.is_set() or run.outbox.is_hopeless:
            return
        due_s = time.monotonic() + config.interval_s


def _drain(run: _Run, transmitter: TransmitterEnd) -> None:
    """Waits until every sample has left the flowgraph."""
    watch = _Watch(transmitter, run.config.timeout_s)
    while not run.stop.is_set() and not transmitter.drain(POLL_S):
        watch.check()


def _finish(run: _Run, transmitter: TransmitterEnd, control: SenderControl) -> None:
    """Announces the end and waits until the channel emulator has emitted every sample."""
    config, stop = run.config, run.stop
    if stop.is_set():
        return
    control.finish(config.n_frames_in_all, transmitter.n_samples_sent)
    begin_s, limit_s = time.monotonic(), config.timeout_s + transmitter.n_samples_sent / config.sample_rate
    while not stop.is_set() and not control.wait_done(POLL_S):
        if time.monotonic() - begin_s > limit_s:
            raise LinkError(f"air at {config.control} did not confirm the end; was it stopped?")


class _Watch:
    """Time limit for a transmitter of which neither a sample nor a frame moves.

    Args:
        transmitter: The flowgraph.
        timeout_s: Largest time without any movement.
    """

    def __init__(self, transmitter: TransmitterEnd, timeout_s: float) -> None:
        self._transmitter = transmitter
        self._timeout_s = timeout_s
        self._last = (-1, -1)
        self._moved_s = time.monotonic()

    def check(self) -> None:
        """To be called often.

        Raises:
            LinkError: The time limit is exceeded, or the radio did not start.
        """
        failure = self._transmitter.sink.failure
        if failure is not None:
            raise LinkError(str(failure))
        stats = self._transmitter.encoder.stats()
        now = (self._transmitter.n_samples_sent, stats.get("n_encoded", 0) + stats.get("n_failed", 0))
        if now != self._last or self._transmitter.encoder.worker.n_pending:  # the worker has a time limit of its own
            self._last, self._moved_s = now, time.monotonic()
        elif time.monotonic() - self._moved_s > self._timeout_s:
            peer = self._transmitter.sink.where
            advice = f"is {peer} still there?" if peer else "was `gened air` stopped?"
            raise LinkError(f"no samples were taken for {self._timeout_s:g} s; {advice}")
