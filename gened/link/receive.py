# SPDX-License-Identifier: GPL-3.0-or-later
"""A receiver's whole run: samples through the flowgraph into pictures, with what air tells of itself beside them.

samples 5551 -> Receiver (GNU Radio) -> received*.png -> facts
status  5553 --------------|---------------------------^
                           `-> editor -> edited*.png ----'
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import zmq

from gened.errors import ConfigError
from gened.gr_blocks.phy.types import ComplexArray
from gened.link.config import ReceiveConfig
from gened.link.control import ControlSocket, Status
from gened.link.editing import EditorSide
from gened.link.link_errors import NoFrameError
from gened.models.data.images import Mask, Pixels, save_png
from gened.monitor.live_figures import LiveFigures

if TYPE_CHECKING:
    from gened.flowgraphs.receiver import Receiver
    from gened.gr_blocks.pdu.facts import FrameFacts
    from gened.gr_blocks.pdu.frame_pdus import PackedFrame
    from gened.monitor.link_monitor import ReceiverMonitor

Facts = dict[str, Any]
POLL_S = 0.05
ASSEMBLY_S = 2.0
"""How long a frame waits for its bursts."""
GRACE_S = ASSEMBLY_S + 0.5
"""After the transmitter's end: what is still on its way, or incomplete, has come or was given up by then."""
RECORDER_S = 2.0
"""How long, at the end, the recorder may need to annotate the last frames."""
N_POINTS = 4096
"""Analogue symbols that are kept for the constellation."""


class _Inbox:
    """What has come, filled by the flowgraph's threads."""

    def __init__(self, config: ReceiveConfig, on_frame: Callable[[Facts], None] | None) -> None:
        self.frames: list[Facts] = []
        self.monitor: ReceiverMonitor | None = None
        """Told of each frame."""
        self.live = LiveFigures()
        self.status: Status | None = None
        self.last_s = time.monotonic()
        """When a frame last came."""
        self.first: tuple[Pixels, Mask | None] | None = None
        self.first_edited: Pixels | None = None
        """Of the same frame."""
        self.symbols: tuple[ComplexArray, ComplexArray] | None = None
        """Digital and analogue symbols of the first frame."""
        self._config = config
        self._on_frame = on_frame
        self._session: int | None = None
        self._first_key: tuple[Any, Any] | None = None
        self._waiting: dict[tuple[Any, Any], Facts] = {}
        """Facts of frames whose pictures are with the editor, by session and frame."""

    def frame(self, packed: PackedFrame, _facts: FrameFacts) -> None:
        """Before it is decoded; only the first frame's symbols are shown, so only that one is unpacked."""
        self.last_s = time.monotonic()
        if self.symbols is None:
            frame = packed.unpack()
            self.symbols = (frame.constellation, _thinned(frame.received.symbols))

    def picture(self, image: Pixels | None, mask: Mask | None, known: FrameFacts) -> None:
        """When it is decoded, or was not."""
        if self.monitor is not None:
            self.monitor.frame(known)
        facts = known.to_wire()
        if self.status is not None:
            facts |= {"snr_set_db": self.status.snr_db, "cfo_set_hz": self.status.freq_offset_hz}
        self.live.frame(facts)
        if image is not None and self._config.out is not None:
            facts |= self._keep(self._config.out, image, mask, facts)
        if image is not None and self.first is None:
            self.first = (image, mask)
            self._first_key = _key(facts)
        if image is not None and self._config.edit is not None:
            self._waiting[_key(facts)] = facts
            return
        self._complete(facts)

    def edited(self, image: Pixels | None, _mask: Mask | None, known: FrameFacts) -> None:
        """When the editor has given a picture back, changed or not."""
        meta = known.to_wire()
        key = _key(meta)
        facts = self._waiting.pop(key, {"frame": meta.get("frame"), "session": meta.get("session")})
        facts |= {name: meta.get(name) for name in ("edited", "edit_reason", "edit_backend", "editor_ms")}
        if image is not None and meta.get("edited"):
            if self._first_key == key:
                self.first_edited = image
            if self._config.out is not None:
                name = str(facts.get("received") or "received.png").replace("received", "edited", 1)
                _save(self._config.out, {name: image})
                if self._first_key == key or not self._config.is_numbered:
                    _save(self._config.out, {"edited.png": image})
                facts["edited_picture"] = name
        self._complete(facts)

    def _complete(self, facts: Facts) -> None:
        self.frames.append(facts)
        self.last_s = time.monotonic()
        if self._on_frame is not None:
            self._on_frame(facts)

    def _keep(self, out: Path, image: Pixels, mask: Mask | None, facts: Facts) -> Facts:
        """Writes picture and mask; nothing but numbers of what came off the air enters a file's name.

        Returns:
            Their names, as `received` and `mask`.
        """
        session, number = int(facts.get("session") or 0), int(facts.get("frame") or 0)
        is_first, self._session = self._session is None, session if self._session is None else self._session
        name, mask_name = "received.png", "mask.png"
        if is_first or not self._config.is_numbered:
            _save(out, {mask_name: mask, name: image})
        if self._config.is_numbered:
            stem = f"received-{number:04d}" if session == self._session else f"received-{session:05d}-{number:04d}"
            name, mask_name = f"{stem}.png", f"{stem}-mask.png"
            _save(out, {mask_name: mask, name: image})
        return {"received": name} | ({} if mask is None else {"mask": mask_name})


def _save(out: Path, pictures: dict[str, Pixels | None]) -> None:
    """Writes them in this order; where there is none, one of an earlier run goes."""
    for name, pixels in pictures.items():
        if pixels is None:
            (out / name).unlink(missing_ok=True)
        else:
            save_png(out / name, pixels)


def _key(facts: Facts) -> tuple[Any, Any]:
    return facts.get("session"), facts.get("frame")


def _thinned(symbols: ComplexArray) -> ComplexArray:
    return symbols[:: max(1, -(-len(symbols) // N_POINTS))].copy()


def run_receive(
    config: ReceiveConfig, *, stop: threading.Event, on_frame: Callable[[Facts], None] | None = None
) -> list[Facts]:
    """Receives until one of the conditions of the configuration holds.

    Args:
        config: See there.
        stop: Ends it.
        on_frame: Called with {"state": "ready"} when the first samples have come, with {"state": line} for what is
            wrong with the link, with {"live": figures} as often as `live_s` says, with each frame's facts when it is
            decoded, and at the end with {"state": "ended", "causes": {name: count}}; any thread.

    Returns:
        Facts of each frame, in the order in which they were decoded; `error` where that failed.

    Raises:
        NoFrameError: None came within the time limit.
        ConfigError: Air runs at another sample rate.
    """
    from gened.flowgraphs.radios.profiles import RadioProfile
    from gened.flowgraphs.receiver import Receiver
    from gened.link.record import make_recorder
    from gened.monitor.link_monitor import ReceiverMonitor, watching

    if config.out is not None:
        config.out.mkdir(parents=True, exist_ok=True)
    inbox = _Inbox(config, on_frame)
    profile = config.radio or RadioProfile(address=config.address, sample_rate=config.sample_rate)
    recorder = None if config.keep is None else make_recorder(config.keep, profile)
    editor = None if config.edit is None else EditorSide(config.edit)
    try:
        receiver = Receiver(
            profile, recorder=recorder, codecs=config.codecs, codec_options=config.codec_options, timeout_s=ASSEMBLY_S,
            on_frame=inbox.frame, on_picture=inbox.picture, on_edited=inbox.edited,
            editor=None if editor is None else editor.client,
            edit_strength=1.0 if config.edit is None else config.edit.strength,
        )  # fmt: skip
        if recorder is not None:
            recorder.open()
    except BaseException:  # a radio that is not there, above all
        if editor is not None:
            editor.close()
        raise
    inbox.monitor = monitor = ReceiverMonitor(receiver, lambda line: _tell(on_frame, {"state": line}))
    context: zmq.Context[Any] = zmq.Context()
    control = None if config.radio is not None else ControlSocket(context, zmq.SUB, config.control, binds=False)
    receiver.start()
    try:
        with watching(monitor):
            _listen(config, receiver, control, inbox, stop, on_frame, editor)
    finally:
        if editor is not None:
            editor.close()  # what is with it comes back as it was, while the flowgraph still runs
            receiver.drain(1.0)
        receiver.drain_recorder(RECORDER_S)
        receiver.stop()
        receiver.wait()
        if control is not None:
            control.close()
        context.destroy(linger=0)
        if config.live_s is not None:
            _tell(on_frame, {"live": inbox.live.figures()})
        _tell(on_frame, {"state": "ended", "causes": monitor.counts()})
        if recorder is not None:
            recorder.close()
    if config.out is not None and inbox.frames:
        _leave(config, config.out, inbox)
    return inbox.frames


def _listen(
    config: ReceiveConfig,
    receiver: Receiver,
    control: ControlSocket | None,
    inbox: _Inbox,
    stop: threading.Event,
    on_frame: Callable[[Facts], None] | None,
    editor: EditorSide | None,
) -> None:
    """Waits for the end, whichever comes first."""
    is_ready, is_armed, over_s = False, False, 0.0
    live = _LiveTeller(config, receiver, inbox.live, on_frame)
    while not stop.wait(POLL_S):
        live.look()
        if editor is not None:
            editor.look()
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
            _tell(on_frame, {"state": "ready"})
        if config.n_frames is not None and len(inbox.frames) >= config.n_frames:
            return
        if receiver.has_end and receiver.drain(0.0):
            if inbox.frames:
                return
            raise NoFrameError(_why_nothing(config, receiver, inbox.monitor))
        is_over = status is not None and status.is_over
        is_armed = (
            is_armed or bool(inbox.frames) or (status is not None and not is_over)
        )  # an earlier end is none of ours
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


class _LiveTeller:
    """Tells the live figures when it is time to."""

    def __init__(
        self,
        config: ReceiveConfig,
        receiver: Receiver,
        live: LiveFigures,
        on_frame: Callable[[Facts], None] | None,
    ) -> None:
        self._every_s, self._due_s = config.live_s, time.monotonic()
        self._receiver, self._live, self._on_frame = receiver, live, on_frame

    def look(self) -> None:
        """To be called often."""
        stats = self._receiver.detector.stats()
        self._live.look(n_headers=stats["headers"], n_samples=stats["samples"])
        now_s = time.monotonic()
        if self._every_s is not None and now_s >= self._due_s:
            self._due_s = now_s + self._every_s
            _tell(self._on_frame, {"live": self._live.figures()})


def _has_all(receiver: Receiver, inbox: _Inbox, status: Status | None) -> bool:
    """Whether as many frames came as the transmitter says that it sent, and all are decoded."""
    return status is not None and 0 < status.frames <= len(inbox.frames) and receiver.drain(0.0)


def _tell(on_frame: Callable[[Facts], None] | None, facts: Facts) -> None:
    if on_frame is not None:
        on_frame(facts)


def _why_nothing(config: ReceiveConfig, receiver: Receiver, monitor: ReceiverMonitor | None) -> str:
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


def _leave(config: ReceiveConfig, out: Path, inbox: _Inbox) -> None:
    """What a run leaves besides the pictures."""
    digital, analog = inbox.symbols or (np.zeros(0, np.complex64),) * 2
    np.savez(out / "constellation.npz", digital=digital, analog=analog)
    if not config.has_report:
        return
    from gened.provenance import run_meta
    from gened.reports.figures import constellation, side_by_side
    from gened.reports.report import Report, frame_report, write_report

    frames = [frame_report(facts) for facts in inbox.frames]
    meta = run_meta(config.argv, seed=0) | {"causes": None if inbox.monitor is None else inbox.monitor.counts()}
    write_report(out / "report.json", Report(meta=meta, frames=frames))
    shown = next((frame for frame in frames if frame.received is not None), frames[0])
    save_png(out / "constellation.png", constellation(digital, analog, shown))
    image, mask = inbox.first or (None, None)
    save_png(out / "side_by_side.png", side_by_side(None, image, shown, mask, edited=inbox.first_edited))
