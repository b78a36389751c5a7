# SPDX-License-Identifier: GPL-3.0-or-later
"""Read YAML for radio profiles: 2.4e9 is a number, `no` is a text, and a repeated key is an error.

PyYAML follows YAML 1.1, where 2.4e9 is a text, `no` is false, 1:30 is ninety, and the second of two equal keys silently
wins.
"""

from __future__ import annotations

import re
from typing import Any

import yaml

from gened.errors import ConfigError

MAX_BYTES = 65536
"""Largest size of a profile; the shipped ones have about 3000."""


class _Loader(yaml.SafeLoader):
    """Loads plain values only; numbers as in YAML 1.2."""

    yaml_implicit_resolvers: dict[str, Any] = {}

    def compose_node(self, parent: Any, index: Any) -> Any:
        """As the base class, but refuses aliases, with which a short text can expand to a huge value."""
        if self.check_event(yaml.AliasEvent):
            mark = self.get_mark()
            raise yaml.composer.ComposerError(None, None, "an alias (*) has no place here", mark)
        return super().compose_node(parent, index)

    def construct_mapping(self, node: Any, deep: bool = False) -> dict[Any, Any]:
        """As the base class, but a repeated key is an error."""
        keys = [key.value for key, _ in node.value]
        for key in keys:
            if keys.count(key) > 1:
                raise yaml.constructor.ConstructorError(None, None, f"the key '{key}' stands twice", node.start_mark)
        return super().construct_mapping(node, deep)


for _tag, _pattern, _first in (
    ("null", r"~|null|", ["~", "n", ""]),
    ("bool", r"true|false", list("tf")),
    ("int", r"[-+]?(?:0|[1-9][0-9_]*)", list("-+0123456789")),
    (
        "float",
        r"[-+]?(?:[0-9][0-9_]*\.[0-9_]*|\.[0-9][0-9_]*|[0-9][0-9_]*(?=[eE]))(?:[eE][-+]?[0-9]+)?",
        list("-+.0123456789"),
    ),
):
    _Loader.add_implicit_resolver(f"tag:yaml.org,2002:{_tag}", re.compile(rf"(?:{_pattern})\Z"), _first)


def parse_yaml(text: str, where: str) -> Any:
    """The plain values of a YAML text.

    Args:
        text: One document.
        where: Name of the text in errors.

    Raises:
        ConfigError: The text is no YAML, is too long, or repeats a key.
    """
    if len(text) > MAX_BYTES:
        raise ConfigError(f"{where}: {len(text)} characters; a radio profile has at most {MAX_BYTES}")
    try:
        return yaml.load(text, Loader=_Loader)  # a SafeLoader
    except (yaml.YAMLError, ValueError, RecursionError) as exc:
        mark = getattr(exc, "problem_mark", None)
        line = "" if mark is None else f", line {mark.line + 1}"
        reason = " ".join(str(getattr(exc, "problem", None) or exc).split())
        raise ConfigError(f"{where}{line}: {reason}; write KEY: VALUE, as in the shipped profiles") from exc
