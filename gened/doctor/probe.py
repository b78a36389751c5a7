# SPDX-License-Identifier: GPL-3.0-or-later
"""Functions that may hang, crash or print, each to be run in a process of its own; see `programs.probe`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from gened.processes import Parent, load

PROBES = {
    "parts": "gened.doctor.probes_software:parts",
    "gnuradio": "gened.doctor.probes_software:gnuradio",
    "module": "gened.doctor.probes_software:module",
    "companion": "gened.doctor.probes_software:companion",
    "iio_context": "gened.doctor.probes_radio:iio_context",
    "limits": "gened.doctor.probes_radio:limits",
    "rate": "gened.doctor.probes_radio:rate",
}
"""Module and function by name. A function takes keyword arguments and returns plain values."""


def _function(name: str) -> Callable[..., dict[str, Any]]:
    function: Callable[..., dict[str, Any]] = load(PROBES[name])
    return function


def run_probe(parent: Parent, request: tuple[str, Mapping[str, Any]]) -> None:
    """The process of one probe: runs the function and sends its answer.

    Args:
        parent: See `ChildProcess`.
        request: Key of `PROBES` and keyword arguments.
    """
    name, arguments = request
    parent.channel.send_json(_function(name)(**arguments))
