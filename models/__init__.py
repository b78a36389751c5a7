# SPDX-License-Identifier: GPL-3.0-or-later
"""All that learns; no GNU Radio in here."""
