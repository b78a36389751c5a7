# SPDX-License-Identifier: GPL-3.0-or-later
"""Sending one picture through a codec and a channel, and scoring what is received."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any, Literal, NamedTuple

import numpy as np

from gened.errors import ConfigError
from gened.gr_blocks.phy.channel.config import ChannelConfig
from gened.gr_blocks.phy.channel.sample_channel import SampleChannel
from gened.gr_blocks.phy.channel.symbol_channel import apply_symbols
from gened.gr_blocks.phy.framing.budget import budget, n_bursts, side_symbols
from gened.gr_blocks.phy.framing.header import quantize_snr_db
from gened.gr_blocks.phy.ofdm.modulator import modulate_frame
from gened.gr_blocks.phy.receiver import Receiver
from gened.gr_blocks.phy.types import Encoded, Frame, Received
from gened.models.codecs.base import Codec, Decoded, Map, decode_batch, decode_picture, encode_batch, encode_picture
from gened.models.codecs.encode_options import EncodeOptions
from gened.models.data.evaluation_set import Item
from gened.models.editing.base import Editor, EditRequest
from gened.models.evaluation.metrics.base import Figures
from gened.models.evaluation.metrics.metric_set import MetricSet
from gened.models.evaluation.metrics.pixel_metrics import mean_picture, rounded
from gened.models.evaluation.run.caption_link import CaptionPacket, Captions, arrives, caption_packet

SAMPLE_RATE_HZ = 1e6
CAPTION_STREAM = 426
"""Second part of the seed of the caption's noise."""

Over = Literal["channel", "loopback"]
MaskSource = Literal["none", "truth", "codec"]
"""Importance at the encoder: uniform, the mask of the data, or the mask that the codec itself computes."""


@dataclass(frozen=True)
class Setting:
    """The conditions under which a picture is sent."""

    encode: EncodeOptions = EncodeOptions()
    """Settings of the encoder; their SNR and their seed are replaced by those here."""
    snr_db: float = 10.0
    """Es/N0 of the channel."""
    snr_error_db: float = 0.0
    """SNR mismatch: added to the SNR that the encoder receives, in dB."""
    channel: ChannelConfig = field(default_factory=ChannelConfig)
    """Its SNR and its seed are replaced by those here."""
    over: Over = "channel"
    seed: int = 0
    mask: MaskSource = "codec"
    captions: Captions = "sent"

    @property
    def design_db(self) -> float:
        """The design SNR that the encoder receives, in dB, as the header carries it."""
        return quantize_snr_db(self.snr_db + self.snr_error_db)

    def as_key(self) -> dict[str, Any]:
        """Everything that the result depends on, for the cache; files of earlier versions have the same keys."""
        channel = asdict(replace(self.channel, snr_db=self.snr_db, seed=self.seed))
        here = {key: value for key, value in asdict(self).items() if key != "encode"}
        further = sorted((key, value) for key, value in self.encode.chosen().items() if key != "focus")
        known = {"rate": self.encode.rate, "focus": self.encode.focus, "options": further}
        return {**here, **known, "channel": channel}

    def caption_packet(self, item: Item) -> CaptionPacket:
        """The caption of a picture as it is sent."""
        return caption_packet(item.caption, item.size, self.encode.rate, self.design_db, self.captions)

    def encoder_input(self, item: Item) -> tuple[EncodeOptions, Map | None]:
        """The input of the encoder of a picture: settings and mask.

        Raises:
            ConfigError: The data's mask is asked for, and this picture has none.
        """
        options = replace(self.encode, snr_db=self.design_db, seed=self.seed)
        if self.mask == "none":
            return replace(options, focus=1.0), None  # uniform importance, which every codec supports
        if self.mask == "codec":
            return options, None
        if item.mask is None:
            raise ConfigError(f"{item.name} has no mask in masks/; --mask truth needs one for every picture")
        return options, item.mask.astype(np.float32)


class Sent(NamedTuple):
    """An encoded picture, and what was decoded after the channel."""

    encoded: Encoded
    decoded: Decoded | None
    """None if the frame was not detected."""
    encode_ms: float
    decode_ms: float
    has_caption: bool = True
    """Whether the caption arrived, so that an editor may use it."""

    @property
    def is_lost(self) -> bool:
        """Whether no picture arrived, or only a placeholder."""
        return self.decoded is None or self.decoded.is_lost


@dataclass(frozen=True)
class Score:
    """One picture at one SNR."""

    analog_symbols: int
    side_symbols: int
    caption_symbols: int
    lost: bool
    encode_ms: float
    decode_ms: float
    figures: Figures
    """Figures by the keys of a row."""
    patches: tuple[str, str] | None = None
    """Packed features of original and received picture, for the kernel distance."""
    edited: dict[str, Any] | None = None
    """Scores of the edited picture: `figures`, `patches`, `editor_ms`, `is_edited`, `reason`; None: no editor."""


def send(codec: Codec, item: Item, setting: Setting) -> Sent:
    """The picture as a receiver restores it.

    Raises:
        GenedError: The codec cannot do what is asked.
    """
    options, mask = setting.encoder_input(item)
    begun = time.perf_counter()
    encoded = encode_picture(codec, item.x, options, mask=mask, name=item.name)
    encode_ms = 1e3 * (time.perf_counter() - begun)
    received, has_caption = _received(codec, item, setting, encoded)
    begun = time.perf_counter()
    decoded = decode_picture(codec, received, name=item.name) if received is not None else None
    return Sent(encoded, decoded, encode_ms, 1e3 * (time.perf_counter() - begun), has_caption)


def send_batch(codec: Codec, items: Sequence[Item], setting: Setting, seeds: Sequence[int]) -> list[Sent]:
    """As `send`, for several pictures of one size together; the times are divided by their number.

    Args:
        codec: What is measured.
        items: Of one size.
        setting: The conditions; its seed is not used.
        seeds: A picture each.

    Raises:
        GenedError: The codec cannot do what is asked.
    """
    settings = [replace(setting, seed=seed) for seed in seeds]
    told = [one.encoder_input(item) for item, one in zip(items, settings, strict=True)]
    masks = [mask for _, mask in told if mask is not None]
    begun = time.perf_counter()
    encoded = encode_batch(
        codec, np.stack([item.x for item in items]), told[0][0], masks=np.stack(masks) if masks else None, seeds=seeds,
        names=[item.name for item in items],
    )  # fmt: skip
    encode_ms = 1e3 * (time.perf_counter() - begun) / len(items)
    received = [_received(codec, *each) for each in zip(items, settings, encoded, strict=True)]
    found = {i: one for i, (one, _) in enumerate(received) if one is not None}
    begun = time.perf_counter()
    answers = decode_batch(codec, list(found.values()), names=[items[i].name for i in found])
    decode_ms = 1e3 * (time.perf_counter() - begun) / len(items)
    decoded = dict(zip(found, answers, strict=True))
    return [Sent(one, decoded.get(i), encode_ms, decode_ms, received[i][1]) for i, one in enumerate(encoded)]


def _received(codec: Codec, item: Item, setting: Setting, encoded: Encoded) -> tuple[Received | None, bool]:
    """Received symbols after the channel, None if the frame is not detected, and whether its caption arrived."""
    number, caption = setting.seed % 65536, setting.caption_packet(item)
    frame = Frame(1, number, codec.codec_id, item.size, setting.encode.rate, setting.design_db, encoded)
    if caption.text:
        frame = replace(frame, text=caption.text, text_mode=caption.mode)
    received, has_caption = (
        (_through_channel(frame, setting), arrives(caption, *_caption_channel(setting)))
        if setting.over == "channel"
        else through_waveform(frame, setting)
    )
    return received, has_caption and setting.captions != "none"


@dataclass(frozen=True)
class Judges:
    """The metrics, and the editor whose results are scored as well."""

    metrics: MetricSet
    editor: Editor | None = None
    """Edits each received picture; None: no editing."""
    strength: float = 1.0
    """Strength of the editing, in [0, 1]."""


def score(item: Item, sent: Sent, setting: Setting, judges: Judges, text: str = "") -> Score:
    """Score a picture; a lost one scores as its mean grey, edited or not.

    Args:
        item: The original.
        sent: What was encoded and decoded.
        setting: The conditions.
        judges: Metrics and editor.
        text: The words for the editor, which receives none if the caption was lost or is not sent.

    Raises:
        GenedError: A metric or the editor fails.
    """
    text = text if sent.has_caption else ""
    allowed = budget(item.size, setting.encode.rate, setting.design_db)
    x_hat, mask = (
        (mean_picture(item.x), None)
        if sent.decoded is None or sent.is_lost
        else (sent.decoded.x_hat, sent.decoded.mask)
    )
    return Score(
        analog_symbols=len(sent.encoded.symbols),
        side_symbols=side_symbols(
            len(sent.encoded.side_info), sent.encoded.side_mode or allowed.side_mode, allowed.n_bursts
        ),
        caption_symbols=setting.caption_packet(item).n_symbols,
        lost=sent.is_lost,
        encode_ms=sent.encode_ms,
        decode_ms=sent.decode_ms,
        figures=judges.metrics.figures(item, x_hat, mask),
        patches=judges.metrics.patches(item, x_hat),
        edited=None if judges.editor is None else _edited(judges.editor, item, sent, setting, text, judges),
    )


def _edited(editor: Editor, item: Item, sent: Sent, setting: Setting, text: str, judges: Judges) -> dict[str, Any]:
    """Scores of the edited picture; the editor receives it with 8 bits, as over the service."""
    x, mask, editor_ms, is_edited, reason = mean_picture(item.x), None, None, False, "the frame was lost"
    if sent.decoded is not None and not sent.is_lost:
        mask = sent.decoded.mask
        request = EditRequest(
            rounded(sent.decoded.x_hat), text=text, mask=mask, snr_est_db=setting.snr_db, strength=judges.strength,
            seed=setting.seed,
        )  # fmt: skip
        answer = editor.edit(request)
        x, editor_ms, is_edited, reason = answer.x, 1e3 * answer.seconds, answer.edited, answer.reason
    return {
        "figures": judges.metrics.figures(item, x, mask), "patches": judges.metrics.patches(item, x),
        "editor_ms": editor_ms, "is_edited": is_edited, "reason": reason,
    }  # fmt: skip


def _through_channel(frame: Frame, setting: Setting) -> Received:
    rng = np.random.default_rng(setting.seed)
    channel = replace(setting.channel, snr_db=setting.snr_db)
    bursts = n_bursts(frame.size, frame.rate)
    symbols, noise_var = apply_symbols(frame.encoded.symbols, channel, rng, n_bursts=bursts)
    return Received(symbols, noise_var, frame.encoded.side_info, frame.size, frame.rate, frame.snr_design_db)


def _caption_channel(setting: Setting) -> tuple[ChannelConfig, np.random.Generator]:
    """Channel and noise of the caption, whose noise leaves that of the picture as it is without a caption."""
    return replace(setting.channel, snr_db=setting.snr_db), np.random.default_rng([setting.seed, CAPTION_STREAM])


def through_waveform(frame: Frame, setting: Setting) -> tuple[Received | None, bool]:
    """Send as complex samples through the sample channel and the whole receiver.

    Returns:
        What was received, None if the frame is not detected, and whether the text is what was sent.
    """
    air = SampleChannel(replace(setting.channel, snr_db=setting.snr_db, seed=setting.seed), SAMPLE_RATE_HZ)
    receiver = Receiver(SAMPLE_RATE_HZ)
    gap = np.zeros(1000, np.complex64)
    frames = []
    for burst in modulate_frame(frame):
        frames += receiver.push(air.process(np.concatenate([gap, burst, gap]), [len(gap)]))
    frames += receiver.flush()
    return (frames[0].received, (frames[0].text or b"") == frame.text) if frames else (None, False)
