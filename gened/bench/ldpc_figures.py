# SPDX-License-Identifier: GPL-3.0-or-later
"""Draw the figure of docs/digital.md from the output of `gened bench ldpc --out`.

python -m gened.bench.ldpc_figures results/link/ldpc.json --out docs/figures
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any

from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from gened.errors import ConfigError
from gened.paths import make_folder

COLORS = ("#7a4ea3", "#0b6e99", "#3f7d3a", "#8a7a1c", "#c4511d", "#9b2c5a", "#666c78", "#16181d")
DPI = 100
FLOOR = 5e-4
"""Least error rate shown; points below it are based on a few losses."""


def draw(axes: Axes, rows: list[dict[str, Any]]) -> None:
    """Two curves per mode: with perfect synchronisation (thin line) and through the receiver (points on a thick
    line)."""
    for color, name in zip(COLORS, dict.fromkeys(row["mode"] for row in rows), strict=False):
        for path, style in (("direct", {"linewidth": 0.9, "linestyle": "--"}), ("receiver", {"marker": "o"})):
            shown = [row for row in rows if (row["mode"], row["path"]) == (name, path) and row["fer"] is not None]
            shown = [row for row in shown if row["fer"] > FLOOR]
            axes.semilogy(
                [row["snr_db"] for row in shown], [row["fer"] for row in shown], color=color, markersize=3,
                label=name if path == "receiver" else None, **style,
            )  # fmt: skip
    axes.set_xlabel("Es/N0, dB")
    axes.set_ylabel("texts of 60 bytes lost")
    axes.set_ylim(FLOOR, 1)
    axes.legend(frameon=False, fontsize="small", ncols=2, loc="lower left")


def draw_all(path: Path, folder: Path) -> Path:
    """Draw the figure into a folder.

    Raises:
        ConfigError: The file is not an output of this bench.
    """
    try:
        rows = json.loads(path.read_text())["rows"]
        figure = Figure(figsize=(7.0, 4.2), dpi=DPI, layout="constrained")
        FigureCanvasAgg(figure)
        axes = figure.add_subplot()
        draw(axes, rows)
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ConfigError(f"{path} is no result of gened bench ldpc: {error}") from error
    axes.grid(color="#d9dce2", linewidth=0.6)
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)
    make_folder(folder)
    figure.savefig(folder / "digital-fer.png")
    return folder / "digital-fer.png"


def main(argv: list[str] | None = None) -> int:
    """Write the figure and print its name."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("result", type=Path, help="file of gened bench ldpc --out")
    parser.add_argument("--out", type=Path, default=Path("docs/figures"), help="folder (default docs/figures)")
    args = parser.parse_args(argv)
    try:
        print(draw_all(args.result, args.out))
    except ConfigError as error:
        print(f"ldpc_figures: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
