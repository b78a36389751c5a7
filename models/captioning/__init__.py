# SPDX-License-Identifier: GPL-3.0-or-later
"""Words for a photograph: what the transmitter tells the receiver's editor."""
