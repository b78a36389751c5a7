# SPDX-License-Identifier: GPL-3.0-or-later
"""A byte string as shares, one a burst, of which enough restore the whole: a lost burst takes nothing with it."""

from __future__ import annotations

from typing import NamedTuple

SHARE_BYTES = 64
"""What a share holds before another data share is made: a shorter codeword would be mostly parity and CRC."""


class SharePlan(NamedTuple):
    """How a byte string travels over the bursts of a frame."""

    k: int
    """Shares that restore it."""
    m: int
    """Shares sent, in bursts 0 .. m-1."""
    share_len: int
    """Bytes of each."""


def plan(n_bytes: int, n_bursts: int) -> SharePlan:
    """K = min(ceil(n_bytes / 64), max(1, 3 n_bursts // 4)), m = min(n_bursts, K + max(2, ceil(K / 3))).

    Any two lost bursts, or any quarter of many, can be spared from three bursts on; with one burst there is one share.
    """
    if n_bytes == 0:
        return SharePlan(0, 0, 0)
    k = min(-(-n_bytes // SHARE_BYTES), max(1, 3 * n_bursts // 4))
    m = min(n_bursts, k + max(2, -(-k // 3)))
    return SharePlan(k, m, -(-n_bytes // k))


def split(data: bytes, n_bursts: int) -> list[bytes]:
    """The shares of `data`, [m] of equal length; none for no data."""
    k, m, share_len = plan(len(data), n_bursts)
    if k == 0:
        return []
    blocks = [data[i * share_len : (i + 1) * share_len].ljust(share_len, b"\0") for i in range(k)]
    import zfec  # not at the top: whoever only counts symbols, as a training does, has no need of it

    return [bytes(share) for share in zfec.Encoder(k, m).encode(blocks)]


def join(shares: dict[int, bytes], n_bytes: int, n_bursts: int) -> bytes | None:
    """The data again, from any K shares by burst number; None when there are too few."""
    k, m, share_len = plan(n_bytes, n_bursts)
    if k == 0:
        return b""
    usable = sorted(number for number, share in shares.items() if 0 <= number < m and len(share) == share_len)[:k]
    if len(usable) < k:
        return None
    if usable != list(range(k)):
        import zfec

        blocks = zfec.Decoder(k, m).decode([shares[number] for number in usable], usable)
    else:
        blocks = [shares[number] for number in usable]
    return b"".join(bytes(block) for block in blocks)[:n_bytes]
