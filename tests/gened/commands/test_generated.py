# SPDX-License-Identifier: GPL-3.0-or-later
"""Commands that are generated from records: options, help, values, and what two records share."""

from __future__ import annotations

from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import Annotated, Any, Literal

import pytest
import typer
from sharpening_codec import SharpeningOptions
from typer.testing import CliRunner

from gened.commands.generated import Given, from_records
from gened.errors import ConfigError
from gened.option_fields import Option, Options, parse_name_values


def box(text: str) -> tuple[int, int]:
    width, _, height = text.partition("x")
    if not height:
        raise ConfigError(f"'{text}' is not a box")
    return int(width), int(height)


@dataclass(frozen=True, kw_only=True)
class Sender:
    """What is sent."""

    photos: Annotated[tuple[Path, ...], Option("PHOTO...")]
    """Picture files."""
    encode: Annotated[SharpeningOptions, Options()] = SharpeningOptions()
    """Settings of the encoder."""
    boxes: Annotated[tuple[tuple[int, int], ...], Option("--box", parse=box, metavar="WxH")] = ()
    """A box."""
    lost: Annotated[frozenset[int], Option("--lost", gather=frozenset, min=0)] = frozenset()
    """A lost burst."""
    settings: Annotated[dict[str, Any], Option("--setting", gather=parse_name_values)] = field(default_factory=dict)
    """A setting."""
    kind: Annotated[Literal["a", "b"], Option("--kind", choices=("a", "b"))] = "a"
    """Kind of channel."""
    is_quick: Annotated[bool, Option("--quick")] = False
    """Be quick."""
    source: Annotated[Path | None, Option("--from")] = None
    """A recording."""
    serial: int
    """No option: the command knows it."""


@dataclass(frozen=True, kw_only=True)
class Air:
    """What happens to it."""

    seed: Annotated[int, Option("--seed", min=0)] = 0
    """Seed of the noise."""
    snr_db: Annotated[float, Option("--snr")] = 10.0
    """SNR, dB."""


made: list[Any] = []


@from_records
def send(
    context: typer.Context,
    sender: Annotated[
        Given[Sender],
        Options(
            without=("encode.focus",),
            flags={"encode.snr_db": ("--design", "--snr-design")},
            defaults={"encode.refine_steps": 7},
            shown_defaults={"encode.refine_steps": "seven"},
        ),
    ],
    air: Given[Air],
    quiet: Annotated[bool, typer.Option("--quiet", "-q")] = False,
) -> None:
    """Send."""
    source = context.get_parameter_source("seed")
    made.append((sender.make(serial=5), air.make(), quiet, source is not None and source.name))


app = typer.Typer(add_completion=False)
app.command()(send)


def run(*arguments: str) -> Any:
    """The records that a command line makes, or its complaint."""
    made.clear()
    result = CliRunner().invoke(app, arguments, env={"COLUMNS": "200", "TERM": "dumb"})
    return made[0] if made else result.output


def test_a_new_setting_of_a_record_is_an_option_with_its_docstring_as_help() -> None:
    told = " ".join(run("--help").split())
    assert "--sharpness" in told and "Sharpness of edges, from 0 to 1." in told
    assert "--seed" in told and told.count("--seed") == 1 and "--focus" not in told
    assert "--design" in told and "--snr-design" in told and "(seven)" in told
    assert "Kind of channel. One of a, b." in told and "serial" not in told


def test_values_arrive_in_the_fields_of_the_records() -> None:
    sender, air, quiet, source = run(
        "a.png", "b.png", "--sharpness", "0.5", "--rate", "1/6", "--box", "2x3", "--box", "4x5", "--lost", "3",
        "--setting", "x=1", "--kind", "b", "--quick", "--from", "f", "--seed", "9", "-q", "--snr", "3",
        "--snr-design", "4",
    )  # fmt: skip
    assert sender == Sender(
        photos=(Path("a.png"), Path("b.png")), boxes=((2, 3), (4, 5)), lost=frozenset({3}), settings={"x": 1}, kind="b",
        is_quick=True, source=Path("f"), serial=5,
        encode=SharpeningOptions(sharpness=0.5, rate=Fraction(1, 6), seed=9, snr_db=4.0, refine_steps=7),
    )  # fmt: skip
    assert air == Air(seed=9, snr_db=3.0) and quiet and source == "COMMANDLINE"


def test_defaults_are_the_records_own_unless_the_command_has_others() -> None:
    sender, air, quiet, source = run("a.png")
    assert sender == Sender(photos=(Path("a.png"),), serial=5, encode=SharpeningOptions(refine_steps=7))
    assert (air, quiet, source) == (Air(), False, "DEFAULT")


@pytest.mark.parametrize(
    ("arguments", "parts"),
    [
        (("a.png", "--sharpness", "2"), ("--sharpness", "1")),
        (("a.png", "--rate", "2/1"), ("--rate", "cannot be sent")),
        (("a.png", "--box", "seven"), ("--box", "'seven' is not a box")),
        (("a.png", "--lost", "-1"), ("--lost", "0")),
        ((), ("PHOTO",)),
        (("a.png", "--focus", "2"), ("--focus",)),
    ],
)
def test_a_wrong_value_names_its_option(arguments: tuple[str, ...], parts: tuple[str, ...]) -> None:
    told = run(*arguments)
    assert isinstance(told, str) and all(part in told for part in parts)


@pytest.mark.parametrize("changes", [{"without": ("nothing",)}, {"defaults": {"encode.nothing": 1}}])
def test_a_change_of_a_field_that_is_no_option_is_an_error_of_the_program(changes: dict[str, Any]) -> None:
    def wrong(sender: Annotated[Given[Sender], Options(**changes)]) -> None:
        """Never called."""

    wrong.__annotations__["sender"] = Annotated[Given[Sender], Options(**changes)]
    with pytest.raises(TypeError, match="has no option"):
        from_records(wrong)
