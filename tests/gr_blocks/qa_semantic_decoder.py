# SPDX-License-Identifier: GPL-3.0-or-later
"""semantic_decoder: received frames to pictures through the worker."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import numpy as np
import pytest

from gened.gr_blocks import semantic_decoder as module
from gened.gr_blocks.pdu.frame_pdus import picture_from_pdu, received_to_pdu, report_from_pdu
from gened.gr_blocks.phy.types import ImageSize, Received, ReceivedFrame
from gened.gr_blocks.semantic_decoder import semantic_decoder

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
