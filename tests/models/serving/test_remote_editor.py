# SPDX-License-Identifier: GPL-3.0-or-later
"""An editing service as an editor of an evaluation: what reaches it, what comes back, and what ends the evaluation."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from gened.errors import EditorError
from gened.link.control import free_ports
from gened.models.editing.base import Edited, EditRequest, unedited
from gened.models.editing.none import NoEditor
from gened.models.serving import remote_editor
from gened.models.serving.editor_server import EditorServer
from gened.models.serving.remote_editor import RemoteEditor, editor_at


class Inverter:
    """Turns a picture into its negative; with the text "no", it declines."""

    name, version, max_batch = "inverter", "1", 1

    def __init__(self) -> None:
        self.seen: list[EditRequest] = []

    def edit(self, request: EditRequest) -> Edited:
        self.seen.append(request)
        if request.text == "no":
            return unedited(request, "I would rather not", self.name)
        return Edited(1 - request.x_hat, 0.25, self.name)

    def edit_batch(self, requests: Sequence[EditRequest]) -> list[Edited]:
        return [self.edit(request) for request in requests]


@contextlib.contextmanager
def serving(editor: Any) -> Iterator[str]:
    address = f"tcp://127.0.0.1:{free_ports(1)[0]}"
    stop, ready = threading.Event(), threading.Event()
    server = EditorServer(lambda _: editor, editor.name, address=address)
    thread = threading.Thread(target=server.serve, args=(stop, lambda _: ready.set()))
    thread.start()
    try:
        assert ready.wait(60)
        yield address
    finally:
        stop.set()
        thread.join(20)


def test_a_request_reaches_the_service_whole_and_its_answer_comes_back() -> None:
    inverter = Inverter()
    x = np.random.default_rng(0).integers(0, 256, (3, 64, 80)).astype(np.float32) / np.float32(255)
    mask = np.zeros((64, 80), np.float32)
    mask[:10], mask[10] = 1, 0.4
    with serving(inverter) as address:
        editor = editor_at(address)
        assert isinstance(editor, RemoteEditor) and editor.name == "inverter" and address in editor.version
        found = editor.edit(EditRequest(x, "a cat", mask, 7.25, 0.125, 0.5, 99))
        declined = editor.edit_batch([EditRequest(x, "no")])[0]
        editor.close()
    np.testing.assert_allclose(found.x, 1 - x, atol=1e-6)
    assert (found.seconds, found.backend, found.edited) == (0.25, "inverter", True)
    assert (declined.edited, declined.reason) == (False, "I would rather not")
    first = inverter.seen[0]
    assert (first.text, first.snr_est_db, first.noise_var_mean, first.strength, first.seed) == (
        "a cat", 7.25, 0.125, 0.5, 99,
    )  # fmt: skip
    np.testing.assert_allclose(first.x_hat, x, atol=1e-6)
    assert first.mask is not None
    np.testing.assert_allclose(first.mask, mask, atol=1e-6)


def test_a_service_that_has_gone_is_an_error_and_no_picture_is_taken_for_edited() -> None:
    request = EditRequest(np.full((3, 64, 64), 0.5, np.float32))
    with serving(Inverter()) as address:
        editor = RemoteEditor(address, timeout_s=3.0)
        editor.edit(request)
    with pytest.raises(EditorError, match="has gone|no editor answers|took longer"):
        editor.edit(request)
    editor.close()


def test_without_a_service_the_error_says_how_to_start_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(remote_editor, "READY_S", 0.3)
    with pytest.raises(EditorError, match=r"no editor answers at tcp://127.*; start one with gened editor serve"):
        editor_at(f"tcp://127.0.0.1:{free_ports(1)[0]}")


def test_options_of_a_backend_are_not_for_a_service(tmp_path: Path) -> None:
    with pytest.raises(EditorError, match="--editor-option is for a backend of this machine"):
        editor_at("tcp://127.0.0.1:5560", options={"model": "x"})
    assert isinstance(editor_at("none"), NoEditor)
