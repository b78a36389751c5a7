# SPDX-License-Identifier: GPL-3.0-or-later
"""A survey of a link: one row per frame, received or lost, over a radio, the channel emulator or a recording.

receiving only: run_receive --------------------.
sending too: run_loopback (emulator or radio) ---+-> rows, with those of lost frames -> survey_summary, survey_report
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path

from gened.errors import GenedError, ImageError
from gened.fieldwork.config import SurveyConfig
from gened.fieldwork.survey_summary import SurveyRow
from gened.gr_blocks.pdu.facts import FrameFacts, SentFacts
from gened.link.children import Role
from gened.link.events import Ended, LinkEvent, Notice, Ready
from gened.link.loopback import run_loopback
from gened.link.receive import run_receive
from gened.models.data.images import Pixels, load_image, to_float
from gened.models.evaluation.metrics.pixel_metrics import psnr_db

OnRow = Callable[[SurveyRow], None]
N_NUMBERS = 65536
"""Frame numbers; they wrap around."""
MAX_GAP = 1000
"""Largest number of frames in a row that may be lost; a larger jump is a sender that began again."""


@dataclass(frozen=True)
class Survey:
    """Result of a survey."""

    rows: list[SurveyRow]
    """One row per frame, in the order of the frames."""
    causes: dict[str, int]
    """Faults of the link, by name, and how often each was seen."""
    failure: GenedError | None
    """Error that ended the survey early."""


def run_survey(
    config: SurveyConfig,
    *,
    stop: threading.Event,
    on_row: OnRow | None = None,
    on_state: Callable[[str], None] | None = None,
) -> Survey:
    """Surveys until all frames have come or `stop` is set.

    Args:
        config: The survey.
        stop: Ends the survey; the rows so far are kept.
        on_row: Called with each row when it is complete; any thread.
        on_state: Called with a line about either side; any thread.

    Returns:
        The rows. An error of the link is part of the result and not raised, since the rows before it count.

    Raises:
        ImageError: A reference cannot be read.
    """
    rows = _Rows(_Originals(config), on_row)
    sorter = _Sorter(rows, on_state)
    failure: GenedError | None = None
    try:
        if config.link is not None:
            run_loopback(config.link, stop=stop, on_progress=sorter.take)
        elif config.receive is not None:
            run_receive(config.receive, stop=stop, on_event=lambda event: sorter.take("receive", event))
    except GenedError as error:
        failure = error
    return Survey(rows.finished(), sorter.causes, failure)


class _Originals:
    """Pictures as sent, as far as they are known, and the PSNR of the received ones."""

    def __init__(self, config: SurveyConfig) -> None:
        self._out = config.out
        self._references = config.references
        self._load: Callable[[Path], Pixels] = lru_cache(4)(lambda path: load_image(path, max_side=config.max_side))
        for path in config.references:
            self._load(path)
        self.sent: dict[int, str] = {}
        """File names by frame, where this survey sends itself."""

    def psnr_db(self, number: int, received: str | None) -> float | None:
        """PSNR of a picture; None where the picture or its original is not known, or their sizes differ."""
        original = self._out / self.sent[number] if number in self.sent else None
        if original is None and self._references:
            original = self._references[number % len(self._references)]
        if original is None or received is None:
            return None
        try:
            first, second = self._load(original), load_image(self._out / received)
        except ImageError:
            return None
        return psnr_db(to_float(first), to_float(second)) if first.shape == second.shape else None


class _Rows:
    """Rows as frames come; a number that was passed over is a lost frame."""

    def __init__(self, originals: _Originals, on_row: OnRow | None) -> None:
        self.originals = originals
        self._on_row = on_row
        self._rows: list[SurveyRow] = []
        self._files: dict[int, str] = {}
        self._sent: dict[int, str | None] = {}
        self._last: dict[int | None, int] = {}
        self._begin_s = time.monotonic()
        self._lock = threading.Lock()

    def sent(self, facts: SentFacts) -> None:
        """Takes a frame that this survey has sent, or could not send."""
        with self._lock:
            self._sent[facts.frame] = facts.error
            if facts.sent is not None:
                self.originals.sent[facts.frame] = facts.sent

    def received(self, facts: FrameFacts) -> None:
        """Takes a frame that came, and adds a row for each that was lost before it."""
        number, session, error, picture = facts.frame, facts.session, facts.error, facts.received
        now_s = time.monotonic() - self._begin_s
        if error is None and facts.is_lost:
            error = "it came, but nothing of the picture could be decoded"
        row = SurveyRow(
            frame=number, session=session, time_s=now_s, is_received=error is None, reason=error,
            psnr_db=self.originals.psnr_db(number, picture), snr_est_db=facts.snr_est_db, cfo_est_hz=facts.cfo_est_hz,
            sfo_est_ppm=facts.sfo_est_ppm, erased_fraction=facts.erased_fraction, caption=facts.caption,
            crc_ok=facts.crc_ok, airtime_s=facts.airtime_s,
        )  # fmt: skip
        with self._lock:
            for lost in self._passed_over(session, number, now_s):
                self._add(lost)
            self._add(row)
            self._last[session] = number
            if picture is not None:
                self._files[len(self._rows) - 1] = picture

    def finished(self) -> list[SurveyRow]:
        """All rows, with those of sent frames that never came, and the PSNR where the original came late."""
        with self._lock:
            for index, picture in self._files.items():
                row = self._rows[index]
                if row.psnr_db is None:
                    self._rows[index] = replace(row, psnr_db=self.originals.psnr_db(row.frame, picture))
            there = {row.frame for row in self._rows}
            for number in sorted(set(self._sent) - there):
                reason = self._sent[number] or "never came"
                now_s = self._rows[-1].time_s if self._rows else 0.0
                self._add(SurveyRow(frame=number, time_s=now_s, is_received=False, reason=reason))
            return sorted(self._rows, key=lambda row: row.frame) if self._sent else self._rows

    def _passed_over(self, session: int | None, number: int, now_s: float) -> list[SurveyRow]:
        last = self._last.get(session)
        n_gap = 0 if last is None else (number - last) % N_NUMBERS - 1
        if last is None and self._sent:  # this survey numbers its frames from 0
            last, n_gap = -1, number
        if last is None or not 0 < n_gap <= MAX_GAP:
            return []
        before_s = self._rows[-1].time_s if self._rows else 0.0
        return [
            SurveyRow(
                frame=(last + 1 + index) % N_NUMBERS, session=session, is_received=False, reason="never came",
                time_s=before_s + (now_s - before_s) * (index + 1) / (n_gap + 1),
            )
            for index in range(n_gap)
        ]  # fmt: skip

    def _add(self, row: SurveyRow) -> None:
        self._rows.append(row)
        if self._on_row is not None:
            self._on_row(row)


class _Sorter:
    """Sorts the events of both sides into rows, counts and lines."""

    def __init__(self, rows: _Rows, on_state: Callable[[str], None] | None) -> None:
        self.causes: dict[str, int] = {}
        self._rows = rows
        self._on_state = on_state

    def take(self, role: Role, event: LinkEvent) -> None:
        """Takes an event of a role."""
        match event:
            case SentFacts():
                self._rows.sent(event)
            case FrameFacts():
                self._rows.received(event)
            case Ended():
                for name, n in event.causes.items():
                    self.causes[name] = self.causes.get(name, 0) + n
            case Ready():
                self._show(f"{role}: ready")
            case Notice():
                self._show(event.line)

    def _show(self, line: str) -> None:
        if self._on_state is not None:
            self._on_state(line)
