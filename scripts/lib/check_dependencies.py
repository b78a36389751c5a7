# SPDX-License-Identifier: GPL-3.0-or-later
"""Checks that an interpreter has the packages that gr-gened depends on with GNU Radio; `cmake --install` runs it.

    python scripts/lib/check_dependencies.py pyproject.toml [FOLDER]

FOLDER holds further packages. Without it, those of the interpreter alone count. Exit status 1 and one line per missing
package where something is missing; the standard library alone is used, since nothing else may be there.
"""

from __future__ import annotations

import re
import sys
import tomllib
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path


def numbers(text: str) -> tuple[int, ...]:
    """The release of a version as numbers: "1.26.4.post1" is (1, 26, 4)."""
    found = re.match(r"\d+(\.\d+)*", text)
    return tuple(int(part) for part in found[0].split(".")) if found else ()


def problem(requirement: str) -> str | None:
    """What is wrong with a requirement such as "numpy>=1.26.4,<2"; None where it is met."""
    name = re.split(r"[<>=!~;\[ ]", requirement, maxsplit=1)[0]
    try:
        found = version(name)
    except PackageNotFoundError:
        return f"{requirement}: not installed"
    for sign, wanted in re.findall(r"(>=|<|==)\s*([\d.]+)", requirement):
        ours, theirs = numbers(found), numbers(wanted)
        is_met = {">=": ours >= theirs, "<": ours < theirs, "==": ours == theirs}[sign]
        if not is_met:
            return f"{requirement}: {found} is installed"
    return None


def main(arguments: list[str]) -> int:
    """Prints what is missing."""
    if not 1 <= len(arguments) <= 2:
        print(__doc__, file=sys.stderr)
        return 2
    sys.path[:] = [*arguments[1:], *sys.path[1:]]
    project = tomllib.loads(Path(arguments[0]).read_text())["project"]
    wanted = [*project["dependencies"], *project["optional-dependencies"]["gnuradio"]]
    missing = [text for requirement in wanted if (text := problem(requirement))]
    for text in missing:
        print(text, file=sys.stderr)
    return 1 if missing else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
