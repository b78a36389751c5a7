# SPDX-License-Identifier: GPL-3.0-or-later
"""Devices that exist are found, and others are one line that says why."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

pytest.importorskip("torch", reason="networks: pip install 'gr-gened[networks]'")

import torch

from gened.errors import CodecError, EditorError, GenedError
from gened.models.codecs.registry import load_codec
from gened.models.devices import torch_device
from gened.models.editing.registry import load_editor


def test_the_cpu_is_always_there() -> None:
    assert torch_device("cpu", CodecError) == torch.device("cpu")


@pytest.mark.parametrize("name", ["gpu", "", "cuda:x", "cuda:99", "meta", "cpu:"])
@pytest.mark.parametrize(
    ("make", "error"),
    [
        (lambda name: torch_device(name, GenedError), GenedError),
        (lambda name: load_codec("gened", device=name), CodecError),
        (lambda name: load_codec("deepjscc", device=name), CodecError),
        (lambda name: load_editor("embedded", device=name), EditorError),
    ],
    ids=["device", "gened", "deepjscc", "embedded"],
)
def test_a_device_that_cannot_be_used_is_told_as_such(
    name: str, make: Callable[[str], Any], error: type[GenedError]
) -> None:
    with pytest.raises(error, match="device") as caught:
        make(name)
    assert "weights" not in str(caught.value) and "\n" not in str(caught.value)


@pytest.mark.parametrize("n_gpus", [0, 1])
def test_cuda_without_a_driver_or_with_fewer_gpus_is_told(n_gpus: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "device_count", lambda: n_gpus)
    with pytest.raises(CodecError, match=rf"finds no device 'cuda:1' here \({n_gpus} GPUs with CUDA\)"):
        torch_device("cuda:1", CodecError)
