# SPDX-License-Identifier: GPL-3.0-or-later
"""A profile with other values, written as a file: line by line, so that comments stay where they are.

What was written is read again and compared. Where a text is laid out in a way that lines cannot follow, such as
`rx: {gain_db: 30}`, it is written anew, without its comments.
"""

from __future__ import annotations

import copy
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from gened.errors import ConfigError
from gened.hw_config.profile import FOLDER, find_profile, load_profile
from gened.hw_config.reading import parse_yaml

HEADING = "# SPDX-License-Identifier: GPL-3.0-or-later\n"
_VALUE = r"(?P<value>\"[^\"]*\"|'[^']*'|[^\s#][^#]*?)?(?P<rest>\s*(?:\s#.*)?)$"


def require_new_file(path: Path, *, may_overwrite: bool = False) -> None:
    """Whether a profile may be written there; asked before anything is measured.

    Raises:
        ConfigError: A shipped profile, a file that is there already, no .yaml, or no folder.
    """
    if path.suffix not in (".yaml", ".yml"):
        raise ConfigError(f"{path}: a profile's file ends in .yaml, or --radio would not take it")
    if path.resolve().parent == FOLDER:
        raise ConfigError(f"{path} lies among the shipped profiles, which stay as they are; choose another folder")
    if path.exists() and not may_overwrite:
        raise ConfigError(f"{path} is there already; choose another name, or add --overwrite")
    if not path.absolute().parent.is_dir():
        raise ConfigError(f"{path.parent} is no folder; make it first")


def write_profile(
    source: str | Path, path: Path, values: Mapping[str, Any], *, note: str = "", may_overwrite: bool = False
) -> None:
    """Writes a copy of a profile with other values, whole or not at all.

    Args:
        source: A shipped name or a file, as `load_profile` takes it.
        path: Where the copy goes.
        values: By dotted key, such as {"rx.freq_correction_ppm": 1.98}.
        note: A comment of one line at its top.
        may_overwrite: Whether a file that is there may go.

    Raises:
        ConfigError: It may not go there, cannot be written, or a value is none that a profile takes.
    """
    require_new_file(path, may_overwrite=may_overwrite)
    text = changed_text(find_profile(source).read_text(encoding="utf-8"), values, path.name)
    if note:
        first, _, rest = text.partition("\n")
        text = f"{first}\n# {note}\n{rest}" if first.startswith("# SPDX") else f"# {note}\n{text}"
    partial = path.with_name(f".{path.stem}.part.yaml")
    try:
        partial.write_text(text, encoding="utf-8")
        load_profile(partial)
        partial.replace(path)
    except OSError as exc:
        raise ConfigError(f"cannot write {path}: {exc.strerror}") from exc
    finally:
        partial.unlink(missing_ok=True)


def changed_text(text: str, values: Mapping[str, Any], where: str) -> str:
    """A profile's text with other values.

    Args:
        text: YAML, a mapping of keys to values or to mappings.
        values: By dotted key; numbers, texts, booleans or None.
        where: How an error names the text.

    Returns:
        The text with its comments, if its values are then as they should be; otherwise a text of the values alone.

    Raises:
        ConfigError: `text` is no such YAML.
    """
    wanted = copy.deepcopy(parse_yaml(text, where))
    if not isinstance(wanted, dict):
        raise ConfigError(f"{where}: no mapping of keys to values; see the shipped profiles")
    lines = text.splitlines()
    for key, value in values.items():
        _set(wanted, key.split("."), value)
        lines = _set_line(lines, key.split("."), _written(value))
    written = "\n".join(lines) + "\n"
    try:
        if parse_yaml(written, where) == wanted:
            return written
    except ConfigError:
        pass  # a layout that lines cannot follow
    return HEADING + yaml.safe_dump(wanted, sort_keys=False, allow_unicode=True)


def _written(value: Any) -> str:
    """A plain value as YAML on one line."""
    text = yaml.safe_dump(value, allow_unicode=True, width=1 << 16)
    return text.removesuffix("...\n").strip()


def _set(values: Any, path: list[str], value: Any) -> None:
    *parents, last = path
    for part in parents:
        values = values[int(part)] if isinstance(values, list) else values.setdefault(part, {})
    values[int(last) if isinstance(values, list) else last] = value


def _set_line(lines: list[str], path: list[str], value: str) -> list[str]:
    """The lines with one key of the first or second level changed or added; as they are where that is not possible."""
    if len(path) == 1:
        return _in_block(lines, 0, len(lines), "", path[0], value)
    parent = next((n for n, line in enumerate(lines) if re.match(rf"{re.escape(path[0])}:\s*(#.*)?$", line)), None)
    if len(path) > 2 or (parent is None and any(line.startswith(f"{path[0]}:") for line in lines)):
        return lines
    if parent is None:
        return [*lines, f"{path[0]}:", f"  {path[1]}: {value}"]
    end = next((n for n in range(parent + 1, len(lines)) if re.match(r"[^\s#]", lines[n])), len(lines))
    indent = next((m[0] for line in lines[parent + 1 : end] if (m := re.match(r" +(?=[^\s#])", line))), "  ")
    return _in_block(lines, parent + 1, end, indent, path[1], value)


def _in_block(lines: list[str], first: int, end: int, indent: str, key: str, value: str) -> list[str]:
    for n in range(first, end):
        match = re.match(rf"(?P<key>{indent}{re.escape(key)}:)\s*{_VALUE}", lines[n])
        if match is not None:
            old, rest = match["value"] or "", match["rest"] or ""
            comment, column = rest.strip(), len(old) + len(rest) - len(rest.lstrip())  # comments stay in their column
            text = f"{value:<{column - 1}} {comment}" if comment else value
            return [*lines[:n], f"{match['key']} {text}", *lines[n + 1 :]]
    last = max((n for n in range(first, end) if re.match(rf"{indent}[^\s#]", lines[n])), default=first - 1)
    return [*lines[: last + 1], f"{indent}{key}: {value}", *lines[last + 1 :]]
