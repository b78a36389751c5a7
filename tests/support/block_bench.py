# SPDX-License-Identifier: GPL-3.0-or-later
"""Flowgraphs for one block at a time, as fixtures for the tests of the blocks."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pmt
import pytest
from gnuradio import gr
from waiting import wait_until

from gened.gr_blocks.pdu.message_block import MessageBlock
from gened.gr_blocks.phy.framing.records import Records, pack_records
from gened.gr_blocks.phy.types import Encoded, Frame, ImageSize
from gened.models.serving.worker import Worker

FOLDER = Path(__file__).resolve().parent
CODEC_ID = 0xFEDCBA98  # of thumbnail_service
SERVICE = "thumbnail_service:ThumbnailService"


class Probe(MessageBlock):
    """Collects what a message port sends, and sends what a test gives it."""

    def __init__(self) -> None:
        self.messages: list[Any] = []
        super().__init__("probe", {"in": self.messages.append}, ("out",))

    def send(self, message: Any) -> None:
        self.publish("out", message)

    def wait(self, n: int, timeout_s: float = 60.0) -> list[Any]:
        wait_until(lambda: len(self.messages) >= n, timeout_s)
        return self.messages


class Bench:
    """A flowgraph that is stopped when the test is over."""

    def __init__(self) -> None:
        self.tb = gr.top_block(catch_exceptions=True)
        self.is_running = False
        self.kept: list[
            Any
        ] = []  # a flowgraph keeps no Python block alive; one that is collected while it runs crashes

    def source_of(self, block: Any, port: str) -> Probe:
        """A probe whose `send` reaches an input port of the block."""
        probe = Probe()
        self.kept += [probe, block]
        self.tb.msg_connect(probe, "out", block, port)
        return probe

    def sink_of(self, block: Any, port: str) -> Probe:
        """A probe that collects what an output port of the block sends."""
        probe = Probe()
        self.kept += [probe, block]
        self.tb.msg_connect(block, port, probe, "in")
        return probe

    def start(self) -> None:
        self.tb.start()
        self.is_running = True

    def stop(self) -> None:
        if self.is_running:
            self.tb.stop()
            self.tb.wait()
            self.is_running = False


@pytest.fixture
def make_bench() -> Iterator[Callable[[], Bench]]:
    """Makes flowgraphs, one after another."""
    made: list[Bench] = []

    def make() -> Bench:
        made.append(Bench())
        return made[-1]

    yield make
    for one in made:
        one.stop()


@pytest.fixture
def bench(make_bench: Callable[[], Bench]) -> Bench:
    return make_bench()


@pytest.fixture
def thumbnail_worker(monkeypatch: pytest.MonkeyPatch) -> Iterator[Worker]:
    """A worker with a codec that needs no weights."""
    monkeypatch.setenv("PYTHONPATH", str(FOLDER))
    with Worker(SERVICE, queue_len=2) as worker:
        yield worker


@pytest.fixture(scope="session")
def shared_worker() -> Iterator[Worker]:
    """The same, started once for all tests that leave it as it was."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", str(FOLDER))
        with Worker(SERVICE, queue_len=2) as worker:
            worker.call("sleep", seconds=0.0)
            yield worker


@pytest.fixture
def until() -> Callable[..., bool]:
    return wait_until


@pytest.fixture
def picture() -> Any:
    """[96, 128, 3] uint8, a slope in each colour."""
    rows, columns = np.mgrid[0:96, 0:128]
    return np.stack([rows * 2, columns, 255 - columns], axis=2).astype(np.uint8)


def make_frame(
    number: int = 0, size: tuple[int, int] = (64, 64), caption: str = "a test picture", seed: int = 1
) -> Frame:
    """A frame of random symbols that fills its budget at rate 1/24."""
    n_symbols = 3 * size[0] * size[1] // 24
    rng = np.random.default_rng(seed)
    symbols = (rng.normal(size=n_symbols) + 1j * rng.normal(size=n_symbols)) / np.sqrt(2)
    return Frame(
        session=77,
        number=number,
        codec_id=CODEC_ID,
        size=ImageSize(*size),
        rate=Fraction(1, 24),
        snr_design_db=10.0,
        encoded=Encoded(symbols.astype(np.complex64), b"s"),
        text=pack_records(Records(caption=caption, station="N0CALL")) if caption else b"",
        text_mode="qpsk-1/2",
    )


@pytest.fixture
def frame_of() -> Callable[..., Frame]:
    return make_frame


HOSTILE = {
    "nil": pmt.PMT_NIL,
    "number": pmt.from_long(3),
    "symbol": pmt.intern("hello"),
    "pair of nils": pmt.cons(pmt.PMT_NIL, pmt.PMT_NIL),
    "pair of numbers": pmt.cons(pmt.from_long(1), pmt.from_long(2)),
    "list for a dictionary": pmt.cons(pmt.list2(pmt.PMT_T, pmt.PMT_F), pmt.init_u8vector(1, [1])),
    "shorts": pmt.cons(pmt.make_dict(), pmt.init_s16vector(2, [1, 2])),
    "empty bytes": pmt.cons(pmt.make_dict(), pmt.init_u8vector(0, [])),
    "empty symbols": pmt.cons(pmt.make_dict(), pmt.init_c32vector(0, [])),
    "nan symbols": pmt.cons(pmt.make_dict(), pmt.init_c32vector(2, [complex("nan"), complex("inf")])),
    "wrong types": pmt.cons(
        pmt.dict_add(
            pmt.dict_add(pmt.make_dict(), pmt.intern("height"), pmt.intern("tall")), pmt.from_long(1), pmt.PMT_T
        ),
        pmt.init_u8vector(3, [1, 2, 3]),
    ),
    "huge size": pmt.cons(
        pmt.dict_add(
            pmt.dict_add(pmt.make_dict(), pmt.intern("height"), pmt.from_long(2**30)),
            pmt.intern("width"),
            pmt.from_long(2**30),
        ),
        pmt.init_u8vector(3, [1, 2, 3]),
    ),
    "tuple": pmt.make_tuple(pmt.PMT_T, pmt.PMT_F),
    "vector": pmt.make_vector(3, pmt.PMT_NIL),
}
"""Hostile messages for a message port: any block may be connected to it."""


@pytest.fixture(params=list(HOSTILE), ids=list(HOSTILE))
def hostile(request: pytest.FixtureRequest) -> Any:
    return HOSTILE[request.param]
