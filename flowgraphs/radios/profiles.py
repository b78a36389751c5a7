# SPDX-License-Identifier: GPL-3.0-or-later
"""A radio profile, and the one function a side that turns it into GNU Radio blocks.

A new kind of radio is a function under `@source_kind("name")` and one under `@sink_kind("name")`; nothing else changes.
Those of real radios stand in `gened.flowgraphs.radios` and are made from the files of `gened.hw_config`, see
`radio_profile`.
Every source gives complex64 samples, every sink takes them with a `packet_len` tag on each burst's first sample.
"""

from __future__ import annotations

import importlib
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import numpy.typing as npt

from gened.errors import ConfigError, LinkError

if TYPE_CHECKING:
    from gened.gr_blocks.sample_player import Samples
    from gened.hw_config.profile import HardwareProfile

SAMPLE_BYTES = 8  # complex64
ZMQ_TIMEOUT_MS = 100  # how long a socket block waits before it looks whether the flowgraph was stopped
ZMQ_HWM = 32  # messages in a socket's own queue: about a quarter of a million samples, then the sender waits
DEFAULT_TX_ADDRESS = "tcp://127.0.0.1:5550"
DEFAULT_RX_ADDRESS = "tcp://127.0.0.1:5551"
RADIO_MODULES = ("gened.flowgraphs.radios.iio", "gened.flowgraphs.radios.soapy", "gened.flowgraphs.radios.uhd")
"""Modules that register kinds; loaded with the first block, since they import this one. None loads its driver."""
_ADDRESS = re.compile(r"(tcp://[^\s/]+:\d{1,5}|ipc://\S+)")


@dataclass(frozen=True, kw_only=True)
class RadioProfile:
    """Where samples go to or come from.

    Raises:
        ConfigError: An unknown kind, or what the kind needs is missing or out of range.
    """

    kind: str = "zeromq"
    """`zeromq`, `tap` (air's, for those who only look), `recording` (SigMF), `file` (raw complex64) or `vector`
    (samples in memory); `iio`, `uhd` and `soapy` are radios."""
    sample_rate: float = 1e6
    """Hz."""
    address: str = DEFAULT_TX_ADDRESS
    """ZMQ endpoint of kind `zeromq`: the sink (PUSH) binds it, the source (PULL) connects to it. Of kind `tap`: where
    air publishes (PUB)."""
    path: Path | None = None
    """File of kinds `file` and `recording`."""
    is_paced: bool = False
    """Kinds `recording`, `file` and `vector` as a source: no faster than the sample rate."""
    samples: npt.NDArray[np.complex64] | None = None
    """Samples of kind `vector` as a source."""
    center_freq: float = 0.0
    """Hz; for radios."""
    hardware: HardwareProfile | None = None
    """What a radio's file says; of kinds `iio`, `uhd` and `soapy`."""
    may_transmit: bool = False
    """Whether the user said that this radio may transmit; a sink of a hardware radio refuses to be made otherwise."""

    def __post_init__(self) -> None:
        if not np.isfinite(self.sample_rate) or self.sample_rate <= 0:
            raise ConfigError(f"sample_rate is {self.sample_rate} Hz; give a positive number")
        if self.kind in ("zeromq", "tap") and not _ADDRESS.fullmatch(self.address):
            raise ConfigError(f"'{self.address}' is no ZMQ address; write it like {DEFAULT_TX_ADDRESS}")
        if self.kind in ("file", "recording") and self.path is None:
            raise ConfigError(f"a profile of kind '{self.kind}' needs a path")

    @property
    def is_clocked(self) -> bool:
        """Whether samples go to a radio with a clock of its own, without `gened air` and its control between."""
        return self.hardware is not None and self.hardware.driver != "zeromq"


def radio_profile(hardware: HardwareProfile, side: Literal["tx", "rx"], *, may_transmit: bool = False) -> RadioProfile:
    """The profile of one side of a radio that a file describes.

    Args:
        hardware: See `gened.hw_config.profile.load_profile`.
        side: Which side.
        may_transmit: Whether the user said so; see `RadioProfile`.
    """
    part = hardware.tx if side == "tx" else hardware.rx
    return RadioProfile(
        kind=hardware.driver, sample_rate=hardware.sample_rate, center_freq=part.center_freq or 0.0,
        address=hardware.tx_address if side == "tx" else hardware.rx_address,
        hardware=hardware, may_transmit=may_transmit,
    )  # fmt: skip


def recording_profile(path: Path) -> RadioProfile:
    """The profile of a recording in SigMF, as its file says.

    Raises:
        RecordingError: It cannot be read, or is not what was recorded; see `read_recording`.
    """
    from gened.gr_blocks.recording.reader import read_recording

    recording = read_recording(path)
    return RadioProfile(
        kind="recording", path=recording.path, sample_rate=recording.info.sample_rate,
        center_freq=recording.info.center_freq,
    )  # fmt: skip


Maker = Callable[[RadioProfile], Any]
_SOURCES: dict[str, Maker] = {}
_SINKS: dict[str, Maker] = {}


def source_kind(kind: str) -> Callable[[Maker], Maker]:
    """Registers the function that makes the source block of a kind of profile."""
    return _registrar(_SOURCES, kind)


def sink_kind(kind: str) -> Callable[[Maker], Maker]:
    """Registers the function that makes the sink block of a kind of profile."""
    return _registrar(_SINKS, kind)


def _registrar(registry: dict[str, Maker], kind: str) -> Callable[[Maker], Maker]:
    def register(maker: Maker) -> Maker:
        registry[kind] = maker
        return maker

    return register


def make_source(profile: RadioProfile) -> Any:
    """The block (or hier block) that gives a profile's samples.

    Raises:
        ConfigError: The kind cannot receive.
        LinkError: The address is in use, the file is missing, the radio is not there.
    """
    return _made(_SOURCES, profile, "source")


def make_sink(profile: RadioProfile) -> Any:
    """The block (or hier block) that takes samples to a profile's radio; raises as `make_source`."""
    return _made(_SINKS, profile, "sink")


def _made(registry: dict[str, Maker], profile: RadioProfile, side: str) -> Any:
    for module in RADIO_MODULES:
        importlib.import_module(module)
    if profile.kind not in registry:
        raise ConfigError(f"no {side} of kind '{profile.kind}'; there are {', '.join(sorted(registry))}")
    return registry[profile.kind](profile)


# ZMQ


def _socket_error(profile: RadioProfile, exc: Exception) -> LinkError:
    if "in use" in str(exc):
        return LinkError(f"{profile.address} is in use; another program listens there, choose another port")
    return LinkError(f"{profile.address}: {exc}")


@source_kind("zeromq")
def _zeromq_source(profile: RadioProfile) -> Any:
    from gened.gr_blocks.zmq_source import zmq_source

    return zmq_source(profile.address, ZMQ_HWM)


@source_kind("tap")
def _tap_source(profile: RadioProfile) -> Any:
    from gened.gr_blocks.zmq_source import zmq_source

    return zmq_source(profile.address, ZMQ_HWM, is_tap=True)


@sink_kind("zeromq")
def _zeromq_sink(profile: RadioProfile) -> Any:
    from gnuradio import zeromq

    try:
        return zeromq.push_sink(SAMPLE_BYTES, 1, profile.address, ZMQ_TIMEOUT_MS, False, ZMQ_HWM)
    except RuntimeError as exc:
        raise _socket_error(profile, exc) from exc


# Files and memory


def _player(profile: RadioProfile, samples: Samples) -> Any:
    """A source of these samples; after their end it is silent and the flowgraph goes on."""
    from gened.gr_blocks.sample_player import sample_player

    source = sample_player(samples)
    return _paced(profile, source) if profile.is_paced else source


def _paced(profile: RadioProfile, source: Any) -> Any:
    """A hier block that lets the samples of `source` through at the sample rate."""
    from gnuradio import blocks, gr

    class paced_source(gr.hier_block2):  # noqa: N801 - blocks are lower-case, as in GNU Radio
        def __init__(self) -> None:
            gr.hier_block2.__init__(self, "paced_source", gr.io_signature(0, 0, 0), gr.io_signature(1, 1, SAMPLE_BYTES))
            self.player = source  # a flowgraph keeps no Python block alive
            self.n_samples = source.n_samples
            self.connect(source, blocks.throttle(SAMPLE_BYTES, profile.sample_rate), self)

    return paced_source()


@source_kind("recording")
def _recording_source(profile: RadioProfile) -> Any:
    from gened.gr_blocks.recording.reader import read_recording

    return _player(profile, read_recording(Path(profile.path or ""), is_verified=False).samples)


@source_kind("file")
def _file_source(profile: RadioProfile) -> Any:
    from gened.gr_blocks.sample_player import map_samples

    return _player(profile, map_samples(Path(profile.path or "")))


@sink_kind("file")
def _file_sink(profile: RadioProfile) -> Any:
    from gnuradio import blocks

    try:
        return blocks.file_sink(SAMPLE_BYTES, str(profile.path), False)
    except RuntimeError as exc:
        raise LinkError(f"cannot write samples to {profile.path}: {exc}") from exc


@source_kind("vector")
def _vector_source(profile: RadioProfile) -> Any:
    if profile.samples is None:
        raise ConfigError("a source of kind 'vector' needs samples")
    return _player(profile, np.asarray(profile.samples, np.complex64))


@sink_kind("vector")
def _vector_sink(_profile: RadioProfile) -> Any:
    from gnuradio import blocks

    return blocks.vector_sink_c()
