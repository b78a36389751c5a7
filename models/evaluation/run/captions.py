# SPDX-License-Identifier: GPL-3.0-or-later
"""Evaluation of captioners over a folder of pictures with captions by people.

    python -m gened.models.evaluation.run.captions --data EVAL/captioned --resize 256 \\
        --captioner layout,neighbour --train TRAIN --out results/editor/captions.json

`neighbour` is a baseline of this module: the caption that a person gave the most similar training picture.

With `--threshold` the layout captioner is measured at several thresholds of its detector on the training pictures that
have captions, and nothing else is done: a threshold must not be chosen on the pictures that are reported.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from PIL import Image, ImageDraw

from gened.errors import ConfigError, GenedError
from gened.models.captioning.base import MAX_BYTES, Captioner, cut_to_bytes
from gened.models.captioning.detector import Detection, Detector
from gened.models.captioning.layout import LayoutCaptioner
from gened.models.captioning.registry import load_captioner
from gened.models.codecs.base import Map, Picture
from gened.models.data.evaluation_set import Item, find_pictures, read_item
from gened.models.data.folders import read_caption_lines
from gened.models.data.fonts import Font, load_font
from gened.models.data.images import Pixels, to_float, to_uint8
from gened.models.data.shards import (
    JSON_SUFFIX,
    decode,
    is_picture,
    list_shards,
    picture_key,
    read_captions,
    read_members,
)
from gened.models.evaluation.metrics.caption_scores import SentenceModel, bleu4, cider_d, named_rightly
from gened.models.evaluation.run.files import require_writable
from gened.models.trunks import Vgg16Features
from gened.provenance import run_meta

NEIGHBOUR = "neighbour"
NEIGHBOUR_SIDE = 224
"""Pictures are stretched to this side before their features are compared."""
N_SHOWN = 20
"""Captions in the result and on the sheet."""


@dataclass(frozen=True)
class Described:
    """The captions of one captioner for all pictures, with their times."""

    captions: list[str]
    elapsed_ms: list[float]
    cpu_ms: list[float]
    """CPU time of all threads of this process, which hardly depends on other load."""


def read_data(data: Path, resize: int | None, limit: int | None) -> tuple[list[Item], list[tuple[str, ...]]]:
    """Pictures and what people said of them.

    Raises:
        ConfigError: No pictures, or one without captions.
    """
    captions = read_caption_lines(data)
    paths = find_pictures(data)[:limit]
    if missing := [path.name for path in paths if not captions.get(path.name)]:
        raise ConfigError(f"{data}/captions.jsonl has no captions of {missing[0]} and {len(missing) - 1} others")
    return [read_item(data, path, resize, {}) for path in paths], [captions[path.name] for path in paths]


def captioned_pictures(train: Path) -> Iterator[tuple[Pixels, tuple[str, ...]]]:
    """The pictures of a folder of shards that have captions, one after the other.

    Raises:
        ConfigError: No shards, none with captions, or one that is damaged.
    """
    shards = list_shards(train)
    if not shards:
        raise ConfigError(f"no .tar shards in {train}; give --train a folder of them")
    n_found = 0
    for shard in shards:
        captions = {
            name[: -len(JSON_SUFFIX)]: found
            for name, content in read_members(shard, lambda name: name.endswith(JSON_SUFFIX))
            if (found := read_captions(content, f"{shard}: {name}"))
        }
        if not captions:
            continue
        for name, content in read_members(shard, is_picture):
            if (key := picture_key(name)) in captions:
                n_found += 1
                yield decode(content, f"{shard}: {name}"), captions[key]
    if not n_found:
        raise ConfigError(f"no captions in the shards of {train}")


class NeighbourCaptioner:
    """Says the first human caption of the training picture whose VGG16 features, the mean over the last stage, are most
    similar by their cosine.

    Args:
        train: Folder of shards.

    Raises:
        ConfigError: No captions there, or the weights of the trunk are not installed.
    """

    name = NEIGHBOUR

    def __init__(self, train: Path) -> None:
        self._trunk = Vgg16Features()
        features, self._captions = [], []
        for pixels, captions in captioned_pictures(train):
            features.append(self._features(to_float(pixels)))
            self._captions.append(captions[0])
        self._known = np.stack(features)

    def describe(self, x: Picture, *, max_bytes: int = MAX_BYTES, mask: Map | None = None) -> str:
        """As any captioner; the mask is not used."""
        return cut_to_bytes(self._captions[int((self._known @ self._features(x)).argmax())], max_bytes)

    def _features(self, x: Picture) -> npt.NDArray[np.float32]:
        """[512] of length 1."""
        side = (NEIGHBOUR_SIDE, NEIGHBOUR_SIDE)
        small = to_float(np.asarray(Image.fromarray(to_uint8(x)).resize(side, Image.Resampling.BILINEAR)))
        with torch.inference_mode():
            mean: npt.NDArray[np.float32] = self._trunk(torch.from_numpy(small)[None]).mean((2, 3))[0].numpy()
        unit: npt.NDArray[np.float32] = mean / np.linalg.norm(mean)
        return unit


def describe_all(
    captioner: Captioner, items: Sequence[Item], max_bytes: int, progress: Callable[[int], None]
) -> Described:
    """Captions and the milliseconds that each took, by the clock and of the processor.

    The first picture is described once before, for warmth.
    """
    said = Described([], [], [])
    captioner.describe(items[0].x, max_bytes=max_bytes)
    for item in items:
        mask = None if item.mask is None else item.mask.astype(np.float32)
        begin, cpu_begin = time.perf_counter(), time.process_time()
        said.captions.append(captioner.describe(item.x, max_bytes=max_bytes, mask=mask))
        said.elapsed_ms.append(1e3 * (time.perf_counter() - begin))
        said.cpu_ms.append(1e3 * (time.process_time() - cpu_begin))
        progress(len(said.captions))
    return said


def row_of(name: str, said: Described, humans: Sequence[Sequence[str]], model: SentenceModel) -> dict[str, Any]:
    """Figures of one captioner; None for the share of objects where it named none."""
    agreements = np.array([model.agreement(one, others) for one, others in zip(said.captions, humans, strict=True)])
    n_right, n_named = objects_named(said.captions, humans)
    return {
        "captioner": name,
        "n": len(said.captions),
        "cider": round(float(np.mean(cider_d(said.captions, humans))), 4),
        "bleu4": round(bleu4(said.captions, humans), 4),
        "sentence_best": round(float(agreements[:, 0].mean()), 4),
        "sentence_mean": round(float(agreements[:, 1].mean()), 4),
        "named_rightly": round(n_right / n_named, 4) if n_named else None,
        "n_named": n_named,
        "mean_bytes": round(float(np.mean([len(one.encode()) for one in said.captions])), 1),
        "median_ms": round(float(np.median(said.elapsed_ms)), 1),
        "p90_ms": round(float(np.quantile(said.elapsed_ms, 0.9)), 1),
        "median_cpu_ms": round(float(np.median(said.cpu_ms)), 1),
    }


def objects_named(captions: Sequence[str], humans: Sequence[Sequence[str]]) -> tuple[int, int]:
    """Objects named rightly and named at all, over all captions."""
    pairs = [named_rightly(one, others) for one, others in zip(captions, humans, strict=True)]
    return sum(right for right, _ in pairs), sum(named for _, named in pairs)


class _Remembered(Detector):
    """Answers with what was found before, as far as it is sure enough."""

    def __init__(self, found: list[Detection]) -> None:
        self.found = found

    def __call__(self, x: Picture) -> list[Detection]:
        return self.found


def threshold_rows(train: Path, thresholds: Sequence[float], max_bytes: int, device: str) -> list[dict[str, Any]]:
    """The layout captioner at several thresholds of its detector, on the training pictures with captions.

    Raises:
        GenedError: No such pictures, or the detector's weights are not installed.
    """
    detector = Detector(device, min(thresholds))
    layout = LayoutCaptioner(device, detects=False)
    captions: dict[float, list[str]] = {threshold: [] for threshold in thresholds}
    humans = []
    for pixels, said in captioned_pictures(train):
        x = to_float(pixels)
        found = detector(x)
        humans.append(said)
        for threshold in thresholds:
            layout.detector = _Remembered([one for one in found if one.score >= threshold])
            captions[threshold].append(layout.describe(x, max_bytes=max_bytes))
    rows = []
    for threshold, texts in captions.items():
        n_right, n_named = objects_named(texts, humans)
        share = round(n_right / n_named, 4) if n_named else None
        rows.append(
            {
                "min_score": threshold, "n": len(texts), "named_rightly": share, "n_right": n_right,
                "n_named": n_named, "cider": round(float(np.mean(cider_d(texts, humans))), 4),
            }
        )  # fmt: skip
    return rows


# The sheet

COLUMNS, CELL, GAP, LINE = 4, 360, 20, 21
N_LINES = 3
FONT_SIZE = 16
INK, GREY, PAPER = "#16181d", "#666c78", "#ffffff"


def _wrapped(text: str, font: Font, width: int) -> list[str]:
    """Lines no wider than `width` pixels, at most `N_LINES`; what does not fit ends in an ellipsis."""
    lines = [""]
    for word in text.split():
        longer = f"{lines[-1]} {word}".strip()
        if font.getlength(longer) <= width or not lines[-1]:
            lines[-1] = longer
        else:
            lines.append(word)
    return lines if len(lines) <= N_LINES else [*lines[: N_LINES - 1], f"{lines[N_LINES - 1]} …"]


def draw_sheet(pictures: Sequence[Pixels], captions: Sequence[str], humans: Sequence[str]) -> Image.Image:
    """Pictures in a grid, beneath each its caption, and in grey what a person said."""
    font = load_font(FONT_SIZE)
    height = CELL + 2 * N_LINES * LINE + GAP
    n_rows = -(-len(pictures) // COLUMNS)
    sheet = Image.new("RGB", (COLUMNS * (CELL + GAP) + GAP, n_rows * height + GAP), PAPER)
    pen = ImageDraw.Draw(sheet)
    for index, (pixels, caption, human) in enumerate(zip(pictures, captions, humans, strict=True)):
        left = GAP + index % COLUMNS * (CELL + GAP)
        top = GAP + index // COLUMNS * height
        picture = Image.fromarray(pixels)
        scale = CELL / max(picture.size)
        picture = picture.resize(
            (max(1, round(picture.width * scale)), max(1, round(picture.height * scale))), Image.Resampling.LANCZOS
        )
        sheet.paste(picture, (left, top))
        line = top + picture.height + 4
        for text, ink in ((caption, INK), (human, GREY)):
            for part in _wrapped(text, font, CELL):
                pen.text((left, line), part, fill=ink, font=font)
                line += LINE
    return sheet


# The command


def _options(texts: Sequence[str]) -> dict[str, Any]:
    """NAME=VALUE: numbers, true and false as such, all else as text."""
    found: dict[str, Any] = {}
    for text in texts:
        name, equals, value = text.partition("=")
        if not equals or not name.isidentifier():
            raise ConfigError(f"'{text}' is not an option; write it like model=FOLDER")
        try:
            plain = json.loads(value)
        except ValueError:
            plain = value
        found[name] = plain if isinstance(plain, bool | int | float) else value
    return found


def _load(name: str, options: argparse.Namespace) -> Captioner:
    if name != NEIGHBOUR:
        return load_captioner(name, device=options.device, **_options(options.option))
    if options.train is None:
        raise ConfigError("captioner neighbour needs --train, a folder of shards with captions")
    return NeighbourCaptioner(options.train)


def _meta(arguments: Sequence[str]) -> dict[str, Any]:
    meta = run_meta(["python", "-m", "gened.models.evaluation.run.captions", *arguments], seed=0)
    meta["machine"]["n_threads"] = torch.get_num_threads()
    return meta


def _table(rows: Sequence[dict[str, Any]]) -> str:
    keys = list(rows[0])
    cells = [keys, *(["-" if row[key] is None else f"{row[key]}" for key in keys] for row in rows)]
    widths = [max(len(line[at]) for line in cells) for at in range(len(keys))]
    return "".join("  ".join(c.rjust(w) for c, w in zip(line, widths, strict=True)) + "\n" for line in cells)


def _progress(name: str, total: int) -> Callable[[int], None]:
    def tell(done: int) -> None:
        if sys.stderr.isatty():
            sys.stderr.write(f"\r{name} {done}/{total}" + ("\n" if done == total else ""))

    return tell


def _write(out: Path | None, result: dict[str, Any]) -> None:
    sys.stdout.write(_table(result["rows"]))
    if out is not None:
        out.write_text(json.dumps(result, indent=1, allow_nan=False, ensure_ascii=False) + "\n")


def run(options: argparse.Namespace, arguments: Sequence[str]) -> None:
    """Measures, prints and writes.

    Raises:
        GenedError: Anything that a user can put right.
    """
    for path in (options.out, options.sheet):
        if path is not None:
            require_writable(path)
    meta = _meta(arguments)
    if options.threshold:
        if options.train is None:
            raise ConfigError("--threshold needs --train, a folder of shards with captions")
        thresholds = _numbers(options.threshold)
        found = threshold_rows(options.train, thresholds, options.max_bytes, options.device)
        _write(options.out, {"meta": meta, "rows": found})
        return
    if options.data is None:
        raise ConfigError("--data is missing, a folder of pictures with captions.jsonl")
    model = SentenceModel()
    items, humans = read_data(options.data, options.resize, options.limit)
    rows = []
    captions: dict[str, list[str]] = {}
    for name in options.captioner.split(","):
        captioner = _load(name, options)
        said = describe_all(captioner, items, options.max_bytes, _progress(name, len(items)))
        rows.append(row_of(name, said, humans, model))
        captions[name] = said.captions
    meta |= {
        "data": {"name": options.data.resolve().name, "pictures": len(items)},
        "captioner": {"names": options.captioner.split(","), "options": _options(options.option)},
        "resize": options.resize, "max_bytes": options.max_bytes,
        "scores": {
            "cider": "CIDEr-D by gened, weights from these captions",
            "bleu4": "corpus BLEU-4 by gened, as pycocoevalcap 1.2",
            "sentence": model.version,
            "named_rightly": "1 - CHAIR_i against the human captions",
        },
    }  # fmt: skip
    shown = [
        {"file": item.name, **{name: texts[index] for name, texts in captions.items()}, "human": humans[index][0]}
        for index, item in enumerate(items[:N_SHOWN])
    ]
    _write(options.out, {"meta": meta, "rows": rows, "captions": shown})
    if options.sheet is not None:
        pictures = [to_uint8(item.x) for item in items[:N_SHOWN]]
        first = next(iter(captions.values()))[:N_SHOWN]
        draw_sheet(pictures, first, [one["human"] for one in shown]).save(options.sheet)


def _numbers(text: str) -> list[float]:
    try:
        return [float(part) for part in text.split(",")]
    except ValueError as error:
        raise ConfigError(f"'{text}' is not a list of numbers, such as 0.2,0.3") from error


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line."""
    arguments = sys.argv[1:] if arguments is None else arguments
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--data", type=Path, help="folder of pictures with captions.jsonl")
    parser.add_argument("--captioner", default="layout", metavar="NAME,...", help="known names, and neighbour")
    parser.add_argument("--option", action="append", default=[], metavar="NAME=VALUE", help="of the captioner")
    parser.add_argument("--train", type=Path, help="folder of shards with captions, for neighbour and --threshold")
    parser.add_argument("--threshold", metavar="SCORE,...", help="measure the detector's threshold on --train alone")
    parser.add_argument("--limit", type=int, help="so many pictures only")
    parser.add_argument("--resize", type=int, help="stretch pictures to a square of this side")
    parser.add_argument("--max-bytes", type=int, default=MAX_BYTES, help="of a caption (%(default)s)")
    parser.add_argument("--device", default="cpu", help="PyTorch device of the captioner")
    parser.add_argument("--out", type=Path, help="JSON file")
    parser.add_argument("--sheet", type=Path, help=f"picture file of {N_SHOWN} with the first captioner's words")
    try:
        run(parser.parse_args(arguments), arguments)
    except GenedError as error:
        sys.stderr.write(f"captions: {error}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
