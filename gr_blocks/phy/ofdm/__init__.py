# SPDX-License-Identifier: GPL-3.0-or-later
"""The OFDM waveform: resource grid, modulator, PAPR reduction."""
