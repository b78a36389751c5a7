# SPDX-License-Identifier: GPL-3.0-or-later
"""Small training data."""

from __future__ import annotations

import io
import tarfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image


def smooth_picture(seed: int, height: int = 150, width: int = 170) -> Image.Image:
    """Random colours, enlarged: something with the spectrum of a photograph's background."""
    small = np.random.default_rng(seed).integers(0, 256, (6, 7, 3), dtype=np.uint8)
    return Image.fromarray(small).resize((width, height), Image.Resampling.BICUBIC)


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache for the test alone."""
    folder = tmp_path / "cache"
    monkeypatch.setenv("XDG_CACHE_HOME", str(folder))
    return folder


@pytest.fixture
def shards(tmp_path: Path) -> Path:
    """A tiny tar shard of six pictures, one of them with a mask."""
    folder = tmp_path / "shards"
    folder.mkdir()
    with tarfile.open(folder / "small-000.tar", "w") as shard:
        for index in range(6):
            members = {f"{index:03}.jpg": smooth_picture(index)}
            if index == 2:
                members[f"{index:03}.mask.png"] = Image.new("1", (170, 150), 1)
            for name, picture in members.items():
                buffer = io.BytesIO()
                picture.save(buffer, "PNG" if name.endswith("png") else "JPEG")
                info = tarfile.TarInfo(name)
                info.size = buffer.tell()
                buffer.seek(0)
                shard.addfile(info, buffer)
    return folder


@pytest.fixture
def config(tmp_path: Path) -> Path:
    """Four steps of `deepjscc` on crops of 64 pixels."""
    path = tmp_path / "tiny.toml"
    path.write_text("steps = 4\nbatch = 2\ngroup = 2\ncrop = 64\nlinear_crops = 24\n")
    return path
