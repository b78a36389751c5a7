# SPDX-License-Identifier: GPL-3.0-or-later
"""The receiver's process: what its configuration reaches."""

from __future__ import annotations

import threading
from typing import Any

import pytest

from gened.errors import LinkError
from gened.link import numpy_receiver
from gened.link.config import ReceiveConfig
from gened.link.receive import run_receive
from gened.models.serving.worker import Worker


def test_the_number_of_threads_reaches_the_process_that_decodes(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("gnuradio", reason="the receiver is a flowgraph")
    from gened.flowgraphs import receiver

    seen: list[int | None] = []

    class Decoder(receiver.semantic_decoder):
        def __init__(self, codecs: Any, **options: Any) -> None:
            super().__init__(codecs, **options)
            seen.append(self.worker._n_threads)
            raise LinkError("seen enough")

    monkeypatch.setattr(receiver, "semantic_decoder", Decoder)
    with pytest.raises(LinkError, match="seen enough"):
        run_receive(ReceiveConfig(threads=7), stop=threading.Event())
    assert seen == [7]


def test_it_reaches_the_process_of_the_receiver_without_gnuradio(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[int | None] = []

    class Recorded(Worker):
        def __init__(self, *arguments: Any, n_threads: int | None = None, **options: Any) -> None:
            seen.append(n_threads)
            raise LinkError("seen enough")

    monkeypatch.setattr(numpy_receiver, "Worker", Recorded)
    with pytest.raises(LinkError, match="seen enough"):
        run_receive(ReceiveConfig(threads=7, without_gnuradio=True), stop=threading.Event())
    assert seen == [7]
