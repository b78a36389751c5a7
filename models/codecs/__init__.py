# SPDX-License-Identifier: GPL-3.0-or-later
"""Picture codecs behind one contract and one registry."""
