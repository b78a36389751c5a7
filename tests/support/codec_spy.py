# SPDX-License-Identifier: GPL-3.0-or-later
"""The codec service for the worker, with a look into its process."""

from __future__ import annotations

import sys

from gened.models.serving.codec_service import CodecService


class CodecSpy(CodecService):
    """Tells what its process has loaded."""

    def loaded(self) -> list[str]:
        """Those of NumPy and PyTorch that are loaded."""
        return sorted({"numpy", "torch"} & set(sys.modules))
