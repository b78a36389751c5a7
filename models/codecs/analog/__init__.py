# SPDX-License-Identifier: GPL-3.0-or-later
"""The analogue chain in five functions that can be explained: blocks, plan, spread, estimate, and the class map that rules them."""
