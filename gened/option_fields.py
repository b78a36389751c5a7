# SPDX-License-Identifier: GPL-3.0-or-later
"""Command-line options that are declared on the fields of configuration records.

A record is a frozen dataclass. A field that a person may set on the command line is annotated with an `Option`, and the
attribute docstring under the field is the help text of that option:

    @dataclass(frozen=True, kw_only=True)
    class EncodeOptions:
        refine_steps: Annotated[int, Option("--refine", metavar="N", min=0, max=500)] = 0
        \"""Gradient steps that the encoder spends on each photograph.\"""

`gened.commands.generated` makes the options of a command from these declarations; `check_bounds` holds every record to
the same bounds, wherever its values came from.
"""

from __future__ import annotations

import ast
import dataclasses
import inspect
import math
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import MISSING, dataclass
from functools import cache
from typing import Annotated, Any, NamedTuple

from gened.errors import ConfigError

_BEYOND = 1e300
"""Integers from here on may not fit a float; none is within any bounds."""


@dataclass(frozen=True)
class Option:
    """How a field appears on the command line.

    Args:
        flag: Such as "--refine"; a word without hyphens, such as "PHOTO...", makes a positional argument.
        aliases: Further names of the same option.
        metavar: Placeholder of the value in the help.
        min: Smallest value, included.
        max: Largest value, included.
        parse: Text of one value to the value; it raises a `GenedError` that says how to write it.
        gather: All values of a repeatable option to the field's value; a tuple when None.
        choices: Words that are possible; the help lists them, the record checks them.
        shown_default: Words for a default that is not a plain value, such as "the codec's".
    """

    flag: str
    aliases: tuple[str, ...] = ()
    metavar: str | None = None
    min: float | None = None
    max: float | None = None
    parse: Callable[[str], Any] | None = None
    gather: Callable[[Sequence[Any]], Any] | None = None
    choices: tuple[str, ...] = ()
    shown_default: str | None = None


@dataclass(frozen=True)
class Options:
    """Marks a field, or the parameter of a command, that is itself a record with options.

    Args:
        without: Fields that are no options here; "encode.seed" names a field of the record in the field `encode`.
        defaults: Defaults that differ from the record's, by the same names.
        flags: Option names that differ from the record's, the first one first, by the same names.
        shown_defaults: Words for defaults, by the same names.
    """

    without: tuple[str, ...] = ()
    defaults: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    flags: Mapping[str, tuple[str, ...]] = dataclasses.field(default_factory=dict)
    shown_defaults: Mapping[str, str] = dataclasses.field(default_factory=dict)


class OptionField(NamedTuple):
    """A field with an option of its own, or a record with several."""

    name: str
    type: Any
    """Type of the field without its declaration."""
    declared: Option | Options
    default: Any
    """`dataclasses.MISSING` where a value must be given."""
    help: str


_KNOWN: dict[type[Any], tuple[OptionField, ...]] = {}


def option_fields(record: type[Any]) -> tuple[OptionField, ...]:
    """The fields of a record that are declared as options, in their order.

    Fields without a declaration may have types that exist for the type checker alone.
    """
    if record not in _KNOWN:
        _KNOWN[record] = _read_fields(record)
    return _KNOWN[record]


def _read_fields(record: type[Any]) -> tuple[OptionField, ...]:
    documents = attribute_docs(record)
    found = []
    for one in dataclasses.fields(record):
        kind = _annotation(record, one.name)
        declared = next(
            (item for item in getattr(kind, "__metadata__", ()) if isinstance(item, Option | Options)), None
        )
        if declared is None:
            continue
        default = one.default_factory() if one.default_factory is not MISSING else one.default
        found.append(OptionField(one.name, kind.__origin__, declared, default, documents.get(one.name, "")))
    return tuple(found)


def _annotation(record: type[Any], name: str) -> Any:
    """The evaluated annotation of a field; None where it needs names that are imported for the type checker alone."""
    owner = next(base for base in record.__mro__ if name in base.__dict__.get("__annotations__", {}))
    annotation = owner.__annotations__[name]
    if not isinstance(annotation, str):
        return annotation
    if not annotation.startswith("Annotated["):
        return None
    return eval(annotation, {"Annotated": Annotated, **vars(sys.modules[owner.__module__])})  # our own source


def attribute_docs(record: type[Any]) -> dict[str, str]:
    """The string literal under each attribute of a class and its ancestors, as one line; none without source code."""
    found: dict[str, str] = {}
    for base in reversed(record.__mro__):
        body = _class_bodies(base.__module__).get(base.__qualname__.rpartition(".")[2], [])
        for statement, after in zip(body, body[1:], strict=False):
            if (
                isinstance(statement, ast.AnnAssign)
                and isinstance(statement.target, ast.Name)
                and isinstance(after, ast.Expr)
                and isinstance(after.value, ast.Constant)
                and isinstance(after.value.value, str)
            ):
                found[statement.target.id] = " ".join(after.value.value.split())
    return found


@cache
def _class_bodies(module: str) -> dict[str, list[ast.stmt]]:
    """Statements of each class of a module, by its name."""
    if module == "builtins":
        return {}
    try:
        source = inspect.getsource(sys.modules[module])
    except (OSError, TypeError, KeyError):  # a frozen program, or a class made at a prompt
        return {}
    return {node.name: node.body for node in ast.walk(ast.parse(source)) if isinstance(node, ast.ClassDef)}


def check_bounds(record: Any) -> None:
    """Holds the numbers of a record to the bounds that its options declare; no number may be infinite.

    Raises:
        ConfigError: A value is out of its bounds; the message names the field and what is possible.
    """
    for name, _, declared, _, _ in option_fields(type(record)):
        value = getattr(record, name)
        if not isinstance(declared, Option) or isinstance(value, bool) or not isinstance(value, int | float):
            continue
        low, high = declared.min, declared.max
        number = math.inf if abs(value) >= _BEYOND else float(value)
        if not math.isfinite(number) or not (low is None or low <= number) or not (high is None or number <= high):
            raise ConfigError(f"{name} is {number:g}; {_possible(low, high)}")


def _possible(low: float | None, high: float | None) -> str:
    if low is not None and high is not None:
        return f"from {low:g} to {high:g} is possible"
    if low is not None:
        return f"a finite number from {low:g} on is possible"
    return "give a finite number" if high is None else f"a finite number up to {high:g} is possible"


def parse_name_values(texts: Sequence[str]) -> dict[str, Any]:
    """Repeated NAME=VALUE as a dictionary: numbers, true and false as such, everything else as text.

    Raises:
        ConfigError: A text is not NAME=VALUE.
    """
    found: dict[str, Any] = {}
    for text in texts:
        name, equals, value = text.partition("=")
        if not equals or not name.isidentifier():
            raise ConfigError(f"'{text}' is not an option; write it like model=FOLDER")
        found[name] = _plain_value(value)
    return found


def _plain_value(text: str) -> Any:
    if text.lower() in ("true", "false"):
        return text.lower() == "true"
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            continue
    return text
