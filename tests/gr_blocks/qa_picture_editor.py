# SPDX-License-Identifier: GPL-3.0-or-later
"""picture_editor: pictures out to an editor and back, in their order, whatever becomes of it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from gened.errors import ConfigError
from gened.gr_blocks.pdu.frame_pdus import picture_from_pdu, picture_to_pdu
from gened.gr_blocks.picture_editor import picture_editor
from gened.models.editing.base import EditResult, EditTask


class Desk:
    """In the place of a client: keeps the requests until a test answers them."""

    def __init__(self) -> None:
        self.requests: list[tuple[EditTask, Callable[[EditResult], None]]] = []

    def submit(self, request: EditTask, callback: Callable[[EditResult], None]) -> None:
        self.requests.append((request, callback))

    def answer(self, index: int, *, edited: bool = True) -> None:
        request, callback = self.requests[index]
        callback(EditResult(255 - request.pixels, 0.25, "desk") if edited else request.unedited("too dark"))


def pdu(picture: Any, number: int = 0, **facts: Any) -> Any:
    mask = facts.pop("mask", None)
    return picture_to_pdu(picture, {"frame": number, "session": 7, **facts}, mask)


def test_a_picture_goes_out_with_what_is_known_and_comes_back_edited(bench: Any, picture: Any, until: Any) -> None:
    desk = Desk()
    block = picture_editor(strength=0.5, client=desk)  # type: ignore[arg-type]
    pictures, edited = bench.source_of(block, "pictures"), bench.sink_of(block, "pictures")
    bench.start()
    mask = np.full(picture.shape[:2], 255, np.uint8)
    pictures.send(
        pdu(picture, 3, caption="a slope", crc_ok=True, snr_est_db=6.5, noise_var_mean=0.25, mask=mask, name="x")
    )
    assert until(lambda: len(desk.requests) == 1)
    request = desk.requests[0][0]
    assert (request.text, request.snr_est_db, request.noise_var_mean) == ("a slope", 6.5, 0.25)
    assert request.strength == 0.5 and request.mask is not None and request.mask.min() == 255
    desk.answer(0)
    image, meta = picture_from_pdu(edited.wait(1)[0])
    np.testing.assert_array_equal(image, 255 - picture)
    assert (meta["frame"], meta["name"], meta["edited"], meta["edit_reason"]) == (3, "x", True, None)
    assert meta["editor_ms"] == 250 and meta["edit_backend"] == "desk" and meta["mask"].shape == mask.shape


def test_pictures_leave_in_their_order_whatever_comes_back_first(bench: Any, picture: Any, until: Any) -> None:
    desk = Desk()
    block = picture_editor(client=desk)  # type: ignore[arg-type]
    pictures, edited = bench.source_of(block, "pictures"), bench.sink_of(block, "pictures")
    bench.start()
    for number in range(4):
        pictures.send(pdu(picture, number))
    assert until(lambda: len(desk.requests) == 4)
    for index in (3, 1, 2):
        desk.answer(index, edited=index != 2)
    assert block.n_pending == 4 and not edited.messages
    desk.answer(0)
    facts = [picture_from_pdu(message)[1] for message in edited.wait(4)]
    assert [fact["frame"] for fact in facts] == [0, 1, 2, 3]
    assert [fact["edited"] for fact in facts] == [True, True, False, True]
    assert facts[2]["edit_reason"] == "too dark"
    assert block.n_pending == 0 and block.stats() == {"n_edited": 3, "n_unedited": 1}


def test_words_that_are_damaged_and_figures_that_are_none_are_not_passed_on(
    bench: Any, picture: Any, until: Any
) -> None:
    desk = Desk()
    block = picture_editor(client=desk)  # type: ignore[arg-type]
    pictures = bench.source_of(block, "pictures")
    bench.start()
    pictures.send(pdu(picture, caption="rubbish", crc_ok=False, snr_est_db=float("nan"), noise_var_mean=float("inf")))
    assert until(lambda: len(desk.requests) == 1)
    request = desk.requests[0][0]
    assert request.text == "" and request.snr_est_db is None and request.noise_var_mean is None


def test_without_a_service_pictures_are_passed_on_as_they_came(bench: Any, picture: Any) -> None:
    block = picture_editor("tcp://127.0.0.1:9", timeout_s=0.5)
    pictures, edited = bench.source_of(block, "pictures"), bench.sink_of(block, "pictures")
    bench.start()
    pictures.send(pdu(picture, 1))
    image, meta = picture_from_pdu(edited.wait(1)[0])
    np.testing.assert_array_equal(image, picture)
    assert not meta["edited"] and "127.0.0.1:9" in meta["edit_reason"]


def test_hostile_messages_are_counted_and_the_next_picture_is_edited(
    bench: Any, picture: Any, hostile: Any, until: Any
) -> None:
    desk = Desk()
    block = picture_editor(client=desk)  # type: ignore[arg-type]
    pictures = bench.source_of(block, "pictures")
    bench.start()
    pictures.send(hostile)
    pictures.send(pdu(picture))
    assert until(lambda: len(desk.requests) == 1)
    assert block.stats() == {"n_bad_pdus": 1}


def test_a_strength_out_of_range_is_refused() -> None:
    with pytest.raises(ConfigError, match="from 0 to 1"):
        picture_editor(strength=2.0)
