# SPDX-License-Identifier: GPL-3.0-or-later
"""The anatomy of one burst, as arrays, figure and words."""
