# SPDX-License-Identifier: GPL-3.0-or-later
"""All that touches samples: GNU Radio blocks, and in phy/ the waveform behind them.

`from gened import gr_blocks` loads neither GNU Radio nor PyTorch. A block is a module and a class of one name, and
`gr_blocks.frame_modulator` is its module: a flowgraph made by GNU Radio Companion says
`from gened.gr_blocks import frame_modulator` and `frame_modulator.frame_modulator(...)`.
"""

from __future__ import annotations

import importlib
from types import ModuleType

BLOCKS = (
    "burst_detector",
    "caption_decoder",
    "caption_encoder",
    "channel",
    "frame_demodulator",
    "frame_modulator",
    "image_writer",
    "picture_editor",
    "picture_source",
    "semantic_decoder",
    "semantic_encoder",
    "zmq_source",
)
"""Names of the blocks, each with a `grc/gened_<name>.block.yml`."""


def __getattr__(name: str) -> ModuleType:
    if name in BLOCKS:
        return importlib.import_module(f"{__name__}.{name}")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
