# SPDX-License-Identifier: GPL-3.0-or-later
"""Codecs by name: built-in ones, those of other packages in the entry-point group `gened.codecs`, or a folder with
weights of a known architecture.

A codec is made by `(folder: Path | None = None, *, device: str = "cpu", **options)`; an option that its constructor has
no keyword for is a `CodecError`. The device "numpy" is for transmitters without PyTorch: `encode` then
uses NumPy alone, or the constructor raises `CodecError`.
"""

from __future__ import annotations

import importlib.util
import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, cast

from gened.errors import CodecError
from gened.models.codecs.base import Codec
from gened.models.plugins import construct, installed, load_target

ENTRY_POINT_GROUP = "gened.codecs"
BUILT_IN: dict[str, str] = {
    "deepjscc": "gened.models.codecs.deepjscc.codec:DeepJscc",
    "gened": "gened.models.codecs.gened.codec:Gened",
    "hevc-ldpc": "gened.models.codecs.hevc_ldpc.codec:HevcLdpc",
    "softcast": "gened.models.codecs.softcast.codec:SoftCast",
}
"""Name to module and class; a module is imported when its codec is loaded."""

CodecFactory = Callable[..., Codec]


def _targets() -> dict[str, str]:
    return installed(ENTRY_POINT_GROUP) | BUILT_IN


def codec_names() -> list[str]:
    """Names that `load_codec` knows, sorted."""
    return sorted(_targets())


def _factory(name: str) -> CodecFactory:
    targets = _targets()
    if name not in targets:
        raise CodecError(
            f"unknown codec {name!r}; known are {', '.join(sorted(targets))}, or give a folder with weights"
        )
    return cast(CodecFactory, load_target("codec", name, targets[name], CodecError))


def is_folder(name: str) -> bool:
    """Whether a name means a folder with weights. Names of codecs do not, although a checkout has a folder `gened`."""
    return name not in codec_names() and ("/" in name or Path(name).is_dir())


def load_codec(name: str, *, device: str = "cpu", **options: Any) -> Codec:
    """The codec called `name`, or the one whose `config.json` and `model.safetensors` lie in the folder `name`.

    Args:
        name: See `codec_names`; anything with a path separator is a folder.
        device: PyTorch device, for codecs that have networks; or "numpy": `encode` works without PyTorch.
        **options: Of this codec's constructor; unknown ones are refused with a list of the known ones.

    Raises:
        CodecError: Unknown codec or option, without usable weights, or one that needs PyTorch although the device is
            "numpy".
    """
    if not is_folder(name):
        return _made(name, device=device, options=options)
    folder = Path(name)
    try:
        architecture = json.loads((folder / "config.json").read_text())["codec"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise CodecError(
            f"{folder} is not a codec: it needs a config.json that names its codec, and model.safetensors"
        ) from error
    if not isinstance(architecture, str):
        raise CodecError(f"{folder}/config.json names no codec; known are {', '.join(codec_names())}")
    return _made(architecture, folder, device=device, options=options)


def _made(name: str, *folder: Path, device: str, options: Mapping[str, Any]) -> Codec:
    """The codec called `name`, with its own weights or those in a folder."""
    return cast(Codec, construct("codec", name, _factory(name), CodecError, *folder, device=device, options=options))


def default_codec(*, device: str = "cpu") -> str:
    """`gened`; `softcast` where PyTorch is missing, for then the receiver has no use for the larger weights."""
    has_torch = device == "numpy" or importlib.util.find_spec("torch") is not None
    return "gened" if has_torch else "softcast"
