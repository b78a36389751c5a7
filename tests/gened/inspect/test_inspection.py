# SPDX-License-Identifier: GPL-3.0-or-later
"""One burst out of a recording or off the air: the right one, or a line that says why not; and a readable figure."""

from __future__ import annotations

import itertools
import json
import threading
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("matplotlib", reason="the figure is drawn with it")
from PIL import Image

from gened.errors import ConfigError, LinkError
from gened.gr_blocks.phy.channel.config import ChannelConfig
from gened.gr_blocks.phy.channel.noise import complex_noise
from gened.gr_blocks.phy.channel.sample_channel import SampleChannel
from gened.gr_blocks.phy.framing.planning import plan_bursts
from gened.gr_blocks.phy.framing.records import Records, pack_records
from gened.gr_blocks.phy.ofdm.modulator import modulate_burst
from gened.gr_blocks.phy.types import ComplexArray, Encoded, Frame, ImageSize
from gened.gr_blocks.recording.reader import Recording, read_raw
from gened.inspect.anatomy_records import Anatomy
from gened.inspect.inspection import LiveConfig, inspect_live, inspect_recording
from gened.inspect.inspection_figure import draw, make_figure
from gened.inspect.inspection_report import as_json, title_lines

GAP = 9000
HEADER = slice(528 + 272, 528 + 816)


def burst(number: int, caption: str = "two boats") -> ComplexArray:
    text = pack_records(Records(caption=caption))
    symbols = complex_noise(np.random.default_rng(number), 4000, 1.0)
    frame = Frame(7, number, 9, ImageSize(256, 256), Fraction(1, 24), 10.0, Encoded(symbols, bytes(30)), text)
    return modulate_burst(plan_bursts(frame)[0])


def with_a_wrong_header(samples: ComplexArray) -> ComplexArray:
    spoilt = samples.copy()
    spoilt[HEADER] = complex_noise(np.random.default_rng(3), HEADER.stop - HEADER.start, 1.0)
    return spoilt


def stream(bursts: list[ComplexArray], **settings: Any) -> ComplexArray:
    gap = np.zeros(GAP, np.complex64)
    samples = np.concatenate([gap, *(piece for one in bursts for piece in (one, gap))])
    starts = np.cumsum([GAP, *(len(one) + GAP for one in bursts[:-1])])
    config = ChannelConfig(**{"snr_db": 15.0, "freq_offset_hz": 12e3, "seed": 4} | settings)
    return SampleChannel(config, 1e6).process(samples, starts)


@pytest.fixture(scope="module")
def recording(tmp_path_factory: pytest.TempPathFactory) -> Recording:
    """Two bursts, the header of a third between them spoilt."""
    path = tmp_path_factory.mktemp("air") / "air.cf32"
    stream([burst(0), with_a_wrong_header(burst(1)), burst(2)]).tofile(path)
    return read_raw(path, 1e6)


def frame_of(found: Anatomy) -> int | None:
    return None if found.header is None else found.header.frame


@pytest.mark.parametrize(("number", "frame"), [(0, 0), (1, None), (2, 2)])
def test_bursts_are_counted_with_those_that_fail(recording: Recording, number: int, frame: int | None) -> None:
    assert frame_of(inspect_recording(recording, number=number)) == frame


def test_a_burst_is_found_by_any_of_its_samples_and_near_it(recording: Recording) -> None:
    found = inspect_recording(recording)
    for at in (found.start, found.start + len(found.burst) - 1, found.start - 3000, found.start + len(found.burst) + 9):
        assert inspect_recording(recording, at=at).start == found.start


def test_a_place_far_from_every_burst_is_drawn_as_it_is(recording: Recording, tmp_path: Path) -> None:
    found = inspect_recording(recording, at=2000)
    assert found.start == 2000 and found.fault.startswith("no preamble")
    draw(tmp_path / "a.png", found)


@pytest.mark.parametrize("samples", [np.zeros(1), np.zeros(3000), np.ones(600)], ids=["one", "silence", "carrier"])
def test_whatever_lies_at_a_place_is_drawn(samples: Any, tmp_path: Path) -> None:
    samples.astype(np.complex64).tofile(tmp_path / "a.cf32")
    draw(tmp_path / "a.png", inspect_recording(read_raw(tmp_path / "a.cf32", 1e6), at=0))


def test_a_burst_that_is_not_there_is_one_line(recording: Recording, tmp_path: Path) -> None:
    with pytest.raises(LinkError, match=r"no burst 3 in air.cf32: it holds 3 bursts, 0 to 2"):
        inspect_recording(recording, number=3)
    with pytest.raises(ConfigError, match="counted from 0"):
        inspect_recording(recording, at=10**9)
    complex_noise(np.random.default_rng(1), 5000, 1.0).tofile(tmp_path / "noise.cf32")
    with pytest.raises(LinkError, match=r"no burst in noise.cf32: 5000 samples with \d+ candidates"):
        inspect_recording(read_raw(tmp_path / "noise.cf32", 1e6))


def anatomy(kind: str, tmp_path: Path) -> Anatomy:
    samples = {
        "clean": lambda: stream([burst(0)]),
        "noisy": lambda: stream([burst(0)], snr_db=2.0),
        "multipath": lambda: stream([burst(0)], kind="multipath", delay_spread=1.5),
        "wrong header": lambda: stream([with_a_wrong_header(burst(0))]),
        "foreign caption": lambda: stream([burst(0, "二艘の船 $x$ \x1b[31m\n" * 12)]),
    }[kind]()
    samples.tofile(tmp_path / "a.cf32")
    return inspect_recording(read_raw(tmp_path / "a.cf32", 1e6))


@pytest.mark.parametrize("kind", ["clean", "noisy", "multipath", "wrong header"])
def test_a_figure_of_1600_by_1200_in_which_no_panel_covers_another(kind: str, tmp_path: Path) -> None:
    figure = make_figure(anatomy(kind, tmp_path), "a place")
    renderer = figure.canvas.get_renderer()  # type: ignore[attr-defined]
    assert figure.canvas.get_width_height() == (1600, 1200)
    figure.draw(renderer)
    boxes = [(axis.get_title(loc="left"), axis.get_tightbbox(renderer)) for axis in figure.axes]
    boxes += [("a title line", text.get_window_extent(renderer)) for text in figure.texts]
    for name, box in boxes:
        assert box.x0 >= 0 and box.y0 >= 0 and box.x1 <= 1600 and box.y1 <= 1200, name
    for (name, one), (other_name, other) in itertools.combinations(boxes, 2):
        width = min(one.x1, other.x1) - max(one.x0, other.x0)
        height = min(one.y1, other.y1) - max(one.y0, other.y0)
        is_one_panel = (name, other_name) == ("channel: phase, group delay", "")  # its second scale
        assert is_one_panel or width < 1 or height < 1, (name, other_name)


def test_a_caption_in_any_script_is_drawn_without_a_warning(tmp_path: Path) -> None:
    draw(tmp_path / "a.png", anatomy("foreign caption", tmp_path), "a $place")
    with Image.open(tmp_path / "a.png") as drawn:
        assert drawn.size == (1600, 1200)


def test_a_caption_off_the_air_moves_no_cursor_and_stays_short(tmp_path: Path) -> None:
    (line,) = [line for line in title_lines(anatomy("foreign caption", tmp_path)) if line.startswith("caption")]
    assert line.isprintable() and len(line) < 100


@pytest.mark.parametrize("kind", ["clean", "wrong header"])
def test_json_is_strict_and_names_what_is_unknown(kind: str, tmp_path: Path) -> None:
    found = anatomy(kind, tmp_path)
    told = json.loads(json.dumps(as_json(found), allow_nan=False))
    assert told["cfo_est_hz"] == pytest.approx(12e3, abs=80)
    assert (told["fault"] is None) is (told["header"] is not None) is (kind == "clean")
    assert len(told["channel"]["magnitude_db"]) == 204
    assert told["start"] == found.start


def profile(samples: ComplexArray) -> Any:
    pytest.importorskip("gnuradio", reason="live samples come from a flowgraph")
    from gened.flowgraphs.radios.profiles import RadioProfile

    return RadioProfile(kind="vector", samples=samples)


def test_live_gives_the_burst_that_comes_next_or_the_one_after() -> None:
    samples = stream([burst(0), burst(1)])
    for number in (0, 1):
        found = inspect_live(LiveConfig(profile=profile(samples), number=number), stop=threading.Event())
        assert found is not None and frame_of(found) == number


def test_live_gives_up_in_one_line_where_nobody_sends() -> None:
    noise = complex_noise(np.random.default_rng(1), 20_000, 1.0)
    config = LiveConfig(profile=profile(noise), timeout_s=0.3)
    with pytest.raises(LinkError, match=r"no burst for 0.3 s: \d+ samples .* is anybody transmitting\?"):
        inspect_live(config, stop=threading.Event())


def test_live_ends_when_told_to() -> None:
    stop = threading.Event()
    config = LiveConfig(profile=profile(np.zeros(1000, np.complex64)), timeout_s=60.0)
    assert inspect_live(config, stop=stop, on_state=lambda _state: stop.set()) is None


def test_samples_that_nobody_takes_leave_a_gap_that_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("gnuradio", reason="the queue is a block")
    from gened.gr_blocks import sample_queue

    monkeypatch.setattr(sample_queue, "MAX_WAITING", 1000)
    queue = sample_queue.sample_queue()
    for value in range(3):
        queue.work([np.full(400, value, np.complex64)], [])
    taken, has_gap = queue.take(0.0)
    assert has_gap and np.array_equal(np.unique(taken.real), [2.0])
    assert queue.take(0.0)[1] is False
