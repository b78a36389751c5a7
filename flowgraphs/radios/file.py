# SPDX-License-Identifier: GPL-3.0-or-later
"""Samples from files and memory: kinds `recording` (SigMF), `file` (raw complex64) and `vector` (an array).

A source plays its samples once; then silence follows and the flowgraph goes on. Nothing records in SigMF here: the
recorder's flowgraph does, see `gr_blocks.sample_recorder`.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from gnuradio import blocks

from gened.errors import ConfigError, LinkError
from gened.flowgraphs.radios.common import SAMPLE_BYTES
from gened.flowgraphs.radios.profiles import RadioProfile
from gened.flowgraphs.radios.registry import sink_kind, source_kind
from gened.flowgraphs.radios.wrapped import played_source, wrapped_sink
from gened.gr_blocks.recording.reader import read_recording
from gened.gr_blocks.sample_player import Samples, map_samples, sample_player


def _played(profile: RadioProfile, samples: Samples) -> played_source:
    return played_source(sample_player(samples), profile.sample_rate if profile.is_paced else None)


@source_kind("recording")
def recording_source(profile: RadioProfile) -> played_source:
    """A recording in SigMF.

    Raises:
        RecordingError: It cannot be read.
    """
    return _played(profile, read_recording(Path(profile.path or ""), is_verified=False).samples)


@source_kind("file")
def file_source(profile: RadioProfile) -> played_source:
    """A file of raw complex64.

    Raises:
        LinkError: It cannot be read.
    """
    return _played(profile, map_samples(Path(profile.path or "")))


@sink_kind("file")
def file_sink(profile: RadioProfile) -> wrapped_sink:
    """A file of raw complex64.

    Raises:
        LinkError: It cannot be written.
    """
    try:
        return wrapped_sink(blocks.file_sink(SAMPLE_BYTES, str(profile.path), False))
    except RuntimeError as exc:
        raise LinkError(f"cannot write samples to {profile.path}: {exc}") from exc


@source_kind("vector")
def vector_source(profile: RadioProfile) -> played_source:
    """An array.

    Raises:
        ConfigError: The profile has none.
    """
    if profile.samples is None:
        raise ConfigError("a source of kind 'vector' needs samples")
    return _played(profile, np.asarray(profile.samples, np.complex64))


class vector_sink(wrapped_sink):  # noqa: N801 - blocks are lower-case, as in GNU Radio
    """Keeps all samples in memory."""

    def __init__(self) -> None:
        super().__init__(blocks.vector_sink_c())

    def data(self) -> Any:
        """All samples that came, as a sequence of complex numbers."""
        return self.block.data()


@sink_kind("vector")
def make_vector_sink(_profile: RadioProfile) -> vector_sink:
    """Memory that keeps the samples."""
    return vector_sink()
