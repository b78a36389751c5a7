# SPDX-License-Identifier: GPL-3.0-or-later
"""Metrics and the evaluation of codecs."""
