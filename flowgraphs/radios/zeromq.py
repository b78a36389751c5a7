# SPDX-License-Identifier: GPL-3.0-or-later
"""Samples over ZMQ sockets, without a radio: kinds `zeromq` (PUSH to PULL) and `tap` (PUB to SUB, receiving only)."""

from __future__ import annotations

from gnuradio import zeromq

from gened.errors import LinkError
from gened.flowgraphs.radios.common import SAMPLE_BYTES
from gened.flowgraphs.radios.profiles import RadioProfile
from gened.flowgraphs.radios.registry import sink_kind, source_kind
from gened.flowgraphs.radios.wrapped import wrapped_sink, wrapped_source
from gened.gr_blocks.zmq_source import zmq_source

TIMEOUT_MS = 100  # how long a socket block waits before it checks whether the flowgraph was stopped
HWM = 32  # messages in a socket's own queue: about a quarter of a million samples, then the sender waits


@source_kind("zeromq")
def zeromq_source(profile: RadioProfile) -> wrapped_source:
    """Samples of a PUSH socket, to which it connects."""
    return wrapped_source(zmq_source(profile.address, HWM))


@source_kind("tap")
def tap_source(profile: RadioProfile) -> wrapped_source:
    """Samples of a PUB socket, to which it connects."""
    return wrapped_source(zmq_source(profile.address, HWM, is_tap=True))


@sink_kind("zeromq")
def zeromq_sink(profile: RadioProfile) -> wrapped_sink:
    """Samples into a PUSH socket, which it binds.

    Raises:
        LinkError: The address is in use, or is none of this machine's.
    """
    try:
        return wrapped_sink(zeromq.push_sink(SAMPLE_BYTES, 1, profile.address, TIMEOUT_MS, False, HWM))
    except RuntimeError as exc:
        if "in use" in str(exc):
            reason = f"{profile.address} is in use; another program listens there, choose another port"
            raise LinkError(reason) from exc
        raise LinkError(f"{profile.address}: {exc}") from exc
