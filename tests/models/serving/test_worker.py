# SPDX-License-Identifier: GPL-3.0-or-later
"""The worker process: answers, refuses, dies and comes back."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from waiting import wait_until

from gened.errors import LinkError, OtherWeightsError
from gened.models.codecs.encode_options import EncodeOptions
from gened.models.serving.worker import JobResult, Worker, WorkerClosedError

ROOT = Path(__file__).resolve().parents[3]
FOLDER = ROOT / "tests" / "support"
SERVICE = "thumbnail_service:ThumbnailService"


@pytest.fixture(autouse=True)
def service_is_importable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", str(FOLDER))


@pytest.fixture
def worker() -> Iterator[Worker]:
    with Worker(SERVICE, queue_len=2) as made:
        yield made


def is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"


def test_answers_come_in_order_with_their_tags(worker: Worker) -> None:
    results: list[JobResult] = []
    assert worker.submit("sleep", results.append, tag="first", seconds=0.05)
    assert worker.submit("sleep", results.append, tag="second", seconds=0.0)
    assert worker.drain(60)
    assert [(result.tag, result.value, result.error) for result in results] == [
        ("first", 0.05, None),
        ("second", 0.0, None),
    ]
    assert results[0].elapsed_ms >= 50


def test_a_full_queue_refuses_the_newest_job_at_once_and_counts_it(worker: Worker, tmp_path: Path) -> None:
    results: list[JobResult] = []
    begun, released = tmp_path / "begun", tmp_path / "released"
    worker.submit("hold", results.append, tag=0, begun=str(begun), released=str(released))
    assert wait_until(begun.exists)  # the first job has left the queue for the child
    accepted = [worker.submit("sleep", results.append, tag=tag, seconds=0.0) for tag in (1, 2, 3)]
    assert accepted == [True, True, False] and results == []  # while the first job is in work: nothing was waited for
    assert worker.stats.n_refused == 1
    released.touch()
    assert worker.drain(60)
    assert [result.tag for result in results] == [0, 1, 2]


def test_an_exception_in_the_child_comes_back_as_one_line(worker: Worker) -> None:
    with pytest.raises(LinkError, match="this codec cannot encode"):
        worker.call("encode", codec="broken", image=None, options=EncodeOptions())
    with pytest.raises(LinkError, match=r"TypeError: .*unexpected keyword"):
        worker.call("sleep", hours=1)
    assert worker.call("sleep", seconds=0.0) == 0.0
    assert worker.stats.n_starts == 1


def test_the_code_of_an_error_crosses_with_its_text(worker: Worker) -> None:
    results: list[JobResult] = []
    worker.submit("decode", results.append, codec_id=1, received=None)
    worker.submit("encode", results.append, codec="broken", image=None, options=EncodeOptions())
    assert worker.drain(60)
    assert [(result.error, result.error_code) for result in results] == [
        ("no codec has the number 00000001", OtherWeightsError.code),
        ("this codec cannot encode", None),
    ]


@pytest.mark.parametrize("method", ["_private", "no_such_method"])
def test_only_public_methods_can_be_called(worker: Worker, method: str) -> None:
    with pytest.raises(LinkError, match="AttributeError"):
        worker.call(method)


def test_what_cannot_travel_is_an_error_and_not_a_hang(worker: Worker) -> None:
    with pytest.raises(LinkError, match="cannot be sent to the worker"):
        worker.call("sleep", seconds=lambda: None)
    with pytest.raises(LinkError, match="the answer cannot be sent"):
        worker.call("unsendable")
    assert worker.call("sleep", seconds=0.0) == 0.0


def test_a_child_that_dies_costs_one_job_and_the_next_one_starts_another(worker: Worker) -> None:
    with pytest.raises(LinkError, match=r"worker process died \(exit code 7\)"):
        worker.call("die")
    assert worker.call("sleep", seconds=0.0) == 0.0
    assert worker.stats.n_starts == 2


def test_a_child_that_is_killed_is_told_by_its_signal(worker: Worker) -> None:
    worker.call("sleep", seconds=0.0)
    pid = worker.pid
    assert pid is not None
    threading.Timer(0.2, os.kill, (pid, signal.SIGKILL)).start()
    with pytest.raises(LinkError, match="signal 9"):
        worker.call("sleep", seconds=30)


def test_a_job_that_runs_over_its_time_is_ended() -> None:
    with Worker(SERVICE) as worker:
        worker.call("sleep", seconds=0.0)
        patience_s, worker._timeout_s = worker._timeout_s, 2.0  # not for the start, slow on a busy machine
        with pytest.raises(LinkError, match="longer than 2 s"):
            worker.call("sleep", seconds=240)
        worker._timeout_s = patience_s
        assert worker.call("sleep", seconds=0.0) == 0.0


def test_closing_ends_the_child_and_answers_what_waited(tmp_path: Path) -> None:
    worker = Worker(SERVICE, queue_len=2)
    worker.call("sleep", seconds=0.0)
    pid = worker.pid
    assert pid is not None
    results: list[JobResult] = []
    begun, never = tmp_path / "begun", tmp_path / "never"
    worker.submit("hold", results.append, begun=str(begun), released=str(never))
    assert wait_until(begun.exists)
    worker.submit("sleep", results.append, seconds=0.0)
    begin = time.monotonic()
    worker.close()
    assert time.monotonic() - begin < 60  # closing does not wait for the job, which would take 240 s
    assert not is_alive(pid)
    assert wait_until(lambda: len(results) == 2)
    assert all(result.error is not None and result.error_code == WorkerClosedError.code for result in results)


def test_a_closed_worker_begins_anew_when_it_is_asked_again() -> None:
    worker = Worker(SERVICE)
    worker.call("sleep", seconds=0.0)
    worker.close()
    assert worker.call("sleep", seconds=0.0) == 0.0
    worker.close()


def test_threads_are_capped_and_the_child_does_not_write_to_stdout(tmp_path: Path) -> None:
    script = tmp_path / "chatter.py"
    script.write_text(
        "from gened.models.serving.worker import Worker\n"
        f"with Worker({SERVICE!r}) as worker:\n"
        "    print(worker.call('environment', name='OMP_NUM_THREADS'))\n"
        "    worker.call('say', text='chatter of a library')\n"
    )
    environment = {**os.environ, "PYTHONPATH": f"{FOLDER}{os.pathsep}{ROOT}"}
    done = subprocess.run(
        [sys.executable, script], capture_output=True, text=True, env=environment, timeout=240, check=True
    )
    assert done.stdout.split() == [str(max(1, (os.cpu_count() or 2) // 2))]
    assert "chatter of a library" in done.stderr


def test_a_service_that_cannot_be_made_says_so_with_every_job() -> None:
    with Worker("thumbnail_service:NoSuchClass") as worker:
        for _ in range(2):
            with pytest.raises(LinkError, match="NoSuchClass"):
                worker.call("sleep", seconds=0.0)


def test_an_error_in_a_callback_does_not_stop_the_others(worker: Worker) -> None:
    def fails(_: JobResult) -> None:
        raise ValueError("my own fault")

    worker.submit("sleep", fails, seconds=0.0)
    assert worker.call("sleep", seconds=0.0) == 0.0


@pytest.mark.parametrize("is_busy", [False, True])
def test_the_child_dies_with_its_parent_even_in_the_middle_of_a_job(is_busy: bool, tmp_path: Path) -> None:
    begun, never = tmp_path / "begun", tmp_path / "never"
    code = f"""
import time
from gened.models.serving.worker import Worker
worker = Worker({SERVICE!r})
worker.call("sleep", seconds=0.0)
print(worker.pid, flush=True)
if {is_busy}:
    worker.submit("hold", print, begun={str(begun)!r}, released={str(never)!r})
time.sleep(240)  # until it is killed
"""
    environment = {**os.environ, "PYTHONPATH": f"{FOLDER}{os.pathsep}{ROOT}"}
    parent = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True, env=environment)
    assert parent.stdout is not None
    pid = int(parent.stdout.readline())
    assert not is_busy or wait_until(begun.exists)
    parent.kill()
    parent.wait()
    parent.stdout.close()
    assert wait_until(lambda: not is_alive(pid))


def test_a_script_without_a_guard_is_not_run_twice(tmp_path: Path) -> None:
    script = tmp_path / "unguarded.py"
    script.write_text(
        "from gened.models.serving.worker import Worker\n"
        "print('once', flush=True)\n"
        f"worker = Worker({SERVICE!r})\n"
        "print(worker.call('sleep', seconds=0.0))\n"
        "worker.close()\n"
    )
    environment = {**os.environ, "PYTHONPATH": f"{FOLDER}{os.pathsep}{ROOT}"}
    done = subprocess.run(
        [sys.executable, script], capture_output=True, text=True, env=environment, timeout=240, check=True
    )
    assert done.stdout.split() == ["once", "0.0"]
