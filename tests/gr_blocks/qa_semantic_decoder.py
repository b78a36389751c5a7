# SPDX-License-Identifier: GPL-3.0-or-later
"""semantic_decoder: received frames to pictures through the worker."""

from __future__ import annotations

import os
from fractions import Fraction
from pathlib import Path
from typing import Any

import failing_plugins
import numpy as np
import pytest
from waiting import wait_until

from gened.errors import DecoderError
from gened.gr_blocks import semantic_decoder as module
from gened.gr_blocks.pdu.frame_pdus import picture_from_pdu, received_to_pdu, report_from_pdu
from gened.gr_blocks.phy.types import ImageSize, Received, ReceivedFrame
from gened.gr_blocks.semantic_decoder import semantic_decoder
from gened.models.serving.worker import CODEC_SERVICE, Worker

CODEC_ID = 0xFEDCBA98


def message(
    codec_id: int = CODEC_ID,
    number: int = 2,
    n_symbols: int = 256,
    size: tuple[int, int] = (64, 96),
    side_info: bytes = b"t",
) -> Any:
    """A received thumbnail: a slope from black to white."""
    symbols = ((np.arange(n_symbols) - 127.5) / 64).astype(np.complex64)
    received = Received(symbols, np.ones(n_symbols, np.float32), side_info, ImageSize(*size), Fraction(1, 24), 10.0)
    return received_to_pdu(
        ReceivedFrame(
            session=1, number=number, codec_id=codec_id, text=None, has_text=False, n_bursts=1, n_bursts_received=1,
            snr_est_db=9.5, cfo_est_norm=0.0, sfo_est_ppm=0.0, on_air_samples=1000, text_symbols=0, side_symbols=0,
            received=received,
        )
    )  # fmt: skip


def test_a_frame_becomes_a_picture_with_its_facts(bench: Any, shared_worker: Any) -> None:
    block = semantic_decoder(worker=shared_worker)
    frames, pictures = bench.source_of(block, "frames"), bench.sink_of(block, "pictures")
    bench.start()
    frames.send(message())
    image, meta = picture_from_pdu(pictures.wait(1)[0])
    assert image.shape == (64, 96, 3)
    assert abs(int(image[0, 0, 0]) - 0) <= 1
    assert abs(int(image[-1, -1, 0]) - 255) <= 1
    assert (meta["frame"], meta["session"], meta["codec"], meta["snr_est_db"]) == (2, 1, "thumbnail", 9.5)
    assert "noise_var" not in meta


def test_what_the_codec_tells_of_importance_goes_with_the_picture(bench: Any, shared_worker: Any) -> None:
    block = semantic_decoder(worker=shared_worker)
    frames, pictures = bench.source_of(block, "frames"), bench.sink_of(block, "pictures")
    bench.start()
    frames.send(message(side_info=b"m"))
    frames.send(message())
    with_mask, without = (picture_from_pdu(each)[1] for each in pictures.wait(2))
    assert with_mask["mask"].shape == (64, 96) and with_mask["mask"].min() == 255
    assert "mask" not in without


@pytest.mark.parametrize(
    ("codec_id", "n_symbols"), [(5, 256), (CODEC_ID, 100)], ids=["unknown codec", "too few symbols"]
)
def test_a_frame_that_cannot_be_decoded_is_reported(
    bench: Any, shared_worker: Any, codec_id: int, n_symbols: int
) -> None:
    block = semantic_decoder(worker=shared_worker)
    frames, reports = bench.source_of(block, "frames"), bench.sink_of(block, "reports")
    bench.start()
    frames.send(message(codec_id, n_symbols=n_symbols))
    report = report_from_pdu(reports.wait(1)[0])
    assert report["frame"] == 2
    assert report["error"]
    assert block.stats() == {"n_failed": 1}


@pytest.mark.parametrize(
    ("fault", "reason"),
    [
        ("hangs", "longer than 2 s"),
        ("allocates", "MemoryError"),
        ("dies", f"exit code {failing_plugins.EXIT_CODE}"),
        ("channels last", "picture"),
        ("half the size", "picture"),
        ("bytes", "uint8"),
        ("complex", "complex64"),
        ("not finite", "nan"),
        ("a list", "list"),
        ("nothing", "decode returned"),
        ("no record", "decode returned"),
        ("a mask of another size", "mask"),
        ("a confidence of another size", "confidence"),
    ],
)
def test_a_codec_that_fails_costs_its_frames_alone(
    bench: Any, fault: str, reason: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    failing_plugins.install(tmp_path)
    monkeypatch.setenv("PYTHONPATH", f"{failing_plugins.FOLDER}{os.pathsep}{tmp_path}")
    service = {"codecs": ("failing",), "options": {"failing": {"fault": fault}}}
    with Worker(CODEC_SERVICE, service) as worker:
        worker.call("ready")
        worker._timeout_s = 2.0 if fault == "hangs" else worker._timeout_s  # not for the start, slow on a busy machine
        block = semantic_decoder(worker=worker)
        frames, reports = bench.source_of(block, "frames"), bench.sink_of(block, "reports")
        bench.start()
        frames.send(message(failing_plugins.FailingCodec.codec_id))
        report = report_from_pdu(reports.wait(1)[0])
        assert reason in report["error"] and report["error_code"] == DecoderError.code
        assert block.stats() == {"n_failed": 1}


def test_pictures_in_wait_are_bounded_by_their_size(
    bench: Any, shared_worker: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "MAX_QUEUED_PIXELS", 100 * 100)
    block = semantic_decoder(worker=shared_worker)
    frames, reports = bench.source_of(block, "frames"), bench.sink_of(block, "reports")
    pictures = bench.sink_of(block, "pictures")
    bench.start()
    frames.send(message(size=(512, 512)))
    assert "queue is full" in report_from_pdu(reports.wait(1)[0])["error"]
    for number in range(3):  # what was refused is not counted against those that follow
        frames.send(message(number=number))
        assert len(pictures.wait(number + 1)) == number + 1


def test_a_worker_that_dies_costs_one_picture(bench: Any, thumbnail_worker: Any) -> None:
    block = semantic_decoder(worker=thumbnail_worker)
    frames, pictures = bench.source_of(block, "frames"), bench.sink_of(block, "pictures")
    bench.start()
    thumbnail_worker.submit("die", lambda _: None)
    frames.send(message())
    assert len(pictures.wait(1)) == 1


def test_frames_that_wait_at_the_end_are_no_failures(bench: Any, thumbnail_worker: Any, tmp_path: Path) -> None:
    block = semantic_decoder(worker=thumbnail_worker)
    frames, reports = bench.source_of(block, "frames"), bench.sink_of(block, "reports")
    bench.start()
    begun, never = tmp_path / "begun", tmp_path / "never"
    thumbnail_worker.submit("hold", lambda _: None, begun=str(begun), released=str(never))
    assert wait_until(begun.exists)
    frames.send(message())
    assert wait_until(lambda: thumbnail_worker.n_pending == 2)
    thumbnail_worker.close()
    assert wait_until(lambda: thumbnail_worker.n_pending == 0)
    assert block.stats() == {} and reports.messages == []


def test_hostile_messages_are_counted_and_the_next_frame_is_decoded(
    bench: Any, shared_worker: Any, hostile: Any
) -> None:
    block = semantic_decoder(worker=shared_worker)
    frames, pictures = bench.source_of(block, "frames"), bench.sink_of(block, "pictures")
    bench.start()
    frames.send(hostile)
    frames.send(message())
    assert len(pictures.wait(1)) == 1
    assert block.stats() == {"n_bad_pdus": 1, "n_decoded": 1}
