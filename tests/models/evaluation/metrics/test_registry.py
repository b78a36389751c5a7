# SPDX-License-Identifier: GPL-3.0-or-later
"""A new metric is a module and an entry in the registry; rows, tables and plots follow."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

from gened.cli import main
from gened.errors import ConfigError
from gened.models.codecs.base import Map, Picture
from gened.models.data.evaluation_set import Item
from gened.models.evaluation.metrics.base import Figures, Metric
from gened.models.evaluation.metrics.metric_set import MetricSet, parse_metrics
from gened.models.evaluation.metrics.registry import (
    DEFAULT,
    FIGURES,
    METRICS,
    Figure,
    MetricSpec,
    metrics_help,
    metrics_table,
    names_of_all,
)
from gened.models.evaluation.plots.lines import LABELS
from gened.models.evaluation.run.evaluate import ROW_KEYS, TABLE_LINES
from gened.paths import child_environment


class MeanError(Metric):
    version = "own"

    def figures(self, item: Item, x_hat: Picture, mask: Map | None) -> Figures:
        return {"mean_error": float(np.abs(item.x - x_hat).mean())}


def test_a_registered_metric_is_chosen_by_name_computed_and_versioned(monkeypatch: pytest.MonkeyPatch) -> None:
    module = ModuleType("mean_error_metric")
    module.MeanError = MeanError  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, module.__name__, module)
    spec = MetricSpec("mean_error_metric:MeanError", (Figure("mean_error", "mean error", "mean error", ".3f"),))
    monkeypatch.setitem(METRICS, "mean_error", spec)
    assert "mean_error" in parse_metrics("all")
    x = np.full((3, 16, 16), 0.5, np.float32)
    metrics = MetricSet(["mean_error"])
    found = metrics.figures(Item("a.png", x, None, None), x + np.float32(0.1), None)
    assert found["mean_error"] == pytest.approx(0.1, abs=1e-6) and found["psnr_db"] == pytest.approx(20, abs=0.3)

    monkeypatch.setitem(METRICS, "absent", MetricSpec("no_such_package_at_all.metric:M", ()))
    with pytest.raises(ConfigError, match="absent needs no_such_package_at_all"):
        MetricSet(["absent"])


def test_every_figure_has_its_key_in_a_row_its_line_in_a_table_and_its_name_on_an_axis() -> None:
    for figure in FIGURES.values():
        assert figure.key in ROW_KEYS and figure.key in LABELS
        assert figure.key in {key for key, _, _ in TABLE_LINES}
        assert (f"{figure.key}_ci95" in ROW_KEYS) == figure.has_interval
    assert len(set(ROW_KEYS)) == len(ROW_KEYS)


def test_the_documentation_names_every_metric_and_what_all_means() -> None:
    """The help and the table of the page are generated; a page that is out of date fails."""
    page = (Path(__file__).parents[4] / "docs" / "commands.md").read_text(encoding="utf-8")
    assert metrics_table() in page, metrics_table()
    names, _, of_all = metrics_help().removeprefix("Of ").removesuffix(".").partition("; all: ")
    assert tuple(names.split(", ")) == tuple(METRICS)
    assert tuple(of_all.split(", ")) == parse_metrics("all") == names_of_all()
    for name, spec in METRICS.items():
        assert spec.source, name
        (line,) = [line for line in metrics_table().splitlines() if line.startswith(f"| `{name}` |")]
        assert all(f"`{key}`" in line for key in spec.keys)
        assert ("`all`" in line) == (name in parse_metrics("all"))


def test_the_help_of_evaluate_names_every_metric(capsys: pytest.CaptureFixture[str]) -> None:
    main(["evaluate", "--help"])
    words = " ".join(capsys.readouterr().out.replace("│", " ").split())
    assert metrics_help() in re.sub(r"[╭╮╰╯─]+", " ", words)


def test_a_metric_gives_the_figures_that_it_is_registered_with() -> None:
    x = np.random.default_rng(0).random((3, 176, 176), dtype=np.float32)
    item, half = Item("a.png", x, x[0] > 0.5, None), np.full((176, 176), 0.7, np.float32)
    assert DEFAULT == ("psnr", "ms_ssim", "masks")
    for name in DEFAULT:
        found = {key for key, value in MetricSet([name]).figures(item, x * 0.9, half).items() if value is not None}
        assert found == {"psnr_db", *METRICS[name].keys}, name


def test_the_registry_loads_no_network() -> None:
    code = "import sys, gened.models.evaluation.metrics.registry; print({'torch', 'transformers'} & set(sys.modules))"
    result = subprocess.run([sys.executable, "-c", code], env=child_environment(), capture_output=True, text=True)
    assert result.stdout.strip() == "set()", result.stderr
