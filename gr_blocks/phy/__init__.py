# SPDX-License-Identifier: GPL-3.0-or-later
"""The waveform: NumPy, SciPy and ldpc; no GNU Radio, no PyTorch, no files, no sockets."""
