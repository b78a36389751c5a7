# SPDX-License-Identifier: GPL-3.0-or-later
"""`hevc-ldpc`, the digital reference: HEVC intra coding at the symbol budget, LDPC code and QAM for the design SNR.

The side information is one byte in the header: scheme (4 bits) and reduction (2 bits). A lost codeword is a lost
picture.
"""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import numpy as np
from av.error import FFmpegError

from gened.errors import CodecError
from gened.gr_blocks.phy.framing.budget import budget
from gened.gr_blocks.phy.framing.header import quantize_snr_db
from gened.gr_blocks.phy.types import Encoded, ImageSize, Received
from gened.models.codecs.base import Decoded, Map, Picture, codec_id
from gened.models.codecs.hevc_ldpc import still
from gened.models.codecs.hevc_ldpc.digital_link import SCHEMES, choose_scheme, receive, transmit
from gened.models.codecs.hevc_ldpc.still import SCALES, Still, compress, decompress

MAX_RATE = Fraction(1, 2)
"""Upper limit of the rate, which bounds the memory that a forged header can allocate."""


class HevcLdpc:
    """The codec `hevc-ldpc`; see the module's docstring.

    Args:
        folder: None; the codec has no weights.
        device: Unused; there is no network.

    Raises:
        CodecError: A folder was given.
    """

    name = "hevc-ldpc"

    def __init__(self, folder: Path | str | None = None, *, device: str = "cpu") -> None:
        if folder is not None:
            raise CodecError("hevc-ldpc has no weights: give its name, not a folder")
        schemes = [[s.bits_per_symbol, s.code_rate, s.shortening, s.repetition] for s in SCHEMES]
        self.codec_id = codec_id(self.name, {"still": still.version(), "schemes": schemes})

    def encode(
        self,
        x: Picture,
        *,
        rate: Fraction = Fraction(1, 24),
        snr_db: float,
        mask: Map | None = None,
        focus: float | None = None,
        refine_steps: int = 0,
        seed: int = 0,
        side_margin_db: float = 0.0,
    ) -> Encoded:
        """Picture to symbols; no symbols if the budget is too small for a picture.

        Args:
            x: [3, H, W] float32 RGB in [0, 1].
            rate: At most 1/2.
            snr_db: Es/N0 at which at most one picture in a hundred may be lost in AWGN.
            mask: Not of this codec: None.
            focus: Not of this codec: None or 1.
            refine_steps: Not of this codec: 0.
            seed: Unused; the code is deterministic.
            side_margin_db: Not of this codec: 0.

        Raises:
            CodecError: A rate out of range, an option that this codec does not have, or a picture of a few pixels in
                width or height, which x265 does not encode.
        """
        if not 0 < rate <= MAX_RATE:
            raise CodecError(f"hevc-ldpc does rates up to {MAX_RATE}, not {rate}")
        if side_margin_db:
            raise CodecError("hevc-ldpc has one byte of side information, in the header: it takes no margin")
        if mask is not None or focus not in (None, 1, 1.0) or refine_steps:
            raise CodecError("hevc-ldpc takes no mask, no focus and no refinement")
        n_symbols = budget(ImageSize(x.shape[1], x.shape[2]), rate, snr_db).symbols
        index = choose_scheme(n_symbols, quantize_snr_db(snr_db))
        n_bytes = SCHEMES[index].capacity(n_symbols)
        pixels = np.rint(255 * np.clip(np.nan_to_num(x, nan=0.5), 0, 1)).astype(np.uint8).transpose(1, 2, 0)
        try:
            still = compress(np.ascontiguousarray(pixels), n_bytes)
        except FFmpegError as error:
            raise CodecError(f"hevc-ldpc cannot encode {x.shape[2]}x{x.shape[1]} pixels: x265 refuses them") from error
        if still is None:
            return Encoded(symbols=np.zeros(0, np.complex64), side_info=b"\0")
        symbols = transmit(still.data.ljust(n_bytes, b"\0"), SCHEMES[index])
        return Encoded(symbols=symbols, side_info=bytes([index << 2 | still.scale_code]))

    def decode(self, received: Received) -> Decoded:
        """Symbols to picture; never raises on bad symbols. A lost picture is mid grey with confidence 0."""
        still = self._still(received)
        size = received.size
        pixels = decompress(still, size.height, size.width) if still else None
        if pixels is None:
            return Decoded(np.full((3, *size), 0.5, np.float32), None, np.zeros(tuple(size), np.float32))
        x_hat = pixels.transpose(2, 0, 1).astype(np.float32) / np.float32(255)
        return Decoded(x_hat, None, np.ones(tuple(size), np.float32))

    @staticmethod
    def _still(received: Received) -> Still | None:
        """The compressed picture; None if it is lost."""
        side = received.side_info
        if side is None or len(side) != 1 or side[0] >> 2 >= len(SCHEMES) or not 0 < received.rate <= MAX_RATE:
            return None
        if SCALES[side[0] & 3] > 1 and min(received.size) // SCALES[side[0] & 3] < still.MIN_SIDE:
            return None
        scheme = SCHEMES[side[0] >> 2]
        n_bytes = scheme.capacity(budget(received.size, received.rate, 0.0).symbols)
        n_symbols = scheme.n_symbols(n_bytes)
        if n_bytes < 2 or not len(received.symbols) == len(received.noise_var) == n_symbols:
            return None
        data = receive(received.symbols, received.noise_var, n_bytes, scheme)
        return None if data is None else Still(data, side[0] & 3)
