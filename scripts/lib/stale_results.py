# SPDX-License-Identifier: GPL-3.0-or-later
"""Which files under results/ would be different if they were measured with the present code?

    python scripts/lib/stale_results.py [--json] [FILE...]

A result with a fingerprint in its `meta` is compared with the fingerprint of the present code (`models/evaluation/run/
fingerprint.py`, `gr_blocks/phy/fingerprint.py`), and its `codec_id` with that of the codec: `current` or `stale`, with
what differs. A result without one is `unknown`, with the number of commits since its own that touch the code that it
measures; `current` if there are none. Ends with status 1 if a file is stale.
"""

from __future__ import annotations

import argparse
import functools
import json
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any, Literal

from gened.errors import GenedError
from gened.gr_blocks.phy.fingerprint import waveform_fingerprint
from gened.models.codecs.base import Codec
from gened.models.codecs.registry import load_codec
from gened.models.evaluation.run.fingerprint import differences, evaluation_fingerprint
from gened.models.evaluation.run.measure import Over

ROOT = Path(__file__).resolve().parents[2]
PHY = ("gr_blocks/phy",)
CODECS = ("models/codecs", "models/weights", "models/data", "models/evaluation/run", "models/evaluation/metrics")
EDITING = ("models/editing", "models/captioning")
LINK = ("gened/link", "flowgraphs", "gr_blocks")
MEASURED: tuple[tuple[str, tuple[str, ...]], ...] = (
    ("codec/ablations*.json", (*CODECS, "models/training/studies/ablations.py", "models/training/codecs/gened")),
    ("codec/swap-mask.json", (*CODECS, "models/training/studies/swap_mask.py")),
    ("codec/*-estimated*.json", (*CODECS, *PHY)),
    ("codec/*.json", (*CODECS, "gr_blocks/phy/channel", "gr_blocks/phy/framing", "gr_blocks/phy/coding")),
    ("editor/captions.json", ("models/captioning", "models/evaluation/run/captions.py", "models/evaluation/metrics")),
    ("editor/*.json", (*CODECS, *EDITING, "gr_blocks/phy/channel", "gr_blocks/phy/framing")),
    ("link/soak.json", (*LINK, "scripts/lib/soak.py")),
    ("link/*.json", (*PHY, "gened/bench")),
    ("loopback/*.json", (*LINK, "models/codecs", "models/weights", "scripts/lib/acceptance.py")),
    ("radio/*.json", (*LINK, "gened/virtual_pluto", "models/codecs", "models/weights")),
)
"""Files under results/ and the code that they measure; the first pattern that fits counts."""

State = Literal["current", "stale", "unknown"]


@dataclass(frozen=True)
class Standing:
    """One published file, and whether the present code would give the same."""

    file: str
    """Path below results/."""
    state: State
    text: str
    """What differs, or why it is not known."""


def measured_code(file: str) -> tuple[str, ...]:
    """Folders and files of code that a file measures, by its path below results/.

    Raises:
        GenedError: No pattern of `MEASURED` fits.
    """
    for pattern, code in MEASURED:
        if Path(file).match(pattern):
            return code
    raise GenedError(
        f"results/{file} has no line in MEASURED of scripts/lib/stale_results.py: which code does it measure?"
    )


def standing(file: str, result: dict[str, Any]) -> Standing:
    """Whether a published file is current.

    Args:
        file: Path below results/.
        result: Its content.

    Raises:
        GenedError: No pattern of `MEASURED` fits.
    """
    code, meta = measured_code(file), result.get("meta", {})
    codec = _codec_of(result)
    number = meta.get("codec_id")
    if number is not None and codec is not None and f"{codec.codec_id:08x}" != number:
        return Standing(file, "stale", f"codec {codec.name} is {codec.codec_id:08x}, measured was {number}")
    recorded = meta.get("fingerprint")
    if recorded:
        present = _present(result, codec)
        found = ["the codec does not do what it did"] if present is None else differences(recorded, present)
        return Standing(file, "stale" if found else "current", "; ".join(found))
    commit = str(meta.get("commit") or "").rstrip("+")
    n_commits = _n_commits(commit, str(meta.get("time") or ""), code)
    if n_commits is None:
        return Standing(file, "unknown", "no fingerprint, and neither a known commit nor a time")
    if not n_commits:
        return Standing(file, "current", "no commit since touches the code")
    return Standing(file, "unknown", f"no fingerprint; {n_commits} commits since touch {', '.join(code)}")


def _codec_of(result: dict[str, Any]) -> Codec | None:
    """The codec of an evaluation's rows; None for other results, and where it cannot be loaded."""
    rows = result.get("rows") or [{}]
    name = rows[0].get("codec") if isinstance(rows, list) and isinstance(rows[0], dict) else None
    options = result.get("meta", {}).get("codec_options") or {}
    return _loaded(name, json.dumps(options)) if isinstance(name, str) else None


@functools.lru_cache(maxsize=8)
def _loaded(name: str, options: str) -> Codec | None:
    try:
        return load_codec(name, **json.loads(options))
    except GenedError:
        return None


def _present(result: dict[str, Any], codec: Codec | None) -> dict[str, float] | None:
    """Fingerprint of the present code for what a result measures."""
    if codec is None or "codec_id" not in result["meta"]:
        return waveform_fingerprint()
    return _evaluation(codec, str(result["rows"][0]["rate"]), result["meta"]["over"])


@functools.lru_cache(maxsize=64)
def _evaluation(codec: Codec, rate: str, over: Over) -> dict[str, float] | None:
    return evaluation_fingerprint(codec, Fraction(rate), over)


@functools.lru_cache(maxsize=256)
def _n_commits(commit: str, time: str, code: tuple[str, ...]) -> int | None:
    """Commits after another one, or after a time, that touch code; None where neither is known to Git."""
    since = [f"{commit}..HEAD"] if commit and _git("cat-file", "-e", commit) is not None else []
    if not since and time:
        since = [f"--since={time}", "HEAD"]
    counted = _git("rev-list", "--count", *since, "--", *code) if since else None
    return None if counted is None else int(counted)


def _git(*arguments: str) -> str | None:
    done = subprocess.run(["git", "-C", str(ROOT), *arguments], capture_output=True, text=True, check=False)
    return done.stdout.strip() if done.returncode == 0 else None


def standings(results: Path, files: Sequence[Path] = ()) -> list[Standing]:
    """All published files, or these, sorted by name."""
    paths = sorted(files or results.rglob("*.json"))
    return [
        standing(path.resolve().relative_to(results.resolve()).as_posix(), json.loads(path.read_text()))
        for path in paths
    ]


def main(arguments: Sequence[str] | None = None) -> int:
    """Print the table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("files", nargs="*", type=Path, metavar="FILE", help="files under results/ (default: all)")
    parser.add_argument("--json", action="store_true", help="print the list as JSON")
    options = parser.parse_args(arguments)
    try:
        found = standings(ROOT / "results", options.files)
    except (GenedError, OSError, ValueError) as error:
        sys.stderr.write(f"stale_results: {error}\n")
        return 2
    if options.json:
        print(json.dumps([asdict(one) for one in found], indent=1))
    else:
        for one in found:
            print(f"{one.state:8}{one.file}" + (f": {one.text}" if one.text else ""))
        print(
            ", ".join(
                f"{sum(one.state == state for one in found)} {state}" for state in ("current", "stale", "unknown")
            )
        )
    return int(any(one.state == "stale" for one in found))


if __name__ == "__main__":
    sys.exit(main())
