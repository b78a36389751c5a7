# SPDX-License-Identifier: GPL-3.0-or-later
"""The channel model, between symbols and between samples."""
