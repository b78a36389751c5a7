# SPDX-License-Identifier: GPL-3.0-or-later
"""Captions by a vision-language model of transformers that the user chooses: BLIP, BLIP-2, Florence-2, chat models.

    model_type   input of the model beside the picture
    blip         no text; or the option `prompt`, a beginning that the model continues
    blip-2       "a photo of", which the model continues; or the option `prompt`, such as "Question: ... Answer:"
    florence2    the task token "<DETAILED_CAPTION>"; or another task token as the option `prompt`
    any other    a user message of a chat with `PROMPT` and the length limit; needs a processor with a chat template

Only chat models receive the describing prompt of the paper: BLIP, BLIP-2 and Florence-2 do not follow instructions.

No weights come with this project: name a folder, or a model of the Hugging Face hub (downloaded by transformers into
its cache). Weights must be safetensors, and no code from the model's repository is run. Decoding is greedy, so the same
picture gives the same caption. The mask is not used.

References:
    Li et al., "BLIP: bootstrapping language-image pre-training", ICML 2022; "BLIP-2", ICML 2023.
    Xiao et al., "Florence-2: advancing a unified representation for a variety of vision tasks", CVPR 2024.
    arXiv:2606.04015, Section IV-D, for `PROMPT`.
"""

from __future__ import annotations

from typing import Any, cast

from PIL import Image

from gened.errors import CaptionerError
from gened.models.captioning.base import MAX_BYTES, cut_to_bytes
from gened.models.codecs.base import Map, Picture
from gened.models.data.images import to_uint8
from gened.models.hub import is_offline, local_folder

EXAMPLE = "model=Salesforce/blip-image-captioning-base"
PROMPT = (
    "Describe the image in precise detail to enable accurate text-to-image generation. First, summarize the overall "
    "scene and tone. Next, identify all main objects, including their quantities, colors, and appearances. Then, "
    "specify the absolute position (e.g., top, bottom, left, right) of each object and the relative spatial "
    "relationships between them (e.g., above, below, in front of, behind). Finally, describe how these objects are "
    "positioned within the background scene. Provide a comprehensive, detailed, and accurate description to ensure the "
    "generated image faithfully reconstructs the original."
)
"""Verbatim from arXiv:2606.04015, Section IV-D; chat models alone receive it."""
BUDGET = "Use at most {max_bytes} bytes of plain text, about {n_words} words, in one line."
BYTES_PER_WORD = 6
BLIP_PROMPT = ""
BLIP_2_PROMPT = "a photo of"
"""The prompt for captions in LAVIS, the authors' implementation."""
FLORENCE_TASK = "<DETAILED_CAPTION>"
FLORENCE_TASKS = ("<CAPTION>", FLORENCE_TASK, "<MORE_DETAILED_CAPTION>")
MAX_NEW_TOKENS = 64
"""106 bytes are about 25 tokens of English; the rest lets a sentence end."""
KNOWN = ("blip", "blip-2", "florence2")
"""Model types that do not receive a chat."""
DTYPES = ("auto", "float32", "float16", "bfloat16")
SENTENCE_ENDS = (". ", "! ", "? ", "; ")
MIN_SENTENCE_SHARE = 0.5
"""The text is cut after a sentence if this fills at least such a share of the bytes, otherwise after a word."""


class TransformersCaptioner:
    """Describes a photograph with a model of transformers.

    Args:
        device: PyTorch device.
        model: Folder of model and processor, or a name on the hub.
        dtype: Type of the weights, one of `DTYPES`; `auto`: as they were saved.
        prompt: Replaces the default of the model's type; see the table above.
        max_new_tokens: Largest number of generated tokens.

    Raises:
        CaptionerError: No model given or found, a model that cannot write captions, or missing packages or device.
    """

    name = "transformers"

    def __init__(
        self,
        *,
        device: str = "cpu",
        model: str = "",
        dtype: str = "auto",
        prompt: str = "",
        max_new_tokens: int = MAX_NEW_TOKENS,
    ) -> None:
        if not model:
            raise CaptionerError(
                "captioner transformers needs a model: give the option model=FOLDER or a name on the Hugging Face hub, "
                f"such as {EXAMPLE}"
            )
        folder = local_folder(model, error=CaptionerError, example=EXAMPLE)
        if dtype not in DTYPES:
            raise CaptionerError(f"captioner transformers knows no dtype '{dtype}'; known are {', '.join(DTYPES)}")
        if max_new_tokens < 1:
            raise CaptionerError(f"captioner transformers writes at least one token, not {max_new_tokens}")
        try:
            import torch
            import transformers

            from gened.models.devices import torch_device
        except ImportError as error:
            raise CaptionerError(
                f"captioner transformers needs it: pip install 'gr-gened[editor]' ({_line(error)})"
            ) from error
        self._torch, self._transformers = torch, cast(Any, transformers)  # Any: its types lack parts that are used here
        self._device, self._prompt, self._max_new_tokens = (
            torch_device(device, CaptionerError), prompt, max_new_tokens,
        )  # fmt: skip
        self._transformers.utils.logging.disable_progress_bar()  # the terminal shows that of the command alone
        self._transformers.utils.logging.set_verbosity_error()  # its warnings are for programmers
        try:
            self._load(model if folder is None else str(folder), dtype, is_local=folder is not None or is_offline())
        except CaptionerError:
            raise
        except Exception as error:  # any error of the library on foreign files
            raise CaptionerError(f"no captioning model can be loaded from '{model}': {_line(error)}") from error
        self._check_prompt()

    def _load(self, model: str, dtype: str, *, is_local: bool) -> None:
        safe = {"trust_remote_code": False, "local_files_only": is_local}
        config = self._transformers.AutoConfig.from_pretrained(model, **safe)
        self.kind = str(config.model_type)
        weights, report = self._transformers.AutoModelForImageTextToText.from_pretrained(
            model, dtype=dtype, use_safetensors=True, output_loading_info=True, **safe
        )
        if missing := sorted(report["missing_keys"]):
            raise CaptionerError(
                f"'{model}' lacks {len(missing)} weights of its kind, {self.kind}, such as {missing[0]}; "
                "it would write nonsense"
            )
        self._model = weights.to(self._device).eval()
        self._processor = self._processor_class(config).from_pretrained(model, **safe)
        self._tokenizer = self._processor.tokenizer
        if self.kind not in KNOWN and not getattr(self._processor, "chat_template", None):
            raise CaptionerError(
                f"'{model}' is of the kind {self.kind} and has no chat template; {', '.join(KNOWN)} and models with "
                "a chat template can write captions"
            )

    def _processor_class(self, config: Any) -> Any:
        """AutoProcessor; without torchvision, the model's own class without its video processor.

        The processors of Qwen-VL and similar models do not load without torchvision, which only their video processor
        needs.
        """
        auto = self._transformers.AutoProcessor
        if self._transformers.utils.is_torchvision_available():
            return auto
        own = self._transformers.models.auto.processing_auto.PROCESSOR_MAPPING.get(type(config), None)
        if own is None or "video_processor" not in own.get_attributes():
            return auto
        parts = [part for part in own.get_attributes() if part != "video_processor"]
        return type(own.__name__, (own,), {"get_attributes": classmethod(lambda _: parts)})

    def _check_prompt(self) -> None:
        if self.kind == "florence2" and self._prompt not in ("", *FLORENCE_TASKS):
            raise CaptionerError(
                f"Florence-2 takes a task for its prompt, {', '.join(FLORENCE_TASKS)}, not '{self._prompt}'"
            )

    def describe(self, x: Picture, *, max_bytes: int = MAX_BYTES, mask: Map | None = None) -> str:
        """The model's caption, in one line, cut after a sentence or a word.

        Args:
            x: [3, H, W] in [0, 1].
            max_bytes: Largest length of the caption, UTF-8 bytes.
            mask: Not used.

        Raises:
            CaptionerError: The model failed, for example for lack of memory.
        """
        picture = Image.fromarray(to_uint8(x))
        generate = {"blip": self._continued, "blip-2": self._continued, "florence2": self._task}.get(
            self.kind, self._chat
        )
        try:
            text = generate(picture, max_bytes)
        except Exception as error:  # any error of the library
            raise CaptionerError(f"the captioning model failed: {_line(error)}") from error
        return shortened(self._plain(text), max_bytes)

    def _continued(self, picture: Image.Image, max_bytes: int) -> str:
        """The continuation of the prompt by BLIP or BLIP-2, without the prompt."""
        prompt = self._prompt or (BLIP_PROMPT if self.kind == "blip" else BLIP_2_PROMPT)
        text = self._decoded(self._processor(images=picture, text=prompt or None, return_tensors="pt"))
        whole = " ".join(text.split())
        return whole[len(prompt) :] if whole.lower().startswith(prompt.lower()) else whole

    def _task(self, picture: Image.Image, max_bytes: int) -> str:
        task = self._prompt or FLORENCE_TASK
        text = self._decoded(self._processor(images=picture, text=task, return_tensors="pt"), keeps_special=True)
        return str(self._processor.post_process_generation(text, task=task, image_size=picture.size)[task])

    def _chat(self, picture: Image.Image, max_bytes: int) -> str:
        budget = BUDGET.format(max_bytes=max_bytes, n_words=max(1, max_bytes // BYTES_PER_WORD))
        content = [{"type": "image", "image": picture}, {"type": "text", "text": f"{self._prompt or PROMPT} {budget}"}]
        inputs = self._processor.apply_chat_template(
            [{"role": "user", "content": content}],
            add_generation_prompt=True, tokenize=True, return_dict=True, return_tensors="pt",
        )  # fmt: skip
        return self._decoded(inputs)

    def _decoded(self, inputs: Any, *, keeps_special: bool = False) -> str:
        """The text that the model generates from these inputs."""
        inputs = inputs.to(self._device, self._model.dtype)  # the type applies to pixels; tokens stay integers
        with self._torch.inference_mode():
            written = self._model.generate(
                **inputs, max_new_tokens=self._max_new_tokens, do_sample=False, num_beams=1,
                temperature=None, top_p=None, top_k=None,
            )[0]  # fmt: skip
        given = inputs.get("input_ids")
        if given is not None and written[: given.shape[1]].tolist() == given[0].tolist():
            written = written[given.shape[1] :]
        return str(self._tokenizer.decode(written, skip_special_tokens=not keeps_special))

    def _plain(self, text: str) -> str:
        """The text without special tokens, in one line."""
        for token in self._tokenizer.all_special_tokens:
            text = text.replace(token, " ")
        return " ".join(text.split())


def shortened(text: str, max_bytes: int) -> str:
    """A text cut to `max_bytes`, after a sentence if enough remains, otherwise after a word."""
    if len(text.encode()) <= max_bytes:
        return text
    part = f"{text} ".encode()[: max_bytes + 1].decode(errors="ignore")
    end = max(part.rfind(mark) for mark in SENTENCE_ENDS)
    whole = part[: end + 1].rstrip(" ;")
    return whole if len(whole.encode()) >= MIN_SENTENCE_SHARE * max_bytes else cut_to_bytes(text, max_bytes)


def _line(error: BaseException) -> str:
    """The first 200 characters of an error, without line breaks."""
    return " ".join(str(error).split())[:200] or type(error).__name__
