# SPDX-License-Identifier: GPL-3.0-or-later
"""The top blocks and processes that the commands start."""
