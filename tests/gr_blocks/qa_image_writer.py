# SPDX-License-Identifier: GPL-3.0-or-later
"""image_writer: pictures to PNG files."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from gened.gr_blocks.image_writer import image_writer
from gened.gr_blocks.pdu.frame_pdus import picture_to_pdu, report_from_pdu


def test_a_picture_is_written_without_loss_under_its_numbers(bench: Any, tmp_path: Path, picture: Any) -> None:
    block = image_writer(tmp_path / "made", "got")
    pictures, reports = bench.source_of(block, "pictures"), bench.sink_of(block, "reports")
    bench.start()
    pictures.send(picture_to_pdu(picture, {"session": 513, "frame": 7, "caption": "slopes"}))
    report = report_from_pdu(reports.wait(1)[0])
    assert report["path"] == str(tmp_path / "made" / "got-00513-00007.png")
    assert report["caption"] == "slopes"
    assert np.array_equal(np.array(Image.open(report["path"])), picture)
    assert [path.name for path in (tmp_path / "made").iterdir()] == ["got-00513-00007.png"]


def test_a_mask_is_written_beside_its_picture_and_goes_with_it(bench: Any, tmp_path: Path, picture: Any) -> None:
    block = image_writer(tmp_path, "p", 1)
    pictures, reports = bench.source_of(block, "pictures"), bench.sink_of(block, "reports")
    bench.start()
    mask = np.zeros(picture.shape[:2], np.uint8)
    mask[3:9, 4:7] = 255
    pictures.send(picture_to_pdu(picture, {"frame": 0}, mask))
    report = report_from_pdu(reports.wait(1)[0])
    assert report["mask_path"] == str(tmp_path / "p-00000-00000-mask.png")
    assert np.array_equal(np.array(Image.open(report["mask_path"])), mask)
    pictures.send(picture_to_pdu(picture, {"frame": 1}))
    assert "mask_path" not in report_from_pdu(reports.wait(2)[1])
    assert [path.name for path in tmp_path.iterdir()] == ["p-00000-00001.png"]


def test_a_mask_of_an_earlier_run_does_not_stay_beside_a_new_picture(bench: Any, tmp_path: Path, picture: Any) -> None:
    (tmp_path / "p-00000-00000-mask.png").write_bytes(b"old")
    block = image_writer(tmp_path, "p")
    pictures, reports = bench.source_of(block, "pictures"), bench.sink_of(block, "reports")
    bench.start()
    pictures.send(picture_to_pdu(picture, {"frame": 0}))
    reports.wait(1)
    assert [path.name for path in tmp_path.iterdir()] == ["p-00000-00000.png"]


def test_names_cannot_lead_out_of_the_folder(bench: Any, tmp_path: Path, picture: Any) -> None:
    block = image_writer(tmp_path / "a", "../../etc/x")
    pictures, reports = bench.source_of(block, "pictures"), bench.sink_of(block, "reports")
    bench.start()
    pictures.send(picture_to_pdu(picture, {"session": 1, "frame": 2, "name": "../../../evil"}))
    assert Path(report_from_pdu(reports.wait(1)[0])["path"]).parent == tmp_path / "a"


def test_the_oldest_picture_goes_when_there_are_too_many(bench: Any, tmp_path: Path, picture: Any) -> None:
    block = image_writer(tmp_path, "p", 2)
    pictures, reports = bench.source_of(block, "pictures"), bench.sink_of(block, "reports")
    bench.start()
    for number in range(4):
        pictures.send(picture_to_pdu(picture, {"frame": number}))
    reports.wait(4)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["p-00000-00002.png", "p-00000-00003.png"]


def test_a_frame_that_comes_again_under_its_number_stays(bench: Any, tmp_path: Path, picture: Any) -> None:
    block = image_writer(tmp_path, "p", 2)
    pictures, reports = bench.source_of(block, "pictures"), bench.sink_of(block, "reports")
    bench.start()
    for number in (0, 1, 0):
        pictures.send(picture_to_pdu(picture, {"frame": number}))
    reports.wait(3)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["p-00000-00000.png", "p-00000-00001.png"]


def test_a_folder_that_cannot_be_written_is_counted(bench: Any, tmp_path: Path, picture: Any, until: Any) -> None:
    (tmp_path / "file").write_text("in the way")
    block = image_writer(tmp_path / "file" / "folder")
    pictures = bench.source_of(block, "pictures")
    bench.start()
    pictures.send(picture_to_pdu(picture))
    assert until(lambda: block.stats().get("n_errors") == 1)


def test_hostile_messages_are_counted_and_the_next_picture_is_written(
    bench: Any, tmp_path: Path, picture: Any, hostile: Any
) -> None:
    block = image_writer(tmp_path)
    pictures, reports = bench.source_of(block, "pictures"), bench.sink_of(block, "reports")
    bench.start()
    pictures.send(hostile)
    pictures.send(picture_to_pdu(picture))
    assert len(reports.wait(1)) == 1
    assert block.stats()["n_bad_pdus"] == 1
