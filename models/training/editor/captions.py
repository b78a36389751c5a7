# SPDX-License-Identifier: GPL-3.0-or-later
"""Captions of the pairs on which the embedded editor is trained, written by the layout captioner of the transmitter.

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
from gened.models.training.editor.folder import CAPTIONS_FILE, read_captions, read_parts


def run(folder: Path, threads: int) -> int:
    """Append the captions that are missing; returns their number."""
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
    """Run the command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--pairs", type=Path, required=True, help="folder with the pairs of editor.pairs")
    parser.add_argument("--threads", type=int, default=1)
    options = parser.parse_args()
    try:
        print(f"{run(options.pairs, options.threads)} captions")
    except GenedError as error:
        print(f"captions: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
