# SPDX-License-Identifier: GPL-3.0-or-later
"""A package that a block needs is missing when the block is made, and never first at a burst."""

from __future__ import annotations

import subprocess
import sys
import textwrap

import pytest

from gened.gr_blocks import BLOCKS

NEEDED = {
    "numba": ("burst_detector", "frame_demodulator"),
    "zfec": ("burst_detector", "frame_demodulator", "frame_modulator"),
    "scipy": ("burst_detector", "frame_demodulator", "frame_modulator"),
    "PIL": ("image_writer", "picture_editor", "picture_source"),
    "zmq": ("picture_editor", "zmq_source"),
    "msgpack": ("picture_editor",),
    "pydantic": tuple(name for name in BLOCKS if name not in ("channel", "zmq_source")),
}
"""Packages, and the blocks that need them when they run."""


@pytest.mark.parametrize("package", NEEDED)
def test_a_block_without_its_package_cannot_be_made(package: str) -> None:
    code = f"""
    import importlib, sys
    class Missing:
        def find_spec(self, name, path=None, target=None):
            if name.partition(".")[0] == {package!r}:
                raise ModuleNotFoundError(f"No module named {{name!r}}", name=name)
    sys.meta_path.insert(0, Missing())
    for name in {NEEDED[package]!r}:
        try:
            getattr(importlib.import_module(f"gened.gr_blocks.{{name}}"), name)()
        except Exception as exc:
            print(name, {package!r} in str(exc))
        else:
            print(name, "was made")
    """
    result = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code)], cwd="/", capture_output=True, text=True, timeout=240
    )
    assert result.returncode == 0, result.stderr
    assert result.stdout.splitlines() == [f"{name} True" for name in NEEDED[package]]
