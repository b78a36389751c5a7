# SPDX-License-Identifier: GPL-3.0-or-later
"""What is installed: versions, whether it loads, and the parts that `gened check` tries."""

from __future__ import annotations

import importlib.util
import platform

import numpy as np

from gened.doctor.findings import Finding, Level, Visit, check
from gened.doctor.programs import ProbeError, ProbeTimeout, probe

LOAD_S = 20.0
"""PyTorch needs two seconds where it was loaded before, and far more from a slow disk."""
NUMPY_REMEDY = "pip install 'numpy==1.26.4': the bindings of GNU Radio need NumPy 1"
RADIO_MODULES = {"iio": "gr-iio", "uhd": "gr-uhd", "soapy": "gr-soapy"}
LIBRARIES = {
    "iio": ("Pluto", "pip install 'gr-gened[radio]', and libiio: apt install libiio0 libiio-utils"),
    "uhd": ("UHD", "apt install uhd-host, and GNU Radio with gr-uhd"),
    "soapy": ("SoapySDR", "apt install soapysdr-tools python3-soapysdr, and the module of your radio"),
}
"""By driver: what it is called, and how to get it."""


@check("Software")
def python(visit: Visit) -> list[Finding]:
    """Python and NumPy."""
    text = f"{platform.python_version()}, NumPy {np.__version__}"
    is_good = np.__version__.startswith("1.") or importlib.util.find_spec("gnuradio") is None  # it alone needs NumPy 1
    return [
        Finding(subject="Python", level="ok" if is_good else "problem", text=text,
                next_step="" if is_good else NUMPY_REMEDY)
    ]  # fmt: skip


@check("Software")
def gnuradio(visit: Visit) -> list[Finding]:
    """GNU Radio and its modules; those of radios are needed where the radio is."""
    remedy = "apt install gnuradio; a virtual environment needs --system-site-packages"
    try:
        found = probe("gnuradio", {"modules": ["zeromq", *RADIO_MODULES]}, LOAD_S)
    except ProbeError as error:
        return [Finding(subject="GNU Radio", level="problem", text=str(error), next_step=remedy)]
    missing = found["missing"]
    there = [f"gr-{name}" for name in ("zeromq", *RADIO_MODULES) if name not in missing]
    needed = {"zeromq", visit.driver} & set(missing)
    text = f"{found['version']} with {', '.join(there) or 'nothing that is needed here'}"
    if missing:
        text += f"; not loaded: {', '.join(f'gr-{name} ({reason})' for name, reason in missing.items())}"
    return [
        Finding(subject="GNU Radio", level="problem" if needed else "note" if missing else "ok", text=text,
                next_step=remedy if missing else "", facts={"version": found["version"]})
    ]  # fmt: skip


@check("Software")
def torch(visit: Visit) -> list[Finding]:
    """PyTorch and its device; without it the classical codec remains."""
    try:
        return [Finding(subject="PyTorch", level="ok", text=probe("module", {"name": "torch"}, LOAD_S)["text"])]
    except ProbeError as error:
        step = "pip install 'gr-gened[networks]' for the learnt codecs; --codec softcast works without"
        return [Finding(subject="PyTorch", level="note", text=str(error), next_step=step)]


def _library(driver: str, visit: Visit) -> list[Finding]:
    subject, remedy = LIBRARIES[driver]
    try:
        return [Finding(subject=subject, level="ok", text=probe("module", {"name": driver}, LOAD_S)["text"])]
    except ProbeError as error:
        is_needed = visit.driver == driver
        step = remedy if is_needed else f"only for such radios: {remedy}"
        return [Finding(subject=subject, level="problem" if is_needed else "note", text=str(error), next_step=step)]


@check("Software")
def pluto_library(visit: Visit) -> list[Finding]:
    """pyadi-iio and libiio."""
    return _library("iio", visit)


@check("Software")
def uhd_library(visit: Visit) -> list[Finding]:
    """UHD, through gr-uhd; Debian's module `uhd` cannot share a process with it and is not needed."""
    return _library("uhd", visit)


@check("Software")
def soapy_library(visit: Visit) -> list[Finding]:
    """SoapySDR and its modules."""
    return _library("soapy", visit)


@check("Software")
def parts(visit: Visit) -> list[Finding]:
    """What `gened check` tries but for the editors: one line for all that works, one for each that does not."""
    subject = "gened check"
    try:
        items = visit.parts()
    except ProbeError as error:
        level: Level = "note" if isinstance(error, ProbeTimeout) else "problem"  # a busy machine is slow, no more
        return [Finding(subject=subject, level=level, text=str(error), next_step="run `gened check` by itself")]
    works = [item for item in items if item["is_ok"]]
    burst = next((f"; {item['name']} {item['text']}" for item in works if item["name"].startswith("a burst")), "")
    found = [Finding(subject=subject, level="ok", text=f"{len(works)} of {len(items)} parts work{burst}")]
    for item in items:
        if not item["is_ok"] and item["name"] not in ("Python", "GNU Radio", "PyTorch"):
            what, _, remedy = item["text"].partition("; ")
            level = "problem" if item["is_needed"] else "note"
            text = f"without {item['name']}: {what}"
            found.append(Finding(subject=subject, level=level, text=text, next_step=remedy or "see `gened check`"))
    return found
