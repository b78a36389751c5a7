# SPDX-License-Identifier: GPL-3.0-or-later
"""The radio that the user named: does the profile fit it, do its samples arrive? Nothing here transmits."""

from __future__ import annotations

from typing import Any

from gened.doctor.findings import Finding, Level, Visit, check
from gened.doctor.limits import SideLimits, compare, filters
from gened.doctor.programs import ProbeError, probe
from gened.errors import ConfigError
from gened.flowgraphs.radios.radio_events import EVENTS

OPEN_S = 20.0
"""To open a radio and ask; a USRP may load its firmware first."""
RATE_EXTRA_S = 18.0
"""To open a radio and set it up, before its rate is measured."""
RATE_TOLERANCE = 0.01
"""More samples than this share may not be missing: a lump that comes late is 30 ms of 4 s."""
CLIPPED_SHARE = 1e-4
ABSENT = {
    "iio": "plug it in, or start `gened virtual-pluto`; `iio_info -u` with its address shows what answers",
    "uhd": "look at power, cable and address; `uhd_find_devices` lists what is there",
    "soapy": "look at power, cable and its SoapySDR module; `SoapySDRUtil --find` lists what is there",
}


@check("The radio", is_alone=True)
def bands(visit: Visit) -> list[Finding]:
    """Where it may transmit; and the simulated link, which needs no radio."""
    hardware = visit.hardware
    if hardware is None:
        return []
    if hardware.driver == "zeromq":
        return [Finding(subject=hardware.name, level="ok", text="the simulated link; no radio is needed")]
    try:
        hardware.require_allowed_band()
    except ConfigError as error:
        step = "choose another tx.center_freq, a lower sample_rate, or the band of your licence in a profile of yours"
        return [Finding(subject="band", level="problem", text=str(error), next_step=step)]
    text = f"the whole signal lies in allowed_bands ({', '.join(str(band) for band in hardware.allowed_bands)})"
    return [Finding(subject="band", level="ok", text=text), *filters(hardware)]


@check("The radio", is_alone=True)
def profile(visit: Visit) -> list[Finding]:
    """Whether each side can do what the profile asks for."""
    if visit.hardware is None or not visit.has_radio:
        return []
    found = []
    plain = visit.hardware.model_dump(mode="json")
    for side in ("rx", "tx"):
        try:
            limits = SideLimits.from_plain(probe("limits", {"profile": plain, "side": side}, OPEN_S))
        except ProbeError as error:
            address = visit.hardware.rx_address if side == "rx" else visit.hardware.tx_address
            reason = str(error).partition(" ----->")[0]  # UHD adds the address in many words
            text, step = f"{address} does not answer as it should: {reason}", ABSENT[visit.driver]
            found.append(Finding(subject=f"profile, {side}", level="problem", text=text, next_step=step))
            if address == visit.hardware.tx_address:  # the other side is the same device
                break
        else:
            found += compare(visit.hardware, side, limits)
    visit.is_fitting = not any(finding.level == "problem" for finding in found)
    return found


@check("The radio", is_alone=True)
def rate(visit: Visit) -> list[Finding]:
    """Samples a second that arrive, over USB or Ethernet, and what gets lost."""
    if visit.hardware is None or not visit.has_radio or not visit.is_fitting:
        return []
    plain = visit.hardware.model_dump(mode="json")
    try:
        facts = probe("rate", {"profile": plain, "seconds": visit.rate_s}, visit.rate_s + RATE_EXTRA_S)
    except ProbeError as error:
        step = error.remedy or ABSENT[visit.driver]
        return [Finding(subject="rate", level="problem", text=str(error), next_step=step)]
    return [rate_finding(visit.hardware.sample_rate, facts), *level_findings(facts)]


def rate_finding(sample_rate: float, facts: dict[str, Any]) -> Finding:
    """Whether the samples arrive as fast as the radio makes them."""
    reached = facts["n_samples"] / facts["seconds"]
    events = {letter: n for letter, n in facts["events"].items() if n}
    lost = ", ".join(f"{n} x {EVENTS[letter].name if letter in EVENTS else letter}" for letter, n in events.items())
    text = (
        f"{reached / 1e6:.4g} of {sample_rate / 1e6:.4g} Msample/s for {facts['seconds']:.1f} s, "
        f"{lost or 'no overflow told'}; {100 * facts['cpu_share']:.0f} % of a core"
    )
    if reached >= (1 - RATE_TOLERANCE) * sample_rate and not events:
        return Finding(subject="rate", level="ok", text=text, facts=facts)
    lower = 0.8 * min(reached, sample_rate)
    step = f"close other programs, use a faster port, enlarge buffers, or --set sample_rate={lower:.2g}"
    is_far = reached < (1 - RATE_TOLERANCE) * sample_rate
    return Finding(subject="rate", level="problem" if is_far else "note", text=text, next_step=step, facts=facts)


def level_findings(facts: dict[str, Any]) -> list[Finding]:
    """Findings on the received level, and on clipping of the converter."""
    if facts["mean_db"] is None:
        return []
    share = facts["n_full_scale"] / max(1, facts["n_samples"])
    text = f"{facts['mean_db']:.0f} dB of full scale on average, {facts['floor_db']:.0f} dB in the quietest tenth"
    level: Level = "note" if share > CLIPPED_SHARE else "ok"
    if level == "ok":
        return [Finding(subject="level", level=level, text=text)]
    step = "lower rx.gain_db, or put more attenuation between"
    return [Finding(subject="level", level=level, text=f"{text}; {100 * share:.2g} % clipped", next_step=step)]
