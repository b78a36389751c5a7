# SPDX-License-Identifier: GPL-3.0-or-later
"""`gened check --codec`: the whole contract on one codec, in a process of its own."""

from __future__ import annotations

import os
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from unfair_codecs import FairCodec, install

from gened.errors import CodecError, GenedError
from gened.gr_blocks.phy.channel.noise import complex_noise
from gened.gr_blocks.phy.types import Encoded, ImageSize, Received
from gened.models.codecs.base import Decoded
from gened.models.codecs.registry import BUILT_IN
from gened.models.evaluation.run import check_codec as checking
from gened.models.evaluation.run.check_codec import RULES, Trial, check_codec, pattern

SUPPORT = Path(__file__).resolve().parents[3] / "support"


@pytest.fixture
def installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The unfair codecs are installed for this process and for those that it starts."""
    install(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    before = os.environ.get("PYTHONPATH", "")
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(tmp_path), str(SUPPORT), *([before] if before else [])]))


def trial_of(codec: Any) -> Trial:
    """Rules on an object that no registry knows, without a limit of memory for the process of the tests."""
    trial = object.__new__(Trial)
    trial.codec, trial.rate, trial._frames = codec, Fraction(1, 24), []
    return trial


def broken(codec: Any) -> dict[str, str]:
    """Rules that the codec breaks, with the faults."""
    found, trial = {}, trial_of(codec)
    for rule, method in RULES.items():
        try:
            method(trial)
        except GenedError as error:
            found[rule] = str(error)
    return found


@pytest.mark.parametrize("name", sorted(BUILT_IN))
def test_all_codecs_of_this_project_keep_every_rule(name: str) -> None:
    verdicts = check_codec(name)
    assert [verdict.rule for verdict in verdicts] == list(RULES)
    assert [verdict for verdict in verdicts if not verdict.is_kept] == []
    assert all(verdict.text for verdict in verdicts)


@pytest.mark.parametrize(
    ("name", "rule", "text"),
    [
        ("loud", "power", "waves 64x64, -3 dB: the mean power of the symbols is 100 (+20.00 dB), not 1 within 1%"),
        ("greedy", "budget", "waves 64x64, -3 dB: "),
        ("transposed", "picture", "decode returned [64, 64, 3] of float32 as the picture, not [3, 64, 64] of float32"),
    ],
)
def test_a_bad_plug_in_breaks_its_rule(installed: None, name: str, rule: str, text: str) -> None:
    verdicts = {verdict.rule: verdict for verdict in check_codec(name)}
    assert not verdicts[rule].is_kept and text in verdicts[rule].text
    assert verdicts["description"].is_kept


def test_a_fair_plug_in_keeps_all(installed: None) -> None:
    seen: list[str] = []
    assert all(verdict.is_kept for verdict in check_codec("fair", progress=seen.append))
    assert seen == list(RULES)


def test_an_unknown_codec_and_an_unknown_option_are_errors_of_the_user(installed: None) -> None:
    with pytest.raises(CodecError, match="unknown codec 'absent'"):
        check_codec("absent")
    with pytest.raises(CodecError, match="codec fair has no option 'gain'"):
        check_codec("fair", options={"gain": 2})


# Each rule is broken by a codec with one fault


class Drawing(FairCodec):
    """Draws at random without using its seed."""

    def encode(self, *arguments: Any, **settings: Any) -> Encoded:
        encoded = super().encode(*arguments, **settings)
        noise = 1e-3 * np.random.default_rng().standard_normal(len(encoded.symbols))
        return replace(encoded, symbols=(encoded.symbols + noise).astype(np.complex64))


class Crashing(FairCodec):
    """Trusts its side information, its symbols and the sizes of pictures."""

    def encode(self, x: Any, **settings: Any) -> Encoded:
        if min(x.shape[1:]) < 16:
            raise IndexError("no block")
        return super().encode(x, **settings)

    def decode(self, received: Received) -> Decoded:
        if received.side_info is not None and len(received.side_info) > 1000:
            raise KeyError(received.side_info[0])
        assert np.isfinite(received.symbols).all()
        return super().decode(received)


class Uneven(FairCodec):
    """Its batches are not what single pictures are."""

    def encode_batch(self, x: Any, *, rate: Fraction, snr_db: float) -> list[Encoded]:
        found = [self.encode(one, rate=rate, snr_db=snr_db) for one in x]
        return [replace(one, symbols=one.symbols[::-1].copy()) for one in found]

    def decode_batch(self, received: Any) -> list[Decoded]:
        return [self.decode(one) for one in received]


class Nameless(FairCodec):
    """Has a number that no header carries."""

    def __init__(self) -> None:
        super().__init__()
        self.codec_id = 1 << 32


@pytest.mark.parametrize(
    ("codec", "faults"),
    [
        (Drawing, {"determinism": "symbols of the same picture differ"}),
        (
            Crashing,
            {
                "hostile side information": "65535 bytes of side information: KeyError",
                "hostile symbols": "symbols of nan: AssertionError",
                "odd sizes": "encode of 1x1 pixels at 10 dB: IndexError: no block",
            },
        ),
        (Uneven, {"batches": "symbols differ from those alone by "}),
        (Nameless, {"description": "codec_id is 4294967296, not 32 bits", "whiteness": "codec_id"}),
    ],
    ids=lambda value: value.__name__ if isinstance(value, type) else "",
)
def test_each_fault_is_found_by_its_rule(codec: Any, faults: dict[str, str]) -> None:
    found = broken(codec())
    assert list(found) == list(faults)
    assert all(text in found[rule] for rule, text in faults.items()), found


def test_a_loss_in_the_waveform_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    text = trial_of(FairCodec()).whiteness()
    assert "PAPR" in text and "over the waveform" in text
    whole = checking.through_waveform

    def noisier(frame: Any, setting: Any) -> Any:
        received, has_caption = whole(frame, setting)
        assert received is not None
        noise = complex_noise(np.random.default_rng(0), len(received.symbols), 1e-2)  # as much again as at 20 dB
        return replace(received, symbols=received.symbols + noise), has_caption

    monkeypatch.setattr(checking, "through_waveform", noisier)
    with pytest.raises(CodecError, match=r"the waveform costs 3\.\d\d dB of SNR.* a loss of more than 1\.5 dB"):
        trial_of(FairCodec()).whiteness()


class Greedy(FairCodec):
    """Takes memory without bounds, or ends its process, where the side information is long."""

    def decode(self, received: Received) -> Decoded:
        if received.side_info is not None and len(received.side_info) > 1000:
            np.ones(1 << 34)  # 128 GiB
        return super().decode(received)


def test_memory_without_bounds_is_a_fault_and_not_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    def no_memory(*_: Any) -> Any:
        raise MemoryError

    trial = trial_of(Greedy())
    monkeypatch.setattr(np, "ones", no_memory)
    with pytest.raises(CodecError, match="65535 bytes of side information: more than 4 GiB of memory"):
        trial.hostile_side_information()


def test_test_pictures_are_pictures_of_any_size() -> None:
    for size in (ImageSize(1, 1), ImageSize(1, 300), ImageSize(64, 65)):
        x = pattern(size)
        assert x.shape == (3, *size) and x.dtype == np.float32 and 0 <= x.min() <= x.max() <= 1
    assert pattern(ImageSize(64, 64)).std() > 0.1
