# SPDX-License-Identifier: GPL-3.0-or-later
"""A sheet of pictures: the original with the outline of its mask, what each codec decodes at each SNR, and its editing.

Pillow draws it: a page of 50 pictures takes 0.5 s of CPU time, matplotlib with one axes per picture 3.3 s, and the
pictures keep their pixels.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import Image, ImageDraw
from scipy.ndimage import binary_erosion

from gened.errors import ConfigError
from gened.models.captioning.base import Captioner
from gened.models.codecs.base import Codec, Picture
from gened.models.data.evaluation_set import Item, Mask, find_pictures, read_captions, read_item
from gened.models.data.fonts import Font, load_font
from gened.models.data.images import Pixels, to_uint8
from gened.models.editing.base import Editor, EditRequest
from gened.models.evaluation.metrics.pixel_metrics import MASK_FOUND, masked_psnr_db, psnr_db, rounded
from gened.models.evaluation.run.files import require_writable
from gened.models.evaluation.run.measure import Setting, send

MARGIN, GAP, LINE = 24, 12, 24
MIN_SIDE, MAX_SIDE = 256, 420
"""Range of the longer side of each picture, pixels; smaller pictures are enlarged, larger ones reduced."""
MAX_CELLS = 600
"""Largest number of pictures; few viewers open a larger sheet."""
FONT_SIZE = 15
JPEG_QUALITY = 88
"""Quality of a sheet that is written as .jpg."""
INK, GREY, FAINT, PAPER, OUTLINE, HALO = "#16181d", "#666c78", "#d9dce2", "#ffffff", (255, 214, 10), (16, 17, 20)


class Cell(NamedTuple):
    """One picture of the sheet, and the line beneath it."""

    pixels: Pixels | None
    """[H, W, 3] uint8; None where the picture was lost."""
    text: str


class Row(NamedTuple):
    """The original, and what each codec decodes at one SNR."""

    cells: list[Cell]


def outlined(item: Item) -> Pixels:
    """The picture with a line around its mask, [H, W, 3] uint8; as it is where it has none."""
    return to_uint8(item.x) if item.mask is None else _with_line(item.x, item.mask)


def _with_line(x: Picture, mask: Mask) -> Pixels:
    pixels = to_uint8(x)
    scale = max(1, round(max(mask.shape) / MAX_SIDE))  # so that the line still shows when the picture is reduced
    for width, color in ((2 * scale + 1, HALO), (scale + 1, OUTLINE)):
        pixels[_border(mask, width)] = color
    return pixels


@dataclass(frozen=True)
class Extras:
    """Options of a sheet besides the received pictures."""

    draws_masks: bool = False
    """Whether the receiver's mask is outlined on the received pictures."""
    editor: Editor | None = None
    """Adds a column of edited pictures per codec."""
    captioner: Captioner | None = None
    """Describes pictures without a caption for the editor."""


def _border(mask: Mask, width: int) -> Mask:
    """The foreground's pixels within `width` steps of the background; the edge of the picture is no border."""
    result: Mask = mask & ~binary_erosion(mask, iterations=width, border_value=1)
    return result


def _cells(codec: Codec, item: Item, setting: Setting, extras: Extras) -> list[Cell]:
    """The received picture and, with an editor, the edited one."""
    sent = send(codec, item, setting)
    if sent.decoded is None or sent.is_lost:
        return [Cell(None, f"{setting.snr_db:g} dB: lost")] * (1 if extras.editor is None else 2)
    x_hat, mask = sent.decoded.x_hat, sent.decoded.mask
    is_drawn = extras.draws_masks and mask is not None
    shown = _with_line(x_hat, mask >= MASK_FOUND) if is_drawn and mask is not None else to_uint8(x_hat)
    cells = [Cell(shown, f"{setting.snr_db:g} dB: {_psnr(item, x_hat)}")]
    if extras.editor is not None:
        text = item.caption or ""
        request = EditRequest(rounded(x_hat), text=text, mask=mask, snr_est_db=setting.snr_db, seed=setting.seed)
        edited = extras.editor.edit(request).x
        cells.append(Cell(to_uint8(edited), f"{_psnr(item, edited)}; {text or 'no words'}"))
    return cells


def _psnr(item: Item, x_hat: Picture) -> str:
    text = f"PSNR {psnr_db(item.x, x_hat):.2f}"
    foreground = None if item.mask is None else masked_psnr_db(item.x, x_hat, item.mask)
    return text if foreground is None else f"{text}, inside {foreground:.2f}"


def make_rows(
    codecs: Sequence[Codec],
    data: Path,
    *,
    snrs_db: Sequence[float],
    setting: Setting,
    resize: int | None = None,
    limit: int | None = None,
    extras: Extras | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> list[Row]:
    """The cells of a sheet: one row per picture and SNR, the original first, then each codec.

    Args:
        codecs: One column each.
        data: As for `evaluate`.
        snrs_db: Es/N0 in dB, which the encoders receive as well.
        setting: Everything else; its SNR is replaced, and its seed counts the pictures, as in `evaluate`.
        resize: Stretch each picture to a square of this side.
        limit: Number of pictures, from the first; None: all.
        extras: Masks on the received pictures, and an editor.
        progress: Called with pictures done and to do.

    Raises:
        ConfigError: No pictures, or too many for one sheet.
        GenedError: A codec does not support a setting.
    """
    extras = extras or Extras()
    paths, captions = find_pictures(data)[:limit], read_captions(data)
    n_cells = len(paths) * len(snrs_db) * (len(codecs) * (1 if extras.editor is None else 2) + 1)
    if n_cells > MAX_CELLS:
        raise ConfigError(f"{n_cells} pictures are too many for one sheet; --limit or --snr make it smaller")
    rows = []
    for index, path in enumerate(paths):
        item = read_item(data, path, resize, captions)
        if item.caption is None and extras.captioner is not None:
            item = replace(item, caption=extras.captioner.describe(item.x))
        original = Cell(outlined(item), item.name)
        for snr_db in snrs_db:
            here = replace(setting, snr_db=snr_db, seed=index)
            rows.append(Row([original, *(cell for codec in codecs for cell in _cells(codec, item, here, extras))]))
        if progress is not None:
            progress(index + 1, len(paths))
    return rows


def _fitted(text: str, font: Font, width: int) -> str:
    """The text, shortened to `width` pixels by an ellipsis."""
    if font.getlength(text) <= width:
        return text
    while text and font.getlength(f"{text}…") > width:
        text = text[:-1]
    return f"{text}…"


def _placed(cell: Cell, size: tuple[int, int]) -> Image.Image:
    if cell.pixels is None:
        return Image.new("RGB", size, FAINT)
    is_enlarged = size[0] > cell.pixels.shape[1]
    filter_ = Image.Resampling.BICUBIC if is_enlarged else Image.Resampling.LANCZOS
    return Image.fromarray(cell.pixels).resize(size, filter_)


def _cell_size(row: Row) -> tuple[int, int]:
    pixels = row.cells[0].pixels
    assert pixels is not None  # the original
    height, width = pixels.shape[:2]
    longer = max(height, width)
    scale = float(np.clip(longer, MIN_SIDE, MAX_SIDE)) / longer
    return max(1, round(width * scale)), max(1, round(height * scale))


def draw(rows: Sequence[Row], headings: Sequence[str], note: str = "") -> Image.Image:
    """The sheet.

    Args:
        rows: See `make_rows`.
        headings: One per column.
        note: A line at the top, with what all pictures have in common.
    """
    sizes = [_cell_size(row) for row in rows]
    column = max(width for width, _ in sizes)
    top = MARGIN + (LINE if note else 0) + LINE
    height = top + sum(size[1] + LINE + GAP for size in sizes) + MARGIN
    sheet = Image.new("RGB", (2 * MARGIN + len(headings) * (column + GAP) - GAP, height), PAPER)
    pen = ImageDraw.Draw(sheet)
    font, bold = load_font(FONT_SIZE), load_font(FONT_SIZE, "-Bold")
    lefts = [MARGIN + index * (column + GAP) for index in range(len(headings))]
    if note:
        pen.text((MARGIN, MARGIN), _fitted(note, font, sheet.width - 2 * MARGIN), fill=GREY, font=font)
    for left, heading in zip(lefts, headings, strict=True):
        pen.text((left, top - LINE), _fitted(heading, bold, column), fill=INK, font=bold)
    for row, size in zip(rows, sizes, strict=True):
        for left, cell in zip(lefts, row.cells, strict=True):
            sheet.paste(_placed(cell, size), (left, top))
            if cell.pixels is None:
                pen.text((left + size[0] / 2, top + size[1] / 2), "lost", fill=GREY, font=font, anchor="mm")
            pen.text((left, top + size[1] + 4), _fitted(cell.text, font, column), fill=GREY, font=font)
        top += size[1] + LINE + GAP
    return sheet


def make_sheet(
    codecs: Sequence[Codec],
    data: Path,
    out: Path,
    *,
    snrs_db: Sequence[float],
    setting: Setting,
    resize: int | None = None,
    limit: int | None = None,
    extras: Extras | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> None:
    """Make the rows, draw them and write the picture file; see `make_rows`.

    Raises:
        ConfigError: As `make_rows`; or a suffix that Pillow does not know.
    """
    if out.suffix.lower() not in Image.registered_extensions():
        raise ConfigError(f"'{out.name}' is no kind of picture; end it in .png or .jpg")
    require_writable(out)
    rows = make_rows(
        codecs, data, snrs_db=snrs_db, setting=setting, resize=resize, limit=limit, extras=extras, progress=progress
    )  # fmt: skip
    has_masks = any("inside" in cell.text for row in rows for cell in row.cells)
    notes = [
        f"PSNR in dB{', inside: under the mask' if has_masks else ''}; rate {setting.encode.rate}",
        setting.channel.kind + (" over loopback" if setting.over == "loopback" else ""),
    ]
    notes += {"none": ["no mask"], "truth": ["true mask"], "codec": []}[setting.mask]
    notes += [] if setting.encode.focus is None else [f"focus {setting.encode.focus:g}"]
    headings = ["original"]
    for codec in codecs:
        headings.append(codec.name)
        if extras is not None and extras.editor is not None:
            headings.append(f"{codec.name}, edited by {extras.editor.name}")
    draw(rows, headings, ", ".join(notes)).save(out, quality=JPEG_QUALITY)
