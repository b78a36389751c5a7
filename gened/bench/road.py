# SPDX-License-Identifier: GPL-3.0-or-later
"""Time per hop of a frame through the receiver's message blocks: `python -m gened.bench.road [--json]`.

    frame_demodulator --received PDU--> caption_decoder --+--> receiver (facts of the frame)
                                                          `--> semantic_decoder --> worker --picture PDU--> receiver

Each hop runs the block's own handler, and its processor time is measured, so that a busy machine changes little; the
worker's hop is measured by the clock, since another process has a part in it. The codec is replaced by one that answers
with a black picture: what remains is the transport.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import threading
import time
from collections.abc import Callable
from fractions import Fraction
from typing import Any

import numpy as np

from gened.flowgraphs import receiver
from gened.gr_blocks.caption_decoder import caption_decoder
from gened.gr_blocks.pdu.frame_pdus import received_to_pdu
from gened.gr_blocks.phy.framing.records import Records, pack_records
from gened.gr_blocks.phy.types import ImageSize, Received, ReceivedFrame
from gened.gr_blocks.semantic_decoder import semantic_decoder
from gened.models.serving.worker import JobResult, Worker

SERVICE = "gened.bench.road_service:BlackPictures"
SIZES = (ImageSize(256, 256), ImageSize(3072, 4096))
RATE = Fraction(1, 24)
N_FRAMES = {SIZES[0]: 200, SIZES[1]: 8}
HOPS = (
    "pack the frame", "caption_decoder", "receiver, frame", "semantic_decoder", "worker and back", "pack the picture",
    "receiver, picture",
)  # fmt: skip
Row = dict[str, Any]


def made_frame(size: ImageSize) -> ReceivedFrame:
    """A received frame of random symbols at rate 1/24, with a caption."""
    n_symbols = int(3 * size.height * size.width * RATE)
    rng = np.random.default_rng(1)
    symbols = (rng.normal(size=n_symbols) + 1j * rng.normal(size=n_symbols)).astype(np.complex64)
    text = pack_records(Records(caption="a red fox in the snow", station="N0CALL"))
    values: dict[str, Any] = {
        "session": 1, "number": 2, "codec_id": 3, "text": text, "has_text": True, "n_bursts": 1, "n_bursts_received": 1,
        "snr_est_db": 10.0, "sfo_est_ppm": 0.0, "on_air_samples": 1000, "text_symbols": 100, "side_symbols": 0,
        "received": Received(symbols, np.ones(n_symbols, np.float32), b"s", size, RATE, 10.0),
    }  # fmt: skip
    offset = next(name for name in ReceivedFrame.__dataclass_fields__ if name.startswith("cfo_est"))
    return ReceivedFrame(**{**values, offset: 0.01})


class _Captions(caption_decoder):
    """Keeps what it would send on."""

    message: Any = None

    def publish(self, port: str, message: Any) -> None:
        if port == "frames":
            self.message = message


class _Decoder(semantic_decoder):
    """Keeps the picture that it would send on, and measures what follows the worker's answer."""

    message: Any = None
    worker_s = picture_s = 0.0

    def __init__(self, worker: Worker) -> None:
        super().__init__(worker=worker)
        self.done = threading.Event()

    def publish(self, _port: str, message: Any) -> None:
        self.message = message

    def _decoded(self, result: JobResult) -> None:
        begin_s = time.thread_time()
        super()._decoded(result)
        self.worker_s, self.picture_s = result.elapsed_ms / 1e3, time.thread_time() - begin_s
        self.done.set()


class _Chain:
    """The blocks of a receiver, each of which keeps what it would send on."""

    def __init__(self, worker: Worker) -> None:
        self._captions, self._decoder = _Captions(), _Decoder(worker)
        self._exit = receiver._exit(1e6, self._ignore, self._ignore, None)

    @staticmethod
    def _ignore(*_: Any) -> None:
        return

    def seconds(self, frame: ReceivedFrame) -> dict[str, float]:
        """One frame through all hops."""
        took: dict[str, float] = {}

        def run(hop: str, function: Callable[[Any], Any], argument: Any) -> Any:
            begin_s = time.thread_time()
            result = function(argument)
            took[hop] = time.thread_time() - begin_s
            return result

        self._decoder.done.clear()
        packed = run("pack the frame", received_to_pdu, frame)
        run("caption_decoder", self._captions._decode, packed)
        message = self._captions.message
        run("receiver, frame", self._exit._frame, message)
        run("semantic_decoder", self._decoder._decode, message)
        if not self._decoder.done.wait(120):
            raise RuntimeError("the worker did not answer within 120 s")
        took["worker and back"], took["pack the picture"] = self._decoder.worker_s, self._decoder.picture_s
        run("receiver, picture", self._exit._picture, self._decoder.message)
        return took


def measure(size: ImageSize, n_frames: int) -> Row:
    """Median milliseconds of each hop, and their sum with and without the worker."""
    frame = made_frame(size)
    with Worker(SERVICE) as worker:
        chain = _Chain(worker)
        chain.seconds(frame)  # imports, and the worker's start
        times = [chain.seconds(frame) for _ in range(n_frames)]
    hops = {hop: 1e3 * statistics.median(one[hop] for one in times) for hop in HOPS}
    total_ms = sum(hops.values())
    return {
        "width": size.width, "height": size.height, "frames": n_frames, "hops_ms": hops, "total_ms": total_ms,
        "blocks_ms": total_ms - hops["worker and back"],
    }  # fmt: skip


def table(rows: list[Row]) -> str:
    """The figures as text, one column per size."""
    lines = [f"{'hop':<20}" + "".join(f"{row['width']}x{row['height']:<8}".rjust(14) for row in rows)]
    for hop in HOPS:
        lines.append(f"{hop:<20}" + "".join(f"{row['hops_ms'][hop]:11.2f} ms" for row in rows))
    for key, text in (("blocks_ms", "blocks alone"), ("total_ms", "with the worker")):
        lines.append(f"{text:<20}" + "".join(f"{row[key]:11.2f} ms" for row in rows))
    return "\n".join(lines)


def main(arguments: list[str]) -> None:
    """The command."""
    parser = argparse.ArgumentParser(prog="python -m gened.bench.road", description=(__doc__ or "").partition(":")[0])
    parser.add_argument("--json", action="store_true", help="print a JSON object and nothing else")
    chosen = parser.parse_args(arguments)
    rows = [measure(size, N_FRAMES[size]) for size in SIZES]
    print(json.dumps({"rows": rows}, indent=1) if chosen.json else table(rows))


if __name__ == "__main__":
    main(sys.argv[1:])
