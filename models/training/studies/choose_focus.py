# SPDX-License-Identifier: GPL-3.0-or-later
"""The default `--focus` of a trained `gened`, chosen on photographs excluded from its importance network's training.

    python -m gened.models.training.studies.choose_focus --data TRAIN --codec models/weights/gened --write

It is the largest weight whose loss of PSNR over the whole picture, against a weight of 1, is at most `MAX_COST_DB` on
average over all SNRs. With --write it is put into the codec's config.json; weights and the codec's id do not change.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import Image

from gened.errors import ConfigError, GenedError
from gened.models.data.training_set import Photograph, load_photographs
from gened.models.training.codecs.gened.importance import is_held_out
from gened.models.training.run import CONFIG_FILE

FOCUSES = (1.0, 2.0, 3.0, 4.0, 6.0, 8.0)
SNRS_DB = (1.0, 4.0, 7.0, 10.0)
MAX_COST_DB = 0.4
SIDE = 256


class Figures(NamedTuple):
    """Means over all pictures and SNRs."""

    focus: float
    psnr_db: float
    psnr_fg_db: float
    mask_iou: float


def choose(figures: Sequence[Figures]) -> Figures:
    """The largest weight that costs at most `MAX_COST_DB` against the first, which is the weight of 1."""
    allowed = [one for one in figures if figures[0].psnr_db - one.psnr_db <= MAX_COST_DB]
    return max(allowed, key=lambda one: one.focus)


def write_folder(photographs: Sequence[Photograph], folder: Path) -> None:
    """Write pictures and masks as the evaluation reads them."""
    for name in ("images", "masks"):
        (folder / name).mkdir()
    for index, photograph in enumerate(photographs):
        assert photograph.mask is not None
        Image.fromarray(photograph.pixels).save(folder / "images" / f"{index:04d}.png")
        Image.fromarray(photograph.mask).save(folder / "masks" / f"{index:04d}.png")


def measure(codec: str, photographs: Sequence[Photograph]) -> list[Figures]:
    """Figures of each of `FOCUSES`."""
    from gened.models.codecs.encode_options import EncodeOptions
    from gened.models.codecs.registry import load_codec
    from gened.models.evaluation.run.evaluate import evaluate

    loaded = load_codec(codec)
    found = []
    with tempfile.TemporaryDirectory() as name:
        write_folder(photographs, Path(name))
        for focus in FOCUSES:
            rows = evaluate(
                loaded, Path(name), snrs_db=SNRS_DB, resize=SIDE, encode=EncodeOptions(focus=focus),
                metrics=("psnr", "masks"),
            )  # fmt: skip
            keys = ("psnr_db", "psnr_fg_db", "mask_iou")
            found.append(Figures(focus, *(float(np.mean([row[key] for row in rows])) for key in keys)))
            print("focus {:g}: {:.2f} dB, foreground {:.2f} dB, mask IoU {:.3f}".format(*found[-1]), flush=True)
    return found


def run(arguments: argparse.Namespace) -> Figures:
    """Measure, choose, and write if asked to.

    Raises:
        GenedError: No photograph with a mask, or no codec.
    """
    photographs = load_photographs(arguments.data, min_side=64)
    chosen = [photo for photo in photographs if photo.mask is not None and is_held_out(photo)]
    chosen = [photo for photo in chosen if photo.mask is not None and (photo.mask > 127).any()][: arguments.limit]
    if not chosen:
        raise ConfigError(f"{arguments.data} has no photograph with a mask that trainings hold out")
    best = choose(measure(arguments.codec, chosen))
    print(f"{len(chosen)} photographs: --focus {best.focus:g}")
    if arguments.write:
        path = Path(arguments.codec) / CONFIG_FILE
        description = json.loads(path.read_text())
        path.write_text(json.dumps({**description, "focus": best.focus}, indent=1) + "\n")
    return best


def parser() -> argparse.ArgumentParser:
    """The options of the command line."""
    result = argparse.ArgumentParser(description="Choose the default --focus of a trained gened.")
    result.add_argument("--data", type=Path, required=True, help="folder of tar shards or of pictures, with masks")
    result.add_argument("--codec", required=True, help="folder with the weights")
    result.add_argument("--limit", type=int, help="the first so many photographs")
    result.add_argument("--write", action="store_true", help="put it into the codec's config.json")
    return result


def main() -> int:
    """Run the command line."""
    try:
        run(parser().parse_args())
    except GenedError as error:
        print(f"choose_focus: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
