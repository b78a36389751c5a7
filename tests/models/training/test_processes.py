# SPDX-License-Identifier: GPL-3.0-or-later
"""Two processes under `torchrun` train what one trains."""

from __future__ import annotations

import math
from pathlib import Path

import torch
from safetensors.torch import load_file
from two_processes import train_in_two

from gened.models.training import loop
from gened.models.training.run import WEIGHTS_FILE
from gened.models.training.trainings import train
from gened.paths import WEIGHTS

CROPS = f"""
steps = 3
batch = 4
group = 2
crop = 64
learning_rate = 1e-3
warm_up = 1
warm_start = "{WEIGHTS / "deepjscc"}"
"""
ONE_UNUSED_HEAD = 'codec = "gened"\nobjective = "mse"\nsteps = 2\nbatch = 2\ncrop = 64\nwarm_up = 1\n'


def test_two_processes_compute_the_weights_of_one(shards: Path, tmp_path: Path) -> None:
    config = tmp_path / "two.toml"
    config.write_text(CROPS)
    train(config, data=shards, out=tmp_path / "one", threads=1)
    output = train_in_two(config, shards, tmp_path / "two")
    assert output.count("photographs") == 1  # the first process speaks for both
    begun = load_file(WEIGHTS / "deepjscc" / WEIGHTS_FILE)
    one, two = (load_file(tmp_path / name / WEIGHTS_FILE) for name in ("one", "two"))
    moved = math.sqrt(sum(float((one[name].float() - begun[name].float()).square().sum()) for name in one))
    apart = math.sqrt(sum(float((one[name].float() - two[name].float()).square().sum()) for name in one))
    # They sum in another order, in bfloat16, and the first steps of Adam follow the sign of small gradients.
    assert moved > 1.0 and apart < 0.1 * moved
    assert torch.load(tmp_path / "two" / loop.STATE_FILE, weights_only=True)["step"] == 3


def test_parameters_that_an_objective_leaves_out_do_not_stop_two_processes(shards: Path, tmp_path: Path) -> None:
    config = tmp_path / "mse.toml"
    config.write_text(ONE_UNUSED_HEAD)
    train_in_two(config, shards, tmp_path / "out")
    assert torch.load(tmp_path / "out" / loop.STATE_FILE, weights_only=True)["step"] == 2
