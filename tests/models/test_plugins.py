# SPDX-License-Identifier: GPL-3.0-or-later
"""Parts of other packages that cannot be loaded or made end in one line, and the others work."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from installing import install_entry_points

from gened.errors import CaptionerError, CodecError, EditorError, GenedError
from gened.models.captioning.registry import captioner_names, load_captioner
from gened.models.codecs.registry import codec_names, load_codec
from gened.models.editing.registry import editor_names, load_editor

KINDS = [
    ("codec", "gened.codecs", load_codec, codec_names, CodecError),
    ("captioner", "gened.captioners", load_captioner, captioner_names, CaptionerError),
    ("editor", "gened.editors", load_editor, editor_names, EditorError),
]
FAULTS = {
    "raises": ("raises_at_import:Part", r"\(raises_at_import:Part\) cannot be loaded: RuntimeError: no licence found$"),
    "syntax": ("bad_syntax:Part", r"\(bad_syntax:Part\) cannot be loaded: SyntaxError: .*bad_syntax.py, line 1"),
    "lacks": ("good_parts:Prat", r"\(good_parts:Prat\) cannot be loaded: AttributeError: .*no attribute 'Prat'"),
    "empty": ("good_parts", r"\(good_parts\) cannot be loaded: AttributeError"),
    "absent": ("no_such_module:Part", "needs the Python package no_such_module, which is not installed$"),
    "needs": ("needs_another:Part", "needs the Python package no_such_dependency, which is not installed$"),
    "number": ("good_parts:NUMBER", "cannot be made: its entry point names no class or function$"),
    "fails": ("good_parts:Failing", "cannot be made: OSError: the disk is gone$"),
    "signature": ("good_parts:WithoutDevice", r"cannot be made: TypeError: WithoutDevice\(\) takes no arguments$"),
}
"""Name of a faulty part to its entry point and the message about it."""


@pytest.fixture
def packages(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "raises_at_import.py").write_text("raise RuntimeError('no licence\\n found')\n")
    (tmp_path / "bad_syntax.py").write_text("class Part\n")
    (tmp_path / "needs_another.py").write_text("import no_such_dependency\n")
    (tmp_path / "good_parts.py").write_text(
        "NUMBER = 3\n"
        "class Part:\n    def __init__(self, folder=None, *, device='cpu', gain=1): self.gain = gain\n"
        "class Failing:\n    def __init__(self, folder=None, *, device='cpu'): raise OSError('the disk\\nis gone')\n"
        "class WithoutDevice:\n    pass\n"
    )
    faulty = {name: target for name, (target, _) in FAULTS.items()}
    groups = {group: {**faulty, "good": "good_parts:Part"} for _, group, *_ in KINDS}
    install_entry_points(tmp_path, "parts", groups)
    monkeypatch.syspath_prepend(tmp_path)


@pytest.mark.usefixtures("packages")
@pytest.mark.parametrize(("kind", "group", "load", "names", "error"), KINDS, ids=[kind for kind, *_ in KINDS])
def test_a_broken_part_is_one_line_and_the_others_work(
    kind: str, group: str, load: Callable[..., Any], names: Callable[[], list[str]], error: type[GenedError]
) -> None:
    assert {*FAULTS, "good"} <= set(names())
    for name, (_, message) in FAULTS.items():
        with pytest.raises(error, match=f"^{kind} {name} .*{message}") as caught:
            load(name)
        assert "\n" not in str(caught.value)
    assert load("good", gain=2).gain == 2
    with pytest.raises(error, match="has no option 'colour'; it has gain"):
        load("good", colour=2)
