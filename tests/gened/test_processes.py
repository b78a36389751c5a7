# SPDX-License-Identifier: GPL-3.0-or-later
"""Child processes: what they receive and send, how they end, and that none is left behind."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from waiting import wait_for

from gened.commands.exit_codes import exit_code
from gened.errors import CodecError, ConfigError, GenedError, LinkError, MissingPackageError
from gened.models.data.reading import ImageSizeError
from gened.processes import MAX_JSON, ChannelClosedError, ChildProcess, Failure, channel_pair, one_line

ROOT = Path(__file__).resolve().parents[2]
SUPPORT = ROOT / "tests" / "support"
LIMIT_S = 60.0


@pytest.fixture(autouse=True)
def functions_are_importable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", str(SUPPORT))


@pytest.fixture
def start() -> Iterator[Callable[..., ChildProcess]]:
    """Starts a function of `child_functions`; its process is gone at the end."""
    made: list[ChildProcess] = []

    def start(name: str, argument: object = None, **options: object) -> ChildProcess:
        made.append(ChildProcess(f"child_functions:{name}", argument, **options))  # type: ignore[arg-type]
        return made[-1]

    yield start
    for child in made:
        child.close()


def is_alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


# Messages


def test_argument_and_messages_of_any_length_arrive_in_order(start: Callable[..., ChildProcess]) -> None:
    child = start("echo", {"a": (1, b"\x00")})
    assert child.channel.receive() == {"a": (1, b"\x00")}
    for message in (b"", b"x" * 3_000_000, ["a", None]):
        child.channel.send(message)
        assert child.channel.receive() == message


def test_what_a_child_sends_after_its_end_was_requested_still_arrives(start: Callable[..., ChildProcess]) -> None:
    child = start("echo", 1, grace_s=LIMIT_S)
    child.channel.end_sending()
    assert [child.channel.receive(), child.channel.receive()] == [1, "over"]
    with pytest.raises(ChannelClosedError):
        child.channel.receive()
    assert child.wait(LIMIT_S) and child.exit_text() == "exit code 0"


def test_a_message_beyond_its_bound_is_refused_on_either_side(start: Callable[..., ChildProcess]) -> None:
    ours, _theirs = channel_pair()
    with pytest.raises(ValueError, match="too long"):
        ours.send_json({"text": "x" * MAX_JSON})
    child = start("talk", MAX_JSON + 1)
    with pytest.raises(OSError, match="bad message length"):
        child.channel.receive_json()


@pytest.mark.parametrize("content", [b"", b"[1]", b"nonsense", b"\xff", b'"text"'])
def test_what_is_no_json_object_is_an_error_that_costs_one_message(content: bytes) -> None:
    ours, theirs = channel_pair()
    theirs.send_bytes(content)
    theirs.send_json({"a": 1})
    with pytest.raises(ValueError):
        ours.receive_json()
    assert ours.receive_json() == {"a": 1}


def test_an_argument_that_cannot_be_pickled_starts_nothing() -> None:
    with pytest.raises(AttributeError):
        ChildProcess("child_functions:echo", lambda: None)


# Output


def test_prints_of_a_child_do_not_reach_stdout(tmp_path: Path) -> None:
    code = (
        "from gened.processes import ChildProcess\n"
        "child = ChildProcess('child_functions:chatter', environment={'OMP_NUM_THREADS': '3'}, folder='/')\n"
        "print(child.channel.receive_json())\n"
        "child.close(1e9)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=LIMIT_S, check=True, cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": f"{SUPPORT}{os.pathsep}{ROOT}"},
    )  # fmt: skip
    assert done.stdout == "{'cwd': '/', 'threads': '3'}\n"
    assert done.stderr == "from Python\nfrom C\n"


def test_a_log_keeps_what_a_child_prints_and_its_last_line_tells_of_the_end(
    start: Callable[..., ChildProcess], capfd: pytest.CaptureFixture[str]
) -> None:
    child = start("fail", "die", has_log=True)
    assert child.wait(LIMIT_S)
    assert child.exit_text() == "exit code 7: about to die"
    assert capfd.readouterr() == ("", "")


def test_a_folder_with_modules_of_our_names_changes_no_child(
    start: Callable[..., ChildProcess], tmp_path: Path
) -> None:
    (tmp_path / "gened").mkdir()
    (tmp_path / "gened" / "__init__.py").write_text("raise RuntimeError('another gened')")
    (tmp_path / "queue.py").write_text("raise RuntimeError('another queue')")
    assert start("echo", 1, folder=str(tmp_path)).channel.receive() == 1


# Errors


@pytest.mark.parametrize(
    ("kind", "error", "line"),
    [
        ("ours", CodecError, "no such codec"),
        ("theirs", LinkError, "KeyError: 'theirs'"),
        ("exit", LinkError, "SystemExit: 3"),
    ],
)
def test_an_exception_arrives_as_one_line_of_its_own_class(
    start: Callable[..., ChildProcess], kind: str, error: type[GenedError], line: str
) -> None:
    child = start("fail", kind, has_log=True)
    failure = Failure.from_message(child.channel.receive_json())
    assert failure is not None and failure.line == line
    raised = failure.error(LinkError)
    assert type(raised) is error and str(raised) == line
    assert child.wait(LIMIT_S) and child.exit_text() == "exit code 1"


def test_a_class_that_is_not_loaded_here_is_replaced_by_its_nearest_ancestor() -> None:
    failure = Failure.of(ImageSizeError("too small"))
    assert Failure.from_message(failure.to_message()) == failure
    assert type(failure.error(LinkError)) is ImageSizeError
    other = Failure("OddError", ("OddError", "ConfigError", "GenedError"), "odd")
    assert type(other.error(LinkError)) is ConfigError


def test_a_package_that_a_process_lacks_is_told_as_such() -> None:
    failure = Failure.of(ModuleNotFoundError("No module named 'gnuradio'"))
    error = failure.error(LinkError)
    assert type(error) is MissingPackageError and exit_code(error) == 11
    assert str(error).startswith("gnuradio is not installed; ")
    own = Failure.of(ModuleNotFoundError("No module named 'gened.no_such_part'"))  # a fault of this program
    assert type(own.error(LinkError)) is LinkError


@pytest.mark.parametrize("message", [{"failed": 1}, {"failed": "X", "ours": "GenedError", "text": None}])
def test_a_damaged_record_of_an_error_is_an_error_still(message: dict[str, object]) -> None:
    failure = Failure.from_message(message)
    assert failure is not None and type(failure.error(LinkError)) is LinkError


@pytest.mark.parametrize(
    ("error", "line"),
    [(CodecError(""), "CodecError"), (ValueError("a\n b"), "ValueError: a b"), (ConfigError("a  b"), "a b")],
)
def test_errors_as_one_line(error: Exception, line: str) -> None:
    assert one_line(error) == line


def test_a_function_that_is_not_there_is_an_error_of_the_child(start: Callable[..., ChildProcess]) -> None:
    failure = Failure.from_message(start("no_such_function", has_log=True).channel.receive_json())
    assert failure is not None and failure.kind == "AttributeError" and "no_such_function" in failure.text


# Ends


def test_an_end_has_its_time_and_then_comes_all_the_same(start: Callable[..., ChildProcess], tmp_path: Path) -> None:
    child = start("linger", str(tmp_path / "pid"), grace_s=0.5)
    wait_for((tmp_path / "pid").exists, "it never began")
    child.channel.end_sending()
    assert child.wait(LIMIT_S)
    assert (tmp_path / "pid.stopped").exists() and child.exit_text() == "exit code 1"


def test_close_kills_what_does_not_end_in_time(start: Callable[..., ChildProcess], tmp_path: Path) -> None:
    child = start("linger", str(tmp_path / "pid"), grace_s=LIMIT_S)
    wait_for((tmp_path / "pid").exists, "it never began")
    child.close(time.monotonic() + 0.1)
    assert child.has_ended() and child.exit_text().startswith("signal 9")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_requests_an_end_where_there_is_time_for_it(
    start: Callable[..., ChildProcess], tmp_path: Path, number: signal.Signals
) -> None:
    child = start("linger", str(tmp_path / "pid"), grace_s=LIMIT_S)
    wait_for((tmp_path / "pid").exists, "it never began")
    os.kill(child.pid, number)
    wait_for((tmp_path / "pid.stopped").exists, "it was not told")
    assert not child.has_ended()


@pytest.mark.parametrize(("grace_s", "is_told"), [(0.0, False), (1.0, True)])
def test_a_child_ends_with_a_parent_that_is_killed(tmp_path: Path, grace_s: float, is_told: bool) -> None:
    pid = child_of_a_killed_parent(tmp_path, f"'linger', grace_s={grace_s}")
    wait_for(lambda: not is_alive(pid), "it was left behind", 10)
    assert (tmp_path / "pid.stopped").exists() or not is_told


def test_a_child_that_outlives_its_parent_learns_of_its_end_and_ignores_signals(tmp_path: Path) -> None:
    pid = child_of_a_killed_parent(tmp_path, "'outlive', outlives_parent=True", (signal.SIGTERM, signal.SIGINT))
    wait_for((tmp_path / "pid.stopped").exists, "it was ended with its parent")
    wait_for(lambda: not is_alive(pid), "it never ended")


def child_of_a_killed_parent(folder: Path, options: str, signals: tuple[signal.Signals, ...] = ()) -> int:
    """Process id of a child whose parent was killed after it had begun and got these signals."""
    name, _, rest = options.partition(", ")
    code = (
        "import time\nfrom gened.processes import ChildProcess\n"
        f"child = ChildProcess('child_functions:' + {name}, {str(folder / 'pid')!r}, {rest})\n"
        "time.sleep(600)  # until it is killed\n"
    )
    environment = {**os.environ, "PYTHONPATH": f"{SUPPORT}{os.pathsep}{ROOT}"}
    with subprocess.Popen([sys.executable, "-c", code], env=environment) as parent:
        wait_for(lambda: (folder / "pid").exists() and bool((folder / "pid").read_text()), "it never began")
        pid = int((folder / "pid").read_text())
        for number in signals:
            os.kill(pid, number)
        parent.kill()
    return pid


def test_kill_ends_what_a_child_has_started(start: Callable[..., ChildProcess], tmp_path: Path) -> None:
    child = start("start_another", str(tmp_path / "pid"), grace_s=LIMIT_S)
    pid = int(child.channel.receive())
    child.kill()
    wait_for(lambda: not is_alive(pid), "left behind")


def test_it_is_started_by_gened_alone() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "gened.processes"],
        capture_output=True,
        text=True,
        timeout=LIMIT_S,
        check=False,
        cwd=ROOT,
    )
    assert done.returncode == 1 and done.stderr == "this process is started by gened itself\n"
