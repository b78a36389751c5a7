# SPDX-License-Identifier: GPL-3.0-or-later
"""What the number means with which a command ends."""

from __future__ import annotations

from typing import NamedTuple


class ExitCode(NamedTuple):
    """A number, what it means, and the errors that end in it."""

    number: int
    meaning: str
    errors: tuple[str, ...] = ()
    """Class names, so that nothing has to be loaded to know them; of an error's ancestors the nearest one counts."""


EXIT_CODES = (
    ExitCode(0, "all went well"),
    ExitCode(1, "something else went wrong", ("GenedError",)),
    ExitCode(2, "wrong usage, or a value that is not possible", ("ConfigError", "FrameError")),
    ExitCode(3, "a picture file is missing or cannot be read", ("MissingImageError",)),
    ExitCode(4, "a file is not a picture", ("NotAnImageError", "ImageError")),
    ExitCode(5, "a picture is too small, too large, or a decompression bomb", ("ImageSizeError",)),
    ExitCode(6, "unknown codec, missing weights, or a rate that the codec cannot do", ("CodecError",)),
    ExitCode(7, "a port is in use", ("PortInUseError",)),
    ExitCode(8, "no frame was received within the time limit", ("NoFrameError",)),
    ExitCode(9, "one of the processes died", ("ChildDiedError",)),
    ExitCode(10, "another failure of sockets, processes or samples", ("LinkError",)),
    ExitCode(
        11,
        "GNU Radio or a Python package is not installed",
        ("ModuleNotFoundError", "NoGnuRadioError", "MissingPackageError"),
    ),
    ExitCode(12, "unknown editor or captioner, or one that lacks its model", ("EditorError", "CaptionerError")),
    ExitCode(13, "something stands in the way of an experiment; `gened doctor` tells what", ("NotReadyError",)),
    ExitCode(130, "interrupted by Ctrl-C (128 plus the number of the signal)"),
)

_BY_NAME = {name: code.number for code in EXIT_CODES for name in code.errors}


def exit_code(error: BaseException) -> int:
    """The number for an error: that of its class, or of its nearest ancestor that has one."""
    for ancestor in type(error).__mro__:
        if ancestor.__name__ in _BY_NAME:
            return _BY_NAME[ancestor.__name__]
    return 1


def epilog() -> str:
    """The list for `--help`."""
    return "Exit codes: " + "; ".join(f"{code.number} {code.meaning}" for code in EXIT_CODES) + "."
