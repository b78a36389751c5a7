# SPDX-License-Identifier: GPL-3.0-or-later
"""Captioners: texts for photographs, which the transmitter sends to the receiver's editor."""
