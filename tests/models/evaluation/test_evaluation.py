# SPDX-License-Identifier: GPL-3.0-or-later
"""The evaluation by what goes in and what comes out."""

from __future__ import annotations

import io
import json
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import pytest
from PIL import Image
from skimage import data

from gened.errors import CodecError, ConfigError, FrameError, ImageError
from gened.gr_blocks.phy.channel.config import ChannelConfig
from gened.gr_blocks.phy.coding.modes import mode_for_snr, n_symbols
from gened.gr_blocks.phy.framing.budget import budget
from gened.gr_blocks.phy.framing.records import Records, pack_records
from gened.gr_blocks.phy.types import ImageSize, Received
from gened.models.codecs.base import Decoded
from gened.models.codecs.encode_options import EncodeOptions
from gened.models.codecs.softcast.codec import SoftCast
from gened.models.data.reading import ImageSizeError, NotAnImageError
from gened.models.evaluation.metrics.pixel_metrics import mean_picture, psnr_db
from gened.models.evaluation.run.evaluate import (
    ROW_KEYS,
    describe,
    evaluate,
    missing_values,
    run_evaluation,
    table,
)
from gened.option_fields import Option

NAMES = ("astronaut", "chelsea", "coffee")


@pytest.fixture(scope="module")
def codec() -> SoftCast:
    return SoftCast()


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    """Three small photographs in a plain folder."""
    folder = tmp_path / "pictures"
    folder.mkdir()
    for name in NAMES:
        Image.fromarray(getattr(data, name)()).resize((96, 80)).save(folder / f"{name}.png")
    (folder / "notes.txt").write_text("not a picture")
    return folder


class LosingCodec(SoftCast):
    """Loses every picture."""

    def decode(self, received: Received) -> Decoded:
        size = received.size
        return Decoded(np.full((3, *size), 0.9, np.float32), None, np.zeros(tuple(size), np.float32))


# Data


@pytest.fixture
def masked(pictures: Path, tmp_path: Path) -> Path:
    """The three photographs with masks, the middle half of each, and a caption each."""
    folder = tmp_path / "set"
    (folder / "masks").mkdir(parents=True)
    pictures.rename(folder / "images")
    mask = np.zeros((80, 96), np.uint8)
    mask[20:60] = 255
    for name in NAMES:
        Image.fromarray(mask).save(folder / "masks" / f"{name}.png")
    captions = [{"file": f"{name}.png", "captions": ["é" * 10, "other"]} for name in NAMES]
    (folder / "captions.jsonl").write_text("\n".join(json.dumps(entry) for entry in captions))
    return folder


class Spy(SoftCast):
    """Writes down what the encoder is told, and how often."""

    def __init__(self) -> None:
        super().__init__()
        self.told: list[dict[str, Any]] = []

    def encode(self, x, *, rate=Fraction(1, 24), snr_db, mask=None, focus=None, refine_steps=0, seed=0, **options):
        given = {"mask": mask, "focus": focus}
        self.told.append(options | {name: value for name, value in given.items() if value is not None})
        return super().encode(x, rate=rate, snr_db=snr_db, seed=seed)


class MaskingCodec(SoftCast):
    """Holds a mask at the receiver: the upper three quarters; loses the pictures whose numbers it is told."""

    lost: tuple[int, ...] = ()
    _count = 0

    def decode(self, received: Received) -> Decoded:
        size = received.size
        self._count += 1
        if self._count in self.lost:
            return Decoded(np.full((3, *size), 0.5, np.float32), None, np.zeros(tuple(size), np.float32))
        mask = np.zeros(tuple(size), np.float32)
        mask[: 3 * size.height // 4] = 1
        return replace(super().decode(received), mask=mask)


def test_masks_and_captions_are_used_where_they_are(codec: SoftCast, masked: Path) -> None:
    row = evaluate(codec, masked, snrs_db=[10.0])[0]
    assert row["caption_symbols"] == n_symbols(len(pack_records(Records(caption="é" * 10))), mode_for_snr(10.0))
    assert row["payload_symbols"] == row["analog_symbols"] + row["side_symbols"] + row["caption_symbols"]
    low, high = sorted([row["psnr_fg_db"], row["psnr_bg_db"]])
    assert low - 0.5 < row["psnr_db"] < high + 0.5
    assert row["mask_iou"] is None and row["mask_fmeasure"] is None  # this codec's receiver knows of no mask


def test_the_receivers_mask_is_compared_with_the_true_one(masked: Path) -> None:
    row = evaluate(MaskingCodec(), masked, snrs_db=[10.0])[0]
    assert row["mask_iou"] == pytest.approx(40 / 60, abs=1e-5)
    assert row["mask_fmeasure"] == pytest.approx(1.3 * (2 / 3) / (0.3 * (2 / 3) + 1), abs=1e-5)


def test_a_lost_picture_has_found_nothing_of_the_mask(masked: Path) -> None:
    codec = MaskingCodec()
    codec.lost = (2,)
    row = evaluate(codec, masked, snrs_db=[10.0])[0]
    assert row["lost_fraction"] == pytest.approx(1 / 3)
    assert row["mask_iou"] == pytest.approx(2 / 3 * 40 / 60, abs=1e-5)


def test_pictures_without_a_mask_do_not_count_under_it(masked: Path) -> None:
    codec = MaskingCodec()
    alone = evaluate(codec, masked, snrs_db=[10.0], limit=1)[0]
    for name in NAMES[1:]:
        (masked / "masks" / f"{name}.png").unlink()
    assert evaluate(codec, masked, snrs_db=[10.0])[0]["psnr_fg_db"] == alone["psnr_fg_db"]
    about = describe(masked, limit=None, metrics=("psnr",), clip=None, mask="codec")
    assert len(about["data"].pop("sha256")) == 64
    assert about["data"] == {"name": "set", "pictures": 3, "masks": 1, "captions": 3}
    assert about["mask"] == "codec"


def test_the_encoder_is_told_of_the_mask_as_asked(masked: Path) -> None:
    spy = Spy()
    for mask, focus in (("codec", None), ("codec", 3.0), ("truth", 3.0), ("none", None)):
        evaluate(spy, masked, snrs_db=[10.0], limit=1, mask=mask, encode=EncodeOptions(focus=focus))
    own, focused, truth, none = spy.told
    assert own == {} and focused == {"focus": 3.0} and none == {"focus": 1.0}
    assert truth["focus"] == 3.0 and truth["mask"].dtype == np.float32
    assert truth["mask"].sum() == 40 * 96 and truth["mask"][20:60].all()


def test_a_true_mask_makes_the_foreground_better_at_the_cost_of_the_rest(codec: SoftCast, masked: Path) -> None:
    truth = evaluate(codec, masked, snrs_db=[10.0], mask="truth", encode=EncodeOptions(focus=10.0))[0]
    none = evaluate(codec, masked, snrs_db=[10.0], mask="none")[0]
    assert truth["psnr_fg_db"] > none["psnr_fg_db"] + 0.5
    assert truth["psnr_bg_db"] < none["psnr_bg_db"] - 0.5


def test_masks_that_cannot_be_given_are_errors_before_anything_is_measured(masked: Path) -> None:
    spy = Spy()
    with pytest.raises(ConfigError, match="--mask none weighs all alike"):
        evaluate(spy, masked, mask="none", encode=EncodeOptions(focus=2.0))
    with pytest.raises(ConfigError, match="positive"):
        evaluate(spy, masked, encode=EncodeOptions(focus=float("nan")))
    (masked / "masks" / "coffee.png").unlink()
    with pytest.raises(ConfigError, match=r"coffee\.png has none"):
        evaluate(spy, masked, mask="truth")
    assert spy.told == []


# Evaluation


def test_rows_have_the_keys_of_the_page_and_nothing_is_spent_twice(codec: SoftCast, pictures: Path) -> None:
    rows = evaluate(codec, pictures, snrs_db=[1.0, 10.0])
    assert [row["snr_db"] for row in rows] == [1.0, 10.0]
    for row in rows:
        assert tuple(row) == ROW_KEYS
        allowed = budget(ImageSize(80, 96), Fraction(1, 24), row["snr_db"]).symbols
        assert row["analog_symbols"] + row["side_symbols"] == pytest.approx(allowed, abs=1)
        assert row["caption_symbols"] == 0  # none was sent
        assert row["payload_symbols"] == pytest.approx(allowed, abs=1)
        assert row["psnr_db_ci95"][0] <= row["psnr_db"] <= row["psnr_db_ci95"][1]
        assert row["n"] == 3
        assert row["ms_ssim"] is None  # 80 pixels are too few for five scales
        assert row["rate"] == "1/24"
    assert rows[1]["psnr_db"] > rows[0]["psnr_db"] + 2
    json.dumps(rows, allow_nan=False)


def test_the_papers_caption_is_counted_where_it_is_asked_for_and_none_where_none_is_sent(
    codec: SoftCast, masked: Path
) -> None:
    sent, none, paper = (
        evaluate(codec, masked, snrs_db=[10.0], limit=1, metrics=("psnr",), captions=captions)[0]
        for captions in ("sent", "none", "paper")
    )
    assert (none["caption_symbols"], paper["caption_symbols"]) == (0, 426)
    assert 0 < sent["caption_symbols"] != 426
    assert sent["psnr_db"] == none["psnr_db"] == paper["psnr_db"]  # the caption has a noise of its own


def test_the_same_evaluation_gives_the_same_figures(codec: SoftCast, pictures: Path) -> None:
    timings = ("encode_ms", "decode_ms")
    one, two = (evaluate(codec, pictures, snrs_db=[4.0], seeds=2)[0] for _ in range(2))
    assert {key: one[key] for key in one if key not in timings} == {key: two[key] for key in two if key not in timings}
    assert one["n"] == 6


def test_noise_seeds_do_not_narrow_the_interval(codec: SoftCast, pictures: Path) -> None:
    one, many = (evaluate(codec, pictures, snrs_db=[10.0], metrics=("psnr",), seeds=n)[0] for n in (1, 8))
    assert [many[key] for key in ("n", "n_pictures", "n_seeds")] == [24, 3, 8]
    widths = [row["psnr_db_ci95"][1] - row["psnr_db_ci95"][0] for row in (one, many)]
    assert widths[1] == pytest.approx(widths[0], rel=0.1)


def test_one_picture_has_no_interval(codec: SoftCast, pictures: Path) -> None:
    from rich.console import Console

    rows = evaluate(codec, pictures, snrs_db=[10.0], metrics=("psnr",), seeds=2, limit=1)
    assert rows[0]["psnr_db_ci95"] is None and rows[0]["n"] == 2
    text = io.StringIO()
    Console(width=80, file=text).print(table(rows))
    assert "95 %" not in text.getvalue() and "2 noise seeds each" in " ".join(text.getvalue().split())


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
    encode = EncodeOptions(rate=Fraction(1, 12))
    evaluate(Spy(), pictures, encode=encode, snrs_db=[10.0], channel=fading, resize=384, limit=1)
    assert seen == [3]


@dataclass(frozen=True, kw_only=True)
class Noted(EncodeOptions):
    """Settings with one that only the spy knows."""

    note: Annotated[int, Option("--note")] = 0
    """A number."""


def test_options_reach_the_encoder(pictures: Path) -> None:
    spy = Spy()
    evaluate(spy, pictures, snrs_db=[10.0], limit=1, encode=Noted(note=7))
    assert spy.told == [{"note": 7}]


# Cache and processes


def test_what_was_measured_is_not_measured_again(pictures: Path, tmp_path: Path) -> None:
    spy = Spy()
    first = evaluate(spy, pictures, snrs_db=[1.0, 10.0], limit=2, cache=tmp_path / "cache")
    assert len(spy.told) == 4
    assert evaluate(spy, pictures, snrs_db=[1.0, 10.0], limit=2, cache=tmp_path / "cache") == first
    assert len(spy.told) == 4
    evaluate(spy, pictures, snrs_db=[1.0, 10.0], cache=tmp_path / "cache")
    assert len(spy.told) == 6


@pytest.mark.parametrize(
    "change",
    [
        {"snrs_db": [4.0]},
        {"encode": EncodeOptions(rate=Fraction(1, 48))},
        {"channel": ChannelConfig("rayleigh-block")},
        {"over": "loopback"},
        {"encode": EncodeOptions(focus=2.0)},
        {"mask": "none"},
        {"captions": "paper"},
        {"metrics": ("psnr",)},
        {"resize": 64},
        {"encode": Noted(note=7)},
        {"codec_options": {"note": 7}},
    ],
    ids=lambda change: next(iter(change)),
)
def test_whatever_decides_a_score_makes_another_entry(pictures: Path, tmp_path: Path, change: dict[str, Any]) -> None:
    spy = Spy()
    same: dict[str, Any] = {"snrs_db": [10.0], "limit": 1, "cache": tmp_path / "cache"}
    evaluate(spy, pictures, **same)
    evaluate(spy, pictures, **{**same, **change})
    assert len(spy.told) == 2


def test_other_weights_other_pictures_and_broken_entries_are_measured_anew(pictures: Path, tmp_path: Path) -> None:
    spy = Spy()
    same: dict[str, Any] = {"snrs_db": [10.0], "limit": 1, "cache": tmp_path / "cache"}
    first = evaluate(spy, pictures, **same)
    spy.codec_id += 1
    evaluate(spy, pictures, **same)
    assert len(spy.told) == 2
    entries = list((tmp_path / "cache").iterdir())
    assert len(entries) == 2
    for entry in entries:
        entry.write_text(entry.read_text()[:20])
    again = evaluate(spy, pictures, **same)
    assert len(spy.told) == 3 and again[0]["psnr_db"] == first[0]["psnr_db"]
    (pictures / "chelsea.png").replace(pictures / "astronaut.png")
    evaluate(spy, pictures, **same)
    assert len(spy.told) == 4


def test_a_run_that_was_cut_off_goes_on_where_it_stopped(pictures: Path, tmp_path: Path) -> None:
    spy = Spy()

    def cut_off(done: int, _total: int) -> None:
        if done == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        evaluate(spy, pictures, snrs_db=[10.0], cache=tmp_path, progress=cut_off)
    assert len(spy.told) == 2
    evaluate(spy, pictures, snrs_db=[10.0], cache=tmp_path)
    assert len(spy.told) == 3


def test_a_cache_that_cannot_be_kept_is_one_line(codec: SoftCast, pictures: Path) -> None:
    with pytest.raises(ConfigError, match="no cache can be kept"):
        evaluate(codec, pictures, cache=pictures / "astronaut.png")


def test_processes_measure_what_one_would(codec: SoftCast, pictures: Path, tmp_path: Path) -> None:
    timings = ("encode_ms", "decode_ms")
    seen: list[tuple[int, int]] = []
    one = evaluate(codec, pictures, snrs_db=[4.0], metrics=("psnr",))
    two = evaluate(
        codec,
        pictures,
        snrs_db=[4.0],
        metrics=("psnr",),
        workers=2,
        codec_name="softcast",
        cache=tmp_path / "cache",
        progress=lambda done, total: seen.append((done, total)),
    )
    assert [{key: row[key] for key in row if key not in timings} for row in one] == [
        {key: row[key] for key in row if key not in timings} for row in two
    ]
    assert seen == [(1, 3), (2, 3), (3, 3)]
    assert len(list((tmp_path / "cache").glob("*.json"))) == 3


@pytest.mark.parametrize("workers", [1, 2])
def test_pictures_that_go_together_score_as_alone(
    codec: SoftCast, pictures: Path, tmp_path: Path, workers: int
) -> None:
    timings = ("encode_ms", "decode_ms")
    whole = Image.open(pictures / "astronaut.png")
    whole.crop((0, 0, 100, 80)).save(pictures / "another size.png")
    evaluate(codec, pictures, snrs_db=[4.0, 8.0], metrics=("psnr",), cache=tmp_path / "cache", limit=2)  # known before
    seen: list[tuple[int, int]] = []
    rows = [
        evaluate(codec, pictures, snrs_db=[4.0, 8.0], metrics=("psnr",), codec_name="softcast", seeds=2, **how)
        for how in (
            {},
            {
                "batch": 3, "workers": workers, "cache": tmp_path / "cache",
                "progress": lambda done, total: seen.append((done, total)),
            },
        )
    ]  # fmt: skip
    alone, together = ([{key: row[key] for key in row if key not in timings} for row in each] for each in rows)
    assert alone == together
    assert seen[-1] == (4, 4) and len(seen) == 2


def test_an_error_in_a_process_keeps_its_kind(codec: SoftCast, pictures: Path) -> None:
    (pictures / "astronaut.png").write_bytes(b"nothing")
    with pytest.raises(NotAnImageError, match=r"astronaut\.png"):
        evaluate(codec, pictures, snrs_db=[4.0], workers=2, codec_name="softcast", metrics=("psnr",), limit=1)


def test_progress_counts_pictures(codec: SoftCast, pictures: Path) -> None:
    seen: list[tuple[int, int]] = []
    evaluate(codec, pictures, snrs_db=[10.0], progress=lambda done, total: seen.append((done, total)))
    assert seen == [(1, 3), (2, 3), (3, 3)]


def test_the_table_has_a_column_for_each_snr_and_lines_for_what_was_measured(codec: SoftCast, masked: Path) -> None:
    from rich.console import Console

    text = io.StringIO()
    rows = evaluate(codec, masked, snrs_db=[1.0, 7.0], limit=2)
    Console(width=80, file=text).print(table(rows))
    assert "softcast, rate 1/24, awgn, 2 pictures" in text.getvalue()
    lines = {line.split("│")[1].strip(): line for line in text.getvalue().splitlines() if line.count("│") == 4}
    for row in rows:
        assert f"{row['psnr_db']:.2f}" in lines["PSNR dB"]
        assert f"{row['psnr_fg_db']:.2f}" in lines["PSNR dB, foreground"]
        assert f"{row['psnr_db_ci95'][1]:.2f}" in lines["95 % to"]
    assert "ST-LPIPS" not in lines and "MS-SSIM" not in lines


def test_the_encoder_may_be_told_a_wrong_snr_and_symbols_may_be_lost(pictures: Path, codec: SoftCast) -> None:
    def psnr(**settings: Any) -> float:
        encode = EncodeOptions(rate=Fraction(1, 12))
        return float(evaluate(codec, pictures, snrs_db=[4.0], encode=encode, **settings)[0]["psnr_db"])

    right = psnr()
    assert right - psnr(snr_error_db=8.0) > 0
    assert right - psnr(channel=ChannelConfig(erasure=0.3)) > 0
    with pytest.raises(ConfigError, match="finite"):
        psnr(snr_error_db=float("nan"))
    with pytest.raises(ConfigError, match="--drop"):
        psnr(channel=ChannelConfig(erasure=0.3), over="loopback")


# Values per picture, seeds


def test_means_of_the_values_per_picture_are_the_row(codec: SoftCast, masked: Path) -> None:
    found = run_evaluation(codec, masked, snrs_db=[4.0, 10.0], seeds=2, metrics=("psnr", "masks"))
    assert len(found.pictures) == 2 * 3 * 2 and len({(one["picture"], one["seed"]) for one in found.pictures}) == 6
    for row in found.rows:
        here = [one for one in found.pictures if one["snr_db"] == row["snr_db"]]
        assert {one["picture"] for one in here} == {f"{name}.png" for name in NAMES}
        for key in ("psnr_db", "psnr_fg_db", "payload_symbols"):
            assert np.mean([one[key] for one in here]) == pytest.approx(row[key], abs=0.05)
        assert row["n_known"] == {"psnr_db": 6, "psnr_fg_db": 6, "psnr_bg_db": 6, "mask_iou": 0, "mask_fmeasure": 0}
    json.dumps(found.pictures, allow_nan=False)


def test_a_base_seed_gives_other_noise_and_the_same_again(codec: SoftCast, pictures: Path) -> None:
    def values(base_seed: int) -> list[float]:
        found = run_evaluation(codec, pictures, snrs_db=[4.0], metrics=("psnr",), seeds=2, base_seed=base_seed)
        return [one["psnr_db"] for one in found.pictures]

    assert values(7) == values(7)
    assert not set(values(7)) & set(values(0)) and not set(values(8)) & set(values(7))
    assert len(set(values(7))) == 6


# Bad files


def test_headers_are_checked_before_anything_is_encoded(pictures: Path) -> None:
    spy = Spy()
    for name, size in (("zzz", (63, 100)), ("zzz", (5000, 64)), ("zzz", (9000, 64))):
        Image.new("RGB", size).save(pictures / f"{name}.png")
        with pytest.raises(ImageSizeError, match=rf"zzz\.png is {size[0]}x{size[1]}"):
            evaluate(spy, pictures, snrs_db=[10.0])
    (pictures / "zzz.png").write_bytes(b"nothing")
    with pytest.raises(NotAnImageError, match=r"zzz\.png"):
        evaluate(spy, pictures, snrs_db=[10.0])
    Image.new("RGB", (4096, 4096)).save(pictures / "zzz.png")
    with pytest.raises(FrameError, match=r"zzz\.png: .*bursts"):
        evaluate(spy, pictures, snrs_db=[10.0], encode=EncodeOptions(rate=Fraction(1, 4)))
    assert spy.told == []


@pytest.mark.parametrize("how", [{}, {"workers": 2, "codec_name": "softcast"}, {"batch": 8}], ids=str)
def test_bad_pictures_are_left_out_on_request_and_listed(codec: SoftCast, pictures: Path, how: dict[str, Any]) -> None:
    good = evaluate(codec, pictures, snrs_db=[10.0], metrics=("psnr",))[0]
    Image.new("RGB", (3, 5000)).save(pictures / "small.png")
    whole = (pictures / "coffee.png").read_bytes()
    (pictures / "cut.png").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(ImageError, match=r"small\.png"):
        evaluate(codec, pictures, snrs_db=[10.0], metrics=("psnr",), **how)
    found = run_evaluation(codec, pictures, snrs_db=[10.0], metrics=("psnr",), skip_bad=True, **how)
    assert [one.picture for one in found.left_out] == ["small.png", "cut.png"]
    assert "3x5000" in found.left_out[0].reason and "cut.png is a broken picture" in found.left_out[1].reason
    assert [path.name for path in found.paths] == [f"{name}.png" for name in NAMES]
    assert found.rows[0]["n_pictures"] == 3
    assert found.rows[0]["psnr_db"] == pytest.approx(good["psnr_db"], abs=0.2)


def test_an_error_of_the_codec_names_the_picture(pictures: Path) -> None:
    class Choosy(SoftCast):
        def decode(self, received: Received) -> Decoded:
            if received.size.width == 100:
                raise CodecError("a width of 100 is too much")
            return super().decode(received)

    Image.open(pictures / "coffee.png").resize((100, 80)).save(pictures / "wide.png")
    with pytest.raises(CodecError, match=r"wide\.png: a width of 100"):
        evaluate(Choosy(), pictures, snrs_db=[10.0], batch=4)
    found = run_evaluation(Choosy(), pictures, snrs_db=[10.0], batch=4, skip_bad=True)
    assert [one.picture for one in found.left_out] == ["wide.png"] and found.rows[0]["n"] == 3


def test_without_any_good_picture_there_is_an_error(codec: SoftCast, tmp_path: Path) -> None:
    Image.new("RGB", (1, 1)).save(tmp_path / "dot.png")
    with pytest.raises(ImageError, match=r"no picture of .* can be evaluated; .*dot\.png is 1x1"):
        evaluate(codec, tmp_path, skip_bad=True)


def test_one_small_picture_does_not_take_ms_ssim_from_all(codec: SoftCast, pictures: Path) -> None:
    Image.fromarray(data.chelsea()).resize((200, 180)).save(pictures / "large.png")
    row = evaluate(codec, pictures, snrs_db=[10.0])[0]
    assert 0.5 < row["ms_ssim"] < 1 and row["n_known"]["ms_ssim"] == 1 and row["n_known"]["psnr_db"] == 4
    assert missing_values([row]) == ["ms_ssim: 1 of 4 values are known; it needs 161 pixels per side"]
    whole = evaluate(codec, pictures, snrs_db=[10.0], metrics=("psnr", "masks"))
    assert missing_values(whole) == []  # no mask, no figure under a mask: nothing is missing


def test_a_hash_of_the_data_changes_with_names_pictures_and_masks(masked: Path) -> None:
    def found() -> str:
        return str(describe(masked, limit=None, metrics=("psnr",), clip=None)["data"]["sha256"])

    seen = {found()}
    assert found() in seen
    (masked / "captions.jsonl").unlink()
    assert found() in seen
    (masked / "images" / "coffee.png").rename(masked / "images" / "tea.png")
    seen.add(found())
    (masked / "masks" / "chelsea.png").unlink()
    seen.add(found())
    Image.new("RGB", (96, 80)).save(masked / "images" / "tea.png")
    seen.add(found())
    assert len(seen) == 4
