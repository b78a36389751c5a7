# SPDX-License-Identifier: GPL-3.0-or-later
"""Shape of the networks of `gened`, saved beside the weights; nothing heavy is imported here."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, Literal

Branch = Literal["swin", "cbam"]


@dataclass(frozen=True)
class GenedConfig:
    """What the two networks look like; the statistics of the linear code tell their own shape."""

    classes: int = 16
    """Classes of blocks that the class map tells."""
    importance_widths: tuple[int, int, int, int] = (16, 32, 64, 96)
    """Of the transmitter's importance network, at 1/4, 1/8, 1/16 and 1/32 of the picture it looks at."""
    decoder_widths: tuple[int, int, int, int] = (32, 64, 128, 192)
    """At 1/2, 1/4, 1/8 and 1/16."""
    down_blocks: tuple[int, int] = (1, 1)
    """Residual blocks at 1/4 and 1/8 on the way down."""
    dual_blocks: tuple[int, int] = (1, 1)
    """Dual branches at 1/8 (on the way up) and at 1/16."""
    up_blocks: tuple[int, int] = (2, 2)
    """Residual blocks at 1/4 and 1/8 on the way up."""
    window: int = 8
    """Cells on a side of an attention window."""
    foreground: Branch = "swin"
    background: Branch = "cbam"
    dual: bool = True
    """False: one branch (the foreground's kind) for all of the picture."""
    predicts: bool = True
    """False: no importance prediction; where no mask was told, each branch gives half of what it finds."""
    encoder: bool = False
    """Whether the transmitter has a correcting network too."""
    encoder_widths: tuple[int, int, int, int] = (32, 48, 96, 160)
    """At 1/2, 1/4, 1/8 and 1/16."""

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
