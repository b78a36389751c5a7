# SPDX-License-Identifier: GPL-3.0-or-later
"""Fixtures of the tests of blocks, where GNU Radio is installed; without it these tests are left out."""

from __future__ import annotations

import importlib.util

if importlib.util.find_spec("gnuradio") is not None:
    from block_bench import (  # noqa: F401 - pytest finds fixtures by their names here
        bench,
        frame_of,
        hostile,
        make_bench,
        picture,
        shared_worker,
        thumbnail_worker,
        until,
    )
else:
    collect_ignore_glob = ["qa_*.py", "test_*.py", "pdu/qa_*.py"]
