# SPDX-License-Identifier: GPL-3.0-or-later
"""`gened check --codec`: does a codec keep the whole contract?

    RULES --one job per rule--> worker process with a memory limit --> Trial.<rule>() --> text, or the rule's fault

A codec that hangs, takes too much memory or ends its process fails the rule that was tried; the others go on in a fresh
process.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import Any

import numpy as np

from gened.errors import CodecError, GenedError, LinkError
from gened.gr_blocks.phy.framing.budget import budget, side_symbols
from gened.gr_blocks.phy.framing.header import quantize_snr_db
from gened.gr_blocks.phy.ofdm.modulator import modulate_frame
from gened.gr_blocks.phy.ofdm.papr_reduction import papr_db
from gened.gr_blocks.phy.types import Encoded, Frame, ImageSize, Received
from gened.models.codecs import contract
from gened.models.codecs.base import BatchedCodec, Codec, Picture, decode_picture, encode_batch
from gened.models.codecs.encode_options import EncodeOptions
from gened.models.codecs.registry import load_codec
from gened.models.data.evaluation_set import Item
from gened.models.evaluation.metrics.pixel_metrics import mean_picture, psnr_db
from gened.models.evaluation.run.measure import Over, Setting, send, through_waveform
from gened.models.serving.worker import Worker

SERVICE = "gened.models.evaluation.run.check_codec:Trial"
RULE_TIMEOUT_S = 600.0
"""Time limit of a rule: none takes the codecs of this project more than 20 s on an idle core."""
MEMORY_GIB = 4.0
"""Memory that the codec may take beyond that of its loaded process."""
SIZES = (ImageSize(64, 64), ImageSize(65, 97), ImageSize(144, 131))
ODD_SIZES = (ImageSize(1, 1), ImageSize(1, 300), ImageSize(3, 50), ImageSize(17, 33), ImageSize(63, 100))
SIZE = ImageSize(128, 128)
SNRS_DB = (-3.0, 7.0, 20.0)
SNR_DB = 10.0
WAVEFORM_SNR_DB = 20.0
"""SNR at which the loss in the waveform is measured. PAPR reduction adds its error to the noise, so a low SNR hides
it."""
MAX_LOSS_DB = 1.5
"""Largest loss between channel model and waveform, of SNR and of PSNR. White symbols lose 0.3 dB of SNR at 20 dB."""
N_SEEDS = 3
"""Noise realisations of the waveform's loss."""
BATCH_SYMBOL_ERROR, BATCH_PIXEL_ERROR = 1e-3, 2e-3
"""Rounding allowed between a batch and single pictures."""
HOSTILE_LENGTHS = (0, 1, 2, 7, 64, 1000, 65535)
N_FLIPPED = 16
"""Copies of the codec's own side information, each with wrong bits, that are decoded."""


class BrokenRuleError(CodecError):
    """A codec breaks a rule of the contract; the text is value and limit."""


@dataclass(frozen=True)
class Verdict:
    """One rule, and whether the codec keeps it."""

    rule: str
    is_kept: bool
    text: str
    """What was measured; the value and the limit where the rule is broken."""


def pattern(size: ImageSize, seed: int = 0) -> Picture:
    """A test picture with the spectrum of photographs: amplitude falls with spatial frequency, [3, H, W] in [0, 1]."""
    rng = np.random.default_rng(seed)
    frequency = np.hypot(np.fft.fftfreq(size.height)[:, None], np.fft.fftfreq(size.width))
    spectrum = np.fft.fft2(rng.standard_normal((3, *size))) / np.maximum(frequency, 1 / max(size))
    spectrum[1:] = 0.7 * spectrum[:1] + 0.3 * spectrum[1:]  # colours go together
    waves = np.fft.ifft2(spectrum).real
    spread = np.maximum(waves.std(axis=(1, 2), keepdims=True), 1e-9)
    x = 0.5 + 0.18 * (waves - waves.mean(axis=(1, 2), keepdims=True)) / spread
    return np.ascontiguousarray(np.clip(x, 0, 1), np.float32)


def pictures(size: ImageSize) -> dict[str, Picture]:
    """Test pictures of one size by name: waves, a flat one and noise."""
    noise = np.random.default_rng(1).random((3, *size), np.float32)
    return {"waves": pattern(size), "flat": np.full((3, *size), 0.3, np.float32), "noise": noise}


class Trial:
    """Tries the rules on one codec; a method per rule, which returns what it measured.

    Args:
        codec: Name of the codec, or its folder.
        device: PyTorch device.
        options: Options of the codec's constructor.
        rate: Rate of all pictures.
    """

    def __init__(self, codec: str, device: str, options: Mapping[str, Any], rate: str) -> None:
        self.codec: Codec = load_codec(codec, device=device, **options)
        self.rate = Fraction(rate)
        self._frames: list[tuple[ImageSize, float, str, Encoded]] = []
        _limit_memory(MEMORY_GIB)

    # Rules, in the order of the table; each raises GenedError with the fault where it is broken.

    def description(self) -> str:
        """Name and number, as the header carries it."""
        name, number = self.codec.name, self.codec.codec_id
        _require(isinstance(name, str) and bool(name), f"the name is {name!r}, not a text")
        _require(isinstance(number, int) and 0 <= number < 1 << 32, f"codec_id is {number!r}, not 32 bits")
        return f"{name}, number {number:08x}"

    def budget(self) -> str:
        """Analogue and side symbols within the budget, at several sizes and SNRs."""
        shares = []
        for size, snr_db, name, encoded in self._cases():
            fault = (
                _form_fault(encoded)
                or contract.side_fault(encoded)
                or contract.budget_fault(encoded, size, self.rate, snr_db)
            )
            _require(not fault, f"{name}, {snr_db:g} dB: {fault}")
            allowed = budget(size, self.rate, snr_db)
            n_side = side_symbols(len(encoded.side_info), encoded.side_mode or allowed.side_mode, allowed.n_bursts)
            shares.append((len(encoded.symbols) + n_side) / allowed.symbols)
        return f"{min(shares):.1%} to {max(shares):.1%} of the budget in {len(shares)} frames"

    def power(self) -> str:
        """Mean power 1 of each frame, and over all frames."""
        powers, lengths = [], []
        for _, snr_db, name, encoded in self._cases():
            symbols = encoded.symbols
            fault = contract.symbols_fault(symbols) or contract.power_fault(symbols)
            _require(not fault, f"{name}, {snr_db:g} dB: {fault}")
            if len(symbols):
                powers.append(contract.mean_power(symbols))
                lengths.append(len(symbols))
        if not powers:
            return "no symbols were sent"
        mean = float(np.average(powers, weights=lengths))
        _require(abs(mean - 1) <= contract.POWER_TOLERANCE, f"the mean power of {len(powers)} frames is {mean:.4g}")
        return f"{min(powers):.4f} to {max(powers):.4f}, mean {mean:.4f}"

    def whiteness(self) -> str:
        """What the waveform costs: PAPR, and the loss of PSNR against the channel model."""
        x = pattern(SIZE)
        encoded = self._encode(x, WAVEFORM_SNR_DB)
        if not len(encoded.symbols):
            return "no symbols were sent"
        frame = Frame(1, 0, self.codec.codec_id, SIZE, self.rate, WAVEFORM_SNR_DB, encoded)
        before, after = (
            float(np.mean([papr_db(burst) for burst in modulate_frame(frame, reduces_papr=is_reduced)]))
            for is_reduced in (False, True)
        )
        lost_db = self._symbol_loss_db(frame)
        channel, waveform = self._psnr_db(x, "channel"), self._psnr_db(x, "loopback")
        text = (
            f"PAPR {before:.1f} dB, {after:.1f} dB after its reduction; at {WAVEFORM_SNR_DB:g} dB SNR the waveform "
            f"costs {lost_db:.2f} dB of SNR; PSNR {channel:.2f} dB over the channel model, "
            f"{waveform:.2f} dB over the waveform"
        )
        limit = f"a loss of more than {MAX_LOSS_DB:g} dB"
        _require(max(lost_db, channel - waveform) <= MAX_LOSS_DB, f"{text}: {limit}")
        return text

    def determinism(self) -> str:
        """Equal pictures give equal symbols, equal frames equal pictures, and the caller's arrays stay as they are."""
        x = pattern(SIZE)
        one, two = self._encode(x), self._encode(x)
        _require(one.side_info == two.side_info, "side information of the same picture differs")
        _require(np.array_equal(one.symbols, two.symbols), "symbols of the same picture differ")
        _require(np.array_equal(x, pattern(SIZE)), "encode changed the caller's picture")
        received = self._received(one, SIZE)
        symbols, noise_var = received.symbols.copy(), received.noise_var.copy()
        first, second = (decode_picture(self.codec, received) for _ in range(2))
        _require(np.array_equal(first.x_hat, second.x_hat), "pictures of the same frame differ")
        is_left = np.array_equal(symbols, received.symbols) and np.array_equal(noise_var, received.noise_var)
        _require(is_left, "decode changed the caller's arrays")
        return "equal symbols and equal pictures, twice"

    def batches(self) -> str:
        """Batches equal single pictures."""
        if not isinstance(self.codec, BatchedCodec):
            return "the codec has no batches of its own; pictures go one by one"
        x = np.stack([pattern(SIZE, seed) for seed in range(3)])
        options = EncodeOptions(rate=self.rate, snr_db=SNR_DB)
        together, alone = encode_batch(self.codec, x, options), [self._encode(one) for one in x]
        symbol_error = 0.0
        for one, two in zip(together, alone, strict=True):
            _require(one.side_info == two.side_info, "side information differs from that of the picture alone")
            _require(len(one.symbols) == len(two.symbols), "another number of symbols than for the picture alone")
            symbol_error = max(symbol_error, float(np.max(np.abs(one.symbols - two.symbols), initial=0)))
        _require(symbol_error <= BATCH_SYMBOL_ERROR, f"symbols differ from those alone by {symbol_error:.2g}")
        frames = [self._received(one, SIZE) for one in alone]
        decoded = self.codec.decode_batch(frames)
        _require(len(decoded) == len(frames), f"{len(decoded)} pictures for {len(frames)} frames")
        singles = [self.codec.decode(frame) for frame in frames]
        pixel_error = max(
            float(np.max(np.abs(a.x_hat - b.x_hat))) for a, b in zip(decoded, singles, strict=True)
        )  # fmt: skip
        _require(pixel_error <= BATCH_PIXEL_ERROR, f"pictures differ from those alone by {pixel_error:.2g}")
        return f"symbols equal to {symbol_error:.1g}, pixels to {pixel_error:.1g}"

    def picture(self) -> str:
        """A clean channel gives a picture of the right shape, type and range; its PSNR is no rule."""
        gains = []
        for size in SIZES:
            x = pattern(size)
            decoded = decode_picture(self.codec, self._received(self._encode(x, 20.0), size, snr_db=20.0))
            gains.append(psnr_db(x, decoded.x_hat) - psnr_db(x, mean_picture(x)))
        return f"[3, H, W] float32 in [0, 1]; PSNR {min(gains):.1f} to {max(gains):.1f} dB above the mean colour's"

    def erasures(self) -> str:
        """Lost symbols and lost side information give a picture."""
        x = pattern(SIZE)
        received = self._received(self._encode(x), SIZE)
        found = []
        for share in (0.1, 0.5, 1.0):
            is_lost = np.random.default_rng(2).random(len(received.symbols)) < share
            symbols = np.where(is_lost, 0, received.symbols).astype(np.complex64)
            noise_var = np.where(is_lost, np.inf, received.noise_var).astype(np.float32)
            lossy = replace(received, symbols=symbols, noise_var=noise_var)
            found.append(psnr_db(x, self._decode(lossy, f"{share:.0%} of the symbols lost")))
            self._decode(replace(lossy, side_info=None), f"{share:.0%} of the symbols and the side information lost")
        return "PSNR with 10 %, 50 %, 100 % of the symbols lost: " + ", ".join(f"{value:.1f} dB" for value in found)

    def hostile_side_information(self) -> str:
        """Any bytes as side information give a picture, in bounded time and memory."""
        own = self._encode(pattern(SIZE))
        received, rng = self._received(own, SIZE), np.random.default_rng(3)
        tried = [rng.bytes(length) for length in HOSTILE_LENGTHS] + [b"\0" * 64, b"\xff" * 64]
        tried += [own.side_info[: len(own.side_info) // 2], own.side_info + b"\xff"]
        for _ in range(N_FLIPPED * bool(own.side_info)):
            wrong = bytearray(own.side_info)
            wrong[int(rng.integers(len(wrong)))] ^= 1 << int(rng.integers(8))
            tried.append(bytes(wrong))
        slowest = 0.0
        for side in tried:
            begun = time.perf_counter()
            self._decode(replace(received, side_info=side), f"{len(side)} bytes of side information")
            slowest = max(slowest, time.perf_counter() - begun)
        return f"{len(tried)} byte strings, up to {max(map(len, tried))} bytes; the slowest took {slowest:.1f} s"

    def hostile_symbols(self) -> str:
        """Symbols and variances that are none, wrong lengths and forged headers give a picture."""
        received = self._received(self._encode(pattern(SIZE)), SIZE)
        n_tried = 0
        for value in (np.nan, np.inf, -np.inf, 1e30, complex(np.nan, 1)):
            for step in (5, 1):
                symbols = received.symbols.copy()
                symbols[::step] = value
                self._decode(replace(received, symbols=symbols), f"symbols of {value}")
                n_tried += 1
        for variance in (np.nan, np.inf, 0.0, -1.0, 1e30):
            noise_var = received.noise_var.copy()
            noise_var[::2] = variance
            self._decode(replace(received, noise_var=noise_var), f"noise variances of {variance:g}")
            n_tried += 1
        for count in (0, 1, 100, 3 * len(received.symbols) + 1):
            symbols, noise_var = np.resize(received.symbols, count), np.resize(received.noise_var, count)
            if not len(received.symbols):
                symbols, noise_var = np.ones(count, np.complex64), np.ones(count, np.float32)
            self._decode(replace(received, symbols=symbols, noise_var=noise_var), f"{count} symbols")
            n_tried += 1
        for rate in (Fraction(8), Fraction(1, 512)):
            self._decode(replace(received, rate=rate, snr_design_db=23.5), f"a header of rate {rate}")
            n_tried += 1
        self._decode(replace(received, size=ImageSize(1, 1)), "a header of 1x1 pixels")
        return f"{n_tried + 1} frames of values that are no symbols, wrong lengths and forged headers"

    def odd_sizes(self) -> str:
        """Small and narrow pictures come back in their size, or are refused in one line."""
        taken, refused = [], []
        for size in ODD_SIZES:
            text = f"{size.width}x{size.height}"
            try:
                encoded = self._encode(pattern(size))
            except BrokenRuleError:
                raise
            except GenedError:
                refused.append(text)
                continue
            fault = contract.encoded_fault(encoded, size, self.rate, SNR_DB)
            _require(not fault, f"{text}: {fault}")
            self._decode(self._received(encoded, size), text)
            taken.append(text)
        return "; ".join(
            f"{verb} {', '.join(sizes)}" for verb, sizes in (("takes", taken), ("refuses", refused)) if sizes
        )

    # Parts

    def _cases(self) -> list[tuple[ImageSize, float, str, Encoded]]:
        """Size, design SNR (dB), name and result of each encoding for budget and power; encoded once."""
        if not self._frames:
            self._frames = [
                (size, snr_db, f"{name} {size.width}x{size.height}", self._encode(x, snr_db))
                for size in SIZES
                for name, x in pictures(size).items()
                for snr_db in SNRS_DB
            ]
        return self._frames

    def _encode(self, x: Picture, snr_db: float = SNR_DB) -> Encoded:
        """As `encode_picture`, unchecked, so that each rule reports its own faults."""
        size = f"{x.shape[2]}x{x.shape[1]}"
        with _named(f"encode of {size} pixels at {snr_db:g} dB"):
            encoded = self.codec.encode(x, rate=self.rate, snr_db=quantize_snr_db(snr_db))
        _require(isinstance(encoded, Encoded), f"encode returned a {type(encoded).__name__}, not Encoded")
        return encoded

    def _received(self, encoded: Encoded, size: ImageSize, *, snr_db: float = SNR_DB) -> Received:
        """The encoded picture after a channel of little noise."""
        n, rng = len(encoded.symbols), np.random.default_rng(4)
        noise = 1e-2 * (rng.standard_normal(n) + 1j * rng.standard_normal(n))
        symbols = (encoded.symbols + noise).astype(np.complex64)
        return Received(symbols, np.full(n, 2e-4, np.float32), encoded.side_info, size, self.rate, snr_db)

    def _decode(self, received: Received, what: str) -> Picture:
        with _named(what):
            decoded = self.codec.decode(received)
        fault = contract.decoded_fault(decoded, received.size)
        _require(not fault, f"{what}: {fault}")
        return decoded.x_hat

    def _symbol_loss_db(self, frame: Frame) -> float:
        """Error of the symbols after the waveform, over the noise of its channel, dB."""
        errors, sent = [], frame.encoded.symbols
        for seed in range(N_SEEDS):
            received, _ = through_waveform(frame, Setting(snr_db=WAVEFORM_SNR_DB, over="loopback", seed=seed))
            _require(received is not None, f"no frame was received at {WAVEFORM_SNR_DB:g} dB SNR")
            if received is not None:
                errors.append(np.mean(np.abs(received.symbols - sent) ** 2) / np.mean(np.abs(sent) ** 2))
        return float(10 * np.log10(np.mean(errors))) + WAVEFORM_SNR_DB

    def _psnr_db(self, x: Picture, over: Over) -> float:
        item = Item("waves", x, None, None)
        setting = Setting(EncodeOptions(rate=self.rate), snr_db=WAVEFORM_SNR_DB, over=over)
        found = []
        for seed in range(N_SEEDS):
            sent = send(self.codec, item, replace(setting, seed=seed))
            x_hat = mean_picture(x) if sent.decoded is None or sent.is_lost else sent.decoded.x_hat
            found.append(psnr_db(x, x_hat))
        return float(np.mean(found))


RULES: dict[str, Callable[[Trial], str]] = {
    "description": Trial.description, "budget": Trial.budget, "power": Trial.power, "whiteness": Trial.whiteness,
    "determinism": Trial.determinism, "batches": Trial.batches, "picture": Trial.picture,
    "erasures": Trial.erasures, "hostile side information": Trial.hostile_side_information,
    "hostile symbols": Trial.hostile_symbols, "odd sizes": Trial.odd_sizes,
}  # fmt: skip
"""Rules by name, in the order of the table."""


def check_codec(
    name: str,
    *,
    device: str = "cpu",
    options: Mapping[str, Any] | None = None,
    rate: Fraction = Fraction(1, 24),
    progress: Callable[[str], None] | None = None,
) -> list[Verdict]:
    """Try all rules on a codec, in a process of its own.

    Args:
        name: Name of the codec, or its folder.
        device: PyTorch device.
        options: Options of the codec's constructor.
        rate: Rate of all pictures.
        progress: Called with the name of each rule before it is tried.

    Returns:
        One verdict per rule.

    Raises:
        CodecError: There is no such codec, or it does not take an option.
    """
    service: dict[str, Any] = {"codec": name, "device": device, "options": dict(options or {}), "rate": f"{rate}"}
    load_codec(name, device=device, **service["options"])  # an error of the user, not of a rule
    verdicts = []
    with Worker(SERVICE, service, timeout_s=RULE_TIMEOUT_S) as worker:
        for rule, method in RULES.items():
            if progress is not None:
                progress(rule)
            try:
                verdicts.append(Verdict(rule, True, worker.call(method.__name__)))
            except LinkError as error:
                verdicts.append(Verdict(rule, False, str(error)))
    return verdicts


def _form_fault(encoded: Encoded) -> str:
    """Symbols that cannot be counted; their values are the rule of the power."""
    symbols = encoded.symbols
    is_vector = isinstance(symbols, np.ndarray) and symbols.ndim == 1
    return "" if is_vector else contract.symbols_fault(symbols)


def _require(is_kept: bool, fault: str) -> None:
    if not is_kept:
        raise BrokenRuleError(fault)


@contextmanager
def _named(what: str) -> Iterator[None]:
    """Turn an exception of the codec into the fault of a rule, which says during what it came; errors of ours pass."""
    try:
        yield
    except GenedError:
        raise
    except MemoryError as error:
        raise BrokenRuleError(f"{what}: more than {MEMORY_GIB:g} GiB of memory") from error
    except Exception as error:
        raise BrokenRuleError(f"{what}: {type(error).__name__}: {error}") from error


def _limit_memory(gib: float) -> None:
    """Bound the further memory of this process, where the system can: an allocation beyond it is a MemoryError."""
    try:
        import resource
        from pathlib import Path

        used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
        limit = used + int(gib * 2**30)
        hard = resource.getrlimit(resource.RLIMIT_AS)[1]
        resource.setrlimit(resource.RLIMIT_AS, (limit if hard < 0 else min(limit, hard), hard))
    except (ImportError, OSError, ValueError):
        return
