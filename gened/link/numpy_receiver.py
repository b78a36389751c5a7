# SPDX-License-Identifier: GPL-3.0-or-later
"""The receiver of a link without GNU Radio: the receiver of `phy` in a thread, from a recording or a socket.

recording, socket -> phy.Receiver (thread) -> text -> on_frame
                                                `-> DecodeQueue (worker) -> on_picture
                                                                              `-> EditQueue -> on_edited
"""

from __future__ import annotations

import contextlib
import dataclasses
import logging
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

import numpy as np
import zmq

from gened.flowgraphs.playback import EDITS_AHEAD, FRAMES_AHEAD
from gened.flowgraphs.radios.profiles import RadioProfile
from gened.flowgraphs.radios.radio_events import EventReporter
from gened.gr_blocks.pdu.counters import Counters
from gened.gr_blocks.pdu.decode_queue import QUEUE_LEN, DecodeQueue
from gened.gr_blocks.pdu.edit_queue import EditQueue
from gened.gr_blocks.pdu.facts import FrameFacts
from gened.gr_blocks.pdu.frame_meta import Image, Mask, Meta, facts_from_meta, received_meta, text_meta
from gened.gr_blocks.phy.coding.requirements import require_packages
from gened.gr_blocks.phy.receiver import Receiver
from gened.gr_blocks.phy.types import ComplexArray, ReceivedFrame
from gened.gr_blocks.recording.reader import read_recording
from gened.link.control import attach, configure
from gened.link.inbox import UnpackedFrame
from gened.models.editing.base import EditResult
from gened.models.serving.editor_client import EditorClient
from gened.models.serving.worker import CODEC_SERVICE, Worker
from gened.processes import one_line

CHUNK_LEN = 65536
"""Samples of a recording that are searched at once."""
SAMPLE_BYTES = 8
MAX_MESSAGE_BYTES = 2**24
MAX_MESSAGES = 64
"""Messages of a socket that are searched together, half a second at the emulator's usual rate."""
QUEUED_MESSAGES = 512
"""Messages that wait in the socket while the receiver is busy, 4 s at the emulator's usual rate."""
POLL_S = 0.05
HOLD_S = 0.005
"""Period at which it checks whether a recording may be read on."""
BEHIND_S = 20.0
"""Time without a burst after which samples that wait in the socket are no longer awaited at the end of a run."""
OnFrame = Callable[[UnpackedFrame, FrameFacts], None]
OnPicture = Callable[[Image | None, Mask | None, FrameFacts], None]


class _Source(Protocol):
    """Where samples come from; the members of `RadioSource` that a receiver's run needs, without a driver."""

    events: EventReporter
    n_samples: int | None

    def poll(self) -> None:
        """Nothing: there is no driver."""

    def open(self) -> None:
        """Opens the socket; to be called before `read`.

        Raises:
            LinkError: It cannot be used.
        """

    def read(self) -> ComplexArray | None:
        """The next samples, none where none have come for `POLL_S`; None at the end."""

    def has_more(self) -> bool:
        """Whether `read` would return samples at once."""

    def close(self) -> None:
        """Closes file or socket."""


class _Recording:
    """Samples of a recording in SigMF, to its end."""

    def __init__(self, profile: RadioProfile) -> None:
        assert profile.path is not None  # checked by the profile
        self.events = EventReporter("receiver")
        self._samples = read_recording(profile.path, is_verified=False).samples
        self.n_samples: int | None = len(self._samples)
        self._position = 0

    def poll(self) -> None:
        """Nothing."""

    def open(self) -> None:
        """Nothing: each read opens the file anew."""

    def read(self) -> ComplexArray | None:
        part = self._samples[self._position : self._position + CHUNK_LEN]
        self._position += len(part)
        return part if len(part) else None

    def has_more(self) -> bool:
        return self._position < len(self._samples)

    def close(self) -> None:
        """Nothing."""


class _Socket:
    """Samples of a PUSH socket, raw complex64."""

    def __init__(self, profile: RadioProfile) -> None:
        self.events = EventReporter("receiver")
        self.n_samples: int | None = None
        self.counters = Counters("zmq_source")
        self._address = profile.address
        self._context: zmq.Context[Any] | None = None

    def open(self) -> None:
        self._context = zmq.Context()
        self._socket = self._context.socket(zmq.PULL)
        try:
            self._socket.setsockopt(zmq.MAXMSGSIZE, MAX_MESSAGE_BYTES)
            configure(self._socket, queued=QUEUED_MESSAGES)
            attach(self._socket, self._address, binds=False)
        except Exception:
            self.close()
            raise

    def poll(self) -> None:
        """Nothing."""

    def read(self) -> ComplexArray:
        parts = [np.zeros(0, np.complex64)]
        if self._socket.poll(round(1e3 * POLL_S)):
            with contextlib.suppress(zmq.Again):
                for _ in range(MAX_MESSAGES):
                    data = self._socket.recv(zmq.NOBLOCK)
                    if len(data) % SAMPLE_BYTES:
                        self.counters.report("n_bad_messages", f"{len(data)} bytes are no whole number of samples")
                    else:
                        parts.append(np.frombuffer(data, np.complex64))
        joined: ComplexArray = np.concatenate(parts)
        return joined

    def has_more(self) -> bool:
        return bool(self._socket.poll(0))

    def close(self) -> None:
        context, self._context = self._context, None
        if context is not None:
            context.destroy(linger=0)


class _Detector:
    """Counters of the search, as the block `burst_detector` has them."""

    def __init__(self, receiver: Receiver) -> None:
        self._receiver = receiver
        self.counters = Counters("burst_detector")

    def stats(self) -> dict[str, int]:
        """Counters since the receiver was made."""
        return {**dataclasses.asdict(self._receiver.detector.stats), **self.counters.as_dict()}


class _Decoder:
    """The worker process of the decoder and its counters."""

    def __init__(self, worker: Worker) -> None:
        self.worker = worker
        self.counters = Counters("semantic_decoder")

    def stats(self) -> dict[str, int]:
        """Counters since the receiver was made."""
        return self.counters.as_dict()


class NumpyReceiver:
    """A whole receiver: `start()`, receive frames by callbacks, `stop()` and `wait()`.

    A recording is received as fast as the machine can, and waits while frames are decoded or edited.

    Args:
        profile: Source of the samples, of kind `recording` or `zeromq`.
        codecs: Names or folders of codecs besides those of the registry.
        codec_options: Options of those codecs' constructors.
        timeout_s: Longest time that a frame waits for its bursts, in the time of the samples.
        on_frame: Called with each frame before it is decoded, and its facts; the receiver's thread.
        on_picture: As for `gened.flowgraphs.receiver.Receiver`, as all further arguments.
        on_edited: See there.
        editor: See there.
        edit_strength: See there.
        n_threads: See there.

    Raises:
        GenedError: The source cannot be opened.
        NotReadyError: A package of the channel codes is missing.
    """

    probe = None
    """There is no level of a radio's converter to measure."""

    def __init__(
        self,
        profile: RadioProfile,
        *,
        codecs: Sequence[str] = (),
        codec_options: Mapping[str, Any] | None = None,
        timeout_s: float = 2.0,
        on_frame: OnFrame,
        on_picture: OnPicture,
        on_edited: OnPicture,
        editor: EditorClient | None = None,
        edit_strength: float = 1.0,
        n_threads: int | None = None,
    ) -> None:
        require_packages()
        self.profile = profile
        self._receiver = Receiver(profile.sample_rate, timeout_s, on_error=self._on_error)
        self.detector = _Detector(self._receiver)
        names = tuple(name for name in codecs if name)
        options = {"codecs": names, "options": {name: dict(codec_options or {}) for name in names}}
        self.decoder = _Decoder(Worker(CODEC_SERVICE, options, queue_len=QUEUE_LEN, n_threads=n_threads))
        self._decoding = DecodeQueue(self.decoder.worker, self._decoded, self._failed)
        self._editor = editor
        self._editing = EditQueue(edit_strength, self._edited)
        self._on_frame, self._on_picture, self._on_edited = on_frame, on_picture, on_edited
        self.source: _Source = _Recording(profile) if profile.kind == "recording" else _Socket(profile)
        self._counters = Counters("receiver_exit")
        self._is_busy = False
        self._has_ended = False
        self._burst_s = time.monotonic()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="gened-receiver", daemon=True)

    @property
    def n_samples_received(self) -> int:
        """Samples that the detector has received since it was made."""
        return self._receiver.detector.stats.samples

    @property
    def has_end(self) -> bool:
        """Whether the source has an end, as a recording does."""
        return self.source.n_samples is not None

    def start(self) -> None:
        """Opens the source, and starts the receiver's thread and the worker.

        Raises:
            LinkError: The socket cannot be used.
        """
        self.source.open()
        self.decoder.worker.start()
        self._thread.start()

    def stop(self) -> None:
        """Ends them."""
        self._stop.set()

    def wait(self) -> None:
        """Waits until they have ended, and closes the source."""
        if self._thread.is_alive():
            self._thread.join()
        self.decoder.worker.close()
        self.source.close()

    def drain(self, timeout_s: float) -> bool:
        """Waits until every detected frame has become a picture or an error, and every picture was edited; False when
        it took longer. A recording is received to its end first."""
        deadline_s = time.monotonic() + timeout_s
        while not self._is_idle():
            if time.monotonic() > deadline_s:
                return False
            time.sleep(0.01)  # several threads are involved, and none of them knows when all have finished
        return True

    def drain_recorder(self, timeout_s: float) -> bool:
        """True: nothing is recorded."""
        return True

    def stats(self) -> dict[str, dict[str, int]]:
        """Counters by part."""
        return {"detector": self.detector.stats(), "decoder": self.decoder.stats(), "exit": self._counters.as_dict()}

    def _is_idle(self) -> bool:
        if self.has_end:
            is_through = self._has_ended
        else:
            is_through = not self._is_busy or time.monotonic() - self._burst_s > BEHIND_S
        return is_through and self._n_decoding == 0 and self._editing.n_pending == 0

    @property
    def _n_decoding(self) -> int:
        counts = self._counters.as_dict()
        return counts.get("n_frames", 0) - counts.get("n_ended", 0)

    def _on_error(self, exc: Exception) -> None:
        self.detector.counters.report("n_errors", one_line(exc))

    # The receiver's thread

    def _run(self) -> None:
        try:
            while not self._stop.is_set():
                if self.has_end and self._must_wait():
                    self._stop.wait(HOLD_S)
                    continue
                samples = self.source.read()
                if samples is None:
                    self._take(self._receiver.flush())
                    return
                self._is_busy = len(samples) > 0 and self.source.has_more()
                n_headers = self._receiver.detector.stats.headers
                self._take(self._receiver.push(samples))
                if self._receiver.detector.stats.headers != n_headers or self._receiver.assembler.n_open:
                    self._burst_s = time.monotonic()
        except Exception as exc:  # a file that has gone, above all
            logging.getLogger(__name__).warning("the receiver has ended: %s", one_line(exc))
        finally:
            self._is_busy, self._has_ended = False, True

    def _must_wait(self) -> bool:
        return self._n_decoding > FRAMES_AHEAD or self._editing.n_pending > EDITS_AHEAD

    def _take(self, frames: list[ReceivedFrame]) -> None:
        for frame in frames:
            self._counters.add("n_frames")
            meta = {**received_meta(frame), **text_meta(frame.has_text, frame.text, frame.partial_text)}
            self._on_frame(UnpackedFrame(frame), facts_from_meta(meta, self.profile.sample_rate))
            self._decoding.submit(frame, meta)

    # Threads of the worker and of the editor's connection

    def _decoded(self, image: Image, mask: Mask | None, meta: Meta) -> None:
        self._on_picture(image, mask, facts_from_meta(meta, self.profile.sample_rate))
        self.decoder.counters.add("n_decoded")
        if self._editor is not None:
            self._editing.submit(self._editor, image, mask, meta)
        self._counters.add("n_ended")

    def _failed(self, meta: Meta) -> None:
        try:
            self.decoder.counters.report("n_failed", f"frame {meta['frame']}: {meta['error']}")
            self._on_picture(None, None, facts_from_meta(meta, self.profile.sample_rate))
        finally:
            self._counters.add("n_ended")

    def _edited(self, image: Image, mask: Mask | None, meta: Meta, _answer: EditResult) -> None:
        self._on_edited(image, mask, facts_from_meta(meta, self.profile.sample_rate))
