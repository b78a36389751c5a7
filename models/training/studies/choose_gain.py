# SPDX-License-Identifier: GPL-3.0-or-later
"""The gain of the embedded editor at a strength of 1, chosen on photographs excluded from its training.

    python -m gened.models.training.studies.choose_gain --pairs runs/pairs --weights runs/editor --gains 0.6,0.8,1

Sends held-out photographs of the pairs again by `gened` at rate 1/24 and prints the metrics before and after editing,
for each gain. `--write` writes a gain into the editor's `config.json`.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import zlib
from pathlib import Path

from PIL import Image

from gened.errors import ConfigError, GenedError
from gened.models.codecs.registry import load_codec
from gened.models.evaluation.run.evaluate import evaluate
from gened.models.evaluation.run.workers import EditorPlan
from gened.models.training.editor.folder import read_parts
from gened.models.training.editor.sampler import HELD_OUT
from gened.models.training.run import CONFIG_FILE

METRICS = ("psnr", "st_lpips", "brisque", "kid")
KEYS = ("psnr_db", "st_lpips", "brisque", "kid")


def write_held_out(pairs: Path, folder: Path, count: int) -> None:
    """Write one crop, as it was sent, of each of the first `count` photographs that the training leaves out.

    Raises:
        ConfigError: There are no pairs, or none that was left out.
    """
    seen: set[str] = set()
    for part in read_parts(pairs):
        for pixels, number, key in zip(part.sent, part.number, part.key, strict=True):
            if zlib.crc32(str(key).encode()) % HELD_OUT == 0 and key not in seen and len(seen) < count:
                seen.add(str(key))
                Image.fromarray(pixels).save(folder / f"{number:06d}.png")
    if not seen:
        raise ConfigError(f"no photograph of {pairs} was left out of the training")


def run(arguments: argparse.Namespace) -> None:
    """Print one line per gain and SNR; write a gain if asked to."""
    snrs_db = [float(part) for part in arguments.snr.split(",")]
    with tempfile.TemporaryDirectory() as folder:
        write_held_out(arguments.pairs, Path(folder), arguments.count)
        for gain in (float(part) for part in arguments.gains.split(",")):
            plan = EditorPlan("embedded", options={"weights": str(arguments.weights)}, strength=gain)
            rows = evaluate(
                load_codec("gened"), Path(folder), snrs_db=snrs_db, metrics=METRICS, editor=plan,
                workers=arguments.workers, codec_name="gened",
            )  # fmt: skip
            for row in rows:
                what = "received" if row["editor"] == "none" else f"gain {gain:g}"
                figures = ", ".join(f"{key} {row[key]:.3f}" for key in KEYS if row[key] is not None)
                print(f"{row['snr_db']:g} dB, {what}: {figures}", flush=True)
    if arguments.write is not None:
        path = arguments.weights / CONFIG_FILE
        description = json.loads(path.read_text())
        path.write_text(json.dumps({**description, "gain": json.loads(arguments.write)}, indent=1) + "\n")


def parser() -> argparse.ArgumentParser:
    """The options of the command line."""
    result = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    result.add_argument("--pairs", type=Path, required=True, help="folder with the pairs of editor.pairs")
    result.add_argument("--weights", type=Path, required=True, help="folder of the editor; its own gain should be 1")
    result.add_argument("--gains", default="0.6,0.8,1")
    result.add_argument("--snr", default="1,7", help="dB")
    result.add_argument("--count", type=int, default=32, help="photographs")
    result.add_argument("--workers", type=int, default=1)
    result.add_argument(
        "--write", help="afterwards, write this gain into config.json: 0.8, or by SNR [[1, 0.6], [10, 0.8]]"
    )
    return result


def main() -> int:
    """Run the command line."""
    try:
        run(parser().parse_args())
    except GenedError as error:
        print(f"choose_gain: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
