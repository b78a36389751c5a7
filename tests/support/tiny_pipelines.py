# SPDX-License-Identifier: GPL-3.0-or-later
"""Pipelines of diffusers that fit in a test: random weights from a configuration, nothing fetched.

Structure, tokenizers and files are the real ones'; only widths and depths are small.
"""

from __future__ import annotations

import string
from pathlib import Path
from typing import Any

import pytest
import torch

NO_EXTRA = "an extra: pip install 'gr-gened[editor]'"
diffusers = pytest.importorskip("diffusers", reason=NO_EXTRA)
transformers = pytest.importorskip("transformers", reason=NO_EXTRA)

WIDTH = 16
"""Of what text encoders give."""
CLIP_TOKENS = 77


def quieten() -> None:
    """As the editor does: both libraries print what is of no use to a test."""
    for library in (diffusers, transformers):
        library.utils.logging.set_verbosity_error()
        library.utils.logging.disable_progress_bar()


def clip_tokenizer() -> Any:
    """Knows letters, at the end of a word and within."""
    letters = string.ascii_lowercase + string.digits + string.punctuation
    tokens = ["<|startoftext|>", "<|endoftext|>", *letters, *(f"{letter}</w>" for letter in letters)]
    return transformers.CLIPTokenizer(
        vocab={token: index for index, token in enumerate(tokens)}, merges=[], model_max_length=CLIP_TOKENS
    )


def clip_config() -> Any:
    return transformers.CLIPTextConfig(
        vocab_size=160, hidden_size=WIDTH, intermediate_size=2 * WIDTH, num_hidden_layers=1, num_attention_heads=2,
        max_position_embeddings=CLIP_TOKENS, bos_token_id=0, eos_token_id=1, pad_token_id=1, projection_dim=WIDTH,
    )  # fmt: skip


def clip_text() -> Any:
    return transformers.CLIPTextModel(clip_config()).eval()


def vae(channels: int = 4, **config: Any) -> Any:
    """Eight pixels a side to one, as in Stable Diffusion and FLUX."""
    return diffusers.AutoencoderKL(
        block_out_channels=(8, 8, 8, 8), down_block_types=("DownEncoderBlock2D",) * 4,
        up_block_types=("UpDecoderBlock2D",) * 4, latent_channels=channels, norm_num_groups=4, sample_size=64, **config,
    )  # fmt: skip


def unet(in_channels: int) -> Any:
    return diffusers.UNet2DConditionModel(
        sample_size=8, in_channels=in_channels, out_channels=4, layers_per_block=1, block_out_channels=(8, 16),
        down_block_types=("DownBlock2D", "CrossAttnDownBlock2D"), up_block_types=("CrossAttnUpBlock2D", "UpBlock2D"),
        cross_attention_dim=WIDTH, attention_head_dim=2, norm_num_groups=4,
    )  # fmt: skip


def stable_diffusion(folder: Path, pipeline: str, *, in_channels: int = 4, flags: bool | None = None) -> Path:
    """Any class of the Stable Diffusion 1 family.

    Args:
        folder: To be made.
        pipeline: Name of the class.
        in_channels: Of the U-net: 8 with a picture beside the latent, 9 with a mask too.
        flags: Whether its safety checker flags everything or nothing; None: it has none.
    """
    quieten()
    torch.manual_seed(1)
    checked = flags is not None
    ancestral = "InstructPix2Pix" in pipeline
    scheduler = diffusers.EulerAncestralDiscreteScheduler if ancestral else diffusers.DDIMScheduler
    offset = {} if ancestral else {"steps_offset": 1, "clip_sample": False}
    made = getattr(diffusers, pipeline)(
        vae=vae(), text_encoder=clip_text(), tokenizer=clip_tokenizer(), unet=unet(in_channels),
        scheduler=scheduler(beta_start=0.00085, beta_end=0.012, beta_schedule="scaled_linear", **offset),
        safety_checker=safety_checker(flags) if checked else None,
        feature_extractor=feature_extractor() if checked else None, requires_safety_checker=checked,
    )  # fmt: skip
    made.save_pretrained(folder)
    return folder


def safety_checker(flags: bool) -> Any:
    from diffusers.pipelines.stable_diffusion.safety_checker import StableDiffusionSafetyChecker

    vision = {
        "hidden_size": WIDTH, "intermediate_size": 2 * WIDTH, "num_hidden_layers": 1, "num_attention_heads": 2,
        "image_size": 32, "patch_size": 8,
    }  # fmt: skip
    checker = StableDiffusionSafetyChecker(transformers.CLIPConfig(vision_config=vision, projection_dim=WIDTH))
    for threshold in (checker.concept_embeds_weights, checker.special_care_embeds_weights):
        threshold.data.fill_(-2.0 if flags else 2.0)  # similarities are from -1 to 1
    return checker.eval()


def feature_extractor() -> Any:
    return transformers.CLIPImageProcessorPil(size={"shortest_edge": 32}, crop_size={"height": 32, "width": 32})


def stable_diffusion_xl(folder: Path) -> Path:
    quieten()
    torch.manual_seed(1)
    time_width, n_times = 8, 6
    large = diffusers.UNet2DConditionModel(
        sample_size=8, in_channels=4, out_channels=4, layers_per_block=1, block_out_channels=(8, 16),
        down_block_types=("DownBlock2D", "CrossAttnDownBlock2D"), up_block_types=("CrossAttnUpBlock2D", "UpBlock2D"),
        cross_attention_dim=2 * WIDTH, attention_head_dim=2, norm_num_groups=4, addition_embed_type="text_time",
        addition_time_embed_dim=time_width, projection_class_embeddings_input_dim=n_times * time_width + WIDTH,
    )  # fmt: skip
    diffusers.StableDiffusionXLPipeline(
        vae=vae(), text_encoder=clip_text(), text_encoder_2=transformers.CLIPTextModelWithProjection(clip_config()),
        tokenizer=clip_tokenizer(), tokenizer_2=clip_tokenizer(), unet=large,
        scheduler=diffusers.EulerDiscreteScheduler(beta_schedule="scaled_linear"),
    ).save_pretrained(folder)  # fmt: skip
    return folder


def flux_kontext(folder: Path) -> Path:
    quieten()
    torch.manual_seed(1)
    vocab = [("<pad>", 0.0), ("</s>", 0.0), ("<unk>", 0.0), *((letter, -3.0) for letter in "▁" + string.printable)]
    t5 = transformers.T5Config(
        vocab_size=256, d_model=WIDTH, d_kv=8, d_ff=2 * WIDTH, num_layers=1, num_heads=2, feed_forward_proj="gated-gelu"
    )
    transformer = diffusers.FluxTransformer2DModel(
        patch_size=1, in_channels=16, num_layers=1, num_single_layers=1, attention_head_dim=16, num_attention_heads=1,
        joint_attention_dim=WIDTH, pooled_projection_dim=WIDTH, guidance_embeds=True, axes_dims_rope=(4, 6, 6),
    )  # fmt: skip
    diffusers.FluxKontextPipeline(
        scheduler=diffusers.FlowMatchEulerDiscreteScheduler(use_dynamic_shifting=True),
        vae=vae(use_quant_conv=False, use_post_quant_conv=False, scaling_factor=0.3611, shift_factor=0.1159),
        text_encoder=clip_text(), tokenizer=clip_tokenizer(), text_encoder_2=transformers.T5EncoderModel(t5).eval(),
        tokenizer_2=transformers.T5Tokenizer(vocab=vocab, extra_ids=0, model_max_length=512), transformer=transformer,
    ).save_pretrained(folder)  # fmt: skip
    return folder


QWEN_TOKENS = (
    "<|endoftext|>", "<|im_start|>", "<|im_end|>", "<|vision_start|>", "<|vision_end|>", "<|image_pad|>",
    "<|video_pad|>",
)  # fmt: skip


def without_videos(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its processor could read films as well, for which transformers wants torchvision; a test does not."""
    parts = ["image_processor", "tokenizer"]
    monkeypatch.setattr(transformers.Qwen2VLProcessor, "get_attributes", classmethod(lambda _: parts))


def qwen_edit(folder: Path, pipeline: str) -> Path:
    """Qwen-Image-Edit, of either class; `without_videos` must have been called."""
    quieten()
    torch.manual_seed(1)
    alphabet = pytest.importorskip("tokenizers", reason=NO_EXTRA).pre_tokenizers.ByteLevel.alphabet()
    tokens = [*QWEN_TOKENS, *sorted(alphabet)]
    tokenizer = transformers.Qwen2Tokenizer(
        vocab={token: index for index, token in enumerate(tokens)}, merges=[],
        extra_special_tokens=list(QWEN_TOKENS[1:]),
    )  # fmt: skip
    images = transformers.Qwen2VLImageProcessorPil(size={"shortest_edge": 56**2, "longest_edge": 112**2})
    text = {
        "hidden_size": WIDTH, "intermediate_size": WIDTH, "num_hidden_layers": 1, "num_attention_heads": 2,
        "num_key_value_heads": 2, "vocab_size": 320, "max_position_embeddings": 4096,
        "rope_parameters": {"rope_type": "default", "mrope_section": [1, 1, 2], "rope_theta": 1e6},
    }  # fmt: skip
    vision = {"depth": 1, "hidden_size": 16, "intermediate_size": 16, "num_heads": 2, "out_hidden_size": WIDTH}
    config = transformers.Qwen2_5_VLConfig(
        text_config=text, vision_config=vision, image_token_id=QWEN_TOKENS.index("<|image_pad|>"),
        video_token_id=QWEN_TOKENS.index("<|video_pad|>"), vision_start_token_id=QWEN_TOKENS.index("<|vision_start|>"),
        vision_end_token_id=QWEN_TOKENS.index("<|vision_end|>"),
    )  # fmt: skip
    getattr(diffusers, pipeline)(
        scheduler=diffusers.FlowMatchEulerDiscreteScheduler(use_dynamic_shifting=True),
        vae=diffusers.AutoencoderKLQwenImage(
            base_dim=4, z_dim=4, dim_mult=[1, 1, 1, 1], num_res_blocks=1, temperal_downsample=[False, True, True],
            latents_mean=[0.0] * 4, latents_std=[1.0] * 4,
        ),
        text_encoder=transformers.Qwen2_5_VLForConditionalGeneration(config).eval(), tokenizer=tokenizer,
        processor=transformers.Qwen2VLProcessor(image_processor=images, tokenizer=tokenizer),
        transformer=diffusers.QwenImageTransformer2DModel(
            patch_size=2, in_channels=16, out_channels=4, num_layers=1, attention_head_dim=16, num_attention_heads=1,
            joint_attention_dim=WIDTH, axes_dims_rope=(8, 4, 4),
        ),
    ).save_pretrained(folder)  # fmt: skip
    return folder
