# SPDX-License-Identifier: GPL-3.0-or-later
"""Knock-out of the decoder's routing: swap M and 1 - M inside the receiver's network, and measure what is lost.

    python -m gened.models.training.studies.swap_mask --eval EVAL/sod --limit 60 --out results/codec/swap-mask.json

Sender, plan and channel are the same in both runs: only the mask by which `DualBranch` routes the features is replaced
by its complement, so each region is restored by the branch that was trained for the other one. Branches that
specialise lose quality by this; branches that do not, do not.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import shlex
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from gened.errors import CodecError, GenedError
from gened.models.codecs.base import Codec
from gened.models.codecs.gened.codec import Gened
from gened.models.codecs.gened.importance import Importance
from gened.models.codecs.registry import load_codec
from gened.models.evaluation.run.evaluate import evaluate

SNRS_DB = (1.0, 4.0, 7.0, 10.0)
SIDE = 256
KEYS = ("psnr_db", "psnr_fg_db", "psnr_bg_db")


@contextlib.contextmanager
def swapped_routing(codec: Gened) -> Iterator[None]:
    """Within the block, the decoder's branches receive the complement of M.

    Args:
        codec: A `gened` with networks.

    Raises:
        CodecError: The codec was loaded without networks.
    """
    if codec.networks is None:
        raise CodecError("the routing is part of the decoder's network: load the codec with PyTorch")

    def complement(module: nn.Module, args: tuple[Tensor, ...], predicted: Importance) -> Importance:
        return predicted._replace(mask=1 - predicted.mask)

    handle = codec.networks.decoder.prediction.register_forward_hook(complement)
    try:
        yield
    finally:
        handle.remove()


def measure(codec: Codec, data: Path, *, limit: int | None = None) -> list[dict[str, Any]]:
    """Rows of `evaluate` with M as it is and swapped, at each SNR.

    Args:
        codec: A `gened` with networks.
        data: Folder with `images/` and `masks/`.
        limit: Measure the first so many pictures.

    Returns:
        One row per SNR and routing: `snr_db`, `routing` ("as trained" or "swapped") and the keys of `KEYS`.

    Raises:
        CodecError: Another codec, or one without networks.
    """
    if not isinstance(codec, Gened):
        raise CodecError(f"{codec.name} has no branches that a mask routes; only gened has")
    found = []
    for routing in ("as trained", "swapped"):
        with swapped_routing(codec) if routing == "swapped" else contextlib.nullcontext():
            rows = evaluate(codec, data, snrs_db=SNRS_DB, resize=SIDE, limit=limit, metrics=("psnr", "masks"))
        found += [{"snr_db": row["snr_db"], "routing": routing, **{key: row[key] for key in KEYS}} for row in rows]
    return found


def parser() -> argparse.ArgumentParser:
    """Options of the command line."""
    result = argparse.ArgumentParser(description="Swap the mask inside gened's decoder and measure what is lost.")
    result.add_argument("--eval", type=Path, required=True, help="folder with images/ and masks/")
    result.add_argument("--codec", default="gened", help="name, or folder with weights (default: gened)")
    result.add_argument("--limit", type=int, help="measure the first so many pictures")
    result.add_argument("--out", type=Path, help="JSON file to write")
    return result


def main() -> int:
    """Entry point of `python -m`."""
    arguments = parser().parse_args()
    try:
        rows = measure(load_codec(arguments.codec), arguments.eval, limit=arguments.limit)
    except GenedError as error:
        print(f"swap_mask: {error}", file=sys.stderr)
        return 1
    for row in rows:
        print("{routing:10} {snr_db:4g} dB: {psnr_db:.2f} dB, foreground {psnr_fg_db:.2f} dB".format(**row))
    if arguments.out is not None:
        command = shlex.join(["python", "-m", "gened.models.training.studies.swap_mask", *sys.argv[1:]])
        meta = {"command": command, "torch": torch.__version__, "limit": arguments.limit}
        arguments.out.write_text(json.dumps({"meta": meta, "rows": rows}, indent=1) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
