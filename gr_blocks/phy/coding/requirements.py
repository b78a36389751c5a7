# SPDX-License-Identifier: GPL-3.0-or-later
"""Packages that the digital codes need when they run, imported when a modulator or demodulator is constructed.

`ldpc` and `zfec` are not imported with their modules here, because a training run counts symbols and decodes none.
"""

from __future__ import annotations

import importlib

from gened.errors import NotReadyError

PACKAGES = {"ldpc": "ldpc.bp_decoder", "zfec": "zfec", "scipy": "scipy.sparse"}
"""Name for pip, and the module that is used."""


def require_packages() -> None:
    """Imports all of `PACKAGES`, so that a missing one is an error now and not at the first noisy burst.

    Raises:
        NotReadyError: One of them is missing or broken.
    """
    for package, module in PACKAGES.items():
        try:
            importlib.import_module(module)
        except ImportError as exc:
            reason = " ".join(str(exc).split())[:200]
            raise NotReadyError(
                f"the package {package} cannot be loaded ({reason}); install it: pip install {package}"
            ) from exc
