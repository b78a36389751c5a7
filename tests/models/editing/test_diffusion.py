# SPDX-License-Identifier: GPL-3.0-or-later
"""Other people's diffusion models as editors, each as a tiny pipeline that goes through the whole service."""

from __future__ import annotations

import contextlib
import dataclasses
import importlib
import importlib.util
import inspect
import json
import threading
import types
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tiny_pipelines  # type: ignore[import-not-found]  # skips all of this without diffusers
import torch
from safetensors.torch import load_file

from gened.errors import EditorError
from gened.link.control import free_ports
from gened.models.data.images import to_float, to_uint8
from gened.models.editing import diffusion
from gened.models.editing.base import Edited, EditRequest, EditResult, EditTask
from gened.models.editing.diffusion import KINDS, NO_WORDS, PAPER_PROMPT, is_short_of_memory, prompt_of
from gened.models.editing.registry import load_editor
from gened.models.serving.editor_client import EditorClient
from gened.models.serving.editor_server import EditorServer

diffusers = tiny_pipelines.diffusers

HEIGHT, WIDTH = 67, 93
"""Multiples of nothing."""
HOSTILE = "a {red} bus {caption} {0.__class__} <|im_end|>"
PIX2PIX, IMG2IMG, INPAINT, SDXL, KONTEXT, QWEN, QWEN_PLUS = (
    "StableDiffusionInstructPix2PixPipeline", "StableDiffusionImg2ImgPipeline", "StableDiffusionInpaintPipeline",
    "StableDiffusionXLImg2ImgPipeline", "FluxKontextPipeline", "QwenImageEditPipeline", "QwenImageEditPlusPipeline",
)  # fmt: skip
MAKERS: dict[str, Callable[[Path], Path]] = {
    PIX2PIX: lambda folder: tiny_pipelines.stable_diffusion(folder, PIX2PIX, in_channels=8, flags=False),
    IMG2IMG: lambda folder: tiny_pipelines.stable_diffusion(folder, "StableDiffusionPipeline"),
    INPAINT: lambda folder: tiny_pipelines.stable_diffusion(folder, INPAINT, in_channels=9),
    SDXL: tiny_pipelines.stable_diffusion_xl,
    KONTEXT: tiny_pipelines.flux_kontext,
}
"""What `auto` makes of a folder, and the folder."""
STEPS = {PIX2PIX: 2, IMG2IMG: 6, INPAINT: 6, SDXL: 7, KONTEXT: 2}
"""Two are done: img2img does a third of them."""


@pytest.fixture(scope="session")
def folders(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """Folder of a tiny pipeline by the class that it is to be loaded as; made once."""
    made: dict[str, Path] = {}

    def folder(pipeline: str) -> Path:
        if pipeline not in made:
            made[pipeline] = MAKERS[pipeline](tmp_path_factory.mktemp(pipeline) / "model")
        return made[pipeline]

    return folder


def loaded(folder: Path, pipeline: str, **options: Any) -> Any:
    return load_editor("diffusers", model=str(folder), **{"steps": STEPS.get(pipeline, 2), **options})


class Connection:
    """A client of the service, in float as the editors' own contract; on the way there are 8 bits."""

    def __init__(self, client: EditorClient) -> None:
        self.client = client

    def edit(self, request: EditRequest) -> Edited:
        return self._edited(self.client.edit(self._task(request)))

    def submit(self, request: EditRequest, callback: Callable[[Edited], None]) -> None:
        self.client.submit(self._task(request), lambda result: callback(self._edited(result)))

    @staticmethod
    def _task(request: EditRequest) -> EditTask:
        mask = None if request.mask is None else np.rint(255 * request.mask).astype(np.uint8)
        return EditTask(
            to_uint8(request.x_hat), request.text, mask, request.snr_est_db, request.noise_var_mean, request.strength,
            request.seed,
        )  # fmt: skip

    @staticmethod
    def _edited(result: EditResult) -> Edited:
        return Edited(to_float(result.pixels), result.seconds, result.backend, result.edited, result.reason)


@contextlib.contextmanager
def service(folder: Path, pipeline: str, **options: Any) -> Iterator[Connection]:
    """The service in a thread, and a client that has heard of it."""
    address = f"tcp://127.0.0.1:{free_ports(1)[0]}"
    stop = threading.Event()
    server = EditorServer(lambda _: loaded(folder, pipeline, **options), "diffusers", address=address)
    thread = threading.Thread(target=server.serve, args=(stop,))
    thread.start()
    try:
        with EditorClient(address, timeout_s=120, patience_s=120) as client:
            assert client.wait_ready(120)
            yield Connection(client)
    finally:
        stop.set()
        thread.join(30)


@pytest.fixture(scope="module", params=list(MAKERS))
def asked(request: pytest.FixtureRequest, folders: Callable[[str], Path]) -> Iterator[Connection]:
    """A client of a service with each pipeline in turn."""
    with service(folders(request.param), request.param) as client:
        yield client


@pytest.fixture
def picture(rng: np.random.Generator) -> np.ndarray:
    """[3, H, W], of 8 bits, as pictures travel."""
    return to_float(rng.integers(0, 256, (HEIGHT, WIDTH, 3), dtype=np.uint8))


@pytest.fixture
def foreground() -> np.ndarray:
    mask = np.zeros((HEIGHT, WIDTH), np.float32)
    mask[20:50, 30:70] = 1
    mask[50:54, 30:70] = 0.4
    return mask


class Calls(list[dict[str, Any]]):
    """What a pipeline was called with."""


def spied(monkeypatch: pytest.MonkeyPatch, pipeline: str) -> Calls:
    calls, kind = Calls(), getattr(diffusers, pipeline)
    original = kind.__call__

    def call(self: Any, **arguments: Any) -> Any:
        calls.append(arguments)
        return original(self, **arguments)

    monkeypatch.setattr(kind, "__call__", call)
    return calls


def answering(monkeypatch: pytest.MonkeyPatch, pipeline: str, answer: Callable[[np.ndarray], np.ndarray]) -> None:
    """In the place of a pipeline a function of [h, w, 3] in [0, 1]."""

    def call(_: Any, **arguments: Any) -> types.SimpleNamespace:
        given = [np.asarray(image, np.float32) / 255 for image in arguments["image"]]
        return types.SimpleNamespace(images=np.stack([answer(image) for image in given]))

    monkeypatch.setattr(getattr(diffusers, pipeline), "__call__", call)


def without(monkeypatch: pytest.MonkeyPatch, *packages: str) -> None:
    """As on a machine where these are not installed."""
    find_spec = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name, *rest: None if name in packages else find_spec(name, *rest)
    )


# Each pipeline, through the whole service


def test_a_picture_of_any_size_comes_back_edited(asked: Connection, picture: np.ndarray) -> None:
    edited = asked.edit(EditRequest(picture, text=HOSTILE, snr_est_db=7.0, seed=1))
    assert (edited.edited, edited.reason, edited.backend) == (True, "", "diffusers")
    assert edited.x.shape == picture.shape and np.isfinite(edited.x).all()
    assert np.abs(edited.x - picture).mean() > 0.05  # random weights: nothing like it


def test_the_seed_alone_decides_what_is_drawn(asked: Connection, picture: np.ndarray) -> None:
    first, again, other = (asked.edit(EditRequest(picture, text="a bus", seed=seed)).x for seed in (7, 7, 8))
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)


def test_strength_zero_is_the_received_picture(asked: Connection, picture: np.ndarray) -> None:
    assert np.array_equal(asked.edit(EditRequest(picture, text="a bus", strength=0.0)).x, picture)


def test_two_at_once_come_out_as_each_alone(
    folders: Callable[[str], Path], picture: np.ndarray, foreground: np.ndarray
) -> None:
    for pipeline in MAKERS:
        editor = loaded(folders(pipeline), pipeline, batch=2)
        assert editor.max_batch == 2
        requests = [
            EditRequest(picture, text="a bus", seed=1),
            EditRequest(picture[:, ::-1].copy(), text="two dogs on a lawn", mask=foreground, seed=2, strength=0.5),
        ]
        together, alone = editor.edit_batch(requests), [editor.edit(request) for request in requests]
        for one, other in zip(together, alone, strict=True):
            np.testing.assert_allclose(one.x, other.x, atol=1e-3, err_msg=pipeline)


def test_requests_that_wait_are_edited_together(
    folders: Callable[[str], Path], picture: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls = spied(monkeypatch, PIX2PIX)
    found: list[Edited] = []
    all_there = threading.Event()

    def came(edited: Edited) -> None:
        found.append(edited)
        if len(found) == 3:
            all_there.set()

    with service(folders(PIX2PIX), PIX2PIX, batch=2) as client:
        for seed in range(3):
            client.submit(EditRequest(picture, text="a bus", seed=seed), came)
        assert all_there.wait(120)
    assert all(edited.edited for edited in found)
    assert sum(len(call["prompt"]) for call in calls) == 3 and max(len(call["prompt"]) for call in calls) == 2


# The mask


def test_inpainting_keeps_the_foreground_to_the_last_bit(
    folders: Callable[[str], Path], picture: np.ndarray, foreground: np.ndarray
) -> None:
    with service(folders(INPAINT), INPAINT) as client:
        edited = client.edit(EditRequest(picture, text="a bus", mask=foreground))
        unmasked = client.edit(EditRequest(picture, text="a bus"))
    kept = foreground == 1
    assert np.array_equal(to_uint8(edited.x)[kept], to_uint8(picture)[kept])
    assert np.abs(edited.x - picture)[:, foreground == 0].mean() > 0.05
    assert np.abs(unmasked.x - picture)[:, kept].mean() > 0.05


def test_a_soft_mask_keeps_its_share(
    folders: Callable[[str], Path], picture: np.ndarray, foreground: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    answering(monkeypatch, INPAINT, np.ones_like)
    edited = loaded(folders(INPAINT), INPAINT).edit(EditRequest(picture, mask=foreground))
    np.testing.assert_allclose(edited.x, foreground * picture + 1 - foreground, atol=1e-6)
    assert np.array_equal(edited.x[:, foreground == 1], picture[:, foreground == 1])


def test_what_is_white_in_the_pipelines_mask_is_the_background(
    folders: Callable[[str], Path], picture: np.ndarray, foreground: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls = spied(monkeypatch, INPAINT)
    editor = loaded(folders(INPAINT), INPAINT)
    editor.edit(EditRequest(picture, mask=foreground))
    editor.edit(EditRequest(picture))
    masked, whole = (np.asarray(call["mask_image"][0]) for call in calls)
    assert masked.shape == (72, 96)  # up to a multiple of eight
    assert masked[30, 40] == 0 and masked[0, 0] == 255
    assert (whole == 255).all()


# Sizes


def test_pictures_are_mirrored_up_to_what_the_pipeline_takes(
    folders: Callable[[str], Path], picture: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls = spied(monkeypatch, KONTEXT)
    loaded(folders(KONTEXT), KONTEXT).edit(EditRequest(picture))
    given = np.asarray(calls[0]["image"][0])
    assert given.shape == (80, 96, 3) and (calls[0]["height"], calls[0]["width"]) == (80, 96)
    assert np.array_equal(given[:HEIGHT, :WIDTH], to_uint8(picture))
    assert np.array_equal(given[HEIGHT:, :WIDTH], to_uint8(picture)[HEIGHT - 2 : HEIGHT - 15 : -1])


@pytest.mark.parametrize(("side", "height", "width"), [(64, 46, 64), (128, 92, 128)])
def test_side_scales_a_picture_for_the_pipeline_alone(
    folders: Callable[[str], Path], picture: np.ndarray, monkeypatch: pytest.MonkeyPatch,
    side: int, height: int, width: int,
) -> None:  # fmt: skip
    calls = spied(monkeypatch, IMG2IMG)
    edited = loaded(folders(IMG2IMG), IMG2IMG, side=side).edit(EditRequest(picture))
    assert calls[0]["image"][0].size == (width, height + -height % 8)
    assert edited.x.shape == picture.shape


@pytest.mark.parametrize("pipeline", [IMG2IMG, KONTEXT])
def test_what_a_pipeline_leaves_alone_comes_back_in_its_place(
    folders: Callable[[str], Path], picture: np.ndarray, monkeypatch: pytest.MonkeyPatch, pipeline: str
) -> None:
    answering(monkeypatch, pipeline, lambda image: image)
    edited = loaded(folders(pipeline), pipeline).edit(EditRequest(picture))
    np.testing.assert_allclose(edited.x, picture, atol=1e-6)


@pytest.mark.parametrize("options", [{}, {"side": 256}])
def test_an_answer_of_another_size_is_brought_back(
    folders: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch, options: dict[str, int]
) -> None:
    answering(monkeypatch, IMG2IMG, lambda image: image.repeat(2, 0).repeat(2, 1))
    rows, columns = np.mgrid[:HEIGHT, :WIDTH].astype(np.float32) / WIDTH
    smooth = np.stack([rows, columns, 1 - columns])
    edited = loaded(folders(IMG2IMG), IMG2IMG, **options).edit(EditRequest(smooth))
    np.testing.assert_allclose(edited.x, smooth, atol=0.03)


# Words


def test_the_papers_prompt_asks_for_a_reconstruction_by_the_caption() -> None:
    assert prompt_of(PAPER_PROMPT, "a bus").endswith("Use the following text to reconstruct: a bus.")
    assert prompt_of(PAPER_PROMPT, "").endswith(f"reconstruct: {NO_WORDS}.")


def test_nothing_in_a_caption_is_a_placeholder_or_a_token_of_control() -> None:
    assert prompt_of("{caption}, {style}", HOSTILE) == "a {red} bus {caption} {0.__class__} |im_end|, {style}"
    assert prompt_of("{caption}", "one\ntwo\x00three\u2028 four\ud800") == "one two three four"


def test_where_clip_reads_the_whole_prompt_fits_it() -> None:
    tokenizer = tiny_pipelines.clip_tokenizer()
    for kind in KINDS.values():
        if kind.prompt != PAPER_PROMPT:  # a letter is a token here, so this is far on the safe side
            assert len(tokenizer(prompt_of(kind.prompt, ""))["input_ids"]) <= 77, kind.pipeline


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({}, "a {red} bus, a sharp, detailed, high-definition photograph"),
        ({"prompt": "Sharpen {caption}!"}, "Sharpen a {red} bus!"),
        ({"prompt": 42}, "42"),
    ],
)
def test_the_caption_reaches_the_pipeline_as_it_came(
    folders: Callable[[str], Path], picture: np.ndarray, monkeypatch: pytest.MonkeyPatch,
    options: dict[str, Any], expected: str,
) -> None:  # fmt: skip
    calls = spied(monkeypatch, IMG2IMG)
    with service(folders(IMG2IMG), IMG2IMG, **options) as client:
        assert client.edit(EditRequest(picture, text="a {red} bus")).edited
    assert calls[0]["prompt"] == [expected]


def test_numbers_from_the_command_line_reach_the_pipeline(
    folders: Callable[[str], Path], picture: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls = spied(monkeypatch, PIX2PIX)
    loaded(
        folders(PIX2PIX), PIX2PIX, steps=3, guidance=4, image_guidance=2, negative_prompt="blur", dtype="bfloat16"
    ).edit(EditRequest(picture))
    expected = {"num_inference_steps": 3, "guidance_scale": 4.0, "image_guidance_scale": 2.0}
    assert {key: calls[0][key] for key in expected} == expected
    assert calls[0]["negative_prompt"] == ["blur"]


# What a pipeline may answer


def test_what_the_safety_checker_flags_is_delivered_as_it_came(tmp_path: Path, picture: np.ndarray) -> None:
    folder = tiny_pipelines.stable_diffusion(tmp_path / "model", PIX2PIX, in_channels=8, flags=True)
    with service(folder, PIX2PIX) as client:
        edited = client.edit(EditRequest(picture))
    assert not edited.edited and "safety checker" in edited.reason
    assert np.array_equal(edited.x, picture)


def test_numbers_that_overflow_are_no_picture(folders: Callable[[str], Path], picture: np.ndarray) -> None:
    editor = loaded(folders(IMG2IMG), IMG2IMG)
    editor._pipeline.vae.decoder.conv_out.bias.data.fill_(torch.nan)
    edited = editor.edit(EditRequest(picture))
    assert not edited.edited and "dtype" in edited.reason
    assert np.array_equal(edited.x, picture)


def test_a_pipeline_that_fails_says_so_in_one_line(
    folders: Callable[[str], Path], picture: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(*_: Any, **__: Any) -> None:
        raise RuntimeError("out of memory\n  tried to allocate")

    editor = loaded(folders(IMG2IMG), IMG2IMG)
    monkeypatch.setattr(diffusers.StableDiffusionImg2ImgPipeline, "__call__", fails)
    with pytest.raises(EditorError, match="failed: out of memory tried to allocate"):
        editor.edit(EditRequest(picture))


# Qwen-Image-Edit makes a megapixel of every picture; here a sixteenth of it


@pytest.mark.parametrize("pipeline", [QWEN, QWEN_PLUS])
def test_qwen_edits_at_a_size_of_its_own(
    tmp_path: Path, picture: np.ndarray, monkeypatch: pytest.MonkeyPatch, pipeline: str
) -> None:
    tiny_pipelines.without_videos(monkeypatch)
    monkeypatch.setitem(KINDS, pipeline, dataclasses.replace(KINDS[pipeline], needs=()))
    module = importlib.import_module(getattr(diffusers, pipeline).__module__)
    dimensions = module.calculate_dimensions
    monkeypatch.setattr(module, "calculate_dimensions", lambda area, ratio: dimensions(area / 16, ratio))
    calls = spied(monkeypatch, pipeline)
    folder = tiny_pipelines.qwen_edit(tmp_path / "model", pipeline)
    with service(folder, pipeline) as client:
        first, again, other = (client.edit(EditRequest(picture, text=HOSTILE, seed=seed)) for seed in (7, 7, 8))
    assert first.edited, first.reason
    assert np.array_equal(first.x, again.x) and not np.array_equal(first.x, other.x)
    assert calls[0]["image"].size == (WIDTH, HEIGHT)
    assert calls[0]["true_cfg_scale"] == 4.0 and calls[0]["negative_prompt"] == [" "]
    with pytest.raises(EditorError, match="batch=2"):
        loaded(folder, pipeline, batch=2)


def test_qwen_needs_torchvision(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    without(monkeypatch, "torchvision")
    (tmp_path / "model_index.json").write_text(json.dumps({"_class_name": QWEN}))
    with pytest.raises(EditorError, match="pip install torchvision"):
        loaded(tmp_path, QWEN)


# The table


@pytest.mark.parametrize("kind", KINDS.values(), ids=KINDS)
def test_the_table_names_what_diffusers_has(kind: diffusion.Kind) -> None:
    pipeline = getattr(diffusers, kind.pipeline)
    takes = set(inspect.signature(pipeline.__call__).parameters)
    gives = {"prompt", "image", "num_inference_steps", "generator", "output_type", kind.guidance_name, *kind.size(8, 8)}
    optional = {
        "image_guidance_scale": kind.image_guidance, "strength": kind.denoise, "negative_prompt": kind.negative,
        "mask_image": kind.masked or None,
    }  # fmt: skip
    assert gives | {name for name, value in optional.items() if value is not None} <= takes
    components = set(inspect.signature(pipeline.__init__).parameters)
    assert set(kind.large) <= components
    assert all(hasattr(diffusers, name) for name in kind.reads)
    assert hasattr(pipeline, "load_lora_weights")
    assert diffusion._nf4(diffusers, kind, torch.bfloat16).components_to_quantize == list(kind.large)


def test_where_memory_is_short_parts_wait_outside() -> None:
    gib = 2**30
    assert not is_short_of_memory(2 * gib, 24 * gib)  # Stable Diffusion
    assert is_short_of_memory(32 * gib, 24 * gib)  # FLUX.1 Kontext in bfloat16


def test_parts_that_wait_outside_make_the_same_picture(folders: Callable[[str], Path], picture: np.ndarray) -> None:
    pytest.importorskip("accelerate", reason="offloading needs it: pip install accelerate")
    editor = loaded(folders(KONTEXT), KONTEXT)
    request = EditRequest(picture, text="a bus", seed=1)
    whole = editor.edit(request)
    diffusion._place(editor._pipeline, torch.device("cpu"), "model")  # a GPU's hooks, on the only device there is
    assert all(hasattr(editor._pipeline.components[name], "_hf_hook") for name in ("text_encoder_2", "transformer"))
    np.testing.assert_allclose(editor.edit(request).x, whole.x, atol=1e-4)


# Errors: one line, with the remedy


@pytest.mark.parametrize(
    ("pipeline", "options", "says"),
    [
        (IMG2IMG, {"pipeline": "StableDiffusionUpscalePipeline"}, "unknown pipeline .*; pipeline can be .*Kontext"),
        (IMG2IMG, {"pipeline": KONTEXT}, "cannot load .* as FluxKontextPipeline"),
        (IMG2IMG, {"dtype": "int8"}, "known are auto, float32, float16, bfloat16"),
        (IMG2IMG, {"offload": "disk"}, "known are auto, none, model, sequential"),
        (IMG2IMG, {"offload": "model"}, "is for a GPU"),
        (IMG2IMG, {"quantize": "int4"}, "known are none, nf4"),
        (IMG2IMG, {"quantize": "nf4"}, "pip install bitsandbytes"),
        (IMG2IMG, {"lora": "a.safetensors"}, "pip install peft"),
        (IMG2IMG, {"lora_scale": 0.5}, "lora=FILE"),
        (IMG2IMG, {"device": "gpu"}, "no device 'gpu'"),
        (IMG2IMG, {"device": "cuda:31"}, "device cpu is always there"),
        (IMG2IMG, {"variant": "fp16"}, "fp16"),
        (IMG2IMG, {"steps": "many"}, "a number from 1 to 1000"),
        (IMG2IMG, {"steps": 2.5}, "a whole number"),
        (IMG2IMG, {"steps": True}, "a number from 1"),
        (IMG2IMG, {"steps": 2, "denoise": 0.2}, "give more steps"),
        (IMG2IMG, {"denoise": 0}, "a number from 0.01 to 1"),
        (IMG2IMG, {"image_guidance": 2}, "has no image_guidance"),
        (IMG2IMG, {"side": 8}, "a number from 16 to 4096"),
        (IMG2IMG, {"batch": 0}, "a number from 1"),
        (IMG2IMG, {"negative_prompt": "blur", "guidance": 1}, "no notice of a negative_prompt"),
        (PIX2PIX, {"denoise": 0.3}, "has no denoise"),
        (KONTEXT, {"negative_prompt": "blur"}, "no notice of a negative_prompt"),
        (IMG2IMG, {"model": ""}, "needs a model, such as --editor-option model=timbrooks/instruct-pix2pix"),
        (IMG2IMG, {"model": "/no/such/folder"}, "give a folder, or a name as in --editor-option"),
        (IMG2IMG, {"model": "nobody/nothing", "local_only": True}, "without local_only it would be fetched"),
    ],
)
def test_an_option_that_does_not_fit_is_an_error_of_one_line(
    folders: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch, pipeline: str, options: dict[str, Any], says: str
) -> None:
    without(monkeypatch, "bitsandbytes", "peft")
    with pytest.raises(EditorError, match=says) as caught:
        load_editor("diffusers", **{"model": str(folders(pipeline)), **options})
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("index", "says"),
    [
        (None, "has no model_index.json"),
        ("{", "cannot read the model_index.json"),
        ("[]", "cannot read the model_index.json"),
        ('{"_class_name": "AudioLDMPipeline"}', "is a AudioLDMPipeline; pipeline can be StableDiffusionInstruct"),
        ('{"_class_name": ["pipeline", "Mine"]}', "pipeline can be"),
        (f'{{"_class_name": "{PIX2PIX}"}}', "cannot load"),
    ],
)
def test_a_folder_that_holds_no_such_model_is_an_error(tmp_path: Path, index: str | None, says: str) -> None:
    if index is not None:
        (tmp_path / "model_index.json").write_text(index)
    with pytest.raises(EditorError, match=says) as caught:
        load_editor("diffusers", model=str(tmp_path))
    assert "\n" not in str(caught.value)


def test_pickled_weights_are_never_opened(tmp_path: Path) -> None:
    folder = tiny_pipelines.stable_diffusion(tmp_path / "model", "StableDiffusionPipeline")
    weights = folder / "unet" / "diffusion_pytorch_model.safetensors"
    torch.save(load_file(weights), weights.with_suffix(".bin"))
    weights.unlink()
    with pytest.raises(EditorError, match="cannot load .*safetensors"):
        loaded(folder, IMG2IMG)


def test_code_that_a_model_brings_is_never_run(tmp_path: Path) -> None:
    folder = tiny_pipelines.stable_diffusion(tmp_path / "model", "StableDiffusionPipeline")
    index = json.loads((folder / "model_index.json").read_text())
    (folder / "unet" / "mine.py").write_text(f"open({str(tmp_path / 'ran')!r}, 'w')\nclass Mine: pass\n")
    (folder / "model_index.json").write_text(json.dumps(index | {"unet": ["mine", "Mine"]}))
    with pytest.raises(EditorError, match="cannot load"):
        loaded(folder, IMG2IMG)
    assert not (tmp_path / "ran").exists()


# LoRA


def lora_of(folder: Path, out: Path) -> Path:
    """Random low-rank weights for the U-net of a pipeline."""
    peft = importlib.import_module("peft")
    unet = diffusers.UNet2DConditionModel.from_pretrained(folder / "unet")
    config = peft.LoraConfig(r=2, target_modules=["to_q", "to_v"], init_lora_weights=False)
    unet.add_adapter(config)
    for name, parameter in unet.named_parameters():
        if "lora" in name:
            torch.nn.init.normal_(parameter)
    diffusers.StableDiffusionImg2ImgPipeline.save_lora_weights(out, peft.get_peft_model_state_dict(unet))
    return out / "pytorch_lora_weights.safetensors"


def test_a_lora_changes_the_picture_by_its_scale(
    folders: Callable[[str], Path], tmp_path: Path, picture: np.ndarray
) -> None:
    pytest.importorskip("peft", reason="LoRA weights need it: pip install peft")
    file = lora_of(folders(IMG2IMG), tmp_path / "lora")

    def edited(**options: Any) -> np.ndarray:
        return loaded(folders(IMG2IMG), IMG2IMG, **options).edit(EditRequest(picture, text="a bus")).x

    plain = edited()
    assert not np.allclose(plain, edited(lora=str(file)), atol=1e-3)
    np.testing.assert_array_equal(edited(lora=str(file)), edited(lora=str(file.parent)))
    np.testing.assert_allclose(plain, edited(lora=str(file), lora_scale=0), atol=1e-5)
    for wrong in (str(tmp_path / "none.safetensors"), "nobody/nothing:weights.bin"):
        with pytest.raises(EditorError, match="LoRA"):
            edited(lora=wrong)
