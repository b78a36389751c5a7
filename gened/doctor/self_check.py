# SPDX-License-Identifier: GPL-3.0-or-later
"""Checks every part that the link needs by using it."""

from __future__ import annotations

import importlib
import importlib.util
import math
import platform
from collections.abc import Callable
from fractions import Fraction
from functools import partial
from importlib.metadata import PackageNotFoundError, version
from typing import NamedTuple

import numpy as np

from gened.errors import GenedError
from gened.gr_blocks.phy.channel.config import ChannelConfig
from gened.gr_blocks.phy.channel.sample_channel import SampleChannel
from gened.gr_blocks.phy.coding.modes import mode_for_snr
from gened.gr_blocks.phy.framing.records import Records, pack_records, unpack_records
from gened.gr_blocks.phy.ofdm.modulator import modulate_frame
from gened.gr_blocks.phy.receiver import Receiver
from gened.gr_blocks.phy.types import Encoded, Frame, ImageSize
from gened.link.control import require_free
from gened.models.codecs.registry import codec_names, load_codec
from gened.models.editing.registry import load_editor

TRIAL_CAPTION = "the quick brown fox jumps over the lazy dog"
TRIAL_OFFSET_HZ = 20e3
TRIAL_RATE_HZ = 1e6
SNR_TOLERANCE_DB = 1.0
PORTS = (*range(5550, 5554), 5560)
PACKAGES = {
    "numba": "numba",
    "zfec": "zfec",
    "zmq": "pyzmq",
    "msgpack": "msgpack",
    "pydantic": "pydantic",
    "PIL": "pillow",
    "matplotlib": "matplotlib",
}
"""Module and package of what the link cannot do without."""


class Item(NamedTuple):
    """One part and what became of it."""

    name: str
    is_ok: bool
    is_needed: bool
    """Whether the link cannot do without it."""
    text: str
    """A version or a figure; where it failed, the reason and the remedy."""


def run_checks(snr_db: float, *, has_extras: bool = True) -> list[Item]:
    """Tries every part.

    Args:
        snr_db: Es/N0 of the trial burst.
        has_extras: Also editors and captions, which take most of the time and which no link needs.
    """
    items = [
        _python(),
        _tried("GNU Radio", _gnuradio, "apt install gnuradio; a virtual environment needs --system-site-packages"),
    ]
    for module, package in PACKAGES.items():
        items.append(_tried(package, partial(_package, module, package), f"pip install {package}"))
    remedy = "the learnt codecs need it: pip install gr-gened[networks]"
    items.append(_tried("PyTorch", partial(_package, "torch", "torch"), remedy, is_needed=False))
    for name in codec_names():
        items.append(_tried(f"codec {name}", partial(_codec, name), "", is_needed=name == "softcast"))
    if has_extras:
        items += _extras()
    items.append(_tried(f"a burst at {snr_db:g} dB", partial(_trial, snr_db), "the receiver did not read it"))
    items += [_tried(f"port {port}", partial(_port, port), "", is_needed=False) for port in PORTS]
    return items


def _extras() -> list[Item]:
    items = [
        _tried(f"editor {name}", partial(_editor, name), "", is_needed=False) for name in ("embedded", "realesrgan")
    ]
    remedy = "the editor and the captioner of big models need it: pip install 'gr-gened[editor]'"
    items.append(_tried("diffusers", partial(_package, "diffusers", "diffusers"), remedy, is_needed=False))
    items.append(_tried("detector of captions", _detector, "", is_needed=False))
    return items


def _tried(name: str, trial: Callable[[], str], remedy: str, *, is_needed: bool = True) -> Item:
    try:
        return Item(name, True, is_needed, trial())
    except (ImportError, PackageNotFoundError, GenedError, RuntimeError, OSError) as error:
        reason = " ".join(str(error).split())
        return Item(name, False, is_needed, f"{reason}; {remedy}" if remedy else reason)


def _python() -> Item:
    is_ok = np.__version__.startswith("1.") or importlib.util.find_spec("gnuradio") is None  # it alone needs NumPy 1
    text = f"{platform.python_version()}, NumPy {np.__version__}"
    return Item(
        "Python", is_ok, True, text if is_ok else f"{text}; GNU Radio's bindings need NumPy 1.26: pip install 'numpy<2'"
    )


def _gnuradio() -> str:
    gr = importlib.import_module("gnuradio.gr")
    importlib.import_module("gnuradio.zeromq")
    return f"{gr.version()} with gr-zeromq"


def _package(module: str, package: str) -> str:
    importlib.import_module(module)
    return version(package)


def _codec(name: str) -> str:
    return f"number {load_codec(name).codec_id:08x}"


def _port(port: int) -> str:
    require_free(f"tcp://127.0.0.1:{port}")
    return "free"


def _editor(name: str) -> str:
    return load_editor(name).version


def _detector() -> str:
    from gened.models.captioning.detector import weights_folder

    weights_folder()
    return "captions name objects"


def _trial(snr_db: float) -> str:
    """One frame of random symbols with a caption, through a channel, and back.

    Raises:
        GenedError: It did not come back as it should.
    """
    rng = np.random.default_rng(1)
    size, rate = ImageSize(128, 128), Fraction(1, 24)
    symbols = (rng.standard_normal((2000, 2)).astype(np.float32) / np.float32(math.sqrt(2))).view(np.complex64).ravel()
    text = pack_records(Records(caption=TRIAL_CAPTION))
    frame = Frame(1, 0, 0, size, rate, snr_db, Encoded(symbols, b"\0"), text, mode_for_snr(snr_db))
    air = SampleChannel(ChannelConfig(snr_db=snr_db, freq_offset_hz=TRIAL_OFFSET_HZ, seed=1), TRIAL_RATE_HZ)
    silence = np.zeros(2000, np.complex64)
    receiver = Receiver(TRIAL_RATE_HZ)
    found = (
        receiver.push(air.process(np.concatenate([silence, *modulate_frame(frame), silence]), [len(silence)]))
        + receiver.flush()
    )
    if len(found) != 1 or found[0].text is None or unpack_records(found[0].text).caption != TRIAL_CAPTION:
        raise GenedError(f"{len(found)} of 1 frames, or its caption was lost")
    if abs(found[0].snr_est_db - snr_db) > SNR_TOLERANCE_DB:
        raise GenedError(f"its SNR was measured as {found[0].snr_est_db:.1f} dB")
    offset_hz = found[0].cfo_est_norm * TRIAL_RATE_HZ
    return f"received; SNR measured {found[0].snr_est_db:.1f} dB, offset {offset_hz:.0f} of {TRIAL_OFFSET_HZ:.0f} Hz"
