# SPDX-License-Identifier: GPL-3.0-or-later
"""What configures the processes of a link: one record per process, whose fields are the options of the commands.

The attribute docstring of a field with an `Option` is the help text of that option. Nothing here loads NumPy, so that a
command can print its help at once.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from gened.addresses import split_address
from gened.errors import CaptionerError, ConfigError, EditorError
from gened.gr_blocks.phy.channel.config import ChannelConfig
from gened.gr_blocks.phy.coding.mode_table import MODES
from gened.models.codecs.encode_options import EncodeOptions
from gened.option_fields import Option, Options, parse_name_values

if TYPE_CHECKING:
    from gened.flowgraphs.radios.profiles import RadioProfile
    from gened.link.radio_link import RadioLink

Box = tuple[int, int, int, int]
"""Left, top, width and height in pixels of the photograph's file, as a viewer shows it."""
MAX_CAPTION_BYTES = 106
"""What the papers' 426 16-QAM symbols carry."""
MAX_TEXT_BYTES = 2000
"""A frame carries little more; see `phy.framing.records`."""
YEAR_S = 86400 * 365
CHUNK_S = 0.008
"""Duration of the samples that air makes at once: the delay that it adds."""
MIN_CHUNK, MAX_CHUNK = 1024, 65536


def parse_box(text: str) -> Box:
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


@dataclass(frozen=True, kw_only=True)
class CaptionConfig:
    """The captioner, which describes photographs that have no caption.

    Raises:
        CaptionerError: Unknown captioner.
        ConfigError: A byte budget out of range.
    """

    captioner: Annotated[str, Option("--captioner", metavar="NAME")] = "layout"
    """Captioner of photographs that have no caption: layout, transformers, or none."""
    device: str = "cpu"
    """PyTorch device."""
    options: Annotated[
        Mapping[str, Any], Option("--captioner-option", metavar="NAME=VALUE", gather=parse_name_values)
    ] = field(default_factory=dict)
    """Option of the captioner, such as model=FOLDER; repeatable."""
    max_bytes: Annotated[int, Option("--caption-bytes")] = MAX_CAPTION_BYTES
    """Largest number of bytes that a captioner may use."""

    def __post_init__(self) -> None:
        from gened.models.captioning.registry import captioner_names

        if self.captioner not in captioner_names():
            raise CaptionerError(f"unknown captioner '{self.captioner}'; known are {', '.join(captioner_names())}")
        if not 8 <= self.max_bytes <= MAX_TEXT_BYTES:
            raise ConfigError(f"captions of {self.max_bytes} bytes; from 8 to {MAX_TEXT_BYTES} are possible")


@dataclass(frozen=True, kw_only=True)
class EditConfig:
    """The editor of the received pictures, and its settings.

    Raises:
        EditorError: Unknown backend.
        ConfigError: A number out of range, or a malformed address.
    """

    editor: Annotated[str, Option("--editor", metavar="NAME", shown_default="none")]
    """Edit the received pictures: embedded, realesrgan, diffusers, or tcp://HOST:PORT of a service."""
    keys: Annotated[Path | None, Option("--editor-keys", metavar="DIR", shown_default="no encryption")] = None
    """Folder with the CURVE keys of the client, for a service."""
    device: Annotated[str, Option("--editor-device", shown_default="cuda, or cpu")] = "cpu"
    """PyTorch device of the editor on this machine."""
    options: Annotated[Mapping[str, Any], Option("--editor-option", metavar="NAME=VALUE", gather=parse_name_values)] = (
        field(default_factory=dict)
    )
    """Option of the editor, such as model=FOLDER; repeatable."""
    strength: Annotated[float, Option("--edit-strength", min=0, max=1)] = 1.0
    """0 leaves the picture as it is, 1 is the full edit."""
    timeout_s: Annotated[float, Option("--edit-timeout", min=0.1)] = 60.0
    """Deliver a picture as it was received if its edit takes longer, s."""

    def __post_init__(self) -> None:
        from gened.models.editing.registry import editor_names

        if self.is_remote:
            split_address(self.editor)
        elif self.editor not in editor_names():
            raise EditorError(
                f"unknown editor '{self.editor}'; known are {', '.join(editor_names())}, "
                "or give the address of a service, like tcp://127.0.0.1:5560"
            )
        if not 0 <= self.strength <= 1:
            raise ConfigError(f"an editing strength of {self.strength:g}; from 0 to 1 is possible")
        if not 0 < self.timeout_s <= 86400:
            raise ConfigError(f"an editing time limit of {self.timeout_s:g} s; give a positive number")

    @property
    def is_remote(self) -> bool:
        """Whether the editor is a service that runs already."""
        return "://" in self.editor


@dataclass(frozen=True, kw_only=True)
class TransmitConfig:
    """The transmitter: what it sends, how it encodes, and where the samples go.

    Raises:
        ConfigError: No photograph, or a number out of range.
    """

    photos: Annotated[tuple[Path, ...], Option("PHOTO...")]
    """Picture files, 64x64 to 4096x4096."""
    codec: Annotated[str, Option("--codec", metavar="NAME")] = "softcast"
    """A known codec or a folder with weights."""
    codec_options: Annotated[
        Mapping[str, Any], Option("--codec-option", metavar="NAME=VALUE", gather=parse_name_values)
    ] = field(default_factory=dict)
    """Option of the codec's constructor; repeatable."""
    encode: Annotated[EncodeOptions, Options()] = EncodeOptions()
    """Settings of the encoder; frame n uses the seed + n."""
    mask: Annotated[Path | None, Option("--mask", metavar="FILE")] = None
    """A picture of the photograph's shape, white in its important regions."""
    mask_boxes: Annotated[tuple[Box, ...], Option("--mask-box", metavar="LEFT,TOP,WIDTH,HEIGHT", parse=parse_box)] = ()
    """An important region, in pixels of the photograph's file; repeatable."""
    captions: Annotated[tuple[str, ...], Option("--caption")] = ()
    """Text beside the picture; repeat it for one caption per photograph."""
    describe: Annotated[CaptionConfig | None, Options()] = None
    """Captioner of the photographs where there are no captions; None: no text."""
    caption_mode: Annotated[str, Option("--caption-mode", metavar="MODE", choices=(*MODES, "auto"))] = "auto"
    """Digital mode of the text; auto takes the fastest that holds at the SNR."""
    station: Annotated[str, Option("--station")] = ""
    """Station identification (a call sign) in every frame."""
    n_frames: Annotated[int | None, Option("--frames", min=1, max=65536, shown_default="one per photograph")] = None
    """Number of frames; the photographs are sent in turn."""
    interval_s: Annotated[float, Option("--interval", min=0, max=3600, shown_default="none: one after another")] = 0.0
    """Seconds from the start of one frame to that of the next."""
    max_side: Annotated[int | None, Option("--max-side", min=64, max=4096, shown_default="refuse those over 4096")] = (
        None
    )
    """Reduce larger photographs to this side, pixels."""
    sample_rate: Annotated[float, Option("--sample-rate", min=1e3, max=1e9)] = 1e6
    """Samples per second."""
    session: int | None = None
    """16-bit number of this run; None: drawn at random."""
    gap_len: int = 0
    """Zeros behind each burst, in samples."""
    device: str = "cpu"
    """Device of the encoder: a PyTorch device, or "numpy" for one that never loads PyTorch."""
    without_gnuradio: bool = False
    """Whether the NumPy chain sends in place of the GNU Radio flowgraph; over the emulator only."""
    address: Annotated[str, Option("--address")] = "tcp://127.0.0.1:5550"
    """Listen here for the samples socket of the air."""
    control: Annotated[str, Option("--control")] = "tcp://127.0.0.1:5552"
    """Listen here for the control socket of the air."""
    radio: RadioProfile | None = None
    """A radio with a clock of its own, in place of `address`, `control` and air; it runs at `sample_rate`."""
    timeout_s: Annotated[float, Option("--timeout", min=0.1)] = 30.0
    """Give up when the air is absent, or takes no samples, for so long, s."""
    out: Annotated[Path | None, Option("--out")] = None
    """Keep the pictures as sent in this folder."""

    def __post_init__(self) -> None:
        if not self.photos:
            raise ConfigError("no photograph given; name at least one file")
        if self.n_frames is not None and not 1 <= self.n_frames <= 65536:
            raise ConfigError(f"{self.n_frames} frames; from 1 to 65536 are possible")
        if not 0 <= self.interval_s <= 3600 or not 0 < self.timeout_s <= 86400:
            raise ConfigError("an interval is from 0 to 3600 s, a time limit up to 86400 s")

    @property
    def n_frames_in_all(self) -> int:
        """Frames that will be sent."""
        return self.n_frames or len(self.photos)


@dataclass(frozen=True, kw_only=True)
class AirConfig:
    """The channel emulator: its channel, and the sockets on either side.

    Raises:
        ConfigError: A sample rate out of range, or a malformed address.
    """

    channel: Annotated[ChannelConfig, Options()] = ChannelConfig()
    """The channel between transmitter and receiver."""
    drop_bursts: Annotated[frozenset[int], Option("--drop-burst", min=0, gather=frozenset)] = frozenset()
    """Lose this burst, counted from 0 over the whole run; repeatable."""
    sample_rate: Annotated[float, Option("--sample-rate", min=1e3, max=1e9)] = 1e6
    """Samples per second."""
    speed: Annotated[float, Option("--speed", min=0)] = 1.0
    """Times real time; 0: bursts pass as fast as the receiver reads them, and only silence keeps the rate."""
    tx_address: Annotated[str, Option("--tx")] = "tcp://127.0.0.1:5550"
    """Address of the transmitter's samples."""
    tx_control: Annotated[str, Option("--tx-control")] = "tcp://127.0.0.1:5552"
    """Address of the transmitter's control socket."""
    rx_address: Annotated[str, Option("--rx")] = "tcp://127.0.0.1:5551"
    """Listen here for the samples socket of one receiver."""
    rx_control: Annotated[str, Option("--rx-control")] = "tcp://127.0.0.1:5553"
    """Listen here for the control sockets of receivers."""
    tap: Annotated[str | None, Option("--tap", metavar="ADDRESS")] = None
    """Publish the samples here too (PUB), for programs that only watch; what they do not read is lost to them."""
    until_end: bool = False
    """End by itself when the transmitter has ended and all of its samples have left."""

    def __post_init__(self) -> None:
        if not 1e3 <= self.sample_rate <= 1e8:
            raise ConfigError(f"a sample rate of {self.sample_rate:g} Hz; from 1e3 to 1e8 is possible")
        if not 0 <= self.speed <= 1000:
            raise ConfigError(f"a speed of {self.speed:g}; from 0 (no clock) to 1000 times real time is possible")
        for address in (self.tx_address, self.rx_address, self.tx_control, self.rx_control):
            split_address(address)
        if self.tap is not None:
            split_address(self.tap)

    @property
    def is_paced(self) -> bool:
        """Whether bursts keep to a clock."""
        return self.speed > 0

    @property
    def chunk_s(self) -> float:
        """Seconds between chunks."""
        return self.chunk_len / (self.sample_rate * (self.speed or 1.0))

    @property
    def chunk_len(self) -> int:
        """Samples that are made at once."""
        return int(min(max(CHUNK_S * self.sample_rate, MIN_CHUNK), MAX_CHUNK))


@dataclass(frozen=True, kw_only=True)
class KeepConfig:
    """A recording: which samples are kept, and in which file.

    Raises:
        ConfigError: An unknown datatype, or no positive time.
    """

    path: Annotated[Path, Option("--out", metavar="FILE.sigmf-meta")]
    """The recording; its samples are in FILE.sigmf-data beside it."""
    seconds: Annotated[float | None, Option("--seconds", min=0.001, shown_default="go on")] = None
    """Length of the recording, s."""
    datatype: Annotated[str, Option("--datatype")] = "cf32_le"
    """Format of a sample: cf32_le, or ci16_le for half the size."""
    description: Annotated[str, Option("--description")] = ""
    """Text about the recording, in its metadata."""
    overwrites: Annotated[bool, Option("--overwrite")] = False
    """Replace an older recording of that name."""

    def __post_init__(self) -> None:
        from gened.gr_blocks.recording.formats import require_format

        require_format(self.datatype)
        if self.seconds is not None and not 0 < self.seconds <= YEAR_S:
            raise ConfigError(f"a recording of {self.seconds:g} s; give a positive number")


@dataclass(frozen=True, kw_only=True)
class ReceiveConfig:
    """The receiver: where its samples come from, what it does with the pictures, and when it ends.

    Raises:
        ConfigError: A malformed address, or a number out of range.
    """

    out: Annotated[Path | None, Option("--out")] = None
    """Folder for pictures and report.json; made if absent."""
    n_frames: Annotated[int | None, Option("--frames", min=1, shown_default="go on")] = None
    """End after this number of frames."""
    timeout_s: Annotated[float, Option("--timeout", min=0.1)] = 60.0
    """Give up when no frame has come for so long, s."""
    until_end: Annotated[bool, Option("--until-end")] = False
    """End when the air says that the transmitter has sent everything."""
    codecs: Annotated[tuple[str, ...], Option("--codec", metavar="NAME")] = ()
    """A further codec or folder with weights, besides those that are installed; repeatable."""
    codec_options: Annotated[
        Mapping[str, Any], Option("--codec-option", metavar="NAME=VALUE", gather=parse_name_values)
    ] = field(default_factory=dict)
    """Option of the constructor of the codecs named by --codec; repeatable."""
    sample_rate: Annotated[float, Option("--sample-rate", min=1e3, max=1e9)] = 1e6
    """Samples per second."""
    address: Annotated[str, Option("--address")] = "tcp://127.0.0.1:5551"
    """Address of the samples of the air."""
    control: Annotated[str, Option("--control")] = "tcp://127.0.0.1:5553"
    """Address at which the air publishes its state."""
    radio: RadioProfile | None = None
    """A radio with a clock of its own, or a recording, in place of `address`, `control` and air; it runs at
    `sample_rate`."""
    keep: KeepConfig | None = None
    """Keep the samples as a recording in SigMF too; None: they are not kept."""
    edit: Annotated[EditConfig | None, Options()] = None
    """The editor; None: no picture is edited. Edited ones are `edited-0000.png`, and the first one `edited.png`."""
    is_numbered: bool = True
    """Files are `received-0000.png` by frame, and the first one also `received.png`; else only the latter. The mask
    that the receiver knows lies beside them: `received-0000-mask.png` and `mask.png`."""
    has_report: bool = True
    """Leave report.json, side_by_side.png and constellation.png of the first frame in `out` too."""
    without_gnuradio: bool = False
    """Whether the NumPy chain receives in place of the GNU Radio flowgraph; from a recording or the emulator only."""
    threads: Annotated[int | None, Option("--threads", min=1, max=1024, shown_default="half of the cores")] = None
    """Threads of PyTorch and BLAS in the process that decodes."""
    live_s: float | None = None
    """Period of the live figures, s; None: none."""
    argv: tuple[str, ...] = ()
    """Command line, for the report."""

    def __post_init__(self) -> None:
        split_address(self.address)
        split_address(self.control)
        if self.n_frames is not None and self.n_frames < 1:
            raise ConfigError(f"{self.n_frames} frames; at least 1 is possible")
        if not 0 < self.timeout_s <= YEAR_S:
            raise ConfigError(f"a time limit of {self.timeout_s:g} s; give a positive number")
        if self.until_end and self.radio is not None:
            raise ConfigError("a radio does not tell when the transmitter has ended; use --frames or --timeout")
        if self.codec_options and not self.codecs:
            raise ConfigError("--codec-option is for the codecs that --codec names; name one")


@dataclass(frozen=True, kw_only=True)
class RecordConfig:
    """A recorder: where its samples come from, what is kept, and when it ends.

    Raises:
        ConfigError: A number out of range.
    """

    keep: Annotated[KeepConfig, Options()]
    """The recording."""
    profile: RadioProfile
    """Source of the samples."""
    n_frames: Annotated[int | None, Option("--frames", min=1, shown_default="go on")] = None
    """End after this number of frames."""
    timeout_s: Annotated[float, Option("--timeout", min=0.1)] = 10.0
    """Give up when no sample has come for so long, s."""
    control: str | None = None
    """Address at which the air publishes its state; None: a radio."""

    def __post_init__(self) -> None:
        if self.n_frames is not None and self.n_frames < 1:
            raise ConfigError(f"{self.n_frames} frames; at least 1 is possible")
        if not 0 < self.timeout_s <= YEAR_S:
            raise ConfigError(f"a time limit of {self.timeout_s:g} s; give a positive number")


@dataclass(frozen=True, kw_only=True)
class LoopbackConfig:
    """The processes of a loopback, with addresses that fit each other, and the folder for their results.

    Raises:
        ConfigError: Not exactly one of air and radio.
    """

    transmit: TransmitConfig
    receive: ReceiveConfig
    out: Annotated[Path, Option("--out")]
    """Folder for pictures and report.json; made if absent."""
    air: AirConfig | None = None
    radio: RadioLink | None = None
    """In place of air; transmitter and receiver get its profiles from here."""
    argv: tuple[str, ...] = ()
    """Command line, for the report."""
    seed: Annotated[int, Option("--seed", min=0, max=2**31 - 1)] = 0
    """Seed of noise, fading and everything else that is drawn at random."""

    def __post_init__(self) -> None:
        if (self.air is None) == (self.radio is None):
            raise ConfigError("a loopback needs an air or a radio, and not both")

    @property
    def link(self) -> AirConfig | RadioLink:
        """Whatever lies between transmitter and receiver."""
        link = self.air or self.radio
        assert link is not None  # checked when it was made
        return link

    @property
    def channel(self) -> ChannelConfig | None:
        """The simulated channel, of the channel emulator or of a virtual Pluto; None over a real radio."""
        if self.air is not None:
            return self.air.channel
        return None if self.radio is None or self.radio.pluto is None else self.radio.pluto.air.channel

    @property
    def sample_rate(self) -> float:
        """Hz."""
        return self.link.sample_rate

    @property
    def snr_set_db(self) -> float | None:
        """Es/N0, dB; None where it is not set, as on a real radio."""
        return self.link.channel.snr_db if isinstance(self.link, AirConfig) else self.link.snr_set_db

    @property
    def cfo_set_hz(self) -> float | None:
        """Frequency offset, Hz; None where it is not set, as on a real radio."""
        return self.link.channel.freq_offset_hz if isinstance(self.link, AirConfig) else self.link.cfo_set_hz
