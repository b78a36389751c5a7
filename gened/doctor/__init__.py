# SPDX-License-Identifier: GPL-3.0-or-later
"""Can an over-the-air experiment start here? One module a subject; what a driver may hang or crash runs in `probe`."""
