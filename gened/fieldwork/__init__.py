# SPDX-License-Identifier: GPL-3.0-or-later
"""Measurements of a real link: calibration and survey."""
