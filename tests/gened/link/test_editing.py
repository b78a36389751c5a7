# SPDX-License-Identifier: GPL-3.0-or-later
"""The generative half behind a receiver: pictures edited, or delivered as received when there is no editor any more."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

pytest.importorskip("gnuradio", reason="the link's ends are GNU Radio flowgraphs")
pytest.importorskip("torch", reason="the embedded editor is a network")

from gened.errors import CaptionerError, ConfigError, EditorError
from gened.gr_blocks.pdu.facts import FrameFacts
from gened.gr_blocks.phy.channel.config import ChannelConfig
from gened.link.config import AirConfig, CaptionConfig, EditConfig, LoopbackConfig, ReceiveConfig, TransmitConfig
from gened.link.control import free_ports
from gened.link.describing import Describer
from gened.link.events import LinkEvent
from gened.link.loopback import run_loopback
from gened.models.data.images import load_image


def photograph(path: Path) -> Path:
    y, x = np.mgrid[0:64, 0:96]
    picture = np.stack([255 * x / 96, 255 * y / 64, 128 + 100 * np.sin(x / 9)], axis=2)
    picture[(y - 32) ** 2 + (x - 48) ** 2 < 400] = [230, 60, 40]
    Image.fromarray(picture.astype(np.uint8)).save(path)
    return path


def link(tmp_path: Path, edit: EditConfig | None, **options: Any) -> LoopbackConfig:
    tx, rx, tx_control, rx_control = (f"tcp://127.0.0.1:{port}" for port in free_ports(4))
    photo = photograph(tmp_path / "photo.png")
    options = {"captions": ("a red disc",), **options}
    return LoopbackConfig(
        transmit=TransmitConfig(photos=(photo,), address=tx, control=tx_control, **options),
        air=AirConfig(
            channel=ChannelConfig(snr_db=10.0, seed=1), speed=0.0, tx_address=tx, rx_address=rx, tx_control=tx_control,
            rx_control=rx_control,
        ),
        receive=ReceiveConfig(address=rx, control=rx_control, timeout_s=60.0, codecs=("softcast",), edit=edit),
        out=tmp_path / "out",
    )  # fmt: skip


def test_frames_are_edited_and_both_pictures_kept(tmp_path: Path) -> None:
    out = tmp_path / "out"
    report = run_loopback(link(tmp_path, EditConfig(editor="embedded"), n_frames=2), stop=threading.Event())
    assert [frame.frame for frame in report.frames] == [0, 1]
    for frame in report.frames:
        assert frame.edited is True and frame.edit_reason is None and (frame.editor_ms or 0) > 0
        assert frame.received == f"received-{frame.frame:04d}.png"
        received, edited = (load_image(out / f"{kind}-{frame.frame:04d}.png") for kind in ("received", "edited"))
        assert received.shape == edited.shape and not np.array_equal(received, edited)
    assert (out / "edited.png").read_bytes() == (out / "edited-0000.png").read_bytes()
    without = run_loopback(replace(link(tmp_path, None), out=tmp_path / "plain"), stop=threading.Event())
    assert without.frames[0].edited is None
    pages = [load_image(folder / "side_by_side.png").shape for folder in (out, tmp_path / "plain")]
    assert pages[0][1] > pages[1][1]  # a third picture
    report = run_loopback(replace(link(tmp_path, None), out=out), stop=threading.Event())
    assert not list(out.glob("edited*"))  # of the earlier run


def test_without_a_service_frames_are_delivered_as_received(tmp_path: Path) -> None:
    edit = EditConfig(editor=f"tcp://127.0.0.1:{free_ports(1)[0]}")
    report = run_loopback(link(tmp_path, edit, n_frames=2), stop=threading.Event())
    assert [(frame.frame, frame.edited) for frame in report.frames] == [(0, False), (1, False)]
    assert all("no editor answers" in (frame.edit_reason or "") for frame in report.frames)
    assert report.meta["causes"]["editor fails"] == 2
    assert all(frame.received for frame in report.frames) and not list((tmp_path / "out").glob("edited*"))


def test_a_backend_that_cannot_be_made_ends_the_run(tmp_path: Path) -> None:
    edit = EditConfig(editor="embedded", options={"weights": str(tmp_path)})
    with pytest.raises(EditorError, match="cannot read the editor's weights"):
        run_loopback(link(tmp_path, edit, n_frames=1000), stop=threading.Event())


def test_an_editor_that_is_killed_in_the_middle_costs_no_frame(tmp_path: Path) -> None:
    at = f"tcp://127.0.0.1:{free_ports(1)[0]}"
    command = [sys.executable, "-m", "gened", "editor", "serve", "--backend", "embedded", "--bind", at]
    config = link(tmp_path, EditConfig(editor=at, timeout_s=20), n_frames=8, interval_s=0.5)
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as service:
        assert service.stderr is not None
        while "ready" not in service.stderr.readline():
            assert service.poll() is None

        def kill_service(_: str, event: LinkEvent) -> None:
            if isinstance(event, FrameFacts) and event.edited and service.poll() is None:
                os.kill(service.pid, signal.SIGKILL)

        report = run_loopback(config, stop=threading.Event(), on_progress=kill_service)
    assert [frame.frame for frame in report.frames] == list(range(8))
    edited = [frame.edited for frame in report.frames]
    assert edited[0] is True and edited[-1] is False
    assert edited == sorted(map(bool, edited), reverse=True)  # none after the first that was not
    assert all(frame.received for frame in report.frames)
    last = report.frames[-1].edit_reason or ""
    assert "gone" in last or "no editor answers" in last


def test_words_of_a_captioner_go_with_the_picture(tmp_path: Path) -> None:
    describe = CaptionConfig(options={"detects": False})
    report = run_loopback(link(tmp_path, None, captions=(), describe=describe, n_frames=2), stop=threading.Event())
    captions = [frame.caption for frame in report.frames]
    assert captions[0] and captions[0] == captions[1] and all(frame.crc_ok for frame in report.frames)
    assert len(captions[0].encode()) <= 106


def test_what_cannot_describe_or_edit_is_told_before_anything_starts() -> None:
    with pytest.raises(EditorError, match=r"unknown editor 'gimp'.*tcp://"):
        EditConfig(editor="gimp")
    with pytest.raises(ConfigError):
        EditConfig(editor="tcp://nowhere")
    with pytest.raises(ConfigError, match="strength"):
        EditConfig(editor="none", strength=3)
    with pytest.raises(CaptionerError, match="unknown captioner"):
        CaptionConfig(captioner="poet")
    with pytest.raises(ConfigError, match="bytes"):
        CaptionConfig(max_bytes=3)
    with pytest.raises(CaptionerError, match="no option"):
        Describer(CaptionConfig(options={"rhymes": True}))
