# SPDX-License-Identifier: GPL-3.0-or-later
"""The settings of an evaluation as they were used, defaults included, so that a result can be repeated later."""

from __future__ import annotations

import inspect
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from gened.gr_blocks.phy.channel.config import ChannelConfig
from gened.models.codecs.base import Codec
from gened.models.codecs.encode_options import EncodeOptions

PER_FRAME = ("snr_db", "seed")
"""Settings of encoder and channel that change from frame to frame."""


def settings_used(
    codec: Codec, codec_options: Mapping[str, Any], encode: EncodeOptions, channel: ChannelConfig, *, mask: str,
    **others: Any,
) -> dict[str, Any]:  # fmt: skip
    """Every setting with its value, given or default, as JSON can hold it.

    Args:
        codec: The codec; a default focus of its own replaces None.
        codec_options: Options of its constructor that were given.
        encode: Settings of the encoder.
        channel: The channel.
        mask: Importance that the encoder receives; with "none" the focus is 1.
        **others: Further settings.
    """
    focus = 1.0 if mask == "none" else encode.focus
    if focus is None:
        own = getattr(codec, "focus", None)
        focus = float(own) if isinstance(own, int | float) else None
    return {
        "codec": codec.name,
        "codec_options": _constructor_defaults(codec) | dict(codec_options),
        "encode": _plain({**asdict(encode), "focus": focus}),
        "channel": _plain(asdict(channel)),
        "mask": mask,
    } | {key: list(value) if isinstance(value, Sequence) and not isinstance(value, str) else value
         for key, value in others.items()}  # fmt: skip


def _plain(values: Mapping[str, Any]) -> dict[str, Any]:
    kept = {key: value for key, value in values.items() if key not in PER_FRAME}
    return {key: value if isinstance(value, int | float | str | None) else str(value) for key, value in kept.items()}


def _constructor_defaults(codec: Codec) -> dict[str, Any]:
    """Defaults of the constructor's options that are plain values."""
    parameters = inspect.signature(type(codec)).parameters.values()
    return {
        one.name: one.default
        for one in parameters
        if one.default is not inspect.Parameter.empty and isinstance(one.default, int | float | str | None)
    }
