# SPDX-License-Identifier: GPL-3.0-or-later
"""Picture and caption metrics."""
