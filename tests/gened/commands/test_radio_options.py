# SPDX-License-Identifier: GPL-3.0-or-later
"""`--radio`, `--set` and `--transmit` as a shell sees them: one line for each mistake, and no device is opened."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from gened.cli import main
from gened.commands.signals import SIGNALS


@pytest.fixture
def refused(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> Iterator[Callable[..., str]]:
    """The one line of a command that fails; PHOTO stands for a picture."""
    before = {number: signal.getsignal(number) for number in SIGNALS}
    photo = tmp_path / "photo.png"
    Image.fromarray(np.random.default_rng(1).integers(0, 256, (64, 80, 3)).astype(np.uint8)).save(photo)

    def begin(*arguments: str) -> str:
        assert main([str(photo) if word == "PHOTO" else word for word in arguments]) != 0
        lines = [line for line in capsys.readouterr().err.splitlines() if line.startswith("gened: ")]
        assert len(lines) == 1
        return lines[0]

    yield begin
    for number, handler in before.items():
        signal.signal(number, handler)


TRANSMIT = ("transmit", "PHOTO", "--numpy", "--captioner", "none", "--caption", "x")
LOOPBACK = ("loopback", "PHOTO", "--numpy", "--captioner", "none", "--caption", "x")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((*TRANSMIT, "--radio", "pluto"), "would transmit at 2449.5 MHz with -89.75 dB gain; nothing was sent"),
        ((*TRANSMIT, "--radio", "usrp-b200", "--set", "tx.gain_db=20"), "with 20 dB gain; nothing was sent"),
        ((*TRANSMIT, "--radio", "pluto", "--transmit", "--set", "tx.center_freq=868e6"), "leaves allowed_bands"),
        ((*TRANSMIT, "--radio", "pluto", "--set", "tx.gain_db=7"), "pluto.yaml: tx.gain_db is 7"),
        ((*TRANSMIT, "--radio", "pluto", "--set", "tx.gain_db"), "write KEY=VALUE"),
        ((*TRANSMIT, "--radio", "plato"), "no radio profile 'plato'"),
        ((*TRANSMIT, "--set", "tx.gain_db=-40"), "add --radio"),
        ((*TRANSMIT, "--radio", "pluto", "--address", "tcp://127.0.0.1:5550"), "write --set address="),
        ((*TRANSMIT, "--radio", "pluto", "--sample-rate", "200e3"), "sample_rate is 200000.0"),
        ((*LOOPBACK, "--radio", "pluto"), "would transmit at 2449.5 MHz with -89.75 dB gain; nothing was sent"),
        ((*LOOPBACK, "--radio", "pluto", "--transmit", "--freq-offset", "0"), "--freq-offset sets the simulated air"),
        ((*LOOPBACK, "--radio", "virtual-pluto", "--speed", "2"), "--speed sets the simulated air"),
        ((*LOOPBACK, "--radio", "virtual-pluto", "--set", "tx.center_freq=868e6"), "leaves allowed_bands"),
        ((*LOOPBACK, "--radio", "loopback"), "without --radio the loopback has its own air"),
        (("receive", "--radio", "pluto", "--until-end"), "use --frames or --timeout"),
        (("receive", "--radio", "loopback.yaml", "--set", "rx.address=5551"), "rx.address is 5551"),
    ],
)
def test_a_mistake_is_one_line(refused: Callable[..., str], arguments: tuple[str, ...], message: str) -> None:
    assert message in refused(*arguments)


def test_a_radio_that_is_not_there_is_one_line(refused: Callable[..., str]) -> None:
    pytest.importorskip("gnuradio.iio", exc_type=ImportError)
    pytest.importorskip("adi", exc_type=ImportError)
    address = ("--set", "address=ip:127.0.0.9:9")
    assert "is it plugged in" in refused(*TRANSMIT, "--radio", "pluto", "--transmit", *address)
    assert "is it plugged in" in refused("receive", "--radio", "pluto", *address)


def test_a_profile_of_the_simulated_link_chooses_its_addresses(refused: Callable[..., str]) -> None:
    address = "tcp://127.0.0.1:59871"
    line = refused("receive", "--radio", "loopback", "--set", f"rx.address={address}", "--timeout", "0.5")
    assert f"no samples at {address}" in line
