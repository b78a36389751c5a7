# SPDX-License-Identifier: GPL-3.0-or-later
"""The processes of a running link, in the order of the data."""
