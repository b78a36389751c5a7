# SPDX-License-Identifier: GPL-3.0-or-later
"""Profiles written anew: only what was asked for changes, comments stay, and no file goes unasked."""

from __future__ import annotations

from pathlib import Path

import pytest

from gened.errors import ConfigError
from gened.hw_config.profile import FOLDER, load_profile, shipped_profiles
from gened.hw_config.reading import parse_yaml
from gened.hw_config.writing import changed_text, require_new_file, write_profile

VALUES = {"rx.freq_correction_ppm": 1.98, "tx.gain_db": -20.25}
RADIOS = [name for name in shipped_profiles() if load_profile(name).driver == "iio"]


@pytest.mark.parametrize("name", RADIOS)
def test_a_copy_of_every_profile_differs_in_what_was_asked_for_alone(name: str, tmp_path: Path) -> None:
    write_profile(name, tmp_path / "mine.yaml", VALUES, note="by hand")
    before, after = load_profile(name), load_profile(tmp_path / "mine.yaml")
    assert (after.rx.freq_correction_ppm, after.tx.gain_db) == (1.98, -20.25)
    expected = before.model_copy(
        update={
            "name": "mine.yaml",
            "tx": before.tx.model_copy(update={"gain_db": -20.25}),
            "rx": before.rx.model_copy(update={"freq_correction_ppm": 1.98}),
        }
    )
    assert after == expected


@pytest.mark.parametrize("name", RADIOS)
def test_every_comment_stays(name: str, tmp_path: Path) -> None:
    write_profile(name, tmp_path / "mine.yaml", VALUES, note="by hand")

    def comments(path: Path) -> list[str]:
        return [line.partition("#")[2] for line in path.read_text().splitlines() if "#" in line]

    written = comments(tmp_path / "mine.yaml")
    assert written[:2] == [" SPDX-License-Identifier: GPL-3.0-or-later", " by hand"]
    assert [text for text in written if text != " by hand"] == comments(FOLDER / f"{name}.yaml")


def test_comments_keep_their_column_and_new_keys_stand_at_the_end_of_their_block() -> None:
    text = "a: 1\ntx:\n  gain_db: -10   # dB\nrx:\n  gain_db: 30    # dB\n\n# about b\nb: x\n"
    changed = changed_text(text, {"tx.gain_db": -20.25, "rx.lo": None, "b": "y: z", "c": True}, "text")
    assert changed == (
        "a: 1\ntx:\n  gain_db: -20.25 # dB\nrx:\n  gain_db: 30    # dB\n  lo: null\n\n# about b\nb: 'y: z'\nc: true\n"
    )


@pytest.mark.parametrize("name", shipped_profiles())
def test_no_other_line_of_a_shipped_profile_changes(name: str) -> None:
    text = (FOLDER / f"{name}.yaml").read_text()
    changed = changed_text(text, {"description": "mine", "tx.gain_db": -20.25, "rx.gain_db": 12}, name)
    before, after = text.splitlines(), changed.splitlines()
    lost = [line for line in before if line not in after]
    assert all(line.strip().startswith(("description:", "gain_db:")) for line in lost), lost
    assert parse_yaml(changed, name)["rx"]["gain_db"] == 12
    assert changed_text(text, {}, name) == text


def test_a_block_in_braces_keeps_its_layout_and_its_comment() -> None:
    text = "rx: {gain_db: 30, lo: null}  # both\n# about b\nb: 1\n"
    expected = "rx: {gain_db: 20, lo: null, mode: a} # both\n# about b\nb: 1\n"
    changed = changed_text(text, {"rx.gain_db": 20, "rx.mode": "a"}, "text")
    assert changed.split() == expected.split()
    assert changed.splitlines()[1:] == expected.splitlines()[1:]


@pytest.mark.parametrize(
    "value", ["no", "1:30", "2.4e9", "null", "true", "", "# x", "a: b", "ü", "x" * 300, 2.4e9, 1e-7]
)
def test_every_value_is_read_back_as_it_was(value: str | float) -> None:
    assert parse_yaml(changed_text("a: 1  # one\n", {"a": value, "tx.b": value}, "text"), "text") == {
        "a": value, "tx": {"b": value},
    }  # fmt: skip


def test_a_block_that_is_missing_is_added() -> None:
    assert changed_text("a: 1\n", {"rx.gain_db": 3}, "text") == "a: 1\nrx:\n  gain_db: 3\n"


@pytest.mark.parametrize(
    ("text", "values"),
    [
        ("rx: {gain_db: 30}\n", {"rx.gain_db": 20}),
        ("law: >-\n  one\n  two\n", {"law": "three"}),
        ("bands:\n  - {low: 1, high: 2}\n", {"bands.0.high": 3}),
    ],
)
def test_what_lines_cannot_follow_is_written_anew_and_right(text: str, values: dict[str, object]) -> None:
    key, value = next(iter(values.items()))
    at = parse_yaml(changed_text(text, values, "text"), "text")
    for part in key.split("."):
        at = at[int(part)] if isinstance(at, list) else at[part]
    assert at == value


def test_no_shipped_file_and_no_file_that_is_there_is_overwritten_unasked(tmp_path: Path) -> None:
    there = tmp_path / "mine.yaml"
    there.write_text("mine")
    for path, message in (
        (FOLDER / "pluto.yaml", "lies among the shipped profiles"),
        (FOLDER / "new.yaml", "lies among the shipped profiles"),
        (there, "is there already; choose another name, or add --overwrite"),
        (tmp_path / "mine.txt", "ends in .yaml"),
        (tmp_path / "absent" / "mine.yaml", "is no folder"),
    ):
        with pytest.raises(ConfigError, match=message):
            write_profile("pluto", path, VALUES)
    with pytest.raises(ConfigError, match="shipped"):
        require_new_file(FOLDER / "pluto.yaml", may_overwrite=True)
    assert there.read_text() == "mine"
    write_profile("pluto", there, VALUES, may_overwrite=True)
    assert load_profile(there).tx.gain_db == -20.25


def test_a_value_that_no_profile_takes_leaves_no_file(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"tx\.gain_db is 7"):
        write_profile("pluto", tmp_path / "mine.yaml", {"tx.gain_db": 7})
    assert list(tmp_path.iterdir()) == []


# The correction


def test_the_receiver_alone_is_tuned_by_the_correction() -> None:
    hardware = load_profile("pluto", {"rx.freq_correction_ppm": "2", "rx.center_freq": "2450e6"})
    assert hardware.tuned_freq("rx") == pytest.approx(2450e6 + 4900)
    assert hardware.tuned_freq("tx") == 2449.5e6
    assert load_profile("pluto").tuned_freq("rx") == 2449.5e6


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("pluto", "300", r"rx\.freq_correction_ppm is 300 \(--set\); allowed: a number from -200 to 200"),
        ("pluto", "much", r"rx\.freq_correction_ppm is 'much'"),
        ("loopback", "2", r"rx\.freq_correction_ppm is 2.*only a radio has an oscillator"),
    ],
)
def test_a_correction_that_cannot_be_is_one_line(name: str, value: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        load_profile(name, {"rx.freq_correction_ppm": value})
