# SPDX-License-Identifier: GPL-3.0-or-later
"""Published diffusion models as editors: the pipelines of `diffusers` that `KINDS` lists.

    I_r, mask --side--> scaled --mirrored--> padded --pipeline(prompt, seed)--> cropped, scaled back --strength--> I_g

Weights must be safetensors, and no code from a model's repository is run.

References:
    Brooks, Holynski and Efros, "InstructPix2Pix: learning to follow image editing instructions", CVPR 2023.
    Labs et al., "FLUX.1 Kontext: flow matching for in-context image generation and editing in latent space", 2025.
    Wu et al., "Qwen-Image technical report", 2025.
"""

from __future__ import annotations

import contextlib
import importlib.util
import json
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from PIL import Image

from gened.errors import EditorError
from gened.models.data.images import to_uint8
from gened.models.devices import torch_device
from gened.models.editing.base import MAX_SIDE, MIN_SIDE, Edited, EditRequest, blended, unedited
from gened.models.hub import HUB_NAME, is_offline, local_folder

FloatArray = npt.NDArray[np.float32]

CAPTION = "{caption}"
NO_WORDS = "a photograph"
"""Replaces a missing caption."""
PAPER_PROMPT = (
    "This is a compressed image. Please enhance the resolution and sharpness of this image while preserving its "
    "original colors, details, composition, and layout. The restored image should look clear and high-definition. "
    "Please control the brightness and average brightness of each part of the generated image to be consistent with "
    "the reference image I gave. Use the following text to reconstruct: {caption}."
)
"""Verbatim from arXiv:2606.04015, Section IV-D."""
# CLIP reads 77 tokens, and the paper's prompt alone has about 80: there the caption must not come last.
CLIP_PROMPT = "{caption}, a sharp, detailed, high-definition photograph"
CLIP_INSTRUCTION = "enhance this photograph, make it sharp and detailed: {caption}"

DTYPES = {"float32": torch.float32, "float16": torch.float16, "bfloat16": torch.bfloat16}
OFFLOADS = ("auto", "none", "model", "sequential")
QUANTIZED = ("none", "nf4")
EXAMPLE = "--editor-option model=timbrooks/instruct-pix2pix"
ROOM_BYTES = 4 * 2**30
"""GPU memory beside the weights for a picture of one megapixel, bytes, roughly."""
MAX_REASON = 300


def _no_size(height: int, width: int) -> dict[str, Any]:
    del height, width
    return {}


def _size(height: int, width: int) -> dict[str, Any]:
    return {"height": height, "width": width}


def _kontext_size(height: int, width: int) -> dict[str, Any]:
    """Without these arguments the pipeline resizes every picture to one megapixel."""
    return {"height": height, "width": width, "max_area": height * width, "_auto_resize": False}


@dataclass(frozen=True)
class Kind:
    """A kind of pipeline: how it is loaded and called."""

    pipeline: str
    """Class in diffusers."""
    prompt: str
    steps: int
    guidance: float
    reads: tuple[str, ...] = ()
    """Other pipeline classes whose folders hold all components."""
    guidance_name: str = "guidance_scale"
    image_guidance: float | None = None
    """None: not an argument of this pipeline; `denoise` and `negative` likewise."""
    denoise: float | None = None
    """Share of the noise schedule that is applied and removed, in [0, 1]."""
    negative: str | None = ""
    masked: bool = False
    """Whether the pipeline repaints where a mask is white."""
    patch: int = 1
    """Latent pixels per side of a token; 0: the pipeline chooses the size of the picture itself."""
    size: Callable[[int, int], dict[str, Any]] = _no_size
    """Arguments that fix the height and width of the picture."""
    batch: int = 4
    """Default batch size on a GPU."""
    one_by_one: bool = False
    large: tuple[str, ...] = ("unet", "text_encoder")
    """Components that quantisation applies to."""
    needs: tuple[str, ...] = ()
    """Python packages beside diffusers and transformers."""


KINDS = {
    kind.pipeline: kind
    for kind in (
        Kind("StableDiffusionInstructPix2PixPipeline", CLIP_INSTRUCTION, 20, 7.5, image_guidance=1.5),
        Kind(
            "StableDiffusionImg2ImgPipeline", CLIP_PROMPT, 50, 7.5, reads=("StableDiffusionPipeline",), denoise=0.35,
        ),
        Kind("StableDiffusionInpaintPipeline", CLIP_PROMPT, 50, 7.5, denoise=0.35, masked=True, size=_size),
        Kind(
            "StableDiffusionXLImg2ImgPipeline", CLIP_PROMPT, 50, 5.0, reads=("StableDiffusionXLPipeline",),
            denoise=0.3, batch=1, large=("unet", "text_encoder", "text_encoder_2"),
        ),
        Kind(
            "FluxKontextPipeline", PAPER_PROMPT, 28, 2.5, negative=None, patch=2, size=_kontext_size, batch=1,
            large=("transformer", "text_encoder_2"),
        ),
        Kind(
            "QwenImageEditPipeline", PAPER_PROMPT, 50, 4.0, guidance_name="true_cfg_scale", negative=" ", patch=0,
            batch=1, one_by_one=True, large=("transformer", "text_encoder"), needs=("torchvision",),
        ),
        Kind(
            "QwenImageEditPlusPipeline", PAPER_PROMPT, 40, 4.0, guidance_name="true_cfg_scale", negative=" ", patch=0,
            batch=1, one_by_one=True, large=("transformer", "text_encoder"), needs=("torchvision",),
        ),
    )
}  # fmt: skip
"""Kinds by class of diffusers. Steps and guidance are from the models' cards, or else from the pipeline."""


class DiffusersEditor:
    """A pipeline of diffusers as an editor. Quietens diffusers and transformers in the whole process.

    Args:
        device: PyTorch device.
        model: Name on huggingface.co, or a folder in the layout of diffusers.
        pipeline: One of `KINDS`; "auto": what the model's model_index.json says.
        dtype: "float32", "float16", "bfloat16"; "auto": 32 bits on a CPU, 16 on a GPU.
        offload: What waits in main memory. "model": all but the network at work, so that text encoder and transformer
            are never on the GPU together; "sequential": all but the layer at work, slowest; "none"; "auto": "model"
            where the GPU's memory is short.
        quantize: "nf4": 4-bit weights by bitsandbytes, on a GPU; "none".
        lora: Low-rank weights: a file, a folder, or OWNER/NAME or OWNER/NAME:FILE on huggingface.co.
        lora_scale: Weight of these.
        steps: Of denoising; None: what suits the pipeline, here and below.
        guidance: How closely the words are followed; 1 is not at all, and twice as fast in most pipelines.
        image_guidance: How closely InstructPix2Pix keeps to the picture, from 1.
        denoise: How far img2img and inpainting go, in (0, 1]; they do steps x denoise steps.
        prompt: Template, {caption} stands for the words that came; the paper's where the text encoder reads that much.
        negative_prompt: What is not wanted.
        side: Longer side that pictures are scaled to before editing, and back from afterwards; 0: as they are. Stable
            Diffusion was trained at 512, SDXL and FLUX at 1024; Qwen-Image-Edit works at a megapixel by itself.
        batch: Requests at once; None: one on a CPU, some on a GPU.
        revision: Branch, tag or commit on huggingface.co.
        variant: Of the weight files, such as "fp16".
        local_only: Never ask the network; what is not on disk is an error.

    Raises:
        EditorError: A package, a model or a device that is not there, or an option that does not fit.
    """

    name = "diffusers"

    def __init__(
        self,
        *,
        device: str = "cpu",
        model: str | Path = "",
        pipeline: str = "auto",
        dtype: str = "auto",
        offload: str = "auto",
        quantize: str = "none",
        lora: str | Path = "",
        lora_scale: float = 1.0,
        steps: int | None = None,
        guidance: float | None = None,
        image_guidance: float | None = None,
        denoise: float | None = None,
        prompt: str = "",
        negative_prompt: str = "",
        side: int = 0,
        batch: int | None = None,
        revision: str = "",
        variant: str = "",
        local_only: bool = False,
    ) -> None:
        diffusers = _library()
        self._device = torch_device(device, EditorError)
        chosen_dtype = _dtype(dtype, self._device)
        _check_offload(offload, self._device)
        _check_quantize(quantize, self._device)
        if str(lora):
            _require_package("peft", "lora")
        elif lora_scale != 1:
            raise EditorError("lora_scale is the weight of a LoRA: give one with lora=FILE")
        at_hub = {"local_files_only": bool(local_only), "revision": str(revision) or None}
        where, saved_as = _found_model(str(model), at_hub)
        kind = self.kind = _kind(str(pipeline), saved_as, where)
        for package in kind.needs:
            _require_package(package, kind.pipeline)

        # Conditions of each picture
        self._call: dict[str, Any] = {"num_inference_steps": _number("steps", kind.steps, steps, 1, 1000, whole=True)}
        self._call[kind.guidance_name] = _number("guidance", kind.guidance, guidance, 0, 100)
        if (found := _own("image_guidance", kind.image_guidance, image_guidance, kind, 1, 100)) is not None:
            self._call["image_guidance_scale"] = found
        if (found := _own("denoise", kind.denoise, denoise, kind, 0.01, 1)) is not None:
            self._call["strength"] = found
            if int(found * self._call["num_inference_steps"]) < 1:
                raise EditorError(f"steps x denoise is less than one step: with denoise={found:g} give more steps")
        self._negative = _negative(str(negative_prompt), kind, self._call[kind.guidance_name])
        self._prompt = str(prompt) or kind.prompt
        self._side = int(_number("side", 0, side or None, MIN_SIDE, MAX_SIDE, whole=True))
        most = 1 if kind.one_by_one else 64
        on_device = 1 if self._device.type == "cpu" else kind.batch
        self.max_batch = int(_number("batch", on_device, batch, 1, most, whole=True))

        loading = {
            **at_hub, "dtype": chosen_dtype, "use_safetensors": True, "trust_remote_code": False,
            "variant": str(variant) or None,
        }  # fmt: skip
        if quantize == "nf4":
            loading["quantization_config"] = _nf4(diffusers, kind, chosen_dtype)
        try:
            with torch.cuda.device(self._device) if self._device.type == "cuda" else contextlib.nullcontext():
                self._pipeline: Any = getattr(diffusers, kind.pipeline).from_pretrained(where, **loading)
                if str(lora):
                    _add_lora(self._pipeline, str(lora), float(_number("lora_scale", 1, lora_scale, -10, 10)), at_hub)
                _place(self._pipeline, self._device, offload)
        except EditorError:
            raise
        except Exception as error:  # of any library below
            raise EditorError(f"cannot load {model} as {kind.pipeline}: {_line(error)}") from error
        self._pipeline.set_progress_bar_config(disable=True)
        self._multiple = max(1, kind.patch * int(self._pipeline.vae_scale_factor)) if kind.patch else 1

    def edit(self, request: EditRequest) -> Edited:
        """Edit a picture of any size."""
        return self.edit_batch([request])[0]

    def edit_batch(self, requests: Sequence[EditRequest]) -> list[Edited]:
        """Edit pictures of one size, each with its own random numbers, so the batch does not change the result.

        A picture that the pipeline's safety checker withholds is returned unedited.
        """
        edited: list[Edited] = []
        for first in range(0, len(requests), self.max_batch):
            edited += self._edited(requests[first : first + self.max_batch])
        return edited

    def _edited(self, requests: Sequence[EditRequest]) -> list[Edited]:
        begun = time.perf_counter()
        height, width = requests[0].x_hat.shape[1:]
        scaled = _scaled_size(height, width, self._side)
        try:
            output = self._pipeline(**self._arguments(requests, scaled))
        except Exception as error:  # out of memory, above all
            raise EditorError(f"{self.kind.pipeline} failed: {_line(error)}") from error
        flagged = getattr(output, "nsfw_content_detected", None) or [False] * len(requests)
        seconds = (time.perf_counter() - begun) / len(requests)
        return [
            self._finished(request, np.moveaxis(np.asarray(image, np.float32), -1, 0), scaled, is_flagged, seconds)
            for request, image, is_flagged in zip(requests, output.images, flagged, strict=True)
        ]

    def _arguments(self, requests: Sequence[EditRequest], scaled: tuple[int, int]) -> dict[str, Any]:
        """Arguments of the pipeline's call."""
        pictures = [_to_pil(self._prepared(request.x_hat, scaled)) for request in requests]
        width, height = pictures[0].size
        found: dict[str, Any] = {
            **self._call, **self.kind.size(height, width), "output_type": "np",
            "prompt": [prompt_of(self._prompt, request.text) for request in requests],
            "image": pictures[0] if self.kind.one_by_one else pictures,
            # The CPU's numbers are the same on every machine.
            "generator": [torch.Generator("cpu").manual_seed(request.seed) for request in requests],
        }  # fmt: skip
        if self._negative is not None:
            found["negative_prompt"] = [self._negative] * len(requests)
        if self.kind.masked:
            found["mask_image"] = [_to_pil(self._prepared(_repainted(request), scaled)) for request in requests]
        return found

    def _prepared(self, x: FloatArray, scaled: tuple[int, int]) -> FloatArray:
        """[C, H, W], scaled, and padded by reflection at the lower and right borders to the pipeline's multiple."""
        x = _resized(x, scaled)
        bottom, right = (-side % self._multiple for side in scaled)
        return np.pad(x, ((0, 0), (0, bottom), (0, right)), mode="reflect")

    def _finished(
        self, request: EditRequest, image: FloatArray, scaled: tuple[int, int], is_flagged: bool, seconds: float
    ) -> Edited:
        """Output of the pipeline, [3, h, w], at the size of the request."""
        if is_flagged:
            return unedited(request, "the model's safety checker holds the edited picture back", self.name)
        if not np.isfinite(image).all():
            return unedited(request, "the pipeline overflowed; dtype=bfloat16 or float32 may help", self.name)
        height, width = scaled
        padded = (height + -height % self._multiple, width + -width % self._multiple)
        image = _resized(_resized(image, padded)[:, :height, :width], request.x_hat.shape[1:])
        if self.kind.masked and request.mask is not None:
            # So written, a mask of 1 keeps the picture to the last bit.
            image = request.mask * request.x_hat + (1 - request.mask) * image
        return Edited(blended(request.x_hat, image, request.strength), seconds, self.name)


def prompt_of(template: str, text: str) -> str:
    """A template with the caption in the place of {caption}.

    The caption is untrusted: nothing in them is a placeholder, and none of them is a token of control, for which text
    encoders take `<|im_end|>` and `</s>`.
    """
    printable = "".join(letter if letter.isprintable() and letter not in "<>" else " " for letter in text)
    return template.replace(CAPTION, " ".join(printable.split()) or NO_WORDS)


def is_short_of_memory(n_bytes: int, n_free: int) -> bool:
    """Whether a GPU with `n_free` free bytes is too small for weights of `n_bytes` and the computation."""
    return n_bytes + ROOM_BYTES > n_free


# Options


def _number(name: str, default: float, value: object, low: float, high: float, *, whole: bool = False) -> int | float:
    """The value of an option, or the default."""
    if value is None:
        return default
    if isinstance(value, bool) or not isinstance(value, int | float) or not low <= value <= high:
        raise EditorError(f"{name}={value}; a number from {low:g} to {high:g} is possible")
    if whole and value != int(value):
        raise EditorError(f"{name}={value}; a whole number is expected")
    return int(value) if whole else float(value)


def _own(name: str, default: float | None, value: object, kind: Kind, low: float, high: float) -> float | None:
    """The value of an option that not all kinds have."""
    if default is None and value is not None:
        raise EditorError(f"{kind.pipeline} has no {name}")
    return None if default is None else _number(name, default, value, low, high)


def _negative(text: str, kind: Kind, guidance: float) -> str | None:
    if text and (kind.negative is None or guidance <= 1):
        raise EditorError(f"{kind.pipeline} with guidance={guidance:g} takes no notice of a negative_prompt")
    return None if kind.negative is None or guidance <= 1 else text or kind.negative


def _dtype(name: str, device: torch.device) -> torch.dtype:
    if name == "auto":
        if device.type != "cuda":
            return torch.float32
        return torch.bfloat16 if torch.cuda.is_bf16_supported(including_emulation=False) else torch.float16
    if name not in DTYPES:
        raise EditorError(f"unknown dtype '{name}'; known are auto, {', '.join(DTYPES)}")
    return DTYPES[name]


def _check_offload(offload: str, device: torch.device) -> None:
    if offload not in OFFLOADS:
        raise EditorError(f"unknown offload '{offload}'; known are {', '.join(OFFLOADS)}")
    if offload in ("model", "sequential"):
        if device.type == "cpu":
            raise EditorError(f"offload={offload} is for a GPU: on the CPU all is in main memory anyway")
        _require_package("accelerate", f"offload={offload}")


def _check_quantize(quantize: str, device: torch.device) -> None:
    if quantize not in QUANTIZED:
        raise EditorError(f"unknown quantize '{quantize}'; known are {', '.join(QUANTIZED)}")
    if quantize == "none":
        return
    for package in ("bitsandbytes", "accelerate"):
        _require_package(package, "quantize=nf4")
    if device.type != "cuda":
        raise EditorError(f"quantize=nf4 needs a CUDA device, not '{device}'")


def _require_package(package: str, wanted_by: str) -> None:
    if importlib.util.find_spec(package) is None:
        raise EditorError(f"{wanted_by} needs {package}: pip install {package}")


# The model


def _library() -> Any:
    """Import diffusers without its warnings, which print captions, and its progress bars."""
    try:
        import diffusers
        import transformers
    except ImportError as error:
        raise EditorError(f"editor diffusers needs {error.name}: pip install 'gr-gened[editor]'") from error
    for library in (diffusers, transformers):
        library.utils.logging.set_verbosity_error()
        library.utils.logging.disable_progress_bar()
    return diffusers


def _found_model(model: str, at_hub: dict[str, Any]) -> tuple[str, str]:
    """Folder or name for diffusers, and the class of the pipeline that was saved there."""
    if not model:
        raise EditorError(f"editor diffusers needs a model, such as {EXAMPLE}")
    folder = local_folder(model, error=EditorError, example=EXAMPLE)
    if folder is not None:
        index, where = folder / "model_index.json", str(folder)
    else:
        index, where = _from_hub(model, at_hub), model
    try:
        saved_as = json.loads(index.read_text())["_class_name"]
    except FileNotFoundError as error:
        raise EditorError(f"{model} has no model_index.json; a folder in the layout of diffusers has one") from error
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise EditorError(f"cannot read the model_index.json of {model}: {_line(error)}") from error
    return where, str(saved_as)


def _from_hub(model: str, at_hub: dict[str, Any]) -> Path:
    """The index of a model of the hub; without an answer from it `at_hub` is changed to what this machine has."""
    from huggingface_hub import hf_hub_download

    is_local = at_hub["local_files_only"]
    at_hub["local_files_only"] = is_local or is_offline()
    try:
        return Path(hf_hub_download(model, "model_index.json", **at_hub))
    except Exception as error:  # network, no such model, one that is not open to all
        if is_local:
            raise EditorError(f"{model} is not on this machine; without local_only it would be fetched") from error
        if at_hub["local_files_only"]:
            raise EditorError(f"{model} is no folder, and huggingface.co cannot be reached") from error
        raise EditorError(f"{model} is no folder, and cannot be had from huggingface.co: {_line(error)}") from error


def _kind(pipeline: str, saved_as: str, where: str) -> Kind:
    """The requested kind, or the one that reads the saved pipeline."""
    for kind in KINDS.values():
        if pipeline == kind.pipeline or (pipeline == "auto" and saved_as in (kind.pipeline, *kind.reads)):
            return kind
    what = f"{where} is a {saved_as}" if pipeline == "auto" else f"unknown pipeline '{pipeline}'"
    raise EditorError(f"{what}; pipeline can be {', '.join(KINDS)}")


def _nf4(diffusers: Any, kind: Kind, dtype: torch.dtype) -> Any:
    return diffusers.PipelineQuantizationConfig(
        quant_backend="bitsandbytes_4bit",
        quant_kwargs={"load_in_4bit": True, "bnb_4bit_quant_type": "nf4", "bnb_4bit_compute_dtype": dtype},
        components_to_quantize=list(kind.large),
    )


def _add_lora(pipeline: Any, lora: str, scale: float, at_hub: dict[str, Any]) -> None:
    path = Path(lora).expanduser()
    if path.is_file():
        source, file = str(path.parent), path.name
    elif path.is_dir():
        source, file = str(path), ""
    else:
        source, _, file = lora.partition(":")
        if not HUB_NAME.fullmatch(source) or Path(Path(source).parts[0]).is_dir():
            raise EditorError(f"no LoRA at {lora}; give a file, a folder or OWNER/NAME:FILE")
    if file and not file.endswith(".safetensors"):
        raise EditorError(f"the LoRA {lora} is no .safetensors file; others could hold code")
    pipeline.load_lora_weights(
        source, weight_name=file or None, adapter_name="lora", use_safetensors=True,
        local_files_only=at_hub["local_files_only"],
    )  # fmt: skip
    pipeline.set_adapters(["lora"], [scale])


def _place(pipeline: Any, device: torch.device, offload: str) -> None:
    """Place the parts on the device, or in main memory with hooks that move each part when it is used."""
    if offload == "auto" and device.type == "cuda":
        parts = [part for part in pipeline.components.values() if isinstance(part, torch.nn.Module)]
        to_move = sum(p.nbytes for part in parts for p in part.parameters() if p.device.type == "cpu")
        if is_short_of_memory(to_move, torch.cuda.mem_get_info(device)[0]):
            _require_package("accelerate", f"a model of {to_move / 2**30:.0f} GiB on {device}")
            offload = "model"
    if offload == "model":
        pipeline.enable_model_cpu_offload(device=device)
    elif offload == "sequential":
        pipeline.enable_sequential_cpu_offload(device=device)
    else:
        pipeline.to(device)


# Pictures


def _scaled_size(height: int, width: int, side: int) -> tuple[int, int]:
    """Height and width scaled so that the longer is `side`; unchanged if it is 0."""
    if not side:
        return height, width
    factor = side / max(height, width)
    return max(1, round(factor * height)), max(1, round(factor * width))


def _resized(x: FloatArray, size: tuple[int, ...]) -> FloatArray:
    """[C, H, W] to [C, *size], bicubic."""
    if x.shape[1:] == size:
        return x
    larger = torch.nn.functional.interpolate(
        torch.from_numpy(np.ascontiguousarray(x))[None], size, mode="bicubic", antialias=True
    )
    found: FloatArray = larger[0].clamp(0, 1).numpy()
    return found


def _repainted(request: EditRequest) -> FloatArray:
    """[1, H, W], 1 where a picture may be repainted: outside the mask, or everywhere."""
    if request.mask is None:
        return np.ones((1, *request.x_hat.shape[1:]), np.float32)
    return (1 - request.mask[None]).astype(np.float32)


def _to_pil(x: FloatArray) -> Image.Image:
    """[3, H, W] as RGB, [1, H, W] as grey."""
    pixels = to_uint8(x)
    return Image.fromarray(pixels[..., 0] if len(x) == 1 else pixels)


def _line(error: Exception) -> str:
    """A library's error in one line of at most `MAX_REASON` characters."""
    return f"{' '.join(str(error).split())[:MAX_REASON]}" or type(error).__name__
