# SPDX-License-Identifier: GPL-3.0-or-later
"""Channel estimation, interference detection, equalisation."""
