# SPDX-License-Identifier: GPL-3.0-or-later
"""What a run leaves: report.json and its pictures."""
