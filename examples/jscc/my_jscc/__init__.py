# SPDX-License-Identifier: GPL-3.0-or-later
"""A learned joint source-channel code as a codec and a training of gr-gened."""
