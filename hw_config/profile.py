# SPDX-License-Identifier: GPL-3.0-or-later
"""The profile of a radio: its keys, their checks, and `load_profile`.

Values come from the defaults below, then the file, then `--set` on the command line. Frequencies, rates and bandwidths
are in Hz, gains in dB as the driver counts them: a Pluto's transmit gain is the negative of an attenuation.
"""

from __future__ import annotations

import difflib
import re
import types
import typing
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

from annotated_types import Ge, Gt, Le, Lt, MinLen
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator
from pydantic.fields import FieldInfo
from pydantic_core import PydanticCustomError

from gened.addresses import split_address
from gened.errors import ConfigError
from gened.gr_blocks.phy.ofdm.waveform import WAVEFORM
from gened.hw_config.reading import parse_yaml

FOLDER = Path(__file__).resolve().parent
OCCUPIED_FRACTION = (WAVEFORM.n_occupied + 1) / WAVEFORM.n_fft
"""Occupied bandwidth as a fraction of the sample rate: carriers -102 to 102."""
LOWEST_PLUTO_GAIN_DB = -89.75
"""Gain at the largest attenuation of the AD936x, which has steps of 0.25 dB."""
VIRTUAL_MARK = "gr-gened,virtual"
"""libiio context attribute that marks a virtual Pluto. A real Pluto does not have it and needs `--transmit`."""
_THIS_MACHINE = re.compile(r"ip:(?:127\.\d{1,3}\.\d{1,3}\.\d{1,3}|localhost)(?::\d{1,5})?")

Hertz = Annotated[float, Field(ge=1e6, le=1e10)]
Driver = Literal["zeromq", "iio", "uhd", "soapy"]


class _Part(BaseModel):
    model_config = ConfigDict(strict=True, extra="forbid", frozen=True, allow_inf_nan=False)


class Band(_Part):
    """A frequency range in which the transmitter may operate."""

    low_hz: Annotated[Hertz, Field(description="Hz")]
    high_hz: Annotated[Hertz, Field(description="Hz")]
    note: str = Field(default="", description="where and under which conditions, as a text")

    @model_validator(mode="after")
    def _is_a_range(self) -> Band:
        if self.high_hz <= self.low_hz:
            raise _rule("high_hz", self.high_hz, f"more than low_hz, {self.low_hz:.0f} Hz")
        return self

    def __str__(self) -> str:
        return f"{self.low_hz / 1e6:.10g} to {self.high_hz / 1e6:.10g} MHz"


class _Side(_Part):
    """Keys that both sides of a radio have."""

    address: str | None = Field(
        default=None, description="an address as above, where this side is another radio; or null"
    )
    center_freq: Hertz | None = Field(default=None, description="Hz")
    bandwidth: Annotated[float, Field(ge=1e5, le=2e8)] | None = Field(
        default=None, description="Hz, of the analogue filter; null for the driver's choice"
    )
    antenna: str = Field(
        default="",
        max_length=64,
        description="name of a connector as the driver lists it; empty for the driver's choice",
    )
    channel: int = Field(default=0, ge=0, le=7, description="the radio's channel, counted from 0")
    buffer_len: Annotated[int, Field(ge=1024, le=4_194_304)] | None = Field(
        default=None, description="samples of one buffer of the driver iio; null for its default, 32768"
    )
    n_buffers: Annotated[int, Field(ge=1, le=64)] | None = Field(
        default=None, description="buffers of the driver iio in the radio; null for its default, 16 received and 8 sent"
    )
    lo_offset_hz: float = Field(
        default=0.0, ge=-5e7, le=5e7, description="Hz by which the local oscillator is offset (UHD)"
    )


class TxSide(_Side):
    """The transmitting side."""

    gain_db: Annotated[float, Field(ge=-100, le=100)] | None = Field(
        default=None, description="dB as the driver counts, null for the lowest it has"
    )
    backoff_db: float = Field(default=12.0, ge=0, le=60, description="dB from the mean power of a burst to full scale")
    gap_len: int = Field(default=0, ge=0, le=1_000_000, description="samples of silence after each burst")
    is_continuous: bool = Field(
        default=False, description="true: silence is sent between bursts; false: bursts with tags"
    )
    lead_s: float = Field(
        default=0.0, ge=0, le=10, description="s from a burst's arrival to its timed start (UHD); 0: at once"
    )


class RxSide(_Side):
    """The receiving side."""

    freq_correction_ppm: float = Field(
        default=0.0, ge=-200, le=200,
        description="ppm of center_freq, by which the receiver is tuned higher; `gened calibrate` measures it",
    )  # fmt: skip
    gain_mode: Literal["manual", "slow_attack", "fast_attack", "hybrid"] = Field(
        default="manual", description="values other than manual are the automatic gain of the driver iio"
    )
    gain_db: Annotated[float, Field(ge=-100, le=100)] | None = Field(
        default=None, description="dB as the driver counts, null for the lowest it has"
    )


class HardwareProfile(_Part):
    """A radio as its file describes it, after all checks.

    Raises:
        pydantic.ValidationError: A value is not allowed; `load_profile` converts it to one line.
    """

    name: str = Field(default="profile", description="a text; load_profile takes the file's name")
    description: str = Field(description="one line about the radio")
    law: Annotated[str, MinLen(20)] = Field(description="a line about the legal requirements, 20 characters or more")
    tried: Annotated[str, MinLen(1)] = Field(description="tests on this radio, with their date")
    driver: Driver = Field(description="library that operates the radio")
    address: str = Field(min_length=1, max_length=256, description="address of the radio, as the driver takes it")
    device_args: str = Field(default="", max_length=256, description="further arguments KEY=VALUE,... of uhd or soapy")
    is_virtual: bool = Field(
        default=False, description="true for an emulated radio on this machine, which cannot radiate"
    )
    sample_rate: float = Field(default=1e6, ge=1e5, le=6.144e7, description="samples/s, of both sides")
    clock_source: Literal["internal", "external", "gpsdo", "mimo"] = Field(
        default="internal", description="10 MHz reference source (UHD)"
    )
    time_source: Literal["none", "internal", "external", "gpsdo", "mimo"] = Field(
        default="none", description="source of the pulse per second (UHD); none: not used"
    )
    allowed_bands: tuple[Band, ...] = Field(
        default=(), strict=False, description="a list of {low_hz: ..., high_hz: ...}"
    )
    tx: TxSide = Field(default_factory=lambda: TxSide(), description="keys of the transmitting side")
    rx: RxSide = Field(default_factory=lambda: RxSide(), description="keys of the receiving side")

    @model_validator(mode="after")
    def _suits_the_driver(self) -> HardwareProfile:
        _RULES[self.driver](self)
        if self.is_virtual and not (self.driver == "iio" and _THIS_MACHINE.fullmatch(self.tx_address)):
            where = "tx.address" if self.tx.address is not None else "address"
            raise _rule(where, self.tx_address, "ip:127.0.0.1 with the driver iio, as is_virtual is true")
        return self

    @property
    def tx_address(self) -> str:
        """Address of the transmitting radio."""
        return self.tx.address or self.address

    @property
    def rx_address(self) -> str:
        """Address of the receiving radio."""
        return self.rx.address or self.address

    def tuned_freq(self, side: Literal["tx", "rx"]) -> float:
        """Tuning frequency of a side, Hz: `center_freq`, at the receiver corrected by `rx.freq_correction_ppm`.

        The transmitter is never corrected, because its signal must lie in `allowed_bands`.
        """
        center_freq = float((self.tx if side == "tx" else self.rx).center_freq or 0.0)
        return center_freq if side == "tx" else center_freq * (1 + 1e-6 * self.rx.freq_correction_ppm)

    @property
    def is_hardware(self) -> bool:
        """Whether the radio can radiate."""
        return self.driver != "zeromq" and not self.is_virtual

    @property
    def occupied_bandwidth(self) -> float:
        """Bandwidth of a burst, Hz: distance of the outermost carriers plus one subcarrier spacing."""
        return self.sample_rate * OCCUPIED_FRACTION

    def require_allowed_band(self) -> None:
        """Checks that the whole signal lies in one of `allowed_bands`.

        Raises:
            ConfigError: It does not; the message lists the bands.
        """
        center_freq = self.tx.center_freq or 0.0
        low_hz, high_hz = center_freq - self.occupied_bandwidth / 2, center_freq + self.occupied_bandwidth / 2
        if not any(band.low_hz <= low_hz and high_hz <= band.high_hz for band in self.allowed_bands):
            bands = ", ".join(str(band) for band in self.allowed_bands) or "none"
            raise ConfigError(
                f"{self.name}: tx.center_freq {center_freq / 1e6:.10g} MHz with "
                f"{self.occupied_bandwidth / 1e6:.4g} MHz of signal leaves allowed_bands ({bands}); "
                "nothing is transmitted there"
            )


# Requirements of each driver


def _rule(key: str, value: object, allowed: str) -> PydanticCustomError:
    return PydanticCustomError("driver_rule", "{allowed}", {"key": key, "value": value, "allowed": allowed})


def _zeromq_rule(profile: HardwareProfile) -> None:
    for side, address in (("tx", profile.tx_address), ("rx", profile.rx_address)):
        try:
            split_address(address)
        except ConfigError as exc:
            raise _rule(f"{side}.address", address, "an address like tcp://127.0.0.1:5550") from exc
    if profile.rx.freq_correction_ppm:
        raise _rule("rx.freq_correction_ppm", profile.rx.freq_correction_ppm, "0; only a radio has an oscillator")


def _radio_rule(profile: HardwareProfile) -> None:
    for side, part in (("tx", profile.tx), ("rx", profile.rx)):
        if part.center_freq is None:
            raise _rule(f"{side}.center_freq", None, "from 1e6 to 1e10, Hz; a radio needs one")
    if profile.driver != "iio":
        for side, part in (("tx", profile.tx), ("rx", profile.rx)):
            for name, count in (("buffer_len", part.buffer_len), ("n_buffers", part.n_buffers)):
                if count is not None:
                    raise _rule(f"{side}.{name}", count, "null; other drivers take buffers in device_args")
        if profile.rx.gain_mode != "manual":
            raise _rule("rx.gain_mode", profile.rx.gain_mode, "manual; the others belong to the driver iio")
    if profile.driver != "uhd":
        for key, value, idle in (
            ("tx.lead_s", profile.tx.lead_s, 0.0),
            ("tx.lo_offset_hz", profile.tx.lo_offset_hz, 0.0),
            ("rx.lo_offset_hz", profile.rx.lo_offset_hz, 0.0),
            ("clock_source", profile.clock_source, "internal"),
            ("time_source", profile.time_source, "none"),
        ):
            if value != idle:
                raise _rule(key, value, f"{idle}; other values belong to the driver uhd")


def _iio_rule(profile: HardwareProfile) -> None:
    _radio_rule(profile)
    for side, address in (("tx", profile.tx_address), ("rx", profile.rx_address)):
        if not address.startswith("ip:") or len(address) < 4 or any(c.isspace() for c in address):
            where = f"{side}.address" if getattr(profile, side).address is not None else "address"
            raise _rule(
                where,
                address,
                "ip:HOST, like ip:192.168.2.1 (also over USB: a usb: address opens once, this needs two)",
            )
    gain_db = profile.tx.gain_db
    if gain_db is not None and not (LOWEST_PLUTO_GAIN_DB <= gain_db <= 0 and gain_db * 4 == int(gain_db * 4)):
        raise _rule("tx.gain_db", gain_db, f"from {LOWEST_PLUTO_GAIN_DB} to 0 in steps of 0.25, dB (an attenuation)")
    if profile.rx.gain_db is not None and not -3 <= profile.rx.gain_db <= 73:
        raise _rule("rx.gain_db", profile.rx.gain_db, "from -3 to 73, dB")
    if profile.sample_rate < 521e3:
        raise _rule("sample_rate", profile.sample_rate, "from 521000 to 61440000, samples/s, with the driver iio")
    for key, value, allowed in (
        ("tx.is_continuous", profile.tx.is_continuous, True),
        ("tx.channel", profile.tx.channel, 0),
        ("rx.channel", profile.rx.channel, 0),
        ("device_args", profile.device_args, ""),
    ):
        if value != allowed:
            raise _rule(key, value, f"{str(allowed).lower() or 'empty'}, with the driver iio")


def _uhd_rule(profile: HardwareProfile) -> None:
    _radio_rule(profile)
    _require_pairs(profile, "type=b200 or addr=192.168.10.2")
    if profile.tx.lead_s and profile.tx.is_continuous:
        raise _rule("tx.lead_s", profile.tx.lead_s, "0 where tx.is_continuous is true: only bursts have a time")


def _soapy_rule(profile: HardwareProfile) -> None:
    _radio_rule(profile)
    _require_pairs(profile, "driver=hackrf")
    for key, channel in (("tx.channel", profile.tx.channel), ("rx.channel", profile.rx.channel)):
        if channel:
            raise _rule(key, channel, "0, with the driver soapy")


def _require_pairs(profile: HardwareProfile, example: str) -> None:
    for key, text in (("address", profile.address), ("tx.address", profile.tx.address),
                      ("rx.address", profile.rx.address), ("device_args", profile.device_args)):  # fmt: skip
        if text and not all(name.strip() and value for name, _, value in (p.partition("=") for p in text.split(","))):
            raise _rule(key, text, f"KEY=VALUE with commas between, like {example}")


_RULES = {"zeromq": _zeromq_rule, "iio": _iio_rule, "uhd": _uhd_rule, "soapy": _soapy_rule}


# Reading


def shipped_profiles() -> list[str]:
    """Names of the profiles that are shipped with the program."""
    return sorted(path.stem for path in FOLDER.glob("*.yaml"))


def find_profile(name_or_path: str | Path) -> Path:
    """File of a profile: `pluto` and `pluto.yaml` are the shipped one, unless a file of that path exists.

    Raises:
        ConfigError: There is no such file or profile; the message lists the shipped ones.
    """
    path = Path(name_or_path)
    if path.suffix in (".yaml", ".yml") and path.is_file():
        return path
    if path.name == str(path) and path.name.removesuffix(".yaml") in shipped_profiles():
        return FOLDER / f"{path.name.removesuffix('.yaml')}.yaml"
    raise ConfigError(
        f"no radio profile '{name_or_path}'; give a file that ends in .yaml, or one of {', '.join(shipped_profiles())}"
    )


def parse_overrides(items: Sequence[str]) -> dict[str, str]:
    """Parses KEY=VALUE texts into a mapping; the last of equal keys counts.

    Raises:
        ConfigError: A text has no key or no equals sign.
    """
    overrides = {}
    for item in items:
        key, sign, value = item.partition("=")
        if not key.strip() or not sign:
            raise ConfigError(f"'{item}' sets nothing; write KEY=VALUE, like tx.gain_db=-40")
        overrides[key.strip()] = value.strip()
    return overrides


def load_profile(name_or_path: str | Path, overrides: Mapping[str, str] | None = None) -> HardwareProfile:
    """Reads and checks a radio profile.

    Args:
        name_or_path: Name of a shipped profile, or a file that ends in .yaml.
        overrides: Values as texts, by dotted key, such as {"tx.gain_db": "-40", "allowed_bands.0.high_hz": "440e6"}.

    Raises:
        ConfigError: One line with file, key, value and the allowed values.
    """
    path = find_profile(name_or_path)
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as exc:
        raise ConfigError(f"cannot read {path}: {getattr(exc, 'strerror', None) or 'it is no UTF-8 text'}") from exc
    values = parse_yaml(text, path.name)
    if not isinstance(values, dict):
        raise ConfigError(f"{path.name}: no mapping of keys to values; see the shipped profiles")
    if "name" in values:
        raise ConfigError(f"{path.name}: there is no key 'name'; a profile is called like its file")
    values["name"] = path.name
    for key, override in (overrides or {}).items():
        _set(values, path.name, key, "" if not override else parse_yaml(override, f"--set {key}={override}"))
    try:
        return HardwareProfile.model_validate(values)
    except ValidationError as exc:
        raise ConfigError(_one_line(exc, path.name, overrides or {})) from exc


def _set(values: Any, file: str, key: str, value: Any) -> None:
    *parents, last = key.split(".")
    at = values
    for part in parents:
        if isinstance(at, list):
            at = at[int(part)] if part.isdecimal() and int(part) < len(at) else None
        elif isinstance(at, dict):
            at = at.setdefault(part, {})
    if isinstance(at, list) and last.isdecimal() and int(last) < len(at):
        at[int(last)] = value
    elif isinstance(at, dict):
        at[last] = value
    else:
        raise ConfigError(f"{file}: --set {key}={value}: there is no such key; {_known(HardwareProfile, key)}")


def _one_line(exc: ValidationError, file: str, overrides: Mapping[str, str]) -> str:
    """The first error as one line."""
    error = exc.errors(include_url=False)[0]
    loc = [str(part) for part in error["loc"]]
    kind = error["type"]
    if kind == "driver_rule":
        key = ".".join([*loc, error["ctx"]["key"]])
        what, allowed = f"{key} is {_shown(error['ctx']['value'])}", f"allowed: {error['ctx']['allowed']}"
    else:
        key = ".".join(loc)
        model, field = _field(loc)
        what, allowed = f"{key} is {_shown(error['input'])}", f"allowed: {_allowed(field, error['msg'])}"
        if kind == "missing":
            what = f"{key} is missing"
        elif kind == "extra_forbidden":
            what, allowed = f"{key} is {_shown(error['input'])}, but there is no such key", _known(model, loc[-1])
    source = (
        " (--set)"
        if any(f"{key}.".startswith(f"{name}.") or f"{name}.".startswith(f"{key}.") for name in overrides)
        else ""
    )
    others = f"; {exc.error_count() - 1} more to mend" if exc.error_count() > 1 else ""
    return f"{file}: {what}{source}; {allowed}{others}"


def _shown(value: object) -> str:
    text = "null" if value is None else str(value).lower() if isinstance(value, bool) else repr(value)
    return text if len(text) <= 80 else text[:77] + "..."


def _known(model: type[BaseModel], key: str) -> str:
    names = list(model.model_fields)
    near = difflib.get_close_matches(key, names, 1)
    return f"did you mean {near[0]}? allowed: {', '.join(names)}" if near else f"allowed: {', '.join(names)}"


def _field(loc: Sequence[str]) -> tuple[type[BaseModel], FieldInfo | None]:
    """The model and the field at a location."""
    model: type[BaseModel] = HardwareProfile
    field: FieldInfo | None = None
    for part in loc:
        if part.isdecimal():
            continue
        field = model.model_fields.get(part)
        inner = _models_in(field.annotation) if field is not None else []
        if inner and part != loc[-1]:
            model = inner[0]
    return model, field


def _models_in(annotation: Any) -> list[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    return [model for argument in typing.get_args(annotation) for model in _models_in(argument)]


def _allowed(field: FieldInfo | None, fallback: str) -> str:
    """Allowed values of a field, derived from its checks."""
    if field is None:
        return fallback
    words = _choices(field.annotation)
    bounds = _bounds([*field.metadata, *_metadata(field.annotation)])
    kind = ", ".join(words) if words else _KINDS.get(_plain(field.annotation), "")
    text = " ".join(part for part in (kind, bounds) if part)
    if text and field.description:
        return f"{text} ({field.description})"
    return text or field.description or fallback


_KINDS = {float: "a number", int: "a whole number", bool: "true or false", str: "a text"}


def _plain(annotation: Any) -> Any:
    """The first plain type in an annotation."""
    if typing.get_origin(annotation) is Annotated:
        return _plain(typing.get_args(annotation)[0])
    if typing.get_origin(annotation) in (typing.Union, types.UnionType):
        return _plain(typing.get_args(annotation)[0])
    return annotation


def _choices(annotation: Any) -> list[str]:
    return [str(word) for word in typing.get_args(annotation)] if typing.get_origin(annotation) is Literal else []


def _metadata(annotation: Any) -> list[Any]:
    """Bounds in an annotation such as Annotated[float, Field(ge=...)] | None."""
    found: list[Any] = []
    for argument in typing.get_args(annotation):
        if typing.get_origin(argument) is Annotated or isinstance(argument, types.UnionType):
            found += _metadata(argument)
        elif isinstance(argument, FieldInfo):
            found += argument.metadata
    return found


def _bounds(metadata: Sequence[Any]) -> str:
    low = next((m.ge if isinstance(m, Ge) else m.gt for m in metadata if isinstance(m, Ge | Gt)), None)
    high = next((m.le if isinstance(m, Le) else m.lt for m in metadata if isinstance(m, Le | Lt)), None)
    return "" if low is None or high is None else f"from {low:g} to {high:g}"
