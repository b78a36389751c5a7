# SPDX-License-Identifier: GPL-3.0-or-later
"""Installs a small package into a folder, with its entry points, as a package of another project has them."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path


def install_entry_points(folder: Path, package: str, groups: Mapping[str, Mapping[str, str]]) -> None:
    """Makes entry points known to every process that has the folder on its path.

    Args:
        folder: Folder, made if absent.
        package: Name of the distribution.
        groups: Group to name to "module:attribute".
    """
    place = folder / f"{package}-1.0.dist-info"
    place.mkdir(parents=True)
    (place / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {package}\nVersion: 1.0\n")
    lines = [
        line for group, points in groups.items()
        for line in (f"[{group}]", *(f"{name} = {target}" for name, target in points.items()))
    ]  # fmt: skip
    (place / "entry_points.txt").write_text("\n".join(lines) + "\n")
