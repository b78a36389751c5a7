# SPDX-License-Identifier: GPL-3.0-or-later
"""The transmitting side of every radio: mute until it starts, scaled to full scale, timed on request, mute at the end.

samples -> tx_gate (scale, clip, tx_time) -> the driver's sink
"""

from __future__ import annotations

import logging
import threading
import weakref
from collections.abc import Callable
from typing import Any, NamedTuple, Protocol

import numpy as np
import pmt
from gnuradio import gr

from gened.errors import ConfigError, GenedError, LinkError
from gened.flowgraphs.radios.common import SAMPLE_BYTES
from gened.flowgraphs.radios.radio_events import EventReporter
from gened.gr_blocks.frame_modulator import PACKET_LEN

TX_TIME = "tx_time"
"""gr-uhd's tag for the start of a burst: (whole seconds, rest)."""
MIN_PAUSE_S = 1e-3
"""Pause between two timed bursts, so that the second does not start at the last sample of the first."""


class GainRange(NamedTuple):
    """Gains that a transmitter supports, dB as its driver counts."""

    lowest_db: float
    highest_db: float
    step_db: float

    def nearest(self, gain_db: float) -> float:
        """The gain at or below `gain_db` that is a whole number of steps above the lowest."""
        n_steps = int((gain_db - self.lowest_db) / self.step_db + 1e-6)
        return min(self.lowest_db + n_steps * self.step_db, self.highest_db)


class TxDriver(Protocol):
    """A driver's transmitting side. It is made with the lowest gain."""

    block: Any
    """The GNU Radio sink."""
    tail_s: float
    """Longest time that a sample needs from the sink's input to the antenna."""
    gain_db: float
    """Gain that `raise_gain` sets: the profile's, or the lowest."""
    gain_range: GainRange

    def raise_gain(self) -> None:
        """Sets `gain_db` and reads it back; raises LinkError or an exception of the driver."""

    def lower_gain(self) -> None:
        """Sets the lowest gain and makes the radio silent; may raise any exception of the driver."""

    def now_s(self) -> float:
        """Time of the radio, seconds; called only for timed bursts."""


class _Safety:
    """Raises and lowers the gain of a radio, once each, for any number of callers."""

    def __init__(self, where: str, driver: TxDriver) -> None:
        self._where = where
        self._driver = driver
        self._lock = threading.Lock()
        self._is_muted = False  # set up, but its oscillator may run
        self.is_armed = False

    def arm(self) -> None:
        with self._lock:
            if not self.is_armed:
                self._raise()

    def set_gain(self, gain_db: float) -> None:
        with self._lock:
            self._driver.gain_db = gain_db
            if self.is_armed:
                self._raise()

    def _raise(self) -> None:
        self.is_armed, self._is_muted = True, False  # before the gain is raised, since that may fail half-way
        try:
            self._driver.raise_gain()
        except Exception as exc:
            self._lower()
            if isinstance(exc, GenedError):
                raise
            reason = " ".join(str(exc).split()) or type(exc).__name__
            raise LinkError(f"{self._where}: the gain cannot be set: {reason}; is the radio still there?") from exc

    def mute(self) -> None:
        with self._lock:
            if not self._is_muted:
                self._lower()

    def _lower(self) -> None:
        self.is_armed, self._is_muted = False, True
        try:
            self._driver.lower_gain()
        except Exception as exc:  # the end must go on, but the user must know that the radio is not silent
            reason = " ".join(str(exc).split()) or type(exc).__name__
            logging.getLogger("gened.radio").error(
                "%s: COULD NOT BE MUTED (%s); unplug it if it may not transmit", self._where, reason
            )


class tx_gate(gr.sync_block):  # noqa: N801 - blocks are lower-case, as in GNU Radio
    """Scales bursts to the converter's range, adds their time tags, and calls back when the flowgraph starts and stops.

    Args:
        backoff_db: Distance from the mean power of a burst, 1, to full scale.
        sample_rate: Hz.
        on_start: Called when the flowgraph starts; if it raises, no sample passes and `failure` is the reason.
        on_stop: Called when it stops, for any reason.
        lead_s: Delay of each burst's `tx_time` after its arrival, or after the end of the previous burst; 0: no tags.
        now_s: Returns the time of the radio, seconds.
    """

    def __init__(
        self,
        *,
        backoff_db: float,
        sample_rate: float,
        on_start: Callable[[], None],
        on_stop: Callable[[], None],
        lead_s: float = 0.0,
        now_s: Callable[[], float] | None = None,
    ) -> None:
        gr.sync_block.__init__(self, name="tx_gate", in_sig=[np.complex64], out_sig=[np.complex64])
        self.set_backoff(backoff_db)
        self._sample_rate = sample_rate
        self._on_start = on_start
        self._on_stop = on_stop
        self._lead_s = lead_s
        self._now_s = now_s
        self._free_s = -np.inf
        self.failure: GenedError | None = None
        self.n_clipped = 0
        """Samples that were larger than full scale and were clipped to it, phase kept."""
        self.n_bursts = 0

    def set_backoff(self, backoff_db: float) -> None:
        """Sets the back-off from the next samples on."""
        self._scale = np.float32(10 ** (-backoff_db / 20))

    def start(self) -> bool:
        """Called by the flowgraph."""
        self._free_s = -np.inf
        try:
            self._on_start()
        except GenedError as exc:
            self.failure = exc
        return True

    def stop(self) -> bool:
        """Called by the flowgraph, also when a block has failed."""
        self._on_stop()
        return True

    def work(self, input_items: Any, output_items: Any) -> int:
        """Called by the scheduler."""
        if self.failure is not None:
            return -1  # ends the flowgraph
        out = output_items[0]
        with np.errstate(all="ignore"):  # a warning raised as an error would end this thread silently
            np.multiply(input_items[0], self._scale, out=out)
            magnitude = np.abs(out)
            if not magnitude.max(initial=0.0) <= 1.0:
                self._cut(out, magnitude)
        for tag in self.get_tags_in_window(0, 0, len(out), pmt.intern(PACKET_LEN)):
            self.n_bursts += 1
            if self._lead_s and self._now_s is not None:
                self._add_time(tag.offset, pmt.to_long(tag.value), self._now_s())
        return len(out)

    def _cut(self, out: Any, magnitude: Any) -> None:
        """Clips peaks to full scale and replaces NaN by 0: a converter may wrap values beyond its range."""
        out[~np.isfinite(magnitude)] = 0
        is_over = np.isfinite(magnitude) & (magnitude > 1)
        out[is_over] /= magnitude[is_over]
        self.n_clipped += int(is_over.sum())

    def _add_time(self, offset: int, n_samples: int, now_s: float) -> None:
        start_s = max(now_s + self._lead_s, self._free_s)
        self._free_s = start_s + n_samples / self._sample_rate + MIN_PAUSE_S
        whole = int(start_s)
        value = pmt.make_tuple(pmt.from_uint64(whole), pmt.from_double(start_s - whole))
        self.add_item_tag(0, offset, pmt.intern(TX_TIME), value)


class radio_sink(gr.hier_block2):  # noqa: N801
    """A `RadioSink` that transmits bursts of mean power 1, with `packet_len` on the first sample of each.

    The gain is the lowest until the flowgraph starts (or `arm` is called), and again when it stops, when `mute` is
    called, when the object is deleted, and at every end of the program that Python notices. A killed process mutes
    nothing; see `mute_guard`.

    Args:
        where: Name of the radio in messages.
        driver: See `TxDriver`.
        backoff_db: See `tx_gate`.
        sample_rate: Hz.
        lead_s: See `tx_gate`.
        events: Counts the events of the driver.
        poll: Asks the driver for events, if it does not report them itself.
    """

    def __init__(
        self,
        where: str,
        driver: TxDriver,
        *,
        backoff_db: float,
        sample_rate: float,
        lead_s: float = 0.0,
        events: EventReporter,
        poll: Callable[[], None] | None = None,
    ) -> None:
        gr.hier_block2.__init__(self, "radio_sink", gr.io_signature(1, 1, SAMPLE_BYTES), gr.io_signature(0, 0, 0))
        self.where = where
        self.events = events
        self._poll = poll
        self.tail_s = driver.tail_s
        self._driver = driver
        self._safety = _Safety(where, driver)
        self._finalizer = weakref.finalize(self, self._safety.mute)  # also at the interpreter's end
        self._block = driver.block
        self.gate = tx_gate(
            backoff_db=backoff_db, sample_rate=sample_rate, on_start=self._safety.arm, on_stop=self._safety.mute,
            lead_s=lead_s, now_s=driver.now_s,
        )  # fmt: skip
        self.connect(self, self.gate, self._block)

    @property
    def is_armed(self) -> bool:
        """Whether the gain may be higher than the lowest."""
        return self._safety.is_armed

    @property
    def failure(self) -> GenedError | None:
        """Reason why no sample passes; None unless the start failed."""
        return self.gate.failure

    def arm(self) -> None:
        """Raises the gain to the profile's, as starting the flowgraph does; but here an error reaches the caller.

        Raises:
            LinkError: The radio did not accept it; it was muted.
        """
        self._safety.arm()

    @property
    def gain_range(self) -> GainRange:
        """Gains that `set_gain` accepts."""
        return self._driver.gain_range

    def set_gain(self, gain_db: float) -> None:
        """Sets another gain than the profile's: at once if the radio is armed, otherwise from `arm` on.

        Raises:
            ConfigError: The radio does not support it; nothing was changed.
            LinkError: The radio did not accept it; it was muted.
        """
        lowest_db, highest_db, _ = self.gain_range
        if not lowest_db <= gain_db <= highest_db:
            raise ConfigError(f"{self.where}: a gain of {gain_db:g} dB; it takes {lowest_db:g} to {highest_db:g} dB")
        self._safety.set_gain(gain_db)

    def mute(self) -> None:
        """Lowers the gain; never raises, but logs an error if the radio does not answer."""
        self._safety.mute()

    def poll(self) -> None:
        """Asks the driver for events; call it several times a second while the flowgraph runs."""
        if self._poll is not None:
            self._poll()

    @property
    def n_taken(self) -> int:
        """Samples that the driver's sink has consumed."""
        return int(self._block.nitems_read(0))

    @property
    def n_clipped(self) -> int:
        """Samples that were larger than full scale and were clipped to it."""
        return self.gate.n_clipped
