# SPDX-License-Identifier: GPL-3.0-or-later
"""Options that several commands share, each with its unit, and how their texts become values."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from gened.errors import ConfigError
from gened.gr_blocks.phy.channel.config import IMPAIRMENTS
from gened.paths import ROOT

if TYPE_CHECKING:
    from rich.text import Text

    from gened.commands.generated import Given
    from gened.gr_blocks.phy.channel.config import ChannelConfig
    from gened.link.config import CaptionConfig, EditConfig, TransmitConfig

BEST_CODEC = "gened, or softcast where it cannot run"
"""Words for the default of --codec."""


def parse_numbers(text: str) -> tuple[float, ...]:
    """Numbers with commas between them, such as 1,4,7,10."""
    try:
        values = tuple(float(part) for part in text.split(",") if part.strip())
    except ValueError as error:
        raise ConfigError(f"'{text}' is not a list of numbers; write it like 1,4,7,10") from error
    if not values or not all(-40 <= value <= 100 for value in values):
        raise ConfigError(f"'{text}' holds no SNR from -40 to 100 dB; write it like 1,4,7,10")
    return values


def channel_config(channel: Given[ChannelConfig], impair: list[str] | None, **others: float) -> ChannelConfig:
    """The channel with its impairments.

    Args:
        channel: Values of the options.
        impair: Values of --impair.
        **others: Fields that are no options of the command.

    Raises:
        ConfigError: An unknown channel or impairment, or a value out of range.
    """
    from gened.gr_blocks.phy.channel.config import impaired

    return impaired(channel.make(**others), impair or ())


def data_folder(*parts: str) -> Path | None:
    """A folder of the optional data, below $GENED_DATA or `shared/data` beside the checkout; None if absent."""
    base = Path(os.environ["GENED_DATA"]) if "GENED_DATA" in os.environ else ROOT.parent / "shared" / "data"
    folder = base.joinpath(*parts)
    return folder if folder.is_dir() else None


Impair = Annotated[
    list[str] | None,
    typer.Option(
        "--impair",
        metavar="NAME=VALUE",
        help=f"Impairment of the radios or the channel; repeatable. Names are {', '.join(IMPAIRMENTS)}.",
        show_default=False,
    ),
]
Speed = Annotated[
    float,
    typer.Option("--speed", min=0, help="Times real time; 0: bursts pass as fast as the receiver reads them."),
]
CodecName = Annotated[
    str,
    typer.Option(
        "--codec",
        metavar="NAME",
        help="A known codec or a folder with weights.",
        show_default=BEST_CODEC,
    ),
]
CodecOption = Annotated[
    list[str] | None,
    typer.Option(
        "--codec-option", metavar="NAME=VALUE", help="Option of the codec's constructor; repeatable.",
        show_default=False,
    ),
]  # fmt: skip
CaptionFile = Annotated[
    Path | None,
    typer.Option(
        "--caption-file", metavar="FILE", help="Captions in UTF-8, one line per photograph.", show_default=False
    ),
]
Json = Annotated[bool, typer.Option("--json", help="Print the report as JSON on stdout, and nothing else there.")]
ResultFile = Annotated[
    Path | None, typer.Option("--out", help="Write the JSON to this file too.", show_default=False)
]  # fmt: skip
Live = Annotated[
    str,
    typer.Option(
        "--live", metavar="HOW",
        help="Live figures: line, one that is refreshed on a terminal; json, one line per second on stdout; none.",
    ),
]  # fmt: skip
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="No progress.")]
Threads = Annotated[
    int | None,
    typer.Option(
        "--threads", min=1, max=1024, help="Threads of PyTorch and BLAS in each process.",
        show_default="all cores, divided among the processes",
    ),
]  # fmt: skip
Device = Annotated[str, typer.Option("--device", help="PyTorch device: cpu or cuda.")]


EditStrength = Annotated[
    float, typer.Option("--edit-strength", min=0, max=1, help="0 leaves the picture as it is, 1 is all.")
]
Numpy = Annotated[
    bool, typer.Option("--numpy", help="Encode with NumPy alone: PyTorch is never loaded at the transmitter.")
]


def transmit_config(
    given: Given[TransmitConfig], *, is_numpy: bool = False, caption_file: Path | None = None, **others: Any
) -> TransmitConfig:
    """The transmitter, with its codec and its texts checked before anything is started.

    Args:
        given: Values of the options; without those of the captioner no photograph is described.
        is_numpy: Whether the transmitter must do without PyTorch.
        caption_file: Further captions, one per line.
        **others: Further fields, see `Given.make`.

    Raises:
        GenedError: An unknown codec, captioner or mode, a text that is too long, or a number out of range.
    """
    device = "numpy" if is_numpy else "cpu"
    codec = default_codec(given["codec"], device=device)
    require_codec(codec)
    captions = (*given["captions"], *(() if caption_file is None else read_captions(caption_file)))
    require_text(captions, given.get("station", ""), given.get("caption_mode", "auto"))
    describe = given.get("describe")
    if describe is not None:
        others["describe"] = caption_config(describe, without_torch=is_numpy)
    return given.make(codec=codec, device=device, captions=captions, **others)


def read_captions(file: Path) -> list[str]:
    """The captions in a file, one per line.

    Raises:
        ConfigError: The file cannot be read, or has none.
    """
    try:
        lines = [line.strip() for line in file.read_text(encoding="utf-8").splitlines()]
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"cannot read the captions in {file}: {error}") from error
    if not any(lines):
        raise ConfigError(f"{file} holds no caption; write one per line, in UTF-8")
    return lines


def caption_config(given: Given[CaptionConfig], *, without_torch: bool) -> CaptionConfig | None:
    """The captioner; None for "none".

    Raises:
        GenedError: An unknown captioner, a value out of range, or options without a captioner.
    """
    if given["captioner"] in ("", "none"):
        if given["options"]:
            raise ConfigError("--captioner-option is for the captioner that --captioner names; name one")
        return None
    if given["captioner"] == "layout" and without_torch:
        return given.make(options={"detects": False, **given["options"]})
    return given.make()


def edit_config(given: Given[EditConfig]) -> EditConfig | None:
    """The editor; None for "none".

    Raises:
        GenedError: An unknown editor, a value out of range, or options without an editor.
    """
    if given["editor"] in ("", "none"):
        if given["options"]:
            raise ConfigError("--editor-option is for the editor that --editor names; name one")
        return None
    return given.make(device=given["device"] or default_device(given["editor"]))


def default_device(backend: str) -> str:
    """The first GPU where there is one and the backend can use it."""
    if backend in ("none", "realesrgan") or "://" in backend:
        return "cpu"
    try:
        import torch
    except ImportError:
        return "cpu"
    return "cuda:0" if torch.cuda.is_available() else "cpu"


LIVE_S: dict[str, float | None] = {"line": 0.25, "json": 1.0, "none": None}
"""How often the live figures are told, by what `--live` may be."""


def live_s(how: str, *, has_json: bool) -> float | None:
    """How often the live figures are wanted, s.

    Raises:
        ConfigError: An unknown way, or stdout is the report's.
    """
    if how not in LIVE_S:
        raise ConfigError(f"--live {how}; known are {', '.join(LIVE_S)}")
    if how == "json" and has_json:
        raise ConfigError("--json keeps stdout for the report; give one of --json and --live json")
    return LIVE_S[how]


def one_line(text: str) -> Text:
    """A text that a narrow terminal cuts off and does not wrap, for lines that are refreshed."""
    from rich.text import Text

    return Text(text, no_wrap=True, overflow="ellipsis")


def default_codec(name: str, *, device: str = "cpu") -> str:
    """The codec of that name, or the best that can run here on that device."""
    from gened.models.codecs.registry import default_codec as registry_default

    return name or registry_default(device=device)


def require_codec(name: str) -> None:
    """Looks whether a codec is known, before anything is started; its weights are loaded later, by the worker.

    Raises:
        CodecError: Unknown; the message lists the known ones.
    """
    from gened.errors import CodecError
    from gened.models.codecs.registry import codec_names, is_folder

    if is_folder(name):
        if not (Path(name) / "config.json").is_file():
            raise CodecError(
                f"{name} is not a codec: it needs a config.json that names its codec, and model.safetensors"
            )
    elif name not in codec_names():
        raise CodecError(f"unknown codec '{name}'; known are {', '.join(codec_names())}, or give a folder with weights")


def require_text(captions: Sequence[str], station: str, mode_name: str) -> None:
    """Looks whether captions fit into a frame and their mode exists, before anything is started.

    Raises:
        FrameError: More than a frame carries.
        ConfigError: No such mode; the message lists the known ones.
    """
    from gened.gr_blocks.phy.coding.modes import mode
    from gened.gr_blocks.phy.framing.records import Records, pack_records

    if mode_name != "auto":
        mode(mode_name)
    for caption in captions or ("",):
        pack_records(Records(caption=caption or None, station=station or None))
