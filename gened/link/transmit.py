# SPDX-License-Identifier: GPL-3.0-or-later
"""A transmitter's whole run: photographs through the flowgraph, with air told where the bursts are.

photographs -> Transmitter (GNU Radio) -> samples 5550
                    `-> burst_announcer -> control 5552

With a radio the samples go to it, and there is neither air nor control: the run ends when the last burst has left.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gened.errors import CodecError, LinkError
from gened.link.config import TransmitConfig
from gened.link.control import require_free
from gened.link.describing import Describer
from gened.link.importance import importance
from gened.models.data.images import Mask, Pixels, load_image, save_png

if TYPE_CHECKING:
    from gened.flowgraphs.transmitter import Transmitter
    from gened.gr_blocks.pdu.facts import SentFacts
    from gened.link.sender_control import SenderControl

Facts = dict[str, Any]
POLL_S = 0.1
KEPT_PICTURES = 4
"""Unpacked photographs that are kept; others are read again."""
N_HOPELESS = 3
"""When so many frames could not be encoded and none could, the others are not tried: a thousand of them, one every ten
seconds, would take hours to say the same."""


class _Outbox:
    """What became of the frames, filled by the flowgraph's threads."""

    def __init__(self, on_frame: Callable[[Facts], None] | None) -> None:
        self.frames: list[Facts] = []
        self._on_frame = on_frame

    @property
    def is_hopeless(self) -> bool:
        """Whether encoding has failed often enough, and never worked."""
        return len(self.frames) >= N_HOPELESS and all(facts.get("error") for facts in self.frames)

    def report(self, sent: SentFacts) -> None:
        facts = sent.to_wire()
        self.frames.append(facts)
        if self._on_frame is not None:
            self._on_frame(facts)

    def state(self, state: str) -> None:
        if self._on_frame is not None:
            self._on_frame({"state": state})

    def ended(self, causes: dict[str, int]) -> None:
        """What was wrong, by name and count."""
        if self._on_frame is not None:
            self._on_frame({"state": "ended", "causes": causes})


def run_transmit(
    config: TransmitConfig,
    *,
    stop: threading.Event,
    on_frame: Callable[[Facts], None] | None = None,
    permits: threading.Semaphore | None = None,
) -> list[Facts]:
    """Sends the photographs and ends when air has given out the last sample.

    Args:
        config: See there.
        stop: Ends it early.
        on_frame: Called with {"state": "ready"} when air has answered, and with each frame's facts when it has left;
            with a radio also with {"state": line} for what is wrong, and at the end with {"state": "ended", "causes":
            {name: count}}; any thread.
        permits: One is taken before each frame, so that a supervisor can hold the sender back; None: no such limit.

    Returns:
        Facts of each frame, in the order in which they left; `error` where it was not sent.

    Raises:
        ImageError: A photograph or the mask cannot be used; nothing was sent.
        ConfigError: The mask or a box does not fit a photograph; nothing was sent.
        PortInUseError: Another program listens at one of the addresses.
        ConfigError, LinkError: The radio is not there, may not transmit as it says, or does not take its settings.
        CodecError: No frame could be encoded.
        CaptionerError: The captioner cannot be made; nothing was sent.
        LinkError: Air did not answer, or took no more samples, within the time limit.
    """
    pictures = _Pictures(config)
    describer = None if config.captions or config.describe is None else Describer(config.describe)
    try:
        return _transmit(config, pictures, describer, stop, on_frame, permits)
    finally:
        if describer is not None:
            describer.close()


def _transmit(
    config: TransmitConfig,
    pictures: _Pictures,
    describer: Describer | None,
    stop: threading.Event,
    on_frame: Callable[[Facts], None] | None,
    permits: threading.Semaphore | None,
) -> list[Facts]:
    outbox = _Outbox(on_frame)
    if config.radio is None:
        _send_to_air(config, pictures, describer, outbox, stop, permits)
    else:
        _send_to_radio(config, pictures, describer, outbox, stop, permits)
    errors = [facts["error"] for facts in outbox.frames if facts.get("error")]
    if errors and len(errors) == len(outbox.frames):
        raise CodecError(errors[0])
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


def _send_to_radio(
    config: TransmitConfig,
    pictures: _Pictures,
    describer: Describer | None,
    outbox: _Outbox,
    stop: threading.Event,
    permits: threading.Semaphore | None,
) -> None:
    """The radio is mute again when this ends, whatever ends it."""
    from gened.monitor.link_monitor import TransmitterMonitor, watching

    transmitter = _transmitter(config, outbox)
    sink = transmitter.sink
    monitor = TransmitterMonitor(transmitter, outbox.state)
    try:
        sink.arm()
        transmitter.start()
        outbox.state("ready")
        with watching(monitor):
            _send_all(config, transmitter, pictures, describer, outbox, stop, permits)
            watch = _Watch(transmitter, config.timeout_s)
            while not stop.is_set() and not transmitter.drain(POLL_S):
                watch.look()
        stop.wait(sink.tail_s)  # until the last sample has left the driver's buffers
    finally:
        sink.mute()
        transmitter.stop()
        transmitter.wait()
        outbox.ended(monitor.counts())


def _send_to_air(
    config: TransmitConfig,
    pictures: _Pictures,
    describer: Describer | None,
    outbox: _Outbox,
    stop: threading.Event,
    permits: threading.Semaphore | None,
) -> None:
    for address in (config.address, config.control):
        require_free(address)
    from gened.gr_blocks.burst_announcer import burst_announcer
    from gened.link.sender_control import SenderControl, require_ready

    control = SenderControl(config.control, config.sample_rate)
    try:
        transmitter = _transmitter(config, outbox)
        # A flowgraph does not keep its Python blocks alive: this name does.
        announcer = burst_announcer(control.announce)
        transmitter.connect(transmitter.modulator, announcer)
        if require_ready(control, config.timeout_s, stop):
            transmitter.start()
            try:
                outbox.state("ready")
                _send_all(config, transmitter, pictures, describer, outbox, stop, permits)
                _finish(config, transmitter, control, stop)
            finally:
                transmitter.stop()
                transmitter.wait()
    finally:
        control.close()


class _Pictures:
    """The photographs and what is important in them: all looked at before the first is sent, then read in turn."""

    def __init__(self, config: TransmitConfig) -> None:
        self._config = config
        self._load = lru_cache(KEPT_PICTURES)(self._read)
        if config.out is not None:
            config.out.mkdir(parents=True, exist_ok=True)
        for index, path in enumerate(config.photos):
            self._keep(index, self._load(path)[0])

    def _read(self, path: Path) -> tuple[Pixels, Mask | None]:
        pixels = load_image(path, max_side=self._config.max_side)
        return pixels, importance(path, pixels, self._config.mask, self._config.mask_boxes)

    def frame(self, number: int) -> tuple[Pixels, Mask | None, Facts]:
        """The picture of a frame, what is important in it, and what goes with it."""
        config = self._config
        index = number % len(config.photos)
        meta: Facts = {"frame": number % 65536, "photo": index}
        if config.captions:
            meta["caption"] = config.captions[number % len(config.captions)]
        if config.out is not None:
            meta["sent"] = self._name(index)
        return *self._load(config.photos[index]), meta

    def _name(self, index: int) -> str:
        return "sent.png" if len(self._config.photos) == 1 else f"sent-{index:04d}.png"

    def _keep(self, index: int, pixels: Pixels) -> None:
        if self._config.out is not None:
            save_png(self._config.out / self._name(index), pixels)
            if index == 0 and len(self._config.photos) > 1:
                save_png(self._config.out / "sent.png", pixels)


def _send_all(
    config: TransmitConfig,
    transmitter: Transmitter,
    pictures: _Pictures,
    describer: Describer | None,
    outbox: _Outbox,
    stop: threading.Event,
    permits: threading.Semaphore | None,
) -> None:
    """Hands each picture to the flowgraph when its time has come, a permit is there, and the radio has room."""
    due_s = time.monotonic()
    for number in range(config.n_frames_in_all):
        image, mask, meta = pictures.frame(number)
        if describer is not None and (words := describer(meta["photo"], image, mask)):
            meta["caption"] = words
        while permits is not None and not stop.is_set() and not permits.acquire(timeout=POLL_S):
            pass
        stop.wait(max(0.0, due_s - time.monotonic()))
        watch = _Watch(transmitter, config.timeout_s)
        while not stop.is_set() and not transmitter.send(image, meta, mask=mask, timeout_s=POLL_S):
            watch.look()
        if stop.is_set() or outbox.is_hopeless:
            return
        due_s = time.monotonic() + config.interval_s


def _finish(config: TransmitConfig, transmitter: Transmitter, control: SenderControl, stop: threading.Event) -> None:
    """Waits until every sample has left for air, and air has given it out."""
    watch = _Watch(transmitter, config.timeout_s)
    while not stop.is_set() and not transmitter.drain(POLL_S):
        watch.look()
    if stop.is_set():
        return
    control.finish(config.n_frames_in_all, transmitter.n_samples_sent)
    begin_s, limit_s = time.monotonic(), config.timeout_s + transmitter.n_samples_sent / config.sample_rate
    while not stop.is_set() and not control.wait_done(POLL_S):
        if time.monotonic() - begin_s > limit_s:
            raise LinkError(f"air at {config.control} did not confirm the end; was it stopped?")


class _Watch:
    """Gives up when neither a sample nor a frame moves for too long."""

    def __init__(self, transmitter: Transmitter, timeout_s: float) -> None:
        self._transmitter = transmitter
        self._timeout_s = timeout_s
        self._last = (-1, -1)
        self._moved_s = time.monotonic()

    def look(self) -> None:
        """Raises LinkError when it was too long, or when the radio did not start."""
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
            raise LinkError(f"nobody has taken samples for {self._timeout_s:g} s; {advice}")
