# SPDX-License-Identifier: GPL-3.0-or-later
"""The codec `gened`: the linear code, spent where a picture matters, and a dual-branch decoder behind it."""
