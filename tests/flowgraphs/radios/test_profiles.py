# SPDX-License-Identifier: GPL-3.0-or-later
"""Radio profiles: checked when they are made, and turned into blocks that carry samples."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from gnuradio import blocks, gr

from gened.errors import ConfigError, LinkError
from gened.flowgraphs.radios.profiles import RadioProfile
from gened.flowgraphs.radios.registry import make_sink, make_source

SAMPLES = (np.arange(5000) + 1j).astype(np.complex64)


def played(source: Any, n: int) -> Any:
    """The first n samples of a source."""
    tb, head, sink = gr.top_block(), blocks.head(8, n), blocks.vector_sink_c()
    tb.connect(source, head, sink)
    tb.run()
    return np.array(sink.data(), np.complex64)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"sample_rate": 0.0}, "sample_rate"),
        ({"sample_rate": float("nan")}, "sample_rate"),
        ({"address": "localhost:5550"}, "tcp://127.0.0.1:5550"),
        ({"kind": "file"}, "needs a path"),
        ({"kind": "recording"}, "needs a path"),
        ({"kind": "tap", "address": "localhost:5554"}, "tcp://127.0.0.1:5550"),
    ],
)
def test_a_wrong_profile_is_an_error_when_it_is_made(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        RadioProfile(**arguments)


@pytest.mark.parametrize(
    ("maker", "kinds"),
    [
        (make_source, "file, iio, recording, soapy, tap, uhd, vector, zeromq"),
        (make_sink, "file, iio, soapy, uhd, vector, zeromq"),
    ],
)
def test_an_unknown_kind_lists_the_known_ones(maker: Any, kinds: str) -> None:
    with pytest.raises(ConfigError, match=kinds):
        maker(RadioProfile(kind="pigeon"))


def test_a_file_takes_samples_and_gives_them_back(tmp_path: Path) -> None:
    profile = RadioProfile(kind="file", path=tmp_path / "samples.c64")
    tb, source, sink = gr.top_block(), blocks.vector_source_c(SAMPLES.tolist()), make_sink(profile)
    tb.connect(source, sink)
    tb.run()
    del tb, sink  # closes the file
    assert np.array_equal(np.fromfile(tmp_path / "samples.c64", np.complex64), SAMPLES)
    assert np.array_equal(played(make_source(profile), 5000), SAMPLES)


def test_after_the_last_sample_there_is_silence_and_no_end() -> None:
    source = make_source(RadioProfile(kind="vector", samples=SAMPLES))
    assert source.n_samples == 5000
    samples = played(source, 20_000)
    assert np.array_equal(samples[:5000], SAMPLES)
    assert not samples[5000:].any()


def test_a_paced_source_takes_as_long_as_the_radio_would() -> None:
    samples = np.ones(60_000, np.complex64)
    source = make_source(RadioProfile(kind="vector", samples=samples, is_paced=True, sample_rate=200_000))
    begin = time.monotonic()
    played(source, 60_000)
    assert time.monotonic() - begin > 0.2


def test_a_rest_of_less_than_a_sample_is_left_out(tmp_path: Path) -> None:
    path = tmp_path / "cut.c64"
    path.write_bytes(SAMPLES.tobytes()[:-3])
    assert make_source(RadioProfile(kind="file", path=path)).n_samples == 4999


@pytest.mark.parametrize("name", ["missing.c64", "."])
def test_a_file_that_cannot_be_read_is_an_error(tmp_path: Path, name: str) -> None:
    with pytest.raises(LinkError, match="cannot read samples"):
        source = make_source(RadioProfile(kind="file", path=tmp_path / name))
        played(source, 10)


def test_a_file_that_cannot_be_written_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(LinkError, match="cannot write samples"):
        make_sink(RadioProfile(kind="file", path=tmp_path / "no" / "folder"))


def test_an_address_in_use_is_named() -> None:
    first = make_sink(RadioProfile(address="tcp://127.0.0.1:59341"))
    with pytest.raises(LinkError, match="59341 is in use"):
        make_sink(RadioProfile(address="tcp://127.0.0.1:59341"))
    del first
