# SPDX-License-Identifier: GPL-3.0-or-later
"""semantic_encoder: pictures to encoded PDUs through the worker."""

from __future__ import annotations

import os
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sharpening_codec import SharpeningOptions, install

from gened.errors import FrameError
from gened.gr_blocks.pdu.frame_pdus import encoded_from_pdu, picture_to_pdu, report_from_pdu
from gened.gr_blocks.semantic_encoder import semantic_encoder
from gened.models.codecs.encode_options import EncodeOptions


def test_a_picture_becomes_a_frame_that_describes_it(bench: Any, shared_worker: Any, picture: Any) -> None:
    block = semantic_encoder("thumbnail", "1/12", 7.2, session=5, worker=shared_worker)
    pictures, encoded = bench.source_of(block, "pictures"), bench.sink_of(block, "encoded")
    bench.start()
    pictures.send(picture_to_pdu(picture, {"caption": "slopes"}))
    frame, meta = encoded_from_pdu(encoded.wait(1)[0])
    assert (frame.session, frame.number, frame.codec_id) == (5, 0, 0xFEDCBA98)
    assert (frame.size, frame.rate, frame.snr_design_db) == (
        (96, 128),
        Fraction(1, 12),
        7.0,
    )  # half decibels, as the header
    assert len(frame.encoded.symbols) == 256
    assert frame.encoded.side_info == b"t"
    assert meta["caption"] == "slopes"
    assert meta["encode_ms"] == 1.0


def test_what_is_important_and_the_weight_the_steps_and_the_margin_reach_the_codec(
    bench: Any, shared_worker: Any, picture: Any
) -> None:
    block = semantic_encoder("thumbnail", focus=3.5, refine_steps=20, side_margin_db=9, worker=shared_worker)
    pictures, encoded = bench.source_of(block, "pictures"), bench.sink_of(block, "encoded")
    bench.start()
    mask = np.zeros((96, 128), np.uint8)
    mask[:2, :5] = 255
    pictures.send(picture_to_pdu(picture, {"frame": 0}, mask))
    encoded.wait(1)
    block.set_focus(0)  # as Companion says: the codec's own
    pictures.send(picture_to_pdu(picture, {"frame": 1}))
    frames = [encoded_from_pdu(message) for message in encoded.wait(2)]
    assert [frame.encoded.side_info for frame, _ in frames] == [b"10 3.5 20", b"None None 20"]
    assert {frame.encoded.side_mode for frame, _ in frames} == {"bpsk-1/2x2"}
    assert "mask" not in frames[0][1]


def test_a_picture_may_bring_settings_of_its_own(bench: Any, shared_worker: Any, picture: Any) -> None:
    block = semantic_encoder("thumbnail", focus=3.5, worker=shared_worker)
    pictures, encoded = bench.source_of(block, "pictures"), bench.sink_of(block, "encoded")
    bench.start()
    own = EncodeOptions(rate=Fraction(1, 12), snr_db=4.1, refine_steps=2)
    pictures.send(picture_to_pdu(picture, {"encode_options": own.to_text()}))
    encoded.wait(1)
    pictures.send(picture_to_pdu(picture))
    frames = [encoded_from_pdu(message) for message in encoded.wait(2)]
    assert [frame.encoded.side_info for frame, _ in frames] == [b"None None 2", b"None 3.5 0"]
    assert [(frame.rate, frame.snr_design_db) for frame, _ in frames] == [
        (Fraction(1, 12), 4.0), (Fraction(1, 24), 10.0)
    ]  # fmt: skip
    assert "encode_options" not in frames[0][1]


@pytest.mark.parametrize("text", ["{", '{"unheard_of": 1}', '{"refine_steps": 501}', '{"rate": "2"}', 7, "[" * 3000])
def test_settings_that_anybody_wrote_are_dropped_with_their_picture(
    bench: Any, shared_worker: Any, picture: Any, text: Any
) -> None:
    block = semantic_encoder("thumbnail", worker=shared_worker)
    pictures, encoded = bench.source_of(block, "pictures"), bench.sink_of(block, "encoded")
    bench.start()
    pictures.send(picture_to_pdu(picture, {"encode_options": text, "frame": 1}))
    pictures.send(picture_to_pdu(picture, {"frame": 2}))
    assert [encoded_from_pdu(message)[0].number for message in encoded.wait(1)] == [2]


def test_a_setting_that_only_the_codec_knows_passes_through_the_block(
    bench: Any, picture: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    install(tmp_path)
    support = Path(__file__).resolve().parents[1] / "support"
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(tmp_path), str(support)]))
    settings = SharpeningOptions(sharpness=0.5, snr_db=7.0, seed=3)
    block = semantic_encoder("sharpening", options=settings, codec_options={"gain": 2.0})
    pictures, encoded = bench.source_of(block, "pictures"), bench.sink_of(block, "encoded")
    bench.start()
    pictures.send(picture_to_pdu(picture, {"frame": 0}))
    encoded.wait(1)
    own = SharpeningOptions(sharpness=0.25).to_text()
    pictures.send(picture_to_pdu(picture, {"frame": 1, "encode_options": own}))
    told = [encoded_from_pdu(message)[0].encoded.side_info for message in encoded.wait(2)]
    assert told == [b"1/24 7.0 3 0.5 2.0", b"1/24 10.0 1 0.25 2.0"]


def test_a_mask_of_another_size_is_no_picture(bench: Any, shared_worker: Any, picture: Any) -> None:
    block = semantic_encoder("thumbnail", worker=shared_worker)
    pictures, encoded = bench.source_of(block, "pictures"), bench.sink_of(block, "encoded")
    bench.start()
    pictures.send(picture_to_pdu(picture, {"mask": np.zeros(96 * 128 - 1, np.uint8)}))
    pictures.send(picture_to_pdu(picture, {"mask": "white"}))
    pictures.send(picture_to_pdu(picture))
    assert len(encoded.wait(1)) == 1
    assert block.stats() == {"n_bad_pdus": 2, "n_encoded": 1}


def test_frames_are_counted_unless_they_bring_a_number(bench: Any, shared_worker: Any, picture: Any) -> None:
    block = semantic_encoder("thumbnail", worker=shared_worker)
    pictures, encoded = bench.source_of(block, "pictures"), bench.sink_of(block, "encoded")
    bench.start()
    for index, meta in enumerate([{}, {"frame": 65535}, {}]):
        pictures.send(picture_to_pdu(picture, meta))
        encoded.wait(index + 1)
    assert [encoded_from_pdu(message)[0].number for message in encoded.messages] == [0, 65535, 0]


def test_a_full_queue_refuses_a_picture_and_reports_it(
    bench: Any, thumbnail_worker: Any, picture: Any, until: Any
) -> None:
    block = semantic_encoder("thumbnail", worker=thumbnail_worker)
    pictures, reports = bench.source_of(block, "pictures"), bench.sink_of(block, "reports")
    bench.start()
    thumbnail_worker.call("sleep", seconds=0.0)

    def is_full() -> bool:  # one job in work and two in the queue
        thumbnail_worker.submit("sleep", lambda _: None, seconds=1.0)
        return bool(thumbnail_worker.n_pending == 3)

    assert until(is_full)
    pictures.send(picture_to_pdu(picture, {"name": "late"}))
    report = report_from_pdu(reports.wait(1)[0])
    assert report["name"] == "late"
    assert "queue is full" in report["error"]
    assert block.stats()["n_refused"] == 1


def test_an_encoder_that_fails_is_reported_with_its_reason(bench: Any, shared_worker: Any, picture: Any) -> None:
    block = semantic_encoder("broken", worker=shared_worker)
    pictures, reports = bench.source_of(block, "pictures"), bench.sink_of(block, "reports")
    bench.start()
    pictures.send(picture_to_pdu(picture))
    assert report_from_pdu(reports.wait(1)[0])["error"] == "this codec cannot encode"


def test_hostile_messages_are_counted_and_the_next_picture_is_encoded(
    bench: Any, shared_worker: Any, picture: Any, hostile: Any
) -> None:
    block = semantic_encoder("thumbnail", worker=shared_worker)
    pictures, encoded = bench.source_of(block, "pictures"), bench.sink_of(block, "encoded")
    bench.start()
    pictures.send(hostile)
    pictures.send(picture_to_pdu(picture))
    assert len(encoded.wait(1)) == 1
    assert block.stats() == {"n_bad_pdus": 1, "n_encoded": 1}


def test_the_own_worker_starts_and_ends_with_the_flowgraph(bench: Any, until: Any) -> None:
    block = semantic_encoder("softcast")
    bench.source_of(block, "pictures")
    bench.start()
    assert until(lambda: block.worker.pid is not None)
    bench.stop()
    assert block.worker.pid is None


def test_a_rate_that_cannot_be_sent_is_an_error_at_once() -> None:
    with pytest.raises(FrameError, match="rate"):
        semantic_encoder("thumbnail", "3/2")


def test_setters_hold_from_the_next_picture_on(bench: Any, shared_worker: Any, picture: Any) -> None:
    block = semantic_encoder("thumbnail", worker=shared_worker)
    pictures, encoded = bench.source_of(block, "pictures"), bench.sink_of(block, "encoded")
    bench.start()
    block.set_snr_db(3.0)
    block.set_rate("1/48")
    pictures.send(picture_to_pdu(np.ascontiguousarray(picture)))
    frame = encoded_from_pdu(encoded.wait(1)[0])[0]
    assert (frame.snr_design_db, frame.rate) == (3.0, Fraction(1, 48))
