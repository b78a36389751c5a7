# SPDX-License-Identifier: GPL-3.0-or-later
"""A survey of a link: every frame that comes, or fails to, as a row, over a radio, the air or a recording.

listening: run_receive ------------------------.
sending itself: run_loopback (air or radio) ----+-> rows, lost frames among them -> survey_summary, survey_report
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

from gened.errors import GenedError, ImageError
from gened.fieldwork.config import SurveyConfig
from gened.fieldwork.survey_summary import SurveyRow
from gened.link.loopback import run_loopback
from gened.link.receive import run_receive
from gened.models.data.images import Pixels, load_image, to_float
from gened.models.evaluation.metrics.pixel_metrics import psnr_db

Facts = dict[str, Any]
OnRow = Callable[[SurveyRow], None]
N_NUMBERS = 65536
MAX_GAP = 1000
"""Frames that may be missing in a row; more is taken for a sender that began again."""
FIGURES = ("snr_est_db", "cfo_est_hz", "sfo_est_ppm", "erased_fraction", "caption", "crc_ok", "airtime_s")


@dataclass(frozen=True)
class Survey:
    """What came of it."""

    rows: list[SurveyRow]
    """In the order of the frames."""
    causes: dict[str, int]
    """What was wrong at either side, by name and count."""
    failure: GenedError | None
    """Why it ended before its time."""


def run_survey(
    config: SurveyConfig,
    *,
    stop: threading.Event,
    on_row: OnRow | None = None,
    on_state: Callable[[str], None] | None = None,
) -> Survey:
    """Surveys until the frames are over, or `stop`.

    Args:
        config: See there.
        stop: Ends it; what came until then is kept.
        on_row: Called with each row when it is known; any thread.
        on_state: Called with a line about either side; any thread.

    Returns:
        The rows. An error of the link is in it and not raised, since what came before it counts.

    Raises:
        ImageError: A reference cannot be read.
    """
    rows = _Rows(_Originals(config), on_row)
    hear = _Ear(rows, on_state)
    failure: GenedError | None = None
    try:
        if config.link is not None:
            run_loopback(config.link, stop=stop, on_progress=hear.side)
        elif config.receive is not None:
            run_receive(config.receive, stop=stop, on_frame=lambda facts: hear.side("receive", facts))
    except GenedError as error:
        failure = error
    return Survey(rows.finished(), hear.causes, failure)


class _Originals:
    """Pictures as sent, as far as they are known, and how near the received ones come."""

    def __init__(self, config: SurveyConfig) -> None:
        self._out = config.out
        self._references = config.references
        self._load: Callable[[Path], Pixels] = lru_cache(4)(lambda path: load_image(path, max_side=config.max_side))
        for path in config.references:
            self._load(path)
        self.sent: dict[int, str] = {}
        """File names by frame, of a sender of our own."""

    def psnr_db(self, number: int, received: str | None) -> float | None:
        """PSNR of a picture; None where it or its original is not known, or has another size."""
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
    """Rows as frames come; a number that was passed over is a frame that is lost."""

    def __init__(self, originals: _Originals, on_row: OnRow | None) -> None:
        self.originals = originals
        self._on_row = on_row
        self._rows: list[SurveyRow] = []
        self._files: dict[int, str] = {}
        self._sent: dict[int, str | None] = {}
        self._last: dict[int | None, int] = {}
        self._begin_s = time.monotonic()
        self._lock = threading.Lock()

    def sent(self, facts: Facts) -> None:
        """A frame that a sender of our own has sent, or could not send."""
        number = int(facts["frame"])
        with self._lock:
            self._sent[number] = facts.get("error")
            if facts.get("sent"):
                self.originals.sent[number] = str(facts["sent"])

    def received(self, facts: Facts) -> None:
        """A frame that came; before it, those that did not."""
        number, session, error = int(facts["frame"]), facts.get("session"), facts.get("error")
        now_s = time.monotonic() - self._begin_s
        picture = facts.get("received")
        if error is None and facts.get("is_lost"):
            error = "it came, but nothing of the picture could be decoded"
        row = SurveyRow(
            frame=number, session=session, time_s=now_s, is_received=error is None,
            reason=None if error is None else str(error),
            psnr_db=self.originals.psnr_db(number, picture), **{key: facts.get(key) for key in FIGURES},
        )  # fmt: skip
        with self._lock:
            for lost in self._passed_over(session, number, now_s):
                self._add(lost)
            self._add(row)
            self._last[session] = number
            if picture is not None:
                self._files[len(self._rows) - 1] = str(picture)

    def finished(self) -> list[SurveyRow]:
        """All rows, with frames of our own sender that never came, and PSNR where its original came late."""
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
        if last is None and self._sent:  # our own sender begins with 0
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


class _Ear:
    """Sorts what the sides tell."""

    def __init__(self, rows: _Rows, on_state: Callable[[str], None] | None) -> None:
        self.causes: dict[str, int] = {}
        self._rows = rows
        self._on_state = on_state

    def side(self, side: str, facts: Facts) -> None:
        for name, n in (facts.get("causes") or {}).items():
            self.causes[name] = self.causes.get(name, 0) + n
        if "frame" in facts:
            (self._rows.sent if side == "transmit" else self._rows.received)(facts)
        elif self._on_state is not None and "causes" not in facts and facts.get("state") not in (None, "done"):
            state = str(facts["state"])
            self._on_state(state if ": " in state else f"{side}: {state}")
