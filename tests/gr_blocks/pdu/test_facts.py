# SPDX-License-Identifier: GPL-3.0-or-later
"""Facts of a frame: from records to the wire and back, and what a hostile wire gives."""

from __future__ import annotations

import dataclasses
import json
from typing import Any

import pytest

from gened.gr_blocks.pdu.facts import FrameFacts, SentFacts
from gened.hostile import HostileError

FULL = {
    "frame": 3, "session": 77, "codec_id": 2**32 - 1, "height": 64, "width": 96, "rate_num": 1, "rate_den": 24,
    "snr_design_db": 10.0, "caption": "a ramp \N{EN DASH} ü", "analog_symbols": 768, "side_symbols": 12,
    "caption_symbols": 96, "on_air_samples": 6000, "n_bursts": 1, "n_bursts_received": 1, "has_text": True,
    "station": "N0CALL", "crc_ok": True, "snr_est_db": 9.5, "snr_set_db": 10.0, "evm_db": -12.5,
    "noise_var_mean": 0.1, "cfo_est_cps": 0.02, "cfo_est_hz": 20_000.0, "cfo_set_hz": 20_000.0, "sfo_est_ppm": -1.5,
    "airtime_s": 0.006, "erased_fraction": 0.0, "codec": "softcast", "decode_ms": 4.5, "is_lost": False,
    "received": "received-0003.png", "mask": "received-0003-mask.png", "edited": False, "edit_reason": "too slow",
    "edit_failed": True,
    "edit_backend": "embedded", "editor_ms": 30.5, "edited_picture": "edited-0003.png",
    "error": "no codec", "error_code": "other-weights", "caption_partial": "a \N{REPLACEMENT CHARACTER}",
}  # fmt: skip


def test_every_entry_crosses_the_wire_under_its_name() -> None:
    facts = FrameFacts.from_wire(json.loads(json.dumps(FULL)))
    assert facts.to_wire() == FULL
    assert len(FULL) == len(dataclasses.fields(FrameFacts))
    assert facts.cfo_est_norm == 0.02
    assert facts.key == (77, 3)


def test_what_is_not_known_is_none_and_absent_on_the_wire() -> None:
    facts = FrameFacts.from_wire({"frame": 1, "snr_est_db": float("nan"), "evm_db": None, "unknown": 5})
    assert facts == FrameFacts(frame=1)
    assert facts.to_wire() == {"frame": 1}


@pytest.mark.parametrize(
    "change",
    [
        {"frame": None}, {"frame": -1}, {"frame": 65536}, {"frame": "1"}, {"frame": True}, {"crc_ok": 1},
        {"erased_fraction": 1.5}, {"height": 0}, {"width": 4097}, {"caption": b"x"}, {"caption": "x" * 65537},
        {"received": 5}, {"decode_ms": "4"}, {"n_bursts": 257}, {"cfo_est_cps": []}, {"rate_den": 0},
    ],
)  # fmt: skip
def test_a_hostile_wire_gives_an_error_that_names_the_entry(change: dict[str, Any]) -> None:
    with pytest.raises(HostileError, match=f"a frame's facts, '{next(iter(change))}'"):
        FrameFacts.from_wire(FULL | change)


def test_a_senders_facts_cross_the_wire() -> None:
    wire = {
        "frame": 0, "photo": 2, "name": "kodim01", "sent": "sent-0002.png", "text_mode": "qpsk-1/2",
        "side_mode": "bpsk-1/2", "payload_symbols": 876, "encode_ms": 12.5, "analog_symbols": 768,
    }  # fmt: skip
    assert SentFacts.from_wire(wire).to_wire() == wire
    with pytest.raises(HostileError, match="'encode_ms'"):
        SentFacts.from_wire(wire | {"encode_ms": "long"})


def test_facts_are_small_since_a_receiver_keeps_those_of_every_frame() -> None:
    assert not hasattr(FrameFacts(frame=1), "__dict__")
