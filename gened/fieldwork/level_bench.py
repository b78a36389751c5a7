# SPDX-License-Identifier: GPL-3.0-or-later
"""Both sides of a radio, running: levels are set at one and measured at the other.

```text
vector_source (the known burst, over and over) -> radio_sink     source -> sample_catcher
```
"""

from __future__ import annotations

import contextlib
import secrets
import threading
from collections.abc import Iterator
from typing import Any

import numpy as np
import pmt
from gnuradio import blocks, gr

from gened.errors import ConfigError
from gened.fieldwork.config import CalibrateConfig
from gened.fieldwork.level_plan import plan_levels
from gened.fieldwork.levels import LevelFigures, known_burst, known_frame, measure
from gened.flowgraphs.radios.profiles import radio_profile
from gened.flowgraphs.radios.radio_sink import radio_sink
from gened.flowgraphs.radios.registry import make_sink, make_source
from gened.gr_blocks.frame_modulator import PACKET_LEN
from gened.gr_blocks.phy.types import ComplexArray
from gened.gr_blocks.sample_catcher import sample_catcher

GAP_LEN = 2000
"""Samples of silence behind each burst."""
SETTLE_S = 0.25
"""What receiver and program may hold of samples from before a setting was changed: a Pluto's buffers hold 0.13 s."""
NOISE_S = 0.25


class LevelBench:
    """Both sides of the radio, running."""

    def __init__(self, config: CalibrateConfig, sink: radio_sink, catcher: sample_catcher, top: Any) -> None:
        self.plan = plan_levels(config, sink.gain_range)
        """Gain and back-off of each level, dB."""
        self.frame = known_frame(config.seed, secrets.randbelow(65536))
        self._config = config
        self._sink = sink
        self._catcher = catcher
        self._top = top
        self._period = len(known_burst(self.frame)) + GAP_LEN

    def noise(self, stop: threading.Event) -> ComplexArray:
        """[n] complex64 while the transmitter is mute."""
        return self._catch(NOISE_S, stop)

    def level(self, gain_db: float, backoff_db: float, stop: threading.Event) -> LevelFigures | None:
        """Sends at one level and measures; None where `stop` came first."""
        config, gate = self._config, self._sink.gate
        if stop.is_set():
            return None
        self._sink.set_gain(gain_db)
        gate.set_backoff(backoff_db)
        if not self._sink.is_armed:
            self._sink.arm()
            self._top.start()
        n_before, n_clipped = gate.nitems_read(0), gate.n_clipped
        samples = self._catch((config.n_bursts + 1) * self._period / config.hardware.sample_rate, stop)
        if self._sink.failure is not None:
            raise self._sink.failure
        if stop.is_set():
            return None
        n_passed = max(1, gate.nitems_read(0) - n_before)
        return measure(
            samples, self.frame, sample_rate=config.hardware.sample_rate, n_sent=config.n_bursts, tx_gain_db=gain_db,
            backoff_db=backoff_db, tx_clipped_fraction=(gate.n_clipped - n_clipped) / n_passed,
        )  # fmt: skip

    def _catch(self, duration_s: float, stop: threading.Event) -> ComplexArray:
        rate = self._config.hardware.sample_rate
        n_skipped = int((SETTLE_S + self._sink.tail_s) * rate)
        return self._catcher.catch(n_skipped, int(duration_s * rate), timeout_s=self._config.timeout_s, stop=stop)


@contextlib.contextmanager
def level_bench(config: CalibrateConfig) -> Iterator[LevelBench]:
    """The radio, receiving, its transmitter made and mute; mute again and released at the end."""
    quiet = config.hardware.model_copy(update={"tx": config.hardware.tx.model_copy(update={"gain_db": None})})
    sink = make_sink(radio_profile(quiet, "tx", may_transmit=config.may_transmit))
    if not isinstance(sink, radio_sink):
        raise ConfigError(f"{config.hardware.name}: only a radio has levels to calibrate")
    sending, hearing, catcher = gr.top_block("gened sweep"), gr.top_block("gened ear"), sample_catcher()
    try:
        sink.mute()
        source = make_source(radio_profile(config.hardware, "rx"))
        hearing.connect(source, catcher)
        bench = LevelBench(config, sink, catcher, sending)
        repeated = _repeated(known_burst(bench.frame))
        sending.connect(repeated, sink)
        hearing.start()
        yield bench
    finally:
        sink.mute()
        for top in (sending, hearing):
            top.stop()
            top.wait()


def _repeated(burst: Any) -> Any:
    """A source of the burst with its gap, over and over, each a packet of its own."""
    period = np.concatenate([burst, np.zeros(GAP_LEN, np.complex64)])
    tag = gr.tag_t()
    tag.offset, tag.key, tag.value = 0, pmt.intern(PACKET_LEN), pmt.from_long(len(period))
    return blocks.vector_source_c(period.tolist(), True, 1, [tag])
