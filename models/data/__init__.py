# SPDX-License-Identifier: GPL-3.0-or-later
"""Readers and writers of pictures, masks, captions and shards."""
