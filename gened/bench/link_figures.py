# SPDX-License-Identifier: GPL-3.0-or-later
"""Draw the figures of docs/link.md from the output of `gened bench link --out`.

python -m gened.bench.link_figures results/link/*.json --out docs/figures
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import ListedColormap
from matplotlib.figure import Figure

from gened.bench.link_conditions import CONDITIONS
from gened.errors import ConfigError
from gened.gr_blocks.phy.ofdm.waveform import WAVEFORM
from gened.paths import make_folder

BLUE, RED, GREEN, PURPLE, GREY = "#0b6e99", "#c4511d", "#3f7d3a", "#7a4ea3", "#666c78"
BARS_AT_DB = 10.0
QUARTERS = ("#9ec9db", "#5a9fbe", "#0b6e99", "#073f58")
DPI = 160
ELEMENT_KINDS = ("preamble", "header", "pilot", "payload")
Rows = list[dict[str, Any]]


def read(paths: Iterable[Path]) -> tuple[Rows, Rows]:
    """Read the rows of conditions and those of GNU Radio's link of several files.

    Raises:
        ConfigError: A file is not an output of this bench.
    """
    rows: Rows = []
    gnuradio: Rows = []
    for path in paths:
        try:
            result = json.loads(path.read_text())
            if "meta" in result and "gnuradio" not in result:  # of another bench, in the same folder
                continue
            rows += result["rows"]
            gnuradio += result["gnuradio"] or []
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise ConfigError(f"{path} is no result of gened bench link: {error}") from error
    return rows, gnuradio


def draw_burst(axes: Axes) -> None:
    """Kinds of resource elements in the first OFDM symbols of a burst."""
    n_symbols = 13
    kinds = np.full((n_symbols + 2, WAVEFORM.n_fft), np.nan)
    cells = np.where(WAVEFORM.pilot_mask(n_symbols), 2.0, 3.0)
    cells[: WAVEFORM.n_header_symbols][cells[: WAVEFORM.n_header_symbols] == 3.0] = 1.0
    columns = WAVEFORM.carriers + WAVEFORM.n_fft // 2
    kinds[:2, columns], kinds[2:, columns] = 0.0, cells
    colors = ListedColormap([PURPLE, GREEN, "#16181d", "#9ec9db"])
    image = axes.imshow(kinds.T, aspect="auto", cmap=colors, vmin=-0.5, vmax=3.5, interpolation="nearest",
                        origin="lower", extent=(0, n_symbols + 2, -128, 128))  # fmt: skip
    bar = axes.figure.colorbar(image, ax=axes, ticks=range(4))
    bar.set_ticklabels(ELEMENT_KINDS)
    axes.set_xlabel("symbol of 256 samples (its prefix of 16 not shown)")
    axes.set_ylabel("carrier")


def _at_one_snr(rows: Rows, key: str) -> Rows:
    """Rows at `BARS_AT_DB` with a value, in the order of the conditions."""
    places = {condition.name: place for place, condition in enumerate(CONDITIONS)}
    shown = [row for row in rows if row["snr_db"] == BARS_AT_DB and row[key] is not None]
    return sorted(shown, key=lambda row: places.get(row["condition"], len(places)))


def draw_loss(axes: Axes, rows: Rows) -> None:
    """SNR loss per condition at one SNR: mean over all symbols, and weighted by their noise variances."""
    shown = _at_one_snr(rows, "snr_loss_db")
    places = np.arange(len(shown))[::-1]
    weighted = "weighted as each symbol deserves"
    axes.barh(places, [row["snr_loss_db"] for row in shown], color="#c8dfe9", label="all symbols alike")
    axes.barh(places, [row["snr_loss_symbol_db"] for row in shown], height=0.45, color=BLUE, label=weighted)
    axes.axvline(0.5, color=RED, linewidth=0.8)
    axes.set_yticks(places, [row["condition"] for row in shown], fontsize="x-small")
    axes.set_xlabel(f"SNR lost at {BARS_AT_DB:g} dB, dB")
    axes.legend(frameon=False, fontsize="small", loc="lower right")


def draw_lost(axes: Axes, rows: Rows, gnuradio: Rows) -> None:
    """Packet loss over SNR of our link and GNU Radio's, with small and large carrier offsets."""
    ours = sorted((row for row in rows if row["condition"] == "offsets-20ppm"), key=lambda row: row["snr_db"])
    x = [row["snr_db"] for row in ours]
    kept = [row["detection_rate"] * (1 - row["header_error_rate"]) for row in ours]
    with_text = [share * (1 - row["caption_error_rate"]) for share, row in zip(kept, ours, strict=True)]
    axes.plot(x, [1 - share for share in kept], color=BLUE, marker="o", label="our bursts, up to 12.5 % off")
    axes.plot(x, [1 - share for share in with_text], color=GREEN, marker="s", label="our captions, up to 12.5 % off")
    for cfo_norm, style in ((0.0, "-"), (0.02, "--"), (0.125, ":")):
        found = [row for row in gnuradio if row["cfo_cps"] == cfo_norm]
        axes.plot([row["snr_db"] for row in found], [row["gnuradio_packet_error_rate"] for row in found], color=RED,
                  linestyle=style, marker="^", label=f"GNU Radio's packets, {100 * cfo_norm:g} % off")  # fmt: skip
    axes.set_xlabel("SNR (Es/N0), dB")
    axes.set_ylabel("lost, share")
    axes.legend(frameon=False, fontsize="small", loc="center left", bbox_to_anchor=(0.12, 0.5))


def draw_claims(axes: Axes, rows: Rows) -> None:
    """Ratio of estimated noise variance to measured error in dB, by quartile of the estimate."""
    shown = _at_one_snr(rows, "noise_var_quartiles_db")
    places = np.arange(len(shown))[::-1]
    for index, color in enumerate(QUARTERS):
        values = [row["noise_var_quartiles_db"][index] for row in shown]
        label = ("least noise claimed", "more", "still more", "most")[index]
        axes.scatter(values, places + 0.15 * (1.5 - index), color=color, s=12, label=label)
    axes.axvspan(-1, 1, color="#e4eee2", zorder=0)
    axes.set_yticks(places, [row["condition"] for row in shown], fontsize="x-small")
    axes.set_xlabel(f"claimed noise variance over measured error at {BARS_AT_DB:g} dB, dB")
    axes.legend(frameon=False, fontsize="small", loc="upper right")


def save(path: Path, size_inches: tuple[float, float], draw: Callable[[Axes], None]) -> None:
    """Make a figure with one pair of axes."""
    figure = Figure(figsize=size_inches, dpi=DPI, layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    draw(axes)
    axes.margins(y=0.02)
    if draw is not draw_burst:
        axes.grid(color="#d9dce2", linewidth=0.6, axis="x")
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)
    figure.savefig(path)


def draw_all(paths: Iterable[Path], folder: Path) -> list[Path]:
    """Draw all figures into a folder.

    Raises:
        ConfigError: As `read`.
    """
    rows, gnuradio = read(paths)
    make_folder(folder)
    drawings: dict[str, tuple[tuple[float, float], Callable[[Axes], None]]] = {
        "link-burst": ((7.0, 3.6), draw_burst),
        "link-loss": ((7.0, 6.4), lambda axes: draw_loss(axes, rows)),
        "link-lost": ((7.0, 4.2), lambda axes: draw_lost(axes, rows, gnuradio)),
        "link-claims": ((7.0, 6.4), lambda axes: draw_claims(axes, rows)),
    }
    for name, (size_inches, draw) in drawings.items():
        save(folder / f"{name}.png", size_inches, draw)
    return [folder / f"{name}.png" for name in drawings]


def main(argv: list[str] | None = None) -> int:
    """Write the figures and print their names."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("results", type=Path, nargs="+", help="files of gened bench link --out")
    parser.add_argument("--out", type=Path, default=Path("docs/figures"), help="folder (default docs/figures)")
    args = parser.parse_args(argv)
    try:
        print(*draw_all(args.results, args.out), sep="\n")
    except ConfigError as error:
        print(f"link_figures: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
