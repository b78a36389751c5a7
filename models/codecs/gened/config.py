# SPDX-License-Identifier: GPL-3.0-or-later
"""Shape of the networks of `gened`, saved beside the weights; nothing heavy is imported here."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, Literal

Branch = Literal["swin", "cbam"]


@dataclass(frozen=True)
class GenedConfig:
    """Widths, depths and branches of the networks."""

    classes: int = 16
    """Number of block classes in the class map."""
    importance_widths: tuple[int, int, int, int] = (16, 32, 64, 96)
    """Channels of the importance network at 1/4, 1/8, 1/16 and 1/32 of its input's resolution."""
    decoder_widths: tuple[int, int, int, int] = (32, 64, 128, 192)
    """Channels of the decoder at 1/2, 1/4, 1/8 and 1/16."""
    down_blocks: tuple[int, int] = (1, 1)
    """Residual blocks at 1/4 and 1/8 in the contracting path."""
    dual_blocks: tuple[int, int] = (1, 1)
    """Dual branches at 1/8 (expanding path) and at 1/16."""
    up_blocks: tuple[int, int] = (2, 2)
    """Residual blocks at 1/4 and 1/8 in the expanding path."""
    window: int = 8
    """Side of an attention window, grid positions."""
    foreground: Branch = "swin"
    background: Branch = "cbam"
    dual: bool = True
    """False: one branch, of the foreground's kind, for the whole picture."""
    predicts: bool = True
    """False: no importance prediction; without a mask from the sender both branches have weight 1/2."""
    encoder: bool = False
    """Whether the transmitter has an encoder network."""
    encoder_widths: tuple[int, int, int, int] = (32, 48, 96, 160)
    """Channels of the encoder at 1/2, 1/4, 1/8 and 1/16."""

    def to_json(self) -> dict[str, Any]:
        """Plain types, for `config.json`."""
        return asdict(self)

    @classmethod
    def from_json(cls, values: dict[str, Any]) -> GenedConfig:
        """The inverse of `to_json`; unknown keys are an error of the constructor."""
        fields: dict[str, Any] = {
            key: tuple(value) if isinstance(value, list) else value for key, value in values.items()
        }
        return cls(**fields)
