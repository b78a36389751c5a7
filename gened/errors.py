# SPDX-License-Identifier: GPL-3.0-or-later
"""The family of errors, under one base that the command line prints as one line.

    GenedError
    ├── ConfigError      a value that a user gave is not among those allowed
    ├── FrameError       a frame cannot be sent as asked (too large, bad lengths)
    ├── ImageError       a file is not a usable picture
    ├── CodecError       unknown codec, wrong weights, a rate the codec cannot do
    │   ├── OtherWeightsError    no codec here has the sender's number
    │   └── DecoderError         a codec fails on a received frame
    ├── CaptionerError   a captioner that lacks its model or cannot work
    ├── EditorError      unknown editor, missing weights, a picture it cannot edit
    ├── LinkError        sockets, ports, processes, time limits
    ├── NoGnuRadioError  GNU Radio is not installed, and this needs it
    ├── MissingPackageError      a Python package is not installed
    └── NotReadyError    something stands in the way of an experiment

What comes off the air is data, not an error: receivers count and drop, they do not raise.
"""

from __future__ import annotations

from typing import ClassVar


class GenedError(Exception):
    """Base of all errors that a user can cause; `str()` of it is one line that says what to do."""

    code: ClassVar[str | None] = None
    """Kind of error, for programs: it crosses processes and PDUs beside the text. None: no program distinguishes it."""


class ConfigError(GenedError):
    """A value that a user gave is not among those allowed."""


class FrameError(GenedError):
    """A frame cannot be sent as asked."""


class ImageError(GenedError):
    """A file is not a usable picture."""


class CodecError(GenedError):
    """Unknown codec, missing or wrong weights, or a rate that the codec cannot do."""


class OtherWeightsError(CodecError):
    """No codec here has the number that a received header names: another codec, or other weights."""

    code = "other-weights"


class DecoderError(CodecError):
    """The codec that a received header names fails on the frame, or its result breaks the contract."""

    code = "decoder-failed"


class CaptionerError(GenedError):
    """Unknown captioner, a missing model, or a picture that it cannot describe."""


class EditorError(GenedError):
    """Unknown editor, missing weights or packages, or a picture that it cannot edit."""


class LinkError(GenedError):
    """Sockets, ports, processes or time limits."""


class NoGnuRadioError(GenedError):
    """GNU Radio is not installed, and this needs it."""


class MissingPackageError(GenedError):
    """A Python package is not installed."""

    @classmethod
    def of(cls, package: str) -> MissingPackageError:
        """The error for a package that cannot be imported."""
        return cls(f"{package} is not installed; `gened check` says what is missing and how to get it")


class NotReadyError(GenedError):
    """Something stands in the way of an experiment."""
