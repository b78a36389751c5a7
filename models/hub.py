# SPDX-License-Identifier: GPL-3.0-or-later
"""Where a model of an editor or a captioner comes from: a folder of this machine, or OWNER/NAME on huggingface.co.

A local folder comes first. The hub is asked only for what can be no path, and only if it answers within `ANSWER_S`: its
own library tries for half a minute.
"""

from __future__ import annotations

import re
from pathlib import Path

from gened.errors import GenedError

HUB_NAME = re.compile(r"[\w-][\w.-]*/[\w.-]+")
ANSWER_S = 5.0
"""Time limit for the first answer of the hub, s."""


def local_folder(model: str, *, error: type[GenedError], example: str) -> Path | None:
    """The folder of a model; None for OWNER/NAME, a model of the hub.

    Args:
        model: What the user named.
        error: Class of the errors.
        example: An example of a name, for the message.

    Raises:
        GenedError: No such folder, and no name on the hub either: a path that begins with "/", "." or "~", has several
            parts, or begins with a folder that exists.
    """
    folder = Path(model).expanduser()
    if folder.is_dir():
        return folder
    if not HUB_NAME.fullmatch(model) or Path(folder.parts[0]).is_dir():
        raise error(f"no model at {model}; give a folder, or a name as in {example}")
    return None


def is_offline() -> bool:
    """Whether the hub gives no answer, so that only its cache on this machine can be used."""
    from huggingface_hub import constants, get_session

    try:
        get_session().head(constants.ENDPOINT, timeout=ANSWER_S)
    except Exception:  # any error of the library below, which has changed it before
        return True
    return False
