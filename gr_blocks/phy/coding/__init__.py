# SPDX-License-Identifier: GPL-3.0-or-later
"""Channel coding and digital modulation."""
