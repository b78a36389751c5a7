# SPDX-License-Identifier: GPL-3.0-or-later
"""A source distribution that keeps the links in gened/ as links. All else stands in pyproject.toml."""

from __future__ import annotations

import os
from pathlib import Path

from setuptools import setup
from setuptools.command.sdist import sdist

LINKS = sorted(path for path in Path("gened").iterdir() if path.is_symlink())
"""Folders of the package that lie at the top of the repository."""


class SdistWithLinks(sdist):
    """Setuptools follows links and would pack each folder twice, once below gened/ and once at the top."""

    def make_release_tree(self, base_dir: str, files: list[str]) -> None:
        """Make the folder that becomes the archive."""
        once = [name for name in files if not any(Path(name).is_relative_to(link) for link in LINKS)]
        super().make_release_tree(base_dir, once)
        for link in LINKS:
            os.symlink(os.readlink(link), Path(base_dir) / link)


setup(cmdclass={"sdist": SdistWithLinks})
