# SPDX-License-Identifier: GPL-3.0-or-later
"""The whole link with NumPy alone: the three processes in an environment in which GNU Radio cannot be imported."""

from __future__ import annotations

import threading
from pathlib import Path

import numpy as np
import pytest
from no_gnuradio import hide_gnuradio
from PIL import Image

from gened.errors import CodecError
from gened.gr_blocks.phy.channel.config import ChannelConfig
from gened.link.config import AirConfig, EditConfig, LoopbackConfig, ReceiveConfig, TransmitConfig
from gened.link.control import free_ports
from gened.link.loopback import run_loopback
from gened.models.codecs.encode_options import EncodeOptions

CAPTION = "a gradient — für Prüfzwecke"


@pytest.fixture
def photo(tmp_path: Path) -> Path:
    y, x = np.mgrid[0:96, 0:128]
    Image.fromarray(np.stack([2 * x, 2 * y, 255 - x], axis=2).astype(np.uint8)).save(tmp_path / "photo.png")
    return tmp_path / "photo.png"


@pytest.fixture(autouse=True)
def without_gnuradio(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "hidden"
    folder.mkdir()
    for name, value in hide_gnuradio(folder).items():
        monkeypatch.setenv(name, value)


def link(
    photo: Path, out: Path, *, drop_bursts: tuple[int, ...] = (), edit: EditConfig | None = None, **sending: object
) -> LoopbackConfig:
    tx, rx, tx_control, rx_control = (f"tcp://127.0.0.1:{port}" for port in free_ports(4))
    return LoopbackConfig(
        transmit=TransmitConfig(
            photos=(photo,), captions=(CAPTION,), without_gnuradio=True, address=tx, control=tx_control, **sending
        ),  # type: ignore[arg-type]
        air=AirConfig(
            channel=ChannelConfig(snr_db=10.0, freq_offset_hz=2e4, seed=1), speed=0.0,
            drop_bursts=frozenset(drop_bursts), tx_address=tx, rx_address=rx,
            tx_control=tx_control, rx_control=rx_control,
        ),
        receive=ReceiveConfig(
            address=rx, control=rx_control, timeout_s=60.0, codecs=("softcast",), without_gnuradio=True, edit=edit
        ),
        out=out,
    )  # fmt: skip


def test_frames_cross_and_a_dropped_one_is_reported(photo: Path, tmp_path: Path) -> None:
    config = link(
        photo, tmp_path / "out", n_frames=3, drop_bursts=(1,), edit=EditConfig(editor="none"), station="N0CALL",
        encode=EncodeOptions(snr_db=10.0),
    )  # fmt: skip
    report = run_loopback(config, stop=threading.Event())
    assert [frame.received is not None for frame in report.frames] == [True, False, True]
    assert report.meta["dropped_bursts"] == [{"frame": 1, "burst": 0}] and report.meta["causes"] == {}
    for frame in (report.frames[0], report.frames[2]):
        assert (frame.caption, frame.crc_ok, frame.erased_fraction) == (CAPTION, True, 0)
        assert frame.snr_est_db == pytest.approx(10, abs=1) and frame.cfo_est_hz == pytest.approx(2e4, abs=200)
        assert frame.psnr_db is not None and frame.psnr_db > 25
        assert frame.payload_symbols == (frame.analog_symbols or 0) + (frame.side_symbols or 0) + (
            frame.caption_symbols or 0
        )
        assert frame.edited is False
    names = {file.name for file in (tmp_path / "out").iterdir()}
    assert {"sent.png", "received.png", "side_by_side.png", "constellation.png", "report.json"} <= names


def test_what_the_codec_refuses_ends_the_run_in_its_line(photo: Path, tmp_path: Path) -> None:
    config = link(photo, tmp_path / "out", encode=EncodeOptions(refine_steps=3))
    with pytest.raises(CodecError, match="softcast"):
        run_loopback(config, stop=threading.Event())
