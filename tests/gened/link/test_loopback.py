# SPDX-License-Identifier: GPL-3.0-or-later
"""The whole link: three processes, GNU Radio in two of them, a channel between."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

pytest.importorskip("gnuradio", reason="the link's ends are GNU Radio flowgraphs")

from unfair_codecs import install
from waiting import wait_until

from gened.errors import CodecError
from gened.gr_blocks.pdu.facts import FrameFacts
from gened.gr_blocks.phy.channel.config import ChannelConfig
from gened.link import loopback
from gened.link.children import Child, Role, end_all
from gened.link.config import AirConfig, LoopbackConfig, ReceiveConfig, TransmitConfig
from gened.link.control import free_ports
from gened.link.events import LinkEvent, Notice
from gened.link.link_errors import ChildDiedError, NoFrameError
from gened.link.loopback import run_loopback
from gened.models.codecs.encode_options import EncodeOptions
from gened.models.data.images import load_image
from gened.models.data.reading import ImageSizeError
from gened.processes import Failure
from gened.reports.figures import MASK_INK
from gened.reports.report import FrameReport, Report
from tests.support.icc_profiles import DISPLAY_P3, rgb_profile

SUPPORT = Path(__file__).resolve().parents[2] / "support"
CAPTION = "a gradient with a disc — für Prüfzwecke"


def photograph(path: Path, height: int, width: int, hue: int = 0) -> Path:
    """A smooth picture with an edge, so that PSNR says something."""
    y, x = np.mgrid[0:height, 0:width]
    planes = [255 * x / width, 255 * y / height, 128 + 100 * np.sin(x / 9)]
    picture = np.stack(planes[hue:] + planes[:hue], axis=2)
    picture[(y - height / 2) ** 2 + (x - width / 2) ** 2 < (min(height, width) / 4) ** 2] = [230, 60, 40]
    Image.fromarray(picture.astype(np.uint8)).save(path)
    return path


def addresses() -> dict[str, str]:
    return dict(
        zip(
            ("tx", "rx", "tx_control", "rx_control"), (f"tcp://127.0.0.1:{port}" for port in free_ports(4)), strict=True
        )
    )


def link(
    photos: list[Path], out: Path, *, channel: ChannelConfig | None = None, speed: float = 0.0, **options: Any
) -> LoopbackConfig:
    """Fast, with softcast; `options` are TransmitConfig's, or AirConfig's `drop_bursts`."""
    at = addresses()
    drop_bursts = frozenset(options.pop("drop_bursts", ()))
    return LoopbackConfig(
        transmit=TransmitConfig(
            photos=tuple(photos), address=at["tx"], control=at["tx_control"], captions=(CAPTION,), **options
        ),
        air=AirConfig(
            channel=channel or ChannelConfig(snr_db=10.0, freq_offset_hz=2e4, seed=1),
            speed=speed,
            drop_bursts=drop_bursts,
            tx_address=at["tx"], rx_address=at["rx"], tx_control=at["tx_control"], rx_control=at["rx_control"],
        ),
        receive=ReceiveConfig(address=at["rx"], control=at["rx_control"], timeout_s=40.0, codecs=("softcast",)),
        out=out,
    )  # fmt: skip


def has_ended(pid: int, within_s: float = 60.0) -> bool:
    def is_gone() -> bool:
        try:
            os.kill(pid, 0)
        except ProcessLookupError:
            return True
        return False

    return wait_until(is_gone, within_s)


def descendants(pid: int) -> list[int]:
    """Children and their children, from /proc."""
    found = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            parent = int(stat.read_text().rpartition(")")[2].split()[1])
        except OSError:
            continue
        if parent == pid:
            child = int(stat.parent.name)
            found += [child, *descendants(child)]
    return found


def test_every_frame_crosses_with_its_caption_and_figures(tmp_path: Path) -> None:
    photos = [photograph(tmp_path / "one.png", 96, 128), photograph(tmp_path / "two.png", 80, 72, hue=1)]
    events: list[tuple[str, LinkEvent]] = []
    config = link(photos, tmp_path / "out", n_frames=5)
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "mask.png").write_bytes(b"of an earlier run")
    report = run_loopback(config, stop=threading.Event(), on_progress=lambda role, event: events.append((role, event)))
    assert [frame.frame for frame in report.frames] == [0, 1, 2, 3, 4]
    about = {key: report.meta[key] for key in ("codec", "rate", "snr_design_db")}
    assert about == {"codec": "softcast", "rate": "1/24", "snr_design_db": 10.0}
    assert report.meta["channel"]["kind"] == "awgn" and report.meta["channel"]["freq_offset_hz"] == 2e4
    assert [frame.photograph for frame in report.frames] == [str(photos[n % 2]) for n in range(5)]
    for frame in report.frames:
        assert frame.crc_ok is True and frame.caption == CAPTION and frame.erased_fraction == 0
        assert frame.snr_est_db == pytest.approx(10, abs=1) and frame.cfo_est_hz == pytest.approx(2e4, abs=200)
        assert frame.psnr_db is not None and frame.psnr_db > 20
        budget = (96 * 128 if frame.frame % 2 == 0 else 80 * 72) * 3 // 24
        assert frame.analog_symbols is not None and frame.side_symbols is not None
        assert frame.analog_symbols + frame.side_symbols <= budget
        assert frame.airtime_s == pytest.approx((frame.on_air_samples or 0) / 1e6)
        assert load_image(tmp_path / "out" / str(frame.received)).shape == load_image(photos[frame.frame % 2]).shape
        assert np.array_equal(load_image(tmp_path / "out" / str(frame.sent)), load_image(photos[frame.frame % 2]))
    names = {path.name for path in (tmp_path / "out").iterdir()}
    assert {"sent.png", "received.png", "side_by_side.png", "constellation.png", "report.json"} <= names
    assert not any("mask" in name for name in names)
    assert Report.model_validate_json((tmp_path / "out" / "report.json").read_text()) == report
    assert {role for role, _ in events} == {"air", "transmit", "receive"}


def test_what_the_reader_of_photographs_says_reaches_the_user(tmp_path: Path) -> None:
    """A colour profile and 12 bits in 16 are converted, and said once however often they are sent."""
    p3, deep = tmp_path / "p3.png", tmp_path / "deep.png"
    ramp = np.repeat(np.arange(0, 4096, 52, dtype=np.uint16)[None], 64, axis=0)
    Image.fromarray(ramp).save(deep)
    colours = np.stack([ramp // 16, 255 - ramp // 16, ramp // 32], axis=2).astype(np.uint8)
    Image.fromarray(colours).save(p3, icc_profile=rgb_profile("Display P3", DISPLAY_P3, 2.2))
    notices: list[str] = []

    def take(role: Role, event: LinkEvent) -> None:
        if isinstance(event, Notice):
            notices.append(event.line)

    run_loopback(link([p3, deep], tmp_path / "out", n_frames=4), stop=threading.Event(), on_progress=take)
    assert notices == [
        f"transmitter: {p3} has the colour profile 'Display P3'; its colours are converted to sRGB",
        f"transmitter: {deep} has 16 bits per pixel and no value above 4095: it is read as 4095 = white",
    ]
    assert np.abs(load_image(tmp_path / "out" / "sent-0000.png").astype(int) - colours).max() > 10
    assert load_image(tmp_path / "out" / "sent-0001.png").max() > 250


def test_what_is_important_crosses_and_gains(tmp_path: Path) -> None:
    photo = photograph(tmp_path / "p.png", 128, 192)
    config = link(
        [photo],
        tmp_path / "out",
        n_frames=2,
        mask_boxes=((0, 0, 64, 128),),
        encode=EncodeOptions(focus=8.0),
        device="numpy",
    )
    report = run_loopback(config, stop=threading.Event())
    for frame, name in zip(report.frames, ("mask.png", "received-0001-mask.png"), strict=True):
        mask = load_image(tmp_path / "out" / name)
        assert mask[:, :64].min() == 255 and mask[:, 64:].max() == 0
        error = error_of(tmp_path / "out", frame)
        assert error[:, :64].mean() < error[:, 64:].mean() / 2  # 0.26 of it; 0.72 with nothing important
    page = load_image(tmp_path / "out" / "side_by_side.png")
    assert (page == MASK_INK).all(-1).any()


def error_of(out: Path, frame: FrameReport) -> np.ndarray:
    """Squared error of each pixel."""
    sent, received = (load_image(out / str(name)).astype(float) for name in (frame.sent, frame.received))
    return ((sent - received) ** 2).mean(-1)


def test_a_dropped_burst_costs_its_share_of_the_picture_and_not_the_frame(tmp_path: Path) -> None:
    """Several bursts, in real time: the picture survives, the caption comes from the shares that are left."""
    photo = photograph(tmp_path / "large.png", 512, 700)
    config = link([photo], tmp_path / "out", speed=1.0, drop_bursts=[1], channel=ChannelConfig(snr_db=10.0))
    report = run_loopback(config, stop=threading.Event())
    (frame,) = report.frames
    assert frame.erased_fraction == pytest.approx(1 / 3, abs=0.02)  # 44,800 symbols in 3 bursts
    assert frame.crc_ok is True and frame.psnr_db is not None and frame.psnr_db > 15


def test_dropped_bursts_make_the_picture_less_good_everywhere_and_black_nowhere(tmp_path: Path) -> None:
    photo = photograph(tmp_path / "large.png", 640, 960)
    channel = ChannelConfig(snr_db=10.0, drop=0.1, seed=1)
    report = run_loopback(link([photo], tmp_path / "out", channel=channel, n_frames=4), stop=threading.Event())
    assert report.meta["dropped_bursts"] == [{"frame": 0, "burst": 4}, {"frame": 2, "burst": 3}]
    sent = load_image(photo).astype(float)
    errors = {}
    for frame in report.frames:
        n_dropped = sum(one["frame"] == frame.frame for one in report.meta["dropped_bursts"])
        assert frame.erased_fraction == pytest.approx(n_dropped / 5, abs=0.02)  # 76,800 symbols in 5 bursts
        assert frame.crc_ok is True
        difference = load_image(tmp_path / "out" / str(frame.received)) - sent
        assert np.abs(by_blocks(difference, 16)).max() < 40  # of 255; 15 where nothing was dropped
        errors[frame.frame] = by_blocks(difference**2, 160)
    whole, holed = (errors[1] + errors[3]) / 2, (errors[0] + errors[2]) / 2
    assert np.all(holed > whole)
    assert np.all(holed < 3 * whole)


def by_blocks(values: np.ndarray, side: int) -> np.ndarray:
    """Means over square blocks and all colours, [H / side, W / side]."""
    height, width = (n // side * side for n in values.shape[:2])
    blocks = values[:height, :width].reshape(height // side, side, width // side, side, -1)
    return np.asarray(blocks.mean((1, 3, 4)))


def test_frames_that_are_lost_are_told_and_the_others_still_come(tmp_path: Path) -> None:
    config = link([photograph(tmp_path / "p.png", 64, 64)], tmp_path / "out", n_frames=3, drop_bursts=[1])
    report = run_loopback(config, stop=threading.Event())
    assert [frame.received is not None for frame in report.frames] == [True, False, True]
    lost = report.frames[1]
    assert (lost.psnr_db, lost.caption, lost.snr_est_db, lost.erased_fraction) == (None, None, None, 1.0)
    assert lost.analog_symbols == report.frames[0].analog_symbols


def test_symbols_that_are_no_numbers_are_named_and_cost_no_frame(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    install(tmp_path / "plug-in")
    before = os.environ.get("PYTHONPATH", "")
    folders = [str(tmp_path / "plug-in"), str(SUPPORT), *([before] if before else [])]
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(folders))
    config = link([photograph(tmp_path / "one.png", 96, 128)], tmp_path / "out", n_frames=2, codec="patchy")
    config = replace(config, receive=replace(config.receive, codecs=("patchy",)))
    notices: list[str] = []

    def note(_: str, event: LinkEvent) -> None:
        if isinstance(event, Notice):
            notices.append(event.line)

    report = run_loopback(config, stop=threading.Event(), on_progress=note)
    assert [frame.received is not None for frame in report.frames] == [True, True]
    assert report.meta["causes"] == {"bad symbols": 6}
    assert sum("bad symbols" in line for line in notices) >= 1


def test_nothing_received_ends_in_one_line_and_a_report(tmp_path: Path) -> None:
    config = link([photograph(tmp_path / "p.png", 64, 64)], tmp_path / "out", channel=ChannelConfig(drop=1.0))
    with pytest.raises(NoFrameError, match="none of 1 frames"):
        run_loopback(config, stop=threading.Event())
    assert (tmp_path / "out" / "report.json").is_file()


@pytest.mark.parametrize(
    ("change", "error", "text"),
    [
        ({"codec": "unheard-of"}, CodecError, "unheard-of"),
        ({"photos": (Path("small.png"),)}, ImageSizeError, "64x64"),
        (
            {"encode": EncodeOptions(refine_steps=5), "n_frames": 1000, "interval_s": 2.0},
            CodecError,
            "nothing to refine",
        ),
    ],
)
def test_what_a_process_cannot_do_is_told_by_its_own_error(
    tmp_path: Path, change: dict[str, Any], error: type[Exception], text: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Image.new("RGB", (20, 20)).save("small.png")
    config = link([photograph(tmp_path / "p.png", 64, 64)], tmp_path / "out")
    with pytest.raises(error, match=text):
        run_loopback(replace(config, transmit=replace(config.transmit, **change)), stop=threading.Event())


@pytest.mark.parametrize("victim", ["air", "transmit", "receive"])
def test_a_process_that_dies_ends_the_others(tmp_path: Path, victim: str) -> None:
    """Killed while frames are on their way; neither the other two nor their workers are left behind."""
    config = link([photograph(tmp_path / "p.png", 64, 64)], tmp_path / "out", n_frames=500)
    with killed_or_stopped(config, lambda pids, _stop: os.kill(pids[victim], 9)) as outcome:
        pass
    assert (
        isinstance(outcome.error, ChildDiedError) and victim in str(outcome.error) and "signal 9" in str(outcome.error)
    )


def test_a_stop_ends_everything_and_keeps_what_has_come(tmp_path: Path) -> None:
    config = link([photograph(tmp_path / "p.png", 64, 64)], tmp_path / "out", n_frames=500)
    with killed_or_stopped(config, lambda _pids, stop: stop.set()) as outcome:
        pass
    assert outcome.error is None and outcome.report is not None
    assert 0 < sum(frame.received is not None for frame in outcome.report.frames) < 500


class killed_or_stopped:  # noqa: N801
    """Runs a loopback in a thread, acts when the first frame was received, and looks that no process is left."""

    def __init__(self, config: LoopbackConfig, act: Callable[[dict[str, int], threading.Event], None]) -> None:
        self.error: Exception | None = None
        self.report: Report | None = None
        self._config = config
        self._act = act
        self._stop = threading.Event()
        self._first = threading.Event()

    def __enter__(self) -> killed_or_stopped:
        made: list[Child] = []

        class Watched(Child):
            def __init__(self, role: Role, config: Any) -> None:
                super().__init__(role, config)
                made.append(self)

        original, loopback.Child = loopback.Child, Watched  # type: ignore[misc]
        thread = threading.Thread(target=self._run)
        thread.start()
        try:
            assert self._first.wait(120)
            pids = {child.role: child.pid for child in made}
            everybody = [*pids.values(), *(pid for each in pids.values() for pid in descendants(each))]
            assert len(everybody) >= 5  # three, and two workers
            self._act(pids, self._stop)
            thread.join(60)
            assert not thread.is_alive()
        finally:
            self._stop.set()
            thread.join(60)
            loopback.Child = original  # type: ignore[misc]
        assert all(has_ended(pid) for pid in everybody)
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def _run(self) -> None:
        try:
            self.report = run_loopback(self._config, stop=self._stop, on_progress=self._take)
        except Exception as error:
            self.error = error

    def _take(self, _: str, event: LinkEvent) -> None:
        if isinstance(event, FrameFacts):
            self._first.set()


def test_a_receiver_that_is_restarted_goes_on_receiving(tmp_path: Path) -> None:
    """Killed in the middle of a transmission; another one takes over the same sockets, with the sender still at it."""
    at = addresses()
    photo = photograph(tmp_path / "p.png", 64, 64)
    receive = ReceiveConfig(
        address=at["rx"], control=at["rx_control"], codecs=("softcast",), out=tmp_path / "out", has_report=False
    )
    air = Child(
        "air",
        AirConfig(tx_address=at["tx"], rx_address=at["rx"], tx_control=at["tx_control"], rx_control=at["rx_control"]),
    )
    sender = Child(
        "transmit",
        TransmitConfig(photos=(photo,), n_frames=2000, interval_s=0.05, address=at["tx"], control=at["tx_control"]),
    )
    sender.permit(2000)
    receivers = [Child("receive", receive)]
    try:
        first = frames_of(receivers[0], 3)
        os.kill(receivers[0].pid, 9)
        receivers.append(Child("receive", receive))
        later = frames_of(receivers[1], 3)
        assert min(later) > max(first)
        assert not air.has_ended() and not sender.has_ended()
    finally:
        end_all([air, sender, *receivers])


def frames_of(receiver: Child, count: int, timeout_s: float = 120.0) -> list[int]:
    """Numbers of the next frames that a receiver tells of."""
    numbers: list[int] = []
    deadline = time.monotonic() + timeout_s
    while len(numbers) < count and time.monotonic() < deadline:
        receiver.wait_for_event(0.1)
        for event in receiver.events():
            assert not isinstance(event, Failure), event
            if isinstance(event, FrameFacts) and event.received is not None:
                numbers.append(event.frame)
    assert len(numbers) >= count
    return numbers
