# SPDX-License-Identifier: GPL-3.0-or-later
"""The doctor before a radio: the virtual Pluto, asked through the real libiio and gr-iio, in the doctor's processes."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from gened.doctor import radio_checks, radios
from gened.doctor.findings import Visit
from gened.errors import LinkError
from gened.flowgraphs.radios.iio import OVERFLOW, _StatusWatch
from gened.flowgraphs.radios.radio_events import EventReporter
from gened.gr_blocks.phy.channel.config import ChannelConfig
from gened.hw_config.profile import HardwareProfile, load_profile
from gened.link.control import free_ports
from gened.virtual_pluto.air import AirConfig
from gened.virtual_pluto.server import ServerConfig, VirtualPlutos
from gened.virtual_pluto.tree import LPC

pytest.importorskip("gnuradio.iio", exc_type=ImportError)
adi = pytest.importorskip("adi", exc_type=ImportError)


@pytest.fixture(scope="module")
def plutos() -> Iterator[VirtualPlutos]:
    config = AirConfig(channel=ChannelConfig(snr_db=20.0))
    for port in free_ports(10):
        try:
            served = VirtualPlutos(ServerConfig(port=port, air=config))
        except LinkError:  # the next port is somebody's
            continue
        with served:
            yield served
        return
    raise AssertionError("no free port")


def at(plutos: VirtualPlutos, **overrides: str) -> HardwareProfile:
    return load_profile(
        "virtual-pluto", {"address": plutos.uris[0], **{key.replace("__", "."): v for key, v in overrides.items()}}
    )


def test_a_pluto_is_found_at_the_address_of_the_profile(plutos: VirtualPlutos) -> None:
    found = {one.subject: one for one in radios._plutos(Visit(at(plutos)))}
    mine = found[plutos.uris[0]]
    assert mine.level == "ok" and "PlutoSDR" in mine.text and mine.facts["is_virtual"]
    assert mine.next_step == f"gened doctor --radio virtual-pluto --set address={plutos.uris[0]}"


def test_a_profile_that_fits_is_ok_on_both_sides_and_its_rate_is_reached(plutos: VirtualPlutos) -> None:
    visit = Visit(at(plutos), rate_s=1.5)
    assert [one.level for one in radio_checks.profile(visit)] == ["ok", "ok"]
    rate, level = radio_checks.rate(visit)
    assert rate.facts["n_samples"] > 0.7 * 1.5e6, rate.text  # a busy machine may lose some, and then says so
    assert "Msample/s" in rate.text and level.level == "ok"
    pluto = plutos.air.plutos[0]
    assert not pluto.transmitters and not pluto.queue.is_cyclic  # nobody has sent anything


def test_an_oscillator_out_of_range_is_a_problem_and_nothing_is_measured(plutos: VirtualPlutos) -> None:
    visit = Visit(at(plutos, rx__center_freq="100e6"))
    problem, fitting = radio_checks.profile(visit)
    assert problem.level == "problem" and "325 to 3800 MHz" in problem.text and "325000000" in problem.next_step
    assert fitting.level == "ok" and radio_checks.rate(visit) == []


def test_a_radio_that_does_not_answer_is_one_problem_with_advice() -> None:
    visit = Visit(load_profile("pluto", {"address": "ip:127.0.0.9:9"}))
    (problem,) = radio_checks.profile(visit)
    assert problem.level == "problem" and "127.0.0.9" in problem.text and "plug it in" in problem.next_step
    assert radio_checks.rate(visit) == []


def test_an_overflow_of_the_virtual_pluto_is_seen_in_its_register(plutos: VirtualPlutos) -> None:
    events = EventReporter("a radio", lambda _: None)
    times_s = iter((0.0, 2.0))
    watch = _StatusWatch(adi.Pluto(plutos.uris[0])._rxadc, OVERFLOW, "O", events, clock=lambda: next(times_s))
    watch.poll()
    assert events.counts() == {}
    plutos.air.plutos[0]._raise_status(LPC, OVERFLOW)
    watch.poll()
    assert events.counts() == {"O": 1} and not plutos.air.plutos[0].status(LPC) & OVERFLOW
