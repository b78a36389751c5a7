# SPDX-License-Identifier: GPL-3.0-or-later
"""A codec, a captioner and an editor for gr-gened, as small as they can be."""
