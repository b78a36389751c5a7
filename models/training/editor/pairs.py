# SPDX-License-Identifier: GPL-3.0-or-later
"""Pairs for the training of the embedded editor: crops of photographs, and what the codecs decode of them.

    python -m gened.models.training.editor.pairs --data TRAIN --out runs/pairs --count 6000

Crop number n of a seed is always the same crop, sent by the same codec at the same rate and SNR. So several processes
can fill one folder (`--share 0/2`, `--share 1/2`), and a run that was interrupted continues with the missing parts.
"""

from __future__ import annotations

import argparse
import sys
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from gened.errors import ConfigError, GenedError
from gened.gr_blocks.phy.channel.config import ChannelConfig, ChannelKind
from gened.models.codecs.base import Codec
from gened.models.codecs.encode_options import EncodeOptions
from gened.models.codecs.registry import load_codec
from gened.models.data.evaluation_set import Item
from gened.models.data.training_set import CropSampler, load_photographs
from gened.models.evaluation.run.measure import Setting, send
from gened.models.training.editor.folder import MASK_SIDE, SIDE, Pairs

PART = 64
"""Pairs per file."""
RATES = ("1/48", "1/36", "1/24", "1/24", "1/12")
SNR_DB = (-2.0, 15.0)
FADING_SHARE = 0.15
WRONG_SNR_SHARE = 0.15
WRONG_BY_DB = 2.0
"""Standard deviation of the design SNR from the channel's, in that fraction of the crops, dB."""


@dataclass(frozen=True)
class Drawn:
    """Codec and channel of one crop."""

    codec: str
    setting: Setting


def draw(number: int, seed: int, shares: dict[str, float]) -> Drawn:
    """Codec, rate, SNR and channel of crop `number`; a seed stands for these draws in this order."""
    rng = np.random.default_rng([seed, number, 16])
    codec = str(rng.choice(list(shares), p=np.array(list(shares.values())) / sum(shares.values())))
    rate = Fraction(str(rng.choice(RATES)))
    snr_db = float(rng.uniform(*SNR_DB))
    wrong_db = WRONG_BY_DB * float(rng.standard_normal()) if rng.random() < WRONG_SNR_SHARE else 0.0
    kind: ChannelKind = "awgn"
    if rng.random() < FADING_SHARE:
        kind = "rayleigh-fast" if rng.random() < 0.5 else "rayleigh-block"
    focus = None if rng.random() < 0.7 else 1.0
    setting = Setting(
        encode=EncodeOptions(rate=Fraction(1, 24) if codec == "deepjscc" else rate), snr_db=snr_db,
        snr_error_db=wrong_db,
        channel=ChannelConfig(kind=kind), seed=number, mask="none" if focus == 1.0 else "codec",
    )  # fmt: skip
    return Drawn(codec, setting if codec == "gened" else replace(setting, mask="codec"))


def make_pairs(numbers: range, sampler: CropSampler, codecs: dict[str, Codec], shares: dict[str, float]) -> Pairs:
    """Send these crops; those whose frame is lost are left out."""
    rows: list[tuple[Any, ...]] = []
    for number in numbers:
        pixels = sampler(number)
        drawn = draw(number, sampler.seed, shares)
        x = np.ascontiguousarray(pixels.transpose(2, 0, 1), np.float32) / 255
        sent = send(codecs[drawn.codec], Item(str(number), x, None, None), drawn.setting)
        if sent.decoded is None or sent.is_lost:
            continue
        received = np.rint(255 * sent.decoded.x_hat.clip(0, 1)).astype(np.uint8).transpose(1, 2, 0)
        mask = np.zeros((MASK_SIDE, MASK_SIDE), np.uint8)
        if sent.decoded.mask is not None:
            whole = Image.fromarray(np.rint(255 * sent.decoded.mask.clip(0, 1)).astype(np.uint8))
            mask = np.asarray(whole.resize((MASK_SIDE, MASK_SIDE), Image.Resampling.BOX))
        rows.append(
            (
                pixels, received, mask, drawn.setting.snr_db, number, drawn.codec, str(drawn.setting.encode.rate),
                sampler.key(number),
            )
        )  # fmt: skip
    columns = [np.stack(column) for column in zip(*rows, strict=True)]
    columns[3] = columns[3].astype(np.float32)
    return Pairs(*columns)


def parser() -> argparse.ArgumentParser:
    """The options of the command line."""
    result = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    result.add_argument("--data", type=Path, required=True, help="folder of tar shards or of pictures")
    result.add_argument("--out", type=Path, required=True, help="folder for the pairs")
    result.add_argument("--count", type=int, default=6000, help="crops that are sent")
    result.add_argument("--first", type=int, default=0, help="number of the first one")
    result.add_argument("--share", default="0/1", help="which parts this process makes, such as 1/2")
    result.add_argument("--seed", type=int, default=16)
    result.add_argument("--codecs", nargs="+", default=["gened=0.7", "deepjscc=0.3"], help="codecs with their shares")
    result.add_argument("--threads", type=int, default=1)
    return result


def _shares(texts: list[str]) -> dict[str, float]:
    shares: dict[str, float] = {}
    for text in texts:
        name, _, share = text.partition("=")
        try:
            shares[name] = float(share or 1)
        except ValueError:
            raise ConfigError(f"--codecs {text}: expected such as gened=0.7") from None
        if not 0 < shares[name] < float("inf"):
            raise ConfigError(f"--codecs {text}: a share is a positive number")
    return shares


def run(arguments: argparse.Namespace) -> int:
    """Make the missing parts; returns their number."""
    import torch

    torch.set_num_threads(arguments.threads)
    shares = _shares(arguments.codecs)
    which, _, of = arguments.share.partition("/")
    if not (which.isdigit() and of.isdigit() and int(which) < int(of)):
        raise ConfigError(f"--share {arguments.share}: expected such as 0/2 or 1/2")
    codecs = {name: load_codec(name) for name in shares}
    sampler = CropSampler(load_photographs(arguments.data, min_side=SIDE), crop=SIDE, seed=arguments.seed)
    arguments.out.mkdir(parents=True, exist_ok=True)
    made = 0
    for first in range(arguments.first, arguments.first + arguments.count, PART):
        path = arguments.out / f"pairs-{first:07d}.npz"
        if (first // PART) % int(of) != int(which) or path.exists():
            continue
        numbers = range(first, min(first + PART, arguments.first + arguments.count))
        part = path.with_suffix(".part")
        with part.open("wb") as file:
            np.savez(file, **make_pairs(numbers, sampler, codecs, shares)._asdict())
        part.replace(path)
        made += 1
        print(f"{path}", flush=True)
    return made


def main() -> int:
    """Run the command line."""
    try:
        run(parser().parse_args())
    except GenedError as error:
        print(f"pairs: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
