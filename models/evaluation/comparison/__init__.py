# SPDX-License-Identifier: GPL-3.0-or-later
"""Comparison of results of `gened evaluate`: paired differences, and Bjontegaard deltas."""
