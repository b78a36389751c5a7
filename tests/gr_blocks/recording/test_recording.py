# SPDX-License-Identifier: GPL-3.0-or-later
"""Recordings in SigMF: what is written can be read, by us and by SigMF's own package; of others all is looked at."""

from __future__ import annotations

import errno
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import sigmf
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gened.errors import ConfigError
from gened.gr_blocks.phy.channel.noise import complex_noise
from gened.gr_blocks.recording import reader
from gened.gr_blocks.recording.annotation import Annotation
from gened.gr_blocks.recording.formats import from_file, to_file
from gened.gr_blocks.recording.metadata import RecordingError, RecordingInfo
from gened.gr_blocks.recording.reader import Recording, is_sigmf, read_raw, read_recording
from gened.gr_blocks.recording.writer import RecordingWriter

INFO = RecordingInfo(sample_rate=1e6, center_freq=2.4e9, hw="a Pluto", description="two bursts", recorder="a test")
BURST = Annotation(
    start=100, count=50, label="frame 3", session=7, frame=3, burst=0, n_bursts=1, snr_est_db=9.5, cfo_est_hz=-1200.0,
    crc_ok=True, caption="ein Café ☕", station="N0CALL",
)  # fmt: skip


@pytest.fixture
def samples(rng: np.random.Generator) -> Any:
    return complex_noise(rng, 1000, 1.0)


def written(path: Path, samples: Any, *annotations: Annotation, info: RecordingInfo = INFO) -> Path:
    writer = RecordingWriter(path, info)
    writer.open()
    for part in np.array_split(samples, 7):
        writer.write(part)
    for annotation in annotations:
        assert writer.annotate(annotation)
    writer.close()
    return writer.meta_path


def test_what_is_written_is_read_back(tmp_path: Path, samples: Any) -> None:
    later = Annotation(start=300, count=700, label="frame 4", crc_ok=None)
    found = read_recording(written(tmp_path / "a", samples, later, BURST))
    assert np.array_equal(found.samples, samples)
    assert found.info == INFO
    assert found.annotations == (BURST, later)


def test_the_package_of_sigmf_takes_it_and_reads_the_same(tmp_path: Path, samples: Any) -> None:
    theirs = sigmf.fromfile(written(tmp_path / "a", samples, BURST))
    theirs.validate()
    assert np.array_equal(theirs.read_samples(), samples)
    assert theirs.sample_rate == 1e6
    assert theirs.get_captures()[0]["core:frequency"] == 2.4e9
    (entry,) = theirs.get_annotations()
    assert (entry["core:sample_start"], entry["core:sample_count"]) == (100, 50)
    middle_hz = (entry["core:freq_lower_edge"] + entry["core:freq_upper_edge"]) / 2
    assert middle_hz == pytest.approx(2.4e9 - 1200)
    assert entry["gened:crc_ok"] is True
    assert [one["name"] for one in theirs.get_global_field("core:extensions")] == ["gened"]


def test_ci16_takes_half_the_room_and_loses_little(tmp_path: Path, samples: Any) -> None:
    info = RecordingInfo(sample_rate=1e6, datatype="ci16_le", full_scale=16.0)
    path = written(tmp_path / "a", samples, info=info)
    assert path.with_suffix(".sigmf-data").stat().st_size == 4 * len(samples)
    error = np.asarray(read_recording(path).samples) - samples
    assert 10 * np.log10(np.mean(np.abs(error) ** 2)) == pytest.approx(10 * np.log10(2 * 16**2 / 2**30 / 12), abs=1)
    theirs = sigmf.fromfile(path).read_samples()  # knows nothing of our full scale
    assert np.allclose(16 * theirs, samples, atol=1e-3)


def test_what_is_larger_than_full_scale_is_clipped_and_counted() -> None:
    stored, n_clipped = to_file(np.array([0.5, 1.5, -2j, np.nan, -1.0], np.complex64), "ci16_le", 1.0)
    assert n_clipped == 2
    assert from_file(stored, "ci16_le", 1.0) == pytest.approx([0.5, 32767 / 32768, -1j, 0, -1])


def test_a_slice_of_the_samples_reads_no_more_than_that(tmp_path: Path, samples: Any) -> None:
    found = read_recording(written(tmp_path / "a", samples)).samples
    assert len(found) == 1000
    assert np.array_equal(found[990:2000], samples[990:])
    assert len(found[1000:]) == 0


def test_samples_that_vanish_while_they_are_read_are_silence(tmp_path: Path, samples: Any) -> None:
    path = written(tmp_path / "a", samples)
    found = read_recording(path).samples
    os.truncate(path.with_suffix(".sigmf-data"), 4000)
    assert np.array_equal(found[:], [*samples[:500], *np.zeros(500)])


def test_bursts_that_are_not_wholly_recorded_are_left_out(tmp_path: Path, samples: Any) -> None:
    cut = Annotation(start=960, count=50, label="frame 4")
    assert read_recording(written(tmp_path / "a", samples, BURST, cut)).annotations == (BURST,)


def test_an_older_recording_is_kept_unless_told(tmp_path: Path, samples: Any) -> None:
    path = written(tmp_path / "a", samples)
    with pytest.raises(RecordingError, match=r"a\.sigmf-meta exists; .*--overwrite"):
        RecordingWriter(tmp_path / "a", INFO)
    RecordingWriter(tmp_path / "a", INFO, overwrites=True)  # which alone takes nothing away
    assert len(read_recording(path).samples) == 1000


def test_a_recording_can_be_read_although_its_writer_was_killed(tmp_path: Path, samples: Any) -> None:
    writer = RecordingWriter(tmp_path / "a", INFO)
    writer.open()
    writer.write(samples)
    assert np.array_equal(read_recording(tmp_path / "a").samples, samples)
    writer.close()


def test_without_a_sample_there_are_no_files(tmp_path: Path) -> None:
    written(tmp_path / "a", np.zeros(0, np.complex64))
    assert list(tmp_path.iterdir()) == []


def test_an_unknown_datatype_is_refused_with_those_that_are_known(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="rf32_le.*cf32_le or ci16_le"):
        RecordingWriter(tmp_path / "a", RecordingInfo(sample_rate=1e6, datatype="rf32_le"))


class FullDisk:
    """A file on a disk that has room for `n_bytes`."""

    def __init__(self, file: Any, n_bytes: int) -> None:
        self._file = file
        self._left = n_bytes

    def write(self, data: memoryview) -> int:
        if self._left == 0:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        n_written: int = self._file.write(data[: self._left])
        self._left -= n_written
        return n_written

    def __getattr__(self, name: str) -> Any:
        return getattr(self._file, name)

    def __enter__(self) -> FullDisk:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()


def test_on_a_full_disk_all_that_came_before_is_kept(tmp_path: Path, samples: Any) -> None:
    writer = RecordingWriter(tmp_path / "a", INFO)
    writer.open()
    writer._file = FullDisk(writer._file, 8 * 150 + 3)
    writer.write(samples[:100])
    writer.annotate(Annotation(start=0, count=120, label="frame 0"))
    writer.annotate(BURST)
    with pytest.raises(RecordingError, match=r"No space left on device behind 150 samples, which are kept"):
        writer.write(samples[100:])
    writer.write(samples)  # which goes nowhere
    writer.close()
    found = read_recording(tmp_path / "a")
    assert np.array_equal(found.samples, samples[:150])
    assert [one.label for one in found.annotations] == ["frame 0", "frame 3"]


def test_where_the_metadata_has_no_room_the_end_of_the_samples_makes_some(
    tmp_path: Path, rng: np.random.Generator, monkeypatch: pytest.MonkeyPatch
) -> None:
    samples = complex_noise(rng, 20_000, 1.0)
    writer = RecordingWriter(tmp_path / "a", INFO)
    writer.open()
    writer.write(samples)
    write_text = Path.write_text

    def only_if_there_is_room(path: Path, *arguments: Any, **options: Any) -> int:
        if writer.data_path.stat().st_size > 8 * 15_000:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return write_text(path, *arguments, **options)

    monkeypatch.setattr(Path, "write_text", only_if_there_is_room)
    writer.close()
    found = read_recording(tmp_path / "a")
    assert 10_000 < len(found.samples) < 15_000
    assert np.array_equal(found.samples, samples[: len(found.samples)])


# What others wrote

Break = Callable[[dict[str, Any], Path], Any]


def hostile(change: Callable[[dict[str, Any]], Any]) -> Break:
    def apply(content: dict[str, Any], meta: Path) -> None:
        change(content)
        meta.write_text(json.dumps(content))

    return apply


def data(change: Callable[[Path], Any]) -> Break:
    def apply(_: dict[str, Any], meta: Path) -> None:
        change(meta.with_suffix(".sigmf-data"))

    return apply


def become_folder(path: Path) -> None:
    path.unlink()
    path.mkdir()


def become_pipe(path: Path) -> None:
    path.unlink()
    os.mkfifo(path)


def of_global(**fields: Any) -> Break:
    return hostile(lambda content: content["global"].update({f"core:{key}": value for key, value in fields.items()}))


def of_burst(**fields: Any) -> Break:
    named = {f"core:{key}": value for key, value in fields.items()}
    return hostile(lambda content: content["annotations"][0].update(named))


BREAKS: list[tuple[str, Break, str]] = [
    ("data missing", data(Path.unlink), r"cannot read .*a\.sigmf-data: No such file"),
    ("metadata missing", lambda _, meta: meta.unlink(), r"cannot read .*a\.sigmf-meta: No such file"),
    ("data empty", data(lambda path: os.truncate(path, 0)), "holds no samples"),
    ("data not whole samples", data(lambda path: os.truncate(path, 7999)), "cut off: 7999 bytes"),
    ("data too short", data(lambda path: os.truncate(path, 800)), "cut off: it has 100 samples.* reach to 150"),
    ("data cut behind the last burst", data(lambda path: os.truncate(path, 4000)), "checksum is another"),
    ("data changed", data(lambda path: path.write_bytes(bytes(8000))), "checksum is another"),
    ("data a folder", data(become_folder), "is no file"),
    ("data a pipe", data(become_pipe), "is no file"),
    ("other datatype", of_global(datatype="ru8"), "its datatype is ru8; cf32_le and ci16_le can be read"),
    ("no datatype", of_global(datatype="fast"), "no SigMF: global.core:datatype"),
    ("no sample rate", hostile(lambda content: content["global"].pop("core:sample_rate")), "tells no sample rate"),
    ("absurd sample rate", of_global(sample_rate=1e11), r"a sample rate of 10{11}\.0 Hz; from 1000 to 1e\+08"),
    ("negative sample rate", of_global(sample_rate=-1), "core:sample_rate: -1 is less"),
    ("slow sample rate", of_global(sample_rate=1), "a sample rate of 1 Hz"),
    ("a word as sample rate", of_global(sample_rate="fast"), "core:sample_rate"),
    ("sample rate true", of_global(sample_rate=True), "core:sample_rate"),
    ("two channels", of_global(num_channels=2), "it has 2 channels"),
    ("samples elsewhere", of_global(dataset="passwd"), "take core:dataset out"),
    ("metadata alone", of_global(metadata_only=True), "metadata alone"),
    ("more than samples", of_global(trailing_bytes=8), "holds more than samples"),
    ("needs an extension", of_global(extensions=[{"name": "x", "version": "1", "optional": False}]), "extension x"),
    ("extension that is none", of_global(extensions=[7]), "no SigMF"),
    ("negative start", of_burst(sample_start=-1), "no SigMF"),
    ("endless burst", of_burst(sample_count=2**62), "cut off"),
    ("zero full scale", hostile(lambda content: content["global"].update({"gened:full_scale": 0})), "full_scale is 0"),
    ("no object", hostile(lambda content: content.clear()), "no SigMF"),
    ("a list", lambda _, meta: meta.write_text("[]"), "no SigMF"),
    ("not JSON", lambda _, meta: meta.write_text("{"), "not JSON"),
    ("not a number", lambda _, meta: meta.write_text('{"global": NaN}'), "not JSON"),
    ("deep", lambda _, meta: meta.write_text("[" * 100_000), "no SigMF"),
    ("no text", lambda _, meta: meta.write_bytes(b"\xff\xfe"), "no UTF-8"),
]  # fmt: skip


@pytest.mark.parametrize(("change", "complaint"), [case[1:] for case in BREAKS], ids=[case[0] for case in BREAKS])
def test_a_recording_that_is_wrong_ends_in_one_line(
    change: Break, complaint: str, tmp_path: Path, samples: Any
) -> None:
    path = written(tmp_path / "a", samples, BURST)
    change(json.loads(path.read_text()), path)
    with pytest.raises(RecordingError, match=complaint) as caught:
        read_recording(path)
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 500


def test_metadata_that_is_too_large_is_not_read(tmp_path: Path, samples: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    path = written(tmp_path / "a", samples)
    monkeypatch.setattr(reader, "MAX_META_BYTES", 100)
    with pytest.raises(RecordingError, match="metadata of up to 100 can be read"):
        read_recording(path)


def test_an_archive_is_refused_with_the_remedy(tmp_path: Path) -> None:
    with pytest.raises(RecordingError, match="tar -xf a.sigmf"):
        read_recording(tmp_path / "a.sigmf")


def test_fields_of_ours_of_another_type_are_left_out(tmp_path: Path, samples: Any) -> None:
    path = written(tmp_path / "a", samples, BURST)
    content = json.loads(path.read_text())
    content["annotations"][0].update({"gened:frame": "three", "gened:snr_est_db": 9, "gened:caption": ["x"]})
    path.write_text(json.dumps(content))
    (found,) = read_recording(path).annotations
    assert (found.frame, found.snr_est_db, found.caption, found.station) == (None, 9.0, None, "N0CALL")


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    place=st.sampled_from(["global", "captures", "annotations"]),
    value=st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(max_size=5),
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=12), inner, max_size=3),
    ),
)
def test_whatever_stands_in_the_metadata_is_an_error_of_ours_or_none(place: str, value: Any, tmp_path: Path) -> None:
    path = tmp_path / "a.sigmf-meta"
    if not path.exists():
        written(path, np.ones(1000, np.complex64))
    content = {"global": {"core:datatype": "cf32_le", "core:version": "1.2.6", "core:sample_rate": 1e6}, "captures": [],
               "annotations": []} | {place: value}  # fmt: skip
    path.write_text(json.dumps(content))
    try:
        assert isinstance(read_recording(path), Recording)
    except RecordingError as error:
        assert "\n" not in str(error)


def test_raw_samples_are_read_at_the_rate_that_one_says(tmp_path: Path, samples: Any) -> None:
    path = tmp_path / "air.cf32"
    samples.tofile(path)
    found = read_raw(path, 2e6)
    assert np.array_equal(np.asarray(found.samples), samples)
    assert (found.info.sample_rate, found.annotations) == (2e6, ())


@pytest.mark.parametrize(
    ("content", "message"), [(b"", "holds no samples"), (bytes(12), "is cut off"), (None, "No such file")]
)
def test_raw_files_that_hold_no_samples_are_refused(tmp_path: Path, content: bytes | None, message: str) -> None:
    path = tmp_path / "air.cf32"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(RecordingError, match=message):
        read_raw(path, 1e6)


def test_a_recording_is_known_by_its_ending_or_by_its_files(tmp_path: Path, samples: Any) -> None:
    written(tmp_path / "air.2026", samples)
    (tmp_path / "raw").write_bytes(bytes(8))
    assert is_sigmf(tmp_path / "air.2026") and is_sigmf(Path("none.sigmf-data"))
    assert not is_sigmf(tmp_path / "raw") and not is_sigmf(Path("none.cf32"))
