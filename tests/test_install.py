# SPDX-License-Identifier: GPL-3.0-or-later
"""An installation by CMake into a prefix of its own, run by the system's Python."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import sysconfig
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from gened.gr_blocks.phy.channel.config import ChannelConfig
from gened.gr_blocks.phy.channel.sample_channel import SampleChannel
from gened.gr_blocks.phy.framing.records import Records, pack_records
from gened.gr_blocks.phy.ofdm.modulator import modulate_frame
from gened.gr_blocks.phy.types import Frame, ImageSize
from gened.gr_blocks.recording.metadata import RecordingInfo
from gened.gr_blocks.recording.writer import RecordingWriter
from gened.models.codecs.registry import load_codec

ROOT = Path(__file__).resolve().parents[1]
SYSTEM_PYTHON = "/usr/bin/python3"
SNR_DB = 0.5
"""At this SNR neither header nor caption survives hard decisions."""
GAP = 3000
CLEAN = {key: value for key, value in os.environ.items() if key not in ("PYTHONPATH", "VIRTUAL_ENV", "PYTHONHOME")}

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(shutil.which("cmake") is None, reason="installing needs it: apt install cmake"),
]


def cmake(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(["cmake", *map(str, arguments)], capture_output=True, text=True, timeout=240, env=CLEAN)


def configured(build: Path, prefix: Path, *options: str) -> subprocess.CompletedProcess[str]:
    return cmake(
        "-S", ROOT, "-B", build, f"-DCMAKE_INSTALL_PREFIX={prefix}", f"-DGENED_PYTHON={SYSTEM_PYTHON}", *options
    )


@pytest.fixture(scope="module")
def prefix(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An installation for the system's Python, with this environment's packages."""
    folder = tmp_path_factory.mktemp("installation")
    done = configured(folder / "build", folder / "prefix", f"-DGENED_PACKAGES={sysconfig.get_path('purelib')}")
    assert done.returncode == 0, done.stderr
    done = cmake("--install", folder / "build")
    assert done.returncode == 0, done.stderr
    return folder / "prefix"


def noisy_recording(path: Path) -> Path:
    """Three frames at `SNR_DB` as a SigMF recording."""
    codec = load_codec("softcast", device="numpy")
    rng = np.random.default_rng(3)
    x = np.repeat(np.repeat(rng.random((3, 8, 8), np.float32), 16, 1), 16, 2)  # [3, 128, 128]
    rate = Fraction(1, 24)
    size = ImageSize(128, 128)
    channel = SampleChannel(ChannelConfig(snr_db=SNR_DB, freq_offset_hz=5000.0, seed=4), 1e6)
    writer = RecordingWriter(path, RecordingInfo(sample_rate=1e6))
    writer.open()
    for number in range(3):
        frame = Frame(
            session=9, number=number, codec_id=codec.codec_id, size=size, rate=rate, snr_design_db=SNR_DB,
            encoded=codec.encode(x, rate=rate, snr_db=SNR_DB), text=pack_records(Records(caption="noisy squares")),
            text_mode="bpsk-1/2",
        )  # fmt: skip
        for burst in modulate_frame(frame):
            silence = np.zeros(GAP, np.complex64)
            writer.write(channel.process(np.concatenate([silence, burst, silence]), [GAP]))
    writer.close()
    return path


def test_the_installed_receiver_decodes_in_noise_with_the_systems_python(prefix: Path, tmp_path: Path) -> None:
    recording = noisy_recording(tmp_path / "noisy.sigmf-meta")
    command = [
        str(prefix / "bin" / "gened"), "receive", "--from", str(recording), "--out", str(tmp_path / "out"),
        "--json", "--quiet",
    ]  # fmt: skip
    done = subprocess.run(command, capture_output=True, text=True, timeout=240, env=CLEAN, cwd="/")
    assert done.returncode == 0, done.stderr
    frames = json.loads(done.stdout)["frames"]
    assert [frame["caption"] for frame in frames] == ["noisy squares"] * 3
    assert all((tmp_path / "out" / frame["received"]).is_file() for frame in frames)


def test_the_installed_package_is_its_own_and_not_the_checkout(prefix: Path) -> None:
    code = "import gened.gr_blocks.phy.receiver as r, sys; print(r.__file__, sys.executable)"
    environment = {**CLEAN, "PYTHONPATH": str(prefix / "lib" / "python3" / "dist-packages")}
    done = subprocess.run(
        [SYSTEM_PYTHON, "-c", code], capture_output=True, text=True, timeout=60, env=environment, cwd="/"
    )
    assert done.returncode == 0, done.stderr
    module, program = done.stdout.split()
    assert Path(module).is_relative_to(prefix) and program == SYSTEM_PYTHON


def test_another_numpy_that_was_loaded_before_is_one_line(prefix: Path) -> None:
    code = "import numpy, gened"
    environment = {**CLEAN, "PYTHONPATH": str(prefix / "lib" / "python3" / "dist-packages")}
    done = subprocess.run(
        [SYSTEM_PYTHON, "-c", code], capture_output=True, text=True, timeout=60, env=environment, cwd="/"
    )
    assert done.returncode != 0 and "gened companion" in done.stderr.splitlines()[-1]


def test_missing_packages_end_the_installation_with_their_names(tmp_path: Path) -> None:
    """The system's Python alone has no LDPC decoder."""
    probe = subprocess.run([SYSTEM_PYTHON, "-c", "import numba"], capture_output=True, env=CLEAN, cwd="/")
    if probe.returncode == 0:
        pytest.skip("the system's Python has the packages itself")
    assert configured(tmp_path / "build", tmp_path / "prefix").returncode == 0
    done = cmake("--install", tmp_path / "build")
    assert done.returncode != 0
    assert "numba>=0.60: not installed" in done.stderr and "-DGENED_PACKAGES" in done.stderr
    assert not (tmp_path / "prefix" / "bin" / "gened").exists()


def test_a_version_that_is_too_old_counts_as_missing() -> None:
    sys.path.insert(0, str(ROOT / "scripts" / "lib"))
    try:
        from check_dependencies import problem  # type: ignore[import-not-found]
    finally:
        sys.path.pop(0)
    assert problem("numpy>=1.26.4,<2") is None
    assert problem("numpy>=99") is not None and "is installed" in problem("numpy>=99")
    assert problem("no-such-package-here>=1") == "no-such-package-here>=1: not installed"
