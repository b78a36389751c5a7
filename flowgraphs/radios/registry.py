# SPDX-License-Identifier: GPL-3.0-or-later
"""From a profile to GNU Radio blocks: one function per direction, and the kinds that they know.

A new kind of radio is one new file beside this one, with a function under `@source_kind("name")` and one under
`@sink_kind("name")`, and one line in `MODULES`. A file that can be imported without its driver keeps the other kinds
working where that driver is not installed: import it in the function, with `common.require_driver`.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable
from typing import TypeVar

from gened.errors import ConfigError
from gened.flowgraphs.radios.profiles import RadioProfile
from gened.flowgraphs.radios.protocols import RadioSink, RadioSource

MODULES = (
    "gened.flowgraphs.radios.zeromq",
    "gened.flowgraphs.radios.file",
    "gened.flowgraphs.radios.iio",
    "gened.flowgraphs.radios.soapy",
    "gened.flowgraphs.radios.uhd",
)
"""Modules that register kinds. They are loaded with the first block, since they import this one; none loads its driver.
"""

End = TypeVar("End")
SourceMaker = Callable[[RadioProfile], RadioSource]
SinkMaker = Callable[[RadioProfile], RadioSink]
_SOURCES: dict[str, SourceMaker] = {}
_SINKS: dict[str, SinkMaker] = {}


def source_kind(kind: str) -> Callable[[SourceMaker], SourceMaker]:
    """Registers the function that makes the source of a kind of profile."""

    def register(maker: SourceMaker) -> SourceMaker:
        _SOURCES[kind] = maker
        return maker

    return register


def sink_kind(kind: str) -> Callable[[SinkMaker], SinkMaker]:
    """Registers the function that makes the sink of a kind of profile."""

    def register(maker: SinkMaker) -> SinkMaker:
        _SINKS[kind] = maker
        return maker

    return register


def make_source(profile: RadioProfile) -> RadioSource:
    """Makes the source of a profile.

    Raises:
        ConfigError: The kind cannot receive.
        LinkError: The address is in use, the file is missing, the radio is not there.
    """
    return _made(_SOURCES, profile, "source")


def make_sink(profile: RadioProfile) -> RadioSink:
    """Makes the sink of a profile; raises as `make_source`."""
    return _made(_SINKS, profile, "sink")


def _made(registry: dict[str, Callable[[RadioProfile], End]], profile: RadioProfile, side: str) -> End:
    for module in MODULES:
        importlib.import_module(module)
    if profile.kind not in registry:
        raise ConfigError(f"no {side} of kind '{profile.kind}'; there are {', '.join(sorted(registry))}")
    return registry[profile.kind](profile)
