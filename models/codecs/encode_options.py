# SPDX-License-Identifier: GPL-3.0-or-later
"""The settings of an encoder: one record from the command line to the codec.

    command line -> TransmitConfig -> Transmitter -> semantic_encoder -> worker process -> codec

A new setting is a field here, with its option, and a keyword of that name in the `encode` of each codec that has it.
Codecs without the keyword refuse it with one line; nothing between the two names it.
"""

from __future__ import annotations

import json
import math
from dataclasses import dataclass, fields, replace
from fractions import Fraction
from typing import Annotated, Any, Self

from gened.errors import ConfigError
from gened.gr_blocks.phy.framing.rate import parse_rate
from gened.option_fields import Option, check_bounds, option_fields

MAX_REFINE_STEPS = 500
MAX_SIDE_MARGIN_DB = 30.0
MAX_SEED = 2**31 - 1
MAX_TEXT = 2048
"""Characters of the record as text."""
ALWAYS = ("rate", "snr_db", "seed")
"""Settings that every codec knows, or may ignore (the seed, without random numbers)."""


@dataclass(frozen=True, kw_only=True)
class EncodeOptions:
    """How pictures are encoded.

    What belongs to a single picture (its pixels, its mask) travels beside this record, not in it.

    Raises:
        ConfigError: A number out of range.
        FrameError: A rate that no header can carry.
    """

    rate: Annotated[Fraction, Option("--rate", metavar="FRACTION", parse=parse_rate)] = Fraction(1, 24)
    """Complex symbols per source value (3 per pixel)."""
    snr_db: Annotated[float, Option("--snr-design", metavar="DB")] = 10.0
    """SNR that the encoder codes for, Es/N0 on an occupied carrier, dB."""
    focus: Annotated[float | None, Option("--focus", metavar="W", shown_default="the codec's")] = None
    """Weight of important regions, 1 for none."""
    refine_steps: Annotated[int, Option("--refine", metavar="N", min=0, max=MAX_REFINE_STEPS)] = 0
    """Gradient steps that the encoder spends on each photograph."""
    side_margin_db: Annotated[float, Option("--side-margin", metavar="DB", min=0, max=MAX_SIDE_MARGIN_DB)] = 0.0
    """How far a burst may fade below the design SNR before class map and mask are lost, dB."""
    seed: Annotated[int, Option("--seed", min=0, max=MAX_SEED)] = 0
    """Seed of noise, fading and everything else that is drawn at random."""

    def __post_init__(self) -> None:
        parse_rate(self.rate)
        if self.focus is not None and not 0 < self.focus < math.inf:
            raise ConfigError(f"a focus of {self.focus:g}; give a positive number, 1 for none")
        check_bounds(self)

    def chosen(self) -> dict[str, Any]:
        """The settings that differ from their defaults, besides those that every codec knows."""
        return {
            one.name: getattr(self, one.name)
            for one in fields(self)
            if one.name not in ALWAYS and getattr(self, one.name) != one.default
        }

    def flag(self, name: str) -> str:
        """The command-line option of a setting, or its name."""
        flags = {one.name: one.declared.flag for one in option_fields(type(self)) if isinstance(one.declared, Option)}
        return flags.get(name, name)

    def for_frame(self, number: int, snr_db: float) -> Self:
        """The settings of one frame of a series: with a seed of its own, and the SNR as its header carries it."""
        return replace(self, seed=(self.seed + number) % (MAX_SEED + 1), snr_db=snr_db)

    def to_text(self) -> str:
        """The record as JSON, for a PDU; see `from_text`."""
        values = {one.name: getattr(self, one.name) for one in fields(self)}
        return json.dumps({**values, "rate": str(self.rate)}, allow_nan=False)

    @classmethod
    def from_text(cls, text: str) -> Self:
        """The record of a text that anybody may have written.

        Raises:
            ConfigError: Not JSON, an unknown setting, or a value of a wrong type or out of range.
            FrameError: A rate that no header can carry.
        """
        if len(text) > MAX_TEXT:
            raise ConfigError(f"encoding options of {len(text)} characters; at most {MAX_TEXT} are read")
        try:
            found = json.loads(text)
        except (ValueError, RecursionError) as error:
            raise ConfigError("the encoding options are not JSON") from error
        if not isinstance(found, dict):
            raise ConfigError("the encoding options are not a JSON object")
        kinds = {one.name: one.type for one in option_fields(cls)}
        for name in found:
            if name not in kinds:
                raise ConfigError(f"unknown encoding option {name[:40]!r}; known are {', '.join(kinds)}")
        return cls(**{name: _checked(name, value, kinds[name]) for name, value in found.items()})


def _checked(name: str, value: object, kind: Any) -> Any:
    """A value of JSON that has the type of its field; a rate is text, such as "1/24"."""
    from pydantic import Field  # not at the top: pydantic takes as long to load as a command's help

    from gened.hostile import checked

    if kind is Fraction:
        return parse_rate(value if isinstance(value, str) else "")
    strict: Any = Annotated[kind, Field(strict=True)]
    return checked(strict, value, where=f"{name} ", error=ConfigError)
