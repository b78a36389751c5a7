# SPDX-License-Identifier: GPL-3.0-or-later
"""Packing and checking of the messages between blocks."""
