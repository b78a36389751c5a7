# SPDX-License-Identifier: GPL-3.0-or-later
"""Metrics by numbers that can be checked by hand; the evaluation by what goes in and what comes out."""

from __future__ import annotations

import io
import json
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from skimage import data

from gened.gr_blocks.phy.budget import budget
from gened.gr_blocks.phy.channel import ChannelConfig
from gened.gr_blocks.phy.errors import ConfigError
from gened.gr_blocks.phy.modes import n_symbols
from gened.gr_blocks.phy.types import Encoded, ImageSize, Received
from gened.models.codecs.base import Decoded
from gened.models.codecs.softcast import SoftCast
from gened.models.evaluation.evaluate import CAPTION_SYMBOLS, ROW_KEYS, evaluate, find_pictures, read_captions, table
from gened.models.evaluation.metrics import (
    bootstrap_interval,
    library_versions,
    masked_psnr_db,
    mean_picture,
    ms_ssim,
    psnr_db,
)


@pytest.fixture(scope="module")
def codec() -> SoftCast:
    return SoftCast()


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    """Three small photographs in a plain folder."""
    folder = tmp_path / "pictures"
    folder.mkdir()
    for name in ("astronaut", "chelsea", "coffee"):
        Image.fromarray(getattr(data, name)()).resize((96, 80)).save(folder / f"{name}.png")
    (folder / "notes.txt").write_text("not a picture")
    return folder


class LosingCodec(SoftCast):
    """Loses every picture."""

    def decode(self, received: Received) -> Decoded:
        size = received.size
        return Decoded(np.full((3, *size), 0.9, np.float32), None, np.zeros(tuple(size), np.float32))


# Metrics


def test_psnr_is_over_all_channels_after_rounding() -> None:
    x = np.zeros((3, 4, 4), np.float32)
    y = x.copy()
    y[0] = 3 / 255  # a third of the values is three steps off: mean squared error 3 steps
    assert psnr_db(x, y) == pytest.approx(10 * np.log10(255**2 / 3), abs=1e-3)
    assert psnr_db(x, y + 0.4 / 255) == psnr_db(x, y)
    assert psnr_db(x, x) == 100


def test_psnr_under_a_mask_sees_only_the_mask() -> None:
    x = np.zeros((3, 4, 4), np.float32)
    y = x.copy()
    y[:, :2] = 1
    mask = np.zeros((4, 4), bool)
    mask[:2] = True
    assert masked_psnr_db(x, y, mask) == 0
    assert masked_psnr_db(x, y, ~mask) == 100
    assert masked_psnr_db(x, y, np.zeros((4, 4), bool)) is None


def test_ms_ssim_is_one_for_equals_and_less_for_noise() -> None:
    x = (data.astronaut()[:192, :192].transpose(2, 0, 1) / 255).astype(np.float32)
    noisy = np.clip(x + np.random.default_rng(0).normal(0, 0.1, x.shape), 0, 1).astype(np.float32)
    assert ms_ssim(x, x) == pytest.approx(1, abs=1e-6)
    found = ms_ssim(x, noisy)
    assert found is not None
    assert 0.5 < found < 0.99
    assert ms_ssim(x[:, :160], x[:, :160]) is None


def test_the_interval_holds_the_mean_and_narrows_with_more_pictures() -> None:
    values = np.random.default_rng(0).normal(25, 3, 400)
    low, high = bootstrap_interval(values)
    assert low < values.mean() < high
    assert high - low == pytest.approx(2 * 1.96 * 3 / np.sqrt(400), rel=0.2)
    assert bootstrap_interval(values) == (low, high)


def test_each_metric_says_its_library_and_version() -> None:
    assert library_versions()["ms_ssim"].startswith("pytorch-msssim 1")


# Data


def test_pictures_of_a_folder_are_found_by_name(pictures: Path, tmp_path: Path) -> None:
    assert [path.stem for path in find_pictures(pictures)] == ["astronaut", "chelsea", "coffee"]
    with pytest.raises(ConfigError, match="no folder"):
        find_pictures(tmp_path / "absent")
    (tmp_path / "empty").mkdir()
    with pytest.raises(ConfigError, match="no pictures in"):
        find_pictures(tmp_path / "empty")


def test_a_bad_line_of_captions_is_named(tmp_path: Path) -> None:
    (tmp_path / "captions.jsonl").write_text('{"file": "a.png", "captions": ["a cat"]}\n{"file": "b.png"}\n')
    with pytest.raises(ConfigError, match="line 2"):
        read_captions(tmp_path)


def test_masks_and_captions_are_used_where_they_are(codec: SoftCast, pictures: Path, tmp_path: Path) -> None:
    folder = tmp_path / "set"
    (folder / "masks").mkdir(parents=True)
    pictures.rename(folder / "images")
    mask = np.zeros((80, 96), np.uint8)
    mask[20:60] = 255
    for name in ("astronaut", "chelsea", "coffee"):
        Image.fromarray(mask).save(folder / "masks" / f"{name}.png")
    captions = [{"file": f"{name}.png", "captions": ["é" * 10, "other"]} for name in ("astronaut", "chelsea", "coffee")]
    (folder / "captions.jsonl").write_text("\n".join(json.dumps(entry) for entry in captions))
    row = evaluate(codec, folder, snrs_db=[10.0])[0]
    assert row["caption_symbols"] == n_symbols(20, "16qam-1/2")
    low, high = sorted([row["psnr_fg_db"], row["psnr_bg_db"]])
    assert low - 0.5 < row["psnr_db"] < high + 0.5


# Evaluation


def test_rows_have_the_keys_of_the_page_and_nothing_is_spent_twice(codec: SoftCast, pictures: Path) -> None:
    rows = evaluate(codec, pictures, snrs_db=[1.0, 10.0])
    assert [row["snr_db"] for row in rows] == [1.0, 10.0]
    for row in rows:
        assert tuple(row) == ROW_KEYS
        allowed = budget(ImageSize(80, 96), Fraction(1, 24), row["snr_db"]).symbols
        assert row["analog_symbols"] + row["side_symbols"] == pytest.approx(allowed, abs=1)
        assert row["payload_symbols"] == pytest.approx(allowed + CAPTION_SYMBOLS, abs=1)
        assert row["psnr_db_ci95"][0] <= row["psnr_db"] <= row["psnr_db_ci95"][1]
        assert row["n"] == 3
        assert row["ms_ssim"] is None  # 80 pixels are too few for five scales
        assert row["rate"] == "1/24"
    assert rows[1]["psnr_db"] > rows[0]["psnr_db"] + 2
    json.dumps(rows, allow_nan=False)


def test_the_same_evaluation_gives_the_same_figures(codec: SoftCast, pictures: Path) -> None:
    timings = ("encode_ms", "decode_ms")
    one, two = (evaluate(codec, pictures, snrs_db=[4.0], seeds=2)[0] for _ in range(2))
    assert {key: one[key] for key in one if key not in timings} == {key: two[key] for key in two if key not in timings}
    assert one["n"] == 6


def test_a_lost_picture_scores_as_its_mean_grey(pictures: Path) -> None:
    row = evaluate(LosingCodec(), pictures, snrs_db=[10.0], limit=1)[0]
    x = np.asarray(Image.open(pictures / "astronaut.png"), np.float32).transpose(2, 0, 1) / 255
    assert row["lost_fraction"] == 1
    assert row["psnr_db"] == pytest.approx(psnr_db(x, mean_picture(x)), abs=1e-3)


def test_through_the_whole_waveform_little_is_lost(codec: SoftCast, pictures: Path) -> None:
    channel = ChannelConfig(freq_offset_hz=20e3, sfo_ppm=20)
    straight = evaluate(codec, pictures, snrs_db=[7.0], limit=2)[0]
    waveform = evaluate(codec, pictures, snrs_db=[7.0], limit=2, over="loopback", channel=channel)[0]
    assert waveform["channel"] == "awgn over loopback"
    assert waveform["lost_fraction"] == 0
    assert straight["psnr_db"] - 0.7 < waveform["psnr_db"] < straight["psnr_db"] + 0.3


def test_a_frame_that_never_arrives_is_lost_and_no_exception(codec: SoftCast, pictures: Path) -> None:
    row = evaluate(codec, pictures, snrs_db=[10.0], limit=1, over="loopback", channel=ChannelConfig(drop=1.0))[0]
    assert row["lost_fraction"] == 1


def test_pictures_are_stretched_to_a_square(codec: SoftCast, pictures: Path) -> None:
    row = evaluate(codec, pictures, snrs_db=[10.0], resize=64, limit=1)[0]
    assert row["analog_symbols"] + row["side_symbols"] == pytest.approx(512, abs=1)


def test_a_picture_of_several_bursts_fades_burst_by_burst(pictures: Path) -> None:
    seen = []

    class Spy(LosingCodec):
        def decode(self, received: Received) -> Decoded:
            seen.append(len(np.unique(received.noise_var)))
            return super().decode(received)

    fading = ChannelConfig("rayleigh-block")
    evaluate(Spy(), pictures, rate=Fraction(1, 12), snrs_db=[10.0], channel=fading, resize=384, limit=1)
    assert seen == [3]


def test_options_reach_the_encoder(pictures: Path) -> None:
    seen = []

    class Spy(SoftCast):
        def encode(self, x, **options):
            seen.append(options.pop("note"))
            encoded = super().encode(x, **options)
            return replace(encoded, symbols=encoded.symbols) if isinstance(encoded, Encoded) else encoded

    evaluate(Spy(), pictures, snrs_db=[10.0], limit=1, options={"note": 7})
    assert seen == [7]


def test_progress_counts_pictures(codec: SoftCast, pictures: Path) -> None:
    seen: list[tuple[int, int]] = []
    evaluate(codec, pictures, snrs_db=[10.0], progress=lambda done, total: seen.append((done, total)))
    assert seen == [(1, 3), (2, 3), (3, 3)]


def test_the_table_tells_each_row(codec: SoftCast, pictures: Path) -> None:
    from rich.console import Console

    text = io.StringIO()
    console = Console(width=160, file=text)
    console.print(table(evaluate(codec, pictures, snrs_db=[1.0, 7.0], limit=1)))
    assert "softcast, rate 1/24, awgn, 1 pictures" in text.getvalue()
    assert len([line for line in text.getvalue().splitlines() if " to " in line]) == 2
