# SPDX-License-Identifier: GPL-3.0-or-later
"""Editors: generative restoration of received pictures, conditioned on their captions."""
