# SPDX-License-Identifier: GPL-3.0-or-later
"""Shape of the networks of `deepjscc`, saved beside the weights; nothing heavy is imported here."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any


@dataclass(frozen=True)
class DeepJsccConfig:
    """Widths and depths of encoder and decoder."""

    patch: int = 32
    """Side of a patch, pixels."""
    reals_per_patch: int = 256
    """Real channel dimensions per patch, two per complex symbol."""
    encoder_widths: tuple[int, int, int] = (64, 128, 128)
    """Channels at 1/4, 1/8 and 1/16 of the picture's resolution."""
    decoder_widths: tuple[int, int, int, int] = (32, 64, 128, 192)
    """Channels at 1/2, 1/4, 1/8 and 1/16."""
    decoder_down_blocks: tuple[int, int] = (1, 1)
    """Residual blocks at 1/4 and 1/8 in the contracting path."""
    decoder_middle_blocks: int = 2
    """Residual blocks at 1/16."""
    decoder_up_blocks: tuple[int, int] = (2, 2)
    """Residual blocks at 1/8 and 1/4 in the expanding path."""

    def to_json(self) -> dict[str, Any]:
        """Plain types, for `config.json`."""
        return asdict(self)

    @classmethod
    def from_json(cls, values: dict[str, Any]) -> DeepJsccConfig:
        """The inverse of `to_json`; unknown keys are an error of the constructor."""
        fields: dict[str, Any] = {
            key: tuple(value) if isinstance(value, list) else value for key, value in values.items()
        }
        return cls(**fields)
