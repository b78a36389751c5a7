# SPDX-License-Identifier: GPL-3.0-or-later
"""Judges the loopback: every frame delivered, every caption whole, and as good a picture as without the radio.

Runs the commands as a user would, each condition a `gened loopback` of its own, and compares its PSNR with that of
`gened evaluate` on the same photograph at the same SNR.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from dataclasses import asdict, dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import skimage
from PIL import Image

from gened.provenance import run_meta

ROOT = Path(__file__).resolve().parents[2]
EXAMPLES = Path(skimage.__file__).parent / "data"  # freely licensed photographs; see its README.txt
PHOTOS = {
    "chelsea.png": "a tabby cat with green eyes looks past the camera",
    "coffee.png": "a cup of coffee with a spoon on a wooden table",
    "astronaut.png": "an astronaut in an orange suit smiles before a flag and a model of the shuttle",
}
SHEET = (
    "astronaut.png",
    "chelsea.png",
    "coffee.png",
    "rocket.jpg",
    "retina.jpg",
    "hubble_deep_field.jpg",
    "motorcycle_left.png",
    "ihc.png",
)
SHEET_SIZE = (4096, 3072)
TILE = 1024
MAX_LOSS_DB = 0.7
"""How much worse than `gened evaluate` a photograph may be over the link."""
LIMIT_S = 1800


@dataclass(frozen=True)
class Condition:
    """One run of the loopback."""

    name: str
    snr_db: float
    freq_offset_hz: float
    drop_burst: int | None = None
    is_large: bool = False


CONDITIONS = (
    *(Condition(f"{snr_db} dB, 20 kHz offset", snr_db, 20e3) for snr_db in (10, 4, 1, 0)),
    Condition("10 dB, 120 kHz offset", 10, 120e3),
    Condition("4096x3072, one burst lost", 10, 20e3, drop_burst=5, is_large=True),
)


@dataclass
class Outcome:
    """The result of one condition."""

    name: str
    photographs: int
    frames: int
    """Mean over all photographs, each sent equally often."""
    delivered: int
    captions_whole: int
    erased_fraction: float
    snr_est_db: float
    cfo_error_hz: float
    psnr_db: dict[str, float] = field(default_factory=dict)
    evaluate_psnr_db: dict[str, float] = field(default_factory=dict)
    loss_db: float = 0.0
    """Largest, over the photographs, of what the link costs."""
    faults: list[str] = field(default_factory=list)


def gened(*arguments: str) -> Any:
    """The JSON that a command prints."""
    command = [sys.executable, "-m", "gened", *arguments, "--json", "--quiet"]
    done = subprocess.run(command, stdout=subprocess.PIPE, timeout=LIMIT_S, check=False, cwd=ROOT)
    if done.returncode:
        raise SystemExit(f"gened {' '.join(arguments)} ended with {done.returncode}")
    return json.loads(done.stdout)


def contact_sheet(path: Path) -> None:
    """A large picture of real photographs, each enlarged to 1024x1024, mirrored from the second round on."""
    sheet = Image.new("RGB", SHEET_SIZE)
    columns, rows = SHEET_SIZE[0] // TILE, SHEET_SIZE[1] // TILE
    for index in range(columns * rows):
        tile = (
            Image.open(EXAMPLES / SHEET[index % len(SHEET)])
            .convert("RGB")
            .resize((TILE, TILE), Image.Resampling.LANCZOS)
        )
        if index >= len(SHEET):
            tile = tile.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
        sheet.paste(tile, (TILE * (index % columns), TILE * (index // columns)))
    sheet.save(path, compress_level=1)


@lru_cache
def evaluated(photo: Path, codec: str, folder: Path, snrs_db: tuple[float, ...]) -> dict[float, float]:
    """PSNR of a photograph straight through the channel model, by SNR."""
    single = folder / f"only-{photo.stem}"
    single.mkdir()
    (single / photo.name).symlink_to(photo)
    snrs = ",".join(f"{snr_db:g}" for snr_db in snrs_db)
    result = gened("evaluate", "--data", str(single), "--codec", codec, "--snr", snrs)
    return {row["snr_db"]: float(row["psnr_db"]) for row in result["rows"]}


def judge(condition: Condition, codec: str, n_each: int, folder: Path, out: Path) -> Outcome:
    """Run a condition, `n_each` frames per photograph; returns its result and the requirements that it fails."""
    sheet = folder / "contact-sheet.png"
    photos = (
        {sheet: "eight photographs on a sheet"}
        if condition.is_large
        else {EXAMPLES / name: text for name, text in PHOTOS.items()}
    )
    captions = [argument for text in photos.values() for argument in ("--caption", text)]
    dropped = [] if condition.drop_burst is None else ["--drop-burst", str(condition.drop_burst)]
    target = out / condition.name.replace(",", "").replace(" ", "-")
    report = gened(
        "loopback",
        *map(str, photos),
        *captions,
        *dropped,
        "--codec",
        codec,
        "--snr",
        f"{condition.snr_db:g}",
        "--freq-offset",
        f"{condition.freq_offset_hz:g}",
        "--sample-rate",
        "1e6",
        "--frames",
        str(n_each * len(photos)),
        "--out",
        str(target),
        "--timeout",
        "240",
    )
    frames = report["frames"]
    arrived = [frame for frame in frames if frame["received"] is not None]
    outcome = Outcome(
        condition.name,
        len(photos),
        len(frames),
        len(arrived),
        sum(frame["crc_ok"] is True for frame in frames),
        max((frame["erased_fraction"] for frame in arrived), default=1.0),
        float(np.mean([frame["snr_est_db"] for frame in arrived])) if arrived else float("nan"),
        max((abs(frame["cfo_est_hz"] - condition.freq_offset_hz) for frame in arrived), default=float("nan")),
    )
    texts = list(photos.values())
    snrs_db = tuple(sorted({other.snr_db for other in CONDITIONS if other.is_large == condition.is_large}))
    for index, photo in enumerate(photos):
        own = [frame["psnr_db"] for frame in arrived if frame["frame"] % len(photos) == index]
        outcome.evaluate_psnr_db[photo.name] = evaluated(photo, codec, folder, snrs_db)[condition.snr_db]
        outcome.psnr_db[photo.name] = round(float(np.mean(own)), 3) if own else 0.0
    outcome.loss_db = round(max(outcome.evaluate_psnr_db[name] - outcome.psnr_db[name] for name in outcome.psnr_db), 3)
    if outcome.delivered < outcome.frames:
        outcome.faults.append(f"{outcome.frames - outcome.delivered} frames lost")
    if outcome.captions_whole < outcome.frames:
        outcome.faults.append(f"{outcome.frames - outcome.captions_whole} captions lost")
    if any(frame["caption"] != texts[frame["frame"] % len(texts)] for frame in arrived if frame["crc_ok"]):
        outcome.faults.append("a caption differs from the one sent")
    if outcome.loss_db > MAX_LOSS_DB:
        outcome.faults.append(f"{outcome.loss_db:.2f} dB worse than without the radio")
    if condition.drop_burst is not None and not outcome.erased_fraction > 0:
        outcome.faults.append("no burst was lost although one should be")
    return outcome


def write(path: Path, outcomes: list[Outcome]) -> None:
    """Puts the rows into the result, each with the run that it is of; rows of conditions not run now are kept."""
    meta = run_meta(["scripts/acceptance.sh", *sys.argv[1:]], seed=0)
    run = {key: meta[key] for key in ("command", "commit", "time")}
    rows = {row["name"]: row for row in json.loads(path.read_text())["rows"]} if path.exists() else {}
    rows |= {outcome.name: {**asdict(outcome), "run": run} for outcome in outcomes}
    ordered = [rows[condition.name] for condition in CONDITIONS if condition.name in rows]
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps({"meta": meta, "rows": ordered}, indent=1) + "\n")


def main() -> int:
    """Runs the conditions; 0 when nothing is wrong."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--codec", default="softcast")
    parser.add_argument(
        "--frames", type=int, default=20, help="of each photograph at each condition (20); of the large sheet always 1"
    )
    parser.add_argument("--only", default="", help="conditions whose name holds this text")
    parser.add_argument("--out", type=Path, default=ROOT / "out" / "acceptance", help="folder for the pictures")
    parser.add_argument("--results", type=Path, help="file for the result (default: results/loopback/CODEC.json)")
    options = parser.parse_args()
    outcomes = []
    with tempfile.TemporaryDirectory() as folder:
        contact_sheet(Path(folder) / "contact-sheet.png")
        for condition in CONDITIONS:
            if options.only not in condition.name:
                continue
            n_each = 1 if condition.is_large else options.frames
            outcome = judge(condition, options.codec, n_each, Path(folder), options.out / options.codec)
            outcomes.append(outcome)
            print(
                f"{outcome.name:28} {outcome.photographs} x {n_each} frames sent, {outcome.delivered} delivered, "
                f"{outcome.captions_whole} captions, "
                f"SNR {outcome.snr_est_db:5.2f} dB, {outcome.loss_db:+.2f} dB lost to the link: "
                f"{'; '.join(outcome.faults) or 'good'}",
                flush=True,
            )
    write(options.results or ROOT / "results" / "loopback" / f"{options.codec}.json", outcomes)
    return int(any(outcome.faults for outcome in outcomes))


if __name__ == "__main__":
    sys.exit(main())
