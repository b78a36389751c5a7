# SPDX-License-Identifier: GPL-3.0-or-later
"""The dictionary of captions is read once, and a file of other bytes is refused."""

from __future__ import annotations

from importlib import resources
from pathlib import Path

import pytest

from gened.errors import ConfigError
from gened.gr_blocks.phy.framing import caption_words as module


def test_it_is_read_once() -> None:
    assert module.caption_words() is module.caption_words()


@pytest.mark.parametrize(("content", "fault"), [(b"other words", "damaged"), (None, "cannot be read")])
def test_a_missing_or_damaged_file_is_one_clear_error(
    tmp_path: Path, content: bytes | None, fault: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    if content is not None:
        (tmp_path / module.FILE).write_bytes(content)
    monkeypatch.setattr(resources, "files", lambda package: tmp_path)
    module.caption_words.cache_clear()
    try:
        with pytest.raises(ConfigError, match=fault):
            module.caption_words()
    finally:
        module.caption_words.cache_clear()
