# SPDX-License-Identifier: GPL-3.0-or-later
"""Erasure coding across bursts (Reed-Solomon, zfec): m packets, one per burst, any k of which recover the bytes.

The code is systematic: the first k packets are the bytes themselves. `zfec` is imported on use; the constructors of
the transmitter and the receiver check for it (`requirements`).
"""

from __future__ import annotations

from typing import NamedTuple

PACKET_BYTES = 64
"""Bytes per data packet, where the number of bursts allows: a shorter codeword would be mostly parity and CRC."""


class PacketPlan(NamedTuple):
    """Number and size of the packets of a byte string."""

    k: int
    """Number of packets that suffice to recover the bytes."""
    m: int
    """Number of packets sent, in bursts 0 to m - 1."""
    packet_len: int
    """Bytes per packet."""


def plan(n_bytes: int, n_bursts: int) -> PacketPlan:
    """Number and size of the packets of `n_bytes` bytes over `n_bursts` bursts.

    k = min(ceil(n_bytes / 64), max(1, 3 n_bursts // 4)) and m = min(n_bursts, k + max(2, ceil(k / 3))). From three
    bursts on, any two bursts, or a quarter of many, may be lost; with one burst there is one packet.
    """
    if n_bytes == 0:
        return PacketPlan(0, 0, 0)
    k = min(-(-n_bytes // PACKET_BYTES), max(1, 3 * n_bursts // 4))
    m = min(n_bursts, k + max(2, -(-k // 3)))
    return PacketPlan(k, m, -(-n_bytes // k))


def encode(data: bytes, n_bursts: int) -> list[bytes]:
    """Encode bytes into packets.

    Args:
        data: Bytes, any number.
        n_bursts: Bursts of the frame.

    Returns:
        m packets of equal length, as `plan` says; the first k are the bytes, padded with zeros. Empty for no bytes.
    """
    k, m, packet_len = plan(len(data), n_bursts)
    if k == 0:
        return []
    blocks = [data[i * packet_len : (i + 1) * packet_len].ljust(packet_len, b"\0") for i in range(k)]
    import zfec

    return [bytes(packet) for packet in zfec.Encoder(k, m).encode(blocks)]


def decode(packets: dict[int, bytes], n_bytes: int, n_bursts: int) -> bytes | None:
    """Recover bytes from packets.

    Args:
        packets: Packets by burst number; those of another length or of a burst without packet are ignored.
        n_bytes: Number of bytes that were sent.
        n_bursts: Bursts of the frame.

    Returns:
        The bytes; None with fewer than k packets.
    """
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
