# SPDX-License-Identifier: GPL-3.0-or-later
"""The commands as a shell sees them: help, exit codes, and one line for each error."""

from __future__ import annotations

import inspect
import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import fields
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
import typer
from PIL import Image
from waiting import wait_for

import gened
from gened import errors
from gened.cli import COMMANDS as COMMAND_TABLE
from gened.cli import app, main
from gened.commands.exit_codes import EXIT_CODES, exit_code
from gened.commands.signals import SIGNALS
from gened.gr_blocks.phy.channel.config import IMPAIRMENTS, KINDS, ChannelConfig, full_name
from gened.link import control, link_errors
from gened.link.control import free_ports
from gened.models.data import reading

COMMANDS = (
    "loopback", "transmit", "air", "receive", "editor", "evaluate", "plot", "train", "data", "virtual-pluto",
    "companion", "check",
)  # fmt: skip


def run(*arguments: str, timeout_s: float = 240.0, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "gened", *arguments],
        capture_output=True,
        text=True,
        timeout=timeout_s,
        env={**os.environ, "COLUMNS": "200", **environment},
    )


class Here(NamedTuple):
    """What a command did that ran in this process."""

    returncode: int
    stdout: str
    stderr: str


def assert_one_line(done: subprocess.CompletedProcess[str] | Here, code: int, *parts: str) -> None:
    assert done.returncode == code, done.stderr
    lines = [line for line in done.stderr.splitlines() if line.strip()]
    assert len(lines) == 1 and lines[0].startswith("gened: "), done.stderr
    for part in parts:
        assert part in lines[0]


Runner = Callable[..., Here]


@pytest.fixture
def run_here(capsys: pytest.CaptureFixture[str]) -> Iterator[Runner]:
    """As `run`, without the time that a new interpreter takes; signal handlers are put back afterwards."""
    before = {number: signal.getsignal(number) for number in SIGNALS}

    def begin(*arguments: str) -> Here:
        code = main(arguments)
        return Here(code, *capsys.readouterr())

    yield begin
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.fixture
def photo(tmp_path: Path) -> Path:
    path = tmp_path / "photo.png"
    Image.fromarray(np.random.default_rng(1).integers(0, 256, (64, 80, 3)).astype(np.uint8)).save(path)
    return path


def test_help_lists_every_command_and_every_exit_code() -> None:
    done = run("--help")
    assert done.returncode == 0
    text = " ".join(done.stdout.split())
    assert all(command in text for command in COMMANDS)
    for code in EXIT_CODES:
        assert f"{code.number} {code.meaning}" in text


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_help(run_here: Runner, command: str) -> None:
    done = run_here(command, "--help")
    assert done.returncode == 0 and f"gened {command}" in done.stdout and "Exit codes" in done.stdout


def test_help_loads_no_heavy_package() -> None:
    """What makes --help quick on any machine; the time itself depends on what else the machine does."""
    code = (
        "import sys, gened.cli; "
        "print(*sorted({'numpy', 'torch', 'gnuradio', 'scipy', 'matplotlib', 'zmq', 'pydantic'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=240, check=True)
    assert done.stdout.strip() == ""


def test_version() -> None:
    done = run("--version")
    assert (done.returncode, done.stdout) == (0, f"gened {gened.__version__}\n")


def test_every_error_class_of_the_table_exists_and_has_its_number() -> None:
    known = {name: getattr(module, name) for module in (errors, reading, link_errors, control) for name in dir(module)}
    known["ModuleNotFoundError"] = ModuleNotFoundError
    for code in EXIT_CODES:
        for name in code.errors:
            assert exit_code(known[name]("text")) == code.number
    numbers = [code.number for code in EXIT_CODES]
    assert len(set(numbers)) == len(numbers)


def test_an_error_without_a_number_takes_that_of_its_ancestor() -> None:
    class LateError(errors.LinkError):
        pass

    assert exit_code(LateError("x")) == exit_code(errors.LinkError("x"))
    assert exit_code(ValueError("x")) == 1


def test_help_names_the_channels_and_the_impairments_that_exist(
    run_here: Runner, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "250")
    told = " ".join(run_here("loopback", "--help").stdout.replace("│", " ").split())
    assert f"One of {', '.join(KINDS)}." in told
    assert f"Names are {', '.join(IMPAIRMENTS)}." in told
    known = {one.name for one in fields(ChannelConfig)}
    assert known - set(IMPAIRMENTS) == {
        "kind", "snr_db", "freq_offset_hz", "sfo_ppm", "drop", "erasure", "seed"
    }  # fmt: skip


def test_the_only_rician_channel_goes_by_its_short_name_too(run_here: Runner, photo: Path) -> None:
    assert full_name("rician") == "rician-block" and full_name("awgn") == "awgn"
    done = run_here("loopback", str(photo), "--channel", "rician", "--codec", "softcast", "--impair", "clip_db=x")
    assert_one_line(done, 2, "'clip_db=x'")  # so the channel was accepted
    done = run_here("loopback", str(photo), "--channel", "ricean", "--codec", "softcast")
    assert_one_line(done, 2, "'ricean'")


def test_the_list_of_commands_has_the_first_paragraph_of_each_help() -> None:
    group = typer.main.get_group(app)
    for entry in COMMAND_TABLE:
        told = " ".join(inspect.cleandoc(group.commands[entry.name].help).split("\n\n")[0].split())
        assert entry.summary == told


def test_help_imports_no_command() -> None:
    code = (
        "import sys; from gened.cli import main; main(['--help']); "
        "print(*(name for name in sys.modules if name.startswith('gened.commands.')), file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=240, check=True)
    assert sorted(done.stderr.split()) == ["gened.commands.exit_codes", "gened.commands.signals"]


@pytest.mark.parametrize("command", ["loopback", "transmit", "air", "receive", "calibrate"])
def test_the_help_of_a_command_loads_no_heavy_package(command: str) -> None:
    code = (
        f"import sys; from gened.cli import main; main(['{command}', '--help']); "
        "print(*({'numpy', 'torch', 'gnuradio', 'scipy', 'matplotlib', 'zmq'} & set(sys.modules)), file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=240, check=True)
    assert done.stderr.strip() == ""


@pytest.mark.parametrize("command", ["loopback", "transmit"])
def test_files_that_cannot_be_sent_have_an_exit_code_each(run_here: Runner, command: str, tmp_path: Path) -> None:
    (tmp_path / "text.jpg").write_text("this is no picture")
    Image.new("RGB", (20, 20)).save(tmp_path / "small.png")
    out = ("--out", str(tmp_path / "out"), "--codec", "softcast")
    assert_one_line(run_here(command, str(tmp_path / "absent.png"), *out), 3, "no such file", "absent.png")
    assert_one_line(run_here(command, str(tmp_path / "text.jpg"), *out), 4, "text.jpg", "not a picture")
    assert_one_line(run_here(command, str(tmp_path / "small.png"), *out), 5, "20x20", "64x64")


def test_importance_that_does_not_fit_the_photograph_is_told(run_here: Runner, photo: Path, tmp_path: Path) -> None:
    send = ("transmit", str(photo), "--codec", "softcast", "--quiet")
    Image.new("L", (80, 80), 255).save(tmp_path / "square.png")
    assert_one_line(run_here(*send, "--mask", str(tmp_path / "square.png")), 2, "square.png is 80x80", "80x64")
    assert_one_line(run_here(*send, "--mask", str(tmp_path / "absent.png")), 3, "absent.png")
    assert_one_line(run_here(*send, "--mask-box", "0,0,80,65"), 2, "0,0,80,65", "which is 80x64")
    for text in ("1,2,3", "a,b,c,d", "0,0,0,5", "-1,0,5,5"):
        assert_one_line(run_here(*send, "--mask-box", text), 2, text, "WIDTH")
    assert_one_line(run_here(*send, "--focus", "0"), 2, "focus of 0")
    assert_one_line(run_here(*send, "--refine", "501"), 2, "--refine", "500")


def test_wrong_values_say_what_is_possible(run_here: Runner, photo: Path) -> None:
    send = ("loopback", str(photo))
    assert_one_line(run_here(*send, "--codec", "nonsense"), 6, "unknown codec 'nonsense'", "softcast")
    assert_one_line(run_here(*send, "--codec", "/no/such/folder"), 6, "/no/such/folder", "config.json")
    assert_one_line(run_here(*send, "--channel", "wire", "--codec", "softcast"), 2, "'wire'", *KINDS)
    assert_one_line(run_here(*send, "--rate", "2/1"), 2, "--rate", "cannot be sent")
    assert_one_line(run_here(*send, "--impair", "rust=1", "--codec", "softcast"), 2, "'rust'", "linewidth_hz")
    assert_one_line(run_here(*send, "--impair", "bits=many", "--codec", "softcast"), 2, "linewidth_hz=100")
    assert_one_line(run_here(*send, "--snr", "nan", "--codec", "softcast"), 2, "snr_db")
    assert_one_line(run_here(*send, "--drop", "1.5", "--codec", "softcast"), 2, "drop")
    assert_one_line(run_here(*send, "--caption-mode", "morse", "--codec", "softcast"), 2, "'morse'", "qpsk-1/2")
    incompressible = np.random.default_rng(2).bytes(3000).hex()
    assert_one_line(run_here(*send, "--caption", incompressible, "--codec", "softcast"), 2, "2047", "shorten")
    assert_one_line(run_here("nonsense"), 2, "nonsense", "--help")
    assert_one_line(run_here("evaluate"), 2, "--data")
    assert_one_line(run_here("evaluate", "--data", "/no/such", "--snr", "high"), 2, "'high'", "1,4,7,10")
    assert_one_line(run_here("train", "--config", "no-such-file"), 2, "deepjscc")


def test_an_address_that_is_none_says_how_to_write_one(run_here: Runner) -> None:
    assert_one_line(run_here("air", "--tx", "over there"), 2, "tcp://127.0.0.1:5550")


def test_evaluate_prints_json_and_nothing_else_on_stdout(tmp_path: Path, photo: Path) -> None:
    folder = tmp_path / "pictures"
    folder.mkdir()
    photo.rename(folder / "a.png")
    out = tmp_path / "results" / "table.json"
    done = run(
        "evaluate",
        "--data",
        str(folder),
        "--codec",
        "softcast",
        "--snr",
        "1,10",
        "--rate",
        "1/12",
        "--over",
        "loopback",
        "--json",
        "--out",
        str(out),
    )
    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout)
    assert [row["snr_db"] for row in result["rows"]] == [1.0, 10.0]
    assert {row["lost_fraction"] for row in result["rows"]} == {0.0} and {row["rate"] for row in result["rows"]} == {
        "1/12"
    }
    assert result["rows"][1]["psnr_db"] > result["rows"][0]["psnr_db"]
    assert {"command", "commit", "seed", "versions", "machine"} <= set(result["meta"])
    assert json.loads(out.read_text()) == result


def test_check_tries_the_waveform_and_reports_as_json() -> None:
    done = run("check", "--json", "--snr", "4")
    items = {item["name"]: item for item in json.loads(done.stdout)["items"]}
    assert items["a burst at 4 dB"]["is_ok"] and items["GNU Radio"]["is_ok"]
    assert done.returncode == (0 if all(item["is_ok"] for item in items.values() if item["is_needed"]) else 1)


def test_companion_without_a_screen_says_so() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "gened", "companion"],
        capture_output=True,
        text=True,
        timeout=240,
        env={key: value for key, value in os.environ.items() if key not in ("DISPLAY", "WAYLAND_DISPLAY")},
    )
    assert_one_line(done, 10, "DISPLAY")


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_ends_air_with_the_code_that_shells_expect(number: int, code: int) -> None:
    ports = [f"tcp://127.0.0.1:{port}" for port in free_ports(4)]
    addresses = [
        text for pair in zip(("--tx", "--tx-control", "--rx", "--rx-control"), ports, strict=True) for text in pair
    ]
    process = subprocess.Popen([sys.executable, "-m", "gened", "air", *addresses], stderr=subprocess.PIPE, text=True)
    try:
        wait_for_listener(ports[3])
        process.send_signal(number)
        _, told = process.communicate(timeout=60)
    finally:
        process.kill()
    assert process.returncode == code
    assert "Traceback" not in told and "interrupted" in told


def wait_for_listener(address: str, limit_s: float = 60.0) -> None:
    import socket

    def is_open() -> bool:
        try:
            socket.create_connection(("127.0.0.1", int(address.rpartition(":")[2])), 1.0).close()
        except OSError:
            return False
        return True

    wait_for(is_open, f"no program listens at {address}", limit_s)


def test_air_says_which_port_is_in_use() -> None:
    import socket

    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        address = f"tcp://127.0.0.1:{taken.getsockname()[1]}"
        assert_one_line(run("air", "--rx", address, "--quiet", "--rx-control", address), 7, address, "in use")
