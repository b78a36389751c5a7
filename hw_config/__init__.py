# SPDX-License-Identifier: GPL-3.0-or-later
"""Home of the radios, one YAML each. ZMQ and files need none: `gened.flowgraphs.profiles` makes their profiles."""
