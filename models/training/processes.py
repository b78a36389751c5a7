# SPDX-License-Identifier: GPL-3.0-or-later
"""A training in several processes, started by `torchrun`: data-parallel, each process with its part of every batch."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, distributed, nn
from torch.nn.parallel import DistributedDataParallel


def default_threads() -> int:
    """PyTorch threads of a process: the cores that it may use, divided by the local processes of `torchrun`."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, cores // int(os.environ.get("LOCAL_WORLD_SIZE", "1")))


def join_processes(device: torch.device) -> None:
    """Join the process group if `torchrun` started this process; each process on its own GPU, if the device is one."""
    if "RANK" not in os.environ or "WORLD_SIZE" not in os.environ or distributed.is_initialized():
        return
    if device.type == "cuda":
        torch.cuda.set_device(int(os.environ.get("LOCAL_RANK", "0")))
    distributed.init_process_group("nccl" if device.type == "cuda" else "gloo")


def leave_processes() -> None:
    """Leave the process group, if this process belongs to one."""
    if distributed.is_initialized():
        distributed.destroy_process_group()


def rank_and_size() -> tuple[int, int]:
    """Rank of this process and number of processes; (0, 1) without `torchrun`."""
    return (distributed.get_rank(), distributed.get_world_size()) if distributed.is_initialized() else (0, 1)


def in_any(conditions: Sequence[bool], device: torch.device) -> list[bool]:
    """Whether each of the conditions holds in at least one process; the answer is the same in all of them."""
    if not distributed.is_initialized():
        return list(conditions)
    votes = torch.tensor([float(condition) for condition in conditions], device=device)
    distributed.all_reduce(votes)
    return [vote > 0 for vote in votes.tolist()]


class Loss(nn.Module):
    """The loss of a step as the forward pass of one module, which is what DistributedDataParallel wraps.

    With the loss inside, every output of the forward pass takes part in the gradient, so parameters that an objective
    leaves out are recognised as unused.

    Args:
        model: The module whose parameters the loss trains.
        loss: Computes a scalar loss, by means of `model`.
    """

    def __init__(self, model: nn.Module, loss: Callable[..., Tensor]) -> None:
        super().__init__()
        self.model, self.loss = model, loss

    def forward(self, *inputs: Any) -> Tensor:
        """Scalar loss."""
        return self.loss(*inputs)


def data_parallel(model: nn.Module, loss: Callable[..., Tensor]) -> Callable[..., Tensor]:
    """The loss; in one of several processes, its backward pass leaves in each the gradient averaged over all of them.

    The gradients travel in buckets of 25 MB while the backward pass still runs.
    """
    if not distributed.is_initialized():
        return loss
    # Buffers are the same in all processes already, and a copy between two forward passes would break the backward one.
    return DistributedDataParallel(Loss(model, loss), forward_sync_buffers=False, find_unused_parameters=True)
