# SPDX-License-Identifier: GPL-3.0-or-later
"""Keeps the link going for long: frames, memory and processes of a `gened loopback`, then a receiver that is killed.

Runs the commands as a user would, with the classical codec and small pictures: thousands of frames take minutes.

    gened loopback, with bursts dropped    -> lost frames = dropped frames, memory flat, exit code 0, no process left
    gened transmit, air, receive; KILL, receive again    -> one run of frames is missing, those that passed meanwhile
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import re
import shlex
import signal
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import skimage
from PIL import Image

from gened.gr_blocks.phy.fingerprint import waveform_fingerprint
from gened.link.control import free_ports
from gened.provenance import run_meta

SIDE = 64
"""Pixels: the smallest picture that can be sent, 512 symbols at rate 1/24."""
PHOTO = "photo.png"
SENDER = ("--codec", "softcast", "--caption", "an astronaut in an orange suit")
SAMPLE_EVERY_S = 0.5
SLACK_MIB, FACTS_KIB = 2.0, 5.0
"""What a process may grow by from the second quarter of a run to the fourth, and for each frame between them: both ends
keep its facts for the report."""
INTERVAL_S = 0.1
"""From frame to frame where the receiver is killed."""
SAMPLE_RATE = 1e5
"""Samples a second there: air keeps to its clock, and a machine that does something else beside must not be late."""
QUEUE_S = 4.0
"""Largest amount of data that waits in the socket of a busy receiver and is lost with it."""
ENDLESS = 65536
LIMIT_S = 1800.0
LEAVE_S = 10.0


class SoakError(Exception):
    """A requirement of the soak test is not met."""


# Processes


def tree(pid: int) -> list[int]:
    """A process and all that it has started, in the order of their start."""
    parents: dict[int, list[tuple[int, int]]] = {}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError, ValueError):
            words = stat.read_text().rpartition(")")[2].split()
            parents.setdefault(int(words[1]), []).append((int(words[19]), int(stat.parent.name)))
    found = [pid]
    for parent in found:
        found += [child for _, child in sorted(parents.get(parent, []))]
    return found


def is_alive(pid: int) -> bool:
    """Whether a process runs; a zombie does not."""
    with contextlib.suppress(OSError):
        return (Path("/proc") / str(pid) / "stat").read_text().rpartition(")")[2].split()[0] != "Z"
    return False


def rss_mib(pid: int) -> float | None:
    """Resident memory of a process; None if it has ended."""
    with contextlib.suppress(OSError, StopIteration, ValueError):
        lines = (Path("/proc") / str(pid) / "status").read_text().splitlines()
        return int(next(line for line in lines if line.startswith("VmRSS:")).split()[1]) / 1024
    return None


class Watch:
    """Samples the memory of a loopback's processes from its first frame on, for as long as its sender lives."""

    def __init__(self, pid: int, out: Path) -> None:
        self.seen: set[int] = set()
        self._pid, self._out = pid, out
        self._rows: list[dict[int, float]] = []
        self._names: dict[int, str] = {}
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self._thread.start()

    def end(self) -> dict[str, list[float]]:
        """The samples of each process, MiB, by its name."""
        self._over.set()
        self._thread.join()
        whole = [row for row in self._rows if set(self._names) <= set(row)]
        return {name: [round(row[pid], 1) for row in whole] for pid, name in self._names.items()}

    def _watch(self) -> None:
        while not self._over.wait(SAMPLE_EVERY_S):
            pids = tree(self._pid)
            self.seen |= set(pids)
            if not self._names and any(self._out.glob("received-*.png")):
                self._names = self._named(pids)
            if self._names:
                row = {pid: rss_mib(pid) for pid in self._names}
                self._rows.append({pid: value for pid, value in row.items() if value is not None})

    def _named(self, pids: Sequence[int]) -> dict[int, str]:
        """The supervisor, its three processes in the order in which it starts them, and the workers of two of them."""
        names = {self._pid: "loopback"}
        roles = iter(("air", "receive", "transmit"))
        for pid in pids:
            with contextlib.suppress(OSError):
                command = (Path("/proc") / str(pid) / "cmdline").read_text()
                parent = int((Path("/proc") / str(pid) / "stat").read_text().rpartition(")")[2].split()[1])
                if "gened.link.child" in command:
                    names[pid] = next(roles)
                elif "gened.models.serving.worker" in command and parent in names:
                    names[pid] = f"{names[parent]} worker"
        return names


def growth_mib(samples: Sequence[float]) -> float:
    """From the second quarter's median to the fourth's."""
    quarter = len(samples) // 4
    if quarter < 1:
        raise SoakError(f"{len(samples)} samples of memory are too few to compare quarters; take more frames")
    return statistics.median(samples[-quarter:]) - statistics.median(samples[quarter : 2 * quarter])


# Runs


def gened(*arguments: str) -> list[str]:
    """A command line of ours."""
    return [sys.executable, "-m", "gened", *arguments]


def typed(words: Sequence[str]) -> str:
    """The command as a user would type it."""
    return shlex.join(["gened", *words[3:]])


class Command:
    """A command that runs in a folder; its output goes to files there, so that no pipe can fill up."""

    def __init__(self, words: Sequence[str], folder: Path, name: str) -> None:
        self._out, self._err = folder / f"{name}.out", folder / f"{name}.err"
        with self._out.open("w") as out, self._err.open("w") as err:
            self.process = subprocess.Popen(list(words), stdout=out, stderr=err, cwd=folder)

    def end(self) -> int:
        """Waits for it; its exit code."""
        return self.process.wait(LIMIT_S)

    def printed(self) -> str:
        """Its output so far."""
        return self._out.read_text()

    def told(self) -> str:
        """Its standard error so far."""
        return self._err.read_text()


@contextlib.contextmanager
def running(words: Sequence[str], folder: Path, name: str) -> Iterator[Command]:
    """A command that is ended at the end, whatever happens."""
    command = Command(words, folder, name)
    try:
        yield command
    finally:
        command.process.kill()
        command.process.wait()


def soak(folder: Path, options: argparse.Namespace) -> dict[str, Any]:
    """One loopback.

    Raises:
        SoakError: A frame is missing whose bursts were not dropped, memory grows, or it does not end in order.
    """
    command = gened(
        "loopback", PHOTO, *SENDER, "--frames", str(options.frames), "--snr", f"{options.snr:g}",
        "--drop", f"{options.drop:g}", "--seed", str(options.seed), "--speed", "0", "--out", "loopback", "--json",
    )  # fmt: skip
    began_s = time.monotonic()
    with running(command, folder, "loopback") as loopback:
        watch = Watch(loopback.process.pid, folder / "loopback")
        code = loopback.end()
        memory = watch.end()
    if code != 0:
        raise SoakError(f"exit code {code}: {loopback.told().strip()[-500:]}")
    left = wait_gone(watch.seen)
    if left:
        raise SoakError(f"{len(left)} processes are left behind: {left}")
    report = json.loads(loopback.printed())
    frames = report["frames"]
    lost = {frame["frame"] for frame in frames if frame["received"] is None}
    dropped = {one["frame"] for one in report["meta"]["dropped_bursts"]}
    if len(frames) != options.frames or not lost <= dropped:
        raise SoakError(f"{len(frames)} frames sent; lost without a dropped burst: {sorted(lost - dropped)}")
    growth = {name: round(growth_mib(samples), 2) for name, samples in memory.items()}
    most_mib = SLACK_MIB + options.frames / 2 * FACTS_KIB / 1024
    if max(growth.values()) > most_mib:
        raise SoakError(f"memory grows by more than {most_mib:.1f} MiB from the second to the last quarter: {growth}")
    return {
        "command": typed(command), "seconds": round(time.monotonic() - began_s, 1), "exit_code": code,
        "frames": len(frames), "received": len(frames) - len(lost), "dropped_frames": len(dropped),
        "lost_otherwise": len(lost - dropped),
        "captions_whole": sum(frame["crc_ok"] is True for frame in frames),
        "snr_est_db": round(statistics.mean(f["snr_est_db"] for f in frames if f["snr_est_db"] is not None), 2),
        "psnr_db": round(statistics.mean(f["psnr_db"] for f in frames if f["psnr_db"] is not None), 2),
        "memory_growth_mib": growth,
        "memory_mib": {name: max(samples) for name, samples in memory.items()},
        "memory_samples": len(next(iter(memory.values()))),
        "processes_left": len(left),
    }  # fmt: skip


def wait_gone(pids: set[int]) -> list[int]:
    """Those that are still there after some seconds."""
    deadline = time.monotonic() + LEAVE_S
    while (left := [pid for pid in pids if is_alive(pid)]) and time.monotonic() < deadline:
        time.sleep(0.05)  # others' processes: there is nothing to wait on
    return left


def numbers(folder: Path) -> list[int]:
    """Frames of which a receiver has written a picture."""
    found = [re.fullmatch(r"received-(\d+)\.png", path.name) for path in folder.glob("received-*.png")]
    return sorted(int(match.group(1)) for match in found if match)


def restart(folder: Path, options: argparse.Namespace) -> dict[str, Any]:
    """Three commands; the receiver is killed when half of the frames have come, another one gets as many.

    Raises:
        SoakError: A frame is missing that passed while a receiver listened, or a command does not end in order.
    """
    tx, tx_control, rx, rx_control = (f"tcp://127.0.0.1:{port}" for port in free_ports(4))
    n_each, rate = options.restart_frames // 2, f"{options.sample_rate:g}"
    air = gened(
        "air", "--sample-rate", rate, "--tx", tx, "--tx-control", tx_control, "--rx", rx, "--rx-control", rx_control,
        "--snr", f"{options.snr:g}", "--seed", str(options.seed),
    )  # fmt: skip
    transmit = gened(
        "transmit", PHOTO, "--quiet", "--sample-rate", rate, *SENDER, "--frames", str(ENDLESS),
        "--interval", f"{INTERVAL_S:g}", "--snr-design", f"{options.snr:g}", "--address", tx, "--control", tx_control,
    )  # fmt: skip
    receive = gened(
        "receive", "--sample-rate", rate, "--address", rx, "--control", rx_control, "--codec", "softcast"
    )  # fmt: skip
    first_out, second_out = folder / "first", folder / "second"
    with contextlib.ExitStack() as stack:
        start = lambda words, name: stack.enter_context(running(words, folder, name))  # noqa: E731
        between = start(air, "air")
        first = start([*receive, "--out", first_out.name], "first")
        wait_until(lambda: "receiver: ready" in first.told(), "the receiver does not become ready")
        sender = start(transmit, "transmit")
        wait_until(lambda: len(numbers(first_out)) >= n_each, "the first receiver gets no frames", LIMIT_S)
        first.process.send_signal(signal.SIGKILL)
        killed_s = time.monotonic()
        second = start([*receive, "--out", second_out.name, "--frames", str(n_each)], "second")
        wait_until(lambda: bool(numbers(second_out)), "the second receiver gets no frames")
        away_s = time.monotonic() - killed_s
        codes = {"second receiver": second.end()}
        for name, command in (("transmit", sender), ("air", between)):
            command.process.send_signal(signal.SIGINT)
            codes[name] = command.end()
    if codes != {"second receiver": 0, "transmit": 128 + signal.SIGINT, "air": 128 + signal.SIGINT}:
        raise SoakError(f"exit codes {codes}: {second.told().strip()[-500:]}")
    before, after = numbers(first_out), numbers(second_out)
    holes = sorted(set(range(before[-1])) - set(before)) + sorted(set(range(after[0], after[-1])) - set(after))
    if holes:
        raise SoakError(f"frames {holes} are missing although a receiver listened")
    n_lost = after[0] - before[-1] - 1
    if n_lost * INTERVAL_S > away_s + QUEUE_S:
        raise SoakError(f"{n_lost} frames are missing; {away_s / INTERVAL_S:.0f} were sent while no receiver ran")
    return {
        "commands": [typed(air), typed(transmit), typed(receive)], "first_received": len(before),
        "second_received": len(after), "lost": n_lost, "lost_otherwise": len(holes), "away_s": round(away_s, 2),
        "passed_meanwhile": round(away_s / INTERVAL_S), "exit_codes": codes,
    }  # fmt: skip


def wait_until(condition: Any, what: str, limit_s: float = 120.0) -> None:
    """Raises `SoakError` when it takes too long."""
    deadline = time.monotonic() + limit_s
    while not condition():
        if time.monotonic() > deadline:
            raise SoakError(what)
        time.sleep(0.02)  # others' processes: there is nothing to wait on


def main(argv: list[str]) -> int:
    """The entry point; 1 when something does not hold."""
    parser = argparse.ArgumentParser(prog="scripts/soak.sh", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--frames", type=int, default=2000, help="of the loopback; 0 leaves it out")
    parser.add_argument("--snr", type=float, default=6.0, help="dB")
    parser.add_argument("--drop", type=float, default=0.02, help="probability that a burst is lost in the loopback")
    parser.add_argument("--restart-frames", type=int, default=400, help="of the second part; 0 leaves it out")
    parser.add_argument("--sample-rate", type=float, default=SAMPLE_RATE, help="of the part with the restart")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--out", type=Path, default=Path("results/link/soak.json"))
    options = parser.parse_args(argv)
    command = shlex.join(["scripts/soak.sh", *argv])
    result: dict[str, Any] = {"meta": run_meta([], seed=options.seed) | {"command": command}}
    result["meta"]["fingerprint"] = waveform_fingerprint()
    with tempfile.TemporaryDirectory(prefix="gened-soak-") as name:
        folder = Path(name)
        source = Path(skimage.__file__).parent / "data" / "astronaut.png"  # NASA, public domain
        Image.open(source).convert("RGB").resize((SIDE, SIDE)).save(folder / PHOTO)
        try:
            if options.frames:
                result["loopback"] = soak(folder, options)
            if options.restart_frames:
                result["restart"] = restart(folder, options)
        except SoakError as failure:
            print(f"soak: {failure}", file=sys.stderr)
            return 1
    options.out.parent.mkdir(parents=True, exist_ok=True)
    options.out.write_text(json.dumps(result, indent=1) + "\n")
    print(json.dumps({key: value for key, value in result.items() if key != "meta"}, indent=1))
    return 0


if __name__ == "__main__":
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    sys.exit(main(sys.argv[1:]))
