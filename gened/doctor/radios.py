# SPDX-License-Identifier: GPL-3.0-or-later
"""Which radios answer: Plutos by USB and by their usual addresses, USRPs, whatever SoapySDR finds."""

from __future__ import annotations

import re
import socket
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor

from gened.doctor.findings import Finding, Level, Visit, check
from gened.doctor.programs import Outcome, ProbeError, probe, run_program

PLUTO_ADDRESSES = ("ip:192.168.2.1", "ip:127.0.0.1", "ip:pluto.local")
PLUTO_PORT = 30431
CONNECT_S, ASK_S, FIND_S = 1.5, 6.0, 15.0
"""To reach a port; to read who answers; to search USB and network, where a B200 may be given its firmware."""
NO_RADIO = (
    "`gened loopback PHOTO` needs none, `gened virtual-pluto` is one for trying; "
    "if there should be one, look at power, cable and address"
)
MISSING = {
    "iio_info": "for Plutos on USB: apt install libiio-utils",
    "uhd_find_devices": "for USRPs: apt install uhd-host",
    "SoapySDRUtil": "for other radios: apt install soapysdr-tools",
}
USRP_PROFILES = {"b210": "usrp-b210", "b200": "usrp-b200", "usrp2": "usrp-n210", "x300": "usrp-x310"}
"""Words in UHD's product and type to profiles; the first that fits counts, for a B210 has the type b200."""


@check("Radios")
def radios(visit: Visit) -> list[Finding]:
    """All that answer; where none does and none was named, what can be done without."""
    with ThreadPoolExecutor(4) as pool:
        plutos, usb, usrps, others = (
            pool.submit(job) for job in (lambda: _plutos(visit), _usb_plutos, _usrps, _soapy_radios)
        )
        found = [*plutos.result(), *usb.result(), *usrps.result(), *others.result()]
    if not any(finding.level == "ok" for finding in found):
        found.insert(0, Finding(subject="radios", level="note", text="none answers", next_step=NO_RADIO))
    return found


# Plutos


def _plutos(visit: Visit) -> list[Finding]:
    addresses = list(PLUTO_ADDRESSES)
    if visit.driver == "iio" and visit.hardware is not None:
        addresses += [visit.hardware.rx_address, visit.hardware.tx_address]
    unique = list(dict.fromkeys(addresses))
    with ThreadPoolExecutor(len(unique)) as pool:
        answers = list(pool.map(_pluto, unique))
    seen: set[str] = set()
    found = []
    for answer in answers:  # one radio may have several addresses
        serial = "" if answer is None else str(answer.facts.get("serial") or answer.subject)
        if answer is not None and serial not in seen:
            seen.add(serial)
            found.append(answer)
    return found


def _pluto(address: str) -> Finding | None:
    """The device that answers at an address; None where none does."""
    if not _listens(address):
        return None
    try:
        facts = probe("iio_context", {"uri": address}, ASK_S)
    except ProbeError as error:
        text = f"something listens there, but it is no Pluto that answers ({error})"
        return Finding(subject=address, level="note", text=text, next_step=f"see what `iio_info -u {address}` shows")
    name = "virtual-pluto" if facts["is_virtual"] else "pluto"
    text = f"{facts['model']}, firmware {facts['firmware'] or 'unknown'}, serial {facts['serial'] or 'unknown'}"
    return Finding(subject=address, level="ok", text=text, next_step=_use(name, address), facts=facts)


def _use(profile: str, address: str) -> str:
    """How a radio is used that was found at an address."""
    from gened.hw_config.profile import load_profile

    setting = "" if load_profile(profile).address == address else f" --set address={address}"
    return f"gened doctor --radio {profile}{setting}"


def _listens(address: str) -> bool:
    """Whether a port answers; a name of mDNS is asked of libiio alone, whose search has its own limit."""
    match = re.fullmatch(r"ip:(?:\[([^\]]+)\]|([^:]+))(?::(\d{1,5}))?", address)
    if match is None:
        return False
    host, port = match[1] or match[2], int(match[3] or PLUTO_PORT)
    if host.endswith(".local"):  # a resolver may hang here, where no time limit reaches it
        code = "import socket, sys; print(socket.getaddrinfo(sys.argv[1], None)[0][4][0])"
        outcome = run_program(["python3", "-c", code, host], CONNECT_S)
        if outcome.code != 0:
            return False
        host = outcome.out.strip()
    try:
        socket.create_connection((host, port), CONNECT_S).close()
    except (OSError, OverflowError, UnicodeError):
        return False
    return True


def _usb_plutos() -> list[Finding]:
    outcome = run_program(["iio_info", "-S", "usb"], ASK_S)
    if outcome.problem:
        return [_unasked("iio_info", outcome)]
    return [
        Finding(subject=uri, level="note", text=name,
                next_step="use its network address, ip:192.168.2.1 unless changed: a usb: address opens only once")
        for name, uri in usb_contexts(outcome.out)
    ]  # fmt: skip


def usb_contexts(text: str) -> list[tuple[str, str]]:
    """Names and addresses in what `iio_info -S usb` prints."""
    return re.findall(r"^\s*\d+: (.*) \[(usb:[^\]]*)\]$", text, re.MULTILINE)


# USRPs and others


def _usrps() -> list[Finding]:
    outcome = run_program(["uhd_find_devices"], FIND_S)
    if outcome.problem:
        return [_unasked("uhd_find_devices", outcome)]
    return [_usrp(device) for device in uhd_devices(outcome.out)]


def _usrp(device: dict[str, str]) -> Finding:
    kind = f"{device.get('product', '')} {device.get('type', '')}".lower()
    name = next((profile for word, profile in USRP_PROFILES.items() if word in kind), "usrp-b200")
    key = "addr" if "addr" in device else "serial"
    where = ",".join(f"{part}={device[part]}" for part in ("type", key) if device.get(part))
    text = ", ".join(f"{part} {device[part]}" for part in ("product", "name", "serial", "addr") if device.get(part))
    return Finding(subject="USRP", level="ok", text=text or kind, next_step=_use(name, where), facts=device)


def uhd_devices(text: str) -> list[dict[str, str]]:
    """Key and value of each device in what `uhd_find_devices` prints."""
    blocks = re.split(r"^-- UHD Device \d+$", text, flags=re.MULTILINE)[1:]
    return [_pairs(block.splitlines(), r"^ +(\w+): (.*)$") for block in blocks]


def _soapy_radios() -> list[Finding]:
    outcome = run_program(["SoapySDRUtil", "--find"], FIND_S)
    if outcome.problem:
        return [_unasked("SoapySDRUtil", outcome)]
    found = []
    for device in soapy_devices(outcome.out):
        driver = device.get("driver", "unknown")
        if driver in ("uhd", "plutosdr"):  # found above, by their own drivers
            continue
        text = device.get("label") or ", ".join(f"{key} {value}" for key, value in device.items())
        found.append(
            Finding(subject=driver, level="ok", text=text, next_step=_use("soapy", f"driver={driver}"), facts=device)
        )
    return found


def soapy_devices(text: str) -> list[dict[str, str]]:
    """Key and value of each device in what `SoapySDRUtil --find` prints."""
    blocks = re.split(r"^Found device \d+$", text, flags=re.MULTILINE)[1:]
    return [_pairs(block.splitlines(), r"^ +(\w+) = (.*)$") for block in blocks]


def _pairs(lines: Iterable[str], pattern: str) -> dict[str, str]:
    matches = (re.match(pattern, line) for line in lines)
    return {match[1]: match[2].strip() for match in matches if match is not None}


def _unasked(program: str, outcome: Outcome) -> Finding:
    """A search that did not take place."""
    is_missing = "not installed" in outcome.problem
    step = MISSING[program] if is_missing else f"run `{program}` by itself; unplug and plug in what hangs"
    level: Level = "note"
    return Finding(subject=program, level=level, text=outcome.problem, next_step=step)
