# SPDX-License-Identifier: GPL-3.0-or-later
"""Every kind gives blocks that offer what the protocols name, and a new kind is one file and one line."""

from __future__ import annotations

import inspect
import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import pytest
from gnuradio import blocks, gr

from gened.errors import ConfigError
from gened.flowgraphs.radios import registry
from gened.flowgraphs.radios.iio import pluto_receiver
from gened.flowgraphs.radios.profiles import RadioProfile
from gened.flowgraphs.radios.protocols import RadioSink, RadioSource
from gened.flowgraphs.radios.registry import make_sink, make_source, sink_kind, source_kind
from gened.flowgraphs.radios.uhd import usrp_receiver
from gened.flowgraphs.radios.wrapped import wrapped_sink, wrapped_source

SAMPLES = np.ones(100, np.complex64)


def members(protocol: type) -> set[str]:
    return {name for name, _ in inspect.getmembers(protocol) if not name.startswith("_")}


def sources(folder: Path) -> list[RadioProfile]:
    SAMPLES.tofile(folder / "samples.c64")
    return [
        RadioProfile(kind="vector", samples=SAMPLES),
        RadioProfile(kind="vector", samples=SAMPLES, is_paced=True),
        RadioProfile(kind="file", path=folder / "samples.c64"),
        RadioProfile(kind="zeromq", address="tcp://127.0.0.1:59342"),
        RadioProfile(kind="tap", address="tcp://127.0.0.1:59342"),
    ]


def test_every_source_offers_what_the_protocol_names(tmp_path: Path) -> None:
    for profile in sources(tmp_path):
        source = make_source(profile)
        assert all(hasattr(source, name) for name in members(RadioSource)), profile.kind
        source.poll()
        source.hold_while(lambda: False)
        assert source.events.counts() == {}
        assert source.n_samples == (None if profile.kind in ("zeromq", "tap") else 100)
        assert source.can_wait == (profile.kind in ("vector", "file") and not profile.is_paced)


def test_every_sink_offers_what_the_protocol_names(tmp_path: Path) -> None:
    for profile in (
        RadioProfile(kind="vector"),
        RadioProfile(kind="file", path=tmp_path / "out.c64"),
        RadioProfile(kind="zeromq", address="tcp://127.0.0.1:59343"),
    ):
        sink = make_sink(profile)
        assert all(hasattr(sink, name) for name in members(RadioSink)), profile.kind
        sink.arm()
        sink.mute()
        sink.poll()
        assert (sink.where, sink.failure, sink.n_clipped, sink.n_taken, sink.tail_s) == ("", None, 0, 0, 0.0)


def test_the_sources_of_radios_offer_what_the_protocol_names() -> None:
    device = SimpleNamespace(_rxadc=SimpleNamespace(reg_read=lambda _: 0))
    for source in (
        pluto_receiver(blocks.null_source(8), device, "a radio"),
        usrp_receiver(blocks.null_source(8), 1e6, "a radio"),
        wrapped_source(blocks.null_source(8), "a radio"),
    ):
        assert all(hasattr(source, name) for name in members(RadioSource))
        source.poll()
        assert (source.n_samples, source.can_wait, source.events.counts()) == (None, False, {})


def test_a_sink_counts_what_its_block_has_taken() -> None:
    sink, tb = make_sink(RadioProfile(kind="vector")), gr.top_block()
    source = blocks.vector_source_c(SAMPLES.tolist())
    tb.connect(source, sink)
    tb.run()
    assert sink.n_taken == 100


def test_a_new_kind_is_one_file_and_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(registry, "_SOURCES", dict(registry._SOURCES))
    monkeypatch.setattr(registry, "_SINKS", dict(registry._SINKS))
    pigeon: Any = ModuleType("pigeon")
    monkeypatch.setitem(sys.modules, "pigeon", pigeon)
    monkeypatch.setattr(registry, "MODULES", (*registry.MODULES, "pigeon"))
    source_kind("pigeon")(lambda _: wrapped_source(blocks.null_source(8)))
    sink_kind("pigeon")(lambda _: wrapped_sink(blocks.null_sink(8)))
    assert make_source(RadioProfile(kind="pigeon")).n_samples is None
    assert make_sink(RadioProfile(kind="pigeon")).where == ""
    monkeypatch.undo()
    with pytest.raises(ConfigError, match="no source of kind 'pigeon'"):
        make_source(RadioProfile(kind="pigeon"))
