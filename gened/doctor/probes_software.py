# SPDX-License-Identifier: GPL-3.0-or-later
"""Probes of software, each in a process of its own; see `probe`."""

from __future__ import annotations

import importlib
import os
from typing import Any

PARTS_SNR_DB = 4.0


def parts() -> dict[str, Any]:
    """The items of `gened check` that a link needs."""
    from gened.doctor.self_check import run_checks

    return {"items": [item._asdict() for item in run_checks(PARTS_SNR_DB, has_extras=False)]}


def gnuradio(modules: list[str]) -> dict[str, Any]:
    """GNU Radio's version, and which of its modules cannot be loaded.

    Args:
        modules: Names behind `gnuradio.`.
    """
    from gnuradio import gr

    missing = {}
    for name in modules:
        try:
            importlib.import_module(f"gnuradio.{name}")
        except Exception as error:  # a missing library may be an OSError or an AttributeError
            missing[name] = " ".join(str(error).split())[:200]
    return {"version": str(gr.version()), "missing": missing}


def module(name: str) -> dict[str, Any]:
    """Version and device of a module that is loaded for a trial.

    Args:
        name: A key of the table below.
    """
    return {"text": _TEXTS[name]()}


def _torch() -> str:
    torch = importlib.import_module("torch")
    if not torch.cuda.is_available():
        return f"{torch.__version__}, device cpu"
    memory = torch.cuda.get_device_properties(0).total_memory / 2**30
    return f"{torch.__version__}, device cuda: {torch.cuda.get_device_name(0)}, {memory:.0f} GiB"


def _iio() -> str:
    iio, adi = importlib.import_module("iio"), importlib.import_module("adi")
    return f"pyadi-iio {adi.__version__}, libiio {iio.version[0]}.{iio.version[1]}"


def _uhd() -> str:
    return str(importlib.import_module("gnuradio.uhd").get_version_string())


def _soapy() -> str:
    soapy = importlib.import_module("SoapySDR")
    importlib.import_module("gnuradio.soapy")
    names = sorted(str(path).rpartition("/")[2].removesuffix(".so") for path in soapy.listModules())
    return f"{soapy.getLibVersion()}, modules: {', '.join(names) or 'none'}"


_TEXTS = {"torch": _torch, "iio": _iio, "uhd": _uhd, "soapy": _soapy}


def companion(blocks_path: str | None) -> dict[str, Any]:
    """Our blocks that GNU Radio Companion shows.

    Args:
        blocks_path: A further folder, as `gened companion` gives it; None: none.
    """
    if blocks_path is not None:
        os.environ["GRC_BLOCKS_PATH"] = os.pathsep.join(
            part for part in (blocks_path, os.environ.get("GRC_BLOCKS_PATH")) if part
        )
    from gnuradio import gr
    from gnuradio.grc.core.platform import Platform

    platform = Platform(
        version=gr.version(), prefs=gr.prefs(),
        version_parts=(gr.major_version(), gr.api_version(), gr.minor_version()),
    )  # fmt: skip
    platform.build_library()
    return {"blocks": sorted(name for name in platform.blocks if name.startswith("gened_"))}
