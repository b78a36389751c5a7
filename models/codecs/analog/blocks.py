# SPDX-License-Identifier: GPL-3.0-or-later
"""Partition of a picture into blocks of 16x16 pixels, and back; NumPy only."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from gened.gr_blocks.phy.types import ImageSize

BLOCK = 16
VALUES = 3 * BLOCK * BLOCK
"""Values of a block: 16x16 pixels of R, G and B."""
LUMA = np.array([0.299, 0.587, 0.114], np.float32)  # ITU-R BT.601

Float32Array = npt.NDArray[np.float32]


def grid_shape(size: ImageSize) -> tuple[int, int]:
    """Rows and columns of blocks that cover a picture."""
    return -(-size.height // BLOCK), -(-size.width // BLOCK)


def split(x: Float32Array) -> Float32Array:
    """Blocks in raster order, [rows * columns, 768], each channel-major (c, y, x), with replicated edges.

    Args:
        x: [3, H, W].
    """
    _, height, width = x.shape
    rows, columns = grid_shape(ImageSize(height, width))
    padded = np.pad(x, ((0, 0), (0, rows * BLOCK - height), (0, columns * BLOCK - width)), mode="edge")
    tiles = padded.reshape(3, rows, BLOCK, columns, BLOCK).transpose(1, 3, 0, 2, 4)  # [rows, columns, 3, 16, 16]
    return np.ascontiguousarray(tiles, np.float32).reshape(rows * columns, VALUES)


def merge(blocks: Float32Array, size: ImageSize) -> Float32Array:
    """The inverse of `split`: blocks [rows * columns, 768] to the picture, [3, H, W]."""
    rows, columns = grid_shape(size)
    tiles = blocks.reshape(rows, columns, 3, BLOCK, BLOCK).transpose(2, 0, 3, 1, 4)
    return np.ascontiguousarray(
        tiles.reshape(3, rows * BLOCK, columns * BLOCK)[:, : size.height, : size.width], np.float32
    )


def activity(blocks: Float32Array) -> Float32Array:
    """Standard deviation of each block's luma, [n]."""
    luma = np.einsum("ncp,c->np", blocks.reshape(len(blocks), 3, -1), LUMA)
    return np.asarray(luma.std(1), np.float32)


def to_pixels(values: npt.NDArray[np.float32] | npt.NDArray[np.int64], size: ImageSize) -> Float32Array:
    """One value per block as a map of pixels, [H, W] float32."""
    rows, columns = grid_shape(size)
    tall = np.repeat(np.asarray(values, np.float32).reshape(rows, columns), BLOCK, axis=0)
    return np.ascontiguousarray(np.repeat(tall, BLOCK, axis=1)[: size.height, : size.width])
