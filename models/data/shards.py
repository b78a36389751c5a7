# SPDX-License-Identifier: GPL-3.0-or-later
"""Tar shards in the WebDataset layout: read as untrusted files, written whole or not at all.

    KEY.jpg  KEY.jpeg  KEY.webp  KEY.png    the photograph
    KEY.mask.png                            foreground, white, of the same size
    KEY.saliency.png                        a soft map of any small size
    KEY.json                                {"source": ..., "captions": [...]}

Needs NumPy and Pillow alone.
"""

from __future__ import annotations

import contextlib
import io
import json
import tarfile
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

from gened.errors import ConfigError, ImageError
from gened.models.data.reading import Mask, read_mask, read_picture
from gened.models.data.srgb import Pixels

UInt8Array = npt.NDArray[np.uint8]

PICTURE_SUFFIXES = (".jpg", ".jpeg", ".webp", ".png")
MASK_SUFFIX = ".mask.png"
SALIENCY_SUFFIX = ".saliency.png"
JSON_SUFFIX = ".json"
PICTURE_FORMATS = ("JPEG", "PNG", "WEBP")

MAX_MEMBER_BYTES = 64 << 20
"""Largest member of a shard; a 36-megapixel photograph as PNG comes near it."""
MAX_JSON_BYTES = 1 << 20
MAX_PIXELS = 64_000_000
"""Largest picture of a shard: all pictures of a training are held in memory, 3 bytes per pixel."""


def is_picture(name: str) -> bool:
    """Whether a member is a photograph, by its name, and not a mask or a map."""
    lower = name.lower()
    return lower.endswith(PICTURE_SUFFIXES) and not lower.endswith((MASK_SUFFIX, SALIENCY_SUFFIX))


def picture_key(name: str) -> str:
    """KEY of KEY.jpg and the like."""
    return name.rpartition(".")[0]


def list_shards(data: Path) -> list[Path]:
    """The tar shards of a folder, in the order of their names; empty where it has none."""
    return sorted(path for path in data.glob("*.tar") if path.is_file())


def read_members(path: Path, wanted: Callable[[str], bool] = lambda name: True) -> Iterator[tuple[str, bytes]]:
    """Names and contents of a shard's files, in its order.

    Args:
        path: An uncompressed tar file.
        wanted: Receives a name and returns whether its content is to be read.

    Raises:
        ConfigError: The shard is damaged, cut off or no tar file, or a wanted member is larger than 64 MiB.
    """
    try:
        with tarfile.open(path, "r:") as shard:
            for member in shard:
                if not member.isfile() or not wanted(member.name):
                    continue
                if member.size > MAX_MEMBER_BYTES:
                    raise ConfigError(
                        f"{path}: {member.name!r} has {member.size} bytes; at most {MAX_MEMBER_BYTES} are read"
                    )
                stream = shard.extractfile(member)
                assert stream is not None  # it is a file
                yield member.name, stream.read()
            # A damaged header in the middle ends the loop silently; a whole archive ends in blocks of zeros.
            assert shard.fileobj is not None
            shard.fileobj.seek(shard.offset)
            if shard.fileobj.read(tarfile.BLOCKSIZE) != bytes(tarfile.BLOCKSIZE):
                raise ConfigError(f"{path} is damaged or cut off after {shard.offset} bytes; fetch or make it again")
    except (tarfile.TarError, EOFError, OSError, ValueError, OverflowError) as error:
        raise ConfigError(f"{path} cannot be read as a tar shard ({error}); fetch or make it again") from error


def member_names(path: Path) -> list[str]:
    """Names of a shard's files, in its order; the whole shard is checked for damage."""
    names: list[str] = []

    def note(name: str) -> bool:
        names.append(name)
        return False

    for _ in read_members(path, note):
        pass
    return names


def write_shard(path: Path, members: Iterable[tuple[str, bytes]]) -> None:
    """Write a shard of these members, whole or not at all; the same members give the same bytes.

    Raises:
        ConfigError: The disk is full, or the folder cannot be written to.
    """
    part = path.with_name(path.name + ".part")
    try:
        with tarfile.open(part, "w") as shard:
            for name, content in members:
                info = tarfile.TarInfo(name)
                info.size = len(content)
                shard.addfile(info, io.BytesIO(content))
        part.replace(path)
    except OSError as error:
        raise ConfigError(f"cannot write {path}: {error.strerror or error}") from error
    finally:
        part.unlink(missing_ok=True)


def make_folder(path: Path) -> None:
    """Create a folder and those above it, if absent.

    Raises:
        ConfigError: It cannot be created.
    """
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ConfigError(f"{path} cannot be made a folder: {error.strerror or error}") from error


def decode(content: bytes, where: str) -> Pixels:
    """The photograph in these bytes as 8-bit sRGB, see `reading.read_picture`.

    Args:
        content: A JPEG, PNG or WebP file.
        where: Shard and member or path, for the message.

    Returns:
        [H, W, 3] uint8.

    Raises:
        ConfigError: Not such a picture, damaged, or of more than 64 megapixels.
    """
    with image_errors_as_config():
        return read_picture(content, where, max_pixels=MAX_PIXELS, formats=PICTURE_FORMATS)


def decode_mask(content: bytes, where: str) -> Mask:
    """The mask or map in these bytes, [H, W] uint8; the arguments and the errors are those of `decode`."""
    with image_errors_as_config():
        return read_mask(content, where, max_pixels=MAX_PIXELS, formats=PICTURE_FORMATS)


@contextlib.contextmanager
def image_errors_as_config() -> Iterator[None]:
    """A data set that a user named is wrong where one of its pictures is: the error is a `ConfigError`."""
    try:
        yield
    except ImageError as error:
        raise ConfigError(str(error)) from error


def encode(pixels: UInt8Array | Image.Image, kind: str = "PNG", **options: Any) -> bytes:
    """A picture as the bytes of a file."""
    picture = pixels if isinstance(pixels, Image.Image) else Image.fromarray(pixels)
    buffer = io.BytesIO()
    picture.save(buffer, kind, **options)
    return buffer.getvalue()


def read_captions(content: bytes, where: str) -> tuple[str, ...]:
    """`captions` of a JSON object; empty where it has none.

    Raises:
        ConfigError: Not JSON, larger than 1 MiB, or captions that are not a list of texts.
    """
    if len(content) > MAX_JSON_BYTES:
        raise ConfigError(f"{where} has {len(content)} bytes; at most {MAX_JSON_BYTES} are read")
    try:
        value = json.loads(content)
    except (ValueError, RecursionError) as error:
        raise ConfigError(f"{where} is not JSON: {error}") from error
    return captions_of(value, where)


def captions_of(value: Any, where: str) -> tuple[str, ...]:
    """`captions` of a parsed JSON value; empty where it has none.

    Raises:
        ConfigError: Not an object, or captions that are not a list of texts.
    """
    captions = value.get("captions", []) if isinstance(value, dict) else None
    if not isinstance(captions, list) or not all(isinstance(caption, str) for caption in captions):
        raise ConfigError(f'{where}: expected an object with "captions": [TEXT, ...], or without')
    return tuple(captions)
