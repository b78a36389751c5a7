# SPDX-License-Identifier: GPL-3.0-or-later
"""Devices of PyTorch by name, tried before anything is loaded on them."""

from __future__ import annotations

import torch

from gened.errors import GenedError


def torch_device(name: str, error: type[GenedError]) -> torch.device:
    """The device called `name`, on which a tensor was allocated.

    Args:
        name: Such as "cpu", "cuda" or "cuda:1".
        error: Class of the errors.

    Raises:
        GenedError: PyTorch knows no such device, or it cannot be used here: without a driver, or in a build without it.
    """
    try:
        device = torch.device(name)
    except (RuntimeError, TypeError, ValueError) as cause:
        raise error(f"no device '{name}'; cpu and cuda, or cuda:1 and so on, are possible") from cause
    if device.type == "meta":
        raise error("the device 'meta' holds no values; cpu and cuda, or cuda:1 and so on, are possible")
    if device.type == "cuda" and not (device.index or 0) < torch.cuda.device_count():
        n_found = torch.cuda.device_count()
        raise error(f"PyTorch finds no device '{name}' here ({n_found} GPUs with CUDA); device cpu is always there")
    try:
        torch.empty(1, device=device)
    except (RuntimeError, AssertionError, NotImplementedError, ImportError) as cause:
        reason = (str(cause).splitlines() or [type(cause).__name__])[0]
        raise error(f"device '{name}' cannot be used here: {reason}") from cause
    return device
