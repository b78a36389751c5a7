# SPDX-License-Identifier: GPL-3.0-or-later
"""Evaluation of codecs, editors and captioners over folders of pictures."""
