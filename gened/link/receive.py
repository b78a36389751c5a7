# SPDX-License-Identifier: GPL-3.0-or-later
"""The run of a receiver: from samples to pictures, with the state that the channel emulator publishes beside them.

samples 5551 -> Receiver (GNU Radio, or NumPy alone) -> received*.png -> facts
status  5553 --------------|--------------------------------------------^
                           `-> editor -> edited*.png ---------------------'
"""

from __future__ import annotations

import collections
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import zmq

from gened.errors import CodecError, ConfigError
from gened.gr_blocks.pdu.facts import FrameFacts
from gened.link.config import ReceiveConfig
from gened.link.control import ControlSocket, Status
from gened.link.editing import EditorSide
from gened.link.events import Ended, Notice, OnEvent, Ready, send
from gened.link.inbox import Inbox
from gened.link.link_errors import NoFrameError
from gened.models.data.writing import write_png
from gened.models.serving.worker import JobResult
from gened.paths import make_folder

if TYPE_CHECKING:
    from gened.flowgraphs.radios.profiles import RadioProfile
    from gened.gr_blocks.sample_recorder import sample_recorder
    from gened.link.ends import ReceiverEnd
    from gened.monitor.link_monitor import ReceiverMonitor

POLL_S = 0.05
ASSEMBLY_S = 2.0
"""Time that a frame waits for its bursts."""
GRACE_S = ASSEMBLY_S + 0.5
"""Time after the transmitter's end within which frames that are under way or incomplete have come or were given up."""
RECORDER_S = 2.0
"""Time that the recorder may need, at the end, to annotate the last frames."""


def run_receive(config: ReceiveConfig, *, stop: threading.Event, on_event: OnEvent | None = None) -> list[FrameFacts]:
    """Receives until one of the conditions of the configuration holds.

    Args:
        config: The receiver.
        stop: Ends the run.
        on_event: Called with `Ready` when the first samples have come, with a `Notice` for each fault of the link, with
            `Figures` every `live_s`, with the `FrameFacts` of each frame when it is complete, and with `Ended`; any
            thread.

    Returns:
        Facts of each frame, in the order in which they were decoded; `error` where that failed.

    Raises:
        NoFrameError: No frame came within the time limit.
        ConfigError: The channel emulator runs at another sample rate.
        CodecError: A codec of the configuration cannot be made, with these options above all.
        EditorError: The editor of this machine cannot be loaded, with these options above all.
        LinkError: A picture cannot be written, on a full disk for instance.
    """
    from gened.flowgraphs.radios.profiles import RadioProfile
    from gened.link.record import make_recorder
    from gened.monitor.link_monitor import ReceiverMonitor, named_faults, watching

    if config.out is not None:
        make_folder(config.out)
    inbox = Inbox(config, on_event)
    profile = config.radio or RadioProfile(address=config.address, sample_rate=config.sample_rate)
    recorder = None if config.keep is None else make_recorder(config.keep, profile)
    editor = None if config.edit is None else EditorSide(config.edit)
    try:
        receiver = _receiver(config, profile, recorder, inbox, editor)
        if recorder is not None:
            recorder.open()
    except BaseException:  # a radio that is not there, above all
        if editor is not None:
            editor.close()
        raise
    inbox.monitor = monitor = ReceiverMonitor(receiver, lambda line: send(on_event, Notice(line)))
    context: zmq.Context[Any] = zmq.Context()
    control = None if config.radio is not None else ControlSocket(context, zmq.SUB, config.control, binds=False)
    receiver.start()
    inbox.last_s = time.monotonic()  # a busy machine may take seconds to come here, which are none of waiting
    try:
        with watching(monitor), named_faults("semantic_decoder", "picture_editor"):
            _watch(config, receiver, control, inbox, stop, on_event, editor)
    finally:
        if editor is not None:
            editor.close()  # its pictures come back unchanged, while the flowgraph still runs
            receiver.drain(1.0)
        receiver.drain_recorder(RECORDER_S)
        receiver.stop()
        receiver.wait()
        if control is not None:
            control.close()
        context.destroy(linger=0)
        if config.live_s is not None:
            send(on_event, inbox.live.figures())
        send(on_event, Ended(monitor.counts()))
        if recorder is not None:
            recorder.close()
    if config.out is not None and inbox.frames:
        _write_results(config, config.out, inbox)
    return inbox.frames


def _receiver(
    config: ReceiveConfig,
    profile: RadioProfile,
    recorder: sample_recorder | None,
    inbox: Inbox,
    editor: EditorSide | None,
) -> ReceiverEnd:
    """The flowgraph, or the NumPy chain."""
    common: dict[str, Any] = {
        "codecs": config.codecs, "codec_options": config.codec_options, "timeout_s": ASSEMBLY_S,
        "on_frame": inbox.frame, "on_picture": inbox.picture, "on_edited": inbox.edited,
        "editor": None if editor is None else editor.client,
        "edit_strength": 1.0 if config.edit is None else config.edit.strength, "n_threads": config.threads,
    }  # fmt: skip
    if config.without_gnuradio:
        from gened.link.numpy_receiver import NumpyReceiver

        return NumpyReceiver(profile, **common)
    from gened.flowgraphs.receiver import Receiver

    receiver: ReceiverEnd = Receiver(profile, recorder=recorder, **common)
    return receiver


def _watch(
    config: ReceiveConfig,
    receiver: ReceiverEnd,
    control: ControlSocket | None,
    inbox: Inbox,
    stop: threading.Event,
    on_event: OnEvent | None,
    editor: EditorSide | None,
) -> None:
    """Polls until the first condition for the end holds."""
    is_ready, is_armed, over_s = False, False, 0.0
    decoder = _Decoder(receiver)
    live = _LiveSender(config, receiver, inbox, on_event)
    while not stop.wait(POLL_S):
        live.poll()
        decoder.poll()
        if inbox.fault is not None:
            raise inbox.fault
        if editor is not None:
            editor.poll()
        for message in () if control is None else control.receive():
            if isinstance(message, Status):
                inbox.status = message
        status = inbox.status
        if status is not None and abs(status.sample_rate / config.sample_rate - 1) > 1e-3:
            raise ConfigError(
                f"air runs at {status.sample_rate:g} samples/s, this receiver at {config.sample_rate:g}; "
                f"give --sample-rate {status.sample_rate:g}"
            )
        if not is_ready and receiver.n_samples_received > 0:
            is_ready = True
            send(on_event, Ready())
        if config.n_frames is not None and len(inbox.frames) >= config.n_frames:
            return
        if receiver.has_end and receiver.drain(0.0):
            if inbox.frames:
                return
            raise NoFrameError(_why_nothing(config, receiver, inbox.monitor))
        is_over = status is not None and status.is_over
        # The end of an earlier transmission may still be published when this receiver starts.
        is_armed = is_armed or bool(inbox.frames) or (status is not None and not is_over)
        if config.until_end and is_over and is_armed:
            over_s = over_s or time.monotonic()
            if _has_all(receiver, inbox, status) or (
                time.monotonic() - max(over_s, inbox.last_s) > GRACE_S and receiver.drain(0.0)
            ):
                return
        else:
            over_s = 0.0
        if time.monotonic() - inbox.last_s > config.timeout_s and receiver.drain(0.0):
            if inbox.frames:
                return
            raise NoFrameError(_why_nothing(config, receiver, inbox.monitor))


class _Decoder:
    """The start of the decoder's process, which makes the codecs of the configuration."""

    def __init__(self, receiver: ReceiverEnd) -> None:
        self._results: collections.deque[JobResult] = collections.deque()
        receiver.decoder.worker.submit("ready", self._results.append)

    def poll(self) -> None:
        """To be called often.

        Raises:
            CodecError: A codec cannot be made.
        """
        if self._results and (error := self._results.popleft().error) is not None:
            raise CodecError(error)


class _LiveSender:
    """Sends the live figures in their period."""

    def __init__(self, config: ReceiveConfig, receiver: ReceiverEnd, inbox: Inbox, on_event: OnEvent | None) -> None:
        self._period_s, self._due_s = config.live_s, time.monotonic()
        self._receiver, self._live, self._on_event = receiver, inbox.live, on_event

    def poll(self) -> None:
        """Reads the counters; to be called often."""
        stats = self._receiver.detector.stats()
        self._live.update(n_headers=stats["headers"], n_samples=stats["samples"])
        now_s = time.monotonic()
        if self._period_s is not None and now_s >= self._due_s:
            self._due_s = now_s + self._period_s
            send(self._on_event, self._live.figures())


def _has_all(receiver: ReceiverEnd, inbox: Inbox, status: Status | None) -> bool:
    """Whether all frames that the transmitter has announced have come and are decoded."""
    return status is not None and 0 < status.frames <= len(inbox.frames) and receiver.drain(0.0)


def _why_nothing(config: ReceiveConfig, receiver: ReceiverEnd, monitor: ReceiverMonitor | None) -> str:
    n_samples = receiver.n_samples_received
    if n_samples == 0 and config.radio is not None:
        return f"no samples from the radio at {config.radio.address} within {config.timeout_s:g} s; is it still there?"
    if n_samples == 0:
        return f"no samples at {config.address} within {config.timeout_s:g} s; is `gened air` running there?"
    detector = receiver.stats()["detector"]
    cause = None if monitor is None else monitor.why()
    within = "" if receiver.has_end else f"within {config.timeout_s:g} s "
    return (
        f"no frame {within}among {n_samples} samples "
        f"({detector.get('preambles', 0)} preambles, {detector.get('headers', 0)} headers read); "
        f"{cause or 'is the SNR too low?'}"
    )


def _write_results(config: ReceiveConfig, out: Path, inbox: Inbox) -> None:
    """Writes the files of a run beside its pictures."""
    digital, analog = inbox.symbols or (np.zeros(0, np.complex64),) * 2
    np.savez(out / "constellation.npz", digital=digital, analog=analog)
    if not config.has_report:
        return
    from gened.provenance import run_meta
    from gened.reports.figures import constellation, side_by_side
    from gened.reports.report import Report, frame_report, shared_settings, write_report

    frames = [frame_report(received=facts) for facts in inbox.frames]
    causes = None if inbox.monitor is None else inbox.monitor.counts()
    meta = run_meta(config.argv, seed=0) | shared_settings(inbox.frames) | {"causes": causes}
    write_report(out / "report.json", Report(meta=meta, frames=frames))
    shown = next((frame for frame in frames if frame.received is not None), frames[0])
    write_png(constellation(digital, analog, shown), out / "constellation.png")
    image, mask = inbox.first or (None, None)
    write_png(side_by_side(None, image, shown, mask, edited=inbox.first_edited), out / "side_by_side.png")
