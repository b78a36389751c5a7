# SPDX-License-Identifier: GPL-3.0-or-later
"""The loopback over a radio that is a program: the real drivers, a virtual Pluto that is started for the run."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

pytest.importorskip("gnuradio", reason="the link's ends are GNU Radio flowgraphs")

from gened.errors import ConfigError, LinkError
from gened.gr_blocks.phy.channel.config import ChannelConfig
from gened.hw_config.profile import load_profile
from gened.link.config import LoopbackConfig, ReceiveConfig, TransmitConfig
from gened.link.control import free_ports_in_a_row
from gened.link.events import Ready
from gened.link.link_errors import NoFrameError
from gened.link.loopback import run_loopback
from gened.link.radio_link import RadioLink, radio_link, virtual_link

PORT = 31000
PAIR = {"rx.address": "ip:127.0.0.1:30432"}


def test_a_virtual_profile_gets_a_pluto_of_its_own_with_the_air_as_it_was_asked_for() -> None:
    link = virtual_link("virtual-pluto", {}, ChannelConfig(snr_db=7.0, freq_offset_hz=300.0), PORT)
    assert link.pluto is not None and (link.pluto.port, link.pluto.is_pair) == (PORT, False)
    assert link.tx.address == link.rx.address == f"ip:127.0.0.1:{PORT}"
    assert (link.snr_set_db, link.cfo_set_hz, link.sample_rate) == (7.0, 300.0, 1e6)


def test_two_addresses_are_a_pair() -> None:
    link = virtual_link("virtual-pluto", PAIR, ChannelConfig(), PORT)
    assert link.pluto is not None and link.pluto.is_pair
    assert (link.tx.address, link.rx.address) == (f"ip:127.0.0.1:{PORT}", f"ip:127.0.0.1:{PORT + 1}")


@pytest.mark.parametrize(
    ("settings", "snr_db", "cfo_hz"),
    [
        ({"tx.gain_db": "-16"}, 4.0, 0.0),
        ({"tx.backoff_db": "15"}, 7.0, 0.0),
        ({"tx.gain_db": "-4", "tx.backoff_db": "15"}, 13.0, 0.0),
        ({"tx.center_freq": "2449.6e6"}, 10.0, 1e5),
        ({"rx.freq_correction_ppm": "2"}, 10.0, -4899.0),
    ],
)
def test_what_the_profile_changes_is_told_as_set(settings: dict[str, str], snr_db: float, cfo_hz: float) -> None:
    link = virtual_link("virtual-pluto", settings, ChannelConfig(snr_db=10.0), PORT)
    assert link.snr_set_db == pytest.approx(snr_db)
    assert link.cfo_set_hz == pytest.approx(cfo_hz, abs=1)


def test_a_hardware_radio_needs_permission_and_nothing_is_set_there() -> None:
    with pytest.raises(ConfigError, match="nothing was sent"):
        radio_link(load_profile("pluto"), may_transmit=False)
    link = radio_link(load_profile("pluto-pair"), may_transmit=True)
    assert link.pluto is None and link.snr_set_db is None and link.cfo_set_hz is None
    assert link.tx.may_transmit and not link.rx.may_transmit


def test_one_usrp_cannot_be_opened_by_two_processes() -> None:
    with pytest.raises(ConfigError, match="name two devices"):
        radio_link(load_profile("usrp-b200"), may_transmit=True)
    two = load_profile("usrp-b200", {"tx.address": "type=b200,serial=1", "rx.address": "type=b200,serial=2"})
    assert radio_link(two, may_transmit=True).tx.address != radio_link(two, may_transmit=True).rx.address


def test_a_loopback_has_an_air_or_a_radio(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="an air or a radio"):
        LoopbackConfig(transmit=TransmitConfig(photos=(tmp_path,)), receive=ReceiveConfig(), out=tmp_path)


def run(tmp_path: Path, link: RadioLink, *, n_frames: int, told: list[tuple[str, Any]] | None = None) -> Any:
    photo = tmp_path / "photo.png"
    y, x = np.mgrid[0:96, 0:128]
    Image.fromarray(np.stack([2 * x, 2 * y, 128 + 0 * x], 2).astype(np.uint8)).save(photo)
    config = LoopbackConfig(
        transmit=TransmitConfig(
            photos=(photo,), n_frames=n_frames, codec="softcast", captions=("a wall",),
            device="numpy",
        ),
        receive=ReceiveConfig(codecs=("softcast",), timeout_s=60.0),
        radio=link,
        out=tmp_path / "out",
    )  # fmt: skip
    return run_loopback(
        config,
        stop=threading.Event(),
        on_progress=lambda role, event: (told if told is not None else []).append((role, event)),
    )


@pytest.mark.parametrize("settings", [{}, PAIR], ids=["alone", "pair"])
def test_pictures_cross_the_virtual_pluto_at_the_snr_and_offset_that_were_set(
    tmp_path: Path, settings: dict[str, str]
) -> None:
    pytest.importorskip("gnuradio.iio", exc_type=ImportError)
    pytest.importorskip("adi", reason="an extra: radio")
    told: list[tuple[str, Any]] = []
    channel = ChannelConfig(snr_db=15.0, freq_offset_hz=4899.0, seed=1)
    link = virtual_link("virtual-pluto", settings, channel, free_ports_in_a_row(2))
    report = run(tmp_path, link, n_frames=3, told=told)
    arrived = [frame for frame in report.frames if frame.received is not None]
    assert len(report.frames) == 3 and len(arrived) >= 2  # a busy machine may lose one to its own lateness
    for frame in arrived:
        assert frame.crc_ok and frame.caption == "a wall"
        assert (frame.snr_set_db, frame.cfo_set_hz) == (15.0, 4899.0)
        assert frame.snr_est_db == pytest.approx(15.0, abs=1.5)
        assert frame.cfo_est_hz == pytest.approx(4899.0, abs=100)
    assert [role for role, event in told if isinstance(event, Ready)] == ["pluto", "receive", "transmit"]


def test_a_radio_that_is_not_there_is_told_and_no_process_stays(tmp_path: Path) -> None:
    pytest.importorskip("gnuradio.iio", exc_type=ImportError)
    pytest.importorskip("adi", reason="an extra: radio")
    hardware = load_profile("pluto", {"address": f"ip:127.0.0.1:{free_ports_in_a_row(1)}"})
    with pytest.raises(LinkError, match="nobody answers"):
        run(tmp_path, radio_link(hardware, may_transmit=True), n_frames=1)


def test_silence_is_told_as_no_frame(tmp_path: Path) -> None:
    pytest.importorskip("gnuradio.iio", exc_type=ImportError)
    pytest.importorskip("adi", reason="an extra: radio")
    link = virtual_link("virtual-pluto", {"tx.gain_db": "null"}, ChannelConfig(snr_db=10.0), free_ports_in_a_row(2))
    with pytest.raises(NoFrameError):
        run(tmp_path, link, n_frames=1)
