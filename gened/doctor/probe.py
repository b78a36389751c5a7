# SPDX-License-Identifier: GPL-3.0-or-later
"""`python -m gened.doctor.probe NAME`: one look at something that may hang, crash or print.

Arguments come as JSON on stdin, the answer goes as JSON to what was stdout; whatever drivers print goes to stderr. The
process leaves without destructors, which have crashed before.
"""

from __future__ import annotations

import importlib
import json
import os
import sys
from collections.abc import Callable
from typing import Any

from gened.errors import GenedError

PROBES = {
    "parts": "gened.doctor.probes_software:parts",
    "gnuradio": "gened.doctor.probes_software:gnuradio",
    "module": "gened.doctor.probes_software:module",
    "companion": "gened.doctor.probes_software:companion",
    "iio_context": "gened.doctor.probes_radio:iio_context",
    "limits": "gened.doctor.probes_radio:limits",
    "rate": "gened.doctor.probes_radio:rate",
}
"""By name: module and function, from keyword arguments to plain values."""


def _function(name: str) -> Callable[..., dict[str, Any]]:
    module, _, attribute = PROBES[name].partition(":")
    function: Callable[..., dict[str, Any]] = getattr(importlib.import_module(module), attribute)
    return function


def main() -> None:
    """The entry point of the process."""
    real_stdout = os.dup(1)
    os.dup2(2, 1)
    try:
        answer = _function(sys.argv[1])(**json.load(sys.stdin))
    except BaseException as error:  # whatever it is, the parent shows one line
        reason = " ".join(str(error).split()) or type(error).__name__
        what, _, remedy = reason.rpartition("; ") if isinstance(error, GenedError) else (reason, "", "")
        answer = {"error": (what or reason)[:400], "remedy": remedy if what else ""}
    os.write(real_stdout, json.dumps(answer).encode())
    os._exit(0)


if __name__ == "__main__":
    main()
