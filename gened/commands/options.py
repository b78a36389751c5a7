# SPDX-License-Identifier: GPL-3.0-or-later
"""Options that several commands share, each with its unit, and how their texts become values."""

from __future__ import annotations

import os
from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from gened.errors import ConfigError
from gened.paths import ROOT

if TYPE_CHECKING:
    from rich.text import Text

    from gened.gr_blocks.phy.channel.config import ChannelConfig
    from gened.link.describing import CaptionConfig
    from gened.link.editing import EditConfig

CHANNELS = "awgn, rayleigh-block, rician-block, multipath, tdl-a, tdl-b, tdl-c"
CAPTION_MODES = "bpsk-1/2x2, bpsk-1/2, qpsk-1/2, qpsk-3/4, 16qam-1/2, 16qam-3/4, 64qam-1/2, 64qam-3/4"
"""Those of `phy/modes.py`, which takes NumPy to load; a test holds them together."""
OTHER_NAMES = {"rician": "rician-block"}
"""What people call a channel of which there is one kind only."""
MAX_RATE_NUMERATOR, MAX_RATE_DENOMINATOR = 8, 512  # what the header can tell
IMPAIRMENTS = (
    "timing_offset",
    "rician_k_db",
    "delay_spread",
    "doppler_hz",
    "linewidth_hz",
    "iq_gain_db",
    "iq_phase_deg",
    "dc_offset",
    "clip_db",
    "bits",
)
"""What `--impair` may name, as `ChannelConfig` does."""


def parse_rate(text: str) -> Fraction:
    """A rate such as 1/24 or 0.05."""
    try:
        value = Fraction(text).limit_denominator(MAX_RATE_DENOMINATOR)
    except (ValueError, ZeroDivisionError, OverflowError) as error:
        raise typer.BadParameter(f"'{text}' is not a rate; write it like 1/24") from error
    if not 0 < value <= 1 or value.numerator > MAX_RATE_NUMERATOR:
        raise typer.BadParameter(
            f"{text} cannot be sent; rates are fractions up to 1 with a numerator up to {MAX_RATE_NUMERATOR} "
            f"and a denominator up to {MAX_RATE_DENOMINATOR}"
        )
    return value


def parse_numbers(text: str) -> tuple[float, ...]:
    """Numbers with commas between them, such as 1,4,7,10."""
    try:
        values = tuple(float(part) for part in text.split(",") if part.strip())
    except ValueError as error:
        raise ConfigError(f"'{text}' is not a list of numbers; write it like 1,4,7,10") from error
    if not values or not all(-40 <= value <= 100 for value in values):
        raise ConfigError(f"'{text}' holds no SNR from -40 to 100 dB; write it like 1,4,7,10")
    return values


def parse_box(text: str) -> tuple[int, int, int, int]:
    """A box LEFT,TOP,WIDTH,HEIGHT such as 100,40,64,64.

    Raises:
        ConfigError: Not four whole numbers, or nothing in the box.
    """
    try:
        left, top, width, height = (int(part) for part in text.split(","))
    except ValueError as error:
        raise ConfigError(f"'{text}' is not a box; write LEFT,TOP,WIDTH,HEIGHT in pixels, like 100,40,64,64") from error
    if left < 0 or top < 0 or width < 1 or height < 1:
        raise ConfigError(f"the box {text} has nothing in it; LEFT and TOP count from 0, WIDTH and HEIGHT from 1")
    return left, top, width, height


def channel_config(
    kind: str, *, snr_db: float, freq_offset_hz: float, sfo_ppm: float, drop: float, seed: int, impair: list[str] | None
) -> ChannelConfig:
    """The channel of `air`, `loopback` and `evaluate`.

    Raises:
        ConfigError: An unknown channel or impairment, or a value out of range.
    """
    from gened.gr_blocks.phy.channel.config import ChannelConfig

    kind = OTHER_NAMES.get(kind, kind)
    extra: dict[str, Any] = {}
    for item in impair or []:
        name, _, value = item.partition("=")
        if name not in IMPAIRMENTS:
            raise ConfigError(f"impairment '{name}'; known are {', '.join(IMPAIRMENTS)}")
        try:
            extra[name] = int(value) if name == "bits" else float(value)
        except ValueError as error:
            raise ConfigError(f"'{item}' is not an impairment; write it like linewidth_hz=100") from error
    values = {"snr_db": snr_db, "freq_offset_hz": freq_offset_hz, "sfo_ppm": sfo_ppm, "drop": drop, **extra}
    for name, value in values.items():
        if not abs(value) < float("inf"):
            raise ConfigError(f"{name} is {value}; give a finite number")
    return ChannelConfig(kind=kind, seed=seed, **values)  # type: ignore[arg-type]  # it checks the kind itself


def data_folder(*parts: str) -> Path | None:
    """A folder of the optional data, below $GENED_DATA or `shared/data` beside the checkout; None if absent."""
    base = Path(os.environ["GENED_DATA"]) if "GENED_DATA" in os.environ else ROOT.parent / "shared" / "data"
    folder = base.joinpath(*parts)
    return folder if folder.is_dir() else None


Snr = Annotated[float, typer.Option("--snr", help="Es/N0 on an occupied carrier, dB.")]
SnrDesign = Annotated[
    float | None,
    typer.Option("--snr-design", help="SNR that the sender is told and codes for, dB.", show_default="that of --snr"),
]
FreqOffset = Annotated[
    float, typer.Option("--freq-offset", help="Carrier frequency offset, Hz; up to 12.5 % of the sample rate.")
]
SfoPpm = Annotated[
    float, typer.Option("--sfo-ppm", help="Sampling clock offset, ppm; positive: the burst arrives shorter.")
]
SampleRate = Annotated[float, typer.Option("--sample-rate", min=1e3, max=1e9, help="Samples a second.")]
Channel = Annotated[str, typer.Option("--channel", metavar="KIND", help=f"One of {CHANNELS}.")]
Drop = Annotated[float, typer.Option("--drop", help="Probability that a whole burst is lost.")]
DropBurst = Annotated[
    list[int] | None,
    typer.Option("--drop-burst", min=0, help="Lose this burst, counted from 0 over the whole run; repeatable."),
]
Impair = Annotated[
    list[str] | None,
    typer.Option("--impair", metavar="NAME=VALUE", help=f"Repeatable; names are {', '.join(IMPAIRMENTS)}."),
]
Speed = Annotated[
    float,
    typer.Option("--speed", min=0, help="Times real time; 0: bursts pass as fast as the receiver reads them."),
]
Timeout = Annotated[float, typer.Option("--timeout", min=0.1, help="Give up when nothing came for so long, s.")]
Out = Annotated[Path, typer.Option("--out", help="Folder for pictures and report.json; made if absent.")]
Seed = Annotated[int, typer.Option("--seed", min=0, max=2**31 - 1, help="Of noise, fading and all else that is drawn.")]
Rate = Annotated[
    Fraction,
    typer.Option(
        "--rate", parser=parse_rate, metavar="FRACTION", help="Complex symbols per source value (3 per pixel)."
    ),
]
CodecName = Annotated[
    str,
    typer.Option(
        "--codec",
        metavar="NAME",
        help="A known codec or a folder with weights.",
        show_default="gened, or softcast where it cannot run",
    ),
]
Caption = Annotated[
    list[str] | None, typer.Option("--caption", help="Text beside the picture; repeat it for one caption a photograph.")
]
CaptionFile = Annotated[
    Path | None,
    typer.Option("--caption-file", metavar="FILE", help="Captions in UTF-8, a line a photograph.", show_default=False),
]
CaptionerName = Annotated[
    str,
    typer.Option(
        "--captioner", metavar="NAME",
        help="Who describes a photograph without caption: layout, transformers, or none.",
    ),
]  # fmt: skip
CaptionerOption = Annotated[
    list[str] | None,
    typer.Option(
        "--captioner-option", metavar="NAME=VALUE", help="Of the captioner, such as model=FOLDER; repeatable.",
        show_default=False,
    ),
]  # fmt: skip
CaptionBytes = Annotated[int, typer.Option("--caption-bytes", help="Most bytes that a captioner may use.")]
CaptionMode = Annotated[
    str,
    typer.Option(
        "--caption-mode",
        metavar="MODE",
        help=f"{CAPTION_MODES}, or auto: the fastest that holds at the SNR.",
    ),
]
Station = Annotated[str, typer.Option("--station", help="Station identification (a call sign) in every frame.")]
Frames = Annotated[
    int | None,
    typer.Option(
        "--frames", min=1, max=65536, help="Frames in all, the photographs in turn.", show_default="one a photograph"
    ),
]
Interval = Annotated[
    float,
    typer.Option(
        "--interval",
        min=0,
        help="Seconds from the start of one frame to that of the next.",
        show_default="none: one after another",
    ),
]
MaxSide = Annotated[
    int | None,
    typer.Option(
        "--max-side",
        min=64,
        max=4096,
        help="Make larger photographs smaller, pixels.",
        show_default="refuse those over 4096",
    ),
]
Photos = Annotated[
    list[Path], typer.Argument(metavar="PHOTO...", help="Picture files, 64x64 to 4096x4096.", show_default=False)
]
Json = Annotated[bool, typer.Option("--json", help="Print the report as JSON on stdout, and nothing else there.")]
ResultFile = Annotated[
    Path | None, typer.Option("--out", help="Write the JSON to this file too.", show_default=False)
]  # fmt: skip
Live = Annotated[
    str,
    typer.Option(
        "--live", metavar="HOW",
        help="Figures while it runs: line, one that is refreshed on a terminal; json, a line a second on stdout; none.",
    ),
]  # fmt: skip
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="No progress.")]
Device = Annotated[str, typer.Option("--device", help="PyTorch device: cpu or cuda.")]


Mask = Annotated[
    Path | None,
    typer.Option(
        "--mask",
        metavar="FILE",
        help="A picture of the photograph's shape, white where it is important.",
        show_default=False,
    ),
]
MaskBox = Annotated[
    list[str] | None,
    typer.Option(
        "--mask-box",
        metavar="LEFT,TOP,WIDTH,HEIGHT",
        help="What is important, in pixels of the photograph; repeatable.",
        show_default=False,
    ),
]
Focus = Annotated[
    float | None,
    typer.Option("--focus", metavar="W", help="Weight of what is important, 1 for none.", show_default="the codec's"),
]
Refine = Annotated[
    int,
    typer.Option(
        "--refine", metavar="N", min=0, max=500, help="Gradient steps that the sender spends on each photograph."
    ),
]
SideMargin = Annotated[
    float,
    typer.Option(
        "--side-margin", metavar="DB", min=0, max=30,
        help="How far a burst may fade below the design SNR before class map and mask are lost.",
    ),
]  # fmt: skip
EditorName = Annotated[
    str,
    typer.Option(
        "--editor", metavar="NAME",
        help="Edit what is received: embedded, realesrgan, diffusers, or tcp://HOST:PORT of a service.",
        show_default="none",
    ),
]  # fmt: skip
EditorKeys = Annotated[
    Path | None,
    typer.Option("--editor-keys", metavar="DIR", help="CURVE keys for the service.", show_default="no encryption"),
]
EditorOption = Annotated[
    list[str] | None,
    typer.Option(
        "--editor-option", metavar="NAME=VALUE", help="Of the editor, such as model=FOLDER; repeatable.",
        show_default=False,
    ),
]  # fmt: skip
EditorDevice = Annotated[
    str, typer.Option("--editor-device", help="PyTorch device of the editor.", show_default="cuda, or cpu")
]
EditStrength = Annotated[
    float, typer.Option("--edit-strength", min=0, max=1, help="0 leaves the picture as it is, 1 is all.")
]
EditTimeout = Annotated[
    float,
    typer.Option("--edit-timeout", min=0.1, help="Deliver a picture as received when it is not back after so long, s."),
]
Numpy = Annotated[
    bool, typer.Option("--numpy", help="Encode with NumPy alone: PyTorch is never loaded at the transmitter.")
]


def parse_options(texts: list[str] | None) -> dict[str, Any]:
    """Options of an editor or a captioner, NAME=VALUE: numbers, true and false as such, all else as text.

    Raises:
        ConfigError: No NAME=VALUE.
    """
    found: dict[str, Any] = {}
    for text in texts or []:
        name, equals, value = text.partition("=")
        if not equals or not name.isidentifier():
            raise ConfigError(f"'{text}' is not an option; write it like model=FOLDER")
        found[name] = _plain_value(value)
    return found


def _plain_value(text: str) -> Any:
    if text.lower() in ("true", "false"):
        return text.lower() == "true"
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            continue
    return text


def all_captions(captions: list[str] | None, file: Path | None) -> tuple[str, ...]:
    """Captions from the command line, then those of the file.

    Raises:
        ConfigError: The file cannot be read, or holds none.
    """
    found = list(captions or ())
    if file is not None:
        try:
            lines = [line.strip() for line in file.read_text(encoding="utf-8").splitlines()]
        except (OSError, UnicodeDecodeError) as error:
            raise ConfigError(f"cannot read the captions in {file}: {error}") from error
        if not any(lines):
            raise ConfigError(f"{file} holds no caption; write one a line, in UTF-8")
        found += lines
    return tuple(found)


def caption_config(
    captioner: str, *, chosen: list[str] | None, max_bytes: int, without_torch: bool
) -> CaptionConfig | None:
    """Who describes the photographs; None where nobody does.

    Raises:
        GenedError: An unknown captioner, or an option that is none.
    """
    if not captioner or captioner == "none":
        return None
    from gened.link.describing import CaptionConfig

    values = parse_options(chosen)
    if captioner == "layout" and without_torch:
        values = {"detects": False, **values}
    return CaptionConfig(captioner=captioner, options=values, max_bytes=max_bytes)


def edit_config(
    editor: str, *, keys: Path | None, device: str, chosen: list[str] | None, strength: float, timeout_s: float
) -> EditConfig | None:
    """Who edits; None where nobody does.

    Raises:
        GenedError: An unknown editor, or an option that is none.
    """
    if not editor or editor == "none":
        return None
    from gened.link.editing import EditConfig

    return EditConfig(
        editor=editor, keys=keys, device=device or default_device(editor), options=parse_options(chosen),
        strength=strength, timeout_s=timeout_s,
    )  # fmt: skip


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


def encoder_device(is_numpy: bool) -> str:
    """The device that the transmitter's codec is asked to run on."""
    return "numpy" if is_numpy else "cpu"


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
