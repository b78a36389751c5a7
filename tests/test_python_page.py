# SPDX-License-Identifier: GPL-3.0-or-later
"""The blocks of docs/python.md run in their order, in one interpreter, and give what the page says."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image

PAGE = Path(__file__).resolve().parents[1] / "docs" / "python.md"
BLOCK = re.compile(r"^```python\n(.*?)^```$", re.MULTILINE | re.DOTALL)


@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_the_page_runs_and_gives_what_it_says(tmp_path: Path) -> None:
    from skimage.data import astronaut

    Image.fromarray(astronaut()).save(tmp_path / "photo.jpg", quality=95)
    blocks = BLOCK.findall(PAGE.read_text())
    assert len(blocks) == 6
    result = subprocess.run(
        [sys.executable, "-W", "error", "-c", "\n".join(blocks)], cwd=tmp_path, capture_output=True, text=True,
        timeout=1000,
    )  # fmt: skip
    assert result.returncode == 0, result.stderr
    first, offsets, waveform, torch_line = result.stdout.splitlines()
    # 256x256 at 1/24 has 8192 symbols, of which the side information takes some.
    n_symbols, psnr_db = re.fullmatch(r"(\d+) symbols, \d+ bytes: ([\d.]+) dB", first).groups()
    assert 7000 < int(n_symbols) < 8192
    snr_db, cfo_hz = re.fullmatch(r"estimated SNR ([\d.]+) dB, CFO (\d+) Hz", offsets).groups()
    assert abs(float(snr_db) - 10) < 1 and abs(int(cfo_hz) - 300) < 10
    over_db = float(waveform.partition(" ")[0])
    assert 20 < float(psnr_db) < 40 and abs(over_db - float(psnr_db)) < 2
    assert torch_line == "torch.Size([4, 8, 16, 16, 2]) torch.Size([4, 8, 16, 16]) True"
    with Image.open(tmp_path / "received.png") as received, Image.open(tmp_path / "psnr.png") as figure:
        assert received.size == (256, 256) and figure.size == (750, 525)
