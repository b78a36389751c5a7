# SPDX-License-Identifier: GPL-3.0-or-later
"""The editing service and its client: over real sockets, with everything that can go wrong on the way."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import msgpack
import numpy as np
import pytest
import zmq
from failing_plugins import FailingEditor
from hypothesis import given
from hypothesis import strategies as st
from waiting import wait_until

from gened.errors import ConfigError, EditorError, LinkError
from gened.link.control import free_ports
from gened.models.data.images import to_float
from gened.models.editing.base import Edited, EditRequest, EditResult, EditTask
from gened.models.serving import editor_protocol
from gened.models.serving.editor_client import EditorClient
from gened.models.serving.editor_keys import make_keys
from gened.models.serving.editor_server import EditorServer


def picture(height: int = 64, width: int = 80, value: float = 0.5) -> Any:
    return np.full((height, width, 3), round(value * 255), np.uint8)


def address() -> str:
    return f"tcp://127.0.0.1:{free_ports(1)[0]}"


class Inverter:
    """An editor that turns a picture into its negative, and does what its text says."""

    name = version = "inverter"
    max_batch = 4

    def __init__(self) -> None:
        self.batches: list[int] = []
        self.has_begun = threading.Event()
        self.gate = threading.Event()
        self.gate.set()

    def edit(self, request: EditRequest) -> Edited:
        return self.edit_batch([request])[0]

    def edit_batch(self, requests: Sequence[EditRequest]) -> list[Edited]:
        self.has_begun.set()
        self.gate.wait(20)
        self.batches.append(len(requests))
        if any(request.text == "raise" for request in requests):
            raise ZeroDivisionError("a library's own error")
        return [Edited(1 - request.x_hat, 0.01, self.name) for request in requests]


@contextlib.contextmanager
def serving(editor: Any = None, at: str | None = None, **options: Any) -> Iterator[tuple[str, Any]]:
    """A server in a thread; its address and its editor."""
    at, editor = at or address(), editor or Inverter()
    server, stop = EditorServer(lambda _: editor, "inverter", address=at, **options), threading.Event()
    ready = threading.Event()
    thread = threading.Thread(target=server.serve, args=(stop, lambda _: ready.set()))
    thread.start()
    try:
        assert ready.wait(60)
        yield at, editor
    finally:
        stop.set()
        if isinstance(editor, Inverter):
            editor.gate.set()
        thread.join(20)
        assert not thread.is_alive()


def collected(client: EditorClient, requests: Sequence[EditTask]) -> tuple[list[EditResult], Callable[[], bool]]:
    """The answers as they come, and whether all have."""
    answers: list[EditResult] = []
    for request in requests:
        client.submit(request, answers.append)
    return answers, lambda: len(answers) == len(requests)


def waiting(client: EditorClient) -> int:
    """Pictures that wait in the server."""
    return int(client.figures()["waiting"])


@pytest.mark.parametrize(
    ("fault", "reason"),
    [
        ("raises", "FaultError: the plug-in's own fault"),
        ("allocates", "MemoryError"),
        ("no record", "NoneType"),
        ("too few", "0 results for 1 pictures"),
        ("half the size", "[3, 32, 40] float32, not [3, 64, 80] float32"),
        ("bytes", "uint8"),
        ("not finite", "1 values that are not finite"),
        ("a list", "list"),
    ],
)
def test_an_editor_that_breaks_its_contract_is_named_and_the_service_goes_on(fault: str, reason: str) -> None:
    editor = FailingEditor(fault=fault)
    with serving(editor) as (at, _), EditorClient(at) as client:
        for _ in range(2):
            result = client.edit(EditTask(picture()))
            assert result.failed and not result.edited and reason in result.reason
            assert np.array_equal(result.pixels, picture())
        editor.fault = ""
        result = client.edit(EditTask(picture()))
        assert result.edited and not result.failed


def test_a_picture_comes_back_edited_with_all_that_was_said_of_it() -> None:
    seen: list[EditRequest] = []

    class Recorder(Inverter):
        def edit_batch(self, requests: Sequence[EditRequest]) -> list[Edited]:
            seen.extend(requests)
            return super().edit_batch(requests)

    mask = np.zeros((64, 80), np.uint8)
    mask[:10], mask[10] = 255, 100
    request = EditTask(picture(), "grün; ✓", mask, 7.25, 0.125, 0.5, 99)
    with serving(Recorder()) as (at, _), EditorClient(at) as client:
        edited = client.edit(request)
    assert edited.edited and edited.backend == "inverter" and edited.reason == ""
    np.testing.assert_array_equal(edited.pixels, 255 - request.pixels)
    (there,) = seen
    assert (there.text, there.snr_est_db, there.noise_var_mean, there.strength, there.seed) == (
        "grün; ✓", 7.25, 0.125, 0.5, 99,
    )  # fmt: skip
    assert there.mask is not None
    np.testing.assert_array_equal(there.mask, mask.astype(np.float32) / np.float32(255))
    np.testing.assert_array_equal(there.x_hat, to_float(request.pixels))


def test_what_waits_is_taken_together_where_it_has_one_size() -> None:
    editor = Inverter()
    editor.gate.clear()
    with serving(editor) as (at, _), EditorClient(at, queue_len=20) as client:
        sizes = [(64, 64)] + [(64, 80)] * 3 + [(96, 64)] * 2
        answers, all_came = collected(client, [EditTask(picture(*size)) for size in sizes])
        assert wait_until(lambda: waiting(client) == 5)  # and one is in work
        editor.gate.set()
        assert wait_until(all_came)
    assert all(edited.edited for edited in answers)
    assert sum(editor.batches) == 6 and max(editor.batches) == 3


def test_a_full_queue_refuses_at_once() -> None:
    editor = Inverter()
    editor.gate.clear()
    with serving(editor, queue_len=2) as (at, _), EditorClient(at, queue_len=20) as client:
        first, first_came = collected(client, [EditTask(picture(64, 64))])
        assert editor.has_begun.wait(20)  # one is in work, so that of five more two wait
        answers, all_came = collected(client, [EditTask(picture(64, 64 + 16 * n)) for n in range(1, 6)])
        assert wait_until(lambda: len(answers) >= 3)
        assert all("busy" in edited.reason and not edited.edited for edited in answers)
        editor.gate.set()
        assert wait_until(all_came) and wait_until(first_came)
        figures = client.figures()
    assert figures["refused"] == 3 and first[0].edited and figures["edited"] == 3 and figures["waiting"] == 0
    assert figures["latency_ms"]["p50"] > 0 and figures["peak_memory_mib"] > 1


def test_a_client_does_not_pile_up_more_than_its_queue_holds() -> None:
    editor = Inverter()
    editor.gate.clear()
    with serving(editor) as (at, _), EditorClient(at, queue_len=2) as client:
        answers, all_came = collected(client, [EditTask(picture())] * 5)
        assert wait_until(lambda: len(answers) == 3)
        assert {edited.reason for edited in answers} == {"the editor is busy with 2 earlier pictures"}
        editor.gate.set()
        assert wait_until(all_came)
    assert sum(edited.edited for edited in answers) == 2


def test_an_error_of_the_editor_costs_one_picture() -> None:
    with serving() as (at, _), EditorClient(at) as client:
        failed = client.edit(EditTask(picture(), "raise"))
        edited = client.edit(EditTask(picture()))
    assert not failed.edited and "ZeroDivisionError" in failed.reason
    np.testing.assert_array_equal(failed.pixels, picture())
    assert edited.edited


def test_no_service_is_noticed_soon() -> None:
    with EditorClient(address(), patience_s=0.3) as client:
        begun = time.monotonic()
        first, second = client.edit(EditTask(picture())), client.edit(EditTask(picture()))
        took_s = time.monotonic() - begun
        with pytest.raises(EditorError, match="no editor answers"):
            client.figures(0.5)
    assert not first.edited and not second.edited and "no editor answers" in first.reason
    assert took_s < 10.0


def test_a_slow_editor_is_not_waited_for_and_its_late_answer_harms_nobody() -> None:
    editor = Inverter()
    editor.gate.clear()
    with serving(editor) as (at, _), EditorClient(at, timeout_s=0.5) as client:
        late = client.edit(EditTask(picture(value=0.2)))
        assert not late.edited and "longer than 0.5 s" in late.reason
        editor.gate.set()
        assert wait_until(lambda: client.figures()["edited"] == 1)  # the late answer is on its way
        assert wait_until(lambda: client.edit(EditTask(picture(value=0.8))).edited)


def test_a_service_that_ends_refuses_what_waits_and_one_that_comes_back_is_used_again() -> None:
    editor, at = Inverter(), address()
    with EditorClient(at, patience_s=10) as client:
        with serving(editor, at):
            assert client.edit(EditTask(picture())).edited
            editor.gate.clear()
            answers, all_came = collected(client, [EditTask(picture(64, 64 + 16 * n)) for n in range(3)])
            assert wait_until(lambda: waiting(client) == 2)  # and one is in work
        assert wait_until(all_came)
        assert [edited.edited for edited in answers].count(True) <= 1  # the one that was in work
        assert any("ended" in edited.reason or "gone" in edited.reason for edited in answers)
        with serving(Inverter(), at):
            assert client.wait_ready(10)
            assert wait_until(lambda: client.edit(EditTask(picture())).edited)


def test_a_process_that_is_killed_costs_what_it_had() -> None:
    """SIGKILL while a picture is in work: the client says so within a second or two, not after its time limit."""
    at = address()
    code = (
        "import threading, time\n"
        "from gened.models.editing.none import NoEditor\n"
        "from gened.models.serving.editor_server import EditorServer\n"
        "class Sleeper(NoEditor):\n"
        "    def edit_batch(self, requests):\n"
        "        print('in work', flush=True)\n"
        "        time.sleep(60)  # until the process is killed\n"
        f"EditorServer(lambda d: Sleeper(), 'sleeper', address='{at}').serve(threading.Event())\n"
    )
    command = [sys.executable, "-c", code]
    with (
        subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process,
        EditorClient(at, patience_s=30) as client,
    ):
        assert process.stdout is not None
        assert client.wait_ready(30)
        answers, all_came = collected(client, [EditTask(picture())] * 2)
        assert process.stdout.readline() == "in work\n"
        begun = time.monotonic()
        os.kill(process.pid, signal.SIGKILL)
        assert wait_until(all_came)
        assert time.monotonic() - begun < 10
    assert all(not edited.edited and "gone" in edited.reason for edited in answers)


def test_a_closed_client_answers_what_was_open() -> None:
    editor = Inverter()
    editor.gate.clear()
    with serving(editor) as (at, _):
        client = EditorClient(at)
        answers, all_came = collected(client, [EditTask(picture())] * 2)
        client.close()
        assert wait_until(all_came)
        assert client.edit(EditTask(picture())).reason == "the connection to the editor was closed"
    assert all("closed" in edited.reason for edited in answers)


# Keys


def test_with_keys_only_those_who_have_them_are_served(tmp_path: Path) -> None:
    make_keys(tmp_path / "keys")
    make_keys(tmp_path / "others")
    with serving(keys=tmp_path / "keys") as (at, _):
        with EditorClient(at, keys=tmp_path / "keys") as client:
            assert client.edit(EditTask(picture())).edited
        with EditorClient(at, patience_s=1.0) as bare:
            assert not bare.edit(EditTask(picture())).edited
        with EditorClient(at, keys=tmp_path / "others", patience_s=1.0) as stranger:
            assert not stranger.edit(EditTask(picture())).edited


def test_keys_are_made_once_and_secret_ones_are_ones_own(tmp_path: Path) -> None:
    make_keys(tmp_path)
    make_keys(tmp_path, "second")
    secrets = sorted(path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*_secret"))
    assert secrets == ["client/client.key_secret", "second/client.key_secret", "server/server.key_secret"]
    assert all(os.stat(tmp_path / name).st_mode & 0o077 == 0 for name in secrets)
    assert sorted(path.name for path in (tmp_path / "server" / "clients").iterdir()) == ["client.key", "second.key"]
    with pytest.raises(ConfigError, match="not overwritten"):
        make_keys(tmp_path)
    with pytest.raises(ConfigError, match="no name"):
        make_keys(tmp_path, "../evil")


def test_other_machines_are_let_in_with_keys_alone(tmp_path: Path) -> None:
    for at in ("tcp://0.0.0.0:5560", "tcp://192.0.2.1:5560", "tcp://*:5560"):
        with pytest.raises(ConfigError, match="--keys"):
            EditorServer(lambda _: Inverter(), "inverter", address=at)
    with pytest.raises(ConfigError, match="gened editor keys"):
        EditorServer(lambda _: Inverter(), "inverter", address="tcp://0.0.0.0:5560", keys=tmp_path)
    with pytest.raises(ConfigError):
        EditorClient(address(), keys=tmp_path)


def test_an_address_in_use_and_a_backend_that_cannot_be_made_are_told() -> None:
    with serving() as (at, _), pytest.raises(LinkError, match="cannot listen"):
        EditorServer(lambda _: Inverter(), "inverter", address=at).serve(threading.Event())

    def broken(_: str) -> Any:
        raise RuntimeError("no such model")

    with pytest.raises(EditorError, match="no such model"):
        EditorServer(broken, "broken", address=address()).serve(threading.Event())


# Hostile messages

GOOD = editor_protocol.pack_request(5, EditTask(picture(), mask=np.full((64, 80), 255, np.uint8)))


def changed(**facts: Any) -> list[bytes]:
    return [msgpack.packb({**msgpack.unpackb(GOOD[0]), **facts}), *GOOD[1:]]


@pytest.mark.parametrize(
    "frames",
    [
        [], [b""], [b"\xff" * 10], [b"\x81" * 5000], [msgpack.packb([1, 2])], [msgpack.packb({"v": 1})],
        changed(v=2), changed(op="own"), changed(op=3), changed(id=-1), changed(id="x"), changed(height=10**9),
        changed(height=True), changed(width=81), changed(width=0), changed(text=None), changed(text="x" * 5000),
        changed(snr_db="loud"), changed(snr_db=float("nan")), changed(noise_var=-1.0), changed(strength=2.0),
        changed(strength=None), changed(seed=-1), changed(seed=1.5), changed(has_mask=False), changed(has_mask=1),
        GOOD[:1], GOOD[:2], [*GOOD, b"more"], [GOOD[0], GOOD[1][:-1], GOOD[2]], [GOOD[0], GOOD[1], GOOD[2][:-1]],
        [b"\xc1" + GOOD[0], *GOOD[1:]], [b"x" * 70000],
    ],
)  # fmt: skip
def test_a_message_that_is_wrong_is_refused(frames: list[bytes]) -> None:
    with pytest.raises(editor_protocol.MessageError):
        editor_protocol.unpack_ask(frames)


@given(st.lists(st.binary(max_size=300), max_size=4))
def test_random_bytes_raise_nothing_else(frames: list[bytes]) -> None:
    for unpack in (editor_protocol.unpack_ask, editor_protocol.unpack_answer):
        with contextlib.suppress(editor_protocol.MessageError):
            unpack(frames)


@given(st.recursive(st.none() | st.booleans() | st.integers(-(2**40), 2**40) | st.floats() | st.text(max_size=5)
                    | st.binary(max_size=5), lambda inner: st.lists(inner, max_size=3), max_leaves=4),
       st.sampled_from(sorted(msgpack.unpackb(GOOD[0]))))  # fmt: skip
def test_a_header_with_any_value_in_any_place_raises_nothing_else(value: Any, key: str) -> None:
    with contextlib.suppress(editor_protocol.MessageError):
        editor_protocol.unpack_ask(changed(**{key: value}))


def test_a_flood_of_rubbish_does_not_stop_the_service() -> None:
    with serving() as (at, _), EditorClient(at) as client, zmq.Context() as context:
        assert client.wait_ready(10)
        with context.socket(zmq.DEALER) as hostile:
            hostile.linger = 0
            hostile.connect(at)
            for n in range(300):
                hostile.send_multipart([os.urandom(n % 50), *([os.urandom(100)] * (n % 5))])
            hostile.send_multipart(changed(height=63))
            assert hostile.poll(10_000)  # whose number could be read is told
            assert editor_protocol.unpack_answer(hostile.recv_multipart()).op == "refused"
        assert client.edit(EditTask(picture())).edited
        assert client.figures()["bad"] >= 300


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (lambda _: [b"rubbish"], "malformed"),
        (lambda n: editor_protocol.pack_edited(n, EditResult(picture(16, 16), 0.1, "x")), "16x16"),
        (lambda n: editor_protocol.pack_edited(n, EditTask(picture()).unedited("too dark", "x")), "too dark"),
        (lambda n: editor_protocol.pack_refused(n, "no room"), "no room"),
        (lambda n: editor_protocol.pack_edited(n + 1, EditResult(picture(), 0.1, "x")), "longer than"),
        (lambda n: [editor_protocol.pack_edited(n, EditResult(picture(), 0.1, "x"))[0], b"short"], "malformed"),
    ],
    ids=["rubbish", "another size", "not edited", "refused", "another number", "cut short"],
)
def test_a_service_that_answers_rubbish_costs_nothing_but_the_edit(
    answer: Callable[[int], list[bytes]], reason: str
) -> None:
    at, stop = address(), threading.Event()

    def impostor() -> None:
        with zmq.Context() as context, context.socket(zmq.ROUTER) as socket:
            socket.linger = 0
            socket.bind(at)
            while not stop.is_set():
                if socket.poll(50):
                    client, *frames = socket.recv_multipart()
                    ask = editor_protocol.unpack_ask(frames)
                    pong = editor_protocol.pack_pong(ask.number, "impostor", "cpu")
                    socket.send_multipart([client, *(pong if ask.op == "ping" else answer(ask.number))])

    thread = threading.Thread(target=impostor)
    thread.start()
    try:
        with EditorClient(at, timeout_s=2.0, patience_s=10) as client:
            edited = client.edit(EditTask(picture()))
    finally:
        stop.set()
        thread.join()
    assert not edited.edited and reason in edited.reason
    np.testing.assert_array_equal(edited.pixels, picture())


def test_answers_travel_whole() -> None:
    edited = EditResult(picture(16, 32, 0.25), 1.5, "embedded")
    answer = editor_protocol.unpack_answer(editor_protocol.pack_edited(7, edited))
    assert answer.result is not None and (answer.op, answer.number) == ("edited", 7)
    np.testing.assert_array_equal(answer.result.pixels, edited.pixels)
    figures = editor_protocol.unpack_answer(editor_protocol.pack_figures(8, {"waiting": 3}))
    assert figures.facts == {"waiting": 3}


@pytest.mark.parametrize(
    "wrong",
    [
        {"x_hat": np.zeros((3, 8, 64), np.float32)}, {"x_hat": np.zeros((64, 64, 3), np.float32)},
        {"mask": np.zeros((64, 64), np.float32)}, {"strength": 1.1}, {"strength": float("nan")}, {"seed": -1},
        {"seed": 2**31}, {"snr_est_db": 1000.0}, {"snr_est_db": float("nan")}, {"noise_var_mean": float("inf")},
        {"text": "x" * 5000},
    ],
)  # fmt: skip
def test_a_request_that_no_editor_could_serve_is_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(EditorError):
        EditRequest(**{"x_hat": to_float(picture()), **wrong})


@pytest.mark.parametrize(
    "wrong",
    [
        {"pixels": np.zeros((8, 64, 3), np.uint8)}, {"pixels": np.zeros((3, 64, 64), np.uint8)},
        {"mask": np.zeros((64, 64), np.uint8)}, {"strength": 1.1}, {"seed": -1}, {"text": "x" * 5000},
    ],
)  # fmt: skip
def test_a_task_that_no_editor_could_do_is_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(EditorError):
        EditTask(**{"pixels": picture(), **wrong})
