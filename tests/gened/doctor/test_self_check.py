# SPDX-License-Identifier: GPL-3.0-or-later
"""The self-check finds what is broken, and passes what is whole."""

from __future__ import annotations

import socket

import pytest

from gened.doctor import self_check
from gened.gr_blocks.phy.channel.config import ChannelConfig


def test_a_good_burst_passes() -> None:
    item = self_check._tried("burst", lambda: self_check._trial(4.0), "")
    assert item.is_ok and "20000 Hz" in item.text


def test_a_burst_that_does_not_arrive_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(self_check, "ChannelConfig", lambda **_: ChannelConfig(snr_db=-30))
    item = self_check._tried("burst", lambda: self_check._trial(4.0), "why")
    assert not item.is_ok and item.text == "0 of 1 frames, or its caption was lost; why"


def test_a_missing_package_is_told_with_its_remedy() -> None:
    item = self_check._tried("tool", lambda: self_check._package("no_such_module", "tool"), "pip install tool")
    assert not item.is_ok and "no_such_module" in item.text and item.text.endswith("pip install tool")


def test_a_port_in_use_is_told() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        item = self_check._tried("port", lambda: self_check._port(taken.getsockname()[1]), "")
    assert not item.is_ok and "in use" in item.text
