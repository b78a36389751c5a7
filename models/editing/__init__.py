# SPDX-License-Identifier: GPL-3.0-or-later
"""The generative half: what restores a received picture, told its words."""
