# SPDX-License-Identifier: GPL-3.0-or-later
"""Home of the radios, one YAML each, read and checked by `profile.py`.

`gened.flowgraphs.radios.profiles` turns them into blocks.
"""
