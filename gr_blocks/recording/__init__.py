# SPDX-License-Identifier: GPL-3.0-or-later
"""Recordings in SigMF: samples in one file, what they are and what was found in them in another; no GNU Radio."""
