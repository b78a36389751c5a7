# SPDX-License-Identifier: GPL-3.0-or-later
"""Write a copy of a profile with other values; comments, order and layout stay.

ruamel.yaml edits the text; the result is read again as a profile is read, and compared with what was asked for.
"""

from __future__ import annotations

import copy
import io
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.comments import CommentedMap
from ruamel.yaml.error import CommentMark
from ruamel.yaml.nodes import ScalarNode
from ruamel.yaml.representer import RoundTripRepresenter
from ruamel.yaml.tokens import CommentToken

from gened.errors import ConfigError
from gened.hw_config.profile import FOLDER, find_profile, load_profile
from gened.hw_config.reading import parse_yaml

LINE_LEN = 1 << 16
"""No line is broken that was not broken before."""


class _Representer(RoundTripRepresenter):
    """Writes None as `null`, as the profiles do, where ruamel.yaml would write nothing."""

    def represent_none(self, data: None) -> ScalarNode:
        return self.represent_scalar("tag:yaml.org,2002:null", "null")


_Representer.add_representer(type(None), _Representer.represent_none)


def require_new_file(path: Path, *, may_overwrite: bool = False) -> None:
    """Checks that a profile may be written there; to be called before anything is measured.

    Raises:
        ConfigError: The path is a shipped profile, exists, does not end in .yaml, or has no folder.
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
    """Writes a copy of a profile with other values; the file appears whole or not at all.

    Args:
        source: A shipped name or a file, as `load_profile` takes it.
        path: Where the copy goes.
        values: By dotted key, such as {"rx.freq_correction_ppm": 1.98}.
        note: A comment of one line at its top.
        may_overwrite: Whether an existing file may be replaced.

    Raises:
        ConfigError: The path is refused, the file cannot be written, or a profile does not accept a value.
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
        values: By dotted key; numbers, texts, booleans or None. A key or block that is missing is added at the end.
        where: Name of the text in errors.

    Returns:
        The text with its comments and its layout.

    Raises:
        ConfigError: `text` is no such YAML, or its layout does not allow the change.
    """
    wanted = copy.deepcopy(parse_yaml(text, where))  # bounded and without aliases, so ruamel.yaml may read it too
    if not isinstance(wanted, dict):
        raise ConfigError(f"{where}: no mapping of keys to values; see the shipped profiles")
    editor = YAML()
    editor.Representer = _Representer
    editor.preserve_quotes = True
    editor.width = LINE_LEN
    editor.indent(mapping=2, sequence=4, offset=2)
    document = editor.load(text)
    for key, value in values.items():
        for tree in (wanted, document):
            _set(tree, key.split("."), value)
    out = io.StringIO()
    editor.dump(document, out)
    if parse_yaml(out.getvalue(), where) != wanted:
        raise ConfigError(f"{where}: its layout does not allow the change; write one KEY: VALUE per line")
    return out.getvalue()


def _set(tree: Any, path: list[str], value: Any) -> None:
    *parents, last = path
    for part in parents:
        if isinstance(tree, list):
            tree = tree[int(part)]
        else:
            if part not in tree:
                _append(tree, part, CommentedMap() if isinstance(tree, CommentedMap) else {})
            tree = tree[part]
    if isinstance(tree, list):
        tree[int(last)] = value
    elif last in tree:
        tree[last] = value
    else:
        _append(tree, last, value)


def _append(tree: Any, key: str, value: Any) -> None:
    """Adds a key at the end of its block, before the comments that stand over what follows the block.

    ruamel.yaml keeps those comments with the block's last key.
    """
    before = next(reversed(tree), None)
    tree[key] = value
    comments = tree.ca.items.get(before) if isinstance(tree, CommentedMap) else None
    if not comments or comments[2] is None:
        return
    own, _, following = comments[2].value.partition("\n")
    if following:
        tree.ca.items[key] = [None, None, CommentToken(f"\n{following}", CommentMark(0), None), None]
        comments[2] = CommentToken(f"{own}\n", comments[2].start_mark, None) if own else None
