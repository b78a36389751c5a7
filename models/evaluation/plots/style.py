# SPDX-License-Identifier: GPL-3.0-or-later
"""The looks of a plot: size, fonts, colours, texts and axes, as the options of `gened plot` set them.

The attribute docstring of a field with an `Option` is the help text of that option. Nothing here loads matplotlib.

References:
    Masataka Okabe and Kei Ito, "Color Universal Design" (2008): colours that colour-blind people can tell apart.
    IEEE, "Preparation of papers": a column is 3.5 inches wide, two columns are 7.16 inches wide.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import islice
from typing import Annotated, Any, NamedTuple

from gened.errors import ConfigError
from gened.option_fields import Option


class Size(NamedTuple):
    """Size of a plot, inches, with the font size, points, and the resolution of pixel formats, dots per inch."""

    width: float
    height: float
    font: float
    dpi: int


SIZES = {
    "page": Size(7.0, 4.6, 10, 160),
    "one-column": Size(3.5, 2.6, 8, 300),
    "two-columns": Size(7.16, 3.4, 8, 300),
}
"""Sizes by name: for documents and screens, and for a paper of the IEEE."""
MIN_INCHES, MAX_INCHES = 1.5, 40.0
LEGENDS = ("auto", "below", "none")
COLORS = ("#0072b2", "#d55e00", "#009e73", "#882255", "#000000", "#e69f00", "#56b4e9", "#cc79a7")
"""Okabe and Ito's colours, with wine in place of yellow, which is faint on white."""
MARKERS = "osD^vPX*<"
"""One more than there are colours, so that a line whose colour repeats has another marker."""
DASHES = ("-", "--", "-.", ":")


class LineStyle(NamedTuple):
    """Colour, marker and dashes of a line, as matplotlib takes them."""

    color: str
    marker: str
    dashes: str


def line_styles(n: int) -> list[LineStyle]:
    """Styles of `n` lines; up to 72, no two share both colour and marker, and up to 32, no two colour and dashes."""

    def all_styles() -> Any:
        index = 0
        while True:
            dashes = DASHES[index // len(COLORS) % len(DASHES)]
            yield LineStyle(COLORS[index % len(COLORS)], MARKERS[index % len(MARKERS)], dashes)
            index += 1

    return list(islice(all_styles(), n))


@dataclass(frozen=True, kw_only=True)
class PlotStyle:
    """The looks of a plot.

    Raises:
        ConfigError: An unknown size or legend, or limits that are none.
    """

    size: Annotated[str, Option("--size", metavar="SIZE")] = "page"
    """page; one-column or two-columns of an IEEE paper; or WIDTHxHEIGHT in inches."""
    font: Annotated[float | None, Option("--font-size", min=4, max=40, shown_default="10, or 8 for a paper")] = None
    """Size of the texts, points."""
    title: Annotated[str | None, Option("--title", metavar="TEXT", shown_default="what all lines share")] = None
    """Title; an empty text leaves it out."""
    labels: Annotated[tuple[str, ...], Option("--label", metavar="TEXT")] = ()
    """Name of a line in the legend; repeat it for all lines, in their order."""
    x_label: Annotated[str | None, Option("--x-label", metavar="TEXT", shown_default="by the key")] = None
    """Text below the abscissa."""
    y_label: Annotated[str | None, Option("--y-label", metavar="TEXT", shown_default="by the key")] = None
    """Text beside the ordinate."""
    x_limits: Annotated[str, Option("--x-limits", metavar="LOW,HIGH", shown_default="by the values")] = ""
    """Ends of the abscissa; one of them may be left out, as in 0, with a comma behind it."""
    y_limits: Annotated[str, Option("--y-limits", metavar="LOW,HIGH", shown_default="by the values")] = ""
    """Ends of the ordinate."""
    is_log_x: Annotated[bool, Option("--log-x")] = False
    """Logarithmic abscissa."""
    is_log_y: Annotated[bool, Option("--log-y")] = False
    """Logarithmic ordinate."""
    has_no_bands: Annotated[bool, Option("--no-bands")] = False
    """Leave out the bands of the 95 % intervals."""
    legend: Annotated[str, Option("--legend", metavar="PLACE", choices=LEGENDS)] = "auto"
    """Place of the legend; auto: where it covers no line, or below the plot."""

    def __post_init__(self) -> None:
        if self.legend not in LEGENDS:
            raise ConfigError(f"a legend '{self.legend}'; known are {', '.join(LEGENDS)}")
        for text in (self.x_limits, self.y_limits):
            parse_limits(text)
        parse_size(self.size)

    @property
    def page(self) -> Size:
        """The size, with the font size that was asked for."""
        size = parse_size(self.size)
        return size if self.font is None else size._replace(font=self.font)


def parse_size(text: str) -> Size:
    """A size by its name, or WIDTHxHEIGHT in inches, such as 3.5x2.6.

    Raises:
        ConfigError: Neither, or out of range.
    """
    if text in SIZES:
        return SIZES[text]
    try:
        width, height = (float(part) for part in text.lower().split("x"))
    except ValueError as error:
        raise ConfigError(f"'{text}' is no size; write {', '.join(SIZES)}, or inches like 3.5x2.6") from error
    if not (MIN_INCHES <= width <= MAX_INCHES and MIN_INCHES <= height <= MAX_INCHES):
        raise ConfigError(f"a plot of {text} inches; from {MIN_INCHES:g} to {MAX_INCHES:g} are possible")
    paper = SIZES["page"] if width < SIZES["two-columns"].width and width > 5 else SIZES["two-columns"]
    return Size(width, height, paper.font, paper.dpi)


def parse_limits(text: str) -> tuple[float | None, float | None]:
    """The ends of an axis from LOW,HIGH; None for one that is left out.

    Raises:
        ConfigError: Not two numbers in ascending order.
    """
    if not text.strip():
        return None, None
    try:
        low, high = (float(part) if part.strip() else None for part in text.split(","))
    except ValueError as error:
        raise ConfigError(f"'{text}' are no limits of an axis; write LOW,HIGH like 20,32") from error
    if any(end is not None and not math.isfinite(end) for end in (low, high)):
        raise ConfigError(f"'{text}' are no limits of an axis; give finite numbers")
    if low is not None and high is not None and low >= high:
        raise ConfigError(f"the limits {text} of an axis must ascend")
    return low, high
