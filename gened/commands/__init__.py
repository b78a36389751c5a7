# SPDX-License-Identifier: GPL-3.0-or-later
"""The subcommands of `gened`: one file per command."""
