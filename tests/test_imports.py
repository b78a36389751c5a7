# SPDX-License-Identifier: GPL-3.0-or-later
"""Who may import whom, read from the source; and what loads without what, tried in a fresh interpreter."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]

PHY = "gened.gr_blocks.phy"
LAYERS = ("gened.gr_blocks.phy", "gened.gr_blocks", "gened.flowgraphs", "gened.hw_config", "gened.models", "gened")
"""The parts of the house, a part before the one that contains it."""

FOLDERS = {
    "gened.gr_blocks": "gr_blocks",
    "gened.flowgraphs": "flowgraphs",
    "gened.hw_config": "hw_config",
    "gened.models": "models",
    "gened": "gened",
}

ARROWS = {
    PHY: {PHY},
    "gened.models": {PHY, "gened.models"},
    "gened.hw_config": {PHY, "gened.hw_config"},
    "gened.gr_blocks": {PHY, "gened.gr_blocks", "gened.models"},
    "gened.flowgraphs": {PHY, "gened.gr_blocks", "gened.hw_config", "gened.models", "gened.flowgraphs"},
    "gened": set(LAYERS),
}
"""A part of the house and the parts that it may import. All arrows point down."""

DOORS_TO_MODELS = {
    "gened.models.worker",
    "gened.models.images",
    "gened.models.captioning.detector",
    "gened.models.captioning.registry",
    "gened.models.codecs.registry",
    "gened.models.editing.base",
    "gened.models.editing.client",
    "gened.models.editing.registry",
    "gened.models.editing.server",
    "gened.models.evaluation.metrics",
}
"""What blocks and flowgraphs may take from models: the worker, whose process runs the networks, and what loads none."""

BENCH = "gened.gr_blocks.bench"  # measures, in a process of its own; no block and no radio waits for it

PHY_MAY_USE = {"numpy", "scipy", "ldpc", "zfec"}
NEEDS_GNURADIO = {"gnuradio", "pmt", "uhd", "iio", "SoapySDR"}
NETWORKS = {"torch", "pytorch_msssim", "transformers", "diffusers"}
OUTSIDE_WORLD = {"socket", "subprocess", "urllib", "http", "requests", "zmq", "asyncio", "multiprocessing"}


def layer_of(module: str) -> str:
    return next(layer for layer in LAYERS if module == layer or module.startswith(layer + "."))


def source_files() -> list[tuple[str, Path]]:
    """Every module of ours by its import name, each seen once, in its own folder."""
    found = []
    for prefix, folder in FOLDERS.items():
        base = ROOT / folder
        for path in sorted(base.rglob("*.py")):  # does not go through links
            parts = path.relative_to(base).with_suffix("").parts
            parts = parts[:-1] if parts[-1] == "__init__" else parts
            found.append((".".join((prefix, *parts)), path))
    return found


def imports_of(tree: ast.AST) -> Iterator[str]:
    """Dotted names that a module imports, also inside functions; `from a import b` counts as `a.b`, maybe a module."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"line {node.lineno}: relative import"
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


FILES = source_files()
BY_NAME = pytest.mark.parametrize(("module", "path"), FILES, ids=[module for module, _ in FILES])


def test_all_parts_of_the_house_are_looked_at() -> None:
    assert {layer_of(module) for module, _ in FILES} == set(LAYERS)


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("import models", {"models"}),
        ("def f():\n    from gened.models import worker", {"gened.models.worker"}),
        ("import gnuradio.gr as gr, os", {"gnuradio.gr", "os"}),
    ],
)
def test_imports_are_found_wherever_they_stand(source: str, expected: set[str]) -> None:
    assert set(imports_of(ast.parse(source))) == expected


@BY_NAME
def test_imports_point_downwards(module: str, path: Path) -> None:
    layer = layer_of(module)
    for name in imports_of(ast.parse(path.read_text())):
        top = name.partition(".")[0]
        assert top not in FOLDERS.values() or top == "gened", f"{path}: say gened.{name}"
        if top != "gened" or name in ("gened", "gened.__version__"):  # the package itself holds nothing else
            continue
        assert layer_of(name) in ARROWS[layer], f"{path}: {layer} may not import {name}"


@BY_NAME
def test_blocks_reach_networks_through_the_worker_alone(module: str, path: Path) -> None:
    if layer_of(module) not in ("gened.gr_blocks", "gened.flowgraphs") or module.startswith(BENCH):
        return
    for name in imports_of(ast.parse(path.read_text())):
        if layer_of_or_none(name) == "gened.models":
            assert any(name == door or name.startswith(door + ".") for door in DOORS_TO_MODELS), f"{path}: {name}"


def layer_of_or_none(name: str) -> str | None:
    return layer_of(name) if name.partition(".")[0] == "gened" else None


@BY_NAME
def test_third_parties_stay_in_their_part(module: str, path: Path) -> None:
    layer = layer_of(module)
    tops = {name.partition(".")[0] for name in imports_of(ast.parse(path.read_text()))}
    if layer == PHY:
        assert tops <= PHY_MAY_USE | {"gened"} | set(sys.stdlib_module_names), f"{path}: {tops}"
        assert not tops & OUTSIDE_WORLD, f"{path}: phy has no sockets and no processes"
    if layer in ("gened.models", "gened.hw_config"):
        assert not tops & NEEDS_GNURADIO, f"{path}: only blocks and flowgraphs know GNU Radio"
    if layer in ("gened.gr_blocks", "gened.flowgraphs"):
        assert not tops & NETWORKS, f"{path}: networks run in the worker's process"


@pytest.mark.parametrize(
    ("module", "forbidden"),
    [
        ("gened", {"numpy", "torch", "gnuradio", "typer"}),
        ("gened.models.training.deepjscc", {"ldpc", "zfec", "scipy", "skimage", "matplotlib", "gnuradio", "typer"}),
        ("gened.models.training.gened", {"ldpc", "zfec", "skimage", "matplotlib", "gnuradio", "typer"}),
        ("gened.gr_blocks", {"numpy", "torch", "gnuradio"}),
        ("gened.gr_blocks.phy", {"torch", "gnuradio", "skimage", "PIL"}),
        ("gened.gr_blocks.phy.receiver", {"torch", "gnuradio", "zmq", "skimage"}),
        ("gened.gr_blocks.recording.reader", {"torch", "gnuradio", "zmq"}),
        ("gened.gr_blocks.phy.anatomy", {"torch", "gnuradio", "zmq", "matplotlib"}),
        ("gened.flowgraphs", {"torch", "gnuradio"}),
        ("gened.flowgraphs.inspection", {"torch", "gnuradio", "matplotlib"}),
        ("gened.models", {"torch", "gnuradio", "skimage"}),
        ("gened.models.codecs", {"torch", "gnuradio", "skimage"}),
        ("gened.models.codecs.registry", {"torch", "gnuradio"}),
        ("gened.models.worker", {"torch", "gnuradio"}),
    ],
)
def test_module_loads_without(module: str, forbidden: set[str]) -> None:
    code = f"import sys, {module}; print(*sorted({forbidden!r} & set(sys.modules)))"
    result = subprocess.run([sys.executable, "-c", code], cwd="/", capture_output=True, text=True, timeout=240)
    assert result.returncode == 0, result.stderr
    assert result.stdout.split() == []


def test_classical_codec_and_phy_work_where_pytorch_and_gnuradio_are_missing() -> None:
    code = """
import sys
class Missing:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in ("torch", "gnuradio", "pmt"):
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)
sys.meta_path.insert(0, Missing())
import gened.gr_blocks.phy.receiver, gened.gr_blocks.phy.modulator
from gened.models.codecs.registry import load_codec
print(load_codec("softcast").name)
"""
    result = subprocess.run([sys.executable, "-c", code], cwd="/", capture_output=True, text=True, timeout=240)
    assert result.returncode == 0, result.stderr
    assert result.stdout.strip() == "softcast"


def test_a_bare_models_is_not_ours() -> None:
    code = "import importlib.util as u; print([n for n in ('models', 'gr_blocks', 'flowgraphs') if u.find_spec(n)])"
    result = subprocess.run([sys.executable, "-c", code], cwd="/", capture_output=True, text=True, timeout=240)
    assert result.stdout.strip() == "[]"
