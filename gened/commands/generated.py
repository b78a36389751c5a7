# SPDX-License-Identifier: GPL-3.0-or-later
"""Commands whose options are generated from the records that configure the program.

A command is a function. A parameter of the type `Given[SomeConfig]` stands for all options that the fields of
`SomeConfig` declare (see `gened.option_fields`); the function receives their values and makes the record:

    @from_records
    def air(config: Given[AirConfig], quiet: options.Quiet = False) -> None:
        run_air(config.make(), ...)

Two records of one command may declare the same option, such as --seed: it is then one option that sets both.
"""

from __future__ import annotations

import dataclasses
import functools
import inspect
import keyword
import types
import typing
from collections.abc import Callable, Iterator, Mapping
from typing import Annotated, Any, Generic, Literal, NamedTuple, TypeVar

import typer

from gened.errors import GenedError
from gened.option_fields import Option, OptionField, Options, option_fields

C = TypeVar("C")


class Given(Generic[C]):
    """Values of a record's fields as the command line has them.

    Args:
        record: The class of the record.
        values: By field; a `Given` for a field that is a record with options of its own.
    """

    def __init__(self, record: type[C], values: Mapping[str, Any]) -> None:
        self._record = record
        self._values = dict(values)

    def __getitem__(self, field: str) -> Any:
        return self._values[field]

    def get(self, field: str, default: Any = None) -> Any:
        """The value of a field; the default where the field is no option of this command."""
        return self._values.get(field, default)

    def make(self, **others: Any) -> C:
        """The record.

        Args:
            **others: Fields that are no options, and values in place of those of the command line.

        Raises:
            GenedError: The record refuses a value.
        """
        values = self._values | others
        return self._record(**{name: one.make() if isinstance(one, Given) else one for name, one in values.items()})


class _Choice(NamedTuple):
    """An option of a command, and the field that it sets."""

    path: tuple[str, ...]
    field: OptionField
    option: Option

    @property
    def parameter(self) -> str:
        """Name of the parameter: that of the option, or of the field for a positional argument."""
        if not self.option.flag.startswith("-"):
            return self.field.name
        name = self.option.flag.lstrip("-").replace("-", "_")
        return f"{name}_" if keyword.iskeyword(name) else name


def from_records(function: Callable[..., None]) -> Callable[..., None]:
    """The function that typer makes a command from: the options of its record replace each `Given` parameter.

    Raises:
        TypeError: A change of `Options` names a field that is no option of the record.
    """
    hints = typing.get_type_hints(function, include_extras=True)
    parameters: dict[str, inspect.Parameter] = {}
    records: dict[str, tuple[type[Any], list[_Choice]]] = {}
    own: list[str] = []
    for name, parameter in inspect.signature(function).parameters.items():
        record, changes = _record_of(hints[name])
        if record is None:
            own.append(name)
            parameters[name] = parameter.replace(kind=inspect.Parameter.KEYWORD_ONLY, annotation=hints[name])
            continue
        records[name] = record, _choices(record, changes)
        for choice in records[name][1]:
            parameters.setdefault(choice.parameter, _parameter(choice))

    def command(**values: Any) -> None:
        given = {name: _given(record, choices, values) for name, (record, choices) in records.items()}
        function(**{name: values[name] for name in own}, **given)

    functools.update_wrapper(command, function)
    del command.__wrapped__  # type: ignore[attr-defined]  # typer would read the parameters of the function itself
    command.__signature__ = inspect.Signature(list(parameters.values()))  # type: ignore[attr-defined]
    command.__annotations__ = {name: one.annotation for name, one in parameters.items()}
    return command


def _record_of(hint: Any) -> tuple[type[Any] | None, Options]:
    """The record of an annotation `Given[...]`, and its changes; None for the record of any other annotation."""
    changes = next((item for item in getattr(hint, "__metadata__", ()) if isinstance(item, Options)), Options())
    kind = hint.__origin__ if typing.get_origin(hint) is Annotated else hint
    return (typing.get_args(kind)[0] if typing.get_origin(kind) is Given else None), changes


def _choices(record: type[Any], changes: Options) -> list[_Choice]:
    """All options of a record and of the records in its fields."""
    unused = {*changes.without, *changes.defaults, *changes.flags, *changes.shown_defaults}

    def walk(kind: type[Any], path: tuple[str, ...]) -> Iterator[_Choice]:
        for field in option_fields(kind):
            key = ".".join((*path, field.name))
            unused.discard(key)
            if key in changes.without:
                continue
            if isinstance(field.declared, Option):
                default = changes.defaults.get(key, field.default)
                yield _Choice((*path, field.name), field._replace(default=default), _changed(field, key, changes))
            else:
                yield from walk(_without_none(field.type), (*path, field.name))

    found = list(walk(record, ()))
    if unused:
        raise TypeError(f"{record.__name__} has no option {', '.join(sorted(unused))}")
    return found


def _changed(field: OptionField, key: str, changes: Options) -> Option:
    assert isinstance(field.declared, Option)
    option = field.declared
    if key in changes.flags:
        flag, *aliases = changes.flags[key]
        option = dataclasses.replace(option, flag=flag, aliases=tuple(aliases))
    if key in changes.shown_defaults:
        option = dataclasses.replace(option, shown_default=changes.shown_defaults[key])
    return option


def _given(record: type[Any], choices: list[_Choice], values: Mapping[str, Any]) -> Given[Any]:
    """The values of a record, those of the records in its fields as `Given`."""
    tree: dict[str, Any] = {}
    for choice in choices:
        *folders, name = choice.path
        place = tree
        for folder in folders:
            place = place.setdefault(folder, {})
        place[name] = _field_value(choice, values[choice.parameter])
    return _made(record, tree)


def _made(record: type[Any], tree: Mapping[str, Any]) -> Given[Any]:
    kinds = {field.name: field for field in option_fields(record)}
    return Given(
        record,
        {
            name: _made(_without_none(kinds[name].type), value) if isinstance(kinds[name].declared, Options) else value
            for name, value in tree.items()
        },
    )


def _field_value(choice: _Choice, value: Any) -> Any:
    """The field's value of what typer has read: repeated options are gathered."""
    if not _is_repeated(choice):
        return value
    if value is None:
        return choice.field.default
    return choice.option.gather(value) if choice.option.gather is not None else tuple(value)


def _is_repeated(choice: _Choice) -> bool:
    return choice.option.gather is not None or typing.get_origin(choice.field.type) is tuple


def _without_none(kind: Any) -> Any:
    """The type in `type | None`; any other type as it is."""
    if typing.get_origin(kind) not in (typing.Union, types.UnionType):
        return kind
    return next(one for one in typing.get_args(kind) if one is not types.NoneType)


def _typer_type(choice: _Choice) -> Any:
    """The type that typer reads on the command line; text for what the option itself gathers from words."""
    kind = choice.field.type
    if not _is_repeated(choice):
        return str if typing.get_origin(kind) is Literal else kind
    item = typing.get_args(kind)[0] if typing.get_origin(kind) in (tuple, frozenset) else str
    if choice.option.parse is not None:
        item = str  # typer shows the metavar; the parser makes the value
    return list[item] if choice.field.default is dataclasses.MISSING else list[item] | None  # type: ignore[valid-type]


def _parameter(choice: _Choice) -> inspect.Parameter:
    """The parameter that typer makes an option or an argument from."""
    option, field = choice.option, choice.field
    default = field.default
    if _is_repeated(choice) and default is not dataclasses.MISSING:
        default = None
    shown: bool | str = default not in (None, "", dataclasses.MISSING)
    if option.shown_default is not None:
        shown = option.shown_default
    help_text = f"{field.help} One of {', '.join(option.choices)}." if option.choices else field.help
    common: dict[str, Any] = {
        "help": help_text, "metavar": option.metavar, "show_default": shown,
        "min": option.min, "max": option.max, "parser": _parser(option),
    }  # fmt: skip
    if option.flag.startswith("-"):
        info: Any = typer.Option(option.flag, *option.aliases, **common)
    else:
        info = typer.Argument(**{**common, "metavar": option.flag})
    return inspect.Parameter(
        choice.parameter,
        inspect.Parameter.KEYWORD_ONLY,
        annotation=Annotated[_typer_type(choice), info],
        default=inspect.Parameter.empty if default is dataclasses.MISSING else default,
    )


def _parser(option: Option) -> Callable[[str], Any] | None:
    if option.parse is None:
        return None
    parse = option.parse

    def read(text: str) -> Any:
        try:
            return parse(text)
        except GenedError as error:
            raise typer.BadParameter(str(error)) from error

    return read
