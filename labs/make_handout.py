# SPDX-License-Identifier: GPL-3.0-or-later
"""Makes the notebook that is handed out from the one with the solutions.

    python labs/make_handout.py labs/01-first-picture

What stands between `# BEGIN SOLUTION` and `# END SOLUTION` becomes `# YOUR CODE` and `...`; outputs go.
"""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path
from typing import Any

SOLUTION = re.compile(r"^( *)# BEGIN SOLUTION\n.*?^ *# END SOLUTION$", re.MULTILINE | re.DOTALL)
ONLY_HERE = "solution"
"""Tag of cells that are not handed out."""


def handout(notebook: dict[str, Any]) -> dict[str, Any]:
    """The notebook without its solutions."""
    cells = [cell for cell in notebook["cells"] if ONLY_HERE not in cell["metadata"].get("tags", [])]
    return {**notebook, "cells": [_stripped(cell) for cell in cells]}


def _stripped(cell: dict[str, Any]) -> dict[str, Any]:
    source = SOLUTION.sub(r"\1# YOUR CODE\n\1...", "".join(cell["source"]))
    emptied = {"outputs": [], "execution_count": None} if cell["cell_type"] == "code" else {}
    return {**cell, **emptied, "source": source.splitlines(keepends=True)}


def text_of(notebook: dict[str, Any]) -> str:
    """A notebook as it is kept."""
    return json.dumps(notebook, indent=1, ensure_ascii=False) + "\n"


def main() -> None:
    """Writes lab.ipynb beside solutions.ipynb, in each folder that is named."""
    for folder in map(Path, sys.argv[1:]):
        solutions = json.loads((folder / "solutions.ipynb").read_text())
        (folder / "lab.ipynb").write_text(text_of(handout(solutions)))


if __name__ == "__main__":
    main()
