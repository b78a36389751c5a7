# SPDX-License-Identifier: GPL-3.0-or-later
"""The weights that a training of `gened` begins from, and those that it writes: one file holds all networks."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from safetensors import SafetensorError
from safetensors.numpy import load_file
from torch import Tensor, nn

from gened.errors import ConfigError
from gened.models.codecs.gened.codec import LINEAR
from gened.models.training.codecs.gened.config import GenedTraining
from gened.models.training.files import write_arrays, write_json
from gened.models.training.run import CONFIG_FILE, WEIGHTS_FILE
from gened.models.training.schedule import weights_folder

TRAINED = {"decoder": ("decoder",), "importance": ("importance",), "both": ("decoder", "encoder")}
"""Stage to the networks that it trains."""
BRANCHES = ("dual16", "dual8", "prediction", "routes8")
"""Parts of the decoder that variants of the branches do not have in common."""

Arrays = dict[str, npt.NDArray[Any]]
Weights = dict[str, Tensor]


def is_of_branch(name: str) -> bool:
    """Whether a tensor of the decoder belongs to one of `BRANCHES`."""
    return name.partition(".")[0] in BRANCHES


def load_start(config: GenedTraining) -> tuple[Arrays, dict[str, Weights]]:
    """The tensors of the linear code, and the weights of each network, empty where it begins with random ones.

    Without a warm start, the networks that this stage does not train come from the folder of the statistics.

    Raises:
        ConfigError: The files cannot be read.
    """
    folder = weights_folder(config.warm_start or config.statistics)
    try:
        tensors = load_file(folder / WEIGHTS_FILE)
    except (OSError, SafetensorError) as error:
        raise ConfigError(f"cannot read {folder / WEIGHTS_FILE}, from which the training begins: {error}") from error
    networks: dict[str, Weights] = {"decoder": {}, "importance": {}, "encoder": {}}
    linear = {}
    for key, value in tensors.items():
        part, _, rest = key.partition(".")
        if part in networks:
            networks[part][rest] = torch.from_numpy(value).float()
        else:
            linear[key.removeprefix(LINEAR)] = value
    if not config.warm_start:
        for part in TRAINED[config.stage]:
            networks[part] = {}
    if config.trunk_only:
        networks["decoder"] = {k: v for k, v in networks["decoder"].items() if not is_of_branch(k)}
        networks["encoder"] = {}
    return linear, networks


def load_networks(networks: Mapping[str, nn.Module], start: Mapping[str, Weights], config: GenedTraining) -> None:
    """Load the weights of `load_start` into the networks.

    Raises:
        ConfigError: The weights have other shapes than the configured networks.
    """
    for part, weights in start.items():
        if not weights or part not in networks:
            continue
        network = networks[part]
        if config.trunk_only and part == "decoder":
            weights = {key: value for key, value in network.state_dict().items() if is_of_branch(key)} | weights
        try:
            network.load_state_dict(weights)
        except RuntimeError as error:
            folder = config.warm_start or config.statistics
            reason = str(error).splitlines()[0]
            raise ConfigError(f"the weights in {folder} are not of the shape that is configured: {reason}") from error


def save_weights(
    out: Path, linear: Arrays, networks: Mapping[str, Weights], description: Mapping[str, Any], config: GenedTraining
) -> None:
    """Write `model.safetensors`, the networks in half precision, and `config.json` beside it.

    Args:
        out: Folder.
        linear: Tensors of the linear code.
        networks: Weights of each network.
        description: Contents of `config.json`; its "training" gains the other stages of the warm start.
        config: Of this training.
    """
    tensors = {LINEAR + name: value for name, value in linear.items()}
    for part, weights in networks.items():
        for name, value in weights.items():
            tensors[f"{part}.{name}"] = np.ascontiguousarray(value.detach().cpu().to(torch.float16).numpy())
    write_arrays(out / WEIGHTS_FILE, tensors)
    whole = {**description, "training": {**description["training"], **_earlier(config)}}
    write_json(out / CONFIG_FILE, whole)


def _earlier(config: GenedTraining) -> dict[str, Any]:
    """The record of the other stages, from the weights that this training began with."""
    if not config.warm_start:
        return {}
    try:
        training: dict[str, Any] = json.loads((weights_folder(config.warm_start) / CONFIG_FILE).read_text())["training"]
    except (OSError, ValueError, KeyError):
        return {}
    return {stage: values for stage, values in training.items() if stage != config.stage}
