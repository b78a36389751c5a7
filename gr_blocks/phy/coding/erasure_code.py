# SPDX-License-Identifier: GPL-3.0-or-later
"""A byte string as packets, one a burst, of which enough restore the whole: a lost burst takes nothing with it."""

from __future__ import annotations

from typing import NamedTuple

PACKET_BYTES = 64
"""What a packet holds before another data packet is made: a shorter codeword would be mostly parity and CRC."""


class PacketPlan(NamedTuple):
    """How a byte string travels over the bursts of a frame."""

    k: int
    """Shares that restore it."""
    m: int
    """Shares sent, in bursts 0 .. m-1."""
    packet_len: int
    """Bytes of each."""


def plan(n_bytes: int, n_bursts: int) -> PacketPlan:
    """K = min(ceil(n_bytes / 64), max(1, 3 n_bursts // 4)), m = min(n_bursts, K + max(2, ceil(K / 3))).

    Any two lost bursts, or any quarter of many, can be spared from three bursts on; with one burst there is one packet.
    """
    if n_bytes == 0:
        return PacketPlan(0, 0, 0)
    k = min(-(-n_bytes // PACKET_BYTES), max(1, 3 * n_bursts // 4))
    m = min(n_bursts, k + max(2, -(-k // 3)))
    return PacketPlan(k, m, -(-n_bytes // k))


def encode(data: bytes, n_bursts: int) -> list[bytes]:
    """The packets of `data`, [m] of equal length; none for no data."""
    k, m, packet_len = plan(len(data), n_bursts)
    if k == 0:
        return []
    blocks = [data[i * packet_len : (i + 1) * packet_len].ljust(packet_len, b"\0") for i in range(k)]
    import zfec  # not at the top: whoever only counts symbols, as a training does, has no need of it

    return [bytes(packet) for packet in zfec.Encoder(k, m).encode(blocks)]


def decode(packets: dict[int, bytes], n_bytes: int, n_bursts: int) -> bytes | None:
    """The data again, from any K packets by burst number; None when there are too few."""
    k, m, packet_len = plan(n_bytes, n_bursts)
    if k == 0:
        return b""
    usable = sorted(number for number, packet in packets.items() if 0 <= number < m and len(packet) == packet_len)[:k]
    if len(usable) < k:
        return None
    if usable != list(range(k)):
        import zfec

        blocks = zfec.Decoder(k, m).decode([packets[number] for number in usable], usable)
    else:
        blocks = [packets[number] for number in usable]
    return b"".join(bytes(block) for block in blocks)[:n_bytes]
