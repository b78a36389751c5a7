# SPDX-License-Identifier: GPL-3.0-or-later
"""Block: applies the channel of `phy/channel/` to samples, with the SNR in dB."""

from __future__ import annotations

import dataclasses
from typing import Any, cast

import numpy as np
import pmt
from gnuradio import gr

from gened.errors import ConfigError
from gened.gr_blocks.frame_modulator import PACKET_LEN
from gened.gr_blocks.phy.channel.config import ChannelConfig, ChannelKind
from gened.gr_blocks.phy.channel.sample_channel import SampleChannel
from gened.gr_blocks.phy.types import ComplexArray


class channel(gr.basic_block):  # noqa: N801
    """Adds noise, carrier and clock offset, fading and front-end faults, as `gened air` does.

    Ports: complex samples in and out. `packet_len` tags in the input mark the bursts: block fading draws a gain per
    burst, and `drop` decides per burst whether it is lost. The output has no tags, like that of a radio. It counts
    nothing and has no thread of its own.

    Args:
        sample_rate: Hz.
        snr_db: Es/N0 on an occupied carrier, for bursts of mean power 1; under fading its long-term mean.
        freq_offset_hz: Carrier offset, within half the sample rate.
        kind: awgn, rayleigh-block, rician-block, multipath, tdl-a, tdl-b or tdl-c.
        sfo_ppm: Clock offset; positive: fewer samples come out than went in.
        drop: Probability that a whole burst is lost.
        seed: Seed of noise and gains.
        config: A complete `ChannelConfig` in place of the parameters above, except the sample rate.

    Raises:
        ConfigError: A value is out of range.
    """

    def __init__(
        self,
        sample_rate: float = 1e6,
        snr_db: float = 10.0,
        freq_offset_hz: float = 0.0,
        kind: str = "awgn",
        sfo_ppm: float = 0.0,
        drop: float = 0.0,
        seed: int = 0,
        *,
        config: ChannelConfig | None = None,
    ) -> None:
        gr.basic_block.__init__(self, name="channel", in_sig=[np.complex64], out_sig=[np.complex64])
        self.set_tag_propagation_policy(gr.TPP_DONT)
        if config is None:
            config = ChannelConfig(
                kind=cast(ChannelKind, kind), snr_db=float(snr_db), freq_offset_hz=float(freq_offset_hz),
                sfo_ppm=float(sfo_ppm), drop=float(drop), seed=int(seed),
            )  # fmt: skip
        self._channel = SampleChannel(config, float(sample_rate))
        self._ready: ComplexArray = np.zeros(0, np.complex64)

    @property
    def config(self) -> ChannelConfig:
        """Present configuration of the channel."""
        return self._channel.config

    def set_snr_db(self, snr_db: float) -> None:
        """Sets the SNR from the next samples on; a value out of range raises ConfigError."""
        self._channel.config = dataclasses.replace(self._channel.config, snr_db=float(snr_db))

    def set_freq_offset_hz(self, freq_offset_hz: float) -> None:
        """Sets the carrier offset from the next samples on, with continuous phase.

        Raises:
            ConfigError: More than half the sample rate.
        """
        if abs(freq_offset_hz) > self._channel.sample_rate / 2:
            raise ConfigError(f"a frequency offset of {freq_offset_hz:g} Hz; at most half the sample rate")
        self._channel.config = dataclasses.replace(self._channel.config, freq_offset_hz=float(freq_offset_hz))

    def forecast(self, noutput_items: int, ninputs: int) -> list[int]:
        """Called by the scheduler; one sample of input is enough."""
        return [1] * ninputs

    def general_work(self, input_items: Any, output_items: Any) -> int:
        """Called by the scheduler."""
        out = output_items[0]
        if len(self._ready) < len(out):
            samples = input_items[0][: len(out)]
            first = self.nitems_read(0)
            tags = self.get_tags_in_window(0, 0, len(samples), pmt.intern(PACKET_LEN))
            arrived = self._channel.process(samples.copy(), sorted(tag.offset - first for tag in tags))
            self._ready = np.concatenate([self._ready, arrived])
            self.consume(0, len(samples))
        n = min(len(self._ready), len(out))
        out[:n] = self._ready[:n]
        self._ready = self._ready[n:]
        return n
