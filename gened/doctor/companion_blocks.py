# SPDX-License-Identifier: GPL-3.0-or-later
"""Whether GNU Radio Companion shows our blocks: asked of Companion's own library, without its window."""

from __future__ import annotations

from gened.doctor.companion import companion_command
from gened.doctor.findings import Finding, Level, Visit, check
from gened.doctor.programs import ProbeError, probe
from gened.errors import LinkError
from gened.paths import BLOCK_DESCRIPTIONS

LIMIT_S = 20.0


@check("Software")
def companion(visit: Visit) -> list[Finding]:
    """Our blocks: shown by `gened companion`, and by Companion when it is started without us."""
    ours = sorted(path.name.removesuffix(".block.yml") for path in BLOCK_DESCRIPTIONS.glob("gened_*.block.yml"))
    try:
        companion_command()
        with_us = probe("companion", {"blocks_path": str(BLOCK_DESCRIPTIONS)}, LIMIT_S)["blocks"]
        without = probe("companion", {"blocks_path": None}, LIMIT_S)["blocks"]
    except (LinkError, ProbeError) as error:
        step = "only for drawing flowgraphs; `gened loopback`, `transmit` and `receive` work without"
        return [Finding(subject="Companion", level="note", text=str(error), next_step=step)]
    return [judged(ours, with_us, without)]


def judged(ours: list[str], with_us: list[str], without: list[str]) -> Finding:
    """From what is in our folder, and what Companion shows with it and without it."""
    lacking = sorted(set(ours) - set(with_us))
    facts = {"blocks": ours, "shown_by_gened_companion": with_us, "shown_by_companion": without}
    level: Level = "ok"
    text, step = f"`gened companion` shows all {len(ours)} blocks", ""
    if not ours or lacking:
        level, text = "note", f"`gened companion` lacks {', '.join(lacking) or 'all blocks'} of {BLOCK_DESCRIPTIONS}"
        step = "install the package again: pip install -e ."
    elif set(ours) - set(without):
        text += "; Companion started by itself shows none" if not without else "; Companion by itself lacks some"
        step = "start it as `gened companion`, or install the blocks: cmake -B build && sudo cmake --install build"
    else:
        text += ", and so does Companion by itself"
    return Finding(subject="Companion", level=level, text=text, next_step=step, facts=facts)
