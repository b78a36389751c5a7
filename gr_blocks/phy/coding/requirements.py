# SPDX-License-Identifier: GPL-3.0-or-later
"""Packages that the channel codes need at run time, imported when a modulator, detector or assembler is constructed.

`numba` and `zfec` are not imported with the modules of this folder, because a training run counts symbols and decodes
nothing. The constructors call these functions, so that a missing package is an error at once and not at the first
noisy burst.
"""

from __future__ import annotations

import importlib
from functools import lru_cache

from gened.errors import NotReadyError

PACKAGES = {"numba": "numba", "zfec": "zfec", "scipy": "scipy.fft"}
"""Name for pip, and the module that is used."""


def require_packages(*packages: str) -> None:
    """Import packages of `PACKAGES`, all of them if none is named.

    Raises:
        NotReadyError: One of them is missing or broken; the message names it with its remedy.
    """
    for package in packages or PACKAGES:
        try:
            importlib.import_module(PACKAGES[package])
        except ImportError as exc:
            reason = " ".join(str(exc).split())[:200]
            raise NotReadyError(
                f"the package {package} cannot be loaded ({reason}); install it: pip install {package}"
            ) from exc


@lru_cache(maxsize=1)
def prepare_decoder() -> None:
    """Import all of `PACKAGES` and compile the LDPC decoder, or load its machine code from the cache.

    Raises:
        NotReadyError: As `require_packages`.
    """
    require_packages()
    from gened.gr_blocks.phy.coding.ldpc_decoder import compile_kernel

    compile_kernel()
