# SPDX-License-Identifier: GPL-3.0-or-later
"""Figures of the source tree: lines per folder, which folder imports which, cycles, the longest chain of imports.

    python scripts/lib/tree_figures.py [CHECKOUT]

Reads the sources and imports nothing, so that it runs on any commit.
"""

from __future__ import annotations

import ast
import sys
from collections import Counter, defaultdict
from functools import cache
from pathlib import Path

TOPS = ("gened", "flowgraphs", "gr_blocks", "models", "hw_config")


def modules_of(root: Path) -> dict[str, Path]:
    """Every module by its import name, each once, in its own folder."""
    found = {}
    for top in TOPS:
        for path in sorted((root / top).rglob("*.py")):
            parts = path.relative_to(root).with_suffix("").parts
            parts = parts if top == "gened" else ("gened", *parts)
            found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


def imports_of(path: Path, modules: dict[str, Path]) -> set[str]:
    """Modules of the tree that a file imports, inside functions and under TYPE_CHECKING too."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names |= {f"{node.module}.{alias.name}" for alias in node.names}
    found = set()
    for name in names:
        while name and name not in modules:
            name = name.rpartition(".")[0]
        if name and name != "gened":
            found.add(name)
    return found


def folder_of(module: str, path: Path) -> str:
    """The part of the tree that a module belongs to: two names, or three inside phy."""
    parts = module.split(".")[1:] if path.name == "__init__.py" else module.split(".")[1:-1]
    depth = 3 if parts[:2] == ["gr_blocks", "phy"] else 2
    return ".".join(parts[:depth]) or "gened"


def cycles(arrows: dict[str, set[str]]) -> list[list[str]]:
    """Groups of modules that import each other (strongly connected components of more than one), by Tarjan."""
    index: dict[str, int] = {}
    low: dict[str, int] = {}
    stack: list[str] = []
    found: list[list[str]] = []

    def visit(module: str) -> None:
        index[module] = low[module] = len(index)
        stack.append(module)
        for target in arrows[module]:
            if target not in index:
                visit(target)
                low[module] = min(low[module], low[target])
            elif target in stack:
                low[module] = min(low[module], index[target])
        if low[module] == index[module]:
            group = []
            while True:
                group.append(stack.pop())
                if group[-1] == module:
                    break
            if len(group) > 1:
                found.append(sorted(group))

    for module in sorted(arrows):
        if module not in index:
            visit(module)
    return found


def main() -> None:
    """Prints the figures."""
    sys.setrecursionlimit(10_000)
    root = Path(sys.argv[1] if len(sys.argv) > 1 else ".").resolve()
    modules = modules_of(root)
    arrows = {module: imports_of(path, modules) - {module} for module, path in modules.items()}
    lines: Counter[str] = Counter()
    files: Counter[str] = Counter()
    between: dict[str, Counter[str]] = defaultdict(Counter)
    for module, path in modules.items():
        folder = folder_of(module, path)
        files[folder] += 1
        lines[folder] += len(path.read_text().splitlines())
        for target in arrows[module]:
            other = folder_of(target, modules[target])
            if other != folder:
                between[folder][other] += 1
    for folder in sorted(files):
        targets = ", ".join(f"{name} {n}" for name, n in sorted(between[folder].items()))
        print(f"{folder:36s} {files[folder]:4d} files {lines[folder]:6d} lines -> {targets or 'nothing'}")
    tests = list((root / "tests").rglob("*.py"))
    print(f"total {sum(files.values())} files, {sum(lines.values())} lines; tests {len(tests)} files, "
          f"{sum(len(path.read_text().splitlines()) for path in tests)} lines")  # fmt: skip
    circles = cycles(arrows)
    print(f"cycles: {len(circles)}", *(" <-> ".join(group) for group in circles), sep="\n    ")
    if not circles:

        @cache
        def chain(module: str) -> tuple[str, ...]:
            return (module, *max((chain(target) for target in arrows[module]), key=len, default=()))

        longest = max((chain(module) for module in arrows), key=len)
        print(f"longest chain of imports: {len(longest)} modules", *longest, sep="\n    ")


if __name__ == "__main__":
    main()
