# SPDX-License-Identifier: GPL-3.0-or-later
"""Frames, bursts, headers and records."""
