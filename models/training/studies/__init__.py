# SPDX-License-Identifier: GPL-3.0-or-later
"""Studies on trained models: ablations and choices of defaults."""
