# SPDX-License-Identifier: GPL-3.0-or-later
"""The transmitter of a link without GNU Radio: the modulator of `phy` in a thread, its samples into a socket.

send() -> EncodeQueue (worker) -> text -> plan, modulate (thread) -> announce, socket
"""

from __future__ import annotations

import queue
import secrets
import threading
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import zmq

from gened.errors import FrameError, GenedError
from gened.gr_blocks.pdu.counters import Counters
from gened.gr_blocks.pdu.encode_queue import EncodeQueue
from gened.gr_blocks.pdu.facts import SentFacts
from gened.gr_blocks.pdu.frame_meta import Image, Mask, Meta, count_bad_symbols, plain, sent_facts_from_meta, sent_meta
from gened.gr_blocks.phy.coding.modes import mode_for_snr
from gened.gr_blocks.phy.coding.requirements import require_packages
from gened.gr_blocks.phy.framing.planning import plan_bursts
from gened.gr_blocks.phy.framing.records import Records, pack_records
from gened.gr_blocks.phy.ofdm.modulator import modulate_burst
from gened.gr_blocks.phy.types import ComplexArray, Frame
from gened.link.config import TransmitConfig
from gened.link.control import attach, configure
from gened.models.serving.worker import CODEC_SERVICE, Worker, encode_limit_s
from gened.processes import one_line

MAX_IN_FLIGHT = 4
"""Frames between `send` and their last sample: enough to keep the modulator busy, few enough to stop at once."""
CHUNK_LEN = 8192
"""Samples per message."""
QUEUED_MESSAGES = 32
"""Messages that wait in the socket: a quarter of a million samples, then the modulator waits."""
POLL_S = 0.05
Announce = Callable[[int, int], None]
OnReport = Callable[[SentFacts], None]


class _Encoder:
    """The worker process of the encoder and its counters."""

    def __init__(self, worker: Worker) -> None:
        self.worker = worker
        self.counters = Counters("semantic_encoder")

    def stats(self) -> dict[str, int]:
        """Counters since the start."""
        return self.counters.as_dict()


class _SampleSocket:
    """PUSH socket of the samples, which one reader takes."""

    where = ""
    failure: GenedError | None = None

    def __init__(self, address: str) -> None:
        self._address = address
        self._context: zmq.Context[Any] | None = None

    def open(self) -> None:
        """Binds the address.

        Raises:
            PortInUseError: Another program listens there.
        """
        self._context = zmq.Context()
        self._socket = self._context.socket(zmq.PUSH)
        try:
            configure(self._socket, queued=QUEUED_MESSAGES)
            attach(self._socket, self._address, binds=True)
        except Exception:
            self.close()
            raise

    def send(self, samples: ComplexArray, stop: threading.Event) -> None:
        """Sends samples; waits for the reader until `stop` is set."""
        for begin in range(0, len(samples), CHUNK_LEN):
            part = samples[begin : begin + CHUNK_LEN]
            while not self._socket.poll(round(1e3 * POLL_S), zmq.POLLOUT):
                if stop.is_set():
                    return
            self._socket.send(part.tobytes(), zmq.NOBLOCK)

    def close(self) -> None:
        """Closes it; what was not read is lost."""
        context, self._context = self._context, None
        if context is not None:
            context.destroy(linger=0)


class NumpyTransmitter:
    """A whole transmitter: `start()`, `send()` pictures, `drain()`, `stop()` and `wait()`.

    Args:
        config: What is sent, how it is encoded, and at which address the samples are.
        on_report: Called once for each accepted picture, when its last sample has left or when it failed (`error`); any
            thread.
        announce: Called with the index of a burst's first sample and its length, before its samples are sent.

    Raises:
        NotReadyError: A package of the channel codes is missing.
    """

    def __init__(self, config: TransmitConfig, *, on_report: OnReport, announce: Announce) -> None:
        require_packages("zfec")
        self._config = config
        self._on_report = on_report
        self._announce = announce
        self.session = secrets.randbelow(2**16) if config.session is None else config.session % 2**16
        options = {
            "codecs": (config.codec,), "device": config.device, "options": {config.codec: dict(config.codec_options)},
        }  # fmt: skip
        self.encoder = _Encoder(Worker(CODEC_SERVICE, options, timeout_s=encode_limit_s(config.encode.refine_steps)))
        self._queue = EncodeQueue(self.encoder.worker, config.codec, self.session, self._encoded, self._failed)
        self.sink = _SampleSocket(config.address)
        self.n_samples_sent = 0
        """Samples that have left the modulator."""
        self._frames: queue.SimpleQueue[tuple[Frame, Meta]] = queue.SimpleQueue()
        self.counters = Counters("frame_modulator")
        self._n_in_flight = 0
        self._changed = threading.Condition()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="gened-modulator", daemon=True)

    @property
    def n_bad_symbols(self) -> int:
        """Analogue symbols that were not finite or too large, and were sent as 0."""
        return self.counters.as_dict().get("n_bad_symbols", 0)

    def start(self) -> None:
        """Opens the socket, and starts the modulator's thread and the worker.

        Raises:
            PortInUseError: Another program listens at the address.
        """
        self.sink.open()
        self.encoder.worker.start()
        self._thread.start()

    def stop(self) -> None:
        """Ends them; frames that have not left are lost."""
        self._stop.set()
        self.encoder.worker.close()

    def wait(self) -> None:
        """Waits until the thread has ended, and closes the socket."""
        if self._thread.is_alive():
            self._thread.join()
        self.sink.close()

    def send(
        self, image: Image, meta: Mapping[str, Any] | None = None, *, mask: Mask | None = None, timeout_s: float = 0.0
    ) -> bool:
        """Accepts a picture; see `Transmitter.send`."""
        with self._changed:
            if not self._changed.wait_for(lambda: self._n_in_flight < MAX_IN_FLIGHT, timeout_s):
                return False
            self._n_in_flight += 1
        known = dict(meta or {})
        self._queue.submit(image, mask, int(known.get("frame", 0)), self._config.encode, known)
        return True

    def drain(self, timeout_s: float) -> bool:
        """Waits until the last sample of every accepted picture is in the socket; False when it took longer."""
        with self._changed:
            return self._changed.wait_for(lambda: self._n_in_flight == 0, timeout_s)

    def _encoded(self, frame: Frame, meta: Meta) -> None:
        self.encoder.counters.add("n_encoded")
        self._frames.put((frame, meta))

    def _failed(self, meta: Meta) -> None:
        self.encoder.counters.report("n_failed", f"frame {meta['frame']}: {meta['error']}")
        self._report(meta)

    def _report(self, meta: Meta) -> None:
        try:
            self._on_report(sent_facts_from_meta(plain(meta)))
        finally:
            with self._changed:
                self._n_in_flight -= 1
                self._changed.notify_all()

    # The modulator's thread

    def _run(self) -> None:
        while not self._stop.is_set():
            try:
                frame, meta = self._frames.get(timeout=POLL_S)
            except queue.Empty:
                continue
            try:
                report = self._send(self._with_text(frame, meta), meta)
            except GenedError as exc:
                report = {**meta, "error": str(exc)}
            except Exception as exc:  # a single bad frame must not end the transmitter
                report = {**meta, "error": one_line(exc)}
            if not self._stop.is_set():
                self._report(report)

    def _with_text(self, frame: Frame, meta: Meta) -> Frame:
        """The frame with caption and station; a caption that is too long is left out, as `caption_encoder` does."""
        config, text = self._config, b""
        try:
            text = pack_records(Records(caption=meta.get("caption") or None, station=config.station or None))
        except FrameError as exc:
            self.encoder.counters.report("n_too_long", str(exc))
        name = config.caption_mode
        return replace(frame, text=text, text_mode=mode_for_snr(frame.snr_design_db) if name == "auto" else name)

    def _send(self, frame: Frame, meta: Meta) -> Meta:
        count_bad_symbols(self.counters, frame)
        contents = plan_bursts(frame)
        gap = np.zeros(max(0, self._config.gap_len), np.complex64)
        on_air_samples = 0
        for content in contents:
            burst = modulate_burst(content)
            on_air_samples += len(burst)
            samples = np.concatenate([burst, gap]).astype(np.complex64)
            self._announce(self.n_samples_sent, len(samples))
            self.sink.send(samples, self._stop)
            self.n_samples_sent += len(samples)
        return {**meta, **sent_meta(frame, contents, on_air_samples)}
