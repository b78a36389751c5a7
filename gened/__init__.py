# SPDX-License-Identifier: GPL-3.0-or-later
"""gr-gened: photographs over GNU Radio, by analogue joint source-channel coding."""

import os as _os
import sys as _sys

__version__ = "0.1.0"


def _require_links() -> None:
    """Refuses a checkout in which Git wrote the links to the package's folders as text files.

    Raises:
        ImportError: The links are missing; the command `gened` ends with the same line and no traceback.
    """
    if not _os.path.isfile(_os.path.join(__path__[0], "models")):
        return
    remedy = (
        "this checkout has no symbolic links, so that gened/models is a text file and not a folder: run "
        "`git config core.symlinks true && git checkout -- gened` in it, or clone it where links can be made"
    )
    if _os.path.basename(_sys.argv[0]) in ("gened", "-m"):
        raise SystemExit(f"gened: {remedy}")
    raise ImportError(remedy)


def _use_installed_packages() -> None:
    """Adds the folder of Python packages that `cmake --install` noted, so that any interpreter finds the dependencies.

    The folder comes ahead of the distribution's packages, as it does in the virtual environment that it belongs to.

    Raises:
        ImportError: The distribution's NumPy was imported before, and the noted packages need their own.
    """
    note = _os.path.join(__path__[0], "packages.txt")
    if not _os.path.isfile(note):  # a checkout, or an installation by pip
        return
    with open(note, encoding="utf-8") as file:
        folder = file.read().strip()
    if folder in _sys.path or not _os.path.isdir(folder):
        return
    numpy = _sys.modules.get("numpy")
    if numpy is not None and _os.path.isdir(_os.path.join(folder, "numpy")):
        raise ImportError(
            f"NumPy {numpy.__version__} of the system was imported before gened, whose packages in {folder} need their "
            "own: start Companion by `gened companion`, or import gened first"
        )
    at = next((i for i, path in enumerate(_sys.path) if "dist-packages" in path), len(_sys.path))
    ours = next((i for i, path in enumerate(_sys.path) if path == _os.path.dirname(__path__[0])), -1)
    _sys.path.insert(max(at if at != ours else at + 1, 0), folder)


_require_links()
_use_installed_packages()
