# SPDX-License-Identifier: GPL-3.0-or-later
"""The analogue chain, step by step: blocks, class map, plan, spreading, estimate."""
