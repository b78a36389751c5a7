# SPDX-License-Identifier: GPL-3.0-or-later
"""Training of `gened`: the decoder behind the real linear code, or the transmitter's importance network.

    python -m gened.models.training --config models/training/configs/gened.toml --data TRAIN --out runs/gened

    stage "decoder":    crop -> linear code, encoded and decoded as on the air (rate, SNR, focus, losses drawn) ->
                        decoder network -> logarithm of the weighted error + cross-entropy of the mask heads
    stage "importance": crop -> importance network -> cross-entropy and IoU of S and M against the masks
    stage "both":       crop -> encoder network, if any -> differentiable linear code, noise -> decoder network

The decoder is trained on what it will receive: each crop is sent as a picture of its own, with its class map, its scale
byte and its lost symbols. Masks made by hand are used where they exist, else a teacher's maps (`saliency.py`).
"""

from __future__ import annotations

from gened.errors import ConfigError
from gened.models.training.codecs.gened.config import GenedTraining
from gened.models.training.codecs.gened.decoder import DecoderRun, EndToEndRun
from gened.models.training.codecs.gened.importance import ImportanceRun
from gened.models.training.codecs.gened.stage import GenedRun
from gened.models.training.run import RunOptions, Training

STAGES: dict[str, type[GenedRun]] = {"decoder": DecoderRun, "importance": ImportanceRun, "both": EndToEndRun}


def make_run(config: GenedTraining, options: RunOptions) -> GenedRun:
    """The run of the configured stage.

    Raises:
        ConfigError: Unknown stage.
    """
    if config.stage not in STAGES:
        raise ConfigError(f"stage = {config.stage!r}; known are {', '.join(STAGES)}")
    return STAGES[config.stage](config, options)


TRAINING = Training(GenedTraining, make_run)
