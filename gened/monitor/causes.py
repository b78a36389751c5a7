# SPDX-License-Identifier: GPL-3.0-or-later
"""Causes of lost pictures, by name: from counters to causes, each with its meaning and advice.

Functions of numbers alone, so that they need no radio; `link_monitor` gives them the numbers of a run.
"""

from __future__ import annotations

from dataclasses import dataclass

from gened.errors import DecoderError, OtherWeightsError
from gened.flowgraphs.radios.radio_events import EVENTS
from gened.gr_blocks.pdu.facts import FrameFacts
from gened.gr_blocks.phy.sync.signal_level import SignalLevel

MIN_CLIPPED = 8
CLIPPED_SHARE = 1e-5
"""Of all samples. At the usual 12 dB of back-off one sample in 7 million reaches full scale, so this is no accident."""
MAX_CFO_FRACTION = 0.125
"""Largest carrier offset that the receiver searches, as a share of the sample rate."""
MAX_SFO_PPM = 200.0
"""Largest sampling frequency offset that the receiver searches (`phy.equalizer.demodulator`)."""
NEAR = 0.8
"""Share of a limit from which on it is reported."""


@dataclass(frozen=True)
class Cause:
    """What may be wrong with a link."""

    name: str
    meaning: str
    advice: str
    is_said_once: bool = False
    """Whether it has one line per reason, instead of one per ten seconds with the count since the last line."""

    def __str__(self) -> str:
        return f"{self.name}: {self.meaning}; {self.advice}"


CAUSES = {
    cause.name: cause
    for cause in (
        *(Cause(event.name, event.meaning, event.advice) for event in EVENTS.values()),
        Cause(
            "input clipping", "received samples lie at the converter's full scale, and the signal is bent there",
            "lower rx.gain_db, or put more attenuation between",
        ),
        Cause(
            "output clipping", "samples to be sent were larger than full scale and were cut to it",
            "raise tx.backoff_db by 3 and tx.gain_db by as much",
        ),
        Cause(
            "bad symbols", "the codec returned symbols that are not finite or far too large, and each was sent as 0",
            "the fault is the codec's; `gened evaluate --codec NAME` names the picture",
        ),
        Cause(
            "no burst found", "there is power well above the noise, but no burst of this program in it",
            "compare center_freq and sample_rate of both sides; the signal may be another transmitter's",
        ),
        Cause(
            "header fails", "bursts are found, but their headers cannot be read",
            "raise the level at the receiver; look for clipping, interference or an echo longer than the cyclic prefix",
        ),
        Cause(
            "other format", "headers of another format version were read",
            "install the same version of this program on both sides",
        ),
        Cause(
            "carrier too far off", "the carriers of the two sides are so far apart that little room is left",
            "correct center_freq of one side by the offset, widen rx.bandwidth, or use one reference for both",
        ),
        Cause(
            "clock too far off", "the sample clocks of the two sides are so far apart that little room is left",
            "compare sample_rate of both sides, or use one reference for both",
        ),
        Cause(
            "other weights", "frames arrive, but the sender's codec or its weights are not here",
            "install the same weights on both sides, or name their folder with --codec",
        ),
        Cause(
            "decoder fails", "frames arrive, but the codec fails on them and gives no picture",
            "look for the fault in the codec that the reason names; `gened check` tries those of this package",
            is_said_once=True,
        ),
        Cause(
            "editor fails", "the editor gives no result, and pictures are delivered as they are received",
            "look for the fault in the editor or its service; --edit-timeout is its time limit",
            is_said_once=True,
        ),
        Cause(
            "captioner fails", "the captioner describes no photograph, and frames are sent without its caption",
            "look for the fault in the captioner, or give the texts with --caption", is_said_once=True,
        ),
        Cause(
            "encoder fails", "the codec cannot encode a photograph, and the frame is not sent",
            "look for the fault in the codec or in the photograph that the reason names", is_said_once=True,
        ),
    )
}  # fmt: skip
"""By name. The first five are the drivers' letters, see `radio_events`."""


SAID_ONCE = tuple(name for name, cause in CAUSES.items() if cause.is_said_once)


@dataclass(frozen=True)
class Occurrence:
    """That a cause was seen."""

    name: str
    """A key of `CAUSES`."""
    n: int
    """How often."""
    detail: str = ""


@dataclass(frozen=True, kw_only=True)
class ReceiverCounters:
    """What a receiver has counted since its start."""

    n_samples: int = 0
    n_preambles: int = 0
    n_headers: int = 0
    n_bad_headers: int = 0
    n_foreign: int = 0
    """Of the bad headers: whole ones of another format version."""
    n_full_scale: int = 0
    """Samples at full scale; 0 where they are not counted."""


def clipping(before: ReceiverCounters, now: ReceiverCounters) -> list[Occurrence]:
    """Whether the converter is driven too hard: more than `MIN_CLIPPED` samples and `CLIPPED_SHARE` of all."""
    n, n_samples = now.n_full_scale - before.n_full_scale, now.n_samples - before.n_samples
    if n < max(MIN_CLIPPED, CLIPPED_SHARE * n_samples):
        return []
    return [Occurrence("input clipping", n, f"{100 * n / max(1, n_samples):.2g} % of the samples")]


def burst_causes(before: ReceiverCounters, now: ReceiverCounters, level: SignalLevel | None) -> list[Occurrence]:
    """Why no burst was read between two moments, some seconds apart.

    Args:
        before: At the first.
        now: At the second.
        level: Level of the samples between the two moments; None where it was not measured.
    """
    n_headers, n_bad = now.n_headers - before.n_headers, now.n_bad_headers - before.n_bad_headers
    n_foreign = now.n_foreign - before.n_foreign
    found = []
    if n_foreign:
        found.append(Occurrence("other format", n_foreign))
    if n_bad - n_foreign > n_headers:
        found.append(Occurrence("header fails", n_bad - n_foreign, f"{n_headers} others were read"))
    if not n_headers and not n_bad and level is not None and level.has_signal:
        found.append(Occurrence("no burst found", 1, str(level)))
    return found


def frame_causes(facts: FrameFacts, sample_rate: float, room_hz: float | None = None) -> list[Occurrence]:
    """Causes that the facts of a frame show.

    Args:
        facts: Of a received frame: `cfo_est_hz`, `sfo_est_ppm`, `error_code` and `error` are used.
        sample_rate: Hz.
        room_hz: By how much the carrier may be off before the receiver's analogue filter cuts the signal.
    """
    found = []
    cfo_hz, sfo_ppm = facts.cfo_est_hz, facts.sfo_est_ppm
    limit_hz = MAX_CFO_FRACTION * sample_rate
    if room_hz is not None and 0 < room_hz < limit_hz:
        limit_hz = room_hz
    if cfo_hz is not None and abs(cfo_hz) >= NEAR * limit_hz:
        found.append(Occurrence("carrier too far off", 1, f"{cfo_hz:+.0f} Hz; {limit_hz:.0f} Hz is the limit"))
    if sfo_ppm is not None and abs(sfo_ppm) >= NEAR * MAX_SFO_PPM:
        found.append(Occurrence("clock too far off", 1, f"{sfo_ppm:+.0f} ppm; {MAX_SFO_PPM:.0f} ppm is the limit"))
    if facts.error_code == OtherWeightsError.code:
        found.append(Occurrence("other weights", 1, facts.error or ""))
    if facts.error_code == DecoderError.code:
        found.append(Occurrence("decoder fails", 1, facts.error or ""))
    return found


def edit_causes(facts: FrameFacts) -> list[Occurrence]:
    """Whether the editor gave no result for a frame; `edit_failed` and `edit_reason` are used."""
    return [Occurrence("editor fails", 1, facts.edit_reason or "")] if facts.edit_failed else []


def output_clipping(n_clipped: int, n_samples: int) -> list[Occurrence]:
    """Whether a sender cuts more peaks than its back-off should leave.

    Args:
        n_clipped: Samples that were cut lately.
        n_samples: Samples that were sent lately, silence included.
    """
    if n_clipped < max(MIN_CLIPPED, CLIPPED_SHARE * n_samples):
        return []
    return [Occurrence("output clipping", n_clipped, f"{100 * n_clipped / max(1, n_samples):.2g} % of the samples")]


class StreamClock:
    """Number of missing samples, from their count and the clock: for drivers that do not report overflows.

    Samples come in lumps and late, but never early: within each window the least delay is taken, and where it has risen
    from one window to the next, as many samples are missing.

    Args:
        sample_rate: Hz.
    """

    WINDOW_S = 2.0
    TOLERANCE_S = 0.03
    """A delay that rises by less may be the machine's: a window holds about ten readings of lumps of 30 ms."""

    def __init__(self, sample_rate: float) -> None:
        self._sample_rate = sample_rate
        self._first: tuple[float, int] | None = None
        self._window_s = 0.0
        self._least_s = float("inf")
        self._before_s: float | None = None

    def update(self, now_s: float, n_samples: int) -> int:
        """Samples found missing by this reading; mostly 0.

        Args:
            now_s: A clock that only rises.
            n_samples: Samples that have come since the start.
        """
        if n_samples == 0:
            return 0
        if self._first is None:
            self._first, self._window_s = (now_s, n_samples), now_s
        delay_s = (now_s - self._first[0]) - (n_samples - self._first[1]) / self._sample_rate
        self._least_s = min(self._least_s, delay_s)
        if now_s - self._window_s < self.WINDOW_S:
            return 0
        least_s, self._least_s, self._window_s = self._least_s, float("inf"), now_s
        before_s, self._before_s = self._before_s, least_s
        if before_s is None or least_s - before_s < self.TOLERANCE_S:
            return 0
        return round((least_s - before_s) * self._sample_rate)
