# SPDX-License-Identifier: GPL-3.0-or-later
"""The recorder: writes the samples of a source, and annotates the bursts in them; no picture is decoded.

source --+--> sample_recorder <----------------------------------------------------.
         `--> burst_detector --bursts--> frame_demodulator --> caption_decoder --frames
"""

from __future__ import annotations

import time

from gnuradio import gr

from gened.flowgraphs.radios.profiles import RadioProfile
from gened.flowgraphs.radios.registry import make_source
from gened.flowgraphs.receiver import connect_recorder, has_recorded, widen_buffer
from gened.gr_blocks.burst_detector import burst_detector
from gened.gr_blocks.caption_decoder import caption_decoder
from gened.gr_blocks.frame_demodulator import frame_demodulator
from gened.gr_blocks.sample_recorder import sample_recorder


class Recorder(gr.top_block):
    """A whole recorder: `start()`, watch `recorder`, `stop()` and `wait()`. No network is loaded.

    Args:
        profile: Source of the samples.
        recorder: Writes the samples and annotations.
        timeout_s: Longest time that a frame waits for its bursts.

    Raises:
        GenedError: The source cannot be made; see `make_source`.
    """

    def __init__(self, profile: RadioProfile, recorder: sample_recorder, *, timeout_s: float = 2.0) -> None:
        gr.top_block.__init__(self, "gened recorder", catch_exceptions=True)
        self.profile = profile
        self.recorder = recorder
        self.source = make_source(profile)
        self.detector = burst_detector()
        self.demodulator = frame_demodulator(timeout_s)
        self.captions = caption_decoder()
        widen_buffer(self.source, profile.sample_rate)
        self.connect(self.source, self.detector)
        self.msg_connect(self.detector, "bursts", self.demodulator, "bursts")
        self.msg_connect(self.demodulator, "frames", self.captions, "frames")
        connect_recorder(self, self.source, self.detector, self.captions, recorder)

    @property
    def n_samples_received(self) -> int:
        """Samples that the detector has received since it was made."""
        return self.detector.stats()["samples"]

    @property
    def n_searched(self) -> int:
        """Samples whose bursts are counted."""
        return self.detector.stats().get("n_searched", 0)

    def drain(self, timeout_s: float) -> bool:
        """Waits until the recorder has handled all that was found; False when it took longer."""
        deadline_s = time.monotonic() + timeout_s
        while not self._is_idle():
            if time.monotonic() > deadline_s:
                return False
            time.sleep(0.01)  # several threads are involved, and none of them knows when all have finished
        return True

    def _is_idle(self) -> bool:
        demodulated = self.demodulator.stats()
        n_demodulated = sum(
            demodulated.get(key, 0) for key in ("n_bursts", "n_dropped_bursts", "n_errors", "n_bad_pdus")
        )
        return (
            self.demodulator.n_pending == 0
            and self.detector.stats().get("n_bursts", 0) <= n_demodulated
            and has_recorded(self.detector, self.demodulator, self.recorder)
        )
