# SPDX-License-Identifier: GPL-3.0-or-later
"""Convert a decoded picture of any Pillow mode to 8-bit sRGB.

The rules, in the order in which they apply:

    grey of 16 or 32 bits, float    scaled to 8 bits by the range that its values imply, see `full_scale`
    ICC profile                     converted to sRGB (perceptual intent); a profile that is sRGB changes nothing
    CMYK without a profile          Pillow's formula, R = 255 - min(255, C + K)
    LAB                             D50, converted to sRGB
    transparency                    composited over one grey value: white for photographs, black for masks
    palette, 1-bit, YCbCr, HSV      expanded to RGB

Colour channels of 16 bits (PNG, TIFF) arrive from Pillow with their upper 8 bits. gAMA and cHRM chunks of PNG are
ignored, as most viewers ignore them. Needs NumPy and Pillow alone.
"""

from __future__ import annotations

import functools
import hashlib
import io
import logging

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageCms

Pixels = npt.NDArray[np.uint8]
"""[H, W, 3] uint8 sRGB."""

SRGB_TOLERANCE = 2
"""Levels of 255. A profile that moves no colour of the test lattice further is sRGB: the profiles of that name differ
from LittleCMS's own by 1."""
LATTICE_STEPS = 18
"""Values of each channel on the test lattice."""
MAX_PROFILE_BYTES = 16 << 20
"""Profiles of printing presses take 0.5 to 3 MB."""
GREY_RANGES = (255.0, 4095.0, 65535.0)
"""Full scale of integers of 8, 12 and 16 bits. 10 and 14 bits are not guessed: a dark 12-bit or 16-bit photograph
is likelier, and the error is a factor of 4 in brightness at most."""
FLOAT_OVERSHOOT = 0.25
"""A float picture of the range [0, 1] may exceed it by so much, as resampling makes it; the excess is clipped."""
WHITE_IS_ZERO = 0
"""TIFF, PhotometricInterpretation."""
PROFILE_MODES = {"RGB ": "RGB", "GRAY": "L", "CMYK": "CMYK"}
"""Colour space of a profile to the Pillow mode that it converts."""

log = logging.getLogger(__name__)
_said: set[str] = set()


def say_once(kind: str, text: str) -> None:
    """Log a warning unless one of this kind was logged in this process already."""
    if kind not in _said:
        _said.add(kind)
        log.warning("%s", text)


def to_srgb(image: Image.Image, where: str, background: int = 255) -> Image.Image:
    """A loaded picture as mode "RGB", sRGB.

    Args:
        image: Any mode, loaded.
        where: File name for log messages.
        background: Grey value, 0 to 255, behind transparent parts.

    Raises:
        ValueError: Pillow cannot convert this mode.
    """
    alpha = _alpha(image)
    profile = image.info.get("icc_profile")
    if image.mode == "F" or image.mode.startswith("I"):
        image = _grey8(image, where)
    elif image.mode == "LAB":
        return _from_lab(image)
    color = _without_alpha(image)
    if isinstance(profile, bytes) and profile:
        color = _converted(color, profile, where)
    color = color.convert("RGB")
    if alpha is None:
        return color
    color.putalpha(alpha)
    behind = Image.new("RGBA", color.size, (background, background, background, 255))
    return Image.alpha_composite(behind, color).convert("RGB")


def _alpha(image: Image.Image) -> Image.Image | None:
    """Opacity as mode "L", or None for an opaque picture."""
    if image.mode.startswith("I"):
        clear = image.info.get("transparency")  # one grey value of a 16-bit PNG
        if not isinstance(clear, int):
            return None
        return Image.fromarray(np.where(np.asarray(image) == clear, 0, 255).astype(np.uint8))
    if image.mode == "La":
        image = image.convert("LA")
    if image.mode in ("RGBA", "LA", "PA", "RGBa") or "transparency" in image.info:
        return image.convert("RGBA").getchannel("A")
    return None


def _without_alpha(image: Image.Image) -> Image.Image:
    """The colour channels, as "L", "RGB" or "CMYK"."""
    if image.mode == "La":
        image = image.convert("LA")
    if image.mode in ("1", "L", "LA"):
        return image.convert("L")
    if image.mode == "CMYK":
        return image
    if image.mode == "RGBa":  # premultiplied, for which Pillow has no direct way
        image = image.convert("RGBA")
    return image.convert("RGB")


# Grey of more than 8 bits


def full_scale(low: float, high: float, *, is_float: bool, is_16_bit: bool) -> tuple[float, float]:
    """The values that become 0 and 255, from the smallest and the largest value of a grey picture.

    Files rarely state the range of their values. It is the smallest of the usual ones that holds them all: [0, 1]
    for float, then 8, 12 and 16 bits; else the range that the values span.

    Args:
        low: Smallest value.
        high: Largest value.
        is_float: Whether the values are floating-point numbers.
        is_16_bit: Whether they are unsigned integers of 16 bits.
    """
    if is_float and low >= -FLOAT_OVERSHOOT and high <= 1 + FLOAT_OVERSHOOT:
        return 0.0, 1.0
    if is_16_bit or (low >= 0 and high <= GREY_RANGES[-1]):
        return 0.0, next(full for full in GREY_RANGES if high <= full)
    return low, max(high, low + 1e-30)


def _grey8(image: Image.Image, where: str) -> Image.Image:
    values = np.nan_to_num(np.asarray(image).astype(np.float64), nan=0.0, posinf=0.0, neginf=0.0)
    is_16_bit = image.mode.startswith("I;16")
    black, white = full_scale(float(values.min()), float(values.max()), is_float=image.mode == "F", is_16_bit=is_16_bit)
    tags = getattr(image, "tag_v2", {})  # of a TIFF
    bits = tags.get(258, (16,))[0]
    if is_16_bit and bits < 16:
        white = float(2**bits - 1)
    elif is_16_bit and white < GREY_RANGES[-1]:
        say_once(
            "depth",
            f"{where} has 16 bits per pixel and no value above {white:.0f}: it is read as {white:.0f} = white",
        )
    grey = np.clip((values - black) / (white - black), 0, 1)
    if tags.get(262) == WHITE_IS_ZERO:
        grey = 1 - grey
    return Image.fromarray(np.round(255 * grey).astype(np.uint8))


# Profiles


def _converted(color: Image.Image, profile: bytes, where: str) -> Image.Image:
    """By the picture's ICC profile to sRGB; unchanged where the profile is sRGB, broken, or of another colour space."""
    found = _transform(profile) if len(profile) <= MAX_PROFILE_BYTES else None
    if found is None:
        say_once("broken profile", f"{where} has a colour profile that cannot be read; its colours are taken as sRGB")
        return color
    name, mode, transform = found
    if transform is None or (mode != color.mode and (mode != "RGB" or color.mode != "L")):
        return color  # a grey profile on colours and the like contradict each other
    say_once(
        hashlib.sha256(profile).hexdigest(),
        f"{where} has the colour profile '{name}'; its colours are converted to sRGB",
    )
    result = ImageCms.applyTransform(color.convert(mode), transform)
    assert result is not None  # not in place
    return result


@functools.lru_cache(maxsize=16)
def _transform(profile: bytes) -> tuple[str, str, ImageCms.ImageCmsTransform | None] | None:
    """Name and mode of a profile and its transform to sRGB, which is None for sRGB itself.

    Returns:
        None for a profile that cannot be used.
    """
    try:
        source = ImageCms.ImageCmsProfile(io.BytesIO(profile))
        mode = PROFILE_MODES[source.profile.xcolor_space]
        name = " ".join(ImageCms.getProfileDescription(source).split())[:60]
        transform = ImageCms.buildTransform(source, ImageCms.createProfile("sRGB"), mode, "RGB")
    except (ImageCms.PyCMSError, OSError, KeyError, ValueError, TypeError):
        return None
    return name, mode, None if _is_identity(transform, mode) else transform


def _is_identity(transform: ImageCms.ImageCmsTransform, mode: str) -> bool:
    """Whether a transform moves no colour by more than `SRGB_TOLERANCE`."""
    if mode == "CMYK":
        return False
    steps = np.linspace(0, 255, LATTICE_STEPS).round().astype(np.uint8)
    if mode == "L":
        lattice = Image.fromarray(steps[None])
    else:
        lattice = Image.fromarray(np.stack(np.meshgrid(steps, steps, steps), -1).reshape(1, -1, 3))
    moved = ImageCms.applyTransform(lattice, transform)
    assert moved is not None  # not in place
    difference = np.asarray(moved).astype(int) - np.asarray(lattice.convert("RGB"))
    return int(np.abs(difference).max()) <= SRGB_TOLERANCE


def _from_lab(image: Image.Image) -> Image.Image:
    transform = ImageCms.buildTransform(ImageCms.createProfile("LAB"), ImageCms.createProfile("sRGB"), "LAB", "RGB")
    result = ImageCms.applyTransform(image, transform)
    assert result is not None  # not in place
    return result
