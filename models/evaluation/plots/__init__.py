# SPDX-License-Identifier: GPL-3.0-or-later
"""Figures and sheets from results of evaluations."""
