# SPDX-License-Identifier: GPL-3.0-or-later
"""Measurements of the waveform, each a command."""
