# SPDX-License-Identifier: GPL-3.0-or-later
"""Keeps stdout free for the output of a command: drivers write to it too, from C.

gr-iio prints its O and U there, UHD its [INFO] lines.
"""

from __future__ import annotations

import collections
import contextlib
import ctypes
import gc
import os
import sys
import threading
from collections.abc import Iterator

LETTERS = b"OU\n"
"""Letters that gr-iio prints in each second in which samples were late; `link_monitor` names them."""
_counts_of_letters: collections.Counter[str] = collections.Counter()


@contextlib.contextmanager
def drivers_to_stderr() -> Iterator[None]:
    """Inside, whatever this process writes to stdout (file descriptor 1) goes to stderr, but for O and U alone.

    Afterwards it is as before. What a driver has written but the C library still holds is written out on either border,
    so it cannot come late.
    """
    flush_drivers()
    kept = os.dup(1)
    read_end, write_end = os.pipe()
    os.dup2(write_end, 1)
    os.close(write_end)
    passer = threading.Thread(target=_pass_on, args=(read_end,), name="gened-driver-output", daemon=True)
    passer.start()
    try:
        yield
    finally:
        gc.collect()  # a flowgraph in a cycle of references would end, and print, later
        flush_drivers()
        os.dup2(kept, 1)  # closes the pipe's end, unless a child process still holds it
        os.close(kept)
        passer.join(1.0)


def letter_counts() -> dict[str, int]:
    """O and U that drivers have printed inside `drivers_to_stderr`, since the program began."""
    return dict(_counts_of_letters)


def flush_drivers() -> None:
    """Writes out what C and Python still hold of their output."""
    sys.stdout.flush()
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None).fflush(None)


def _pass_on(read_end: int) -> None:
    with contextlib.suppress(OSError):
        while data := os.read(read_end, 65536):
            if data.strip(LETTERS):
                os.write(2, data)
            else:
                _counts_of_letters.update(data.decode().replace("\n", ""))
    os.close(read_end)
