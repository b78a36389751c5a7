#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""Count public functions and classes with docstrings that name arguments, results, shapes and units.

    python3 scripts/lib/docstring_table.py gr_blocks/phy gened/bench
    python3 scripts/lib/docstring_table.py --revision v1.0 gr_blocks/phy    the same folders in a commit of git

One row per folder. Each column counts the cases to which its question applies:

- docstring: public modules, classes, functions and methods that have one
- Args: functions of two arguments or more that list them
- Returns: functions that return a tuple and describe its parts
- shape: functions that take or return arrays and name a shape in brackets
- unit: functions that take or return a float and name a unit, in words or by the suffix of every such name
- attributes: fields of public dataclasses and NamedTuples that have a note or a unit as suffix

It needs the standard library alone.
"""

from __future__ import annotations

import argparse
import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

ARRAY = re.compile(r"NDArray|ndarray|Array\b|Tensor\b|\b(?:Complex|Float|Bits|Indices|Int16|Image|Mask|Map)\b")
"""Annotations that stand for arrays, aliases of this project among them."""
SHAPE = re.compile(r"\[[^\]\"'`=]*\]|\bany shape\b|\bsame shape\b", re.IGNORECASE)
UNIT = re.compile(
    r"\b(Hz|kHz|MHz|dB|dBm|ppm|s|ms|seconds?|milliseconds?|samples?|bits?|bytes?|symbols?|pixels?|cycles?|rad|radians?|"
    r"degrees?|MiB|percent|fractions?|probabilit(?:y|ies)|shares?|per|variances?|power|energy|amplitude|ratio|"
    r"0 (?:to|and|\.\.) 1|LLRs?|Es/N0|nats|units?)\b|\[0, 1\]|%|_(?:hz|db|ms|s|ppm|rad|dbm|norm|mib)\b"
)
UNIT_NAME = re.compile(
    r"_(hz|khz|mhz|db|dbm|ms|s|ppm|rad|deg|norm|mib|bytes|px|var|percent|fraction)$|sample_rate|bandwidth"
)
"""Names that carry their own unit (style of this project), so that the docstring need not repeat it."""


@dataclass
class Tally:
    """Counts of one folder; each pair holds how many comply and how many could."""

    documented: list[int] = field(default_factory=lambda: [0, 0])
    args: list[int] = field(default_factory=lambda: [0, 0])
    returns: list[int] = field(default_factory=lambda: [0, 0])
    shape: list[int] = field(default_factory=lambda: [0, 0])
    unit: list[int] = field(default_factory=lambda: [0, 0])
    attributes: list[int] = field(default_factory=lambda: [0, 0])

    def add(self, other: Tally) -> None:
        """Add the counts of another tally."""
        for name in COLUMNS:
            mine, theirs = getattr(self, name), getattr(other, name)
            mine[0] += theirs[0]
            mine[1] += theirs[1]


COLUMNS = ("documented", "args", "returns", "shape", "unit", "attributes")
HEADINGS = ("docstring", "Args", "Returns", "shape", "unit", "attributes")


def count(pair: list[int], complies: bool) -> None:
    """Count one case in a pair [complying, all]."""
    pair[0] += complies
    pair[1] += 1


def of_source(source: str) -> Tally:
    """Counts of one module's source text."""
    tally = Tally()
    tree = ast.parse(source)
    count(tally.documented, ast.get_docstring(tree) is not None)
    _visit(tree, tally, "")
    return tally


def _visit(parent: ast.Module | ast.ClassDef, tally: Tally, class_doc: str) -> None:
    for node in parent.body:
        if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
            doc = ast.get_docstring(node) or ""
            count(tally.documented, bool(doc))
            if _is_record(node):
                _count_attributes(node, tally)
            _visit(node, tally, doc)
        elif isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            if node.name == "__init__":
                _count_function(node, tally, class_doc)
            elif not node.name.startswith("_"):
                doc = ast.get_docstring(node) or ""
                count(tally.documented, bool(doc))
                _count_function(node, tally, doc)


def _count_function(node: ast.FunctionDef | ast.AsyncFunctionDef, tally: Tally, doc: str) -> None:
    arguments = [*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs]
    arguments = [one for one in arguments if one.arg not in ("self", "cls")]
    notes = [ast.unparse(one.annotation) for one in arguments if one.annotation is not None]
    result = ast.unparse(node.returns) if node.returns is not None else ""
    if len(arguments) >= 2:
        count(tally.args, "Args:" in doc)
    if result.startswith("tuple["):
        count(tally.returns, "Returns:" in doc or bool(SHAPE.search(doc)))
    if ARRAY.search(" ".join([*notes, result])):
        count(tally.shape, bool(SHAPE.search(doc)))
    floats = [one.arg for one in arguments if one.annotation and re.search(r"\bfloat\b", ast.unparse(one.annotation))]
    if re.search(r"\bfloat\b", result):
        floats.append(node.name)
    if floats:
        count(tally.unit, all(UNIT_NAME.search(name) for name in floats) or bool(UNIT.search(doc)))


def _is_record(node: ast.ClassDef) -> bool:
    marks = [ast.unparse(one) for one in (*node.decorator_list, *node.bases)]
    return any("dataclass" in mark or "NamedTuple" in mark for mark in marks)


def _count_attributes(node: ast.ClassDef, tally: Tally) -> None:
    for here, following in zip(node.body, [*node.body[1:], None], strict=True):
        if isinstance(here, ast.AnnAssign) and isinstance(here.target, ast.Name) and not here.target.id.startswith("_"):
            noted = isinstance(following, ast.Expr) and isinstance(following.value, ast.Constant)
            in_class = f"{here.target.id}:" in (ast.get_docstring(node) or "")
            count(tally.attributes, noted or in_class or bool(UNIT_NAME.search(here.target.id)))


def sources(folder: str, revision: str | None) -> Iterator[str]:
    """Source texts of a folder's modules, from the work tree or from a commit."""
    listing = ["ls-files", "--", folder] if revision is None else ["ls-tree", "-r", "--name-only", revision, folder]
    command = ["git", *listing]
    for name in subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines():
        if PurePosixPath(name).suffix != ".py":
            continue
        if revision is None:
            yield Path(name).read_text()
        else:
            show = ["git", "show", f"{revision}:{name}"]
            yield subprocess.run(show, capture_output=True, text=True, check=True).stdout


def main(argv: list[str] | None = None) -> int:
    """Print the table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("folders", nargs="+", help="folders or files, relative to the repository")
    parser.add_argument("--revision", help="commit to read instead of the work tree")
    options = parser.parse_args(argv)
    total = Tally()
    print(f"{'folder':30}" + "".join(f"{heading:>18}" for heading in HEADINGS))
    for folder in options.folders:
        tally = Tally()
        for source in sources(folder, options.revision):
            tally.add(of_source(source))
        total.add(tally)
        _print(folder, tally)
    if len(options.folders) > 1:
        _print("all", total)
    return 0


def _print(name: str, tally: Tally) -> None:
    cells = []
    for column in COLUMNS:
        complying, of = getattr(tally, column)
        cells.append(f"{complying}/{of} {100 * complying / of:3.0f} %" if of else "-")
    print(f"{name:30}" + "".join(f"{cell:>18}" for cell in cells))


if __name__ == "__main__":
    sys.exit(main())
