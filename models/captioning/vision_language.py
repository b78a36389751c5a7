# SPDX-License-Identifier: GPL-3.0-or-later
"""Captions by a vision-language model that the user names, through transformers: BLIP, BLIP-2, Florence-2, chat models.

    model_type   asked with
    blip         nothing, or the beginning of a sentence that the model ends
    blip-2       "a photo of", which the model ends; or "Question: ... Answer:"
    florence2    a task token, "<DETAILED_CAPTION>"
    any other    the user's turn of a chat, the paper's prompt and the picture, where the processor has a chat template

No weights come with this project: name a folder, or a model of the Hugging Face hub (fetched by transformers, kept in
its cache). Weights must be safetensors, and no code of theirs is run. Greedy decoding: the same picture gives the same
words. The mask is not used.

References:
    Li et al., "BLIP: bootstrapping language-image pre-training", ICML 2022; "BLIP-2", ICML 2023.
    Xiao et al., "Florence-2: advancing a unified representation for a variety of vision tasks", CVPR 2024.
    arXiv:2606.04015, Section IV-D: the prompt.
"""

from __future__ import annotations

from typing import Any, cast

from PIL import Image

from gened.errors import CaptionerError
from gened.models.captioning.base import MAX_BYTES, cut_to_bytes
from gened.models.codecs.base import Map, Picture
from gened.models.data.images import to_uint8

PROMPT = (
    "Describe the image in precise detail to enable accurate text-to-image generation. First, summarize the overall "
    "scene and tone. Next, identify all main objects, including their quantities, colors, and appearances. Then, "
    "specify the absolute position (e.g., top, bottom, left, right) of each object and the relative spatial "
    "relationships between them (e.g., above, below, in front of, behind). Finally, describe how these objects are "
    "positioned within the background scene. Provide a comprehensive, detailed, and accurate description to ensure the "
    "generated image faithfully reconstructs the original."
)
"""Verbatim from the paper."""
BUDGET = "Use at most {max_bytes} bytes of plain text, about {n_words} words, in one line."
BYTES_PER_WORD = 6
BLIP_PROMPT = ""
BLIP_2_PROMPT = "a photo of"
"""What LAVIS, the authors' own code, asks for captions."""
FLORENCE_TASK = "<DETAILED_CAPTION>"
FLORENCE_TASKS = ("<CAPTION>", FLORENCE_TASK, "<MORE_DETAILED_CAPTION>")
MAX_NEW_TOKENS = 64
"""106 bytes are some 25 tokens of English; this leaves room for a sentence to end."""
KNOWN = ("blip", "blip-2", "florence2")
"""Kinds that are not asked as in a chat."""
DTYPES = ("auto", "float32", "float16", "bfloat16")
SENTENCE_ENDS = (". ", "! ", "? ", "; ")
MIN_SENTENCE_SHARE = 0.5
"""Whole sentences are kept where they fill so much of the bytes; otherwise the text is cut after a word."""


class TransformersCaptioner:
    """Describes a photograph with a model of transformers.

    Args:
        device: Of PyTorch.
        model: Folder of model and processor, or a name on the hub.
        dtype: Of the weights, one of `DTYPES`; `auto`: as they were saved.
        prompt: Instead of the one that suits the model's kind; see the table above.
        max_new_tokens: At most so many tokens are written.

    Raises:
        CaptionerError: No model named, none of that name, one that cannot be asked for captions, or packages or a
            device that are not there.
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
                "such as model=Salesforce/blip-image-captioning-base"
            )
        if dtype not in DTYPES:
            raise CaptionerError(f"captioner transformers knows no dtype '{dtype}'; known are {', '.join(DTYPES)}")
        if max_new_tokens < 1:
            raise CaptionerError(f"captioner transformers writes at least one token, not {max_new_tokens}")
        try:
            import torch
            import transformers
        except ImportError as error:
            raise CaptionerError(
                f"captioner transformers needs it: pip install 'gr-gened[editor]' ({_line(error)})"
            ) from error
        self._torch, self._transformers = torch, cast(Any, transformers)  # Any: its types say less than is used here
        self._device, self._prompt, self._max_new_tokens = device, prompt, max_new_tokens
        self._transformers.utils.logging.disable_progress_bar()  # ours is the only one on the terminal
        self._transformers.utils.logging.set_verbosity_error()  # its warnings tell programmers what they might import
        try:
            self._load(model, dtype)
        except CaptionerError:
            raise
        except Exception as error:  # whatever a library may raise on files that a stranger made
            raise CaptionerError(f"no captioning model can be loaded from '{model}': {_line(error)}") from error
        self._check_prompt()

    def _load(self, model: str, dtype: str) -> None:
        safe = {"trust_remote_code": False}
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
                "a chat template can be asked for captions"
            )

    def _processor_class(self, config: Any) -> Any:
        """AutoProcessor; where torchvision is missing, the model's own class without its reader of films.

        Qwen-VL and its like read films with torchvision, and their processors do not load without. Photographs need
        neither.
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
        """The model's words, in one line, cut after a sentence or a word.

        Args:
            x: [3, H, W] in [0, 1].
            max_bytes: UTF-8 bytes that the words may take at most.
            mask: Not used.

        Raises:
            CaptionerError: The model cannot work, such as for want of memory.
        """
        picture = Image.fromarray(to_uint8(x))
        asked = {"blip": self._begun, "blip-2": self._begun, "florence2": self._task}.get(self.kind, self._chat)
        try:
            text = asked(picture, max_bytes)
        except Exception as error:  # whatever a library may raise
            raise CaptionerError(f"the captioning model failed: {_line(error)}") from error
        return shortened(self._plain(text), max_bytes)

    def _begun(self, picture: Image.Image, max_bytes: int) -> str:
        """BLIP and BLIP-2 end a sentence that was begun; what was begun is no part of the answer."""
        prompt = self._prompt or (BLIP_PROMPT if self.kind == "blip" else BLIP_2_PROMPT)
        text = self._decoded(self._processor(images=picture, text=prompt or None, return_tensors="pt"))
        begun = " ".join(text.split())
        return begun[len(prompt) :] if begun.lower().startswith(prompt.lower()) else begun

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
        """What the model writes after these inputs."""
        inputs = inputs.to(self._device, self._model.dtype)  # the type is for the pixels, tokens stay whole numbers
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
        """Without special tokens, in one line."""
        for token in self._tokenizer.all_special_tokens:
            text = text.replace(token, " ")
        return " ".join(text.split())


def shortened(text: str, max_bytes: int) -> str:
    """The sentences of a text that fit, or its words where those sentences are too short or none."""
    if len(text.encode()) <= max_bytes:
        return text
    part = f"{text} ".encode()[: max_bytes + 1].decode(errors="ignore")
    end = max(part.rfind(mark) for mark in SENTENCE_ENDS)
    whole = part[: end + 1].rstrip(" ;")
    return whole if len(whole.encode()) >= MIN_SENTENCE_SHARE * max_bytes else cut_to_bytes(text, max_bytes)


def _line(error: BaseException) -> str:
    """The first 200 characters, without line breaks."""
    return " ".join(str(error).split())[:200] or type(error).__name__
