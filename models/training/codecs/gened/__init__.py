# SPDX-License-Identifier: GPL-3.0-or-later
"""Training of `gened`."""
