# SPDX-License-Identifier: GPL-3.0-or-later
"""What drivers print from C does not reach a command's stdout; tried in a process of its own, its stdout a pipe."""

from __future__ import annotations

import json
import subprocess
import sys

CODE = """
import ctypes, json, os
from gened.monitor.driver_output import drivers_to_stderr
c = ctypes.CDLL(None)
c.printf(b"before;")
with drivers_to_stderr():
    c.printf(b"O")      # what C holds back until its buffer is full
    c.fflush(None)
    os.write(1, b"UU")
    c.printf(b"[INFO] a driver that talks\\n")
    print("Python too")
print(json.dumps({"frames": []}))
"""


def test_json_stays_clean_of_what_drivers_print() -> None:
    done = subprocess.run([sys.executable, "-c", CODE], cwd="/", capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    before, _, rest = done.stdout.partition(";")
    assert before == "before" and json.loads(rest) == {"frames": []}
    assert "[INFO] a driver that talks" in done.stderr and "Python too" in done.stderr


def test_lone_letters_are_not_shown_at_all() -> None:
    code = CODE.replace('    c.printf(b"[INFO] a driver that talks\\n")\n    print("Python too")\n', "")
    done = subprocess.run([sys.executable, "-c", code], cwd="/", capture_output=True, text=True, timeout=60)
    assert done.returncode == 0 and done.stderr == ""


def test_stdout_is_as_before_after_an_error() -> None:
    code = """
from gened.monitor.driver_output import drivers_to_stderr
try:
    with drivers_to_stderr():
        raise ValueError
except ValueError:
    print("back")
"""
    done = subprocess.run([sys.executable, "-c", code], cwd="/", capture_output=True, text=True, timeout=60)
    assert done.stdout == "back\n"
