# SPDX-License-Identifier: GPL-3.0-or-later
"""Words for the pairs of the embedded editor's training, by the layout captioner, as a transmitter would send them.

python -m gened.models.training.editor.captions --pairs runs/pairs
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

import numpy as np

from gened.errors import GenedError
from gened.models.captioning.layout import LayoutCaptioner
from gened.models.training.editor.pairs import read_parts
from gened.models.training.editor.train import CAPTIONS_FILE, read_captions


def run(folder: Path, threads: int) -> int:
    """Appends the captions that are missing; how many those were."""
    import torch

    torch.set_num_threads(threads)
    done, made = read_captions(folder), 0
    captioner = LayoutCaptioner(detects=True)
    for pairs in read_parts(folder):
        lines = []
        for pixels, number in zip(pairs.sent, pairs.number, strict=True):
            if int(number) in done:
                continue
            x = np.ascontiguousarray(pixels.transpose(2, 0, 1), np.float32) / 255
            lines.append(json.dumps({"number": int(number), "caption": captioner.describe(x)}))
        made += len(lines)
        with (folder / CAPTIONS_FILE).open("a") as file:
            file.write("".join(line + "\n" for line in lines))
    return made


def main() -> int:
    """For `python -m`."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--pairs", type=Path, required=True, help="folder that editor_pairs.py filled")
    parser.add_argument("--threads", type=int, default=1)
    options = parser.parse_args()
    try:
        print(f"{run(options.pairs, options.threads)} captions")
    except GenedError as error:
        print(f"editor_captions: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
