# SPDX-License-Identifier: GPL-3.0-or-later
"""The linear analogue code of `softcast` and `gened`, one module per step."""
