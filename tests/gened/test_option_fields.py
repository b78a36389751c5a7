# SPDX-License-Identifier: GPL-3.0-or-later
"""Options declared on the fields of records: help from attribute docstrings, bounds, NAME=VALUE."""

from __future__ import annotations

from dataclasses import MISSING, dataclass
from typing import TYPE_CHECKING, Annotated, Any

import pytest

from gened.errors import ConfigError
from gened.fieldwork.config import CalibrateConfig, SurveyConfig
from gened.gr_blocks.phy.channel.config import ChannelConfig
from gened.link import config
from gened.models.codecs.encode_options import EncodeOptions
from gened.option_fields import Option, Options, attribute_docs, check_bounds, option_fields, parse_name_values

if TYPE_CHECKING:
    from nowhere import Unknown

RECORDS = (
    EncodeOptions, ChannelConfig, CalibrateConfig, SurveyConfig, config.AirConfig, config.TransmitConfig,
    config.ReceiveConfig, config.RecordConfig, config.KeepConfig, config.LoopbackConfig, config.CaptionConfig,
    config.EditConfig,
)  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class Base:
    """A record."""

    width: Annotated[int, Option("--width", min=1, max=9)]
    """Width of
    something."""
    other: Unknown | None = None
    """A field of a type that exists for the type checker alone."""
    ratio: Annotated[float | None, Option("--ratio", min=0)] = None
    """Ratio."""


@dataclass(frozen=True, kw_only=True)
class Derived(Base):
    """A record with one field more."""

    name: Annotated[str, Option("--name")] = "x"
    """Name."""


def test_the_docstring_under_a_field_is_its_help_and_ancestors_count() -> None:
    assert attribute_docs(Derived)["width"] == "Width of something."
    found = option_fields(Derived)
    assert [(one.name, one.help, one.default) for one in found] == [
        ("width", "Width of something.", MISSING),
        ("ratio", "Ratio.", None),
        ("name", "Name.", "x"),
    ]
    assert found[1].type == float | None


@pytest.mark.parametrize("record", RECORDS, ids=lambda record: record.__name__)
def test_every_option_of_the_program_has_a_help_text_of_one_sentence_or_more(record: type[Any]) -> None:
    found = option_fields(record)
    assert found
    for one in found:
        assert one.help.endswith(".") and "`" not in one.help or isinstance(one.declared, Options), one.name


@pytest.mark.parametrize(
    ("values", "text"),
    [
        ({"width": 0}, "width is 0; from 1 to 9 is possible"),
        ({"width": 10**400}, "width is inf; from 1 to 9 is possible"),
        ({"width": 2, "ratio": -1.0}, "ratio is -1; a finite number from 0 on is possible"),
        ({"width": 2, "ratio": float("inf")}, "ratio is inf"),
        ({"width": 2, "ratio": float("nan")}, "ratio is nan"),
    ],
)
def test_bounds_hold_wherever_the_values_came_from(values: dict[str, Any], text: str) -> None:
    with pytest.raises(ConfigError, match=text):
        check_bounds(Base(**values))
    check_bounds(Base(width=9, ratio=0.0))


def test_name_value_pairs_become_plain_values() -> None:
    texts = ["a=1", "b=0.5", "c=true", "d=False", "e=text", "f=", "g=x=y"]
    assert parse_name_values(texts) == {
        "a": 1, "b": 0.5, "c": True, "d": False, "e": "text", "f": "", "g": "x=y",
    }  # fmt: skip
    for wrong in ("a", "=1", "1=2", "a b=1"):
        with pytest.raises(ConfigError, match="write it like model=FOLDER"):
            parse_name_values([wrong])
