# SPDX-License-Identifier: GPL-3.0-or-later
"""gr-gened: photographs over GNU Radio, by analogue joint source-channel coding."""

__version__ = "0.1.0"
