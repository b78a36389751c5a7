# SPDX-License-Identifier: GPL-3.0-or-later
"""Which part of the program may import which, read from the source; and what loads without which package."""

from __future__ import annotations

import ast
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]

FOLDERS = {
    "gened.gr_blocks": "gr_blocks",
    "gened.flowgraphs": "flowgraphs",
    "gened.hw_config": "hw_config",
    "gened.models": "models",
    "gened": "gened",
}

BASE = "gened base"
"""Modules of `gened` that every part may use; they use one another alone."""
BASE_MODULES = {
    "gened", "gened.errors", "gened.addresses", "gened.hostile", "gened.paths", "gened.processes", "gened.provenance",
    "gened.option_fields", "gened.threads",
}  # fmt: skip
PHY = "gened.gr_blocks.phy"
SERVING = "gened.models.serving"
RUNNING = ("link", "monitor", "reports", "fieldwork", "inspect", "doctor", "bench", "virtual_pluto")
PARTS = (
    PHY, "gened.gr_blocks", "gened.flowgraphs", "gened.hw_config", "gened.models",
    *(f"gened.{name}" for name in RUNNING), "gened.commands", "gened.cli", "gened.__main__",
)  # fmt: skip
"""The parts of the program; a part stands before the one that contains it."""

_LOWEST = {BASE, PHY}
_BLOCKS = _LOWEST | {"gened.hw_config", "gened.models", "gened.gr_blocks"}
_FLOWGRAPHS = _BLOCKS | {"gened.flowgraphs"}
ARROWS = {
    BASE: {BASE},
    PHY: _LOWEST,
    "gened.models": _LOWEST | {"gened.models"},
    "gened.hw_config": _LOWEST | {"gened.hw_config"},
    "gened.gr_blocks": _LOWEST | {"gened.gr_blocks", "gened.models"},
    "gened.flowgraphs": _FLOWGRAPHS,
    "gened.virtual_pluto": _LOWEST | {"gened.hw_config", "gened.virtual_pluto"},
    "gened.bench": _FLOWGRAPHS | {"gened.bench"},
    "gened.monitor": _FLOWGRAPHS | {"gened.monitor"},
    "gened.reports": _FLOWGRAPHS | {"gened.reports"},
    "gened.link": _FLOWGRAPHS | {"gened.link", "gened.monitor", "gened.reports", "gened.virtual_pluto"},
    "gened.inspect": _FLOWGRAPHS | {"gened.inspect", "gened.link"},
    "gened.fieldwork": _FLOWGRAPHS | {"gened.fieldwork", "gened.link", "gened.monitor", "gened.reports"},
    "gened.doctor": _FLOWGRAPHS | {"gened.doctor", "gened.link"},
    "gened.commands": {BASE, *PARTS} - {"gened.cli", "gened.__main__"},
    "gened.cli": {BASE, "gened.commands"},
    "gened.__main__": {"gened.cli"},
}
"""A part and the parts that it may import."""

DOORS_TO_MODELS = {
    "gened.models.serving",
    "gened.models.data",
    "gened.models.captioning.detector",
    "gened.models.captioning.registry",
    "gened.models.codecs.encode_options",
    "gened.models.codecs.registry",
    "gened.models.editing.base",
    "gened.models.editing.registry",
    "gened.models.evaluation.metrics.pixel_metrics",
}
"""What other parts may take from `models`: the processes that run networks, and modules that load none."""

REACHES_MODELS_BY_DOORS = ("gened.gr_blocks", "gened.flowgraphs", *(f"gened.{name}" for name in RUNNING))
PHY_MAY_USE = {"numpy", "scipy", "zfec", "numba"}
NEEDS_GNURADIO = {"gnuradio", "pmt", "uhd", "iio", "SoapySDR"}
NETWORKS = {"torch", "pytorch_msssim", "transformers", "diffusers"}
OUTSIDE_WORLD = {"socket", "subprocess", "urllib", "http", "requests", "zmq", "asyncio", "multiprocessing"}


def part_of(module: str) -> str:
    """The part that a module, or a name in one, belongs to."""
    found = next((part for part in PARTS if module == part or module.startswith(part + ".")), None)
    if found is not None:
        return found
    assert module in BASE_MODULES or module.rpartition(".")[0] in BASE_MODULES, f"{module} belongs to no part"
    return BASE


def source_files() -> list[tuple[str, Path]]:
    """Every module of ours by its import name, each once, in its own folder."""
    found = []
    for prefix, folder in FOLDERS.items():
        base = ROOT / folder
        for path in sorted(base.rglob("*.py")):  # does not go through links
            parts = path.relative_to(base).with_suffix("").parts
            parts = parts[:-1] if parts[-1] == "__init__" else parts
            found.append((".".join((prefix, *parts)), path))
    return found


def imports_of(tree: ast.AST) -> Iterator[str]:
    """Dotted names that a module imports, inside functions and under TYPE_CHECKING too.

    `from a import b` counts as `a.b`, which may be a module.
    """
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"line {node.lineno}: relative import"
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


FILES = source_files()
MODULES = {module for module, _ in FILES}
BY_NAME = pytest.mark.parametrize(("module", "path"), FILES, ids=[module for module, _ in FILES])


def imported_modules(path: Path) -> set[str]:
    """Modules of ours that a file imports; a name in a module counts as the module, a package's own as the package."""
    found = set()
    for name in imports_of(ast.parse(path.read_text())):
        while name.startswith("gened") and name not in MODULES:
            name = name.rpartition(".")[0]
        if name.startswith("gened"):
            found.add(name)
    return found


def test_all_parts_are_examined() -> None:
    assert {part_of(module) for module, _ in FILES} == {BASE, *PARTS} == set(ARROWS)
    assert {module for module in MODULES if part_of(module) == BASE} == BASE_MODULES


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("import models", {"models"}),
        ("def f():\n    from gened.models.serving import worker", {"gened.models.serving.worker"}),
        ("if TYPE_CHECKING:\n    from gened.cli import app", {"gened.cli.app"}),
        ("import gnuradio.gr as gr, os", {"gnuradio.gr", "os"}),
    ],
)
def test_imports_are_found_wherever_they_stand(source: str, expected: set[str]) -> None:
    assert set(imports_of(ast.parse(source))) == expected


@BY_NAME
def test_imports_point_downwards(module: str, path: Path) -> None:
    part = part_of(module)
    for name in imports_of(ast.parse(path.read_text())):
        top = name.partition(".")[0]
        assert top not in FOLDERS.values() or top == "gened", f"{path}: say gened.{name}"
        if top == "gened":
            assert part_of(name) in ARROWS[part], f"{path}: {part} may not import {name}"


def test_no_modules_import_each_other_in_a_circle() -> None:
    arrows = {module: imported_modules(path) - {module, "gened"} for module, path in FILES}
    finished: set[str] = set()

    def visit(module: str, way: list[str]) -> None:
        assert module not in way, " -> ".join([*way[way.index(module) :], module])
        if module in finished:
            return
        for target in sorted(arrows[module]):
            visit(target, [*way, module])
        finished.add(module)

    for module in sorted(arrows):
        visit(module, [])


@BY_NAME
def test_networks_are_reached_through_serving_alone(module: str, path: Path) -> None:
    if part_of(module) not in REACHES_MODELS_BY_DOORS:
        return
    for name in imports_of(ast.parse(path.read_text())):
        if name.startswith("gened.models"):
            assert any(name == door or name.startswith(door + ".") for door in DOORS_TO_MODELS), f"{path}: {name}"


@BY_NAME
def test_third_parties_stay_in_their_part(module: str, path: Path) -> None:
    part = part_of(module)
    tops = {name.partition(".")[0] for name in imports_of(ast.parse(path.read_text()))}
    if part == PHY:
        assert tops <= PHY_MAY_USE | {"gened"} | set(sys.stdlib_module_names), f"{path}: {tops}"
        assert not tops & OUTSIDE_WORLD, f"{path}: phy has no sockets and no processes"
    if part in ("gened.models", "gened.hw_config", "gened.virtual_pluto"):
        assert not tops & NEEDS_GNURADIO, f"{path}: only blocks and flowgraphs know GNU Radio"
    if part in REACHES_MODELS_BY_DOORS:
        assert not tops & NETWORKS, f"{path}: networks run in the worker's process"


def test_flowgraphs_are_top_blocks_and_radios_alone() -> None:
    assert {path.stem for path in (ROOT / "flowgraphs").glob("*.py")} == {
        "__init__", "transmitter", "receiver", "recorder", "playback",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("module", "forbidden"),
    [
        ("gened", {"numpy", "torch", "gnuradio", "typer"}),
        ("gened.errors", {"numpy"}),
        ("gened.provenance", {"numpy", "torch", "gnuradio"}),
        ("gened.hostile", {"numpy", "torch", "gnuradio"}),
        ("gened.gr_blocks.pdu.facts", {"torch", "gnuradio", "pmt"}),
        ("gened.processes", {"numpy", "torch", "gnuradio", "pydantic"}),
        (
            "gened.models.training.codecs.deepjscc.run",
            {"ldpc", "numba", "zfec", "scipy", "skimage", "matplotlib", "gnuradio", "typer"},
        ),
        (
            "gened.models.training.codecs.gened.run",
            {"ldpc", "numba", "zfec", "skimage", "matplotlib", "gnuradio", "typer"},
        ),
        ("gened.gr_blocks", {"numpy", "torch", "gnuradio"}),
        ("gened.gr_blocks.phy", {"torch", "gnuradio", "skimage", "PIL"}),
        ("gened.gr_blocks.phy.receiver", {"torch", "gnuradio", "zmq", "skimage"}),
        ("gened.gr_blocks.phy.channel.sample_channel", {"ldpc", "numba", "zfec", "torch", "gnuradio"}),
        ("gened.gr_blocks.recording.reader", {"torch", "gnuradio", "zmq"}),
        ("gened.inspect.anatomy", {"torch", "gnuradio", "zmq", "matplotlib"}),
        ("gened.flowgraphs", {"torch", "gnuradio"}),
        ("gened.inspect.inspection", {"torch", "gnuradio", "matplotlib"}),
        ("gened.models", {"torch", "gnuradio", "skimage"}),
        ("gened.models.codecs", {"torch", "gnuradio", "skimage"}),
        ("gened.models.codecs.registry", {"torch", "gnuradio"}),
        ("gened.models.serving.worker", {"torch", "gnuradio"}),
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
import gened.gr_blocks.phy.receiver, gened.gr_blocks.phy.ofdm.modulator
from gened.models.codecs.registry import load_codec
print(load_codec("softcast").name)
"""
    result = subprocess.run([sys.executable, "-c", code], cwd="/", capture_output=True, text=True, timeout=240)
    assert result.returncode == 0, result.stderr
    assert result.stdout.strip() == "softcast"


def test_a_bare_models_is_not_ours() -> None:
    code = "import importlib.util as u; print([n for n in ('models', 'gr_blocks', 'flowgraphs') if u.find_spec(n)])"
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    result = subprocess.run(
        [sys.executable, "-c", code], cwd="/", capture_output=True, text=True, timeout=240, env=environment
    )
    assert result.stdout.strip() == "[]"


WITHOUT_GNURADIO = r"""
import builtins, importlib, os, select, signal, sys

POSIX_MODULES = {"resource", "fcntl", "termios", "pwd", "grp", "pty", "tty", "curses", "readline", "syslog"}
MISSING = {"gnuradio", "pmt", "uhd", "iio", "SoapySDR", "adi"}
real = builtins.__import__

def windows_import(name, globals=None, locals=None, fromlist=(), level=0):
    importer = (globals or {}).get("__name__") or ""
    if name.partition(".")[0] in POSIX_MODULES and importer.startswith("gened"):
        raise ModuleNotFoundError(f"{importer} imports {name}, which Windows lacks", name=name)
    if name.partition(".")[0] in MISSING:
        raise ModuleNotFoundError(f"No module named {name!r}", name=name)
    return real(name, globals, locals, fromlist, level)

import numpy, scipy.fft, scipy.ndimage, zmq, matplotlib.figure, skimage, typer, rich.console, rich.progress, pydantic
import multiprocessing.connection, subprocess, av, sigmf, numba  # they know what their system has
builtins.__import__ = windows_import
for module, names in (
    (os, ("fork", "getuid", "geteuid", "killpg", "setsid", "getpgid", "nice", "getloadavg", "sched_getaffinity",
          "pread", "pwrite", "uname", "statvfs", "mkfifo", "chown", "fchmod", "O_NONBLOCK", "O_CLOEXEC")),
    (signal, ("SIGHUP", "SIGKILL", "SIGALRM", "SIGUSR1", "SIGUSR2", "SIGQUIT", "SIGPIPE", "SIGCHLD", "setitimer")),
    (select, ("poll", "epoll", "POLLRDHUP", "POLLIN", "POLLHUP")),
):
    for name in names:
        if hasattr(module, name):
            delattr(module, name)
for name in sys.argv[1:]:
    try:
        importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name and error.name.startswith("gened"):
            raise
        print(name, error.name.partition(".")[0])
print("done")
"""
HAS_EXTRAS = {"torch", "pytorch_msssim", "transformers", "diffusers", "onnxruntime", "ncnn", "tensorboard"}
"""Packages that are optional, so a module that needs one may fail at its import."""


@pytest.mark.slow
def test_modules_without_gnuradio_load_where_posix_is_missing() -> None:
    """The simulation half loads on Windows: no module needs more than GNU Radio's parts need GNU Radio."""
    modules = [
        module
        for module, _ in FILES
        if part_of(module) not in ("gened.flowgraphs", "gened.gr_blocks") and not module.endswith("__main__")
    ]
    result = subprocess.run(
        [sys.executable, "-c", WITHOUT_GNURADIO, *modules], cwd="/", capture_output=True, text=True, timeout=280
    )
    assert result.returncode == 0, result.stderr
    *failed, last = result.stdout.splitlines()
    assert last == "done"
    needing = {name for name, package in (line.split() for line in failed) if package in NEEDS_GNURADIO}
    others = [line for line in failed if line.split()[1] not in NEEDS_GNURADIO | HAS_EXTRAS]
    assert others == []
    assert needing == {"gened.bench.road", "gened.fieldwork.level_bench"}
