# SPDX-License-Identifier: GPL-3.0-or-later
"""The fingerprint of an evaluation changes with what a codec does, and with nothing else."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction

import numpy as np

from gened.gr_blocks.phy.fingerprint import waveform_fingerprint
from gened.gr_blocks.phy.types import Received
from gened.models.codecs.base import Decoded
from gened.models.codecs.softcast.codec import SoftCast
from gened.models.evaluation.run.fingerprint import differences, evaluation_fingerprint

RATE = Fraction(1, 24)


class Brighter(SoftCast):
    """Decodes a little brighter under an unchanged number, as after a change of its code."""

    def decode(self, received: Received) -> Decoded:
        decoded = super().decode(received)
        return replace(decoded, x_hat=np.clip(decoded.x_hat + np.float32(0.01), 0, 1))


class Renamed(SoftCast):
    """The same codec in another module, as after a refactoring."""


class Refusing(SoftCast):
    """Cannot do the picture of the fingerprint."""

    def decode(self, received: Received) -> Decoded:
        raise ValueError("a picture of 128x144 pixels")


def test_a_change_of_the_code_is_seen_and_a_refactoring_is_not() -> None:
    first = evaluation_fingerprint(SoftCast(), RATE, "channel")
    assert first is not None and first["codec: PSNR, 1 dB"] < first["codec: PSNR, 10 dB"] - 1
    assert evaluation_fingerprint(Renamed(), RATE, "channel") == first
    changed = evaluation_fingerprint(Brighter(), RATE, "channel")
    assert changed is not None
    found = differences(first, changed)
    assert [text.partition(",")[0] for text in found] == ["codec: PSNR"] * 2 and " -> " in found[0]


def test_the_waveform_counts_only_where_it_is_used() -> None:
    straight, over = (evaluation_fingerprint(SoftCast(), RATE, way) for way in ("channel", "loopback"))
    assert straight is not None and over is not None
    assert over == straight | waveform_fingerprint() and len(over) > len(straight)


def test_a_codec_that_fails_has_no_fingerprint_and_ends_nothing() -> None:
    assert evaluation_fingerprint(Refusing(), RATE, "channel") is None
    assert evaluation_fingerprint(SoftCast(), Fraction(1, 2), "channel") is None


def test_rounding_is_no_difference_and_a_missing_figure_is_one() -> None:
    recorded = {"a": 20.0, "b": 3.0}
    assert differences(recorded, {"a": 20.01, "b": 2.99}) == []
    assert differences(recorded, {"a": 20.1, "b": 3.0}) == ["a: 20 -> 20.1"]
    assert differences(recorded, {"a": 20.0, "c": 1.0}) == ["b: no longer measured", "c: not recorded"]
