# SPDX-License-Identifier: GPL-3.0-or-later
"""Folders before the hub, and no waiting for a hub that does not answer."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from gened.errors import EditorError
from gened.models import hub


def found(model: str) -> Path | None:
    return hub.local_folder(model, error=EditorError, example="model=OWNER/NAME")


def test_a_folder_comes_before_a_name_on_the_hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "owner" / "name").mkdir(parents=True)
    monkeypatch.chdir(tmp_path)
    assert found("owner/name") == Path("owner/name")
    assert found(str(tmp_path)) == tmp_path
    assert found("another/name") is None


@pytest.mark.parametrize("model", ["/no/such", "./weights", "../weights", "~/no-such", "a/b/c", "weights", "here/blip"])
def test_what_can_only_be_a_path_is_an_error_at_once(
    model: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path)
    with pytest.raises(EditorError, match="no model at .*OWNER/NAME"):
        found(model)


@pytest.mark.parametrize("answers", [True, False])
def test_a_hub_that_does_not_answer_is_offline(answers: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    huggingface_hub: Any = pytest.importorskip("huggingface_hub", reason="the hub: pip install 'gr-gened[editor]'")

    class Session:
        def head(self, url: str, timeout: float) -> None:
            assert timeout <= hub.ANSWER_S
            if not answers:
                raise OSError("no network")

    monkeypatch.setattr(huggingface_hub, "get_session", Session)
    assert hub.is_offline() is not answers
